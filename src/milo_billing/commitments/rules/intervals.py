"""The calendar of a commitment: its terms, and the intervals of a minimum spend (domain.md §6).

Intervals are one, three or twelve rating periods of the account, counted from the rating period in which the term
begins; what lies outside the term is cut off, and the minimum prorated by days.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

from milo_billing.commitments.types import Interval, PartOfSpan, Promise
from milo_billing.kernel.money import Currency, settle
from milo_billing.kernel.periods import DaySpan, add_months, next_month

_RATING_PERIODS: Final[dict[Interval, int]] = {"Monthly": 1, "Quarterly": 3, "Yearly": 12}


def rating_period_of(day: date, *, invoice_day: int) -> DaySpan:
    """The rating period that holds the day; `invoice_day` is within 1..28."""
    start = day.replace(day=invoice_day)
    if day < start:
        start = add_months(start, -1)
    return DaySpan(start, next_month(start))


def terms(promise: Promise, *, until: date) -> Iterator[PartOfSpan]:
    """The terms that begin before `until`, one after the other; the last may end before it would in full."""
    number = 0
    while True:
        start = add_months(promise.starts_on, number * promise.term_months)
        if start >= until or (promise.ends_on is not None and start >= promise.ends_on):
            return
        number += 1
        full = DaySpan(start, add_months(promise.starts_on, number * promise.term_months))
        cut = full if promise.ends_on is None else DaySpan(start, min(full.end, promise.ends_on))
        yield PartOfSpan(cut, full)


def intervals(term: PartOfSpan, interval: Interval, *, invoice_day: int) -> tuple[PartOfSpan, ...]:
    """The intervals of a term, which they tile."""
    if interval == "Term":
        return (term,)
    found: list[PartOfSpan] = []
    start = rating_period_of(term.days.start, invoice_day=invoice_day).start
    while start < term.days.end:
        full = DaySpan(start, add_months(start, _RATING_PERIODS[interval]))
        days = full.cut(term.days)
        assert days is not None, (
            "it begins before the term ends, and the first one holds the term's first day"
        )
        found.append(PartOfSpan(days, full))
        start = full.end
    return tuple(found)


def prorated_minor(amount: Decimal, part: PartOfSpan, *, currency: Currency) -> int:
    """The amount for the days of the part, in minor units, settled before anything is taken from it [CM-020..024]."""
    return settle(Fraction(amount) * part.days.count / part.full.count, currency).minor


def rating_spans(days: DaySpan, *, invoice_day: int) -> Iterator[DaySpan]:
    """The rating periods that share a day with these, in order."""
    span = rating_period_of(days.start, invoice_day=invoice_day)
    while span.start < days.end:
        yield span
        span = DaySpan(span.end, next_month(span.end))
