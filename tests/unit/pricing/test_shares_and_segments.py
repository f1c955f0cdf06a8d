"""Whose a line is, which days a price has, and what percentages are taken of, at the edges of each rule."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from milo_billing.catalog.types import Book, Price, QuantityRounding
from milo_billing.kernel.periods import DaySpan
from milo_billing.pricing.rules.bases import base_amounts, divided_segments
from milo_billing.pricing.rules.percentages import bound, discount_line
from milo_billing.pricing.rules.quantities import rounded
from milo_billing.pricing.rules.segments import Segment, price_segments
from milo_billing.pricing.rules.splits import OWN, split_line
from milo_billing.pricing.rules.tiers import position, prepare_bounds
from milo_billing.pricing.types import BookSource, RateCard, SubLine, UnableToRate
from tests.unit.pricing.builders import (
    END_DAY,
    FIRST_DAY,
    book,
    card,
    flat,
    graduated,
    meter,
    per_unit,
    percentage,
    price_of,
    rate_october,
    rate_units,
    sku,
    tier,
    usage,
    usd,
    volume,
)
from tests.unit.pricing.metering import Used, charged, rolled_up

EU, US = (("region", "eu"),), (("region", "us"),)


def october(day: int) -> date:
    return date(2026, 10, day)


# ------------------------------------------------------------------------------------------- parts of models


def test_a_flat_price_is_one_fee() -> None:
    assert rate_units(3, flat("20")).parts == (SubLine("FlatFee", 2000),)


def test_a_tier_of_a_fee_alone_has_no_part_of_usage() -> None:
    for make in (graduated, volume):
        line = rate_units(3, make(tier("10", "0", flat="5"), tier(None, "1")))
        assert line.parts == (SubLine("FlatFee", 500, tier=1),)


def test_a_tier_of_neither_fee_nor_price_is_used_for_nothing() -> None:
    line = rate_units(3, graduated(tier("10", "0"), tier(None, "1")))
    assert line.parts == (SubLine("Usage", 0, Fraction(3), Decimal(0), 1),)


def test_a_volume_line_has_the_fee_and_all_units_of_its_tier() -> None:
    price = volume(tier("2", "1"), tier(None, "0.50", flat="5"))
    assert rate_units(3, price).parts == (
        SubLine("FlatFee", 500, tier=2),
        SubLine("Usage", 150, Fraction(3), Decimal("0.50"), 2),
    )
    assert rate_units(2, price).parts == (SubLine("Usage", 200, Fraction(2), Decimal(1), 1),)


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (price_of("PerUnit"), "PerUnit without unitPrice"),
        (price_of("Package", "1"), "Package without packageSize"),
        (price_of("Package", package_size="1"), "Package without unitPrice"),
        (price_of("Percentage"), "Percentage without percent"),
        (price_of("Flat"), "Flat without unitPrice"),
    ],
)
def test_a_price_without_what_its_model_needs_is_a_defect_of_the_book(price: Price, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        rate_october([usage(1)], card([book(price)]))
    assert str(refused.value) == f"the price of requests is {said}"


@pytest.mark.parametrize("written", ["2.5", "2.50"])
def test_prices_and_percentages_are_shown_as_they_were_written(written: str) -> None:
    (part,) = rate_units(1, per_unit(written)).parts
    assert str(part.unit_price) == written
    prices = book(per_unit("1"), percentage(written, ["requests"], sku="support"))
    skus = [sku(), sku("support", meter="support")]
    support = rate_october([usage(100), usage(1, meter="support")], card([prices], skus)).lines[1]
    assert str(support.parts[0].unit_price) == f"0.0{written.replace('.', '')}"


@pytest.mark.parametrize(("fee", "lines"), [("0.50", 1), ("0", 0)])
def test_a_first_tier_that_charges_at_zero_has_a_line_if_it_has_a_fee(fee: str, lines: int) -> None:
    price = graduated(tier("10", "1", flat=fee, charge_at_zero=True), tier(None, "1"))
    assert len(rate_october([], card([book(price)])).lines) == lines
    only = graduated(tier(None, "1", flat=fee, charge_at_zero=True))
    assert len(rate_october([], card([book(only)])).lines) == lines


@pytest.mark.parametrize(
    ("quantity", "mode", "expected"),
    [("-1.5", "HalfUp", -2), ("-1.5", "Up", -2), ("-1.5", "Down", -1), ("0", "Up", 0), ("0.4", "HalfUp", 0)],
)
def test_a_quantity_is_rounded_by_its_size(quantity: str, mode: str, expected: int) -> None:
    rounding = QuantityRounding("HalfUp", 0) if mode == "HalfUp" else QuantityRounding("Up", 0)
    if mode == "Down":
        rounding = QuantityRounding("Down", 0)
    assert rounded(Fraction(quantity), rounding) == expected


def test_tier_bounds_are_exact_beyond_what_a_float_can_tell_apart() -> None:
    bounds = prepare_bounds([tier("9007199254740992", "1"), tier(None, "1")])
    assert [position(bounds, Fraction(2**53 + more)) for more in (0, 1)] == [0, 1]


# ----------------------------------------------------------------------------------------------- its bounds


def test_a_bound_that_is_met_adds_no_part() -> None:
    parts = (SubLine("Usage", 100),)
    assert bound(parts, maximum_minor=100, minimum_minor=100) == parts


def test_percentages_come_off_before_the_bounds_that_acted() -> None:
    least = discount_line(rate_units(50, per_unit("1", minimum="95")), [10])
    assert [(part.kind, part.amount_minor) for part in least.parts] == [
        ("Usage", 5000),
        ("Discount", -500),
        ("Minimum", 5000),
    ]
    # the floor comes after the cap, also where it lies above it
    both = discount_line(rate_units(100, per_unit("1", maximum="50", minimum="60")), [10])
    assert [(part.kind, part.amount_minor) for part in both.parts] == [
        ("Usage", 10000),
        ("Discount", -1000),
        ("Maximum", -4000),
        ("Minimum", 1000),
    ]


def test_what_is_the_accounts_own_is_discounted_too() -> None:
    line = discount_line(rate_units(0, flat("20", at_zero=True)), [25])
    assert (line.amount_minor, line.own_minor) == (1500, 1500)


# --------------------------------------------------------------------------------------------------- shares


def test_a_projects_share_is_divided_by_what_each_dimension_set_used() -> None:
    ((project,), own) = split_line(400, {(1, EU): (30, 3), (1, US): (10, 1)})
    assert [one.amount_minor for one in project.dimensions] == [300, 100]
    ((project,), own) = split_line(100, {(1, EU): (1, 3), (1, US): (0, 1)})
    assert [one.amount_minor for one in project.dimensions] == [100, 0]
    assert own == 0


def test_the_share_of_a_base_falls_to_who_has_it_whoever_used_the_percentage() -> None:
    shares, own = split_line(100, {(1, EU): (5, 2)}, weights={2: Fraction(1), OWN: Fraction(1)})
    assert [(one.project, one.amount_minor, one.events) for one in shares] == [(1, 0, 2), (2, 50, 0)]
    assert own == 50
    assert [(one.dimensions, one.amount_minor) for one in shares[1].dimensions] == [((), 50)]


def test_a_project_that_used_nothing_has_its_share_alike_over_its_dimension_sets() -> None:
    ((project,), _) = split_line(100, {(1, EU): (0, 1), (1, US): (0, 1)}, weights={1: Fraction(1)})
    assert [one.amount_minor for one in project.dimensions] == [50, 50]


def test_weights_of_nothing_leave_the_line_to_who_used_it() -> None:
    shares, _ = split_line(100, {(1, EU): (5, 2)}, weights={2: Fraction(0)})
    assert [(one.project, one.amount_minor) for one in shares] == [(1, 100)]


def test_a_value_of_one_or_of_nothing_is_spread_too() -> None:
    peak = meter("meter", "Max")
    assert charged([Used(1, 1, region="eu"), Used(2, 0, region="us")], peak) == {(1, EU): 1, (1, US): 0}
    assert charged([Used(1, 0, region="eu"), Used(2, 0, region="us")], peak) == {(1, EU): 0, (1, US): 0}


def test_distinct_keys_are_counted_by_the_rows_of_the_roll_up() -> None:
    prices = card([book(per_unit("1"))], aggregations={"requests": "UniqueCount"})
    with pytest.raises(ValueError) as refused:
        rate_october([usage(3)], prices)
    assert (
        str(refused.value) == "the distinct keys of usage are counted by the rows of the roll-up: name them"
    )


def test_a_line_of_distinct_keys_is_of_as_many_as_were_counted() -> None:
    prices = card([book(per_unit("2", sku="seen"))], [sku("seen", meter="meter")], {"meter": "UniqueCount"})
    rows = rolled_up([Used(1, 1, user="ann"), Used(2, 1, user="bob"), Used(3, 1, user="ann")])
    (line,) = rate_october(rows, prices, distinct=lambda cells: [2 for _ in cells]).lines
    assert (line.metered, line.events, line.amount) == (2, 3, usd("4"))


# ------------------------------------------------------------------------------------------------- segments


def segments(*sources: BookSource, names: tuple[str, ...] = ("requests",)) -> list[tuple[date, date, int]]:
    known = {name: sku(name) for name in names}
    found = price_segments(
        RateCard("USD", sources, known, {"requests": meter()}), first_day=FIRST_DAY, end_day=END_DAY
    )
    return [(one.first_day, one.end_day, one.book.number) for one in found]


def listed(*books: Book, first: date | None = None, end: date | None = None) -> BookSource:
    return BookSource("List", "list", books, first_day=first, end_day=end)


def version(number: int, price: Price, since: date = date(2026, 1, 1)) -> Book:
    return book(price, number=number, since=since)


def test_what_begins_as_the_period_ends_has_no_days_of_it() -> None:
    assert segments(listed(version(1, per_unit("1")), first=END_DAY)) == []
    assert segments(listed(version(1, per_unit("1")), version(2, per_unit("2"), END_DAY))) == [
        (FIRST_DAY, END_DAY, 1)
    ]
    ended = listed(version(1, per_unit("1")), version(2, per_unit("2"), october(11)), end=october(11))
    assert segments(ended) == [(FIRST_DAY, october(11), 1)]


def test_a_version_that_changes_nothing_and_one_that_may_not_do_not_keep_a_third_from_its_day() -> None:
    first, third = version(1, per_unit("1")), version(3, per_unit("3"), october(21))
    for second in (per_unit("1"), graduated(tier(None, "2"))):
        assert segments(listed(first, version(2, second, october(11)), third)) == [
            (FIRST_DAY, october(21), 1),
            (october(21), END_DAY, 3),
        ]


def test_a_book_that_prices_what_is_not_there_is_named() -> None:
    other = BookSource("Entitlement", "acme", (replace(version(1, per_unit("1")), book_name="acme"),))
    lost = replace(book(per_unit("1", sku="lost"), number=2), book_name="lost and found")
    with pytest.raises(UnableToRate) as refused:
        segments(other, BookSource("List", lost.book_name, (lost,)))
    assert str(refused.value) == "the price book lost and found prices Sku lost, which does not exist"


def test_of_one_source_the_older_version_keeps_what_it_has() -> None:
    # the new version repeats the price of a Sku and adds another one for the same usage
    old = book(per_unit("1", sku="a"), number=1)
    new = book(per_unit("1", sku="a"), per_unit("9", sku="b"), number=2, since=october(11))
    rating = rate_october([usage(1, day=october(20))], card([old, new], [sku("a"), sku("b")]))
    assert [(line.sku.name, line.amount) for line in rating.lines] == [("a", usd("1"))]
    assert rating.currency == "USD"


def test_usage_that_two_skus_of_a_book_match_is_refused_with_what_to_do() -> None:
    prices = book(per_unit("1", sku="a"), per_unit("2", sku="b"))
    with pytest.raises(UnableToRate) as refused:
        rate_october([usage(1, region="eu")], card([prices], [sku("a"), sku("b")]))
    assert str(refused.value) == (
        "usage of requests with {'region': 'eu'} matches a and b of the price book list-1: publish a version in which "
        "only one of them matches"
    )


# ---------------------------------------------------------------------------------------------------- bases


def segment(price: Price, days: DaySpan) -> Segment:
    given = book(price)
    name = sku(price.sku)
    return Segment(name, price, given, days.start, days.end, listed(given), rank=0, firm=False)


WHOLE, FIRST, LAST = (
    DaySpan(FIRST_DAY, END_DAY),
    DaySpan(FIRST_DAY, october(11)),
    DaySpan(october(11), END_DAY),
)
SUPPORT = percentage("10", ["a", "b"], sku="support")


def test_a_base_is_divided_where_it_has_days_that_the_percentage_has_not() -> None:
    base = segment(per_unit("1", sku="a"), WHOLE)
    assert divided_segments([base, segment(SUPPORT, WHOLE)]) == frozenset()
    for days in (FIRST, LAST):
        assert divided_segments([base, segment(SUPPORT, days)]) == {base}
        assert (
            divided_segments([segment(per_unit("1", sku="a"), days), segment(SUPPORT, WHOLE)]) == frozenset()
        )


def test_a_base_on_other_days_counts_for_nothing_and_those_after_it_do() -> None:
    before, within = segment(per_unit("1", sku="a"), FIRST), segment(per_unit("1", sku="b"), LAST)
    line = rate_units(100, per_unit("1"))
    amounts = base_amounts(segment(SUPPORT, LAST), {before: line, within: line}, metered={})
    assert amounts == {1: 10000, OWN: 0}


def test_usage_of_one_day_adds_up_where_a_part_of_a_base_counts() -> None:
    skus = [sku("a", meter="a"), sku("support", meter="support")]
    versions = [
        book(per_unit("1", sku="a"), number=1),
        book(per_unit("1", sku="a"), percentage("10", ["a"], sku="support"), number=2, since=october(11)),
    ]
    rows = [
        *(usage(units, meter="a", day=october(day)) for units, day in ((25, 1), (25, 2), (25, 20), (25, 20))),
        usage(1, meter="support", day=october(20)),
    ]
    support = rate_october(rows, card(versions, skus)).lines[1]
    assert support.amount == usd("5")  # of 50 of 100


def test_percentages_that_go_in_a_circle_are_told_in_its_order() -> None:
    prices = book(
        percentage("1", ["b"], sku="a"), percentage("1", ["c"], sku="b"), percentage("1", ["a"], sku="c")
    )
    skus = [sku(name, meter=name) for name in "abc"]
    with pytest.raises(UnableToRate) as refused:
        rate_october([usage(1, meter="a")], card([prices], skus))
    said = str(refused.value)
    assert said.removeprefix("percentages are taken of one another: ").split(";")[0] in (
        "a of b of c of a",
        "b of c of a of b",
        "c of a of b of c",
    )
