"""Programs that record with the SDK on one spool, and the gateway that they send to: the driver stores what comes.

They are killed with SIGKILL, and others start on the same spool. `returned` are the ids that they were given.
"""

import contextlib
import gzip
import json
import multiprocessing
import os
import queue
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias

from milo_usage import Usage

from tests.simulation.usage_simulation.judging import whole_microseconds
from tests.simulation.usage_simulation.process import Stopped
from tests.simulation.usage_simulation.provider import PROJECTS, UNBOUND
from tests.simulation.usage_simulation.spooling import Flush, Flushed, Record, Recorded, produce

PROGRAMS = 2
STOPS_WITHIN = 12
_ANSWER_S_MAX = 60.0
_POLL_S = 0.002

Fates: TypeAlias = tuple[str, ...] | None
Store = Callable[[bytes, list[bytes]], Fates]
"""Stores a request of these events; their fates, or None if nobody knows."""


@dataclass(frozen=True)
class _Request:
    """What came over HTTP, and where its answer is waited for; None closes the connection without one."""

    content: bytes
    answer: "queue.Queue[bytes | None]"


class _Program:
    """A process that records."""

    def __init__(self, url: str, spool: str, seed: int) -> None:
        context = multiprocessing.get_context("forkserver")
        self.line: Connection[Any, Any]
        self.line, theirs = context.Pipe()
        self._process = context.Process(target=produce, args=(theirs, url, spool, seed), daemon=True)
        self._process.start()
        theirs.close()

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self.end()

    def end(self) -> None:
        """Wait until it has gone."""
        self._process.join(_ANSWER_S_MAX)
        self._process.close()
        self.line.close()


class Outpost:
    """The programs, their spool and the gateway's port."""

    def __init__(self, chance: random.Random, folder: Path) -> None:
        self._chance = chance
        self._spool = str(folder / "spool")
        self._requests: queue.Queue[_Request] = queue.Queue()
        self._server = _server(self._requests)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self._programs: list[_Program] = []
        self._sending = False
        self.returned: list[str] = []
        self.happened: Counter[str] = Counter()

    def start(self) -> None:
        """Let the programs begin."""
        self._programs = [self._new() for _ in range(PROGRAMS)]

    def close(self) -> None:
        """End everything."""
        for program in self._programs:
            program.kill()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _new(self) -> _Program:
        url = f"http://127.0.0.1:{self._server.server_port}"
        return _Program(url, self._spool, self._chance.getrandbits(64))

    # -- what they are told

    def record(self, now: datetime) -> str:
        """One of them records; returns what came of it. While one sends, nobody is told anything else."""
        chance = self._chance
        if self._sending:
            return "the programs send"
        usages = tuple(self._usage(now) for _ in range(chance.choice((1, 1, 2, 8))))
        place = chance.randrange(PROGRAMS)
        stop_at = chance.randrange(STOPS_WITHIN) if chance.random() < 0.5 else None
        program = self._programs[place]
        program.line.send(Record(usages, whole_microseconds(now), stop_at))
        reply = self._reply(program)
        if isinstance(reply, Stopped):
            self.happened["programs killed while they recorded"] += 1
            self._kill(place)
            return f"a program was killed {reply.step}"
        assert isinstance(reply, Recorded), reply
        self.returned += reply.ids
        return f"recorded {len(reply.ids)} events"

    def flush(self, now: datetime, store: Store, *, kills: bool = True) -> bool:
        """One of them sends what waits; whether everything has left the spool."""
        self._sending = True
        everything = self._flush(self._chance.randrange(PROGRAMS), now, store, kills=kills)
        self._sending = False
        return everything

    def _flush(self, place: int, now: datetime, store: Store, *, kills: bool) -> bool:
        chance, program = self._chance, self._programs[place]
        stop_at = chance.randrange(STOPS_WITHIN) if kills and chance.random() < 0.4 else None
        program.line.send(Flush(whole_microseconds(now), stop_at))
        while True:
            reply = self._reply(program)
            if isinstance(reply, _Request):
                if self._serve(reply, store, kills=kills):
                    self._kill(place)
                    reply.answer.put(None)
                    return False
            elif isinstance(reply, Stopped):
                self.happened["programs killed while they sent"] += 1
                self._kill(place)
                return False
            else:
                assert isinstance(reply, Flushed), reply
                return reply.everything

    def _serve(self, request: _Request, store: Store, *, kills: bool) -> bool:
        """Store the request and answer it; whether the program is killed instead of being answered."""
        events: list[Any] = json.loads(request.content)
        raws = [json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() for event in events]
        fates = store(request.content, raws)
        self.happened["requests of the SDK"] += 1
        if kills and self._chance.random() < 0.2:
            self.happened["programs killed while they waited for an answer"] += 1
            return True
        request.answer.put(None if fates is None else _answer(events, fates))
        return False

    def _reply(self, program: _Program) -> Any:
        """What the program says, or what it sends."""
        until = monotonic() + _ANSWER_S_MAX
        while monotonic() < until:
            with contextlib.suppress(queue.Empty):
                return self._requests.get_nowait()
            if program.line.poll(_POLL_S):
                return program.line.recv()
        raise TimeoutError("a program that records hangs")

    def _kill(self, place: int) -> None:
        self._programs[place].kill()
        while not self._requests.empty():  # of one that is gone
            self._requests.get_nowait().answer.put(None)
        self._programs[place] = self._new()

    def _usage(self, now: datetime) -> Usage:
        chance = self._chance
        meter, labels = chance.choice(
            (
                ("sim.example/cpu", {"region": "eu"}),
                ("sim.example/peak", {"region": "us", "tier": "gold"}),
                ("sim.example/users", {"user": "ann"}),
                ("sim.example/power", None),
                ("sim.example/unknown", None),
            )
        )
        before = timedelta(seconds=chance.choice((0, 0, 60, 86_400 * 3)))
        return Usage(
            meter,
            chance.choice((*PROJECTS, UNBOUND)),
            chance.choice((0, 3, 8, -2)),
            labels,
            {"kind": "Instance", "name": "i-9"} if chance.random() < 0.2 else None,
            now - before if chance.random() < 0.5 else None,
        )


def _answer(events: Sequence[Any], fates: tuple[str, ...]) -> bytes:
    """As the gateway says it."""
    rejected = [
        {"id": event["id"], "reason": fate, "detail": "simulated"}
        for event, fate in zip(events, fates, strict=True)
        if fate not in ("accepted", "quarantined", "duplicate")
    ]
    return json.dumps({"accepted": len(events) - len(rejected), "rejected": rejected}).encode()


def _server(requests: "queue.Queue[_Request]") -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = _Request(gzip.decompress(body), queue.Queue())
            requests.put(request)
            text = request.answer.get()
            if text is None:
                self.close_connection = True
                return
            with contextlib.suppress(ConnectionError):  # it was killed meanwhile
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            """The story says what was sent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server
