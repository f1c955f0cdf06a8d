"""A gateway whose answers a test chooses: for those that the real one gives only in rare moments."""

import gzip
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

JSON: TypeAlias = dict[str, Any]


@dataclass
class Reply:
    """What to answer one request."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict[str, str])


Script: TypeAlias = Callable[[list[JSON]], Reply]


def take_all(events: list[JSON]) -> Reply:
    """As the gateway when all is well."""
    return Reply(200, {"accepted": len(events)})


@dataclass
class ScriptedGateway:
    """`script` is asked for each request; `requests` are the events of each, `tokens` what they were sent with."""

    script: Script = take_all
    url: str = ""
    requests: list[list[JSON]] = field(default_factory=list[list[JSON]])
    tokens: list[str] = field(default_factory=list[str])

    @property
    def ids(self) -> list[str]:
        """The ids of all events that came, in order, repeated ones as well."""
        return [event["id"] for events in self.requests for event in events]


@contextmanager
def scripted_gateway(script: Script = take_all) -> Generator[ScriptedGateway]:
    """Serve on a free port of loopback until the block ends."""
    gateway = ScriptedGateway(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.path == "/v1/usage/events:batchIngest"
            assert self.headers["Content-Encoding"] == "gzip"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            events: list[JSON] = json.loads(gzip.decompress(body))
            gateway.requests.append(events)
            gateway.tokens.append(self.headers["Authorization"])
            reply = gateway.script(events)
            text = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            """Tests read `requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    gateway.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
