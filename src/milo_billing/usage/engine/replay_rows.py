"""The rows that a replay locks, moves and counts; each group of it in one transaction.

Owns: the statements. Not: what becomes of an event (replay), opening a replay (operations).
"""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.usage import reads
from milo_billing.usage.reads import QUARANTINE_FILTER, quarantine_parameters
from milo_billing.usage.store import QuarantinedEvent
from milo_billing.usage.types import Replay


def lock_replay(tx: Tx, *, id: UUID) -> Replay | None:
    """The replay of that id; nobody else goes on with it until the transaction ends."""
    tx.execute("select from usage.replays where id = %s for update", (id,))
    return reads.find_replay(tx, id=id)


def list_stalled_replays(tx: Tx, *, before: datetime, limit: int) -> tuple[UUID, ...]:
    """Replays that run but have not come further since `before`."""
    rows = tx.execute(
        "select id from usage.replays where state = 'running' and updated_at < %s order by updated_at limit %s",
        (before, limit),
    )
    return tuple(id for (id,) in rows)


def list_replayable(tx: Tx, replay: Replay, *, limit: int) -> list[tuple[UUID, int]]:
    """The next events of the replay in order of id, each with its size in bytes; nothing is locked."""
    return tx.execute(
        "select id, octet_length(event) from usage.quarantine where id > %(cursor)s and received_at <= %(opened_at)s "
        "and (%(organizations)s::bigint[] is null or owner_org = any (%(organizations)s)) "
        f"and {QUARANTINE_FILTER} order by id limit %(limit)s",
        {
            **quarantine_parameters(replay.filter),
            "cursor": replay.cursor,
            "opened_at": replay.opened_at,
            "organizations": None if replay.organizations is None else list(replay.organizations),
            "limit": limit,
        },
    ).fetchall()


def lock_quarantined(tx: Tx, *, ids: Sequence[UUID]) -> list[QuarantinedEvent]:
    """Those of the events that are still quarantined, by id; nobody else moves them until the transaction ends."""
    rows = tx.execute(
        "select id, owner_org, reason, detail, coalesce(meter, ''), coalesce(project, ''), event_at, received_at, "
        "digest, event from usage.quarantine where id = any (%s) order by id for update",
        (list(ids),),
    )
    return [QuarantinedEvent(*row[:9], event=bytes(row[9])) for row in rows]


def lock_open_days(tx: Tx, *, days: Sequence[date]) -> frozenset[date]:
    """Those of the days of id time that take events; none of them is sealed until the transaction ends."""
    rows = tx.execute(
        "select day from usage.days where day = any (%s) and sealed_at is null order by day for share",
        (list(days),),
    )
    return frozenset(day for (day,) in rows)


def delete_quarantined(tx: Tx, *, ids: Sequence[UUID]) -> None:
    """Take events out of quarantine, which the same transaction has stored, or found stored."""
    tx.execute("delete from usage.quarantine where id = any (%s)", (list(ids),))


def update_quarantined(tx: Tx, rows: Sequence[tuple[UUID, int, str, str]]) -> None:
    """Say anew whose the events are and why they wait: (id, organization, reason, detail)."""
    tx.execute(
        "update usage.quarantine q set owner_org = t.owner_org, reason = t.reason, detail = t.detail "
        "from unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[]) as t (id, owner_org, reason, detail) "
        "where q.id = t.id",
        tuple([row[i] for row in rows] for i in range(4)),
    )


def insert_replayed(tx: Tx, rows: Sequence[tuple[UUID, int, str]], *, replay: UUID, at: datetime) -> None:
    """Note when events began to count: (id, account, former reason)."""
    tx.execute(
        "insert into usage.replayed (id, account, replay, reason, replayed_at) "
        "select t.id, t.account, %s, t.reason, %s "
        "from unnest(%s::uuid[], %s::int[], %s::text[]) as t (id, account, reason)",
        (replay, at, *([row[i] for row in rows] for i in range(3))),
    )


def advance_replay(
    tx: Tx, *, id: UUID, cursor: UUID, replayed: int, kept: int, duplicate: int, at: datetime
) -> None:
    """The replay has come to `cursor`, with so many more of each."""
    tx.execute(
        "update usage.replays set cursor = %s, replayed = replayed + %s, kept = kept + %s, duplicate = duplicate + %s, "
        "updated_at = %s where id = %s",
        (cursor, replayed, kept, duplicate, at, id),
    )


def finish_replay(tx: Tx, *, id: UUID, at: datetime) -> None:
    """The replay has nothing more before it."""
    tx.execute(
        "update usage.replays set state = 'finished', finished_at = %s, updated_at = %s where id = %s",
        (at, at, id),
    )
