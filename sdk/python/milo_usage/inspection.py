"""What lies in a spool folder, seen from outside, and dead letters sent again. Changes nothing but on request."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from milo_usage import deadletters, records
from milo_usage.clock import Clock
from milo_usage.deadletters import DeadLetter
from milo_usage.folder import Folder
from milo_usage.segments import Segment
from milo_usage.spool import BYTES_MAX_DEFAULT, Spool

_READ_EVENTS: Final = 10_000
_READ_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WriterState:
    """One process's part of the spool. `alive` says that a process holds it; `details` what that process tells."""

    writer: str
    alive: bool
    details: dict[str, Any]
    events: int
    bytes: int
    damaged_bytes: int
    oldest_us: int | None


@dataclass(frozen=True, slots=True)
class State:
    """A whole folder. `rejected` counts dead letters by reason."""

    writers: tuple[WriterState, ...]
    bytes: int
    rejected: dict[str, int]

    @property
    def events(self) -> int:
        """Events that wait."""
        return sum(writer.events for writer in self.writers)

    @property
    def oldest_us(self) -> int | None:
        """When the oldest of them happened."""
        return min(
            (writer.oldest_us for writer in self.writers if writer.oldest_us is not None), default=None
        )


def inspect(path: Path) -> State:
    """Look at a spool, whoever is using it. Raises FileNotFoundError when there is none."""
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is not there")
    folder = Folder(path)
    with folder.alone():
        orphans = folder.claim_orphans(frozenset())
        for claim in orphans:
            claim.close()
    idle = {claim.writer for claim in orphans}
    return State(
        writers=tuple(
            _writer_state(folder, writer, alive=writer not in idle) for writer in sorted(folder.writers())
        ),
        bytes=folder.bytes_used(),
        rejected=dict(Counter(letter.reason for letter in deadletters.read(folder))),
    )


def _writer_state(folder: Folder, writer: str, *, alive: bool) -> WriterState:
    events = size = damaged = 0
    times: list[int] = []
    for path in folder.segment_paths(writer):
        try:
            segment = Segment.open(path)
        except FileNotFoundError:  # acknowledged and deleted just now
            continue
        place = segment.acknowledged
        while place < segment.durable:
            reading = segment.read(records_max=_READ_EVENTS, payload_bytes_max=_READ_BYTES, start=place)
            events += len(reading.records)
            size += sum(records.FRAME_BYTES + len(record.payload) for record in reading.records)
            times += [record.occurred_us for record in reading.records[:1]]
            damaged += 0 if reading.damage is None else reading.damage.end - reading.damage.start
            place = reading.end
        segment.close()
    details = folder.details(writer) if alive else {}
    return WriterState(writer, alive, details, events, size, damaged, min(times, default=None))


def resend(path: Path, *, clock: Clock) -> tuple[int, int]:
    """Put the events of all dead letters back into the spool under their old ids; how many, and how many letters stay.

    They are sent by the next process that looks for orphans. Letters without an event stay. A kill in between
    leaves an event in both places, which counts once. Raises SpoolFull at the default bound.
    """
    folder = Folder(path)
    letters = deadletters.read(folder)
    chosen = [letter for letter in letters if letter.event is not None]
    if chosen:
        spool = Spool(path, bytes_max=BYTES_MAX_DEFAULT, clock=clock)
        now_us = clock.now_us()
        spool.append(b"".join(records.pack(_payload(letter), now_us) for letter in chosen))
        again = {letter.id for letter in chosen}
        # before the segment is let go of: nobody can have sent it and been refused again yet
        with folder.alone():
            deadletters.keep_only(
                folder, [letter for letter in deadletters.read(folder) if letter.id not in again]
            )
        spool.close()
    return len(chosen), len(letters) - len(chosen)


def _payload(letter: DeadLetter) -> bytes:
    return json.dumps(letter.event, separators=(",", ":"), ensure_ascii=False).encode()
