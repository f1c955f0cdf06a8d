"""What was said of a subscription and of invoice days is charged once, whenever it was said, however it is cut."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.accounts.types import InvoiceDays
from milo_billing.catalog.types import Billing
from milo_billing.entitlements.types import HeldSubscription, Revision
from milo_billing.kernel.periods import INVOICE_DAY_MAX, DaySpan, Interval, interval_of
from milo_billing.pricing.rules.quotes import quotes_of
from milo_billing.pricing.rules.recurring import priced_days, rate_recurring
from milo_billing.pricing.rules.subscriptions import subscription_of
from milo_billing.pricing.types import PriceOn, RatedLine, Subscription
from tests.unit.pricing.builders import book, card, per_unit, sku

FIRST = date(2023, 7, 1)
FOREVER = DaySpan(FIRST, FIRST + timedelta(days=1600))
LAST_END = FIRST + timedelta(days=1000)

days = st.integers(0, 700).map(lambda count: FIRST + timedelta(days=count))
intervals = st.sampled_from(["Monthly", "Quarterly", "Yearly"])
billings = st.sampled_from(["Advance", "Arrears"])
cuts = st.sets(st.integers(1, 1599), max_size=12)


@st.composite
def held(draw: st.DrawFn) -> HeldSubscription:
    """Declared early or late, changed on any days, ended at last: an end is never in the past when it is said."""
    said = sorted(draw(st.sets(days, min_size=1, max_size=5)))
    starts_on = draw(st.sampled_from([*said, FIRST]) | days)
    revisions: list[Revision] = []
    for day in said:
        end = draw(st.integers(0, 200).map(lambda count, day=day: day + timedelta(days=count)))
        ends_on = max(starts_on, draw(st.just(LAST_END) | st.just(end)))
        if revisions and revisions[-1].ends_on is not None and revisions[-1].ends_on <= day:
            ends_on = revisions[-1].ends_on  # what has ended stays ended
        revisions.append(Revision(day, draw(st.integers(1, 9)), ends_on))
    trial = draw(st.none() | st.integers(1, 60).map(lambda count: starts_on + timedelta(days=count)))
    return HeldSubscription("e", "seats", Decimal(1), "Seat", starts_on, trial, tuple(revisions))


@st.composite
def invoice_days(draw: st.DrawFn) -> InvoiceDays:
    written = sorted(draw(st.sets(days, max_size=4)))
    some = st.integers(1, INVOICE_DAY_MAX)
    return InvoiceDays(draw(some), tuple((day, draw(some)) for day in written))


def price_of(interval: Interval, billing: Billing) -> PriceOn:
    price = replace(per_unit("12.34", sku="seats"), interval=interval, billing=billing)
    return quotes_of(
        card(
            [book(price, since=date(2020, 1, 1))], [replace(sku("seats", meter=""), charge_type="Recurring")]
        )
    )


def rated(
    held: Subscription, price_on: PriceOn, due: DaySpan, calendar: InvoiceDays
) -> tuple[RatedLine, ...]:
    return rate_recurring([held], price_on, due=due, invoice_days=calendar).lines


def quantity_by_day(held: Subscription, *, interval: Interval, calendar: InvoiceDays) -> Fraction:
    """Units × part of an interval over every day, told without legs: an interval keeps the day that it began with."""
    total, day = Fraction(0), held.paid_from
    full = interval_of(day, interval=interval, invoice_day=calendar.on(day))
    while held.end is None or day < held.end:
        if day == full.end:
            full = interval_of(day, interval=interval, invoice_day=calendar.on(day))
        total += Fraction([one.quantity for one in held.quantities if one.first_day <= day][-1]) / full.count
        day += timedelta(days=1)
    return total


@given(held=held(), interval=intervals, billing=billings, calendar=invoice_days())
def test_legs_come_to_what_is_known_at_last(
    held: HeldSubscription, interval: Interval, billing: Billing, calendar: InvoiceDays
) -> None:
    subscription = subscription_of(held)
    lines = rated(subscription, price_of(interval, billing), FOREVER, calendar)
    wanted = quantity_by_day(subscription, interval=interval, calendar=calendar)
    assert sum((line.quantity for line in lines), Fraction(0)) == wanted


@given(held=held(), interval=intervals, billing=billings, calendar=invoice_days(), cuts=cuts)
def test_invoices_may_be_cut_anywhere(
    held: HeldSubscription, interval: Interval, billing: Billing, calendar: InvoiceDays, cuts: set[int]
) -> None:
    price_on, subscription = price_of(interval, billing), subscription_of(held)
    edges = [FOREVER.start, *(FOREVER.start + timedelta(days=cut) for cut in sorted(cuts)), FOREVER.end]
    pieces = [
        line
        for start, end in pairwise(edges)
        for line in rated(subscription, price_on, DaySpan(start, end), calendar)
    ]
    whole = rated(subscription, price_on, FOREVER, calendar)
    assert sorted(map(repr, pieces)) == sorted(map(repr, whole))


@given(held=held(), interval=intervals, billing=billings, calendar=invoice_days(), day=days)
def test_what_an_invoice_carries_was_known_when_it_was_issued(
    held: HeldSubscription, interval: Interval, billing: Billing, calendar: InvoiceDays, day: date
) -> None:
    """Rated again when all has been said, it is what it was when nothing later than its last day had been."""
    due = DaySpan(FOREVER.start, day + timedelta(days=1))
    then = tuple(one for one in held.revisions if one.day < day)
    known = InvoiceDays(calendar.first, tuple(one for one in calendar.changes if one[0] < day))
    price_on = price_of(interval, billing)
    before = rated(subscription_of(replace(held, revisions=then)), price_on, due, known) if then else ()
    assert rated(subscription_of(held), price_on, due, calendar) == before


@given(held=held(), interval=intervals, calendar=invoice_days(), day=days)
def test_prices_are_asked_for_on_the_days_that_are_named(
    held: HeldSubscription, interval: Interval, calendar: InvoiceDays, day: date
) -> None:
    asked: list[date] = []
    inner, subscription, due = (
        price_of(interval, "Advance"),
        subscription_of(held),
        DaySpan(day, day + timedelta(31)),
    )

    def price_on(sku: str, day: date, *, known: date | None = None):
        asked.append(day)
        return inner(sku, day, known=known)

    rated(subscription, price_on, due, calendar)
    named = priced_days([subscription], due=due, invoice_days=calendar)
    assert all(one in named for one in asked)
