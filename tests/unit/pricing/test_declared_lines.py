"""Lines of what is declared: sold once, or recurring; and what such a Sku costs on a day."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from milo_billing.accounts.types import InvoiceDays
from milo_billing.catalog.types import Billing, Book, ChargeType, Price, Sku
from milo_billing.kernel.periods import DaySpan, Interval
from milo_billing.pricing.rules.one_time import rate_charges
from milo_billing.pricing.rules.proration import arrears_span, part_of
from milo_billing.pricing.rules.quotes import quotes_of
from milo_billing.pricing.rules.recurring import due_days, priced_days, rate_recurring
from milo_billing.pricing.types import (
    BookSource,
    OneTimeCharge,
    PriceOn,
    QuantitySince,
    Quote,
    RateCard,
    RatedLine,
    SubLine,
    Subscription,
    UnableToRate,
    UnpricedSku,
)
from tests.unit.pricing.builders import book, flat, per_unit, price_of, sku

SINCE = date(2025, 1, 1)
FIRST = InvoiceDays(1)


def day(text: str) -> date:
    return date.fromisoformat(f"2026-{text}")


def declared(name: str, charge_type: ChargeType) -> Sku:
    return replace(sku(name, meter=""), charge_type=charge_type)


def quoting(*quotes: tuple[Price, ChargeType], number: int = 4) -> PriceOn:
    found = {price.sku: Quote(declared(price.sku, kind), price, number, "USD") for price, kind in quotes}

    def price_on(sku: str, day: date, *, known: date | None = None) -> Quote | None:
        return found.get(sku)

    return price_on


def line_of(quote: Quote, first: str, end: str, quantity: Fraction, part: SubLine) -> RatedLine:
    """A line that is the account's own: nothing was metered, nothing is included, no project has a share."""
    return RatedLine(
        sku=quote.sku,
        price=quote.price,
        book=4,
        currency="USD",
        first_day=day(first),
        end_day=day(end),
        metered=0,
        events=0,
        quantity=quantity,
        included=Fraction(0),
        parts=(part,),
        amount_minor=part.amount_minor,
        shares=(),
        own_minor=part.amount_minor,
    )


# ----------------------------------------------------------------------------------------------- sold once


def test_a_line_of_what_is_sold_once_is_of_its_day() -> None:
    setup = Quote(declared("setup", "OneTime"), per_unit("2.50", sku="setup"), 4, "USD")
    charge = OneTimeCharge("moving", "setup", day("02-03"), Decimal("1.5"))
    assert rate_charges([charge], quoting((setup.price, "OneTime"))).lines == (
        line_of(
            setup, "02-03", "02-04", Fraction(3, 2), SubLine("Usage", 375, Fraction(3, 2), Decimal("2.50"))
        ),
    )


def test_a_flat_price_is_charged_once_whatever_the_quantity_under_the_charges_own_name() -> None:
    setup = Quote(declared("setup", "OneTime"), flat("9.99", sku="setup"), 4, "USD")
    charge = OneTimeCharge("moving", "setup", day("02-03"), Decimal(3), "Moving in")
    called = replace(setup, sku=replace(setup.sku, display_name="Moving in"))
    assert rate_charges([charge], quoting((setup.price, "OneTime"))).lines == (
        line_of(called, "02-03", "02-04", Fraction(1), SubLine("FlatFee", 999)),
    )


def test_charges_come_by_sku_then_day_and_so_do_those_without_a_price() -> None:
    price_on = quoting((per_unit("1", sku="a"), "OneTime"), (per_unit("1", sku="b"), "OneTime"))
    charges = [
        OneTimeCharge(f"c{number}", name, day(on), Decimal(1))
        for number, (name, on) in enumerate(
            [("b", "02-01"), ("a", "02-09"), ("a", "02-03"), ("z", "02-02"), ("y", "02-05"), ("y", "02-04")]
        )
    ]
    rating = rate_charges(charges, price_on)
    assert [(line.sku.name, line.first_day.day) for line in rating.lines] == [("a", 3), ("a", 9), ("b", 1)]
    assert [(one.sku, one.day.day) for one in rating.unpriced] == [("y", 4), ("y", 5), ("z", 2)]


