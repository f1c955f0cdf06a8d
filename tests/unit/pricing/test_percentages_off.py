"""Percentages off a line: after the price, before maximum and minimum, each a settled part."""

from decimal import Decimal
from fractions import Fraction

import pytest

from milo_billing.catalog.types import Price
from milo_billing.pricing.rules.charges import charge, prepare
from milo_billing.pricing.rules.percentages import discount_line, reduce_line, take_off
from milo_billing.pricing.types import SubLine
from tests.unit.pricing.builders import book, card, per_unit, rate_october, rate_units, usage


def amounts(price: Price, units: int, *percents: str) -> list[tuple[str, int]]:
    prepared = prepare(price, currency="USD")
    parts = charge(prepared, Fraction(units), [Decimal(percent) for percent in percents])
    return [(part.kind, part.amount_minor) for part in parts]


@pytest.mark.parametrize(
    ("maximum", "minimum", "percents", "expected"),
    [
        (None, None, ("20",), [("Usage", 10000), ("Discount", -2000)]),
        # chained: 10 % of what the first 10 % left, 19 % in all
        (None, None, ("10", "10"), [("Usage", 10000), ("Discount", -1000), ("Discount", -900)]),
        (None, None, ("100", "5"), [("Usage", 10000), ("Discount", -10000), ("Discount", 0)]),
        # the cap holds what is left after the percentage, and the floor lifts it
        ("85", None, ("10",), [("Usage", 10000), ("Discount", -1000), ("Maximum", -500)]),
        ("95", None, ("10",), [("Usage", 10000), ("Discount", -1000)]),
        (None, "95", ("10",), [("Usage", 10000), ("Discount", -1000), ("Minimum", 500)]),
    ],
)
def test_percentages_come_between_the_price_and_its_bounds(
    maximum: str | None, minimum: str | None, percents: tuple[str, ...], expected: list[tuple[str, int]]
) -> None:
    price = per_unit("1", maximum=maximum, minimum=minimum)
    assert amounts(price, 100, *percents) == expected
    assert [
        (part.kind, part.amount_minor)
        for part in discount_line(rate_units(100, price), [Decimal(p) for p in percents]).parts
    ] == expected


def test_each_percentage_is_rounded_by_itself_half_away_from_zero() -> None:
    assert amounts(per_unit("0.01"), 5, "50", "50") == [("Usage", 5), ("Discount", -3), ("Discount", -1)]


@pytest.mark.parametrize("percent", ["-1", "100.01"])
def test_a_percentage_beyond_the_whole_is_refused(percent: str) -> None:
    with pytest.raises(ValueError, match="is not within"):
        take_off([SubLine("Usage", 100)], [Decimal(percent)])


def test_shares_of_projects_follow_the_discounted_amount() -> None:
    rating = rate_october([usage(1, project=1), usage(2, project=2)], card([book(per_unit("1"))]))
    line = discount_line(rating.lines[0], [Decimal("50")])
    assert [share.amount_minor for share in line.shares] == [50, 100]


def test_fixed_amounts_are_parts_behind_the_bounds_and_the_shares_follow() -> None:
    price = per_unit("1", minimum="4")
    rating = rate_october([usage(1, project=1), usage(2, project=2)], card([book(price)]))
    line = reduce_line(rating.lines[0], [-70, -30])
    assert [(part.kind, part.amount_minor) for part in line.parts] == [
        ("Usage", 300),
        ("Minimum", 100),
        ("Discount", -70),
        ("Discount", -30),
    ]
    assert ([share.amount_minor for share in line.shares], line.amount_minor) == ([100, 200], 300)
    assert reduce_line(line, []) is line
