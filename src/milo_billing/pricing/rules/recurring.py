"""Rate what recurs: which days of a subscription are charged on which day, and what each leg of them costs.

Intervals follow the account's invoice day (`interval_of`); where a subscription begins within one, a stub comes first.
The price of the day on which an interval (or its stub) begins holds until it ends.

In advance, an interval is charged on its first day at the quantity of that day; a change within it, on its own day,
gives back the rest of the interval at the old quantity and charges it at the new one; an end gives back the rest. In
arrears, each quantity is charged for its days, on the day after the interval or after the subscription's end. What is
charged on which day follows from the subscription alone, so that due days can be cut into invoices anywhere, and each
leg is charged exactly once.
"""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

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


def due_days(rating_period: DaySpan, *, first: bool = False) -> DaySpan:
    """The days on which falls due what the invoice carries that closes this rating period.

    After its first day up to the day after its last: what the period leaves to pay in arrears, and what the next one
    costs in advance. An account's `first` invoice also carries what fell due on its first day.
    """
    start = rating_period.start if first else rating_period.start + _DAY
    return DaySpan(start, rating_period.end + _DAY)


def priced_days(due: DaySpan, *, invoice_day: int) -> DaySpan:
    """The days on which prices are asked for, to rate what falls due: a rate card has to be read for all of them."""
    return DaySpan(_year_of(due, invoice_day=invoice_day).start, due.end)


def rate_recurring(
    subscriptions: Iterable[Subscription], price_on: PriceOn, *, due: DaySpan, invoice_day: int
) -> DeclaredRating:
    """Every leg that falls due on these days, settled on its own, in the currency of its book.

    A line has the days it is for, which may lie after `due`, and the part of the interval in its quantity: units × days
    ÷ days of the full interval. What is given back is below zero. Its amount is the account's own, of no project.
    Raises UnableToRate where an amount does not fit in 64 bits, and where a Sku is not recurring.
    """
    lines: list[RatedLine] = []
    unpriced: list[UnpricedSku] = []
    for subscription in subscriptions:
        for charged in _spans(subscription, price_on, due=due, invoice_day=invoice_day):
            if charged.quote is None:
                if charged.days.start in due and _units_on(subscription, charged.days.start):
                    unpriced.append(UnpricedSku(subscription.sku, charged.days.start))
                continue
            legs = _legs(subscription, charged.quote, charged.days)
            lines += [
                _line(leg, charged.quote, full=charged.full) for leg in legs if leg.due in due and leg.units
            ]
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


def _spans(
    subscription: Subscription, price_on: PriceOn, *, due: DaySpan, invoice_day: int
) -> Iterator[_Charged]:
    """The subscription's days, interval by interval; those that something could fall due of.

    All intervals of an account begin anew with its year, so that this is where to begin, however old it is.
    """
    cursor = max(subscription.paid_from, _year_of(due, invoice_day=invoice_day).start)
    while cursor < due.end and (subscription.end is None or cursor < subscription.end):
        quote = price_on(subscription.sku, cursor)
        interval: Interval = "Monthly"
        if quote is not None:
            if quote.sku.charge_type != "Recurring":
                raise UnableToRate(
                    f"{subscription.by or 'a subscription'} has Sku {subscription.sku}, which is not recurring"
                )
            interval = quote.price.interval or DEFAULT_INTERVAL
        days = advance_span(cursor, interval=interval, invoice_day=invoice_day)
        yield _Charged(days, interval_of(cursor, interval=interval, invoice_day=invoice_day), quote)
        cursor = days.end


def _year_of(due: DaySpan, *, invoice_day: int) -> DaySpan:
    return interval_of(due.start - _DAY, interval="Yearly", invoice_day=invoice_day)


def _legs(subscription: Subscription, quote: Quote, days: DaySpan) -> Iterator[_Leg]:
    pieces = _pieces(subscription, days, flat=quote.price.model == "Flat")
    end = pieces[-1][0].end
    if (quote.price.billing or DEFAULT_BILLING) == "Arrears":
        for piece, units in pieces:
            yield _Leg(piece, units, due=end)
        return
    standing = pieces[0][1]
    yield _Leg(days, standing, due=days.start)
    changes = [(piece.start, units) for piece, units in pieces[1:]]
    if end < days.end:
        changes.append((end, Decimal(0)))
    for day, units in changes:
        rest = DaySpan(day, days.end)
        yield _Leg(rest, -standing, due=day)
        yield _Leg(rest, units, due=day)
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


def _line(leg: _Leg, quote: Quote, *, full: DaySpan) -> RatedLine:
    part, price = part_of(leg.days, full), quote.price
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
