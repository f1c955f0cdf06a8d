"""The health door: plain HTTP on loopback, for probes and Prometheus, answered by the supervisor for all processes.

`/livez`: the supervisor runs. `/readyz`: every process has started and its checks are well. `/metrics`: the metrics of
all processes, each sample labelled with its process.
"""

import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import structlog

from milo_billing.app.channel import Question
from milo_billing.infra.telemetry import exposition, gather

CLIENT_LIMIT_S = 1.0
"""A slow client holds up the supervisor for so long at most."""

_log = structlog.get_logger(__name__)

Ask = Callable[[Question], dict[str, Any]]


def problems(answers: dict[str, Any]) -> list[str]:
    """What keeps the server from being ready: `process/check: why`."""
    found: list[str] = []
    for process, answer in answers.items():
        if answer is None:
            found.append(f"{process}: it does not run or does not answer")
        else:
            found += [f"{process}/{check}: {why}" for check, why in answer["problems"].items()]
    return found


class _QuietServer(HTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up or is too slow is no error of ours."""
        _log.info("a health request failed", exc_info=True)


class HealthDoor:
    """Serves one request when told that the socket can be read."""

    def __init__(self, door: socket.socket, *, ask: Ask) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = CLIENT_LIMIT_S
            server_version = "milo-billing"
            sys_version = ""

            def do_GET(self) -> None:
                status, kind, body = respond(self.path.split("?")[0], ask)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                _log.debug("health request", request=format % args)

        self.socket = door
        self._server = _QuietServer(door.getsockname()[:2], Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = door
        self._server.timeout = 0

    def serve(self) -> None:
        """Answer the request that waits; none waiting is fine."""
        self._server.handle_request()


def respond(path: str, ask: Ask) -> tuple[int, str, bytes]:
    """Status, content type and body for a path."""
    plain = "text/plain; charset=utf-8"
    match path:
        case "/livez":
            return 200, plain, b"ok\n"
        case "/readyz":
            found = problems(ask("status"))
            return (
                (503, plain, "".join(f"{line}\n" for line in found).encode())
                if found
                else (200, plain, b"ok\n")
            )
        case "/metrics":
            texts = {
                name: answer["text"] for name, answer in ask("metrics").items() if answer and "text" in answer
            }
            body = gather({"supervisor": exposition(), **texts})
            return 200, "text/plain; version=0.0.4; charset=utf-8", body
        case _:
            return 404, plain, b"there are /livez, /readyz and /metrics\n"
