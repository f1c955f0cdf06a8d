"""SQL that reads what was used. All under the reach of the transaction.

Every read of rolled-up usage is one statement over roll-ups UNION ALL deltas, so that it is exact whatever is
being ingested or compacted meanwhile: acknowledged usage is in it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, LiteralString
from uuid import UUID

import orjson

from milo_billing.accounts import reads as account_reads
from milo_billing.accounts.types import Account
from milo_billing.catalog import reads as catalog
from milo_billing.catalog.types import Meter
from milo_billing.infra.database import Tx
from milo_billing.kernel.aggregation import Figures, is_prorated
from milo_billing.kernel.periods import next_month
from milo_billing.usage.rules import total_up
from milo_billing.usage.types import (
    Grouping,
    Import,
    IngestStatistics,
    RowKey,
    UsageCell,
    UsageRow,
    UsageTotal,
)

_COLUMNS: LiteralString = (
    "account, project, meter, dimensions, day, sum::numeric as sum, count, min, max, last, last_at, last_id"
)
_FIGURES: LiteralString = (
    "sum(sum) as sum, sum(count)::bigint as count, min(min) filter (where count > 0) as min, "
    "max(max) filter (where count > 0) as max, "
    "(array_agg(last order by last_at desc, last_id desc) filter (where count > 0))[1] as last, "
    "max(last_at) filter (where count > 0) as last_at, "
    "(array_agg(last_id order by last_at desc, last_id desc) filter (where count > 0))[1] as last_id"
)
"""Of rows that are grouped: what `_figures` makes Figures of."""


def list_rollups(tx: Tx, *, account: int, first: date, end: date, limit: int) -> tuple[UsageRow, ...]:
    """Usage of the account on the billing days in [first, end), by day, project, meter and dimension set.

    A month's bill reads nothing else. At most `limit` rows: a caller that gets so many asks for fewer days.
    """
    of_account: LiteralString = "where account = %(account)s and day >= %(first)s and day < %(end)s"
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
    rows = tx.execute(query, {"account": account, "first": first, "end": end, "limit": limit}).fetchall()
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


def count_distinct_keys(tx: Tx, *, account: int, cells: Sequence[Sequence[RowKey]]) -> tuple[int, ...]:
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
    return account_reads.count_bound_days(tx, windows=windows)


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