def test_a_charge_that_cannot_be_kept_says_what_to_look_at() -> None:
    vast = quoting((per_unit("1e17", sku="setup"), "OneTime"))
    with pytest.raises(UnableToRate) as refused:
        rate_charges([OneTimeCharge("moving", "setup", day("02-03"), Decimal(10))], vast)
    assert str(refused.value) == (
        "the amount of charge moving does not fit in 64 bits: check its price and quantity"
    )


def test_a_price_without_what_its_model_needs_is_a_defect_of_the_book() -> None:
    bare = price_of("PerUnit", sku="seats")
    with pytest.raises(ValueError, match=r"^the price of seats is PerUnit without unitPrice$"):
        rate_charges([OneTimeCharge("c", "seats", day("02-03"), Decimal(1))], quoting((bare, "OneTime")))
    with pytest.raises(ValueError, match=r"^the price of seats is PerUnit without unitPrice$"):
        recurring(seats(("02-01", "1")), quoting((bare, "Recurring")), due("02-01", "03-01"))


# ----------------------------------------------------------------------------------------------- recurring


def seats(*quantities: tuple[str, str], end: str | None = None, by: str = "") -> Subscription:
    held = tuple(QuantitySince(day(since), Decimal(units)) for since, units in quantities)
    return Subscription("seats", held[0].first_day, held, None if end is None else day(end), by=by)


def due(first: str, end: str) -> DaySpan:
    return DaySpan(day(first), day(end))


def recurring(subscription: Subscription, price_on: PriceOn, window: DaySpan) -> Sequence[RatedLine]:
    rating = rate_recurring([subscription], price_on, due=window, invoice_days=FIRST)
    assert rating.unpriced == ()
    return rating.lines


def seat_price(
    price: Price, interval: Interval | None = None, billing: Billing | None = None
) -> tuple[Price, ChargeType]:
    return replace(price, sku="seats", interval=interval, billing=billing), "Recurring"


def test_the_days_of_an_invoice_begin_and_end_a_day_after_its_period_does() -> None:
    assert due_days(due("01-01", "02-01")) == due("01-02", "02-02")


def test_a_line_of_what_recurs_has_the_part_of_its_interval_in_its_quantity() -> None:
    """And says how often and when it is charged, also where its price leaves that out."""
    price_on = quoting(seat_price(per_unit("28")))
    quote = quoting(seat_price(per_unit("28"), "Monthly", "Advance"))("seats", day("02-15"))
    assert quote is not None
    assert recurring(seats(("02-15", "3")), price_on, due("02-01", "03-01")) == (
        line_of(quote, "02-15", "03-01", Fraction(3, 2), SubLine("Usage", 4200, Fraction(3, 2), Decimal(28))),
    )


def test_a_flat_price_is_of_no_quantity_but_of_none() -> None:
    lines = recurring(
        seats(("02-01", "5"), ("02-08", "0"), ("02-15", "7")),
        quoting(seat_price(flat("28"))),
        due("02-01", "03-01"),
    )
    assert [(line.first_day.day, line.parts[0].kind, line.amount_minor) for line in lines] == [
        (1, "FlatFee", 2800),
        (8, "FlatFee", -2100),
        (15, "FlatFee", 1400),
    ]


def test_a_year_in_arrears_falls_due_on_the_first_day_of_the_next() -> None:
    held = Subscription("seats", SINCE, (QuantitySince(SINCE, Decimal(1)),))
    price_on = quoting(seat_price(per_unit("120"), "Yearly", "Arrears"))
    (line,) = recurring(held, price_on, due("01-01", "01-02"))
    assert (line.first_day, line.end_day, line.amount_minor) == (SINCE, day("01-01"), 12000)
    assert priced_days([held], due=due("01-01", "01-02"), invoice_days=FIRST) == DaySpan(SINCE, day("01-02"))
    assert priced_days([held], due=due("01-02", "02-02"), invoice_days=FIRST) == due("01-01", "02-02")


