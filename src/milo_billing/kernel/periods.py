"""Half-open stretches of time, and the calendar of one time zone (domain.md §1).

Owns: `Period`, local midnights, billing days and billing months, spans of days, terms counted in months. Not: the clock
(`now` is always passed in), due dates.

An instant is an aware `datetime` in UTC. A *local day* starts at the first instant whose wall clock in the
zone shows that date or a later one, so days and months tile the time line in every zone of the IANA database:
a day of 23 or 25 hours, a midnight that the clock skips or shows twice, and a date that a zone never had
(Apia, 30 December 2011) leave no gap and no overlap.
"""

import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

INVOICE_DAY_MAX: Final = 28
"""The last invoice day that every month has."""

Interval: TypeAlias = Literal["Monthly", "Quarterly", "Yearly"]
"""How long what recurs is charged for at a time."""

INTERVAL_MONTHS: Final[Mapping[Interval, int]] = {"Monthly": 1, "Quarterly": 3, "Yearly": 12}
"""Rating periods in an interval."""

_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


class UnknownTimeZone(ValueError):
    """The name is not a zone of the IANA time zone database."""


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """`[start, end)`: the start belongs to it, the end to its neighbour. Both are aware instants in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for instant in (self.start, self.end):
            if instant.utcoffset() is None:
                raise ValueError(f"a period needs instants with a time zone, not {instant.isoformat()}")
            if instant.utcoffset() != timedelta(0):
                raise ValueError(f"a period is kept in UTC: convert {instant.isoformat()} first")
        if self.start >= self.end:
            raise ValueError(f"a period ends after it starts, unlike {self}")

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def __str__(self) -> str:
        return f"[{self.start.isoformat()}, {self.end.isoformat()})"

    @property
    def duration(self) -> timedelta:
        """How long it is; one local day is 23, 24 or 25 hours."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, order=True)
class DaySpan:
    """The days `[start, end)`, at least one: billing days of an account, whatever its zone."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(f"a span of days ends after it starts, unlike {self}")

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    def __str__(self) -> str:
        return f"[{self.start}, {self.end})"

    @property
    def count(self) -> int:
        """How many days it has."""
        return (self.end - self.start).days

    def holds(self, other: "DaySpan") -> bool:
        """Whether every day of the other one is in it."""
        return self.start <= other.start and other.end <= self.end

    def cut(self, other: "DaySpan") -> "DaySpan | None":
        """The days that both have."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return DaySpan(start, end) if start < end else None


@lru_cache(maxsize=1024)
def time_zone(name: str) -> ZoneInfo:
    """The IANA zone of that name. Raises UnknownTimeZone, also for names that are no valid key (`../etc`)."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UnknownTimeZone(f"unknown time zone {name!r}: use an IANA name like Europe/Berlin") from error


@lru_cache(maxsize=65_536)
def local_midnight(day: date, *, zone: str) -> datetime:
    """The instant, in UTC, at which `day` begins in `zone`: the first whose local date is `day` or later.

    Where the clock shows midnight twice the first counts; where it jumps over midnight, the jump itself.
    """
    here = time_zone(zone)
    wall = datetime(day.year, day.month, day.day, tzinfo=here)
    instant = wall.astimezone(UTC)
    if instant.astimezone(here).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return instant
    return _jump_over(wall)


def _jump_over(wall: datetime) -> datetime:
    """The instant of the clock change that skips `wall` (PEP 495: fold picks the offset's side)."""
    after = wall.replace(fold=0).astimezone(UTC)  # reckoned with the offset that held before the change
    before = wall.replace(fold=1).astimezone(UTC)
    old_offset = before.astimezone(wall.tzinfo).utcoffset()
    low, high = 0, int((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if (before + timedelta(seconds=middle)).astimezone(wall.tzinfo).utcoffset() == old_offset:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def local_day(instant: datetime, *, zone: str) -> date:
    """The billing day that holds `instant`: the one whose local midnights enclose it.

    It never goes back as time passes, also where a clock change puts the wall clock back over a midnight.
    """
    day = instant.astimezone(time_zone(zone)).date()
    while instant >= local_midnight(day + _DAY, zone=zone):
        day += _DAY
    return day


def billing_day(day: date, *, zone: str) -> Period:
    """The local day as a period. Raises ValueError for a date that the zone never had."""
    return Period(local_midnight(day, zone=zone), local_midnight(day + _DAY, zone=zone))


def billing_month(year: int, month: int, *, zone: str, invoice_day: int = 1) -> Period:
    """The rating period that starts on `invoice_day` (1..28) of the month, local midnight to midnight."""
    _check_invoice_day(invoice_day)
    start = date(year, month, invoice_day)
    return Period(local_midnight(start, zone=zone), local_midnight(next_month(start), zone=zone))


def next_month(day: date) -> date:
    """The same day of the following month, which has it: days go up to INVOICE_DAY_MAX."""
    return date(day.year + day.month // 12, day.month % 12 + 1, day.day)


def add_months(day: date, months: int) -> date:
    """The same day so many months later, or earlier where negative, clamped to the month's end [PR-040..054].

    Counted from the anchor each time it keeps the anchor's day: 31 January → 29 February → 31 March.
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def term_of(day: date, *, anchor: date, months: int) -> DaySpan:
    """The term of so many months that holds the day; terms follow one another, before the anchor too [PR-041..044]."""
    if months < 1:
        raise ValueError(f"a term has at least one month, not {months}")
    number = ((day.year - anchor.year) * 12 + day.month - anchor.month) // months
    if add_months(anchor, number * months) > day:
        number -= 1
    return DaySpan(add_months(anchor, number * months), add_months(anchor, (number + 1) * months))


def interval_of(day: date, *, interval: Interval, invoice_day: int) -> DaySpan:
    """The interval of an account that holds the day: one, three or twelve of its rating periods [PR-050, PR-055..063].

    Years begin on the invoice day of January, quarters on that of January, April, July and October, so that everything
    an account pays for by the quarter is charged on one day, that of its quarterly invoices.
    """
    _check_invoice_day(invoice_day)
    return term_of(day, anchor=date(day.year, 1, invoice_day), months=INTERVAL_MONTHS[interval])


def _check_invoice_day(invoice_day: int) -> None:
    if not 1 <= invoice_day <= INVOICE_DAY_MAX:
        raise ValueError(f"invoice day {invoice_day} is not within 1..{INVOICE_DAY_MAX}")


def days(period: Period, *, zone: str) -> tuple[date, ...]:
    """The billing days of `zone` that share an instant with the period, in order, each once."""
    last = local_day(period.end - _INSTANT, zone=zone)
    day = local_day(period.start, zone=zone)
    found = [day]
    while day < last:
        day += _DAY
        skipped = local_midnight(day, zone=zone) == local_midnight(day + _DAY, zone=zone)
        if not skipped:
            found.append(day)
    return tuple(found)


def parse_month(text: str) -> tuple[int, int]:
    """`2026-10` as (2026, 10). Raises ValueError for anything else; years 1000 to 9998."""
    match = _MONTH.fullmatch(text)
    if match is None or not 1000 <= int(match[1]) <= 9998:
        raise ValueError(f"{text!r} is not a month: write it as YYYY-MM, for example 2026-10")
    return int(match[1]), int(match[2])
