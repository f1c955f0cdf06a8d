"""What recurs: which days are charged when, and what each leg costs."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from milo_billing.accounts.types import InvoiceDays
from milo_billing.catalog.types import Billing, ChargeType, Price
from milo_billing.kernel.periods import DaySpan, Interval
from milo_billing.pricing.rules.one_time import rate_charges
from milo_billing.pricing.rules.quotes import quotes_of
from milo_billing.pricing.rules.recurring import due_days, priced_days, rate_recurring
from milo_billing.pricing.types import (
    BookSource,
    DeclaredRating,
    OneTimeCharge,
    PriceOn,
    QuantitySince,
    RateCard,
    Subscription,
    UnableToRate,
    UnpricedSku,
)
from tests.unit.pricing.builders import book, card, flat, per_unit, sku


def day(text: str) -> date:
    return date.fromisoformat(f"2026-{text}")


def seats(
    *quantities: tuple[str, str], end: str | None = None, trial_end: str | None = None, name: str = "seats"
) -> Subscription:
    held = tuple(QuantitySince(day(since), Decimal(quantity)) for since, quantity in quantities)
    return Subscription(
        sku=name,
        start=held[0].first_day,
        quantities=held,
        end=None if end is None else day(end),
        trial_end=None if trial_end is None else day(trial_end),
    )


def prices(
    *versions: tuple[str, Price], interval: Interval | None = None, billing: Billing | None = None
) -> PriceOn:
    return sold("Recurring", *versions, interval=interval, billing=billing)


def sold(charge_type: ChargeType, *versions: tuple[str, Price], **terms: Any) -> PriceOn:
    books = [
        book(replace(price, sku="seats", **terms), number=number, since=date.fromisoformat(since))
        for number, (since, price) in enumerate(versions, start=1)
    ]
    skus = [replace(sku("seats", meter=""), charge_type=charge_type)]
    return quotes_of(card(books, skus))


def monthly(price: Price, billing: Billing = "Advance") -> PriceOn:
    return prices(("2025-01-01", price), billing=billing)


def legs(rating: DeclaredRating) -> list[tuple[str, str, str]]:
    assert rating.unpriced == ()
    return [
        (f"{line.first_day:%m-%d}", f"{line.end_day:%m-%d}", str(line.amount.decimal()))
        for line in rating.lines
    ]


def due(first: str, end: str) -> DaySpan:
    return DaySpan(day(first), day(end))


def rated(
    subscription: Subscription, price_on: PriceOn, window: DaySpan, *, invoice_day: int = 1
) -> list[tuple[str, str, str]]:
    return legs(rate_recurring([subscription], price_on, due=window, invoice_days=InvoiceDays(invoice_day)))


JANUARY = due_days(DaySpan(day("01-01"), day("02-01")))
FEBRUARY = due_days(DaySpan(day("02-01"), day("03-01")))

TEN_SEATS = seats(("01-01", "10"))
MORE = seats(("01-01", "10"), ("02-15", "12"))
FEWER = seats(("01-01", "10"), ("02-15", "3"))
ON_TRIAL = seats(("02-01", "1"), trial_end="02-15")
AWAY = seats(("01-01", "1"), ("02-15", "0"), ("03-01", "1"))


@pytest.mark.parametrize(
    ("subscription", "billing", "expected"),
    [
        # the invoice that closes February carries March, and what changed within February
        (TEN_SEATS, "Advance", [("03-01", "04-01", "310.00")]),
        (TEN_SEATS, "Arrears", [("02-01", "03-01", "310.00")]),
        # 14 of 28 days: the day of the change belongs to the new quantity
        (MORE, "Advance", [("02-15", "03-01", "-155.00"), ("02-15", "03-01", "186.00"), ("03-01", "04-01", "372.00")]),
        (MORE, "Arrears", [("02-01", "02-15", "155.00"), ("02-15", "03-01", "186.00")]),
        (FEWER, "Advance", [("02-15", "03-01", "-155.00"), ("02-15", "03-01", "46.50"), ("03-01", "04-01", "93.00")]),
        # begins within the month: a stub, due on its own first day
        (seats(("02-15", "2")), "Advance", [("02-15", "03-01", "31.00"), ("03-01", "04-01", "62.00")]),
        (seats(("02-15", "2")), "Arrears", [("02-15", "03-01", "31.00")]),
        # ends within the month: the rest comes back, the day of the end included
        (seats(("01-01", "10"), end="02-15"), "Advance", [("02-15", "03-01", "-155.00")]),
        (seats(("01-01", "10"), end="02-15"), "Arrears", [("02-01", "02-15", "155.00")]),
        (seats(("01-01", "10"), end="03-01"), "Advance", []),
        (seats(("02-10", "10"), end="02-10"), "Advance", []),
        # a trial costs nothing, and what begins after it is a stub
        (ON_TRIAL, "Advance", [("02-15", "03-01", "15.50"), ("03-01", "04-01", "31.00")]),
        (ON_TRIAL, "Arrears", [("02-15", "03-01", "15.50")]),
        (seats(("02-01", "1"), trial_end="02-15", end="02-10"), "Advance", []),
        (seats(("02-01", "1"), ("02-03", "4"), trial_end="02-15"), "Arrears", [("02-15", "03-01", "62.00")]),
        # nobody has a seat for a while
        (AWAY, "Advance", [("02-15", "03-01", "-15.50"), ("03-01", "04-01", "31.00")]),
    ],
)  # fmt: skip
def test_the_invoice_that_closes_february_carries(
    subscription: Subscription, billing: Billing, expected: Sequence[tuple[str, str, str]]
) -> None:
    assert rated(subscription, monthly(per_unit("31"), billing), FEBRUARY) == list(expected)


@pytest.mark.parametrize(
    ("interval", "invoice_day", "window", "expected"),
    [
        # [PR-061, PR-062]: a stub up to the account's quarter, then a quarter
        ("Quarterly", 10, due("01-02", "01-11"), [("01-02", "01-10", "8.70"), ("01-10", "04-10", "100.00")]),
        ("Quarterly", 10, due("01-11", "04-10"), []),
        ("Yearly", 1, due("01-02", "12-31"), [("01-02", "01-01", "99.73")]),
    ],
)
def test_longer_intervals_follow_the_invoice_day(
    interval: Interval, invoice_day: int, window: DaySpan, expected: list[tuple[str, str, str]]
) -> None:
    price_on = prices(("2025-01-01", per_unit("100")), interval=interval)
    assert rated(seats(("01-02", "1")), price_on, window, invoice_day=invoice_day) == expected


def test_a_quarter_in_arrears_that_ends_early_is_due_then() -> None:
    """[PR-030]: 32 of the 91 days of a quarter."""
    price_on = prices(("2023-01-01", per_unit("910")), interval="Quarterly", billing="Arrears")
    used = Subscription(
        "seats", date(2024, 5, 20), (QuantitySince(date(2024, 5, 20), Decimal(1)),), date(2024, 6, 21)
    )
    months = [due_days(DaySpan(date(2024, month, 15), date(2024, month + 1, 15))) for month in (4, 5, 6)]
    amounts = [
        [
            line.amount_minor
            for line in rate_recurring([used], price_on, due=month, invoice_days=InvoiceDays(15)).lines
        ]
        for month in months
    ]
    assert amounts == [[], [], [32000]]


def test_a_flat_price_is_charged_once_whatever_the_quantity() -> None:
    rating = rate_recurring([MORE], monthly(flat("50"), "Arrears"), due=FEBRUARY, invoice_days=InvoiceDays(1))
    assert legs(rating) == [("02-01", "03-01", "50.00")]
    (part,) = rating.lines[0].parts
    assert (part.kind, part.quantity, part.unit_price) == ("FlatFee", 1, Decimal("50"))


def test_a_line_says_the_part_of_the_interval_and_belongs_to_the_account_itself() -> None:
    back, charged, _ = rate_recurring(
        [MORE], monthly(per_unit("10")), due=FEBRUARY, invoice_days=InvoiceDays(1)
    ).lines
    assert (back.quantity, charged.quantity) == (Fraction(-5), Fraction(6))
    assert (charged.parts[0].kind, charged.parts[0].unit_price) == ("Usage", Decimal("10"))
    assert (charged.own_minor, charged.shares, charged.events) == (charged.amount_minor, (), 0)


def test_each_leg_is_settled_before_they_are_netted() -> None:
    """[PR-027]: 33.33 back and 66.67 charged are 33.34, where the difference would be 33.33."""
    june = seats(("06-01", "50"), ("06-11", "100"))
    window = due("06-02", "07-01")
    assert rated(june, monthly(per_unit("1")), window) == [
        ("06-11", "07-01", "-33.33"),
        ("06-11", "07-01", "66.67"),
    ]


def test_a_price_holds_until_the_interval_that_it_began_with_ends() -> None:
    changed = prices(("2025-01-01", per_unit("30")), ("2026-02-10", per_unit("60")), billing="Arrears")
    assert rated(seats(("01-01", "1")), changed, due("02-02", "04-02")) == [
        ("02-01", "03-01", "30.00"),
        ("03-01", "04-01", "60.00"),
    ]
    assert rated(seats(("02-15", "1")), changed, FEBRUARY) == [("02-15", "03-01", "30.00")]


def test_what_has_no_price_is_reported_once_and_charged_from_the_next_period_on() -> None:
    since_march = prices(("2026-03-01", per_unit("30")))
    held = seats(("02-15", "1"))
    assert rate_recurring([held], since_march, due=FEBRUARY, invoice_days=InvoiceDays(1)).unpriced == (
        UnpricedSku("seats", day("02-15")),
    )
    rating = rate_recurring([held], since_march, due=FEBRUARY, invoice_days=InvoiceDays(1))
    assert [line.first_day for line in rating.lines] == [day("03-01")]
    unknown = rate_recurring(
        [replace(held, sku="other")], since_march, due=FEBRUARY, invoice_days=InvoiceDays(1)
    )
    assert unknown.unpriced == (UnpricedSku("other", day("02-15")), UnpricedSku("other", day("03-01")))


def test_prices_are_asked_for_on_the_days_that_are_named() -> None:
    asked: list[date] = []
    inner = prices(("2025-01-01", per_unit("1")), interval="Yearly")

    def price_on(sku: str, day: date, *, known: date | None = None) -> Any:
        asked.append(day)
        return inner(sku, day)

    held, days = [seats(("01-01", "1"))], InvoiceDays(15)
    rate_recurring(held, price_on, due=JANUARY, invoice_days=days)
    within = priced_days(held, due=JANUARY, invoice_days=days)
    assert within == DaySpan(day("01-01"), day("02-02"))
    assert asked
    assert all(on in within for on in asked)


def test_a_sku_that_is_charged_otherwise_is_refused() -> None:
    usage = sold("Usage", ("2025-01-01", per_unit("1")))
    with pytest.raises(UnableToRate, match="which is not recurring"):
        rate_recurring([TEN_SEATS], usage, due=FEBRUARY, invoice_days=InvoiceDays(1))
    with pytest.raises(UnableToRate, match="which is not sold once"):
        rate_charges([OneTimeCharge("c", "seats", day("02-03"), Decimal(1))], usage)


def test_an_amount_that_cannot_be_kept_is_refused() -> None:
    vast = monthly(per_unit("1e17"))
    with pytest.raises(UnableToRate, match="64 bits"):
        rate_recurring([TEN_SEATS], vast, due=FEBRUARY, invoice_days=InvoiceDays(1))


def test_quantities_that_do_not_begin_with_the_subscription_are_refused() -> None:
    with pytest.raises(ValueError, match="from 2026-01-01 on"):
        Subscription("seats", day("01-01"), (QuantitySince(day("01-02"), Decimal(1)),))
    with pytest.raises(ValueError, match="below nothing"):
        seats(("01-01", "-1"))


@pytest.mark.parametrize(
    ("price", "quantity", "amount"),
    [(per_unit("99.995"), "1", "100.00"), (per_unit("0.10"), "2.5", "0.25"), (flat("250"), "3", "250.00")],
)
def test_what_is_sold_once_is_charged_on_its_day(price: Price, quantity: str, amount: str) -> None:
    price_on = sold("OneTime", ("2025-01-01", price))
    charge = OneTimeCharge("setup", "seats", day("02-03"), Decimal(quantity), "Moving in")
    (line,) = rate_charges([charge], price_on).lines
    assert str(line.amount.decimal()) == amount
    assert (line.first_day, line.end_day, line.sku.display_name) == (day("02-03"), day("02-04"), "Moving in")
    assert line.own_minor == line.amount_minor


def test_a_charge_without_a_price_is_reported() -> None:
    later = sold("OneTime", ("2026-03-01", per_unit("1")))
    charge = OneTimeCharge("setup", "seats", day("02-03"), Decimal(1))
    assert rate_charges([charge], later) == DeclaredRating((), (UnpricedSku("seats", day("02-03")),))


# ------------------------------------------------------------------------------------- what was known when


def known_from(text: str, now: Subscription, before: Subscription) -> Subscription:
    return replace(now, known_from=day(text), before=before)


def test_what_was_said_after_it_was_charged_falls_due_on_the_next_day() -> None:
    """Written on 10 February, known on the 11th: the invoice that is issued then has it, however it is cut."""
    more = known_from("02-11", seats(("01-01", "10"), ("02-10", "12")), TEN_SEATS)
    change = [("02-10", "03-01", "-190.00"), ("02-10", "03-01", "228.00")]  # 19 of 28 days
    price_on = monthly(per_unit("28"))
    assert rated(more, price_on, due("02-02", "02-11")) == []
    assert rated(more, price_on, due("02-11", "02-12")) == change
    assert rated(more, price_on, due("02-02", "03-01")) == change


def test_what_ended_before_anybody_knew_is_given_back() -> None:
    ended = known_from("02-02", seats(("01-01", "10"), end="02-01"), TEN_SEATS)
    price_on = monthly(per_unit("28"))
    assert rated(ended, price_on, due("02-01", "02-02")) == [("02-01", "03-01", "280.00")]
    assert rated(ended, price_on, due("02-02", "03-02")) == [("02-01", "03-01", "-280.00")]


def test_what_falls_due_on_the_day_from_which_it_is_known_is_charged_once_as_known() -> None:
    more = known_from("03-01", seats(("01-01", "10"), ("02-28", "12")), TEN_SEATS)
    assert rated(more, monthly(per_unit("28")), FEBRUARY) == [
        ("02-28", "03-01", "-10.00"),
        ("02-28", "03-01", "12.00"),
        ("03-01", "04-01", "336.00"),
    ]
    assert rated(more, monthly(per_unit("28"), "Arrears"), FEBRUARY) == [
        ("02-01", "02-28", "270.00"),
        ("02-28", "03-01", "12.00"),
    ]


def test_a_price_is_that_of_the_book_which_was_given_as_far_as_was_known_on_the_day() -> None:
    """On the 15th nobody knew that the agreed book had ended with January: that was said on the 20th."""
    agreed, listed = (
        book(
            replace(per_unit(amount, sku="seats"), interval="Monthly"), number=number, since=date(2025, 1, 1)
        )
        for number, amount in ((1, "14"), (2, "28"))
    )
    said = (day("01-31"), None), (day("02-20"), day("02-01"))
    sources = (
        BookSource("Entitlement", "agreed", (agreed,), end_day=day("02-01"), known=said),
        BookSource("List", "list", (listed,)),
    )
    recurring = replace(sku("seats", meter=""), charge_type="Recurring")
    price_on = quotes_of(RateCard("USD", sources, {"seats": recurring}, {}))
    assert rated(seats(("02-15", "1")), price_on, FEBRUARY) == [
        ("02-15", "03-01", "7.00"),
        ("03-01", "04-01", "28.00"),
    ]


@pytest.mark.parametrize(
    ("written", "first_asked"),
    [
        (
            date(2025, 6, 15),
            date(2025, 1, 1),
        ),  # the year that began by the old invoice day ran on into this one
        (date(2025, 1, 10), date(2025, 1, 1)),  # known on the day after, when the year had begun
        (date(2025, 1, 9), date(2026, 1, 10)),
    ],
)
def test_prices_are_read_from_where_the_longest_interval_began(written: date, first_asked: date) -> None:
    since = date(2023, 1, 1)
    held = Subscription("seats", since, (QuantitySince(since, Decimal(1)),))
    days = InvoiceDays(1, ((written, 10),))
    assert priced_days([held], due=FEBRUARY, invoice_days=days) == DaySpan(first_asked, day("03-02"))