def test_prices_are_asked_for_on_due_days_only() -> None:
    asked: list[date] = []
    inner = quoting(seat_price(per_unit("1")))

    def price_on(sku: str, day: date, *, known: date | None = None) -> Quote | None:
        asked.append(day)
        return inner(sku, day, known=known)

    recurring(seats(("01-01", "1")), price_on, due("02-01", "03-01"))
    assert max(asked) == day("02-01")


@pytest.mark.parametrize(
    ("quantities", "expected"),
    [
        ([("02-10", "1")], [day("02-10"), day("03-01")]),
        ([("01-10", "1")], [day("02-01"), day("03-01")]),  # January's is told on the invoice before
        ([("02-10", "0"), ("02-20", "1")], [day("03-01")]),  # on the 10th there is nothing to charge
    ],
)
def test_what_has_no_price_is_told_on_the_day_from_which_it_would_be_charged(
    quantities: list[tuple[str, str]], expected: list[date]
) -> None:
    rating = rate_recurring([seats(*quantities)], quoting(), due=due("02-01", "03-02"), invoice_days=FIRST)
    assert rating.unpriced == tuple(UnpricedSku("seats", on) for on in expected)


@pytest.mark.parametrize(
    ("by", "said"), [("", "a subscription"), ("entitlement acme-pro", "entitlement acme-pro")]
)
def test_a_subscription_of_what_does_not_recur_is_named(by: str, said: str) -> None:
    with pytest.raises(UnableToRate) as refused:
        recurring(
            seats(("02-01", "1"), by=by),
            quoting((per_unit("1", sku="seats"), "Usage")),
            due("02-01", "03-01"),
        )
    assert str(refused.value) == f"{said} has Sku seats, which is not recurring"


def test_parts_are_of_the_interval_that_holds_them() -> None:
    february = due("02-01", "03-01")
    assert part_of(due("02-01", "02-08"), february) == Fraction(1, 4)
    for outside in (due("01-31", "02-08"), due("02-08", "03-02")):
        with pytest.raises(ValueError) as refused:
            part_of(outside, february)
        assert str(refused.value) == f"{outside} does not lie within {february}"


def test_what_is_charged_in_arrears_is_of_the_interval_of_the_day_before() -> None:
    for end, start in (("02-02", "02-01"), ("03-01", "02-01"), ("03-02", "03-01")):
        span = arrears_span(day(end), since=SINCE, interval="Monthly", invoice_day=1)
        assert span == due(start, end)


# ------------------------------------------------------------------------------------------------- quotes


def source(given: Book, *, first: date | None = None, end: date | None = None) -> BookSource:
    return BookSource("Entitlement", given.book_name, (given,), first_day=first, end_day=end)


def test_a_quote_is_of_the_first_source_that_is_given_and_prices_the_sku() -> None:
    cheap, other, listed = (
        book(per_unit("1", sku="seats"), number=1, since=SINCE),
        book(per_unit("2", sku="rooms"), number=2, since=SINCE),
        book(per_unit("3", sku="seats"), number=3, since=SINCE, currency="EUR"),
    )
    sources = source(cheap, first=day("02-01"), end=day("03-01")), source(other), source(listed)
    known = {name: declared(name, "Recurring") for name in ("seats", "rooms")}
    price_on = quotes_of(RateCard("USD", sources, known, {}))
    assert price_on("seats", day("02-01")) == Quote(known["seats"], cheap.prices[0], 1, "USD")
    for on in ("01-31", "03-01"):
        assert price_on("seats", day(on)) == Quote(known["seats"], listed.prices[0], 3, "EUR")
    assert price_on("desks", day("02-01")) is None


def test_a_book_that_prices_what_is_not_there_is_named() -> None:
    price_on = quotes_of(RateCard("USD", (source(book(per_unit("1", sku="seats"))),), {}, {}))
    with pytest.raises(UnableToRate) as refused:
        price_on("seats", day("02-01"))
    assert str(refused.value) == "the price book list prices Sku seats, which does not exist"
