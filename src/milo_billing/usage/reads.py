"""SQL that reads what was used. All under the reach of the transaction.

Every read of rolled-up usage is one statement over roll-ups UNION ALL deltas, so that it is exact whatever is
being ingested or compacted meanwhile: acknowledged usage is in it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, LiteralString
from uuid import UUID

import orjson

from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.types import Account
from milo_billing.catalog import reads as catalog
from milo_billing.catalog.types import Meter
from milo_billing.infra.database import Tx
from milo_billing.kernel.aggregation import Figures, is_prorated
from milo_billing.kernel.periods import next_month
from milo_billing.usage.rules import total_up
from milo_billing.usage.types import (
    AccountRow,
    ChangeCause,
    Discarded,
    Grouping,
    Import,
    IngestStatistics,
    OpenChanges,
    QuarantineDepth,
    QuarantinedOriginal,
    QuarantineEntry,
    QuarantineFilter,
    Replay,
    RowKey,
    UsageCell,
    UsageChange,
    UsageRow,
    UsageTotal,
    Void,
    Voided,
)

_COLUMNS: LiteralString = (
    "account, project, meter, dimensions, day, sum::numeric as sum, count, min, max, last, last_at, last_id"
)
_FIGURES: LiteralString = (
    # a correction of a sum or a count has no event: there the least is above the greatest, and nothing is the last
    "sum(sum) as sum, sum(count)::bigint as count, min(min) filter (where min <= max) as min, "
    "max(max) filter (where min <= max) as max, "
    "(array_agg(last order by last_at desc, last_id desc) filter (where min <= max))[1] as last, "
    "max(last_at) filter (where min <= max) as last_at, "
    "(array_agg(last_id order by last_at desc, last_id desc) filter (where min <= max))[1] as last_id"
)
"""Of rows that are grouped: what `_figures` makes Figures of."""

QUARANTINE_FILTER: LiteralString = (
    "(%(reason)s::text is null or reason = %(reason)s) and (%(meter)s::text is null or meter = %(meter)s) "
    "and (%(project)s::text is null or project = %(project)s) "
    "and (%(from)s::timestamptz is null or received_at >= %(from)s) "
    "and (%(to)s::timestamptz is null or received_at < %(to)s)"
)
"""Takes `quarantine_parameters`."""

LABEL_CHARACTERS_MAX = 200
"""Meter and project of a quarantined event are kept so long; the original has all of them."""


def list_rollups(
    tx: Tx, *, account: int, first: date, end: date, limit: int, meters: Collection[int] | None = None
) -> tuple[UsageRow, ...]:
    """Usage of the account on the billing days in [first, end), by day, project, meter and dimension set.

    Of these meters, by number, or of all. At most `limit` rows: a caller that gets so many asks for fewer days.
    """
    of_account: LiteralString = (
        "where account = %(account)s and day >= %(first)s and day < %(end)s "
        "and (%(meters)s::int[] is null or meter = any (%(meters)s))"
    )
    union: LiteralString = (
        f"select {_COLUMNS} from usage.rollups {of_account} "
        f"union all select {_COLUMNS} from usage.deltas {of_account}"
    )
    query: LiteralString = (
        f"select u.*, coalesce(s.dimensions, '{{}}') from ("
        f"select account, project, meter, dimensions, day, {_FIGURES} from ({union}) parts "
        "group by account, project, meter, dimensions, day order by day, project, meter, dimensions limit %(limit)s"
        ") u left join usage.dimension_sets s on s.hash = u.dimensions order by day, project, meter, u.dimensions"
    )
    asked = {"account": account, "first": first, "end": end, "limit": limit}
    rows = tx.execute(query, {**asked, "meters": None if meters is None else list(meters)}).fetchall()
    names = _meter_names(tx)
    return tuple(
        UsageRow(
            account=row[0],
            project=row[1],
            meter=row[2],
            meter_name=names.get(row[2], ""),
            dimensions=row[12],
            dimensions_hash=row[3],
            day=row[4],
            figures=_figures(row[5:12]),
        )
        for row in rows
    )


_STRETCH: LiteralString = "(%(starts)s::date[])[width_bucket(day, %(starts)s::date[])]"
_NAMED: LiteralString = "coalesce(s.dimensions, '{}'), coalesce(m.meter_name, '')"
_NAMES: LiteralString = (
    "left join usage.dimension_sets s on s.hash = u.hash "
    "left join catalog.meters m on m.number = u.meter and m.deleted_at is null"
)
_OF_STRETCHES: LiteralString = "where account = %(account)s and day >= %(first)s and day < %(end)s and "


def sum_rollups(
    tx: Tx, *, account: int, starts: Sequence[date], end: date, but: Collection[int], limit: int
) -> tuple[UsageRow, ...]:
    """Sums and counts over stretches of billing days, by project, meter, dimension set and stretch.

    A stretch goes from one of `starts`, which ascend, to the next, and the last one to `end`. Of all meters `but`
    these, by number; `day` is the first of the stretch. At most `limit`: a caller that gets so many reads by day.
    """
    where: LiteralString = f"{_OF_STRETCHES} meter <> all (%(but)s::int[])"
    query: LiteralString = (
        f"select u.*, null, null, {_NAMED} from ("
        f"select project, meter, dimensions as hash, {_STRETCH} as first_day, sum(sum), sum(count)::bigint from ("
        f"select project, meter, dimensions, day, sum, count from usage.rollups {where} "
        f"union all select project, meter, dimensions, day, sum::numeric, count from usage.deltas {where}) parts "
        "group by project, meter, hash, first_day limit %(limit)s) u "
        f"{_NAMES} order by 1, 2, 3, 4"
    )
    values = {"account": account, "starts": list(starts), "first": starts[0], "end": end, "limit": limit}
    found = tx.execute(query, {**values, "but": list(but)})
    return tuple(_stretch(account, row) for row in found)


def bound_rollups(
    tx: Tx, *, account: int, starts: Sequence[date], end: date, meters: Collection[int], limit: int
) -> tuple[UsageRow, ...]:
    """The least and the greatest value over stretches of billing days, as `sum_rollups`, of these meters."""
    where: LiteralString = f"{_OF_STRETCHES} meter = any (%(meters)s::int[])"
    columns: LiteralString = "project, meter, dimensions, day, sum::numeric as sum, count, min, max"
    query: LiteralString = (
        f"select u.*, {_NAMED} from ("
        f"select project, meter, dimensions as hash, {_STRETCH} as first_day, sum(sum), sum(count)::bigint, "
        # what was voided altogether leaves a day without events, whose least and greatest do not count
        "min(min) filter (where count > 0), max(max) filter (where count > 0) from ("
        "select project, meter, dimensions, day, sum(sum) as sum, sum(count) as count, "
        "min(min) filter (where min <= max) as min, max(max) filter (where min <= max) as max from ("
        f"select {columns} from usage.rollups {where} union all select {columns} from usage.deltas {where}) parts "
        "group by project, meter, dimensions, day) days "
        "group by project, meter, hash, first_day limit %(limit)s) u "
        f"{_NAMES} order by 1, 2, 3, 4"
    )
    values = {"account": account, "starts": list(starts), "first": starts[0], "end": end, "limit": limit}
    found = tx.execute(query, {**values, "meters": list(meters)})
    return tuple(_stretch(account, row) for row in found)


def _stretch(account: int, row: Sequence[Any]) -> UsageRow:
    project, meter, hash_, first_day, total, count, low, high, labels, name = row
    figures = Figures(int(total), count, low, high)
    return UsageRow(account, project, meter, name, labels, hash_, first_day, figures)


def count_distinct_keys(tx: Tx, *, account: int, cells: Sequence[Sequence[AccountRow]]) -> tuple[int, ...]:
    """For each cell, a union of rows of the account's roll-up, how many distinct keys their events had, exactly."""
    rows = [(number, *key) for number, cell in enumerate(cells) for key in cell]
    if not rows:
        return (0,) * len(cells)
    columns: LiteralString = "day, project, meter, dimensions"
    query: LiteralString = (
        "with cells as (select * from unnest(%b::int[], %b::date[], %b::int[], %b::int[], %b::bigint[]) "
        f"as c (cell, {columns})), keys as ("
        f"select cell, key from cells join usage.distinct_keys using ({columns}) where account = %s "
        f"union select cell, key from cells join usage.distinct_key_deltas using ({columns}) where account = %s) "
        "select cell, count(*) from keys group by cell"
    )
    found: dict[int, int] = dict(
        tx.execute(
            query, (*(list(column) for column in zip(*rows, strict=True)), account, account)
        ).fetchall()
    )
    return tuple(found.get(number, 0) for number in range(len(cells)))


