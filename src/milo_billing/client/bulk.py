"""Apply many manifests over one connection: batches of them to `POST /v1/objects:apply`, as they are read.

Owns: batches, repeating what a broken connection left unanswered. Not: reading files (streams), printing (cli).
Memory is that of a few batches. A second thread reads ahead, so that the server need not wait for the parser.
"""

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

import orjson

from milo_billing.client.errors import ApiError, ClientError, UnableToConnect, UnableToReadManifest
from milo_billing.client.http import JSON, REPEAT_WAIT_MAX_S, REPEATS_MAX, ApiClient, decode_status
from milo_billing.client.objects import FIELD_MANAGER, Objects, namespaced
from milo_billing.client.streams import Located, Unreadable

PATH = "/v1/objects:apply"
NDJSON = "application/x-ndjson"

BATCH_OBJECTS = 1_000
BATCH_BYTES = 1024 * 1024
"""A batch is full at one or the other; the server takes three times as many bytes, for one large object."""

AHEAD = 2
"""Batches that are read ahead at most."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one document."""

    where: str
    reference: str
    """As kubectl writes it: `billingaccount.billing.miloapis.com/main`; empty where the document is none."""
    outcome: Literal["created", "configured", "unchanged", "failed"]
    read_bytes: int
    error: ClientError | None = None
    object: JSON | None = None


@dataclass(slots=True)
class _Batch:
    """Documents for one request; a `single` one has no name yet, and is created by itself."""

    items: list[Located] = field(default_factory=list[Located])
    lines: list[bytes] = field(default_factory=list[bytes])
    size: int = 0
    single: bool = False


_Read: TypeAlias = "_Batch | Done | BaseException | None"


def apply_all(
    api: ApiClient,
    documents: Iterable[Located | Unreadable],
    *,
    namespace: str | None,
    keep_going: bool,
    show: bool,
) -> Iterator[Done]:
    """Apply the documents in their order; what became of each, as the server says it.

    Ends after the first failure unless `keep_going`. `namespace` stands in where a manifest names none. `show` asks
    for the objects as they stand. Raises UnableToConnect where no server answers, even when asked again; applying the
    same documents again is safe, and goes on where it stopped.
    """
    objects = Objects(api)
    ahead: queue.Queue[_Read] = queue.Queue(maxsize=AHEAD)
    stopping = threading.Event()

    def put(read: _Read) -> bool:
        while not stopping.is_set():
            try:
                ahead.put(read, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def read_ahead() -> None:
        try:
            for read in _batches(objects, documents, namespace=namespace):
                if not put(read):
                    return
            put(None)
        except BaseException as error:
            put(error)

    objects.list_kinds()  # here, where an error has its caller; the thread finds it known
    reader = threading.Thread(target=read_ahead, name="manifests", daemon=True)
    reader.start()
    try:
        while (read := ahead.get()) is not None:
            if isinstance(read, BaseException):
                raise read
            for done in _applied(api, objects, read, keep_going=keep_going, show=show):
                yield done
                if done.outcome == "failed" and not keep_going:
                    return
    finally:
        stopping.set()
        reader.join(timeout=1.0)  # it may be waiting for somebody to type; it ends with the process


def _applied(
    api: ApiClient, objects: Objects, read: _Batch | Done, *, keep_going: bool, show: bool
) -> Iterator[Done]:
    if isinstance(read, Done):
        yield read
    elif read.single:
        yield _created(objects, read.items[0])
    else:
        yield from _sent(api, read, keep_going=keep_going, show=show)


def _batches(
    objects: Objects, documents: Iterable[Located | Unreadable], *, namespace: str | None
) -> Iterator[_Batch | Done]:
    batch = _Batch()
    for document in documents:
        try:
            if isinstance(document, Unreadable):
                raise document.error
            manifest = namespaced(objects.kind_of(document.manifest), document.manifest, namespace=namespace)
            line = _line(manifest)
        except ClientError as error:
            where = error.where or (document.where if isinstance(document, Located) else "")
            error.where = where
            if batch.items:
                yield batch
                batch = _Batch()
            yield Done(where, "", "failed", document.read_bytes, error)
            continue
        located = Located(document.where, manifest, document.read_bytes)
        single = not manifest["metadata"].get("name")
        full = len(batch.items) == BATCH_OBJECTS or batch.size + len(line) > BATCH_BYTES
        if batch.items and (single or full):
            yield batch
            batch = _Batch()
        if single:
            yield _Batch([located], [line], single=True)
            continue
        batch.items.append(located)
        batch.lines.append(line)
        batch.size += len(line) + 1
    if batch.items:
        yield batch


def _line(manifest: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(manifest)
    except orjson.JSONEncodeError as error:
        raise UnableToReadManifest(f"A manifest cannot say this: {error}.") from error


def _sent(api: ApiClient, batch: _Batch, *, keep_going: bool, show: bool) -> Iterator[Done]:
    """Send what has not been answered, again while the server is busy, restarting or unreachable."""
    params = {
        "fieldManager": FIELD_MANAGER,
        "force": "true",
        "onError": "continue" if keep_going else "stop",
        "show": "true" if show else "false",
    }
    answered = attempt = 0
    while answered < len(batch.items):
        try:
            rest = batch.items[answered:]
            body = b"\n".join(batch.lines[answered:])
            complete = False
            for line in api.stream("POST", PATH, body=body, content_type=NDJSON, params=params):
                if line.get("done"):
                    complete = True
                    continue
                attempt, answered = 0, answered + 1
                yield _done(rest[int(line["line"]) - 1], line)
            if complete:
                return
            raise UnableToConnect("The answer ended before all of it had come.", where=PATH)
        except (ApiError, UnableToConnect) as error:
            if (isinstance(error, ApiError) and error.code not in (429, 503)) or attempt == REPEATS_MAX:
                raise
            wait_s = 0.2 * 2**attempt
            if isinstance(error, ApiError) and error.retry_after_s is not None:
                wait_s = float(error.retry_after_s)
            attempt += 1
            time.sleep(min(wait_s, REPEAT_WAIT_MAX_S))


def _done(item: Located, line: JSON) -> Done:
    reference, outcome = str(line.get("object") or ""), line["outcome"]
    error = None
    if outcome == "failed":
        error = decode_status(cast("JSON", line["status"]), where=_place(item))
    return Done(item.where, reference, outcome, item.read_bytes, error, line.get("stands"))


def _created(objects: Objects, item: Located) -> Done:
    try:
        applied = objects.apply(item.manifest)
    except ApiError as error:
        error.where = _place(item)
        return Done(item.where, "", "failed", item.read_bytes, error)
    return Done(item.where, applied.reference, applied.outcome, item.read_bytes, None, applied.object)


def _place(item: Located) -> str:
    metadata = cast("JSON", item.manifest["metadata"])
    name = metadata.get("name") or metadata.get("generateName")
    return f"{item.where}: {item.manifest['kind']} {name}"
