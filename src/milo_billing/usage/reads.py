"""SQL that reads what was used. All under the reach of the transaction.

Every read of rolled-up usage is one statement over roll-ups UNION ALL deltas, so that it is exact whatever is
being ingested or compacted meanwhile: acknowledged usage is in it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from milo_billing.accounts import reads as accounts
from milo_billing.catalog import reads as catalog
from milo_billing.directory import reads as directory
from milo_billing.infra.database import Tx
from milo_billing.kernel.ids import id_ms
from milo_billing.usage.types import (
    FUTURE_S_MAX,
    RETENTION_DAYS,
    ChangeCause,
    Discarded,
    EventFilter,
    EventPage,
    Import,
    IngestStatistics,
    QuarantineDepth,
    QuarantinedOriginal,
    QuarantineEntry,
    QuarantineFilter,
    Replay,
    RowKey,
    UsageChange,
    UsageEvent,
    UsageRow,
    UsageTotal,
    Void,
)

_COLUMNS: LiteralString = (
    "account, project, meter, dimensions, day, sum::numeric, count, min, max, last, last_at, last_id"
)
_EXTREMES: LiteralString = (
    # a correction of a sum or a count has neither: there the least is above the greatest
    "coalesce(min(min) filter (where min <= max), 0), coalesce(max(max) filter (where min <= max), 0)"
)
_FILTER: LiteralString = (
    "(%(accounts)s::int[] is null or account = any (%(accounts)s)) "
    "and (%(projects)s::int[] is null or project = any (%(projects)s)) "
    "and (%(meter)s::int is null or meter = %(meter)s) and day >= %(first)s and day < %(end)s"
)

QUARANTINE_FILTER: LiteralString = (
    "(%(reason)s::text is null or reason = %(reason)s) and (%(meter)s::text is null or meter = %(meter)s) "
    "and (%(project)s::text is null or project = %(project)s) "
    "and (%(from)s::timestamptz is null or received_at >= %(from)s) "
    "and (%(to)s::timestamptz is null or received_at < %(to)s)"
)
"""Takes `quarantine_parameters`."""

LABEL_CHARACTERS_MAX = 200
"""Meter and project of a quarantined event are kept so long; the original has all of them."""


def list_rollups(tx: Tx, *, account: int, first: date, end: date, limit: int) -> tuple[UsageRow, ...]:
    """Usage of the account on the billing days in [first, end), by day, project, meter and dimension set.

    A month's bill reads nothing else. At most `limit` rows: a caller that gets so many asks for fewer days.
    """
    of_account: LiteralString = "where account = %(account)s and day >= %(first)s and day < %(end)s"
    union: LiteralString = (
        f"select {_COLUMNS} from usage.rollups {of_account} "
        f"union all select {_COLUMNS} from usage.deltas {of_account}"
    )
    newest: LiteralString = "order by last_at desc, last_id desc"
    query: LiteralString = (
        "select u.*, coalesce(s.dimensions, '{}') from ("
        "select account, project, meter, dimensions, day, sum(sum), sum(count)::bigint, "
        f"{_EXTREMES}, "
        f"(array_agg(last {newest}))[1], max(last_at) from ({union}) parts "
        "group by account, project, meter, dimensions, day order by day, project, meter, dimensions limit %(limit)s"
        ") u left join usage.dimension_sets s on s.hash = u.dimensions order by day, project, meter, u.dimensions"
    )
    rows = tx.execute(query, {"account": account, "first": first, "end": end, "limit": limit}).fetchall()
    names = _meter_names(tx)
    return tuple(
        UsageRow(
            account=row[0],
            project=row[1],
            meter=row[2],
            meter_name=names.get(row[2], ""),
            dimensions=row[11],
            dimensions_hash=row[3],
            day=row[4],
            sum=int(row[5]),
            count=row[6],
            min=row[7],
            max=row[8],
            last=row[9],
            last_at=row[10],
        )
        for row in rows
    )


def list_totals(
    tx: Tx,
    *,
    accounts: Collection[int] | None,
    projects: Collection[int] | None,
    meter: int | None,
    first: date,
    end: date,
    by_day: bool,
    limit: int,
) -> tuple[UsageTotal, ...]:
    """Usage summed up by account, project and meter, and by day where asked, over billing days in [first, end).

    None for `accounts`, `projects` or `meter` means all of them within reach. At most `limit` rows.
    """
    union: LiteralString = (
        f"select {_COLUMNS} from usage.rollups where {_FILTER} "
        f"union all select {_COLUMNS} from usage.deltas where {_FILTER}"
    )
    query: LiteralString = (
        "select account, project, meter, case when %(by_day)s then day end as on_day, "
        f"sum(sum), sum(count)::bigint, {_EXTREMES} from ({union}) parts "
        "group by account, project, meter, on_day order by account, project, meter, on_day limit %(limit)s"
    )
    values: dict[str, Any] = {
        "accounts": None if accounts is None else list(accounts),
        "projects": None if projects is None else list(projects),
        "meter": meter,
        "first": first,
        "end": end,
        "by_day": by_day,
        "limit": limit,
    }
    rows = tx.execute(query, values).fetchall()
    names = _meter_names(tx)
    return tuple(
        UsageTotal(
            account=row[0],
            project=row[1],
            meter=row[2],
            meter_name=names.get(row[2], ""),
            day=row[3],
            sum=int(row[4]),
            count=row[5],
            min=row[6],
            max=row[7],
        )
        for row in rows
    )


def _meter_names(tx: Tx) -> dict[int, str]:
    return {meter.number: meter.meter_name for meter in catalog.load_meters(tx)}


def get_statistics(tx: Tx) -> IngestStatistics:
    """What became of everything that senders within reach have sent, and what waits in quarantine."""
    tallies: dict[str, int] = {
        fate: int(events)
        for fate, events in tx.execute("select fate, sum(events) from usage.tallies group by fate")
    }
    waiting: dict[str, int] = dict(
        tx.execute("select reason, count(*) from usage.quarantine group by reason order by reason").fetchall()
    )
    prefix = "rejected:"
    return IngestStatistics(
        accepted=tallies.get("accepted", 0),
        late=tallies.get("late", 0),
        duplicate=tallies.get("duplicate", 0),
        conflicts=tallies.get("rejected:ID_CONFLICT", 0),
        quarantined=waiting,
        rejected={
            fate.removeprefix(prefix): events
            for fate, events in sorted(tallies.items())
            if fate.startswith(prefix)
        },
    )


_IMPORT: LiteralString = (
    "select i.id, i.owner_org, i.rows, i.accept_late, i.completed_at is not null, "
    "coalesce(c.chunks, 0), coalesce(c.rows, 0), coalesce(c.accepted, 0), coalesce(c.quarantined, 0), "
    "coalesce(c.duplicate, 0), coalesce(c.rejected, 0) from usage.imports i left join lateral ("
    "select count(*) as chunks, sum(rows) as rows, sum(accepted) as accepted, sum(quarantined) as quarantined, "
    "sum(duplicate) as duplicate, sum(jsonb_array_length(rejected)) as rejected "
    "from usage.import_chunks where import = i.id) c on true"
)


def find_import(tx: Tx, *, id: UUID) -> Import | None:
    """The import of that id, with what has come of it so far."""
    row = tx.execute(f"{_IMPORT} where i.id = %s", (id,)).fetchone()
    return None if row is None else _import(row)


def find_import_by_identity(tx: Tx, *, owner_org: int, identity: bytes) -> Import | None:
    """The import of that file and mapping by that sender; identity is the sha256 of both."""
    row = tx.execute(
        f"{_IMPORT} where i.owner_org = %s and i.identity = %s", (owner_org, identity)
    ).fetchone()
    return None if row is None else _import(row)


def _import(row: tuple[Any, ...]) -> Import:
    return Import(
        id=row[0],
        owner_org=row[1],
        rows=row[2],
        accept_late=row[3],
        state="complete" if row[4] else "open",
        next_chunk=row[5],
        rows_received=int(row[6]),
        accepted=int(row[7]),
        quarantined=int(row[8]),
        duplicate=int(row[9]),
        rejected=int(row[10]),
    )


# -- the life of raw events


def count_events(tx: Tx, *, key: RowKey) -> int:
    """How many events are counted in a roll-up row, deltas included."""
    where = "where account = %s and day = %s and project = %s and meter = %s and dimensions = %s"
    values = (key.account, key.day, key.project, key.meter, key.dimensions)
    row = tx.execute(
        "select coalesce(sum(count), 0)::bigint from ("
        f"select count from usage.rollups {where} union all select count from usage.deltas {where}) parts".encode(),
        values * 2,
    ).fetchone()
    return 0 if row is None else row[0]


def find_void(tx: Tx, *, id: UUID) -> Void | None:
    """Who voided the event of this id, when and why; None for one that counts."""
    row = tx.execute(
        "select account, day, project, meter, dimensions, value, event_at, reason, voided_by, voided_at "
        "from usage.voids where id = %s",
        (id,),
    ).fetchone()
    return None if row is None else Void(id, RowKey(*row[:5]), *row[5:])


def list_changes(
    tx: Tx,
    *,
    account: int,
    first: date,
    end: date,
    cause: ChangeCause | None = None,
    after: int = 0,
    limit: int,
) -> tuple[UsageChange, ...]:
    """What reached the billing days in [first, end) of an account after they were invoiced, by roll-up row and cause.

    At most `limit` rows, by day, project, meter, dimensions and cause. `after` leaves out what was there before: the
    `last_id` of a list that was settled. Whoever invoices holds the account's billing lock, and so misses none.
    """
    rows = tx.execute(
        "select c.account, c.day, c.project, c.meter, c.dimensions, coalesce(s.dimensions, '{}'), c.cause, c.events, "
        "c.quantity, c.first_at, c.last_at, c.first_changed_at, c.last_changed_at, c.last_id from ("
        "select account, day, project, meter, dimensions, cause, sum(events)::bigint as events, "
        "sum(quantity) as quantity, min(first_at) as first_at, max(last_at) as last_at, "
        "min(changed_at) as first_changed_at, max(changed_at) as last_changed_at, max(id) as last_id "
        "from usage.changes where account = %(account)s and day >= %(first)s and day < %(end)s and id > %(after)s "
        "and (%(cause)s::text is null or cause = %(cause)s) group by account, day, project, meter, dimensions, cause "
        "order by day, project, meter, dimensions, cause limit %(limit)s) c "
        "left join usage.dimension_sets s on s.hash = c.dimensions "
        "order by c.day, c.project, c.meter, c.dimensions, c.cause",
        {"account": account, "first": first, "end": end, "after": after, "cause": cause, "limit": limit},
    )
    return tuple(UsageChange(RowKey(*row[:5]), row[5], row[6], row[7], int(row[8]), *row[9:]) for row in rows)


# -- quarantine


def quarantine_parameters(wanted: QuarantineFilter) -> dict[str, Any]:
    """The values of QUARANTINE_FILTER."""
    return {
        "reason": wanted.reason,
        "meter": None if wanted.meter is None else wanted.meter[:LABEL_CHARACTERS_MAX],
        "project": None if wanted.project is None else wanted.project[:LABEL_CHARACTERS_MAX],
        "from": wanted.received_from,
        "to": wanted.received_to,
    }


_ENTRY: LiteralString = (
    "id, reason, detail, coalesce(meter, ''), coalesce(project, ''), event_at, received_at, "
    "octet_length(event)"
)


def list_quarantined(
    tx: Tx, *, wanted: QuarantineFilter, after: UUID | None, limit: int
) -> tuple[QuarantineEntry, ...]:
    """Quarantined events by id, those behind `after`."""
    rows = tx.execute(
        f"select {_ENTRY} from usage.quarantine where {QUARANTINE_FILTER} "
        "and (%(after)s::uuid is null or id > %(after)s) order by id limit %(limit)s",
        {**quarantine_parameters(wanted), "after": after, "limit": limit},
    )
    return tuple(QuarantineEntry(*row) for row in rows)


def find_quarantined(tx: Tx, *, id: UUID) -> QuarantinedOriginal | None:
    """A quarantined or discarded event, as it was sent."""
    row = tx.execute(
        f"select {_ENTRY}, event, null::text, null::timestamptz, null::text from usage.quarantine where id = %(id)s "
        f"union all select {_ENTRY}, event, discarded_by, discarded_at, discard_reason from usage.discarded "
        "where id = %(id)s",
        {"id": id},
    ).fetchone()
    if row is None:
        return None
    discarded = None if row[9] is None else Discarded(*row[9:])
    return QuarantinedOriginal(QuarantineEntry(*row[:8]), bytes(row[8]), discarded)


def summarize_quarantine(tx: Tx, *, wanted: QuarantineFilter, limit: int) -> tuple[QuarantineDepth, ...]:
    """How many events wait, by reason and meter, the deepest first; at most `limit` rows."""
    rows = tx.execute(
        "select reason, coalesce(meter, ''), count(*), min(received_at) from usage.quarantine "
        f"where {QUARANTINE_FILTER} group by reason, meter order by count(*) desc, reason, meter limit %(limit)s",
        {**quarantine_parameters(wanted), "limit": limit},
    )
    return tuple(QuarantineDepth(*row) for row in rows)


def count_quarantined(tx: Tx, *, wanted: QuarantineFilter) -> int:
    """How many events wait that match."""
    row = tx.execute(
        f"select count(*) from usage.quarantine where {QUARANTINE_FILTER}", quarantine_parameters(wanted)
    ).fetchone()
    return 0 if row is None else row[0]


def measure_quarantine(tx: Tx) -> dict[str, tuple[int, float]]:
    """By reason, how many events wait, and for how many seconds the first of them has; by the database's clock."""
    rows = tx.execute(
        "select reason, count(*), greatest(0, extract(epoch from now() - min(received_at)))::float8 "
        "from usage.quarantine group by reason"
    )
    return {reason: (events, oldest_s) for reason, events, oldest_s in rows}