def list_totals(
    tx: Tx,
    *,
    accounts: Collection[Account],
    projects: Collection[int] | None,
    meter: int | None,
    first: date,
    end: date,
    grouping: Grouping,
    limit: int,
) -> tuple[UsageTotal, ...] | None:
    """What the accounts used on billing days in [first, end), by the aggregation of each meter, as it is billed.

    A value of a whole period is taken over each rating period of the account, as far as it lies in [first, end). None
    for `projects` or `meter` means all of them. None comes back where more than `limit` series and windows are asked
    for: then fewer days, or one account or project, are the way.
    """
    meters = {each.number: each for each in catalog.list_meters_ever(tx)}
    chosen = [each for each in meters.values() if meter in (None, each.number)]
    payers = {account.number: account for account in accounts}
    values: dict[str, Any] = {
        "accounts": list(payers),
        "invoice_days": [account.invoice_day for account in payers.values()],
        "meters": [each.number for each in chosen],
        "daily": [grouping.day or each.window == "Day" for each in chosen],
        "split": [orjson.dumps(each.series_by).decode() for each in chosen],
        "shown": orjson.dumps(grouping.dimensions).decode(),
        "projects": None if projects is None else list(projects),
        "first": first,
        "end": end,
        "limit": limit + 1,
    }
    cells = tx.execute(_CELLS, values).fetchall()
    if len(cells) > limit:
        return None
    counted = [each.number for each in chosen if each.aggregation == "UniqueCount"]
    distinct: dict[tuple[Any, ...], int] = {}
    if counted:
        found = tx.execute(_DISTINCT, {**values, "counted": counted})
        distinct = {_cell_key(row[:6]): row[6] for row in found}
    keyed = [(_cell_key(row[:6]), _figures(row[6:])) for row in cells]
    totals = [UsageCell(*key, figures, distinct.get(key, 0)) for key, figures in keyed]
    prorated = () if grouping.day else totals
    bound = _bound_days(tx, prorated, meters=meters, payers=payers)
    return total_up(totals, grouping, meters=meters, bound=bound)


