"""The other side of webhooks: a real HTTP server that verifies like any receiver, and can be told to be hostile."""

import json
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook
from typing_extensions import override

Behaviour = Callable[[BaseHTTPRequestHandler], None]
"""Answers one request whose body was read already, or does not."""


def answers(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def hangs_up(request: BaseHTTPRequestHandler) -> None:
    """Has read everything, and says nothing."""
    request.connection.shutdown(socket.SHUT_RDWR)


def never_ends(request: BaseHTTPRequestHandler) -> None:
    """Sends as much as is taken."""
    request.send_response(200)
    request.end_headers()
    try:
        while True:
            request.wfile.write(b"x" * 65536)
    except OSError:
        request.close_connection = True


@dataclass
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The payload, checked by the library that receivers use; the time is this machine's."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """What came, and what will be answered: the behaviours in turn, then 200."""

    url: str = ""
    received: list[Received] = field(default_factory=list[Received])
    turns: list[Behaviour] = field(default_factory=list[Behaviour])
    always: Behaviour = field(default_factory=lambda: answers(200, b"thanks"))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self.lock:
            self.received.append(Received(request.path, headers, body))
            behave = self.turns.pop(0) if self.turns else self.always
        behave(request)

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in self.received]


@contextmanager
def receiving() -> Generator[Receiver]:
    """A receiver on loopback, until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
