"""Serve an application over real HTTP from a thread of the test process."""

import contextlib
import threading
import time
from collections.abc import Generator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from milo_billing.usage.routes.gateway import ShortWay
from milo_billing.usage.routes.wire import connections

START_S_MAX = 20.0


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
    server = uvicorn.Server(config)
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
        server.should_exit = True
        thread.join()
