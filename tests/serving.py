"""Serve an application over real HTTP from a thread of the test process, and ask it."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Generator
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from milo_billing.usage.routes.gateway import ShortWay
from milo_billing.usage.routes.wire import connections

START_S_MAX = 20.0


class _Server(uvicorn.Server):
    """Uvicorn's, which takes 0.15 s to stop: it looks every tenth of a second whether it should, and waits another
    tenth for connections, also where there are none. Hundreds of tests stop a server of their own."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._asked_to_stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """From another thread."""
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._asked_to_stop.set)

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked_to_stop.wait(), timeout=0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
        await self.lifespan.shutdown()


@contextlib.contextmanager
def serving(application: ASGIApp) -> Generator[str]:
    """The base URL of the application, on a free port of loopback, until the block ends."""
    http: Any = connections(application, HttpToolsProtocol) if isinstance(application, ShortWay) else "auto"
    config = uvicorn.Config(
        application,
        host="127.0.0.1",
        port=0,
        http=http,
        log_config=None,
        ws="none",
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, name="test-server", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + START_S_MAX
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the test server did not start")
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()
        thread.join()


def client_of(url: str, *, token: str = "", timeout_s: float = 30) -> httpx.Client:
    """A client of a server of `serving`. It speaks plain HTTP only, so it need not read all the certificates of the
    machine, which takes longer than most tests."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=url, headers=headers, timeout=timeout_s, verify=False)
