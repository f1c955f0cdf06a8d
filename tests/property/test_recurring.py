"""What recurs loses nothing, however its days are cut (domain.md §5, issue 5)."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.accounts.types import InvoiceDays
from milo_billing.catalog.types import Billing
from milo_billing.kernel.money import settle
from milo_billing.kernel.periods import INTERVAL_MONTHS, INVOICE_DAY_MAX, DaySpan, Interval, interval_of
from milo_billing.pricing.rules.proration import change_legs, part_of, prorate
from milo_billing.pricing.rules.quotes import quotes_of
from milo_billing.pricing.rules.recurring import rate_recurring
from milo_billing.pricing.types import PriceOn, QuantitySince, RatedLine, Subscription
from tests.unit.pricing.builders import book, card, per_unit, sku

FIRST = date(2023, 7, 1)
FOREVER = DaySpan(FIRST, FIRST + timedelta(days=1200))

days = st.integers(0, 900).map(lambda count: FIRST + timedelta(days=count))
amounts = st.decimals(0, 10_000, places=4)
intervals = st.sampled_from(sorted(INTERVAL_MONTHS))
billings = st.sampled_from(["Advance", "Arrears"])
invoice_days = st.integers(1, INVOICE_DAY_MAX)


@st.composite
def subscriptions(draw: st.DrawFn) -> Subscription:
    since = sorted(draw(st.sets(days, min_size=1, max_size=6)))
    quantities = tuple(QuantitySince(day, Decimal(draw(st.integers(0, 50)))) for day in since)
    end = draw(st.none() | days)
    trial = draw(st.none() | st.integers(0, 60).map(lambda count: since[0] + timedelta(days=count)))
    return Subscription("seats", since[0], quantities, end, trial)


def price_of(amount: Decimal, interval: Interval, billing: Billing) -> PriceOn:
    price = replace(per_unit(str(amount), sku="seats"), interval=interval, billing=billing)
    seats = replace(sku("seats", meter=""), charge_type="Recurring")
    return quotes_of(card([book(price, since=date(2020, 1, 1))], [seats]))


def parts_by_day(
    subscription: Subscription, *, until: date, interval: Interval, invoice_day: int
) -> Fraction:
    """Units × part of an interval, day by day: what the legs have to come to, told without legs."""
    total, day = Fraction(0), subscription.paid_from
    while day < until and (subscription.end is None or day < subscription.end):
        units = [one.quantity for one in subscription.quantities if one.first_day <= day][-1]
        total += Fraction(units) / interval_of(day, interval=interval, invoice_day=invoice_day).count
        day += timedelta(days=1)
    return total


@given(held=subscriptions(), amount=amounts, interval=intervals, billing=billings, invoice_day=invoice_days)
def test_legs_come_to_every_day_once(
    held: Subscription, amount: Decimal, interval: Interval, billing: Billing, invoice_day: int
) -> None:
    ended = replace(held, end=held.end or FIRST + timedelta(days=1000))
    lines = rate_recurring(
        [ended], price_of(amount, interval, billing), due=FOREVER, invoice_days=InvoiceDays(invoice_day)
    ).lines
    wanted = parts_by_day(ended, until=FOREVER.end, interval=interval, invoice_day=invoice_day)
    assert sum((line.quantity for line in lines), Fraction(0)) == wanted
    for line in lines:
        assert line.amount_minor == settle(Fraction(amount) * line.quantity, "USD").minor
        assert line.amount_minor == line.own_minor == sum(part.amount_minor for part in line.parts)


@given(
    held=subscriptions(),
    interval=intervals,
    billing=billings,
    invoice_day=invoice_days,
    cuts=st.sets(st.integers(1, 1199), max_size=8),
)
def test_due_days_can_be_cut_into_invoices_anywhere(
    held: Subscription, interval: Interval, billing: Billing, invoice_day: int, cuts: set[int]
) -> None:
    price_on = price_of(Decimal("12.34"), interval, billing)
    edges = [FOREVER.start, *(FOREVER.start + timedelta(days=cut) for cut in sorted(cuts)), FOREVER.end]
    pieces: list[RatedLine] = []
    for start, end in pairwise(edges):
        rating = rate_recurring(
            [held], price_on, due=DaySpan(start, end), invoice_days=InvoiceDays(invoice_day)
        )
        pieces += rating.lines
    whole = rate_recurring([held], price_on, due=FOREVER, invoice_days=InvoiceDays(invoice_day)).lines
    assert sorted(map(repr, pieces)) == sorted(map(repr, whole))


@given(day=days, amount=amounts, interval=intervals, invoice_day=invoice_days, cut=st.integers(1, 400))
def test_parts_of_an_interval_are_the_whole(
    day: date, amount: Decimal, interval: Interval, invoice_day: int, cut: int
) -> None:
    full = interval_of(day, interval=interval, invoice_day=invoice_day)
    assert prorate(amount, part_of(full, full), currency="USD") == settle(amount, "USD").minor
    middle = full.start + timedelta(days=cut % full.count)
    if middle > full.start:
        first, second = DaySpan(full.start, middle), DaySpan(middle, full.end)
        assert part_of(first, full) + part_of(second, full) == 1


@given(old=amounts, new=amounts, used=st.integers(0, 364))
def test_a_change_gives_back_and_charges_what_is_settled_alone(old: Decimal, new: Decimal, used: int) -> None:
    part = Fraction(365 - used, 365)
    credit, charge = change_legs(old, new, part, currency="USD")
    assert credit == -prorate(old, part, currency="USD") <= 0
    assert charge == prorate(new, part, currency="USD") >= 0
