"""Take one event out of the roll-ups: a compensating fact beside it, the event itself stays.

Owns: usage.voids, and how a row is put right for every aggregation. Not: who may void, the audit record (operations),
what happens to an event in quarantine (operations).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.usage.engine.archive import Archive
from milo_billing.usage.engine.recount import KEY, hold_rows, key_parameters, recount
from milo_billing.usage.types import RowKey, StoredEvent


def find_stored(tx: Tx, id: UUID) -> StoredEvent | None:
    """The event of that id in the database, within reach."""
    query: LiteralString = (
        "select id, event_at, received_at, account, day, project, meter, dimensions, value, distinct_key "
        "from usage.events where id = %s"
    )
    row = tx.execute(query, (id,)).fetchone()
    if row is None:
        return None
    return StoredEvent(
        id=row[0],
        event_at=row[1],
        received_at=row[2],
        key=RowKey(*row[3:8]),
        value=row[8],
        distinct_key=row[9],
    )


def find_foreign(tx: Tx, hashes: Mapping[bytes, int]) -> dict[int, UUID]:
    """Under which id the events are stored whose source and id have these hashes, by what the hashes lead to.

    `tx` is of milo_ingest, which no policy restricts: what was found is not yet within the caller's reach.
    """
    rows = tx.execute(
        "select hash, event from usage.foreign_ids where hash = any (%s)",
        ([UUID(bytes=hash) for hash in hashes],),
    )
    return {hashes[hash.bytes]: event for hash, event in rows}


def void(tx: Tx, event: StoredEvent, *, archive: Archive, reason: str, by: str, now: datetime) -> bool:
    """Take the event out of its row; False where somebody else did it before. `tx` is of milo_ingest.

    Raises ArchiveDamaged where the row can be counted again only with a file that is not to be had.
    """
    hold_rows(tx)
    if not _insert(tx, event, reason=reason, by=by, now=now):
        return False
    if event.distinct_key is not None:
        _forget_key(tx, event)
    if not _subtract(tx, event):
        recount(tx, event.key, archive)
    return True


def _insert(tx: Tx, event: StoredEvent, *, reason: str, by: str, now: datetime) -> bool:
    made = tx.execute(
        "insert into usage.voids (id, account, day, project, meter, dimensions, value, event_at, distinct_key, reason, "
        "voided_by, voided_at) values (%(id)s, %(account)s, %(day)s, %(project)s, %(meter)s, %(dimensions)s, "
        "%(value)s, %(event_at)s, %(distinct_key)s, %(reason)s, %(by)s, %(now)s) on conflict (id) do nothing",
        {
            **key_parameters(event.key),
            "id": event.id,
            "value": event.value,
            "event_at": event.event_at,
            "distinct_key": event.distinct_key,
            "reason": reason,
            "by": by,
            "now": now,
        },
    )
    return made.rowcount == 1


def _subtract(tx: Tx, event: StoredEvent) -> bool:
    """Sum and count alone, where the event is neither the least nor the greatest nor the last: those stay."""
    changed = tx.execute(
        f"update usage.rollups set sum = sum - %(value)s, count = count - 1 where {KEY} "
        "and min < %(value)s and max > %(value)s and last_id <> %(id)s",
        {**key_parameters(event.key), "value": event.value, "id": event.id},
    )
    return changed.rowcount == 1


def _forget_key(tx: Tx, event: StoredEvent) -> None:
    """One event fewer had its key; the last one takes the key away. The deltas were moved: the key has its row."""
    values = {**key_parameters(event.key), "key": event.distinct_key}
    gone = tx.execute(f"delete from usage.distinct_keys where {KEY} and key = %(key)s and events = 1", values)
    if not gone.rowcount:
        tx.execute(
            f"update usage.distinct_keys set events = events - 1 where {KEY} and key = %(key)s", values
        )
