"""Connections of the gateway: the usual request of events goes from the socket to the engine without a detour.

With a hundred events a request, an HTTP server made for everything costs more than the engine. A connection starts
here; a request of the usual form (HTTP/1.1, one of the two doors, a plain body of known and moderate length) is read
into one buffer that all connections share, and answered in one write. The first request that is anything else takes
its connection over to the general server, with every byte of it and for good: this module decides nothing that HTTP
leaves open. What goes wrong is answered by the application, where errors are answered.

Owns: reading usual requests, one at a time a connection, and the time limits of that. Not: TLS, what a body says, HTTP.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol, cast

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Scope

from milo_billing.controlplane.doors import AUDIT_ID
from milo_billing.infra.clock import monotonic_s, new_uid
from milo_billing.usage.engine import decode
from milo_billing.usage.engine.answers import Acknowledged
from milo_billing.usage.engine.groups import Sender
from milo_billing.usage.engine.pipeline import ACKNOWLEDGEMENT_S_MAX
from milo_billing.usage.routes.bodies import READ_S_MAX, Visit
from milo_billing.usage.routes.gateway import (
    BATCHED,
    FAILED,
    INLINE_BYTES_MAX,
    STRUCTURED,
    EventDoor,
    ShortWay,
    answer_of,
    not_durable,
    unreadable,
)
from milo_billing.usage.routes.reading import JSON
from milo_billing.usage.types import UnreadableEvents

HEAD_BYTES_MAX: Final = 16 * 1024
IDLE_S_MAX: Final = 5.0
"""How long a connection is kept after an answer, as the general server does."""

_SWEEP_S: Final = 1.0
_READ_BYTES: Final = 256 * 1024
_HEAD_END: Final = b"\r\n\r\n"
_POST: Final = b"POST "
_NAME: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE: Final = rb"[^\x00-\x08\x0a-\x1f\x7f]*"
_HEAD: Final = re.compile(
    rb"POST (/[\x21\x22\x24-\x3e\x40-\x7e]*) HTTP/1\.1\r\n((?:%b:%b\r\n)+)\r\n" % (_NAME, _VALUE)
)
_HEADER: Final = re.compile(rb"(%b):[ \t]*(%b)\r\n" % (_NAME, _VALUE))
_UNUSUAL: Final = frozenset(
    (b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"te", b"trailer")
)
_JSON_TYPES: Final = frozenset(name.encode() for name in (JSON, STRUCTURED, BATCHED))
_LINES: Final = {each.value: b"HTTP/1.1 %d %b\r\n" % (each, each.phrase.encode()) for each in HTTPStatus}

_log = structlog.get_logger(__name__)


class Served(Protocol):
    """What the application server shares with its connections."""

    connections: set[Any]
    default_headers: list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a usual request: names of headers are in lower case, as ASGI gives them."""

    path: str
    headers: list[tuple[bytes, bytes]]
    length: int
    batched: bool


def read_head(data: bytes) -> Head | None:
    """The head, if it is of the usual form; None for whatever else, to be judged by those who know HTTP."""
    match = _HEAD.fullmatch(data)
    if match is None:
        return None
    headers = [(name.lower(), value.rstrip(b" \t")) for name, value in _HEADER.findall(match[2])]
    fields = dict(headers)
    length = fields.get(b"content-length", b"")
    content_type = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
    usual = (
        len(fields) == len(headers)
        and fields.keys().isdisjoint(_UNUSUAL)
        and fields.get(b"connection", b"keep-alive").lower() == b"keep-alive"
        and b"host" in fields
        and content_type in _JSON_TYPES
        and not any(name.startswith(b"ce-") for name in fields)
        and length.isdigit()
        and len(length) <= 8
        and int(length) <= INLINE_BYTES_MAX
    )
    if not usual:
        return None
    return Head(match[1].decode("ascii"), headers, int(length), content_type == BATCHED.encode())


