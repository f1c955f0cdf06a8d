"""Rate what recurs: which days of a subscription are charged on which day, and what each leg of them costs.

Intervals follow the account's invoice day (`interval_of`); where a subscription begins within one, a stub comes first.
The price of the day on which an interval (or its stub) begins holds until it ends.

In advance, an interval is charged on its first day at the quantity of that day; a change within it, on its own day,
gives back the rest of the interval at the old quantity and charges it at the new one; an end gives back the rest. In
arrears, each quantity is charged for its days, on the day after the interval or after the subscription's end. What is
charged on which day follows from the subscription alone, so that due days can be cut into invoices anywhere, and each
leg is charged exactly once.

What is said of a subscription is known from the next day on. On that day falls due what its legs up to then come to
more than those that had been known: legs that nobody knew of are charged, legs that are none any more given back. So an
invoice never needs what was said after the midnight from which it can be issued, and rating it again gives it again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from milo_billing.accounts.types import InvoiceDays
from milo_billing.catalog.types import DEFAULT_BILLING, DEFAULT_INTERVAL
from milo_billing.kernel.periods import DaySpan, Interval, interval_of
from milo_billing.pricing.rules.proration import advance_span, part_of, prorate
from milo_billing.pricing.types import (
    DeclaredRating,
    PriceOn,
    Quote,
    RatedLine,
    SubLine,
    Subscription,
    UnableToRate,
    UnpricedSku,
)

_DAY = timedelta(days=1)


def due_days(rating_period: DaySpan) -> DaySpan:
    """The days on which falls due what the invoice carries that closes this rating period.

    After its first day up to the day after its last: what the period leaves to pay in arrears, and what the next one
    costs in advance. The first invoice of an account needs no rule of its own: nothing is known of an account on the
    first day of the period in which it was made, so that nothing falls due on it.
    """
    return DaySpan(rating_period.start + _DAY, rating_period.end + _DAY)


def priced_days(subscriptions: Iterable[Subscription], *, due: DaySpan, invoice_days: InvoiceDays) -> DaySpan:
    """The days on which prices are asked for, to rate what falls due: a rate card has to be read for all of them."""
    starts = [_first_asked(one, due=due, invoice_days=invoice_days) for one in subscriptions]
    return DaySpan(min([due.start, *starts]), due.end)


def rate_recurring(
    subscriptions: Iterable[Subscription], price_on: PriceOn, *, due: DaySpan, invoice_days: InvoiceDays
) -> DeclaredRating:
    """Every leg that falls due on these days, settled on its own, in the currency of its book.

    A line has the days it is for, which may lie after `due`, and the part of the interval in its quantity: units × days
    ÷ days of the full interval. What is given back is below zero. Its amount is the account's own, of no project.
    Raises UnableToRate where an amount does not fit in 64 bits, and where a Sku is not recurring.
    """
    lines: list[RatedLine] = []
    unpriced: set[UnpricedSku] = set()
    for subscription in subscriptions:
        for leg in _due_legs(subscription, price_on, due=due, invoice_days=invoice_days):
            if leg.quote is not None:
                lines.append(_line(leg, leg.quote))
            elif leg.units > 0:
                unpriced.add(UnpricedSku(subscription.sku, leg.days.start))
    lines.sort(key=lambda line: (line.sku.name, line.first_day))
    return DeclaredRating(tuple(lines), tuple(sorted(unpriced)))


class _Charged(NamedTuple):
    """Days that are charged at one price, and the full interval that they are of."""

    days: DaySpan
    full: DaySpan
    quote: Quote | None


class _Leg(NamedTuple):
    """Units over some days, below zero where they are given back, and the day on which that falls due."""

    days: DaySpan
    units: Decimal
    due: date
    full: DaySpan
    quote: Quote | None


def _due_legs(
    subscription: Subscription, price_on: PriceOn, *, due: DaySpan, invoice_days: InvoiceDays
) -> Iterator[_Leg]:
    """What falls due on these days, by what was known on each of them."""
    states = subscription.states
    since = _first_asked(subscription, due=due, invoice_days=invoice_days)
    before: list[_Leg] = []
    for state, until in zip(states, [*(one.known_from for one in states[1:]), due.end], strict=True):
        if until < due.start:
            continue
        if state.known_from >= due.end:
            return
        known = [
            leg
            for charged in _spans(
                state,
                price_on,
                start=since,
                end=min(until, due.end),
                known=states[0].known_from,
                invoice_days=invoice_days,
            )
            for leg in _legs(state, charged)
            if leg.units and leg.due < until
        ]
        if state.known_from in due:
            yield from _differences(before, known, on=state.known_from)
        yield from (leg for leg in known if leg.due >= state.known_from and leg.due in due)
        before = known


def _differences(before: Sequence[_Leg], known: Sequence[_Leg], *, on: date) -> Iterator[_Leg]:
    """What comes back and what is charged on the day from which something else is known.

    No two legs of a subscription are of the same days and units; what falls due keeps the day on which it would have.
    """
    passed = {(leg.days, leg.units): leg for leg in known if leg.due < on}
    charged = {(leg.days, leg.units): leg for leg in before}
    yield from (leg._replace(units=-leg.units) for key, leg in charged.items() if key not in passed)
    yield from (leg for key, leg in passed.items() if key not in charged)


def _first_asked(subscription: Subscription, *, due: DaySpan, invoice_days: InvoiceDays) -> date:
    """The first day of the subscription whose interval something could fall due of.

    What is known of it for the first time on one of these days falls due from its beginning.
    """
    if subscription.states[0].known_from in due:
        return subscription.paid_from
    return max(subscription.paid_from, _fresh_start(due.start - _DAY, invoice_days=invoice_days))


def _fresh_start(day: date, *, invoice_days: InvoiceDays) -> date:
    """A day on which intervals of every length begin anew, this one or one before it.

    That is where a year of the account begins, unless its invoice day changed in the year before: then an interval
    that began by another one may run on.
    """
    while True:
        invoice_day = invoice_days.on(day)
        year = interval_of(day, interval="Yearly", invoice_day=invoice_day)
        last_year = interval_of(year.start - _DAY, interval="Yearly", invoice_day=invoice_day)
        changed = invoice_days.holds_since(day)
        if changed is None or changed < last_year.start:
            return year.start
        day = min(changed, last_year.start)


def _spans(
    subscription: Subscription,
    price_on: PriceOn,
    *,
    start: date,
    end: date,
    known: date,
    invoice_days: InvoiceDays,
) -> Iterator[_Charged]:
    """The subscription's days from `start` on, interval by interval, as long as they begin before `end`."""
    cursor = start
    while cursor < end and (subscription.end is None or cursor < subscription.end):
        quote = _with_terms(price_on(subscription.sku, cursor, known=max(cursor, known)))
        if quote is not None and quote.sku.charge_type != "Recurring":
            raise UnableToRate(
                f"{subscription.by or 'a subscription'} has Sku {subscription.sku}, which is not recurring"
            )
        interval: Interval = "Monthly" if quote is None else quote.price.interval or DEFAULT_INTERVAL
        invoice_day = invoice_days.on(cursor)
        days = advance_span(cursor, interval=interval, invoice_day=invoice_day)
        yield _Charged(days, interval_of(cursor, interval=interval, invoice_day=invoice_day), quote)
        cursor = days.end


