"""Write one prepared group in one transaction: probe, decide, COPY. The caller commits, then acknowledges.

Owns: which ids were here before, and the order of statements. Not: retries and the search for bad events (commit).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from milo_billing.infra.database import Tx
from milo_billing.usage import store
from milo_billing.usage.engine.billed import BilledDays, insert_changes, late_changes
from milo_billing.usage.engine.days import DAY_US, to_date
from milo_billing.usage.engine.groups import (
    ACCEPTED,
    DUPLICATE,
    QUARANTINED,
    REJECTED,
    UNDECIDED,
    Fates,
    Part,
)
from milo_billing.usage.engine.prepared import GOOD, REASONS, Prepared, Rejected, Rows
from milo_billing.usage.engine.quarantine import quarantined
from milo_billing.usage.engine.readings import to_instant
from milo_billing.usage.engine.rows import (
    array_elements,
    pack_deltas,
    pack_distinct_keys,
    pack_events,
    pack_foreign_ids,
    pack_keyed_events,
)
from milo_billing.usage.types import ChunkResult, RejectedRow, RejectReason

Mask: TypeAlias = NDArray[np.bool_]
U64: TypeAlias = NDArray[np.uint64]
Tallies: TypeAlias = Counter[tuple[int, date, str]]

_CONFLICT: Final = "the id was used before, for an event with another payload or time; the first one stays"


@dataclass(frozen=True, slots=True)
class Decided:
    """The fate of every event of the group, and why those that were rejected were."""

    fates: Fates
    rejected: list[Rejected]
    tallies: Tallies


def write_group(tx: Tx, prepared: Prepared, *, process: UUID, billed: BilledDays) -> Decided:
    """Store what is new of the group. Its knowledge must be current under the fence that `tx` holds.

    What comes for a day that `billed` says is invoiced is stored all the same, and marked as a change.

    Raises UniqueViolation if another process has stored one of the ids since the probe: try again.
    """
    rows = prepared.rows
    seen, digests = _seen_before(tx, rows)
    decided = _decide(prepared, seen, digests)
    fresh = rows.take(~seen) if seen.any() else rows
    stored = fresh.take(fresh.reason == GOOD) if (fresh.reason != GOOD).any() else fresh
    if len(stored) < len(fresh):
        store.copy_quarantine(tx, quarantined(prepared, fresh.take(fresh.reason != GOOD)))
    store_rows(tx, prepared, stored, billed=billed, now=_received(prepared))
    if fresh.foreign.any():
        store.copy_foreign_ids(tx, pack_foreign_ids(fresh.take(fresh.foreign)))
    _record_chunks(tx, prepared, decided)
    store.add_tallies(tx, process=process, tallies=decided.tallies)
    return decided


def store_rows(tx: Tx, prepared: Prepared, rows: Rows, *, billed: BilledDays, now: datetime) -> None:
    """Store and roll up these rows of the group, all of them GOOD and new: whatever makes an event count is here.

    What comes for a day that `billed` says is invoiced is marked as a change made at `now`.
    """
    store.insert_dimension_sets(tx, prepared.new_dimensions)
    store.insert_resources(tx, prepared.new_resources)
    if not len(rows):
        return
    billed.hold(tx, rows.account)
    insert_changes(tx, late_changes(rows, billed, now=now))
    plain = rows
    if rows.keyed.any():
        plain, keyed = rows.take(~rows.keyed), rows.take(rows.keyed)
        store.copy_keyed_events(tx, pack_keyed_events(keyed))
        store.copy_distinct_keys(tx, pack_distinct_keys(keyed))
    store.copy_events(tx, pack_events(plain))
    store.copy_deltas(tx, pack_deltas(rows))


def _seen_before(tx: Tx, rows: Rows) -> tuple[Mask, U64]:
    """Which rows have a key that is stored already, and the digest of what is stored under it."""
    seen = np.zeros(len(rows), np.bool_)
    digests = np.zeros(len(rows), np.uint64)
    native = len(rows) - int(rows.foreign.sum())  # rows are sorted: native ones first
    for start, stop, find in ((0, native, store.find_stored), (native, len(rows), store.find_foreign)):
        keys = rows.key[start:stop]
        found = find(tx, store.Keys(data=keys.tobytes(), elements=array_elements(keys)))
        if found:
            places = start + np.searchsorted(keys, np.array(list(found), "S16"))
            seen[places] = True
            digests[places] = np.array(list(found.values()), np.int64).view(np.uint64)
    return seen, digests


def _decide(prepared: Prepared, seen: Mask, digests: U64) -> Decided:
    rows, followers = prepared.rows, prepared.followers
    fates = prepared.fates.copy()
    fate = np.where(rows.reason == GOOD, ACCEPTED, QUARANTINED)
    fate[seen] = np.where(rows.digest[seen] == digests[seen], DUPLICATE, REJECTED)
    fates[rows.number] = fate
    first_digest = np.where(seen, digests, rows.digest)[followers.leader]
    fates[followers.number] = np.where(followers.digest == first_digest, DUPLICATE, REJECTED)
    conflicts = np.concatenate(
        [rows.number[fate == REJECTED], followers.number[followers.digest != first_digest]]
    )
    refused: list[int] = conflicts.tolist()
    rejected = [*prepared.rejected, *(Rejected(number, "ID_CONFLICT", _CONFLICT) for number in refused)]
    return Decided(fates, rejected, _tally(prepared, seen, fates, rejected))


def _tally(prepared: Prepared, seen: Mask, fates: Fates, rejected: Sequence[Rejected]) -> Tallies:
    """Counts of fates, by the sender's organization and the day of receipt."""
    group, rows = prepared.group, prepared.rows
    part_of = group.part_index()
    width = len(group.parts)
    scopes = [_scope(part) for part in group.parts]
    tallies: Tallies = Counter()

    def count(fate: str, parts: NDArray[Any]) -> None:
        counted: list[int] = np.bincount(parts, minlength=width).tolist()
        for scope, events in zip(scopes, counted, strict=True):
            if events:
                tallies[*scope, fate] += events

    count("accepted", part_of[fates == ACCEPTED])
    count("duplicate", part_of[fates == DUPLICATE])
    count("late", part_of[rows.number[rows.late & ~seen & (rows.reason == GOOD)]])
    for code, reason in REASONS.items():
        chosen = rows.number[(rows.reason == code) & ~seen]
        if len(chosen):
            count(f"quarantined:{reason}", part_of[chosen])
    for refusal in rejected:
        tallies[*scopes[int(part_of[refusal.number])], f"rejected:{refusal.reason}"] += 1
    for part, scope in zip(group.parts, scopes, strict=True):
        if part.start == 0:
            for unreadable in part.request.batch.rejected:
                tallies[*scope, f"rejected:{unreadable.reason}"] += 1
    return tallies


