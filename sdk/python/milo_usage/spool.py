"""The spool: what was recorded and not yet acknowledged, on disk, within a bound.

Owns: this process's segments, group commit into them, adoption of the segments that dead processes left, the bound over
all processes together. Not: sending (sender), what a record says (events).
"""

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from milo_usage.clock import Clock
from milo_usage.commits import GroupCommit, Ticket
from milo_usage.errors import SpoolFull, UnableToRecord
from milo_usage.folder import FORK_GATE, Claim, Folder
from milo_usage.identifiers import Ulids
from milo_usage.records import Damage, Record
from milo_usage.segments import HEAD_BYTES, Segment

BYTES_MAX_DEFAULT: Final = 1024**3
BYTES_MAX_LEAST: Final = 1024**2
SEGMENT_BYTES_MIN: Final = 64 * 1024
SEGMENT_BYTES_MAX: Final = 4 * 1024 * 1024
_SEGMENTS_WANTED: Final = 64

_FULL_FOR_S: Final = 0.1
"""After the bound was met, as large a segment is refused for so long without looking at the folder again."""

_log = logging.getLogger("milo_usage")


@dataclass(frozen=True, slots=True)
class Batch:
    """What to send next: records of one segment, or a damaged place in it; `end` is what to acknowledge afterwards."""

    segment: Segment
    records: tuple[Record, ...]
    damage: Damage | None
    end: int


