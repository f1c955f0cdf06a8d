"""SQL that writes the tables of this slice, and the probes of an ingest transaction; runs as their owner, milo_ingest.

Bulk data comes in as PostgreSQL's binary COPY format, made by `engine.rows`. Not: what is written (engine decides).
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format
from psycopg.types.json import Jsonb

from milo_billing.infra import advisory_locks
from milo_billing.infra.database import Tx
from milo_billing.usage.reads import QUARANTINE_FILTER, quarantine_parameters
from milo_billing.usage.types import (
    ChunkResult,
    ImportChunk,
    QuarantineFilter,
    RejectedRow,
    Replay,
)

_UUID_OID: Final = 2950
_UUID_ARRAY_OID: Final = 2951
_COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END: Final = b"\xff\xff"

EVENT_COLUMNS: Final = (
    "id, event_at, received_at, account, project, meter, day, dimensions, value, resource, digest"
)
KEYED_EVENT_COLUMNS: Final = f"{EVENT_COLUMNS}, distinct_key"
DISTINCT_KEY_COLUMNS: Final = "account, day, project, meter, dimensions, key, events"
DELTA_COLUMNS: Final = (
    "account, day, project, meter, dimensions, sum, count, min, max, last, last_at, last_id"
)
FOREIGN_COLUMNS: Final = "hash, event, digest"


class LabelCollision(Exception):
    """Two different label sets have the same 64-bit hash: the newer cannot be stored."""


@dataclass(frozen=True, slots=True)
class Keys:
    """128-bit keys in ascending order: 16 bytes each in `data`, and the same as elements of a binary uuid[]."""

    data: bytes
    elements: bytes

    def __len__(self) -> int:
        return len(self.data) // 16


@dataclass(frozen=True, slots=True)
class QuarantinedEvent:
    """A row of usage.quarantine."""

    id: UUID
    owner_org: int
    reason: str
    detail: str
    meter: str
    project: str
    event_at: datetime | None
    received_at: datetime
    digest: int
    event: bytes


class _KeysDumper(Dumper):
    """Keys as a binary uuid[]: psycopg's own would make a UUID object of each."""

    format = Format.BINARY
    oid = _UUID_ARRAY_OID

    def dump(self, obj: Keys) -> Buffer:
        return struct.pack(">iiiii", 1, 0, _UUID_OID, len(obj), 1) + obj.elements


psycopg.adapters.register_dumper(Keys, _KeysDumper)


# -- probing


def read_versions(tx: Tx) -> dict[str, int]:
    """controlplane.versions, by name; also tells the planner to probe by index, whatever its statistics say."""
    rows = tx.execute(
        "select set_config('enable_seqscan', 'off', true), name, version from controlplane.versions "
        "where name in ('payers', 'meters', 'projects', 'sealed_until')",
        prepare=True,
    )
    return {name: version for _, name, version in rows}


def find_stored(tx: Tx, keys: Keys) -> dict[bytes, int]:
    """Those of the event ids that are stored, quarantined or discarded, each with its payload's digest.

    An event leaves quarantine to be stored or discarded and never comes back, so quarantine is asked first, and in one
    statement with the discarded: an event that is moved meanwhile is seen before or after.
    """
    found: dict[bytes, int] = {}
    if keys:
        aside: LiteralString = " union all ".join(
            f"select id, digest from usage.{table} where id = any (%(keys)b) and id between %(low)s and %(high)s"
            for table in ("quarantine", "discarded")
        )
        _probe(tx, aside, keys, found)
        found |= find_events(tx, keys)
    return found


def find_events(tx: Tx, keys: Keys) -> dict[bytes, int]:
    """Those of the event ids that are stored, each with its payload's digest.

    Without the BETWEEN, which prunes partitions, and the order of keys, this is three times slower (performance.md).
    """
    found: dict[bytes, int] = {}
    if keys:
        query: LiteralString = (
            "select id, digest from usage.events "
            "where id = any (%(keys)b) and id between %(low)s and %(high)s"
        )
        _probe(tx, query, keys, found)
    return found


