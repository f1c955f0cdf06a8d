"""Replays: quarantined events that go through the same decision again, in groups of bounded size.

One transaction a group: it holds the replay, the events and the fence, decides as ingest does, moves what can be billed
now, says anew why the rest waits, and moves the replay's cursor. So a replay that is killed goes on where it was, and
nothing is counted twice by it, by another one or by ingest. Owns: the groups, and the search for an event that cannot
be stored. Not: which replays there are (operations), when they run (jobs).

An event is decided in the name of the organization that it belongs to: whoever opens a replay lends it no reach of his.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

import numpy as np
import psycopg
import structlog

from milo_billing.accounts import operations as accounts
from milo_billing.infra.database import EVERYWHERE, Database, Tx
from milo_billing.kernel.errors import Unavailable
from milo_billing.usage import reads, store
from milo_billing.usage.engine import metrics, replay_rows
from milo_billing.usage.engine.billed import BilledDays
from milo_billing.usage.engine.decode import Batch, decode_event
from milo_billing.usage.engine.groups import Request, Sender, whole
from milo_billing.usage.engine.knowledge import Versions, nothing, refreshed
from milo_billing.usage.engine.prepare import Preparer
from milo_billing.usage.engine.prepared import GOOD, Limits, Prepared, Rows
from milo_billing.usage.engine.quarantine import quarantined
from milo_billing.usage.engine.readings import to_us
from milo_billing.usage.engine.rows import array_elements
from milo_billing.usage.engine.write import store_rows
from milo_billing.usage.rules import id_day
from milo_billing.usage.store import QuarantinedEvent
from milo_billing.usage.types import Replay, UnreadableEvents

GROUP_EVENTS_MAX: Final = 2_000
GROUP_BYTES_MAX: Final = 16 * 1024 * 1024
"""What one transaction of a replay takes at most; a single event may be larger."""

ATTEMPTS_MAX: Final = 5

_EVERY_ID_DAY: Final = 0
"""Whether an id's day still takes events is asked of the database, under a lock, not of the calendar."""


_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Verdicts:
    """What becomes of the events of a group: `moved` as (id, account, former reason), `kept` as store has it."""

    moved: list[tuple[UUID, int, str]]
    kept: list[tuple[UUID, int, str, str]]
    duplicate: list[UUID]


