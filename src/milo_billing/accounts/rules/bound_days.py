"""For how many days of a period an account pays for each project: what values of a whole period are prorated by."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Final

from milo_billing.accounts.types import PayerInterval
from milo_billing.kernel.periods import Period, days, local_day

_INSTANT: Final = timedelta(microseconds=1)


def bound_days(
    intervals: Iterable[PayerInterval], *, account: int, period: Period, zone: str
) -> Mapping[int, tuple[int, int]]:
    """Project → (days that are the account's, days of the period), for the projects whose payer it was at some time.

    `intervals` are those of its projects, other payers' too, by project and start; those outside of the period do not
    matter. A day belongs to the last of the payers that a project had on it: the day of a change is the new payer's
    (domain.md §5), part of a day is a day [AG-022, AG-026], and the days of all payers never add up to more than the
    period. Days are those of `zone`.
    """
    calendar = {day: place for place, day in enumerate(days(period, zone=zone))}

    def place(instant: datetime) -> int:
        return calendar[local_day(instant, zone=zone)]

    found: dict[int, tuple[int, int]] = {}
    for project, of_project in groupby(intervals, key=attrgetter("project")):
        payers = [
            each
            for each in of_project
            if each.starts_at < period.end and (each.ends_at is None or each.ends_at > period.start)
        ]
        if all(each.account != account for each in payers):
            continue
        first = [place(max(each.starts_at, period.start)) for each in payers]
        ends = [min(each.ends_at or period.end, period.end) for each in payers]
        # the day on which the next payer begins is no longer this one's
        until = [
            min(place(end - _INSTANT) + 1, following)
            for end, following in zip(ends, [*first[1:], len(calendar)], strict=True)
        ]
        own = [until[i] - first[i] for i, each in enumerate(payers) if each.account == account]
        found[project] = (sum(own), len(calendar))
    return found
