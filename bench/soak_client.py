"""The client of the soak, in a process of its own: it posts events over TLS for so long, and counts what was answered.

Bodies are made once; each time one is sent its ids get another time, so that making load costs little.
"""

import asyncio
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Line
from time import monotonic, time_ns
from typing import Any, Final
from urllib.parse import urlsplit

import uvloop

from bench.load import Load, generate
from milo_billing.client.connection import Connection
from milo_billing.kernel.ids import int_to_ulid

REQUEST_EVENTS: Final = 1_000
BODIES: Final = 60
CONNECTIONS: Final = 16
SENT_AGAIN_EVERY: Final = 100
"""One body in so many is sent twice."""

_MADE: Final = re.compile(rb'"id":"[0-9A-Z]{10}')
_PLACE: Final = b'"id":"..........'
_UNPAID: Final = b'"subject":"projects/gone-'
_RETRY_S: Final = 0.2


@dataclass
class Sent:
    """What the client sent and was told, in events."""

    stored: int = 0
    unpaid: int = 0
    again: int = 0
    refused_requests: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Order:
    """Send for so many seconds or events, whichever ends first; `rate` events a second at most, 0 is no bound."""

    seconds: float
    events: int
    rate: float


@dataclass
class _Pace:
    order: Order
    began: float = field(default_factory=monotonic)
    events: int = 0

    async def next(self) -> bool:
        """Wait for the turn of another request; False when the order is done."""
        if self.events >= self.order.events or monotonic() - self.began >= self.order.seconds:
            return False
        self.events += REQUEST_EVENTS
        if self.order.rate:
            await asyncio.sleep(self.began + self.events / self.order.rate - monotonic())
        return True


def serve(line: "Line[Any, Any]", connection: Connection, projects: int, now_ms: int) -> None:
    """Carry out orders until None comes."""
    load = Load("local", BODIES, REQUEST_EVENTS, projects=projects)
    bodies = [_MADE.sub(_PLACE, body) for body in generate(load, now_ms=now_ms)]
    line.send("ready")
    uvloop.run(_Client(connection, bodies).serve(line))


class _Client:
    def __init__(self, connection: Connection, bodies: Sequence[bytes]) -> None:
        self._connection = connection
        self._trust = ssl.create_default_context(cadata=connection.ca_pem)
        self._bodies = bodies
        self._requests = self._ms = 0

    async def serve(self, line: "Line[Any, Any]") -> None:
        while (order := await asyncio.to_thread(line.recv)) is not None:
            sent, pace = Sent(), _Pace(order)
            await asyncio.gather(*(self._send(pace, sent) for _ in range(CONNECTIONS)))
            sent.seconds = monotonic() - pace.began
            line.send(sent)

    async def _send(self, pace: _Pace, sent: Sent) -> None:
        door = _Door(self._connection, self._trust)
        while await pace.next():
            self._requests += 1
            again = self._requests % SENT_AGAIN_EVERY == 0
            body = self._fresh()
            sent.refused_requests += await door.post(body)
            unpaid = body.count(_UNPAID)
            sent.unpaid += unpaid
            sent.stored += REQUEST_EVENTS - unpaid
            if again:
                sent.refused_requests += await door.post(body)
                sent.again += REQUEST_EVENTS
        door.close()

    def _fresh(self) -> bytes:
        """The next body, with ids of a time that no body had before."""
        self._ms = max(self._ms + 1, time_ns() // 1_000_000)
        made = int_to_ulid(self._ms << 80)[:10]
        return self._bodies[self._requests % len(self._bodies)].replace(_PLACE, f'"id":"{made}'.encode())


class _Door:
    """One connection to the gateway at a time, with one request at a time."""

    def __init__(self, connection: Connection, trust: ssl.SSLContext) -> None:
        self._connection = connection
        self._trust = trust
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes) -> int:
        """Send until it is acknowledged; how often it was not at once."""
        head = (
            "POST /v1/usage/events:batchIngest HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self._connection.token}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        refused = 0
        while True:
            try:
                answered, answer = await self._exchange(head + body)
            except (ConnectionError, asyncio.IncompleteReadError):
                self._open = (
                    None  # the gateway closes connections that were idle; what is sent again counts once
                )
                continue
            if answered.startswith(b"HTTP/1.1 200"):
                return refused
            if not answered.startswith((b"HTTP/1.1 429", b"HTTP/1.1 503")):
                raise AssertionError(f"the gateway answered {answered.decode()}{answer.decode()}")
            refused += 1
            await asyncio.sleep(_RETRY_S)

    async def _exchange(self, request: bytes) -> tuple[bytes, bytes]:
        if self._open is None:
            url = urlsplit(self._connection.gateway_url)
            self._open = await asyncio.open_connection(url.hostname, url.port, ssl=self._trust)
        reader, writer = self._open
        writer.write(request)
        answered = await reader.readuntil(b"\r\n\r\n")
        length = int(answered.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return answered, await reader.readexactly(length)

    def close(self) -> None:
        """Leave."""
        if self._open is not None:
            self._open[1].close()
