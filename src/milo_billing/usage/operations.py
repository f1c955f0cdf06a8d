"""Verbs of usage that doors, jobs and other slices call. Ingest itself is a machine of its own (engine)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

from milo_billing.access import operations as access
from milo_billing.accounts import operations as accounts
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import BILLING_SHARES
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.projections import KEEP, ProjectionDifference, compare_rows
from milo_billing.directory import reads as directory
from milo_billing.infra import jobs
from milo_billing.infra.database import Reach, Tx, acting_as
from milo_billing.usage import reads, rules, store
from milo_billing.usage.engine import corrections, voids
from milo_billing.usage.engine import events as raw_events
from milo_billing.usage.engine.archive import Archive
from milo_billing.usage.engine.commit import DAYS_AHEAD
from milo_billing.usage.ports import BlobStore
from milo_billing.usage.types import (
    INDEXED_AFTER_DAYS,
    RETENTION_DAYS,
    ChunkResult,
    Discarded,
    EventAmbiguous,
    EventFilter,
    EventNotFound,
    EventPage,
    Import,
    ImportChunk,
    ImportChunkChanged,
    ImportChunkOutOfOrder,
    ImportComplete,
    ImportIncomplete,
    ImportNotFound,
    ImportRowsChanged,
    NewChange,
    NewCorrection,
    QuarantineFilter,
    Replay,
    ReplayNotFound,
    StoredEvent,
    Void,
)

REPLAY: Final = "usage.replay"
"""The job that goes on with a replay; its argument `replay` is the replay's id."""

ARCHIVE_NOW: Final = "usage.archive_now"
"""The job that archives days whose time is over; its argument `until` is a day or None."""

DISCARDED_AT_ONCE_MAX: Final = 10_000
"""Events that one transaction discards at most; the caller comes back for the rest."""


SENDERS_AT_ONCE: Final = 10_000


def ensure_partitions(tx: Tx, *, now: datetime) -> tuple[date, ...]:
    """Have a partition of usage.events for every id that may come in at `now`; returns the days that were made.

    The gateway does this by itself once a day. `tx` is of milo_ingest.
    """
    today = now.astimezone(UTC).date()
    return store.ensure_days(
        tx,
        first=today - timedelta(days=RETENTION_DAYS),
        last=today + timedelta(days=DAYS_AHEAD),
        past=today - timedelta(days=INDEXED_AFTER_DAYS),
    )


def index_events(tx: Tx, *, now: datetime) -> tuple[date, ...]:
    """Make the events of past days findable by account and meter; returns the days that were indexed.

    `tx` is of milo_ingest, in autocommit and outside a transaction; nobody who writes has to wait.
    """
    past = now.astimezone(UTC).date() - timedelta(days=INDEXED_AFTER_DAYS)
    days = store.list_unindexed_days(tx, past=past)
    for day in days:
        store.index_day(tx, day=day)
    return days


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


def discard_quarantined(
    tx: Tx,
    *,
    ids: Sequence[UUID] | None,
    wanted: QuarantineFilter,
    reason: str,
    identity: Identity,
    audit_id: UUID,
    now: datetime,
) -> int:
    """Give up quarantined events within reach: those of `ids`, or all that match; how many that were.

    At most DISCARDED_AT_ONCE_MAX. They stay known: sent again, they are duplicates. Audited for each organization
    whose events they were.
    """
    gone = store.discard(
        tx, ids=ids, wanted=wanted, by=identity.user, at=now, why=reason, limit=DISCARDED_AT_ONCE_MAX
    )
    for owner_org, events in sorted(gone.items()):
        access.record(
            tx,
            chain=owner_org,
            at=now,
            audit_id=audit_id,
            actor=identity.user,
            verb="discard",
            target="billing.miloapis.com/quarantinedevents//",
            detail={"reason": reason, "events": events, "filter": _audited(wanted), **identity.audited},
        )
    return sum(gone.values())


