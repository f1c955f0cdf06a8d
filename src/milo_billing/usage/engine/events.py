"""Raw events, for disputes: found by id, account, meter and resource, a page at a time, at a bounded cost.

From the database and, of days whose partition has gone, from the archive; all under the reach of the transaction. Owns:
what a page looks through. Not: how a file is looked through (event_files), how an event came to be.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.catalog import reads as catalog
from milo_billing.directory import reads as directory
from milo_billing.infra.database import Tx
from milo_billing.usage import reads
from milo_billing.usage.engine import sealing
from milo_billing.usage.engine.archive import Archive
from milo_billing.usage.engine.event_files import Scan
from milo_billing.usage.rules import id_day
from milo_billing.usage.types import (
    FUTURE_S_MAX,
    RETENTION_DAYS,
    Archived,
    ArchiveDamaged,
    EventFilter,
    EventPage,
    UnreadDays,
    UsageEvent,
)

SLICE_MS: Final = 3_600_000
"""Events of days without an index are looked through an hour of id time at a time."""

SLICES_MAX: Final = 12
"""Hours that one page looks through at most; the next page goes on behind them."""

FILES_MAX: Final = 31
ROW_GROUPS_MAX: Final = 64
"""Archived days that one page looks into at most, and their row groups; what a single file has is read in any case."""

EXPIRED: Final = "deleted after the years that the archive is kept"

_LAST_ID: Final = UUID(int=2**128 - 1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR: Final = timedelta(hours=1)
_ID_DAYS_BEFORE: Final = RETENTION_DAYS + 2
"""An id is so many days older than the billing day of its event at most: a day for zones, one for what is ahead."""

_EVENT: LiteralString = (
    "select e.id, e.event_at, e.received_at, null::timestamptz, e.account, e.project, e.meter, e.day, e.value, "
    "coalesce(d.dimensions, '{}'), s.resource::jsonb from usage.events e "
    "left join usage.dimension_sets d on d.hash = e.dimensions "
    "left join usage.resources s on s.hash = e.resource and e.resource <> 0 "
    "left join usage.replayed r on r.id = e.id left join usage.voids v on v.id = e.id"
)
"""Of the last two nothing is shown, so that they cost something only where a condition names them."""

_COUNTED: LiteralString = (
    "select e.id from unnest(%(ids)b::uuid[], %(received)b::timestamptz[]) as e (id, received_at) "
    "left join usage.replayed r on r.id = e.id left join usage.voids v on v.id = e.id "
    "where (%(until)s::timestamptz is null or (coalesce(r.replayed_at, e.received_at) <= %(until)s "
    "and coalesce(v.voided_at > %(until)s, true))) "
    "and (%(after)s::timestamptz is null or coalesce(r.replayed_at, e.received_at) > %(after)s)"
)
_CONDITIONS: Final[Mapping[str, LiteralString]] = {
    "accounts": "e.account = any (%(accounts)s::int[])",
    "projects": "e.project = any (%(projects)s::int[])",
    "meters": "e.meter = any (%(meters)s::int[])",
    "first": "e.day >= %(first)s",
    "end": "e.day < %(end)s",
    "match": "not exists (select from jsonb_each(%(match)s) m "
    "where not coalesce(m.value ? (d.dimensions ->> m.key), false))",
    "resource": "s.resource::jsonb @> %(resource)s",
    "counted_until": "coalesce(r.replayed_at, e.received_at) <= %(counted_until)s "
    "and coalesce(v.voided_at > %(counted_until)s, true)",
    "counted_after": "coalesce(r.replayed_at, e.received_at) > %(counted_after)s",
}


def find_event(tx: Tx, *, id: UUID, archive: Archive) -> UsageEvent | None:
    """The event of that id, wherever it lies. Raises ArchiveDamaged where it would lie in a file that has gone."""
    sealing.hold_retention(tx)
    _prefer_indexes(tx)
    row = tx.execute(f"{_EVENT} where e.id = %s", (id,)).fetchone()
    if row is not None:
        return _completed(tx, (UsageEvent(*row),))[0]
    archived = sealing.find_archived(tx, day=id_day(id))
    if archived is None:
        return None
    scan = Scan(
        wanted=EventFilter(),
        accounts=_within_reach(tx, None),
        after=UUID(int=max(id.int - 1, 0)),
        below=UUID(int=min(id.int + 1, _LAST_ID.int)),
        limit=1,
    )
    found, _ = archive.read_events(archived, scan)
    return _completed(tx, found)[0] if found else None


def list_events(
    tx: Tx, *, wanted: EventFilter, after: UUID | None, limit: int, archive: Archive, now: datetime
) -> EventPage:
    """Events that match, by id, those behind `after`, at most `limit`, from the database and from the archive.

    What a page costs is bounded: of days with an index it reads what the account has of the meter, of the others
    SLICES_MAX hours at most, and of the archive one file, or more of them up to FILES_MAX and ROW_GROUPS_MAX. So it
    may be short, or empty, though more follow. A file that cannot be read is passed over, and the page says so. `now`
    is the present, behind which lies nothing but ids of clocks that are fast.
    """
    sealing.hold_retention(
        tx
    )  # first: who archives holds it, and waits for everybody who has looked at the events
    _prefer_indexes(tx)
    page = _Page(tx, wanted=wanted, limit=limit, archive=archive, low=after or UUID(int=0))
    for stretch in _stretches(tx, wanted, page.low, now):
        if not page.look_through(stretch):
            break
        if len(page.found) > limit:
            page.low = page.found[limit - 1].id
            break
        page.low = UUID(int=stretch.below.int - 1)
    else:
        return EventPage(_completed(tx, page.found), None, tuple(page.unread))
    return EventPage(_completed(tx, page.found[:limit]), page.low, tuple(page.unread))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Ids below a bound and not below the one before: in the database with or without an index, or in a file."""

    below: UUID
    indexed: bool = False
    archived: Archived | None = None


