"""The waiting line in front of the engine: bounded by events and bytes, taken in groups.

Owns: back-pressure, and who has not been answered yet. Not: threads, or what happens to a group.
"""

from collections import deque
from threading import Condition
from typing import Final

from milo_billing.kernel.errors import TooMany, Unavailable
from milo_billing.usage.engine import metrics
from milo_billing.usage.engine.groups import Group, Request, whole

GROUP_EVENTS_MAX: Final = 10_000
"""Events that are written in one transaction; a single request may hold as many."""

WAITING_EVENTS_MAX: Final = 100_000
WAITING_BYTES_MAX: Final = 64 * 1024 * 1024
"""What may wait for its acknowledgement; above that, senders are asked to come back."""


class Line:
    """Requests in order of arrival, from acceptance to answer. Thread-safe."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._queued: deque[Request] = deque()
        self._unanswered: dict[int, Request] = {}
        self._events = 0
        self._bytes = 0
        self._closed = False

    def join(self, request: Request) -> None:
        """Take the request in. Raises TooMany when too much waits, Unavailable when the engine stops."""
        with self._changed:
            if self._closed:
                raise Unavailable("the gateway is stopping; send the same request again")
            events, size = self._events + request.batch.size, self._bytes + len(request.batch.body)
            if self._unanswered and (events > WAITING_EVENTS_MAX or size > WAITING_BYTES_MAX):
                raise _full()
            self._events, self._bytes = events, size
            self._queued.append(request)
            self._unanswered[id(request)] = request
            metrics.BACKLOG_DEPTH.set(self._events)
            self._changed.notify_all()

    def check_room(self) -> None:
        """Raises TooMany where so much waits that whatever comes now would be refused."""
        with self._changed:
            if self._events >= WAITING_EVENTS_MAX or self._bytes >= WAITING_BYTES_MAX:
                raise _full()

    def take(self) -> Group | None:
        """The next group, waiting for one; None once the line is closed and empty."""
        with self._changed:
            while not self._queued and not self._closed:
                self._changed.wait()
            if not self._queued:
                return None
            chosen = [self._queued.popleft()]
            events = chosen[0].batch.size
            while self._queued and events + self._queued[0].batch.size <= GROUP_EVENTS_MAX:
                chosen.append(self._queued.popleft())
                events += chosen[-1].batch.size
            return whole(chosen)

    def leave(self, group: Group) -> None:
        """The requests of the group have been answered."""
        with self._changed:
            for part in group.parts:
                self._forget(part.request)
            metrics.BACKLOG_DEPTH.set(self._events)

    def fail_all(self, error: BaseException) -> None:
        """Answer every request that waits with this error."""
        with self._changed:
            failed = list(self._unanswered.values())
            self._queued.clear()
            for request in failed:
                self._forget(request)
            metrics.BACKLOG_DEPTH.set(self._events)
        for request in failed:
            request.fail(error)

    def close(self) -> None:
        """Take nobody in any more; those who wait are served."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _forget(self, request: Request) -> None:
        if self._unanswered.pop(id(request), None) is not None:
            self._events -= request.batch.size
            self._bytes -= len(request.batch.body)


def _full() -> TooMany:
    metrics.REFUSED.inc()
    metrics.INGESTION_REJECTIONS.labels(metrics.BACK_PRESSURE).inc()
    return TooMany("more usage is waiting than can be kept; send the same request again")
