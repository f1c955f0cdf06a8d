"""What was earned until a day and is on no invoice of that time: the contract asset of a month's end (domain.md §9)."""

from collections.abc import Iterable, Iterator
from datetime import date

from milo_billing.kernel.money import allocate
from milo_billing.kernel.periods import DaySpan, Period, interval_of, local_midnight
from milo_billing.ledger.types import REVENUE, Posting

REACH_MONTHS = 13
"""What was never invoiced is looked for so far back: an annual invoice, and the month in which it is due."""


def stretch(*, first: date, until: date, zone: str, invoice_day: int) -> tuple[Period, ...]:
    """The rating periods of `[first, until)`; the last one is cut where the month ends, as if it had ended there."""
    found: list[Period] = []
    day = first
    while day < until:
        end = min(interval_of(day, interval="Monthly", invoice_day=invoice_day).end, until)
        found.append(Period(local_midnight(day, zone=zone), local_midnight(end, zone=zone)))
        day = end
    return tuple(found)


def earned_before(lines: Iterable[Posting], *, until: date) -> Iterator[Posting]:
    """Of postings to revenue, the part that was earned before the day: by days, where a service period goes beyond it.

    What is deferred or owed as tax is not earned; a shortfall is earned on its last day.
    """
    for account, minor, service in lines:
        if not account.startswith(f"{REVENUE}:") or service is None or service[0] >= until:
            continue
        start, end = service
        if end <= until:
            yield account, minor, service
            continue
        days = DaySpan(start, end)
        before = DaySpan(start, until)
        shares = allocate(minor, [("before", before.count), ("after", days.count - before.count)])
        if shares["before"]:
            yield account, shares["before"], (start, until)