class Gate:
    """What the connections of a process share: the doors, the buffer they read into, the way back from the engine."""

    def __init__(self, way: ShortWay) -> None:
        self.doors: Mapping[str, EventDoor] = way.doors
        self.application: ASGIApp = way.application
        self.buffer = memoryview(bytearray(_READ_BYTES))
        self._open: set[EventConnection] = set()
        self._answered: deque[tuple[EventConnection, Future[Acknowledged]]] = deque()
        self._awake = False
        self._sweeping = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def opened(self, connection: "EventConnection", loop: asyncio.AbstractEventLoop) -> None:
        """Watch the connection's time limits."""
        self._loop = loop
        self._open.add(connection)
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(_SWEEP_S, self._sweep, loop)

    def closed(self, connection: "EventConnection") -> None:
        """The connection has gone, or went over to the general server."""
        self._open.discard(connection)

    def answered(self, connection: "EventConnection", future: "Future[Acknowledged]") -> None:
        """From the engine's threads: the loop is woken once for all answers of a group."""
        self._answered.append((connection, future))
        if not self._awake and self._loop is not None:
            self._awake = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop has ended, and every connection with it
                _log.info("answers_came_after_the_end", answers=len(self._answered))

    def _deliver(self) -> None:
        self._awake = False  # before looking: what comes from now on wakes the loop again
        while self._answered:
            connection, future = self._answered.popleft()
            connection.deliver(future)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = monotonic_s()
        for connection in [each for each in self._open if each.until_s < now_s]:
            connection.expire()
        self._sweeping = bool(self._open)
        if self._sweeping:
            loop.call_later(_SWEEP_S, self._sweep, loop)


