"""Which book prices a Sku on which days, and what a book in another currency comes to."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from milo_billing.catalog.types import Book, Price, Sku
from milo_billing.pricing.rules.explaining import explain
from milo_billing.pricing.rules.percentages import discount_line
from milo_billing.pricing.types import (
    BookSource,
    ExchangeRate,
    RateCard,
    RatedLine,
    SourceKind,
    UnableToRate,
)
from tests.unit.pricing.builders import (
    END_DAY,
    book,
    graduated,
    meter,
    per_unit,
    percentage,
    rate_october,
    sku,
    tier,
    usage,
)

CHF = ExchangeRate("ECB", date(2026, 10, 30), "USD", "CHF", Decimal("1.25"), Decimal(1))  # 0.8
JPY = ExchangeRate("ECB", date(2026, 10, 30), "JPY", "CHF", Decimal("160"), Decimal(1))  # 1/160


def october(day: int) -> date:
    return date(2026, 10, day)


def source(kind: SourceKind, *books: Book, first: int | None = None, end: int | None = None) -> BookSource:
    return BookSource(
        kind,
        books[0].book_name,
        books,
        first_day=None if first is None else october(first),
        end_day=None if end is None else october(end),
    )


def rate_card(*sources: BookSource, currency: str = "USD", skus: tuple[Sku, ...] = ()) -> RateCard:
    known = {one.name: one for one in (sku(), *skus)}
    rates = {"USD": CHF, "JPY": JPY} if currency == "CHF" else {}
    return RateCard(
        currency, sources, known, {one.meter_name: meter(one.meter_name) for one in known.values()}, rates
    )


def every_day(card: RateCard, units: int = 1) -> list[tuple[SourceKind, int, int, int]]:
    """(source, first day, end day, amount) of each line, with that many units used on each day of October."""
    used = [usage(units, day=october(day)) for day in range(1, 32)]
    rating = rate_october(used, card)
    assert rating.unpriced == ()
    ends = [line.end_day.day if line.end_day.month == 10 else 32 for line in rating.lines]
    return [
        (line.source, line.first_day.day, end, line.amount_minor)
        for line, end in zip(rating.lines, ends, strict=True)
    ]


LIST = source("List", book(per_unit("1"), number=1))
NEGOTIATED = book(per_unit("0.5"), number=2)


def test_the_first_source_that_prices_a_sku_does() -> None:
    assert every_day(rate_card(source("Entitlement", NEGOTIATED), LIST)) == [("Entitlement", 1, 32, 1550)]
    other = source("Entitlement", book(per_unit("0.5", sku="other"), number=2))
    assert every_day(rate_card(other, LIST, skus=(sku("other", meter="other"),))) == [("List", 1, 32, 3100)]


def test_a_negotiated_price_holds_on_the_days_of_its_entitlement() -> None:
    assert every_day(rate_card(source("Entitlement", NEGOTIATED, first=11, end=21), LIST)) == [
        ("List", 1, 11, 1000),
        ("Entitlement", 11, 21, 500),
        ("List", 21, 32, 1100),
    ]


def test_versions_of_several_books_change_on_their_days() -> None:
    newer = book(per_unit("0.25"), number=3, since=october(16))
    card = rate_card(source("Entitlement", NEGOTIATED, newer, first=11), LIST)
    assert every_day(card) == [
        ("List", 1, 11, 1000),
        ("Entitlement", 11, 16, 250),
        ("Entitlement", 16, 32, 400),
    ]


def test_a_book_that_begins_after_its_entitlement_leaves_the_days_before_to_the_next() -> None:
    late = book(per_unit("0.5"), number=2, since=october(21))
    assert every_day(rate_card(source("Entitlement", late, first=11), LIST)) == [
        ("List", 1, 21, 2000),
        ("Entitlement", 21, 32, 550),
    ]


@pytest.mark.parametrize(
    ("listed", "negotiated", "lines"),
    [
        # tiers count over the whole period: they keep what they began with, whichever side they are on
        (graduated(tier("10", "1"), tier(None, "2")), per_unit("0.5"), [("List", 1, 32, 5200)]),
        (per_unit("1"), graduated(tier("10", "1"), tier(None, "2")), [("List", 1, 32, 3100)]),
        (per_unit("1", minimum="50"), per_unit("0.5"), [("List", 1, 32, 5000)]),
    ],
)
def test_a_price_that_counts_over_the_period_is_kept_to_its_end(
    listed: Price, negotiated: Price, lines: list[tuple[SourceKind, int, int, int]]
) -> None:
    card = rate_card(
        source("Entitlement", book(negotiated, number=2), first=11), source("List", book(listed, number=1))
    )
    assert every_day(card) == lines


def test_an_entitlement_that_ends_within_the_period_keeps_its_tiers_to_the_end() -> None:
    tiers = book(graduated(tier("10", "1"), tier(None, "2")), number=2)
    assert every_day(rate_card(source("Entitlement", tiers, end=11), LIST)) == [("Entitlement", 1, 32, 5200)]


def test_of_two_skus_that_match_the_one_of_the_source_before_is_charged() -> None:
    special = sku("special", match={"region": ("eu",)})
    negotiated = book(per_unit("0.5", sku="special"), number=2)
    used = [usage(10, day=october(day), region=region) for day in (1, 20) for region in ("eu", "us")]

    def amounts(listed: Price, first: int | None) -> list[tuple[str, int]]:
        card = rate_card(
            source("Entitlement", negotiated, first=first),
            source("List", book(listed, number=1)),
            skus=(special,),
        )
        return [(line.sku.name, line.amount_minor) for line in rate_october(used, card).lines]

    assert amounts(per_unit("1"), None) == [("requests", 2000), ("special", 1000)]
    assert amounts(per_unit("1"), 11) == [("requests", 3000), ("special", 500)]
    # a tiered price that began before keeps its usage
    assert amounts(graduated(tier(None, "1")), 11) == [("requests", 4000)]


# ------------------------------------------------------------------------------------------ other currencies


def converted(price: Price, units: int, *, currency: str = "USD") -> RatedLine:
    card = rate_card(source("Default", book(price, currency=currency)), currency="CHF")
    (line,) = rate_october([usage(units)], card).lines
    assert (line.currency, line.source) == ("CHF", "Default")
    assert line.amount_minor == sum(part.amount_minor for part in line.parts)
    assert line.amount_minor == sum(share.amount_minor for share in line.shares) + line.own_minor
    return line


def test_an_amount_is_converted_not_its_unit_price() -> None:
    line = converted(
        per_unit("0.006"), 1000
    )  # 6.00 USD = 4.80 CHF; 0.006 × 0.8 rounded to cents would be nothing
    assert line.amount_minor == 480
    assert line.conversion is not None
    assert (line.conversion.amount_minor, line.conversion.rate) == (600, CHF)
    assert [(part.unit_price, part.quantity) for part in line.parts] == [(Decimal("0.006"), Fraction(1000))]


def test_nothing_is_rounded_before_the_target_currency() -> None:
    line = converted(
        per_unit("0.7"), 1, currency="JPY"
    )  # 0.7 JPY = 0.004375 CHF; 1 JPY would be 0.00625, a cent
    assert line.amount_minor == 0
    assert line.conversion is not None
    assert line.conversion.amount_minor == 1


@pytest.mark.parametrize(
    ("price", "units", "parts", "before"),
    [
        (graduated(tier("10", "1", flat="5"), tier(None, "0.5")), 20, [400, 800, 400], [500, 1000, 500]),
        (per_unit("1", maximum="10"), 20, [1600, -800], [2000, -1000]),
        (per_unit("1", minimum="30"), 20, [1600, 800], [2000, 1000]),
        # the bound in the book's currency decides, and converts to exactly 7.99 × 0.8 = 6.392
        (per_unit("0.333", maximum="7.99"), 100, [2664, -2025], [3330, -2531]),
    ],
)
def test_parts_are_converted_each_and_bounds_act_before(
    price: Price, units: int, parts: list[int], before: list[int]
) -> None:
    line = converted(price, units)
    assert [part.amount_minor for part in line.parts] == parts
    assert line.conversion is not None
    assert [part.amount_minor for part in line.conversion.parts] == before


def test_a_percentage_of_lines_in_another_currency_is_of_what_they_were_converted_to() -> None:
    skus = sku(), sku("support", meter="support")
    prices = book(per_unit("0.333"), percentage("10", ["requests"], sku="support", minimum="1"))
    card = rate_card(source("Default", prices), currency="CHF", skus=skus)
    requests, support = rate_october([usage(100), usage(1, meter="support")], card).lines
    assert (requests.amount_minor, support.amount_minor) == (2664, 266)  # a tenth, after the one rounding
    _, least = rate_october([usage(1), usage(1, meter="support")], card).lines
    assert least.amount_minor == 80  # the minimum is 1 USD


def test_percentages_off_a_converted_line_keep_its_minimum_in_the_currency_of_the_book() -> None:
    line = discount_line(converted(per_unit("1", minimum="30"), 31), [10])
    assert [part.amount_minor for part in line.parts] == [2480, -248, 168]  # to 30 USD, which are 24 CHF
    assert line.amount_minor == 2400


def test_what_is_a_percentage_of_others_is_not_explained_by_a_quantity() -> None:
    priced = book(per_unit("1"), percentage("10", ["requests"], sku="support"))
    support = sku("support", meter="support")
    card = rate_card(source("List", priced), skus=(sku(), support))
    with pytest.raises(UnableToRate, match="a percentage of what other Skus come to"):
        explain(card, sku=support, day=october(3), first_day=october(1), end_day=END_DAY, metered=Fraction(1))


def test_a_book_in_another_currency_without_a_rate_cannot_be_rated_once_it_is_used() -> None:
    card = rate_card(source("Default", book(per_unit("1"), currency="SEK")), currency="CHF")
    assert rate_october([], card).lines == ()
    with pytest.raises(UnableToRate, match="no exchange rate to CHF: milo-billing rates import"):
        rate_october([usage(1)], card)
