"""The change log, read once a process and handed to every watcher.

One thread listens and reads; each watcher has a queue on the event loop, bounded in changes and in bytes. A watcher
that does not keep up loses its queue and is told 410: it never slows a writer, another watcher, or memory.
"""

import asyncio
import concurrent.futures
import select
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
import structlog

from milo_billing.controlplane import metrics
from milo_billing.controlplane.kinds import AnyKind, Registry
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.store import Store
from milo_billing.infra.database import Tx, connect
from milo_billing.kernel.errors import Unavailable

QUEUE_MAX = 1_000
"""Changes that may wait for one watcher."""

QUEUE_BYTES_MAX = 8 * 1024 * 1024
"""And their size as JSON; in memory an object takes several times that, but watchers share it."""

BATCH_MAX = 1_000
PORTION_BYTES = QUEUE_BYTES_MAX // 4
PORTION_PAUSE_S = 0.005
PORTION_S_MAX = 1.0
"""Changes that come all at once are handed out in portions, so that who keeps up is not drowned in one go: watchers get
a pause to take what waits, and the event loop the time that it needs, up to a second."""

POLL_S = 5.0
"""A notification that got lost delays a change by no more than this, in seconds."""

RECONNECT_S_MAX = 5.0

_log = structlog.get_logger(__name__)

_COLUMNS = (
    "resource_version, change, api_group, resource, uid, namespace, name, owner_org, readable_by_all, object, "
    "old_labels, old_fields, octet_length(object::text)"
)


@dataclass(slots=True, eq=False)
class Event:
    """One committed change. `row` is the object as of it, personal fields in clear: never log it."""

    resource_version: int
    change: Literal["ADDED", "MODIFIED", "DELETED"]
    kind: AnyKind
    row: Row
    fields: dict[str, str]
    old_labels: dict[str, str] | None
    old_fields: dict[str, str] | None
    size_bytes: int = 0
    """Of the object as JSON."""
    encoded: dict[Any, bytes] = field(default_factory=dict[Any, bytes])
    """Encodings shared by all watchers that want the same: the event is encoded once."""


def read_changes(
    tx: Tx, store: Store, registry: Registry, *, after: int, limit: int, kind: AnyKind | None = None
) -> list[Event]:
    """Committed changes after a resource version, oldest first; of one kind, or of all."""
    query = f"select {_COLUMNS} from controlplane.changes where resource_version > %s"
    parameters: list[Any] = [after]
    if kind is not None:
        query += " and api_group = %s and resource = %s"
        parameters += [kind.group, kind.plural]
    query += " order by resource_version limit %s"
    rows = tx.execute(query.encode(), [*parameters, limit]).fetchall()
    served = {(k.group, k.plural): k for k in registry.kinds}
    known = [row for row in rows if (row[2], row[3]) in served]
    store.sealer.prefetch(tx, {row[4] for row in known if served[row[2], row[3]].personal})
    return [_event(tx, store, served[row[2], row[3]], row) for row in known]


def _event(tx: Tx, store: Store, kind: AnyKind, found: Sequence[Any]) -> Event:
    stored: dict[str, Any] = found[9]
    row = Row(
        uid=found[4] if isinstance(found[4], UUID) else UUID(found[4]),
        namespace=found[5],
        name=found[6],
        owner_org=found[7],
        readable_by_all=found[8],
        generation=stored["generation"],
        created_at=datetime.fromisoformat(stored["created_at"]),
        resource_version=found[0],
        deletion_requested_at=datetime.fromisoformat(stored["deletion_requested_at"])
        if stored["deletion_requested_at"]
        else None,
        labels=stored["labels"],
        metadata=stored["metadata"],
        spec=stored["spec"],
        status=stored["status"],
    )
    store.open_personal(tx, kind, row)
    fields = {**stored["fields"], "metadata.name": row.name, "metadata.namespace": row.namespace}
    names = {"metadata.name": row.name, "metadata.namespace": row.namespace}
    old_fields = None if found[11] is None else {**found[11], **names}
    return Event(found[0], found[1], kind, row, fields, found[10], old_fields, found[12])