class EventConnection(asyncio.BufferedProtocol):
    """One connection, with one request at a time. What a client sends before its answer waits in `_parts`, bounded.

    `general` makes the protocol that takes over from the first request that is not a usual one.
    """

    def __init__(
        self, gate: Gate, *, served: Served, state: Mapping[str, Any], general: Callable[[], asyncio.Protocol]
    ) -> None:
        self.until_s = float("inf")
        self._gate = gate
        self._served = served
        self._state = state
        self._general = general
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._held = 0
        self._wanted = 1
        self._busy = False
        self._paused = False
        self._writable = True
        self._last = False
        self._many = True
        self._head: Head | None = None
        self._body_at = 0
        self._door: EventDoor | None = None
        self._sender: Sender | None = None
        self._visit: Visit | None = None
        self._failure: Exception | None = None
        self._future: Future[Acknowledged] | None = None
        self._work: asyncio.Task[None] | None = None

    # -- the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast("asyncio.Transport", transport)
        self._served.connections.add(self)
        self._gate.opened(self, asyncio.get_running_loop())

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone; what it sent is stored none the less."""
        self._served.connections.discard(self)
        self._gate.closed(self)
        self._transport = None
        self._future = None
        self._leave()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to. One buffer serves all: what is read is taken out of it before anybody else reads."""
        del sizehint
        return self._gate.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come."""
        self._parts.append(bytes(self._gate.buffer[:nbytes]))
        self._held += nbytes
        if self._busy or not self._writable:
            if self._held > INLINE_BYTES_MAX and self._transport is not None and not self._paused:
                self._paused = True
                self._transport.pause_reading()
        elif self._held >= self._wanted:
            self._advance()

    def eof_received(self) -> bool:
        """The client has ended its side: the transport closes ours."""
        return False

    def pause_writing(self) -> None:
        """The client does not read: it gets no more answers for now."""
        self._writable = False

    def resume_writing(self) -> None:
        """The client reads again."""
        self._writable = True
        self._go_on()

    # -- the application server's calls

    @property
    def idle(self) -> bool:
        """Whether no request has begun."""
        return self._head is None and not self._busy

    @property
    def transport(self) -> asyncio.Transport | None:
        """The way to the client, as long as there is one."""
        return self._transport

    def shutdown(self) -> None:
        """Close, as soon as what has begun is answered."""
        self._last = True
        if self.idle and self._transport is not None:
            self._transport.close()

    # -- requests

    def _go_on(self) -> None:
        if self._transport is None or self._busy or not self._writable:
            return
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._held >= self._wanted:
            self._advance()

    def _advance(self) -> None:
        """Look at what is there: a head, a whole request, or neither yet."""
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        if self._head is None and not self._begin(data):
            return
        if self._busy or self._held < self._wanted:
            self._parts = [data]
            return
        body, rest = data[self._body_at : self._wanted], data[self._wanted :]
        self._parts = [rest] if rest else []
        self._held = len(rest)
        self._busy = True
        if self._failure is None:
            self._submit(body)
        else:
            self._fail(self._failure)

    def _begin(self, data: bytes) -> bool:
        """Read the head; False if it is not there yet, or not for us."""
        end = data.find(_HEAD_END, 0, HEAD_BYTES_MAX)
        if end < 0 and len(data) < HEAD_BYTES_MAX and data.startswith(_POST[: len(data)]):
            if self._wanted == 1:
                self.until_s = monotonic_s() + READ_S_MAX
            self._parts, self._wanted = [data], len(data) + 1
            return False
        head = read_head(data[: end + len(_HEAD_END)]) if end >= 0 else None
        door = None if head is None else self._gate.doors.get(head.path)
        if head is None or door is None:
            self._hand_over(data)
            return False
        self._head, self._door = head, door
        self._body_at = end + len(_HEAD_END)
        self._wanted = self._body_at + head.length
        self.until_s = monotonic_s() + READ_S_MAX
        self._sender = door.senders.remembered(head.headers)
        if self._sender is None:
            self._busy = True
            self._work = asyncio.get_running_loop().create_task(self._identify(door, head))
        else:
            self._enter(door, head)
        return True

    async def _identify(self, door: EventDoor, head: Head) -> None:
        try:
            self._sender = await door.senders.of(self._scope(head))
        except Exception as error:
            self._failure = error
        else:
            if self._transport is None:
                return
            self._enter(door, head)
        self._busy = False
        self.until_s = monotonic_s() + READ_S_MAX
        self._go_on()

    def _enter(self, door: EventDoor, head: Head) -> None:
        """Take room for the body, before it is read."""
        visit = Visit(door.room)
        try:
            door.engine.check_room()
            visit.take(head.length)
        except Exception as error:
            self._failure = error
        else:
            self._visit = visit

    def _submit(self, body: bytes) -> None:
        assert self._head is not None and self._door is not None and self._sender is not None
        self._many = self._door.many or self._head.batched
        try:
            batch = decode.decode_batch(body) if self._many else decode.decode_event(body)
            future = self._door.submit(batch, self._sender)
        except UnreadableEvents as error:
            self._leave()
            self._answer(*unreadable(error))
        except Exception as error:
            self._fail(error)
        else:
            self._leave()  # the line counts it from here on
            self._future = future
            self.until_s = monotonic_s() + ACKNOWLEDGEMENT_S_MAX
            future.add_done_callback(self._answered)

    def _answered(self, future: "Future[Acknowledged]") -> None:
        self._gate.answered(self, future)

    def _leave(self) -> None:
        if self._visit is not None:
            self._visit.leave()
            self._visit = None

    def deliver(self, future: "Future[Acknowledged]") -> None:
        """The engine has answered; nobody may be waiting any more."""
        if future is not self._future:
            return
        self._future = None
        error = future.exception()
        if error is None:
            self._answer(*answer_of(future.result(), many=self._many))
        else:
            self._fail(error)

    def expire(self) -> None:
        """A time limit has passed: for the answer of the engine, for the request to arrive, or for the next one."""
        self.until_s = float("inf")
        if (future := self._future) is not None:
            self._future = None
            future.cancel()
            self._fail(not_durable())
        elif self._head is not None and not self._busy:
            self._busy = self._last = True
            self._fail(HTTPException(408, f"the body did not arrive within {READ_S_MAX:.0f} s"))
        elif self._transport is not None and not self._busy:
            self._transport.close()

    # -- answers

    def _answer(self, status: int, body: bytes) -> None:
        audit_id = str(new_uid()).encode()
        self._write(status, b"content-type: application/json\r\naudit-id: %b\r\n" % audit_id, body)

    def _fail(self, error: BaseException) -> None:
        """Have the application answer, which knows how."""
        self._leave()
        self._work = asyncio.get_running_loop().create_task(self._explain(error))

    async def _explain(self, error: BaseException) -> None:
        if self._transport is None or self._head is None:
            return  # nobody is there to be told
        scope = {**self._scope(self._head), AUDIT_ID: new_uid(), FAILED: error}
        status, headers = 0, b""
        body: list[bytes] = []

        async def send(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status = message["status"]
                lines = (
                    b"%b: %b\r\n" % header for header in message["headers"] if header[0] != b"content-length"
                )
                headers = b"".join(lines)
            else:
                body.append(message.get("body", b""))

        try:
            await self._gate.application(scope, _nothing, send)
        except Exception:
            _log.exception("a request failed, and saying so did")
        if status:
            self._write(status, headers, b"".join(body))
        else:
            self._abort()

    def _write(self, status: int, headers: bytes, body: bytes) -> None:
        """Answer in one write, and turn to the next request."""
        self._head, self._door, self._sender, self._failure, self._work = None, None, None, None, None
        self._busy, self._wanted = False, 1
        self.until_s = monotonic_s() + IDLE_S_MAX
        if self._transport is None or self._transport.is_closing():
            return
        shared = b"".join(b"%b: %b\r\n" % header for header in self._served.default_headers)
        last = b"connection: close\r\n" if self._last else b""
        self._transport.write(
            b"%b%b%b%bcontent-length: %d\r\n\r\n%b" % (_LINES[status], shared, headers, last, len(body), body)
        )
        if self._last:
            self._transport.close()
        elif self._parts:  # later, not from within: a client may have sent many requests ahead
            asyncio.get_running_loop().call_soon(self._go_on)

    def _abort(self) -> None:
        """End a connection that cannot be answered."""
        if self._transport is not None:
            self._transport.abort()

    def _scope(self, head: Head) -> Scope:
        assert self._transport is not None
        known = self._transport.get_extra_info
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http" if known("ssl_object") is None else "https",
            "path": head.path,
            "raw_path": head.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": head.headers,
            "server": _address(known("sockname")),
            "client": _address(known("peername")),
            "state": dict(self._state),
        }

    def _hand_over(self, data: bytes) -> None:
        """Let the general server have the connection, with every byte of this request."""
        transport = self._transport
        self._parts, self._held = [], 0
        if transport is None:
            return
        self._served.connections.discard(self)
        self._gate.closed(self)
        self._transport = None
        general = self._general()
        transport.set_protocol(general)
        general.connection_made(transport)
        general.data_received(data)


def _address(name: object) -> tuple[str, int] | None:
    match name:
        case (str(host), int(port)) | (str(host), int(port), int(), int()):
            return host, port
        case _:
            return None


async def _nothing() -> Message:
    """The body of a request that is answered without it."""
    return {"type": "http.request", "body": b"", "more_body": False}


def connections(
    way: ShortWay, general: Callable[..., asyncio.Protocol]
) -> Callable[..., asyncio.BufferedProtocol]:
    """What uvicorn makes its connections with, `general` being its own; for one server."""
    gate = Gate(way)

    def connect(*, server_state: Served, app_state: Mapping[str, Any], **rest: Any) -> EventConnection:
        def make() -> asyncio.Protocol:
            return general(server_state=server_state, app_state=app_state, **rest)

        return EventConnection(gate, served=server_state, state=app_state, general=make)

    return connect
