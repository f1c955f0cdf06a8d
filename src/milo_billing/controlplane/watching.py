"""One watch: the objects that stand, then what changes, until the client or the clock ends it.

Protocol: kubernetes-api.md "Exact shapes" 5; https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import random
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import orjson
from starlette.concurrency import run_in_threadpool

from milo_billing.controlplane import metrics
from milo_billing.controlplane.feed import ChangeFeed, Event, read_changes
from milo_billing.controlplane.identity import Reach, reaches
from milo_billing.controlplane.kinds import AnyKind, Json
from milo_billing.controlplane.representations import Representation, render_one, render_table
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.selectors import Selector
from milo_billing.controlplane.statuses import Status
from milo_billing.controlplane.store import Store
from milo_billing.infra.clock import Clock, monotonic_s
from milo_billing.infra.database import Database, Tx

BOOKMARK_S = 60.0
TIMEOUT_S_MIN, TIMEOUT_S_MAX = 1800, 3600
"""A watch that states no timeout ends after a random time between these, as the API server does."""

BACKLOG_MAX = 20_000
"""Changes that a resuming watch may have missed; beyond that listing again is cheaper."""

CHUNK_BYTES = 64 * 1024
"""About how much goes out at once."""

WatchType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What the client asked for. `resource_version` None or 0 begins with the objects that stand."""

    kind: AnyKind
    namespace: str | None
    selector: Selector
    reach: Reach
    representation: Representation
    resource_version: int | None
    timeout_s: int | None
    bookmarks: bool
    initial_events: bool

    @property
    def begins_with_state(self) -> bool:
        return not self.resource_version or self.initial_events


