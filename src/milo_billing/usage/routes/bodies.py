"""Bodies of the gateway: read, decompressed, and bounded, one by one and all together.

Whatever clients send, the bodies that are being read and decoded take no more than READING_BYTES_MAX; above that the
next ones are asked to come back (429). Owns: limits and content encodings. Not: what a body says (engine.decode), nor
what waits to be written (engine.line has its own bounds).
"""

import asyncio
import zlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from milo_billing.kernel.errors import BadRequest, TooLarge, TooMany
from milo_billing.usage.engine import metrics
from milo_billing.usage.types import BODY_BYTES_MAX

READING_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of all bodies together, as they came and decompressed, that are not yet with the engine."""

READ_S_MAX: Final = 30.0
"""How long a body may take to arrive: a client that stalls must not keep the others' room."""

_STEP_BYTES: Final = 1024 * 1024


class Room:
    """Bytes that may be in use at once. Thread-safe."""

    def __init__(self, bytes_max: int = READING_BYTES_MAX) -> None:
        self._lock = Lock()
        self._free = bytes_max

    @contextmanager
    def visit(self) -> Generator["Visit"]:
        """A share of the room for one request; what it took is given back at the end."""
        visit = Visit(self)
        try:
            yield visit
        finally:
            visit.leave()

    def claim(self, size: int) -> None:
        """Take bytes. Raises TooMany where there is no room for them."""
        with self._lock:
            if size > self._free:
                metrics.REFUSED.inc()
                metrics.INGESTION_REJECTIONS.labels(metrics.BACK_PRESSURE).inc()
                raise TooMany("more usage is coming in than can be held; send the same request again")
            self._free -= size

    def release(self, size: int) -> None:
        """Give bytes back."""
        with self._lock:
            self._free += size


class Visit:
    """What one request has taken of the room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = 0

    def take(self, size: int) -> None:
        """More bytes for this request. Raises TooMany."""
        self._room.claim(size)
        self._taken += size

    def leave(self) -> None:
        """Give everything back; somebody else answers for the bytes now, or nobody has them any more."""
        self._room.release(self._taken)
        self._taken = 0


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, visit: Visit) -> bytes:
    """The body, decompressed. Raises TooLarge beyond BODY_BYTES_MAX before or after, TooMany where all is in use.

    Names of headers are in lower case, as ASGI gives them.
    """
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"", b"gzip"):
        named = encoding.decode("latin-1")
        raise BadRequest(f"content-encoding {named!r} is not known here: send gzip, or none")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and (len(length) > 19 or int(length) > BODY_BYTES_MAX):
        raise _too_large("body")
    try:
        async with asyncio.timeout(READ_S_MAX):
            body = await _read(receive, visit)
    except TimeoutError as error:
        raise HTTPException(408, f"the body did not arrive within {READ_S_MAX:.0f} s") from error
    return body if encoding != b"gzip" else await run_in_threadpool(decompress, body, visit)


async def _read(receive: Receive, visit: Visit) -> bytes:
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise _too_large("body")
        visit.take(len(part))
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def decompress(body: bytes, visit: Visit) -> bytes:
    """A gzip body, plain. Raises BadRequest if it is none, TooLarge beyond BODY_BYTES_MAX, TooMany."""
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    parts: list[bytes] = []
    size = 0
    rest = body
    while not stream.eof:
        try:
            part = stream.decompress(rest, _STEP_BYTES)
        except zlib.error as error:
            raise BadRequest(f"the body is not gzip, though content-encoding says so: {error}") from error
        if not part and not stream.eof and not stream.unconsumed_tail:
            raise BadRequest("the body's gzip stream ends too early")
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise _too_large("decompressed body")
        visit.take(len(part))
        parts.append(part)
        rest = stream.unconsumed_tail
    return b"".join(parts)


def _too_large(what: str) -> TooLarge:
    return TooLarge(f"the {what} is over {BODY_BYTES_MAX} bytes: send fewer events a request")