def measure_replays(tx: Tx) -> tuple[int, float]:
    """How many replays run, and for how many seconds the slowest of them has not come further; 0 without any."""
    row = tx.execute(
        "select count(*), greatest(0, coalesce(extract(epoch from now() - min(updated_at)), 0))::float8 "
        "from usage.replays where state = 'running'"
    ).fetchone()
    assert row is not None, "an aggregate has one row"
    return row[0], row[1]


_REPLAY: LiteralString = (
    "select id, organizations, reason, meter, project, received_from, received_to, accept_late, opened_by, opened_at, "
    "state, cursor, total, replayed, kept, duplicate, updated_at, finished_at from usage.replays"
)


def find_replay(tx: Tx, *, id: UUID) -> Replay | None:
    """The replay of that id, and how far it has come."""
    row = tx.execute(f"{_REPLAY} where id = %s", (id,)).fetchone()
    return None if row is None else _replay(row)


def list_replays(tx: Tx, *, limit: int) -> tuple[Replay, ...]:
    """The replays that were opened last, the newest first."""
    rows = tx.execute(f"{_REPLAY} order by opened_at desc, id limit %s", (limit,))
    return tuple(map(_replay, rows))


def lock_replay(tx: Tx, *, id: UUID) -> Replay | None:
    """The same as find_replay; nobody else goes on with it until the transaction ends."""
    row = tx.execute(f"{_REPLAY} where id = %s for update", (id,)).fetchone()
    return None if row is None else _replay(row)


