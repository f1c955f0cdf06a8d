"""The line between the supervisor and one process: questions down, answers up, and the end of either side noticed.

A frame is four bytes of length and JSON. When the supervisor dies, however it dies, the line breaks and the process
drains and ends: nothing is left holding a port.
"""

import contextlib
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal

import orjson
import structlog

from milo_billing.infra.clock import monotonic_s

Question = Literal["status", "metrics", "renewed"]
"""`status`: the problems by check. `metrics`: the text. `renewed`: there is a new certificate."""

ANSWER_LIMIT_S = 2.0

_LENGTH = struct.Struct(">I")
_log = structlog.get_logger(__name__)


class LineBroken(Exception):
    """The other side is gone, or silent for too long."""


def _send(line: socket.socket, content: Mapping[str, Any]) -> None:
    frame = orjson.dumps(content)
    line.sendall(_LENGTH.pack(len(frame)) + frame)


def _receive(line: socket.socket) -> dict[str, Any]:
    (length,) = _LENGTH.unpack(_read(line, _LENGTH.size))
    return orjson.loads(_read(line, length))


def _read(line: socket.socket, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = line.recv(min(count, 65536))
        if not part:
            raise LineBroken("the other side is gone")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class SupervisorEnd:
    """Asks; belongs to one process that may be busy or dead."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._asked = 0

    def ask(self, question: Question) -> dict[str, Any]:
        """The answer. Raises LineBroken after two seconds, or at once when the process is gone."""
        self._asked += 1
        until = monotonic_s() + ANSWER_LIMIT_S
        try:
            self._line.settimeout(ANSWER_LIMIT_S)
            _send(self._line, {"number": self._asked, "question": question})
            while True:
                self._line.settimeout(max(0.001, until - monotonic_s()))
                answer = _receive(self._line)
                if answer["number"] == self._asked:  # else it answers a question that we gave up on
                    return answer["answer"]
        except OSError as error:
            raise LineBroken(str(error)) from error

    def close(self) -> None:
        """Hang up."""
        self._line.close()


class ProcessEnd:
    """Answers, in a thread of its own, so that a busy process still says that it is alive."""

    def __init__(self, line: socket.socket, *, answer: Callable[[Question], Any]) -> None:
        self._line = line
        self._answer = answer
        self._thread = threading.Thread(target=self._listen, name="supervisor-line", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError, LineBroken):
            while True:
                asked = _receive(self._line)
                _send(self._line, {"number": asked["number"], "answer": self._safe_answer(asked["question"])})
        # the same way out as for an order to stop: requests that run are finished
        os.kill(os.getpid(), signal.SIGTERM)

    def _safe_answer(self, question: Question) -> Any:
        try:
            return self._answer(question)
        except Exception as error:
            _log.exception("a question of the supervisor failed", question=question)
            return {"problems": {question: f"{type(error).__name__}: {error}"}}