def _with_terms(quote: Quote | None) -> Quote | None:
    """The quote with what a price means that leaves its interval or billing out: whoever posts the line asks for it."""
    if quote is None:
        return None
    interval, billing = quote.price.interval or DEFAULT_INTERVAL, quote.price.billing or DEFAULT_BILLING
    return replace(quote, price=replace(quote.price, interval=interval, billing=billing))


def _legs(subscription: Subscription, charged: _Charged) -> Iterator[_Leg]:
    days, full, quote = charged
    if quote is None:
        yield _Leg(days, _units_on(subscription, days.start), days.start, full, quote)
        return
    pieces = _pieces(subscription, days, flat=quote.price.model == "Flat")
    end = pieces[-1][0].end
    if quote.price.billing == "Arrears":
        for piece, units in pieces:
            yield _Leg(piece, units, end, full, quote)
        return
    standing = pieces[0][1]
    yield _Leg(days, standing, days.start, full, quote)
    changes = [(piece.start, units) for piece, units in pieces[1:]]
    if end < days.end:
        changes.append((end, Decimal(0)))
    for day, units in changes:
        rest = DaySpan(day, days.end)
        yield _Leg(rest, -standing, day, full, quote)
        yield _Leg(rest, units, day, full, quote)
        standing = units


def _pieces(subscription: Subscription, days: DaySpan, *, flat: bool) -> list[tuple[DaySpan, Decimal]]:
    """The days that the subscription has of these, by the units charged on them: of a flat price, one."""
    end = days.end if subscription.end is None else min(days.end, subscription.end)
    edges = [
        days.start,
        *(one.first_day for one in subscription.quantities if days.start < one.first_day < end),
    ]
    pieces: list[tuple[DaySpan, Decimal]] = []
    for first_day, after in zip(edges, [*edges[1:], end], strict=True):
        units = _units_on(subscription, first_day)
        if flat:
            units = Decimal(1) if units else Decimal(0)
        start = first_day
        if pieces and pieces[-1][1] == units:
            start = pieces.pop()[0].start
        pieces.append((DaySpan(start, after), units))
    return pieces


def _units_on(subscription: Subscription, day: date) -> Decimal:
    return [one.quantity for one in subscription.quantities if one.first_day <= day][-1]


def _line(leg: _Leg, quote: Quote) -> RatedLine:
    part, price = part_of(leg.days, leg.full), quote.price
    if price.unit_price is None:
        raise ValueError(f"the price of {price.sku} is {price.model} without unitPrice")
    try:
        amount_minor = prorate(
            Fraction(price.unit_price) * Fraction(leg.units), part, currency=quote.currency
        )
    except OverflowError as error:
        raise UnableToRate(
            f"the amount for {price.sku} does not fit in 64 bits: check the price and the quantity"
        ) from error
    quantity = Fraction(leg.units) * part
    kind = "FlatFee" if price.model == "Flat" else "Usage"
    return RatedLine(
        sku=quote.sku,
        price=price,
        book=quote.book,
        currency=quote.currency,
        first_day=leg.days.start,
        end_day=leg.days.end,
        metered=0,
        events=0,
        quantity=quantity,
        included=Fraction(0),
        parts=(SubLine(kind, amount_minor, quantity, price.unit_price),),
        amount_minor=amount_minor,
        shares=(),
        own_minor=amount_minor,
    )
