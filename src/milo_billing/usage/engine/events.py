"""Raw events, for disputes: found by id, account, meter and resource, a page at a time, at a bounded cost.

All under the reach of the transaction. Owns: what a page looks through. Not: how an event came to be.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from milo_billing.accounts import reads as accounts
from milo_billing.catalog import reads as catalog
from milo_billing.directory import reads as directory
from milo_billing.infra.database import Tx
from milo_billing.usage.rules import id_day
from milo_billing.usage.types import FUTURE_S_MAX, RETENTION_DAYS, EventFilter, EventPage, UsageEvent

SLICE_MS: Final = 3_600_000
"""Events of days without an index are looked through an hour of id time at a time."""

SLICES_MAX: Final = 12
"""Hours that one page looks through at most; the next page goes on behind them."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR: Final = timedelta(hours=1)
_ID_DAYS_BEFORE: Final = RETENTION_DAYS + 2
"""An id is so many days older than the billing day of its event at most: a day for zones, one for what is ahead."""

_EVENT: LiteralString = (
    "select e.id, e.event_at, e.received_at, r.replayed_at, e.account, e.project, e.meter, e.day, e.value, "
    "coalesce(d.dimensions, '{}'), s.resource::jsonb from usage.events e "
    "left join usage.dimension_sets d on d.hash = e.dimensions "
    "left join usage.resources s on s.hash = e.resource and e.resource <> 0 "
    "left join usage.replayed r on r.id = e.id"
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
    "counted_until": "coalesce(r.replayed_at, e.received_at) <= %(counted_until)s",
    "counted_after": "coalesce(r.replayed_at, e.received_at) > %(counted_after)s",
}


def find_event(tx: Tx, *, id: UUID) -> UsageEvent | None:
    """The stored event of that id."""
    _prefer_indexes(tx)
    row = tx.execute(f"{_EVENT} where e.id = %s", (id,)).fetchone()
    return None if row is None else _named(tx, (UsageEvent(*row),))[0]


def list_events(tx: Tx, *, wanted: EventFilter, after: UUID | None, limit: int, now: datetime) -> EventPage:
    """Events that match, by id, those behind `after`, at most `limit`.

    What a page costs is bounded: of days with an index it reads what the account has of the meter, of the others
    SLICES_MAX hours at most. So it may be short, or empty, though more follow. `now` is the present, behind which lies
    nothing but ids of clocks that are fast.
    """
    _prefer_indexes(tx)
    found: list[UsageEvent] = []
    slices = 0
    low = UUID(int=0) if after is None else after
    for below, indexed in _stretches(tx, wanted, low, now):
        if not indexed:
            slices += 1
            if slices > SLICES_MAX:
                return EventPage(_named(tx, found), low)
        query, values = event_query(wanted, after=low, below=below, limit=limit + 1 - len(found))
        found += [UsageEvent(*row) for row in tx.execute(query, values)]
        if len(found) > limit:
            return EventPage(_named(tx, found[:limit]), found[limit - 1].id)
        low = UUID(int=below.int - 1)
    return EventPage(_named(tx, found), None)


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


def _stretches(tx: Tx, wanted: EventFilter, after: UUID, now: datetime) -> Iterator[tuple[UUID, bool]]:
    """Where stretches of ids behind `after` end, each with whether an index leads to what is wanted of it.

    Consecutive days are one stretch where the index gives them in order of id, which takes one account and one meter.
    """
    first = id_day(after) if wanted.first is None else wanted.first - timedelta(days=_ID_DAYS_BEFORE)
    rows = tx.execute(
        "select day, indexed from usage.days where day >= %s order by day", (max(first, id_day(after)),)
    ).fetchall()
    ordered = all(values is not None and len(values) == 1 for values in (wanted.accounts, wanted.meters))
    latest = now.astimezone(UTC) + timedelta(seconds=FUTURE_S_MAX) + _HOUR
    for i, (day, indexed) in enumerate(rows):
        start = datetime.combine(day, time(), UTC)
        if indexed and wanted.accounts is not None:
            follows = i + 1 < len(rows) and rows[i + 1] == (day + timedelta(days=1), True)
            if not (ordered and follows):
                yield _first_id(start + timedelta(days=1)), True
            continue
        for hour in range(24):
            ends = start + timedelta(hours=hour + 1)
            if _first_id(ends) > after and ends <= latest:
                yield _first_id(ends), False


def _first_id(instant: datetime) -> UUID:
    """The least id of that millisecond."""
    return UUID(int=((instant - _EPOCH) // timedelta(milliseconds=1)) << 80)


def _named(tx: Tx, events: Sequence[UsageEvent]) -> tuple[UsageEvent, ...]:
    """The same events with the names of what they count for."""
    if not events:
        return ()
    payers = {
        number: accounts.get_account(tx, number=number) for number in {event.account for event in events}
    }
    numbers = {event.project for event in events}
    projects = {project.number: project.name for project in directory.list_projects(tx, numbers=numbers)}
    meters = {meter.number: meter.meter_name for meter in catalog.load_meters(tx)}
    return tuple(
        replace(
            event,
            namespace=payers[event.account].namespace,
            account_name=payers[event.account].name,
            project_name=projects.get(event.project, ""),
            meter_name=meters.get(event.meter, ""),
        )
        for event in events
    )
