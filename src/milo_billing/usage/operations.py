"""Verbs of usage that doors, jobs and other slices call. Ingest itself is a machine of its own (engine)."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from milo_billing.access import operations as access
from milo_billing.controlplane.identity import Identity
from milo_billing.infra.database import Tx
from milo_billing.usage import reads, rules, store
from milo_billing.usage.engine.commit import DAYS_AHEAD
from milo_billing.usage.types import (
    RETENTION_DAYS,
    ChunkResult,
    Import,
    ImportChunk,
    ImportChunkChanged,
    ImportChunkOutOfOrder,
    ImportComplete,
    ImportIncomplete,
    ImportNotFound,
    ImportRowsChanged,
)


def ensure_partitions(tx: Tx, *, now: datetime) -> tuple[date, ...]:
    """Have a partition of usage.events for every id that may come in at `now`; returns the days that were made.

    The gateway does this by itself once a day. `tx` is of milo_ingest.
    """
    today = now.astimezone(UTC).date()
    return store.ensure_days(
        tx, first=today - timedelta(days=RETENTION_DAYS), last=today + timedelta(days=DAYS_AHEAD)
    )


def open_import(
    tx: Tx,
    *,
    id: UUID,
    owner_org: int,
    digest: bytes,
    mapping: Mapping[str, Any],
    rows: int,
    accept_late: bool,
    identity: Identity,
    audit_id: UUID,
    now: datetime,
) -> Import:
    """Open the import of a file, or find it again: the same digest and mapping of a sender is the same, for ever.

    `digest` is the file's sha256, `rows` how many it has, `id` the id of a new import. `accept_late` lifts the late
    window for what is still to come; the caller has checked the permission, and it is audited. Raises ImportRowsChanged
    if it was opened with another number of rows.
    """
    import_identity = rules.import_identity(digest=digest, mapping=mapping)
    made = store.insert_import(
        tx,
        id=id,
        owner_org=owner_org,
        digest=digest,
        mapping=mapping,
        identity=import_identity,
        rows=rows,
        accept_late=accept_late,
        opened_by=identity.user,
        now=now,
    )
    found = reads.find_import_by_identity(tx, owner_org=owner_org, identity=import_identity)
    assert found is not None, "it was inserted above, or stood in the way"
    if found.rows != rows:
        raise ImportRowsChanged(f"import {found.id} was opened with {found.rows} rows, not {rows}")
    widened = accept_late and (made or (not found.accept_late and found.state == "open"))
    if widened:
        if not made:
            store.set_accept_late(tx, id=found.id)
            found = get_import(tx, id=found.id)
        access.record(
            tx,
            chain=owner_org,
            at=now,
            audit_id=audit_id,
            actor=identity.user,
            verb="acceptLate",
            target=f"billing.miloapis.com/usageimports//{found.id}",
            detail={"digest": digest.hex(), "rows": rows, **identity.audited},
            target_uid=found.id,
        )
    return found


def get_import(tx: Tx, *, id: UUID) -> Import:
    """The import of that id. Raises ImportNotFound, also where it is out of reach."""
    found = reads.find_import(tx, id=id)
    if found is None:
        raise ImportNotFound(f"there is no import {id}")
    return found


def find_chunk_result(tx: Tx, found: Import, chunk: ImportChunk) -> ChunkResult | None:
    """What became of the chunk if it was here before; None if it is the next one, to be stored now.

    Raises ImportChunkChanged, ImportChunkOutOfOrder or ImportComplete for any other chunk.
    """
    standing = store.find_chunk(tx, import_id=chunk.import_id, number=chunk.number)
    if standing is not None:
        digest, result = standing
        if digest != chunk.digest:
            raise ImportChunkChanged(f"chunk {chunk.number} was sent before with other rows")
        return result
    if found.state == "complete":
        raise ImportComplete(f"import {found.id} is complete; it has {found.next_chunk} chunks")
    if chunk.number != found.next_chunk:
        raise ImportChunkOutOfOrder(f"chunk {found.next_chunk} comes next, not {chunk.number}")
    return None


def complete_import(tx: Tx, *, id: UUID, now: datetime) -> Import:
    """Close an import once all of its rows have come; closing it again changes nothing. Raises ImportIncomplete."""
    found = get_import(tx, id=id)
    if found.rows_received != found.rows:
        raise ImportIncomplete(
            f"{found.rows_received} of {found.rows} rows have come: send the chunks from {found.next_chunk} on"
        )
    store.complete_import(tx, id=id, now=now)
    return get_import(tx, id=id)