def open_replay(
    tx: Tx,
    *,
    id: UUID,
    wanted: QuarantineFilter,
    accept_late: bool,
    reach: Reach,
    identity: Identity,
    audit_id: UUID,
    now: datetime,
) -> Replay:
    """Have the matching events tried again that belong to the organizations in `reach`; a worker does it.

    `accept_late` lifts the late window for them; the caller has checked the permission. Events that are received after
    `now` are not part of it. Audited. Nothing that matches makes a replay that is finished already.
    """
    total = reads.count_quarantined(tx, wanted=wanted)
    replay = Replay(
        id=id,
        organizations=None if reach == "*" else tuple(sorted(reach)),
        filter=wanted,
        accept_late=accept_late,
        opened_by=identity.user,
        opened_at=now,
        state="running" if total else "finished",
        cursor=UUID(int=0),
        total=total,
        replayed=0,
        kept=0,
        duplicate=0,
        updated_at=now,
        finished_at=None if total else now,
    )
    store.insert_replay(tx, replay)
    if total:
        resume_replay(tx, id=id)
        access.record(
            tx,
            chain=rules.sender_organization(reach),
            at=now,
            audit_id=audit_id,
            actor=identity.user,
            verb="replay",
            target=f"billing.miloapis.com/usagereplays//{id}",
            detail={
                "events": total,
                "filter": _audited(wanted),
                "acceptLate": accept_late,
                "organizations": "*" if replay.organizations is None else list(replay.organizations),
                **identity.audited,
            },
            target_uid=id,
        )
    return replay


def resume_replay(tx: Tx, *, id: UUID) -> None:
    """Have a worker go on with the replay, unless a job for it waits already."""
    jobs.defer(tx, REPLAY, lock=f"{REPLAY}/{id}", once=f"{REPLAY}/{id}", replay=str(id))


def get_replay(tx: Tx, *, id: UUID) -> Replay:
    """The replay of that id, and how far it has come. Raises ReplayNotFound, also where it is out of reach."""
    found = reads.find_replay(tx, id=id)
    if found is None:
        raise ReplayNotFound(f"there is no replay {id}")
    return found


def _audited(wanted: QuarantineFilter) -> dict[str, str]:
    return {name: str(value) for name, value in asdict(wanted).items() if value is not None}


# -- disputes


def list_events(
    tx: Tx, *, wanted: EventFilter, after: UUID | None, limit: int, blobs: BlobStore, now: datetime
) -> EventPage:
    """Raw events that match, by id, those behind `after`, at most `limit`, wherever they lie.

    What a page costs is bounded, so it may be short, or empty, though more follow. Archived days that cannot be read
    are named in it. Before it, `tx` has not looked at events: it waits for an archivist who waits for those who have.
    """
    return raw_events.list_events(
        tx, wanted=wanted, after=after, limit=limit, archive=Archive(blobs), now=now
    )


# -- what was used is put right


def void_event(
    tx: Tx,
    *,
    id: UUID,
    reason: str,
    archive: Archive,
    identity: Identity,
    audit_id: UUID,
    now: datetime,
) -> Void | Discarded:
    """Take an event out of what is billed, wherever it lies; one that waits in quarantine is discarded there.

    The event stays, the void stands beside it, and its row is put right in the same transaction. Voiding it again
    answers the same, whatever reason is given then. Audited. `tx` reaches what the caller, who has the permission,
    reaches. Raises EventNotFound; ArchiveDamaged where a file is needed and not to be had.
    """
    if (standing := reads.find_void(tx, id=id)) is not None:
        return standing
    if (given_up := _discard_if_quarantined(tx, id, reason, identity, audit_id, now)) is not None:
        return given_up
    event = _get_event(tx, id, archive)
    accounts.hold_billing_shared(tx, shares=[event.key.account % BILLING_SHARES])
    with acting_as(tx, "milo_ingest"):
        done = voids.void(tx, event, archive=archive, reason=reason, by=identity.user, now=now)
        if done:
            corrections.note_change(tx, _voided(event, now))
    voided = reads.find_void(tx, id=id)
    assert voided is not None, "it was inserted above, or stood in the way"
    if done:
        access.record(
            tx,
            chain=account_reads.get_account(tx, number=event.key.account).owner_org,
            at=now,
            audit_id=audit_id,
            actor=identity.user,
            verb="void",
            target=f"billing.miloapis.com/usageevents//{id}",
            detail={"reason": reason, "value": str(event.value), **identity.audited},
            target_uid=id,
        )
    return voided


def find_sent(tx: Tx, *, source: str, id: str, organization: str | None = None) -> UUID:
    """Under which id the event is stored that a sender knows by source and id; one that is no ULID nor UUIDv7.

    Such ids are unique within the organization in whose name the sender acts: `organization`, else any within reach.
    Whether the event itself is within reach is for whoever reads it. Raises EventNotFound, EventAmbiguous.
    """
    found: dict[int, UUID] = {}
    names: dict[int, str] = {}
    for senders in _senders(tx, organization):
        names |= senders
        hashes = {rules.foreign_id_hash(owner_org=number, source=source, id=id): number for number in senders}
        with acting_as(tx, "milo_ingest"):
            found |= voids.find_foreign(tx, hashes)
    if not found:
        raise EventNotFound(f"there is no event {id[:100]!r} of {source[:100]!r}")
    if len(found) > 1:
        senders = ", ".join(sorted(names[number] for number in found))
        raise EventAmbiguous(
            f"{senders} have each sent an event {id[:100]!r} of {source[:100]!r}: name one of them"
        )
    (event,) = found.values()
    return event