class Subscription:
    """One watcher's bounded queue. Used on the event loop only."""

    def __init__(self, kind: AnyKind) -> None:
        self.kind = kind
        self.overrun = False
        self._waiting: list[Event] = []
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()

    def offer(self, event: Event) -> None:
        """Let the event wait. One that alone is larger than the queue may wait alone: else nobody could watch it."""
        if self.overrun:
            return
        too_much = self._waiting and self._waiting_bytes + event.size_bytes > QUEUE_BYTES_MAX
        if too_much or len(self._waiting) >= QUEUE_MAX:
            self.overrun = True
            self._waiting.clear()
        else:
            self._waiting.append(event)
            self._waiting_bytes += event.size_bytes
        self._arrived.set()

    def wake(self) -> None:
        self._arrived.set()

    async def take(self, timeout_s: float) -> list[Event]:
        """What has arrived; empty when nothing does within the time."""
        if not self._waiting and not self.overrun:
            try:
                await asyncio.wait_for(self._arrived.wait(), timeout_s)
            except TimeoutError:
                return []
        self._arrived.clear()
        taken, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return taken


class ChangeFeed:
    """Reads committed changes in order and offers each to the watchers of its kind."""

    def __init__(self, conninfo: str, store: Store, registry: Registry) -> None:
        self._conninfo = conninfo
        self._store = store
        self.registry = registry
        self._subscriptions: dict[AnyKind, set[Subscription]] = {kind: set() for kind in registry.kinds}
        self._stopping = threading.Event()
        # written to when the thread must stop: it waits for this and for PostgreSQL at once
        self._wake, self._woken = socket.socketpair()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._head: int | None = None
        self.draining = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.Thread(target=self._listen, name="change-feed", daemon=True)
        self._thread.start()

    def drain(self) -> None:
        """End every watch soon: called on the event loop when the process is told to stop."""
        self.draining = True
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.wake()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.send(b"x")
        if self._thread is not None:
            self._thread.join()
        self._wake.close()
        self._woken.close()

    def problem(self) -> str | None:
        """What keeps watchers from seeing changes; None when nothing does."""
        if self._thread is not None and not self._thread.is_alive() and not self._stopping.is_set():
            return "the change feed is not running: watchers see nothing new"
        return None

    @property
    def head(self) -> int:
        """The newest resource version that watchers have been offered."""
        return self._head or 0

    @property
    def watchers(self) -> int:
        return sum(len(s) for s in self._subscriptions.values())

    def subscribe(self, kind: AnyKind) -> Subscription:
        subscription = Subscription(kind)
        self._subscriptions[kind].add(subscription)
        metrics.WATCHERS.inc()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions[subscription.kind].discard(subscription)
        metrics.WATCHERS.dec()

    # -- the thread ---------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        pause_s = 0.1
        while not self._stopping.is_set():
            try:
                with connect(self._conninfo, role="milo_app", autocommit=True) as connection:
                    connection.execute("listen controlplane")
                    connection.execute("select set_config('milo.reach', '*', false)")
                    pause_s = 0.1
                    self._follow(connection)
            except (psycopg.OperationalError, Unavailable) as error:
                _log.warning("change_feed_reconnects", error=str(error), pause_s=pause_s)
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, RECONNECT_S_MAX)

    def _follow(self, connection: Tx) -> None:
        if self._head is None:
            self._head = self._store.head(connection)
        while not self._stopping.is_set():
            while events := read_changes(
                connection, self._store, self.registry, after=self._head, limit=BATCH_MAX
            ):
                for portion in portions(events):
                    self._head = portion[-1].resource_version
                    self._hand_out(portion)
            select.select([connection, self._woken], [], [], POLL_S)
            for _ in connection.notifies(timeout=0):
                continue  # that there was one is all that counts: everything committed is read in order

    def _hand_out(self, events: Sequence[Event]) -> None:
        assert self._loop is not None, "start gives it"
        published = asyncio.run_coroutine_threadsafe(self._publish(events), self._loop)
        done, _ = concurrent.futures.wait([published], timeout=PORTION_S_MAX)
        for one in done:
            one.result()

    async def _publish(self, events: Iterable[Event]) -> None:
        for event in events:
            for subscription in self._subscriptions[event.kind]:
                subscription.offer(event)
        await asyncio.sleep(PORTION_PAUSE_S)


def portions(events: Sequence[Event]) -> Iterator[list[Event]]:
    """The events in their order, a quarter of what may wait for a watcher at a time; a larger one comes alone."""
    portion: list[Event] = []
    size_bytes = 0
    for event in events:
        if portion and size_bytes + event.size_bytes > PORTION_BYTES:
            yield portion
            portion, size_bytes = [], 0
        portion.append(event)
        size_bytes += event.size_bytes
    if portion:
        yield portion