def _received(prepared: Prepared) -> datetime:
    """When the last of the group's requests came in."""
    return to_instant(max(part.request.received_us for part in prepared.group.parts))


def _scope(part: Part) -> tuple[int, date]:
    return part.request.sender.owner_org, to_date(part.request.received_us // DAY_US)


def _record_chunks(tx: Tx, prepared: Prepared, decided: Decided) -> None:
    """Keep the answer to each chunk of an import whose last undecided events these are."""
    for part, start in zip(prepared.group.parts, prepared.group.starts(), strict=True):
        request = part.request
        if request.chunk is None:
            continue
        fates = request.fates.copy()
        fates[part.start : part.stop] = decided.fates[start : start + part.size]
        if (fates == UNDECIDED).any():
            continue
        rejections: list[tuple[int, RejectReason, str]] = [
            (item.position, item.reason, item.detail) for item in request.rejected
        ]
        for item in decided.rejected:
            if start <= item.number < start + part.size:
                position = request.batch.position(part.start + item.number - start)
                rejections.append((position, item.reason, item.detail))
        numbers = request.chunk.row_numbers
        counts: list[int] = np.bincount(fates, minlength=4).tolist() if len(fates) else [0, 0, 0, 0]
        result = ChunkResult(
            accepted=counts[ACCEPTED],
            quarantined=counts[QUARANTINED],
            duplicate=counts[DUPLICATE],
            rejected=tuple(
                RejectedRow(numbers[i], reason, detail) for i, reason, detail in sorted(rejections)
            ),
        )
        store.insert_chunk(tx, request.chunk, result)


def take_note(prepared: Prepared, decided: Decided) -> None:
    """After the commit: tell the requests what became of their events."""
    for part, start in zip(prepared.group.parts, prepared.group.starts(), strict=True):
        part.request.fates[part.start : part.stop] = decided.fates[start : start + part.size]
    starts = prepared.group.starts()
    part_of = prepared.group.part_index()
    for item in decided.rejected:
        place = int(part_of[item.number])
        part = prepared.group.parts[place]
        part.request.reject(part.start + item.number - starts[place], item.reason, item.detail)