class Spool:
    """One process's part in a spool folder. Thread-safe; not to be used in a forked child (`abandon`)."""

    def __init__(self, path: Path, *, bytes_max: int, clock: Clock) -> None:
        if bytes_max < BYTES_MAX_LEAST:
            raise ValueError(f"spool_bytes_max is {bytes_max}: at least {BYTES_MAX_LEAST} are needed")
        self.folder = Folder(path)
        self.bytes_max = bytes_max
        self.work = threading.Event()
        self._segment_bytes = min(SEGMENT_BYTES_MAX, max(SEGMENT_BYTES_MIN, bytes_max // _SEGMENTS_WANTED))
        self._clock = clock
        self._commits = GroupCommit(self._write)
        self._lock = threading.Lock()
        self._own: Claim | None = None
        self._adopted: dict[str, Claim] = {}
        self._segments: list[Segment] = []
        self._active: Segment | None = None
        self._number = 0
        self._full_until_s = 0.0
        self._full_for_bytes = 0
        self._full_message = ""
        self._acknowledged = threading.Condition()
        self._closed = False

    # -- recording

    def append(self, data: bytes) -> None:
        """Have records on disk when this returns, all of them or none.

        Raises SpoolFull, UnableToRecord or RecorderClosed.
        """
        self._commits.commit(data)
        if not self.work.is_set():
            self.work.set()

    def _write(self, group: Sequence[Ticket]) -> None:
        """Write the tickets with as few syncs as there are segments needed. One thread at a time is here."""
        together: list[Ticket] = []
        size = 0
        for ticket in group:
            need = len(ticket.data)
            if self._active is None or size + need > self._active.room:
                self._flush(together)
                together, size = [], 0
                try:
                    self._begin_segment(need)
                except (SpoolFull, OSError) as error:
                    ticket.error = self._explained(error)
                    continue
            together.append(ticket)
            size += need
        self._flush(together)

    def _flush(self, tickets: Sequence[Ticket]) -> None:
        segment = self._active
        if not tickets or segment is None:
            return
        try:
            segment.append(b"".join(ticket.data for ticket in tickets))
        except BaseException as error:
            self._active = None
            self._retire(segment)
            for ticket in tickets:
                ticket.error = self._explained(error)
            if not isinstance(error, OSError):
                raise
        for ticket in tickets:
            ticket.written = ticket.error is None

    def _explained(self, error: BaseException) -> BaseException:
        if not isinstance(error, OSError):
            return error
        explained = UnableToRecord(
            f"{self.folder.path}: {error.strerror or error}; the event is not recorded. "
            "Mend the disk and record it again"
        )
        explained.__cause__ = error
        return explained

    def _begin_segment(self, need: int) -> None:
        """Go on in a new segment, if it fits under the bound. Raises SpoolFull or OSError; the old one stays then."""
        old, capacity = self._active, max(self._segment_bytes, need)
        if capacity >= self._full_for_bytes and self._clock.monotonic_s() < self._full_until_s:
            raise SpoolFull(self._full_message)
        with self.folder.alone():
            used = self.folder.bytes_used()
            freed = 0 if old is None else old.size - (0 if old.done else old.durable)
            if used - freed + HEAD_BYTES + capacity > self.bytes_max:
                self._full_for_bytes = capacity
                self._full_until_s = self._clock.monotonic_s() + _FULL_FOR_S
                self._full_message = (
                    f"{self.folder.path} holds {used} bytes, and spool_bytes_max is {self.bytes_max}: the event is not "
                    "recorded. See metrics().last_error for why nothing is sent, or raise the bound"
                )
                raise SpoolFull(self._full_message)
            if self._own is None:
                self._own = self.folder.new_claim(self._new_writer())
                self.note({})
            if old is not None:
                old.seal()
                self._active = None
                self._retire(old)
            self._number += 1
            segment = Segment.create(
                self.folder.segment_path(self._own.writer, self._number), capacity=capacity
            )
            with self._lock:
                self._segments.append(segment)
            self._active = segment

    def _new_writer(self) -> str:
        (writer,) = Ulids(self._clock).make()
        return writer

    # -- sending

    def adopt_orphans(self) -> int:
        """Take over what processes left that are gone; how many segments."""
        found: list[Segment] = []
        with self.folder.alone():
            if self._closed:
                return 0
            held = {*self._adopted, *([self._own.writer] if self._own else [])}
            for claim in self.folder.claim_orphans(frozenset(held)):
                paths = self.folder.segment_paths(claim.writer)
                if not paths:
                    claim.path.unlink(missing_ok=True)
                    claim.close()
                    continue
                self._adopted[claim.writer] = claim
                found += [Segment.open(path) for path in paths]
            with self._lock:
                self._segments[:0] = found
        if found:
            _log.info("sending %d segments that ended processes left in %s", len(found), self.folder.path)
        return len(found)

    def next_batch(self, *, events_max: int, payload_bytes_max: int) -> Batch | None:
        """The oldest unacknowledged records that this process holds; None if there are none."""
        self.work.clear()
        for segment in self.held():
            while not segment.done:
                reading = segment.read(records_max=events_max, payload_bytes_max=payload_bytes_max)
                if reading.records or reading.damage is not None:
                    return Batch(segment, reading.records, reading.damage, reading.end)
                if reading.end <= segment.acknowledged:
                    break  # closed meanwhile
                self.acknowledge(segment, reading.end)  # nothing but zeros
            else:
                self._retire(segment)
        return None

    def acknowledge(self, segment: Segment, offset: int) -> None:
        """What lies before the offset is the gateway's now, or a dead letter."""
        segment.acknowledge(offset)
        self._retire(segment)
        with self._acknowledged:
            self._acknowledged.notify_all()

    def _retire(self, segment: Segment) -> None:
        """Delete the segment if nothing more is written to it or sent from it."""
        with self._lock:
            if self._closed or not (segment.sealed and segment.done) or segment not in self._segments:
                return
            self._segments.remove(segment)
            segment.delete()
            writer = segment.path.name.split(".")[0]
            left = any(other.path.name.startswith(writer + ".") for other in self._segments)
            ended = None if left else self._adopted.pop(writer, None)
        if ended is not None:
            self.folder.drop(ended)

    # -- looking

    def held(self) -> list[Segment]:
        """The segments of this process, the oldest first."""
        with self._lock:
            return list(self._segments)

    def unsent_bytes(self) -> int:
        """Bytes that this process still has to send."""
        return sum(segment.durable - segment.acknowledged for segment in self.held())

    def oldest_us(self) -> int | None:
        """When the oldest unsent event happened, of those at the head of each segment; microseconds since 1970."""
        times = [segment.head_us() for segment in self.held()]
        return min((time for time in times if time is not None), default=None)

    def wait_until_sent(self, timeout_s: float | None) -> bool:
        """Whether everything that is held now has been acknowledged, after waiting for it."""
        marks = [(segment, segment.durable) for segment in self.held()]

        def sent() -> bool:
            return self._closed or all(segment.acknowledged >= durable for segment, durable in marks)

        with self._acknowledged:
            self._acknowledged.wait_for(sent, timeout_s)
        return all(segment.acknowledged >= durable for segment, durable in marks)

    def note(self, details: dict[str, Any]) -> None:
        """Tell `status` in other processes about this one."""
        with self._lock:
            if self._own is not None and not self._closed:
                self._own.describe({"pid": os.getpid(), **details})

    # -- ending

    def close(self) -> None:
        """Give the segments back; what was not sent is adopted by the next process that opens the folder."""
        self._commits.close()
        with FORK_GATE, self._lock:
            if self._closed:
                return
            self._closed = True
            for segment in self._segments:
                if segment.done:
                    segment.delete()
                    continue
                if not segment.sealed:
                    segment.seal()
                segment.close()
            if self._own is not None and not self.folder.segment_paths(self._own.writer):
                self.folder.drop(self._own)
            elif self._own is not None:
                self._own.close()
            for claim in self._adopted.values():
                claim.close()
        with self._acknowledged:
            self._acknowledged.notify_all()

    def abandon(self) -> None:
        """In a forked child: close the copies of the parent's files, and touch nothing else."""
        for segment in self._segments:
            segment.abandon()
        for claim in (*self._adopted.values(), *([self._own] if self._own else [])):
            claim.close()