# One row a cell: an account, project, meter, the dimensions asked for, those that make series, and the window. Labels
# are picked once for each dimension set, after the rows of a set have been added up.
_CHOSEN: LiteralString = (
    "payers as (select * from unnest(%(accounts)s::int[], %(invoice_days)s::int[]) as a (account, invoice_day)), "
    "measures as (select meter, daily, split::jsonb as split from unnest(%(meters)s::int[], %(daily)s::bool[], "
    "%(split)s::text[]) as m (meter, daily, split))"
)
_WINDOW: LiteralString = (
    "case when daily then day else "
    "date_trunc('month', (day - (invoice_day - 1))::timestamp)::date + (invoice_day - 1) end"
)
_WITHIN: LiteralString = (
    "join payers using (account) join measures using (meter) "
    "where day >= %(first)s and day < %(end)s and (%(projects)s::int[] is null or project = any (%(projects)s))"
)
_LABELS: LiteralString = (
    "labels as (select p.meter, p.dimensions, "
    "(select coalesce(jsonb_agg(s.dimensions -> name order by place), '[]') "
    "from jsonb_array_elements_text(%(shown)s::jsonb) with ordinality as w (name, place)) as shown, "
    "(select coalesce(jsonb_agg(s.dimensions -> name order by place), '[]') "
    "from jsonb_array_elements_text(m.split) with ordinality as w (name, place)) as split "
    "from (select distinct meter, dimensions from parts) p join measures m using (meter) "
    "left join usage.dimension_sets s on s.hash = p.dimensions)"
)
_BY_CELL: LiteralString = "account, project, meter, shown, split, starts"
_CELLS: LiteralString = (
    f"with {_CHOSEN}, parts as materialized ("
    f"select account, project, meter, dimensions, {_WINDOW} as starts, {_FIGURES} from ("
    f"select {_COLUMNS} from usage.rollups union all select {_COLUMNS} from usage.deltas) used {_WITHIN} "
    f"group by account, project, meter, dimensions, starts), {_LABELS} "
    f"select {_BY_CELL}, {_FIGURES} from parts join labels using (meter, dimensions) "
    f"group by {_BY_CELL} order by {_BY_CELL} limit %(limit)s"
)
_DISTINCT: LiteralString = (
    f"with {_CHOSEN}, parts as materialized ("
    f"select distinct account, project, meter, dimensions, {_WINDOW} as starts, key from ("
    "select account, project, meter, dimensions, day, key from usage.distinct_keys "
    "union all select account, project, meter, dimensions, day, key from usage.distinct_key_deltas) used "
    f"{_WITHIN} and meter = any (%(counted)s)), {_LABELS} "
    f"select {_BY_CELL}, count(distinct key) from parts join labels using (meter, dimensions) group by {_BY_CELL}"
)