def find_foreign(tx: Tx, keys: Keys) -> dict[bytes, int]:
    """Those of the foreign ids' hashes that were here before, each with its payload's digest."""
    found: dict[bytes, int] = {}
    if keys:
        query: LiteralString = (
            "select hash, digest from usage.foreign_ids "
            "where hash = any (%(keys)b) and hash between %(low)s and %(high)s"
        )
        _probe(tx, query, keys, found)
    return found


def _probe(tx: Tx, query: LiteralString, keys: Keys, found: dict[bytes, int]) -> None:
    given = {"keys": keys, "low": UUID(bytes=keys.data[:16]), "high": UUID(bytes=keys.data[-16:])}
    with tx.cursor(binary=True) as cursor:
        for id, digest in cursor.execute(query, given, prepare=True):
            found[id.bytes] = digest


# -- writing


def insert_dimension_sets(tx: Tx, labels: Mapping[int, bytes]) -> None:
    """Store dimension sets under their hashes, those that are there already again to no effect.

    Raises LabelCollision if another set has the same hash.
    """
    if not labels:
        return
    given = (_signed(labels), [text.decode() for text in labels.values()])
    tx.execute(
        "insert into usage.dimension_sets select h, d::jsonb from unnest(%b::bigint[], %b::text[]) as t (h, d) "
        "order by h on conflict do nothing",
        given,
    )
    other = tx.execute(
        "select s.hash from usage.dimension_sets s join unnest(%b::bigint[], %b::text[]) as t (h, d) on t.h = s.hash "
        "where s.dimensions <> t.d::jsonb limit 1",
        given,
    ).fetchone()
    if other is not None:
        raise LabelCollision(f"another dimension set has the hash {other[0]}")


def insert_resources(tx: Tx, labels: Mapping[int, bytes]) -> None:
    """Store resources under their hashes, those that are there already again to no effect."""
    if labels:
        # %b: as text, the arrays take five times as long
        tx.execute(
            "insert into usage.resources select * from unnest(%b::bigint[], %b::text[]) as t (h, r) order by h "
            "on conflict do nothing",
            (_signed(labels), [text.decode() for text in labels.values()]),
            prepare=True,
        )


def _signed(hashes: Iterable[int]) -> list[int]:
    return [hash - (1 << 64) if hash >> 63 else hash for hash in hashes]


def copy_events(tx: Tx, rows: bytes) -> None:
    """Append rows of EVENT_COLUMNS. Raises UniqueViolation if one of the ids has come in meanwhile."""
    copy_rows(tx, f"usage.events ({EVENT_COLUMNS})", rows)


def copy_keyed_events(tx: Tx, rows: bytes) -> None:
    """Append rows of KEYED_EVENT_COLUMNS. Raises UniqueViolation if one of the ids has come in meanwhile."""
    copy_rows(tx, f"usage.events ({KEYED_EVENT_COLUMNS})", rows)


def copy_distinct_keys(tx: Tx, rows: bytes) -> None:
    """Append rows of DISTINCT_KEY_COLUMNS."""
    copy_rows(tx, f"usage.distinct_key_deltas ({DISTINCT_KEY_COLUMNS})", rows)


def copy_deltas(tx: Tx, rows: bytes) -> None:
    """Append rows of DELTA_COLUMNS."""
    copy_rows(tx, f"usage.deltas ({DELTA_COLUMNS})", rows)


def copy_foreign_ids(tx: Tx, rows: bytes) -> None:
    """Append rows of FOREIGN_COLUMNS. Raises UniqueViolation if one of them has come in meanwhile."""
    copy_rows(tx, f"usage.foreign_ids ({FOREIGN_COLUMNS})", rows)


def copy_rows(tx: Tx, table: LiteralString, rows: bytes) -> None:
    """Append rows in binary COPY format, without its header and end; `table` names the columns too."""
    if rows:
        with tx.cursor() as cursor, cursor.copy(f"copy {table} from stdin (format binary)") as copy:
            copy.write(_COPY_HEADER + rows + _COPY_END)


