"""SQL that reads what was used. All under the reach of the transaction.

Every read of rolled-up usage is one statement over roll-ups UNION ALL deltas, so that it is exact whatever is
being ingested or compacted meanwhile: acknowledged usage is in it.
"""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any, LiteralString
from uuid import UUID

from milo_billing.catalog import reads as catalog
from milo_billing.infra.database import Tx
from milo_billing.kernel.aggregation import Figures
from milo_billing.usage.types import Import, IngestStatistics, RowKey, UsageRow, UsageTotal

_COLUMNS: LiteralString = (
    "account, project, meter, dimensions, day, sum::numeric, count, min, max, last, last_at, last_id"
)
_FIGURES: LiteralString = (
    "sum(sum), sum(count)::bigint, min(min) filter (where count > 0), max(max) filter (where count > 0), "
    "(array_agg(last order by last_at desc, last_id desc) filter (where count > 0))[1], "
    "max(last_at) filter (where count > 0), "
    "(array_agg(last_id order by last_at desc, last_id desc) filter (where count > 0))[1]"
)
"""Of rows that are grouped: what `_figures` makes Figures of."""

_FILTER: LiteralString = (
    "(%(accounts)s::int[] is null or account = any (%(accounts)s)) "
    "and (%(projects)s::int[] is null or project = any (%(projects)s)) "
    "and (%(meter)s::int is null or meter = %(meter)s) and day >= %(first)s and day < %(end)s"
)


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
        f"sum(sum), sum(count)::bigint, min(min), max(max) from ({union}) parts "
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