class _Page:
    """One page that is being filled, and what it has cost."""

    def __init__(self, tx: Tx, *, wanted: EventFilter, limit: int, archive: Archive, low: UUID) -> None:
        self.low = low
        self.found: list[UsageEvent] = []
        self.unread: list[UnreadDays] = []
        self._tx = tx
        self._wanted = wanted
        self._limit = limit
        self._archive = archive
        self._accounts: NDArray[np.int64] | None = None
        self._slices = self._files = self._row_groups = 0

    def look_through(self, stretch: _Stretch) -> bool:
        """Find what the stretch has; False where the page has cost enough and ends before it."""
        if stretch.archived is not None:
            return self._look_into_file(stretch.archived, stretch.below)
        if not stretch.indexed:
            self._slices += 1
            if self._slices > SLICES_MAX:
                return False
        missing = self._limit + 1 - len(self.found)
        query, values = event_query(self._wanted, after=self.low, below=stretch.below, limit=missing)
        self.found += [UsageEvent(*row) for row in self._tx.execute(query, values)]
        return True

    def _look_into_file(self, archived: Archived, below: UUID) -> bool:
        if archived.expired_at is not None:
            self._pass_over(archived.day, EXPIRED)
            return True
        if self._files >= FILES_MAX or self._row_groups >= ROW_GROUPS_MAX:
            return False
        self._files += 1
        if self._accounts is None:
            self._accounts = _within_reach(self._tx, self._wanted.accounts)
        dated = self._wanted.counted_until is not None or self._wanted.counted_after is not None
        scan = Scan(
            wanted=self._wanted,
            accounts=self._accounts,
            after=self.low,
            below=below,
            limit=self._limit + 1 - len(self.found),
            counted=self._counted if dated else None,
        )
        try:
            found, row_groups = self._archive.read_events(archived, scan)
        except ArchiveDamaged as error:
            self._pass_over(archived.day, str(error))
            return True
        self.found += found
        self._row_groups += row_groups
        return True

    def _pass_over(self, day: date, reason: str) -> None:
        last = self.unread[-1] if self.unread else None
        if last is not None and last.reason == reason and last.last + timedelta(days=1) == day:
            self.unread[-1] = replace(last, last=day)
        else:
            self.unread.append(UnreadDays(day, day, reason))

    def _counted(self, ids: Sequence[UUID], received: Sequence[datetime]) -> frozenset[UUID]:
        values = {"until": self._wanted.counted_until, "after": self._wanted.counted_after}
        rows = self._tx.execute(_COUNTED, {**values, "ids": list(ids), "received": list(received)})
        return frozenset(id for (id,) in rows)