def copy_quarantine(tx: Tx, events: Sequence[QuarantinedEvent]) -> None:
    """Append quarantined events. Raises UniqueViolation if one of the ids has come in meanwhile."""
    if not events:
        return
    statement: LiteralString = (
        "copy usage.quarantine (id, owner_org, reason, detail, meter, project, event_at, received_at, digest, event) "
        "from stdin (format binary)"
    )
    with tx.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(
            ["uuid", "int8", "text", "text", "text", "text", "timestamptz", "timestamptz", "int8", "bytea"]
        )
        for event in events:
            copy.write_row([getattr(event, name) for name in QuarantinedEvent.__slots__])


def add_tallies(tx: Tx, *, process: UUID, tallies: Mapping[tuple[int, date, str], int]) -> None:
    """Add to the counts of fates, by (sender's organization, day of receipt, fate)."""
    if not tallies:
        return
    keys = sorted(tallies)
    tx.execute(
        "insert into usage.tallies as t (owner_org, day, fate, process, events) "
        "select o, d, f, %s, n from unnest(%b::bigint[], %b::date[], %b::text[], %b::bigint[]) as u (o, d, f, n) "
        "on conflict (owner_org, day, fate, process) do update set events = t.events + excluded.events",
        (
            process,
            [key[0] for key in keys],
            [key[1] for key in keys],
            [key[2] for key in keys],
            [tallies[key] for key in keys],
        ),
        prepare=True,
    )


# -- days and compaction


def ensure_days(tx: Tx, *, first: date, last: date, past: date) -> tuple[date, ...]:
    """Have a partition for every day of id time from `first` to `last`; returns the days that were made.

    Those before `past` get their index for disputes at once; of the others index_day makes one when they are over.
    A partition is made apart and then attached, which needs no lock that readers or writers would wait for.
    """
    tx.execute("select pg_advisory_xact_lock(%s)", (advisory_locks.DAYS,))
    standing = {
        day for (day,) in tx.execute("select day from usage.days where day between %s and %s", (first, last))
    }
    wanted = (first + timedelta(days=n) for n in range((last - first).days + 1))
    made = tuple(day for day in wanted if day not in standing)
    for day in made:
        name = sql.Identifier("usage", f"events_{day:%Y%m%d}")
        low, high = _first_id(day), _first_id(day + timedelta(days=1))
        tx.execute(sql.SQL("create table {} (like usage.events including all)").format(name))
        tx.execute(
            sql.SQL("alter table usage.events attach partition {} for values from ({}) to ({})").format(
                name, sql.Literal(str(low)), sql.Literal(str(high))
            )
        )
        if day < past:
            tx.execute(_index_statement(day, concurrently=False))
        tx.execute("insert into usage.days (day, indexed) values (%s, %s)", (day, day < past))
    return made


def list_unindexed_days(tx: Tx, *, past: date) -> tuple[date, ...]:
    """Days before `past` whose events can be found by id only."""
    rows = tx.execute(
        "select day from usage.days where day < %s and not indexed and dropped_at is null order by day",
        (past,),
    )
    return tuple(day for (day,) in rows)


def index_day(tx: Tx, *, day: date) -> None:
    """Make the day's events findable by (account, meter, id), without stopping anybody who writes.

    `tx` is in autocommit and outside a transaction. Nothing happens while another one indexes; after a crash it is
    safe to do again.
    """
    locked = tx.execute("select pg_try_advisory_lock(%s)", (advisory_locks.INDEXING,)).fetchone()
    if locked is None or not locked[0]:
        return
    try:
        standing = tx.execute(
            "select i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid "
            "where c.relnamespace = 'usage'::regnamespace and c.relname = %s",
            (_index_name(day),),
        ).fetchone()
        if standing is not None and not standing[0]:  # the build was interrupted
            index = sql.Identifier("usage", _index_name(day))
            tx.execute(sql.SQL("drop index concurrently if exists {}").format(index))
        tx.execute(_index_statement(day, concurrently=True))
        # what the planner believes of a day that was filled in one go may be that it is empty
        tx.execute(sql.SQL("analyze {}").format(sql.Identifier("usage", f"events_{day:%Y%m%d}")))
        tx.execute("update usage.days set indexed = true where day = %s", (day,))
    finally:
        tx.execute("select pg_advisory_unlock(%s)", (advisory_locks.INDEXING,))


def _index_name(day: date) -> str:
    return f"events_{day:%Y%m%d}_by_account"


