"""Many threads share one fsync: whoever comes while another writes waits, and the next one writes for all who wait."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

from milo_usage.errors import RecorderClosed, UnableToRecord


class Ticket:
    """What one caller wants written, all of it or nothing: `written`, or `error` says why not."""

    __slots__ = ("data", "done", "error", "written")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.done = False
        self.written = False
        self.error: BaseException | None = None


Write: TypeAlias = Callable[[Sequence[Ticket]], None]
"""Writes and syncs a group; sets `written` or `error` on each ticket."""


class GroupCommit:
    """Thread-safe. Only one thread at a time is in `write`."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._changed = threading.Condition()
        self._waiting: list[Ticket] = []
        self._writing = False
        self._closed = False

    def commit(self, data: bytes) -> None:
        """Returns once the data is on disk. Raises what the writer noted on the ticket, or RecorderClosed."""
        ticket = Ticket(data)
        with self._changed:
            if self._closed:
                raise RecorderClosed(
                    "the recorder is closed: make a new one, and close it when the process ends"
                )
            self._waiting.append(ticket)
            try:
                while self._writing and not ticket.done:
                    self._changed.wait()
            except BaseException:  # Ctrl-C: nobody is left to lead for it
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
                raise
            group: list[Ticket] = []
            if not ticket.done:
                self._writing = True
                group, self._waiting = self._waiting, []
        if group:
            self._lead(group)
        if ticket.error is not None:
            raise ticket.error

    def _lead(self, group: list[Ticket]) -> None:
        try:
            self._write(group)
        finally:
            with self._changed:
                for ticket in group:
                    ticket.done = True
                    if not ticket.written and ticket.error is None:
                        ticket.error = UnableToRecord(
                            "interrupted before the event was written; record it again"
                        )
                self._writing = False
                self._changed.notify_all()

    def close(self) -> None:
        """Take nobody in any more, and wait for those who are in."""
        with self._changed:
            self._closed = True
            while self._writing or self._waiting:
                self._changed.wait()