@dataclass(slots=True)
class _Encoder:
    """Events as lines; the first Table carries the columns."""

    request: WatchRequest
    clock: Clock
    columns_sent: bool = field(default=False)

    def line(self, type_: str, row: Row) -> bytes:
        return orjson.dumps({"type": type_, "object": self._shown(row)}) + b"\n"

    def _shown(self, row: Row) -> Json:
        request = self.request
        if request.representation.shape != "table":
            return render_one(request.kind, row, request.representation, now=self.clock.now())
        columns, self.columns_sent = not self.columns_sent, True
        return render_table(
            request.kind,
            [row],
            {"resourceVersion": str(row.resource_version)},
            include=request.representation.include,
            now=self.clock.now(),
            columns=columns,
        )

    def event(self, type_: WatchType, event: Event) -> bytes:
        if self.request.representation.shape == "table":
            return self.line(type_, event.row)
        key = (type_, self.request.representation.shape)
        if key not in event.encoded:
            event.encoded[key] = self.line(type_, event.row)
        return event.encoded[key]

    def events(self, events: Iterable[Event]) -> Iterator[bytes]:
        """The lines of those that this watcher sees."""
        for event in events:
            if (type_ := seen_as(event, self.request)) is not None:
                yield self.event(type_, event)

    def bookmark(self, resource_version: int, *, initial_end: bool) -> bytes:
        kind = self.request.kind
        metadata: Json = {"resourceVersion": str(resource_version), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        shown: Json = {"kind": kind.kind, "apiVersion": f"{kind.group}/{kind.version}", "metadata": metadata}
        if self.request.representation.shape == "metadata":
            shown["kind"], shown["apiVersion"] = "PartialObjectMetadata", "meta.k8s.io/v1"
        if self.request.representation.shape == "table":
            inner = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
            shown = {
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": str(resource_version)},
                "columnDefinitions": None,
                "rows": [{"cells": [], "object": inner}],
            }
        return orjson.dumps({"type": "BOOKMARK", "object": shown}) + b"\n"


def chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines that are there together, together: sending a chunk costs more than an event does."""
    waiting: list[bytes] = []
    waiting_bytes = 0
    for line in lines:
        waiting.append(line)
        waiting_bytes += len(line)
        if waiting_bytes >= CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, waiting_bytes = [], 0
    if waiting:
        yield b"".join(waiting)


def expired(resource_version: int, oldest: int, *, reason: metrics.ExpiredReason) -> bytes:
    """The line that ends a watch with 410; it is counted."""
    metrics.WATCHES_EXPIRED.labels(reason).inc()
    status = Status(410, "Expired", f"too old resource version: {resource_version} ({oldest})")
    return orjson.dumps({"type": "ERROR", "object": status.body()}) + b"\n"


def seen_as(event: Event, request: WatchRequest) -> WatchType | None:
    """What the change is to this watcher: objects that enter or leave its selector are added or deleted."""
    row = event.row
    if request.namespace is not None and row.namespace != request.namespace:
        return None
    if not (row.readable_by_all or reaches(request.reach, row.owner_org)):
        return None
    matched = event.old_labels is not None and request.selector.matches(
        labels=event.old_labels, fields=event.old_fields or {}
    )
    if event.change == "DELETED":
        return "DELETED" if matched else None
    matches = request.selector.matches(labels=row.labels, fields=event.fields)
    if matches:
        return "MODIFIED" if matched else "ADDED"
    return "DELETED" if matched else None


@dataclass(frozen=True, slots=True)
class Watching:
    """What every watch of a process shares."""

    feed: ChangeFeed
    store: Store
    database: Database
    clock: Clock

    async def stream(self, request: WatchRequest) -> AsyncIterator[bytes]:
        """The lines of one watch."""
        subscription = self.feed.subscribe(request.kind)
        encoder = _Encoder(request, self.clock)
        try:
            # subscribed first: what commits while the start is read waits in the queue
            lines, seen, alive = await run_in_threadpool(self._start, request, encoder)
            for chunk in chunks(lines):
                yield chunk
            deadline = monotonic_s() + (request.timeout_s or random.randint(TIMEOUT_S_MIN, TIMEOUT_S_MAX))
            bookmark_at = monotonic_s() + BOOKMARK_S
            while alive and not self.feed.draining and (left_s := deadline - monotonic_s()) > 0:
                events = await subscription.take(min(left_s, max(bookmark_at - monotonic_s(), 0.01)))
                if subscription.overrun:
                    yield expired(seen, self.feed.head, reason="overrun")
                    return
                fresh = [event for event in events if event.resource_version > seen]
                for chunk in chunks(encoder.events(fresh)):
                    yield chunk
                seen = fresh[-1].resource_version if fresh else seen
                if request.bookmarks and monotonic_s() >= bookmark_at:
                    bookmark_at = monotonic_s() + BOOKMARK_S
                    yield encoder.bookmark(max(seen, request.resource_version or 0), initial_end=False)
        finally:
            self.feed.unsubscribe(subscription)

    def _start(self, request: WatchRequest, encoder: _Encoder) -> tuple[list[bytes], int, bool]:
        """The first lines, the resource version they reach, and whether the watch goes on."""
        with self.database.transaction(reach=request.reach) as tx:
            if request.begins_with_state:
                page = self.store.list_page(
                    tx,
                    request.kind,
                    namespace=request.namespace,
                    selector=request.selector,
                    after=None,
                    limit=None,
                )
                lines = [encoder.line("ADDED", row) for row in page.rows]
                if request.initial_events and request.bookmarks:
                    lines.append(encoder.bookmark(page.resource_version, initial_end=True))
                return lines, page.resource_version, True
            return self._backlog(tx, request, encoder)

    def _backlog(self, tx: Tx, request: WatchRequest, encoder: _Encoder) -> tuple[list[bytes], int, bool]:
        since = request.resource_version or 0
        pruned = oldest_kept(tx)
        if since < pruned:
            return [expired(since, pruned, reason="pruned")], since, False
        missed = read_changes(
            tx, self.store, self.feed.registry, after=since, limit=BACKLOG_MAX, kind=request.kind
        )
        if len(missed) == BACKLOG_MAX:
            return [expired(since, missed[-1].resource_version, reason="backlog")], since, False
        lines = list(encoder.events(missed))
        return lines, missed[-1].resource_version if missed else since, True


def oldest_kept(tx: Tx) -> int:
    """The resource version up to which changes have been pruned: a watch can resume from it, not from before."""
    row = tx.execute("select version from controlplane.versions where name = 'pruned_changes'").fetchone()
    return 0 if row is None else row[0]


def prune_changes(tx: Tx, *, keep: int) -> int:
    """Drop all but the newest `keep` changes; how many went. Watchers that are further behind list again."""
    row = tx.execute("select max(resource_version) from controlplane.changes").fetchone()
    if row is None or row[0] is None:
        return 0
    bound: int = row[0] - keep
    gone = tx.execute("delete from controlplane.changes where resource_version <= %s", (bound,)).rowcount
    if gone:
        tx.execute(
            "update controlplane.versions set version = greatest(version, %s) where name = 'pruned_changes'",
            (bound,),
        )
    return gone