def _index_statement(day: date, *, concurrently: bool) -> sql.Composed:
    return sql.SQL("create index {} if not exists {} on {} (account, meter, id)").format(
        sql.SQL("concurrently" if concurrently else ""),
        sql.Identifier(_index_name(day)),
        sql.Identifier("usage", f"events_{day:%Y%m%d}"),
    )


def _first_id(day: date) -> UUID:
    ms = (day - date(1970, 1, 1)).days * 86_400_000
    return UUID(int=ms << 80)


def lock_compaction(tx: Tx) -> None:
    """Until the transaction ends nobody else moves deltas into roll-ups, nor changes those; waits for who does."""
    tx.execute("select pg_advisory_xact_lock(%s)", (advisory_locks.COMPACTION,))


def compact(tx: Tx) -> int:
    """Move the deltas into the roll-ups; returns how many deltas there were. None to move while another does it.

    One statement for the roll-ups and one for distinct keys, in one transaction: a reader sees a delta either in one
    place or in the other. Rows that are being written meanwhile are not seen, and stay for the next time.
    """
    locked = tx.execute("select pg_try_advisory_xact_lock(%s)", (advisory_locks.COMPACTION,)).fetchone()
    if locked is None or not locked[0]:
        return 0
    newest: LiteralString = "order by last_at desc, last_id desc"
    moved: LiteralString = (
        "with moved as (delete from usage.deltas returning *), "
        "folded as (insert into usage.rollups as r "
        "(account, day, project, meter, dimensions, sum, count, min, max, last, last_at, last_id) "
        "select account, day, project, meter, dimensions, sum(sum), sum(count)::bigint, min(min), max(max), "
        f"(array_agg(last {newest}))[1], max(last_at), (array_agg(last_id {newest}))[1] "
        "from moved group by account, day, project, meter, dimensions "
        "order by account, day, project, meter, dimensions "  # in key order: two compactors cannot deadlock
        "on conflict (account, day, project, meter, dimensions) do update set "
        "sum = r.sum + excluded.sum, count = r.count + excluded.count, "
        "min = least(r.min, excluded.min), max = greatest(r.max, excluded.max), "
        "last = case when (excluded.last_at, excluded.last_id) > (r.last_at, r.last_id) "
        "then excluded.last else r.last end, "
        "last_id = case when (excluded.last_at, excluded.last_id) > (r.last_at, r.last_id) "
        "then excluded.last_id else r.last_id end, "
        "last_at = greatest(r.last_at, excluded.last_at) "
        "returning 1) select count(*) from moved"
    )
    row = tx.execute(moved).fetchone()
    moved_keys: LiteralString = (
        "with moved as (delete from usage.distinct_key_deltas returning *) "
        f"insert into usage.distinct_keys as k ({DISTINCT_KEY_COLUMNS}) "
        "select account, day, project, meter, dimensions, key, sum(events)::bigint from moved "
        "group by account, day, project, meter, dimensions, key "
        "order by account, day, project, meter, dimensions, key "
        "on conflict (account, day, project, meter, dimensions, key) do update "
        "set events = k.events + excluded.events"
    )
    tx.execute(moved_keys)
    return 0 if row is None else row[0]


def vacuum_deltas(tx: Tx, *, shrink: bool) -> None:
    """Make the space of moved deltas usable again; `shrink` also gives it back, which stops writers for a moment.

    `tx` is in autocommit and outside a transaction.
    """
    tables = "usage.deltas, usage.distinct_key_deltas"
    tx.execute(f"vacuum (truncate on) {tables}" if shrink else f"vacuum (truncate off) {tables}")


# -- file imports


def insert_import(
    tx: Tx,
    *,
    id: UUID,
    owner_org: int,
    digest: bytes,
    mapping: Mapping[str, Any],
    identity: bytes,
    rows: int,
    accept_late: bool,
    opened_by: str,
    now: datetime,
) -> bool:
    """Open an import; False if the sender has opened it before."""
    made = tx.execute(
        "insert into usage.imports (id, owner_org, digest, mapping, identity, rows, accept_late, opened_by, opened_at) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (owner_org, identity) do nothing",
        (id, owner_org, digest, Jsonb(mapping), identity, rows, accept_late, opened_by, now),
    )
    return made.rowcount == 1


