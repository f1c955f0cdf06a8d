"""Preparing in a process beside the gateway's, so that it does not share the gateway's interpreter.

With a hundred events a request, reading requests and preparing groups take turns on one interpreter lock, which then
bounds the gateway. Preparing is pure, so that nothing depends on the other process: whatever goes wrong there, the
group is prepared here. Owns: that process, started with the first large group and ended with this one, and what is
said to it. Not: what is known and whether that is stale (commit).
"""

import pickle
import select
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

import structlog

from milo_billing.infra.clock import monotonic_s
from milo_billing.usage.engine import frames, metrics
from milo_billing.usage.engine.groups import Fates, Group, Sender
from milo_billing.usage.engine.knowledge import Knowledge
from milo_billing.usage.engine.prepared import Followers, Limits, Prepared, Rejected, Rows

EVENTS_MIN: Final = 1_000
"""Smaller groups are prepared here: a gateway that is not busy needs no second process."""

KNOWLEDGE_S_MIN: Final = 2.0
"""What changed sooner than this after the last time is not sent yet: sending much knowledge takes a while."""

ANSWER_S_MAX: Final = 10.0
RESTART_S_MIN: Final = 10.0
READY: Final = "ready"

_MODULE: Final = "milo_billing.usage.engine.beside_process"
_PACKAGES: Final = Path(__file__).parents[3]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """What groups are prepared with from here on."""

    knowledge: Knowledge


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, whose body is decoded once more over there: that costs this process nothing."""

    body: pickle.PickleBuffer
    single: bool
    sender: Sender
    received_us: int
    accept_late: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A group to prepare, and which labels have been stored since the last one."""

    requests: list[Sent]
    limits: Limits
    stored_dimensions: list[int]
    stored_resources: list[int]


@dataclass(frozen=True, slots=True)
class Answered:
    """What `Prepared` says beside what was asked."""

    fates: Fates
    rejected: list[Rejected]
    rows: Rows
    followers: Followers
    new_dimensions: dict[int, bytes]
    new_resources: dict[int, bytes]


class Beside:
    """A preparer in another process. `prepare` is for one thread, `mark_stored` for any."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._ready = False
        self._stopped = False
        self._knowledge: Knowledge | None = None
        self._told_s = self._started_s = float("-inf")
        self._noting = Lock()
        self._stored_dimensions: list[int] = []
        self._stored_resources: list[int] = []

    @property
    def process(self) -> int | None:
        """The id of the other process, while there is one."""
        return None if self._child is None else self._child.pid

    def prepare(self, group: Group, knowledge: Knowledge, limits: Limits) -> Prepared | None:
        """As `Preparer.prepare`; None where it is to be prepared here, for whatever reason."""
        if group.size < EVENTS_MIN or not all(part.is_whole for part in group.parts):
            return None
        line = self._start()
        if line is None:
            return None
        try:
            if not self._is_ready(line) or not self._tell(line, knowledge):
                return None
            frames.send(line, self._asked(group, limits))
            answer = frames.receive(line)
        except (OSError, EOFError) as error:
            _log.warning("preparing_process_ended", error=repr(error))
            self._end()
            return None
        if not isinstance(answer, Answered) or len(answer.fates) != group.size:
            _log.warning("preparing_process_refused", answer=answer if isinstance(answer, str) else "")
            return None
        metrics.PREPARED_BESIDE.inc()
        return Prepared(
            group=group,
            knowledge=knowledge,
            limits=limits,
            fates=answer.fates,
            rejected=answer.rejected,
            rows=answer.rows,
            followers=answer.followers,
            new_dimensions=answer.new_dimensions,
            new_resources=answer.new_resources,
        )

    def mark_stored(self, *, dimensions: Iterable[int], resources: Iterable[int]) -> None:
        """Labels that are in the database now, by hash; said with the next group."""
        if self._ready:
            with self._noting:
                self._stored_dimensions += dimensions
                self._stored_resources += resources

    def stop(self) -> None:
        """End the process; from now on everything is prepared here. For the thread that prepares, or after it."""
        self._stopped = True
        self._end()

    def _asked(self, group: Group, limits: Limits) -> Asked:
        with self._noting:
            dimensions, self._stored_dimensions = self._stored_dimensions, []
            resources, self._stored_resources = self._stored_resources, []
        requests = [
            Sent(
                pickle.PickleBuffer(request.batch.body),
                request.batch.single,
                request.sender,
                request.received_us,
                request.accept_late,
            )
            for request in (part.request for part in group.parts)
        ]
        return Asked(requests, limits, dimensions, resources)

    def _tell(self, line: socket.socket, knowledge: Knowledge) -> bool:
        """Have the other process know the same; False where it was told other things just now."""
        if knowledge is self._knowledge:
            return True
        now_s = monotonic_s()
        if now_s - self._told_s < KNOWLEDGE_S_MIN:
            return False
        frames.send(line, Known(knowledge))
        self._knowledge, self._told_s = knowledge, now_s
        return True

    def _start(self) -> socket.socket | None:
        """The line to the process; None where it has just been lost, or all is ending."""
        if self._stopped:
            return None
        if self._line is not None:
            return self._line
        now_s = monotonic_s()
        if now_s - self._started_s < RESTART_S_MIN:
            return None
        self._started_s = now_s
        here, there = socket.socketpair()
        with there:
            self._child = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(there.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[there.fileno()],
                cwd=_PACKAGES,
            )
        here.settimeout(ANSWER_S_MAX)
        self._line = here
        return here

    def _is_ready(self, line: socket.socket) -> bool:
        """Whether the process has come up; asks without waiting."""
        if not self._ready and select.select([line], [], [], 0)[0]:
            self._ready = frames.receive(line) == READY
        return self._ready

    def _end(self) -> None:
        self._ready, self._knowledge = False, None
        with self._noting:
            self._stored_dimensions, self._stored_resources = [], []
        self._told_s = float("-inf")
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