def list_stalled_replays(tx: Tx, *, before: datetime, limit: int) -> tuple[UUID, ...]:
    """Replays that run but have not come further since `before`."""
    rows = tx.execute(
        "select id from usage.replays where state = 'running' and updated_at < %s order by updated_at limit %s",
        (before, limit),
    )
    return tuple(id for (id,) in rows)


def _replay(row: tuple[Any, ...]) -> Replay:
    organizations = None if row[1] is None else tuple(row[1])
    return Replay(row[0], organizations, QuarantineFilter(*row[2:7]), *row[7:])


# -- raw events

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
    first = _id_day(after) if wanted.first is None else wanted.first - timedelta(days=_ID_DAYS_BEFORE)
    rows = tx.execute(
        "select day, indexed from usage.days where day >= %s order by day", (max(first, _id_day(after)),)
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


def _id_day(id: UUID) -> date:
    return (_EPOCH + timedelta(milliseconds=id_ms(id.int))).date()


def _named(tx: Tx, events: Sequence[UsageEvent]) -> tuple[UsageEvent, ...]:
    """The same events with the names of what they count for."""
    if not events:
        return ()
    payers = {
        number: accounts.get_account(tx, number=number) for number in {event.account for event in events}
    }
    numbers = {event.project for event in events}
    projects = {project.number: project.name for project in directory.list_projects(tx, numbers=numbers)}
    meters = _meter_names(tx)
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