def event_query(
    wanted: EventFilter, *, after: UUID, below: UUID, limit: int
) -> tuple[LiteralString, dict[str, Any]]:
    """The statement, and its values, for events with ids between the two, neither of them included."""
    values: dict[str, Any] = {
        name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None and value != {}
    }
    conditions: list[LiteralString] = [
        "e.id > %(after)s and e.id < %(below)s",
        *(_CONDITIONS[name] for name in values),
    ]
    for name in ("accounts", "projects", "meters"):
        if name in values:
            values[name] = list(values[name])
    for name in ("match", "resource"):
        if name in values:
            values[name] = Jsonb(values[name])
    query: LiteralString = f"{_EVENT} where {' and '.join(conditions)} order by e.id limit %(limit)s"
    return query, {**values, "after": after, "below": below, "limit": limit}


def _prefer_indexes(tx: Tx) -> None:
    """Statistics of a partition that is being filled lag behind; there is an index for each of these statements."""
    tx.execute("select set_config('enable_seqscan', 'off', true)")


def _stretches(tx: Tx, wanted: EventFilter, after: UUID, now: datetime) -> Iterator[_Stretch]:
    """What lies behind `after`: in the archive a day is a stretch, in the database what a statement looks through.

    Consecutive days are one stretch where the index gives them in order of id, which takes one account and one meter.
    """
    first = id_day(after) if wanted.first is None else wanted.first - timedelta(days=_ID_DAYS_BEFORE)
    places = sealing.list_places(tx, first=max(first, id_day(after)))
    ordered = all(values is not None and len(values) == 1 for values in (wanted.accounts, wanted.meters))
    latest = now.astimezone(UTC) + timedelta(seconds=FUTURE_S_MAX) + _HOUR
    for i, place in enumerate(places):
        start = datetime.combine(place.day, time(), UTC)
        ends = _first_id(start + timedelta(days=1))
        if not place.attached:
            if place.archived is not None and _has_days(place.archived, wanted):
                yield _Stretch(ends, archived=place.archived)
        elif place.indexed and wanted.accounts is not None:
            if not (ordered and i + 1 < len(places) and _goes_on(place, places[i + 1])):
                yield _Stretch(ends, indexed=True)
        else:
            for hour in range(24):
                instant = start + timedelta(hours=hour + 1)
                if _first_id(instant) > after and instant <= latest:
                    yield _Stretch(_first_id(instant))


def _goes_on(place: sealing.DayPlace, following: sealing.DayPlace) -> bool:
    """Whether one statement can look through both days by the same index."""
    return following.attached and following.indexed and following.day == place.day + timedelta(days=1)


def _has_days(archived: Archived, wanted: EventFilter) -> bool:
    """Whether the file has usage of some of the billing days."""
    return (wanted.end is None or archived.first_day < wanted.end) and (
        wanted.first is None or archived.last_day >= wanted.first
    )


def _within_reach(tx: Tx, numbers: Sequence[int] | None) -> NDArray[np.int64]:
    """Which of the accounts, or of all, the transaction may see: what row-level security does in the database."""
    return np.array(account_reads.list_numbers(tx, among=numbers), np.int64)


def _first_id(instant: datetime) -> UUID:
    """The least id of that millisecond."""
    return UUID(int=((instant - _EPOCH) // timedelta(milliseconds=1)) << 80)


def _completed(tx: Tx, events: Sequence[UsageEvent]) -> tuple[UsageEvent, ...]:
    """The same events with the names of what they count for, and what became of them."""
    if not events:
        return ()
    payers = {
        number: account_reads.get_account(tx, number=number) for number in {event.account for event in events}
    }
    numbers = {event.project for event in events}
    projects = {project.number: project.name for project in directory.list_projects(tx, numbers=numbers)}
    meters = {meter.number: meter.meter_name for meter in catalog.load_meters(tx)}
    ids = [event.id for event in events]
    replayed = dict(tx.execute("select id, replayed_at from usage.replayed where id = any (%s)", (ids,)))
    voided = reads.find_voided(tx, ids=ids)
    return tuple(
        replace(
            event,
            replayed_at=replayed.get(event.id),
            voided=voided.get(event.id),
            namespace=payers[event.account].namespace,
            account_name=payers[event.account].name,
            project_name=projects.get(event.project, ""),
            meter_name=meters.get(event.meter, ""),
        )
        for event in events
    )