def _senders(tx: Tx, organization: str | None) -> Iterator[dict[int, str]]:
    """In whose name events may have been sent, SENDERS_AT_ONCE at a time: name by number, deleted organizations too."""
    after = -1  # the provider is 0
    while found := directory.list_organizations(tx, after=after, limit=SENDERS_AT_ONCE):
        yield {each.number: each.name for each in found if organization in (None, each.name)}
        after = found[-1].number


def _discard_if_quarantined(
    tx: Tx, id: UUID, reason: str, identity: Identity, audit_id: UUID, now: datetime
) -> Discarded | None:
    """Discard the event if it waits in quarantine; what stands of it, if it was discarded before."""
    waiting = reads.find_quarantined(tx, id=id)
    if waiting is None:
        return None
    if waiting.discarded is None:
        discard_quarantined(
            tx,
            ids=[id],
            wanted=QuarantineFilter(),
            reason=reason,
            identity=identity,
            audit_id=audit_id,
            now=now,
        )
        waiting = reads.find_quarantined(tx, id=id)  # gone without a trace: a replay has just made it count
    return None if waiting is None else waiting.discarded


def _get_event(tx: Tx, id: UUID, archive: Archive) -> StoredEvent:
    """The event from the database, or from the archive. Raises EventNotFound, also where it is out of reach."""
    event = voids.find_stored(tx, id) or archive.find_event(tx, id)
    if event is None or not account_reads.is_within_reach(tx, number=event.key.account):
        raise EventNotFound(f"there is no event {id}")
    return event


def _voided(event: StoredEvent, now: datetime) -> NewChange:
    key = event.key
    return NewChange(
        account=key.account,
        day=key.day,
        project=key.project,
        meter=key.meter,
        dimensions=key.dimensions,
        cause="void",
        events=-1,
        quantity=-event.value,
        first_at=event.event_at,
        last_at=event.event_at,
        changed_at=now,
    )


def correct(tx: Tx, correction: NewCorrection) -> None:
    """Add a correction to the roll-up of its row, and mark the day as changed where it was invoiced; once for its uid.

    The caller has checked it by `rules.correction_errors`. `tx` reaches everything that the correction names.
    """
    accounts.hold_billing_shared(tx, shares=[correction.key.account % BILLING_SHARES])
    with acting_as(tx, "milo_ingest"):
        corrections.apply(tx, correction)


def settle_changes(tx: Tx, *, account: int, until: int, now: datetime) -> None:
    """Tell that invoices have taken up what reached invoiced days, up to that change.

    The caller holds the account's billing lock.
    """
    store.settle_changes(tx, account=account, until=until, now=now)


def reopen_changes(tx: Tx, *, account: int, now: datetime) -> None:
    """Have the account's next invoice look again at everything that ever reached invoiced days."""
    store.settle_changes(tx, account=account, until=0, now=now)


def defer_archiving(tx: Tx, *, until: date | None) -> None:
    """Have a worker archive the days whose time is over, none after `until`. One that waits already is enough."""
    jobs.defer(tx, ARCHIVE_NOW, once=ARCHIVE_NOW, until=None if until is None else until.isoformat())


# -- projections

_DECLARED: LiteralString = """
select 'usage.corrections', uid::text, 'usage correction ' || namespace || '/' || name, jsonb_build_object(
    'account', spec #>> '{billingAccountRef,name}', 'project', spec #>> '{projectRef,name}',
    'meter', spec ->> 'meterName', 'day', spec ->> 'day', 'quantity', (spec ->> 'quantity')::numeric,
    'reason', spec ->> 'reason')
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'usagecorrections'
"""
_PROJECTED: LiteralString = """
select 'usage.corrections', c.uid::text, 'usage correction ' || c.uid, jsonb_build_object(
    'account', a.name, 'project', p.name, 'meter', m.meter_name, 'day', c.day::text,
    'quantity', case m.aggregation when 'Count' then c.count else c.sum end::numeric, 'reason', c.reason)
from usage.corrections c join accounts.accounts a on a.number = c.account
join directory.projects p on p.number = c.project join catalog.meters m on m.number = c.meter
"""


def compare_projections(tx: Tx) -> tuple[ProjectionDifference, ...]:
    """Where corrections differ from their objects. Needs to reach everything; empty is right."""
    return compare_rows(tx, expected=_DECLARED, found=_PROJECTED, remedy=KEEP)