class Replayer:
    """One a process; one replay at a time. `database` is a pool of milo_ingest."""

    def __init__(
        self, database: Database, *, process: UUID, random_bits: Callable[[int], int], late_days_max: int
    ) -> None:
        self._database = database
        self._process = process
        self._late_days_max = late_days_max
        self._preparer = Preparer(random_bits=random_bits)
        self._knowledge = nothing()
        self._billed = BilledDays()

    def run(self, id: UUID, *, now: Callable[[], datetime]) -> None:
        """Go on with a replay until it is finished; one that is finished, or is not there, needs nothing.

        Raises Unavailable when the database is away: what was committed stays, the rest is for the next call.
        """
        size, attempts_left = GROUP_EVENTS_MAX, ATTEMPTS_MAX
        while True:
            try:
                if self.replay_group(id, size=size, now=now()):
                    return
            except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
                attempts_left -= 1  # an id came in meanwhile, or somebody locked in another order: once more
                if not attempts_left:
                    raise
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                raise Unavailable(f"the database went away: {error}") from error
            except Unavailable:
                raise
            except Exception as error:
                if size == 1:
                    self._leave(id, error, now=now())
                metrics.DIVIDED.inc()
                size = max(1, size // 2)  # an event spoils the group: close in on it
            else:
                size, attempts_left = min(2 * size, GROUP_EVENTS_MAX), ATTEMPTS_MAX

    def replay_group(self, id: UUID, *, size: int, now: datetime) -> bool:
        """Replay the next `size` events at most, in one transaction; True once there is nothing left to do."""
        with self._database.transaction(reach=EVERYWHERE) as tx:
            replay = replay_rows.lock_replay(tx, id=id)
            if replay is None or replay.state == "finished":
                return True
            chosen = _within_bytes(replay_rows.list_replayable(tx, replay, limit=size))
            if not chosen:
                replay_rows.finish_replay(tx, id=id, at=now)
                return True
            events = replay_rows.lock_quarantined(tx, ids=chosen)
            verdicts, prepared = self._decide(tx, replay, events, now=now)
            self._write(tx, replay, verdicts, at=now)
            replay_rows.advance_replay(
                tx,
                id=id,
                cursor=chosen[-1],
                replayed=len(verdicts.moved),
                kept=len(verdicts.kept),
                duplicate=len(verdicts.duplicate),
                at=now,
            )
        if prepared is not None:
            self._preparer.dimensions.mark_stored(prepared.new_dimensions)
            self._preparer.resources.mark_stored(prepared.new_resources)
        metrics.REPLAYED.labels("replayed").inc(len(verdicts.moved))
        metrics.REPLAYED.labels("kept").inc(len(verdicts.kept))
        metrics.REPLAYED.labels("duplicate").inc(len(verdicts.duplicate))
        return False

    def _decide(
        self, tx: Tx, replay: Replay, events: Sequence[QuarantinedEvent], *, now: datetime
    ) -> tuple[_Verdicts, Prepared | None]:
        """What becomes of the events, and the events stored and rolled up that can be billed now."""
        verdicts = _Verdicts([], [], [])
        accounts.hold_fence(tx, exclusive=False)
        open_days = replay_rows.lock_open_days(tx, days=sorted({id_day(event.id) for event in events}))
        stored = _stored_ids(tx, events)
        chosen: list[QuarantinedEvent] = []
        batches: list[Batch] = []
        for event in events:
            if event.id.bytes in stored:
                verdicts.duplicate.append(event.id)
            elif (day := id_day(event.id)) not in open_days:
                detail = (
                    f"{day}, the day of the id, is sealed: file a UsageCorrection, then discard this event"
                )
                verdicts.kept.append((event.id, event.owner_org, event.reason, detail))
            elif isinstance(read := _read(event), str):
                verdicts.kept.append((event.id, event.owner_org, event.reason, read))
            else:
                chosen.append(event)
                batches.append(read)
        if not chosen:
            return verdicts, None
        prepared = self._prepare(tx, replay, chosen, batches)
        self._sort_out(prepared, chosen, verdicts)
        good = prepared.rows.take(prepared.rows.reason == GOOD)
        store_rows(tx, prepared, good, billed=self._billed, now=now)
        store.add_tallies(tx, process=self._process, tallies=_tally(good, chosen))
        return verdicts, prepared

    def _prepare(
        self, tx: Tx, replay: Replay, events: Sequence[QuarantinedEvent], batches: Sequence[Batch]
    ) -> Prepared:
        found = store.read_versions(tx)
        versions = Versions(payers=found["payers"], meters=found["meters"], projects=found["projects"])
        if self._knowledge.versions != versions:
            self._knowledge = refreshed(tx, self._knowledge, versions, projects=True)
        requests = [
            Request(
                batch=batch,
                sender=_sender(event.owner_org),
                received_us=to_us(event.received_at),
                accept_late=replay.accept_late,
            )
            for event, batch in zip(events, batches, strict=True)
        ]
        return self._preparer.prepare(
            whole(requests),
            self._knowledge,
            Limits(self._late_days_max, _EVERY_ID_DAY),
            stored_under=np.array([event.id.bytes for event in events], "S16"),
        )

    def _sort_out(self, prepared: Prepared, events: Sequence[QuarantinedEvent], verdicts: _Verdicts) -> None:
        """Note what was decided of each of the events, which are numbered as in the group."""
        rows = prepared.rows
        good = np.flatnonzero(rows.reason == GOOD)
        numbers: list[int] = rows.number[good].tolist()
        accounts_of: list[int] = rows.account[good].tolist()
        for number, account in zip(numbers, accounts_of, strict=True):
            verdicts.moved.append((events[number].id, account, events[number].reason))
        for again in quarantined(prepared, rows.take(rows.reason != GOOD)):
            verdicts.kept.append((again.id, again.owner_org, again.reason, again.detail))
        for refused in prepared.rejected:
            event = events[refused.number]
            detail = f"it would be refused today: {refused.reason}: {refused.detail}"[
                : reads.LABEL_CHARACTERS_MAX
            ]
            verdicts.kept.append((event.id, event.owner_org, event.reason, detail))

    def _write(self, tx: Tx, replay: Replay, verdicts: _Verdicts, *, at: datetime) -> None:
        gone = [id for id, _, _ in verdicts.moved] + verdicts.duplicate
        if gone:
            replay_rows.delete_quarantined(tx, ids=gone)
        if verdicts.moved:
            replay_rows.insert_replayed(tx, verdicts.moved, replay=replay.id, at=at)
        if verdicts.kept:
            replay_rows.update_quarantined(tx, verdicts.kept)

    def _leave(self, id: UUID, error: Exception, *, now: datetime) -> None:
        """The next event of the replay cannot be stored: say so in its detail, and go on behind it."""
        _log.error("event_cannot_be_replayed", replay=str(id), error=repr(error))
        detail = f"the event cannot be stored: {type(error).__name__}"
        with self._database.transaction(reach=EVERYWHERE) as tx:
            replay = replay_rows.lock_replay(tx, id=id)
            if replay is None or not (chosen := replay_rows.list_replayable(tx, replay, limit=1)):
                return
            (place, _), *_ = chosen
            events = replay_rows.lock_quarantined(tx, ids=[place])
            replay_rows.update_quarantined(
                tx, [(event.id, event.owner_org, event.reason, detail) for event in events]
            )
            replay_rows.advance_replay(
                tx, id=id, cursor=place, replayed=0, kept=len(events), duplicate=0, at=now
            )


def _within_bytes(found: Sequence[tuple[UUID, int]]) -> list[UUID]:
    """As many of the first events as fit GROUP_BYTES_MAX, one at least."""
    chosen: list[UUID] = []
    total = 0
    for id, size in found:
        total += size
        if chosen and total > GROUP_BYTES_MAX:
            break
        chosen.append(id)
    return chosen


def _stored_ids(tx: Tx, events: Sequence[QuarantinedEvent]) -> frozenset[bytes]:
    """Those that are stored: two processes that disagreed on a meter for a moment may have kept an event twice."""
    keys = np.array([event.id.bytes for event in events], "S16")
    return frozenset(store.find_events(tx, store.Keys(data=keys.tobytes(), elements=array_elements(keys))))


def _sender(owner_org: int) -> Sender:
    return Sender(owner_org=owner_org, reach=EVERYWHERE if owner_org == 0 else frozenset({owner_org}))


def _read(event: QuarantinedEvent) -> Batch | str:
    """The event, or why it cannot be read any more."""
    try:
        batch = decode_event(event.event)
    except UnreadableEvents as error:
        return str(error)[: reads.LABEL_CHARACTERS_MAX]
    if batch.rejected:
        refused = batch.rejected[0]
        return f"it would be refused today: {refused.reason}: {refused.detail}"[: reads.LABEL_CHARACTERS_MAX]
    return batch


def _tally(good: Rows, events: Sequence[QuarantinedEvent]) -> Counter[tuple[int, date, str]]:
    """They are accepted now, on the day that they were received, and `replayed` says that they were not at first."""
    tallies: Counter[tuple[int, date, str]] = Counter()
    numbers: list[int] = good.number.tolist()
    late: list[bool] = good.late.tolist()
    for number, is_late in zip(numbers, late, strict=True):
        scope = events[number].owner_org, events[number].received_at.date()
        tallies[*scope, "accepted"] += 1
        tallies[*scope, "replayed"] += 1
        if is_late:
            tallies[*scope, "late"] += 1
    return tallies
