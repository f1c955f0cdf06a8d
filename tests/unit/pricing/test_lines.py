"""What usage costs: one line a Sku and price, the order inside a line, and who bears it."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from milo_billing.catalog.types import Price, QuantityRounding
from milo_billing.pricing.types import UnableToRate
from tests.unit.pricing.builders import (
    END_DAY,
    FIRST_DAY,
    book,
    card,
    graduated,
    per_unit,
    rate_october,
    rate_units,
    sku,
    tier,
    usage,
    usd,
)

GRADUATED = graduated(tier("1000", "0.10"), tier("10000", "0.08"), tier(None, "0.05"))


@pytest.mark.parametrize(
    ("units", "amount"),
    [
        ("0", "0.00"),
        ("1000", "100.00"),  # the bound belongs to the first tier
        ("1000.001", "100.00"),
        ("1001", "100.08"),
        ("10000", "820.00"),
        ("12000", "920.00"),
    ],
)
def test_graduated_tiers_charge_each_band_at_its_own_rate(units: str, amount: str) -> None:
    assert rate_units(units, GRADUATED).amount == usd(amount)


STEPS = graduated(tier("5", flat="100", charge_at_zero=True), tier("10", flat="50"), tier(None, "10"))


@pytest.mark.parametrize(
    ("units", "parts"),
    [
        ("0", [("FlatFee", 1, "100")]),
        ("5", [("FlatFee", 1, "100")]),
        ("5.001", [("FlatFee", 1, "100"), ("FlatFee", 2, "50")]),
        ("12", [("FlatFee", 1, "100"), ("FlatFee", 2, "50"), ("Usage", 3, "20")]),
    ],
)
def test_a_flat_fee_is_charged_when_its_tier_is_entered(
    units: str, parts: list[tuple[str, int, str]]
) -> None:
    line = rate_units(units, STEPS)
    assert [(part.kind, part.tier, usd(str(Decimal(part.amount_minor) / 100))) for part in line.parts] == [
        (kind, number, usd(amount)) for kind, number, amount in parts
    ]


def test_a_first_tier_without_charge_at_zero_is_free_at_zero_usage() -> None:
    assert rate_units(0, graduated(tier("5", flat="100"), tier(None, "1"))).amount == usd("0")


def test_a_free_tier_stays_visible_as_a_part() -> None:
    line = rate_units(1500, graduated(tier("1000", "0"), tier(None, "0.01")))
    assert [(part.quantity, part.unit_price, part.amount_minor) for part in line.parts] == [
        (1000, Decimal("0"), 0),
        (500, Decimal("0.01"), 500),
    ]


@pytest.mark.parametrize(
    ("units", "price", "amount", "kinds"),
    [
        (100, per_unit("1", included="30"), "70", ["Usage"]),
        (20, per_unit("1", included="30"), "0", []),
        (100, per_unit("1", maximum="40"), "40", ["Usage", "Maximum"]),
        (40, per_unit("1", maximum="40"), "40", ["Usage"]),
        (5, per_unit("1", minimum="40"), "40", ["Usage", "Minimum"]),
        (0, per_unit("1", minimum="40"), "40", ["Minimum"]),
        (100, per_unit("1", minimum="50", maximum="40"), "50", ["Usage", "Maximum", "Minimum"]),
        # the included quantity comes off before the tiers are counted
        (1030, graduated(tier("1000", "1"), tier(None, "2"), included="30"), "1000", ["Usage"]),
        (1031, graduated(tier("1000", "1"), tier(None, "2"), included="30"), "1002", ["Usage", "Usage"]),
    ],
)
def test_included_quantity_then_price_then_maximum_then_minimum(
    units: int, price: Price, amount: str, kinds: list[str]
) -> None:
    line = rate_units(units, price)
    assert line.amount == usd(amount)
    assert [part.kind for part in line.parts] == kinds
    assert sum(part.amount_minor for part in line.parts) == line.amount_minor


def test_each_tier_is_settled_on_its_own() -> None:
    line = rate_units(2, graduated(tier("1", "0.005"), tier(None, "0.005")))
    assert [part.amount_minor for part in line.parts] == [1, 1]  # 0.010 as one amount
    assert line.amount == usd("0.02")


@pytest.mark.parametrize(
    ("currency", "amount_minor"), [("JPY", 123), ("USD", 12_346), ("KWD", 123_457), ("CLF", 1_234_568)]
)
def test_amounts_settle_in_the_minor_unit_of_the_book(currency: str, amount_minor: int) -> None:
    assert rate_units(1, per_unit("123.4567851"), currency=currency).amount_minor == amount_minor


@pytest.mark.parametrize(
    ("units", "rounding", "quantity"),
    [
        ("1.1", None, Fraction(11, 10)),
        ("1.1", QuantityRounding("Up", 0), 2),
        ("1.9", QuantityRounding("Down", 0), 1),
        ("1.5", QuantityRounding("HalfUp", 0), 2),
        ("1.2345", QuantityRounding("HalfUp", 3), Fraction(1235, 1000)),
        ("2", QuantityRounding("Up", 0), 2),
    ],
)
def test_the_quantity_is_rounded_if_the_sku_asks(
    units: str, rounding: QuantityRounding | None, quantity: Fraction
) -> None:
    assert rate_units(units, per_unit("1"), rounding=rounding).quantity == quantity


@pytest.mark.parametrize(
    ("tokens", "unit_price", "amount"),
    [(18_059_974, "2.50", "45.15"), (245_896, "10.00", "2.46")],  # a real trace of a language model service
)
def test_tokens_are_priced_per_million_without_an_error(tokens: int, unit_price: str, amount: str) -> None:
    line = rate_units(tokens, per_unit(unit_price), unit_factor=Fraction(1, 1_000_000))
    assert line.amount == usd(amount)
    assert line.quantity == Fraction(tokens, 1_000_000)


def test_usage_of_all_projects_counts_towards_the_tiers_together() -> None:
    rating = rate_october([usage(600, project=1), usage(600, project=2)], card([book(GRADUATED)]))
    (line,) = rating.lines
    assert line.amount == usd("116.00")
    assert [(share.project, share.metered, share.amount_minor) for share in line.shares] == [
        (1, 600, 5800),
        (2, 600, 5800),
    ]


def test_a_line_is_split_to_projects_and_dimension_sets_without_a_remainder() -> None:
    rows = [usage(1, project=2, region=region) for region in ("a", "b", "c")] + [
        usage(4, project=1, events=9)
    ]
    (line,) = rate_october(rows, card([book(per_unit("0.143"))])).lines
    assert line.amount_minor == 100
    assert [(share.project, share.amount_minor, share.events) for share in line.shares] == [
        (1, 57, 9),
        (2, 43, 3),
    ]
    assert [(share.dimensions, share.amount_minor) for share in line.shares[1].dimensions] == [
        ((("region", "a"),), 15),  # a tie goes to the lower dimension set
        ((("region", "b"),), 14),
        ((("region", "c"),), 14),
    ]
    assert line.own_minor == 0


def test_what_nobody_used_is_the_accounts_own() -> None:
    (line,) = rate_october([], card([book(STEPS)])).lines
    assert (line.amount, line.shares, line.own_minor) == (usd("100"), (), 10_000)


def test_a_minimum_on_usage_of_zero_is_the_accounts_own() -> None:
    (line,) = rate_october([usage(0, project=7)], card([book(per_unit("1", minimum="9"))])).lines
    assert [(share.project, share.amount_minor) for share in line.shares] == [(7, 0)]
    assert line.own_minor == 900


def test_corrections_below_nothing_cost_nothing_and_weigh_nothing() -> None:
    rows = [usage(10, project=1), usage(-4, project=2), usage(-9, project=1, day=date(2026, 10, 2))]
    (line,) = rate_october(rows, card([book(per_unit("1"))])).lines
    assert (line.metered, line.quantity, line.amount) == (-3, 0, usd("0"))
    (line,) = rate_october(rows[:2], card([book(per_unit("1"))])).lines
    assert [share.amount_minor for share in line.shares] == [600, 0]


def test_a_sku_that_was_not_used_has_no_line() -> None:
    assert rate_october([], card([book(per_unit("1", minimum="40"))])).lines == ()


EUROPE = sku("europe", match={"region": ("eu-1", "eu-2")})
AMERICA = sku("america", match={"region": ("us-1",)})


def test_usage_goes_to_the_sku_that_matches_its_dimensions() -> None:
    prices = card([book(per_unit("2", sku="europe"), per_unit("1", sku="america"))], [EUROPE, AMERICA])
    rows = [usage(1, region="eu-1"), usage(2, region="us-1"), usage(3, region="eu-2", zone="a")]
    lines = rate_october(rows, prices).lines
    assert [(line.sku.name, line.metered, line.amount) for line in lines] == [
        ("america", 2, usd("2")),
        ("europe", 4, usd("8")),
    ]


def test_usage_that_no_sku_matches_is_reported_and_not_free() -> None:
    rows = [
        usage(5, region="mars", project=3),
        usage(6, region="mars", project=3, day=date(2026, 10, 9)),
        usage(1, meter="unknown"),
        usage(2),  # the dimension is missing
    ]
    rating = rate_october(rows, card([book(per_unit("2", sku="europe"))], [EUROPE]))
    assert rating.lines == ()
    assert [
        (row.meter_name, row.project, dict(row.dimensions), row.sum, row.count) for row in rating.unpriced
    ] == [
        ("requests", 1, {}, 2, 1),
        ("requests", 3, {"region": "mars"}, 11, 2),
        ("unknown", 1, {}, 1, 1),
    ]


def test_usage_that_two_skus_match_is_not_rated() -> None:
    overlapping = card([book(per_unit("2", sku="europe"), per_unit("1", sku="all"))], [EUROPE, sku("all")])
    with pytest.raises(UnableToRate, match="matches all and europe of the price book list-1"):
        rate_october([usage(1, region="eu-1")], overlapping)


def test_a_count_meter_charges_events_whatever_their_values() -> None:
    (line,) = rate_october(
        [usage(700, events=3)], card([book(per_unit("1"))], aggregations={"requests": "Count"})
    ).lines
    assert (line.metered, line.events, line.amount) == (3, 3, usd("3"))


def test_usage_of_a_meter_that_is_not_defined_cannot_be_priced() -> None:
    undefined = replace(card([book(per_unit("1"))]), meters={})
    with pytest.raises(UnableToRate, match="meter requests has usage and a price, but no definition"):
        rate_october([usage(1)], undefined)


def test_an_amount_beyond_64_bits_is_refused() -> None:
    with pytest.raises(UnableToRate, match="does not fit in 64 bits"):
        rate_units(2**62, per_unit("1000"))


MIDDLE = date(2026, 10, 16)
EARLY, LATE = date(2026, 10, 15), date(2026, 10, 20)


def _lines(*prices: Price | None, aggregation: str = "Sum") -> list[tuple[date, date, str, int]]:
    """10 units before the middle of October and 10 after, under one book version each half."""
    assert aggregation in ("Sum", "Count")
    versions = [
        book(*([price] if price else []), number=number, since=since)
        for number, (price, since) in enumerate(zip(prices, (date(2026, 1, 1), MIDDLE), strict=True), start=1)
    ]
    rates = card(versions, aggregations={"requests": aggregation})
    rating = rate_october([usage(10, day=EARLY), usage(10, day=LATE)], rates)
    return [(line.first_day, line.end_day, str(line.amount.decimal()), line.book) for line in rating.lines]


def test_a_plain_per_unit_price_changes_on_the_day() -> None:
    assert _lines(per_unit("1"), per_unit("3")) == [
        (FIRST_DAY, MIDDLE, "10.00", 1),
        (MIDDLE, END_DAY, "30.00", 2),
    ]


def test_a_version_that_keeps_a_price_does_not_divide_its_line() -> None:
    assert _lines(per_unit("1"), per_unit("1.00")) == [(FIRST_DAY, END_DAY, "20.00", 1)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (graduated(tier("15", "1"), tier(None, "2")), per_unit("9")),
        (per_unit("1", included="1"), per_unit("9")),
        (per_unit("1", minimum="1"), per_unit("9")),
        (per_unit("1", maximum="99"), per_unit("9")),
        (per_unit("1"), graduated(tier(None, "9"))),
        (per_unit("1"), per_unit("9", minimum="1")),
    ],
)
def test_a_price_that_counts_over_the_period_changes_at_the_next(before: Price, after: Price) -> None:
    ((first_day, end_day, _, number),) = _lines(before, after)
    assert (first_day, end_day, number) == (FIRST_DAY, END_DAY, 1)


def test_a_sku_that_a_version_adds_is_priced_from_that_day() -> None:
    assert _lines(None, graduated(tier(None, "2"))) == [(MIDDLE, END_DAY, "20.00", 2)]


def test_a_sku_that_a_version_drops_is_priced_until_that_day() -> None:
    assert _lines(per_unit("1"), None) == [(FIRST_DAY, MIDDLE, "10.00", 1)]


def test_a_price_held_over_keeps_its_usage_when_a_new_sku_takes_its_place() -> None:
    old, new = sku("old"), sku("new")
    versions = [
        book(graduated(tier(None, "1"), sku="old"), number=1),
        book(per_unit("5", sku="new"), number=2, since=MIDDLE),
    ]
    rating = rate_october([usage(10, day=EARLY), usage(10, day=LATE)], card(versions, [old, new]))
    assert [(line.sku.name, line.metered) for line in rating.lines] == [("old", 20)]


def test_only_the_version_in_force_at_the_start_counts_of_those_before() -> None:
    versions = [book(per_unit("1"), number=1), book(per_unit("4"), number=2, since=FIRST_DAY)]
    (line,) = rate_october([usage(1)], card(versions)).lines
    assert (line.amount, line.book) == (usd("4"), 2)


def test_usage_before_the_first_book_is_unpriced() -> None:
    rating = rate_october([usage(1), usage(2, day=LATE)], card([book(per_unit("1"), since=MIDDLE)]))
    assert [line.metered for line in rating.lines] == [2]
    assert [row.sum for row in rating.unpriced] == [1]


def test_a_line_adds_up() -> None:
    rows = [usage(n * 37, project=n % 5, events=n, region="ab"[n % 2]) for n in range(40)]
    (line,) = rate_october(rows, card([book(GRADUATED)])).lines
    assert line.amount_minor == sum(part.amount_minor for part in line.parts)
    assert line.amount_minor == line.own_minor + sum(share.amount_minor for share in line.shares)
    for share in line.shares:
        assert share.amount_minor == sum(one.amount_minor for one in share.dimensions)
        assert (share.metered, share.events) == (
            sum(one.metered for one in share.dimensions),
            sum(one.events for one in share.dimensions),
        )


def test_a_unit_price_is_shown_as_it_was_written_whatever_was_rated_before() -> None:
    for written in ("2.5", "2.50", "2.500"):
        line = rate_units(1, graduated(tier("1", written), tier(None, written)))
        assert [str(part.unit_price) for part in line.parts] == [written]
