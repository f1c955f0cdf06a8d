"""Many watches at once over raw connections: what a crowd of clients sees, event by event."""

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote, urlsplit

import httptools
import orjson

from milo_billing.client.connection import Connection

OPENING_MAX = 50
"""Connections that are opened at the same time."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One event as a watcher got it."""

    type: str
    name: str
    resource_version: int


@dataclass(eq=False)
class Watcher(asyncio.Protocol):
    """One watch. `slow` reads nothing until `read_on`."""

    host: str
    token: str
    path: str
    slow: bool = False
    seen: list[Seen] = field(default_factory=list[Seen])
    error: dict[str, Any] | None = None
    status_code: int = 0

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._rest = b""

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not of this class
        lines = (
            f"GET {self.path} HTTP/1.1",
            f"Host: {self.host}",
            f"Authorization: Bearer {self.token}",
            "Accept: application/json",
        )
        self._transport.write("\r\n".join((*lines, "", "")).encode())

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        for waiting in (self.started, self.ended):
            if not waiting.done():
                waiting.set_result(None)

    # -- httptools

    def on_headers_complete(self) -> None:
        self.status_code = self._parser.get_status_code()
        if not self.started.done():
            self.started.set_result(None)
        if self.slow:
            self._transport.pause_reading()

    def on_body(self, body: bytes) -> None:
        *lines, self._rest = (self._rest + body).split(b"\n")
        for line in lines:
            event = orjson.loads(line)
            if event["type"] == "ERROR":
                self.error = event["object"]
                continue
            metadata = event["object"]["metadata"]
            self.seen.append(Seen(event["type"], metadata["name"], int(metadata["resourceVersion"])))

    def on_message_complete(self) -> None:
        self._transport.close()

    # -- what tests say

    @property
    def last(self) -> int:
        """The newest resource version it has seen."""
        return self.seen[-1].resource_version

    def read_on(self) -> None:
        """Become as fast as the others."""
        self._transport.resume_reading()

    def close(self) -> None:
        """Go away without a word, as clients do."""
        self._transport.abort()


class Crowd:
    """Watchers of one collection of one server. They go when its block ends."""

    def __init__(self, server: Connection, collection: str) -> None:
        self._server = server
        self._collection = collection
        self._context = ssl.create_default_context(cadata=server.ca_pem)
        self._opening = asyncio.Semaphore(OPENING_MAX)
        self._watchers: list[Watcher] = []

    async def __aenter__(self) -> "Crowd":
        return self

    async def __aexit__(self, *_: object) -> None:
        for watcher in self._watchers:
            watcher.close()
        await asyncio.gather(*(watcher.ended for watcher in self._watchers))

    async def watch(self, *, since: int, slow: bool = False, **query: str) -> Watcher:
        """A watch that has begun: its answer's headers have arrived."""
        parameters = {"watch": "true", "resourceVersion": str(since), **query}
        text = "&".join(f"{name}={quote(value)}" for name, value in parameters.items())
        url = urlsplit(self._server.api_url)
        host, port = url.hostname or "", url.port or 443
        async with self._opening:
            _, watcher = await asyncio.get_running_loop().create_connection(
                lambda: Watcher(f"{host}:{port}", self._server.token, f"{self._collection}?{text}", slow),
                host,
                port,
                ssl=self._context,
            )
            self._watchers.append(watcher)
            await watcher.started
        return watcher

    async def watch_many(self, count: int, *, since: int) -> list[Watcher]:
        """So many watches from the same point on."""
        return list(await asyncio.gather(*(self.watch(since=since) for _ in range(count))))


async def until(condition: Any, *, timeout_s: float) -> bool:
    """Whether a condition came true in time."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True