def _cell_key(
    row: Sequence[Any],
) -> tuple[int, int, int, tuple[str | None, ...], tuple[str | None, ...], date]:
    account, project, meter, shown, split, starts = row
    return account, project, meter, tuple(shown), tuple(split), starts


def _bound_days(
    tx: Tx, cells: Iterable[UsageCell], *, meters: Mapping[int, Meter], payers: Mapping[int, Account]
) -> Mapping[tuple[int, date], Mapping[int, tuple[int, int]]]:
    """What values of whole periods are prorated by, where there are any."""
    prorated = {
        (cell.account, cell.window)
        for cell in cells
        if is_prorated(meters[cell.meter].aggregation, meters[cell.meter].window)
    }
    windows = [(payers[number], first, next_month(first)) for number, first in prorated]
    return payer_reads.count_bound_days(tx, windows=windows)


def _figures(row: Sequence[Any]) -> Figures:
    total, count, low, high, last, last_at, last_id = row
    return Figures(int(total), count, low, high, last, last_at, last_id)


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


def find_voided(tx: Tx, *, ids: Sequence[UUID]) -> dict[UUID, Voided]:
    """Those of the events that were voided, with who did it, when and why."""
    rows = tx.execute(
        "select id, voided_at, reason, voided_by from usage.voids where id = any (%s)", (list(ids),)
    )
    return {row[0]: Voided(*row[1:]) for row in rows}


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


def find_open_changes(tx: Tx, *, account: int) -> OpenChanges | None:
    """What reached invoiced days of the account and no invoice has taken up; None where nothing did.

    Whoever invoices holds the account's billing lock: what comes later has a higher id.
    """
    row = tx.execute(
        "select array_agg(distinct day order by day), max(id) from usage.changes where account = %(account)s "
        "and id > coalesce((select until from usage.settled_changes where account = %(account)s), 0)",
        {"account": account},
    ).fetchone()
    return None if row is None or row[0] is None else OpenChanges(tuple(row[0]), row[1])


def list_changed_accounts(tx: Tx, *, after: int, limit: int) -> tuple[int, ...]:
    """Accounts with numbers above `after` that have changes which no invoice has taken up, in order."""
    rows = tx.execute(
        "select distinct c.account from usage.changes c left join usage.settled_changes s on s.account = c.account "
        "where c.account > %s and c.id > coalesce(s.until, 0) order by c.account limit %s",
        (after, limit),
    )
    return tuple(account for (account,) in rows)


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


def _replay(row: tuple[Any, ...]) -> Replay:
    organizations = None if row[1] is None else tuple(row[1])
    return Replay(row[0], organizations, QuarantineFilter(*row[2:7]), *row[7:])
