"""Discounts of all kinds on rated lines, in one order, and what was spent in which days."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest

from milo_billing.commitments.rules.composing import (
    Effect,
    Percentage,
    Reduction,
    Slice,
    composed_lines,
    cuts,
    effect,
    in_order,
    reduce_lines,
    slices,
    spends,
)
from milo_billing.kernel.periods import DaySpan
from milo_billing.pricing.rules.percentages import discount_line
from tests.unit.commitments.builders import discount
from tests.unit.pricing.builders import per_unit, rate_units

JANUARY = DaySpan(date(2026, 1, 1), date(2026, 2, 1))
FIRST, SECOND = cuts(JANUARY, [date(2026, 1, 11)])


def percentage(name: str, *percents: str | None) -> Percentage:
    """What it takes off requests, slice by slice."""
    found = tuple({} if one is None else {"requests": Decimal(one)} for one in percents)
    return Percentage(UUID(int=len(name)), name, found)


def test_a_period_is_cut_at_the_borders_within_it() -> None:
    assert cuts(JANUARY, [date(2026, 1, 1), None, date(2026, 3, 1)]) == (JANUARY,)
    assert (FIRST.count, SECOND.count) == (10, 21)


def test_a_slice_has_the_part_of_the_price_that_arose_in_it() -> None:
    found = slices([FIRST, SECOND], [{"requests": 30}, {"requests": 120, "free": 0}])
    assert [one.shares for one in found] == [
        {"requests": Fraction(1, 4), "free": Fraction(10, 31)},
        {"requests": Fraction(3, 4), "free": Fraction(21, 31)},
    ]


def test_a_price_that_falls_with_usage_leaves_no_slice_below_nothing() -> None:
    found = slices([FIRST, SECOND], [{"requests": 1000}, {"requests": 800}])
    assert [one.shares["requests"] for one in found] == [1, 0]


def test_a_percentage_acts_on_the_usage_of_its_days_only() -> None:
    parts = [Slice(FIRST, {"requests": Fraction(1, 2)}), Slice(SECOND, {"requests": Fraction(1, 2)})]
    found = effect([percentage("new", None, "20")], parts, "requests")
    assert [off for _, off in found.off] == [10]
    line = discount_line(rate_units(200, per_unit("1")), [off for _, off in found.off])
    (composed,) = composed_lines([line], {"requests": found}, [()])
    assert (composed.net_minor, composed.inside[0].percent) == (18000, Decimal(20))
    assert composed.inside[0].share == Fraction(1, 2)
    assert [one.by_sku for one in spends([composed], parts, {"requests": found})] == [
        {"requests": 10000},
        {"requests": 8000},
    ]


def test_percentages_of_neighbouring_slices_do_not_act_on_each_other() -> None:
    parts = [Slice(FIRST, {"requests": Fraction(1, 2)}), Slice(SECOND, {"requests": Fraction(1, 2)})]
    found = effect([percentage("old", "20", None), percentage("new", None, "10")], parts, "requests")
    line = discount_line(rate_units(200, per_unit("1")), [off for _, off in found.off])
    assert [part.amount_minor for part in line.parts] == [20000, -2000, -1000]


def test_percentages_of_one_slice_chain() -> None:
    found = effect(
        [percentage("a", "10"), percentage("b", "10")],
        [Slice(JANUARY, {"requests": Fraction(1)})],
        "requests",
    )
    assert [off for _, off in found.off] == [10, 10]
    assert found.weights == (Fraction(81, 100),)


def test_discounts_go_line_first_and_percentages_before_fixed_amounts() -> None:
    fixed, percent = {"amount": Decimal(1)}, {"percent": Decimal(1)}
    given = [
        discount(1, scope="Invoice", **fixed),
        discount(2, scope="Invoice", **percent),
        discount(3, scope="Line", **fixed),
        discount(5, scope="Line", **percent),
        discount(4, scope="Line", **percent),
    ]
    assert [one.uid.int for one in in_order(given)] == [4, 5, 3, 2, 1]


@pytest.mark.parametrize(
    ("nets", "percent", "amount", "expected"),
    [
        ((100, 200), None, 30, (-10, -20)),
        ((100, 200), None, 1000, (-100, -200)),
        ((0, 0), None, 1000, (0, 0)),
        ((1, 1), None, 1, (-1, 0)),  # ties to the first line
        ((100, 200), "10", 0, (-10, -20)),
        ((3, 3), "50", 0, (-2, -1)),  # 3 in all, not 2 + 2
    ],
)
def test_what_falls_on_several_lines_is_spread_and_sums(
    nets: tuple[int, ...], percent: str | None, amount: int, expected: tuple[int, ...]
) -> None:
    shares = {index: Fraction(1) for index in range(len(nets))}
    reduction = Reduction(UUID(int=1), "off", None if percent is None else Decimal(percent), amount, shares)
    assert tuple(off.amount_minor for (off,) in reduce_lines(nets, [reduction])) == expected


def test_a_line_that_is_free_for_whom_a_minimum_lifts_it_spends_by_its_usage() -> None:
    parts = [Slice(FIRST, {"requests": Fraction(1, 4)}), Slice(SECOND, {"requests": Fraction(3, 4)})]
    line = discount_line(rate_units(200, per_unit("1", minimum="4")), [Decimal(100)])
    free = Effect((), (Fraction(0), Fraction(0)))
    (composed,) = composed_lines([line], {}, [()])
    assert [one.by_sku["requests"] for one in spends([composed], parts, {"requests": free})] == [100, 300]


def test_a_percentage_makes_smaller_what_is_given_back_and_a_fixed_amount_leaves_it_alone() -> None:
    shares = dict.fromkeys(range(3), Fraction(1))
    percent = Reduction(UUID(int=1), "tenth", Decimal(10), 0, shares)
    fixed = Reduction(UUID(int=2), "much", None, 1000, shares)
    taken = reduce_lines([100, -50, 200], [percent, fixed])
    assert [[(one.name, one.amount_minor) for one in off] for off in taken] == [
        [("tenth", -10), ("much", -90)],
        [("tenth", 5)],
        [("tenth", -20), ("much", -180)],
    ]
