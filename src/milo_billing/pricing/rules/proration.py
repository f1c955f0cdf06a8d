"""How much of a recurring price is owed for some of its days, and which days are charged together (domain.md §5).

A part is actual days over the days of the full interval [PR-001..031]: no months of 30 days, and no seconds. Spans are
half-open, so the day of a change belongs to the new terms, and the day of an end is not charged. Every leg is settled
on its own before legs are netted [PR-022, PR-027].
"""

from datetime import date, timedelta
from fractions import Fraction

from milo_billing.kernel.money import Currency, Exact, settle
from milo_billing.kernel.periods import DaySpan, Interval, interval_of

_DAY = timedelta(days=1)


def part_of(days: DaySpan, full: DaySpan) -> Fraction:
    """How much of the full interval some of its days are: above 0, at most 1. Raises ValueError for other days."""
    if not (full.start <= days.start and days.end <= full.end):
        raise ValueError(f"{days} does not lie within {full}")
    return Fraction(days.count, full.count)


def prorate(amount: Exact, part: Fraction, *, currency: Currency) -> int:
    """A part of an interval's amount, settled to minor units; the whole amount for the whole interval."""
    return settle(Fraction(amount) * part, currency).minor


def change_legs(old: Exact, new: Exact, part: Fraction, *, currency: Currency) -> tuple[int, int]:
    """What a change of terms gives back and what it charges for the rest of an interval, in minor units, each settled.

    `old` and `new` are amounts of the whole interval, in the currency's main unit, and `part` is what is left of it,
    the day of the change included. The first answer is not positive; their sum is what is owed.
    """
    return prorate(-Fraction(old), part, currency=currency), prorate(new, part, currency=currency)


def advance_span(day: date, *, interval: Interval, invoice_day: int) -> DaySpan:
    """What is charged in advance on this day: up to the interval's end, a stub where it began before [PR-057..063]."""
    return DaySpan(day, interval_of(day, interval=interval, invoice_day=invoice_day).end)


def arrears_span(end: date, *, since: date, interval: Interval, invoice_day: int) -> DaySpan:
    """What is charged in arrears on this day, the first one after it: not before `since`, the service's start [PR-064].

    Raises ValueError where the service began on the day or later: nothing is owed then.
    """
    full = interval_of(end - _DAY, interval=interval, invoice_day=invoice_day)
    return DaySpan(max(since, full.start), end)