def set_accept_late(tx: Tx, *, id: UUID) -> None:
    """Lift the late window for what is still to come of an open import."""
    tx.execute("update usage.imports set accept_late = true where id = %s", (id,))


def complete_import(tx: Tx, *, id: UUID, now: datetime) -> None:
    """Close an import for good; closing it again changes nothing."""
    tx.execute("update usage.imports set completed_at = %s where id = %s and completed_at is null", (now, id))


def insert_chunk(tx: Tx, chunk: ImportChunk, result: ChunkResult) -> None:
    """Keep what became of a chunk, so that it answers the same when it is sent again; the first answer stays."""
    tx.execute(
        "insert into usage.import_chunks "
        "(import, number, digest, rows, accepted, quarantined, duplicate, rejected) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
        (
            chunk.import_id,
            chunk.number,
            chunk.digest,
            len(chunk.row_numbers),
            result.accepted,
            result.quarantined,
            result.duplicate,
            Jsonb([{"row": row.row, "reason": row.reason, "detail": row.detail} for row in result.rejected]),
        ),
    )


def find_chunk(tx: Tx, *, import_id: UUID, number: int) -> tuple[bytes, ChunkResult] | None:
    """The digest of the chunk of that number and what became of it."""
    row = tx.execute(
        "select digest, accepted, quarantined, duplicate, rejected from usage.import_chunks "
        "where import = %s and number = %s",
        (import_id, number),
    ).fetchone()
    if row is None:
        return None
    rejected = tuple(RejectedRow(entry["row"], entry["reason"], entry["detail"]) for entry in row[4])
    return bytes(row[0]), ChunkResult(row[1], row[2], row[3], rejected)


# -- quarantine: discard and replay


def discard(
    tx: Tx,
    *,
    ids: Sequence[UUID] | None,
    wanted: QuarantineFilter,
    by: str,
    at: datetime,
    why: str,
    limit: int,
) -> dict[int, int]:
    """Move matching events, at most `limit`, out of quarantine; how many of each organization that were."""
    rows = tx.execute(
        "with gone as (delete from usage.quarantine where id in (select id from usage.quarantine "
        f"where {QUARANTINE_FILTER} and (%(ids)s::uuid[] is null or id = any (%(ids)s)) order by id limit %(limit)s) "
        "returning *), kept as (insert into usage.discarded (id, owner_org, reason, detail, meter, project, event_at, "
        "received_at, digest, event, discarded_at, discarded_by, discard_reason) select id, owner_org, reason, detail, "
        "meter, project, event_at, received_at, digest, event, %(at)s, %(by)s, %(why)s from gone) "
        "select owner_org, count(*) from gone group by owner_org order by owner_org",
        {
            **quarantine_parameters(wanted),
            "ids": None if ids is None else list(ids),
            "by": by,
            "at": at,
            "why": why,
            "limit": limit,
        },
    )
    return dict(rows.fetchall())


def insert_replay(tx: Tx, replay: Replay) -> None:
    """Open a replay."""
    wanted = replay.filter
    organizations = None if replay.organizations is None else list(replay.organizations)
    tx.execute(
        "insert into usage.replays (id, organizations, reason, meter, project, received_from, received_to, "
        "accept_late, opened_by, opened_at, state, total, updated_at, finished_at) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            replay.id,
            organizations,
            wanted.reason,
            wanted.meter,
            wanted.project,
            wanted.received_from,
            wanted.received_to,
            replay.accept_late,
            replay.opened_by,
            replay.opened_at,
            replay.state,
            replay.total,
            replay.updated_at,
            replay.finished_at,
        ),
    )


def settle_changes(tx: Tx, *, account: int, until: int, now: datetime) -> None:
    """Note that invoices have taken up the account's changes up to that id; 0 opens all of them again."""
    tx.execute(
        "insert into usage.settled_changes as s (account, until, settled_at) values (%s, %s, %s) "
        "on conflict (account) do update set until = excluded.until, settled_at = excluded.settled_at",
        (account, until, now),
    )
