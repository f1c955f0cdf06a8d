"""Keep a set of processes running: fork, watch, restart with backoff, drain.

The supervisor has loaded what the processes need and stays single-threaded, so that forking is safe and the memory of
the loaded modules is shared. It owns the listening sockets: a process that is restarted loses no connection request.
Knows nothing of what the processes do.
"""

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from milo_billing.app.channel import LineBroken, Question, SupervisorEnd
from milo_billing.infra.clock import monotonic_s

BACKOFF_MIN_S = 0.1
BACKOFF_MAX_S = 10.0
STABLE_S = 60.0
"""A process that lived so long starts again at once when it dies."""

_log = structlog.get_logger(__name__)

Run = Callable[[socket.socket], int]
"""What a process does, given its end of the line; returns its exit code."""


@dataclass
class _Process:
    name: str
    run: Run
    pid: int | None = None
    end: SupervisorEnd | None = None
    started_s: float = 0.0
    backoff_s: float = 0.0
    due_s: float = 0.0


class Supervisor:
    """Runs `processes` by name until told to stop.

    `doors` are sockets the supervisor itself serves, with what to call when one can be read. `on_tick` is called now
    and then, and returns in how many seconds it wants to be called again.
    """

    def __init__(
        self,
        processes: Mapping[str, Run],
        *,
        doors: Sequence[tuple[socket.socket, Callable[[], None]]],
        on_tick: Callable[[], float],
        grace_s: float,
    ) -> None:
        self._processes = [_Process(name=name, run=run) for name, run in processes.items()]
        self._doors = doors
        self._on_tick = on_tick
        self._grace_s = grace_s
        self._stopping = False

    def ask(self, question: Question) -> dict[str, Any]:
        """Every process's answer by name; None for one that is not there or does not answer."""
        return {process.name: self._ask_one(process, question) for process in self._processes}

    def _ask_one(self, process: _Process, question: Question) -> Any:
        if process.end is None:
            return None
        try:
            return process.end.ask(question)
        except LineBroken as error:
            _log.debug("a process does not answer", name=process.name, reason=str(error))
            return None

    def pids(self) -> dict[str, int | None]:
        """The process ids by name; None for one that waits to be started again."""
        return {process.name: process.pid for process in self._processes}

    def run(self) -> None:
        """Start everything and keep it running until SIGTERM or SIGINT; then drain and return."""
        if threading.active_count() > 1:
            raise RuntimeError(f"a process with threads must not fork: {threading.enumerate()}")
        with self._signals() as wakeup, selectors.DefaultSelector() as selector:
            selector.register(wakeup, selectors.EVENT_READ, lambda: wakeup.recv(4096))
            for door, serve in self._doors:
                selector.register(door, selectors.EVENT_READ, serve)
            next_tick_s = 0.0
            while not self._stopping:
                self._reap()
                self._start_due()
                if monotonic_s() >= next_tick_s:
                    next_tick_s = monotonic_s() + self._on_tick()
                for key, _ in selector.select(timeout=self._pause_s(next_tick_s)):
                    key.data()
            self._drain()

    def _pause_s(self, next_tick_s: float) -> float:
        """Until the next tick, or the next start of a process that died."""
        due = [process.due_s for process in self._processes if process.pid is None]
        return max(0.0, min([next_tick_s, *due]) - monotonic_s())

    @contextlib.contextmanager
    def _signals(self) -> Generator[socket.socket]:
        """A socket that can be read when a signal has come: then select returns at once."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)

        def stop(_number: int, _frame: object) -> None:
            self._stopping = True

        def wake(_number: int, _frame: object) -> None:
            """Only so that the wakeup socket hears of it."""

        handlers: dict[int, Any] = {
            signal.SIGTERM: stop,
            signal.SIGINT: stop,
            signal.SIGCHLD: wake,
        }
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            with reader, writer:
                yield reader
        finally:
            signal.set_wakeup_fd(previous)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start_due(self) -> None:
        for process in self._processes:
            if process.pid is None and monotonic_s() >= process.due_s and not self._stopping:
                self._fork(process)

    def _fork(self, process: _Process) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._become(process, theirs)
        theirs.close()
        process.pid, process.end, process.started_s = pid, SupervisorEnd(ours), monotonic_s()
        _log.info("started", name=process.name, child=pid)

    def _become(self, process: _Process, line: socket.socket) -> None:
        """The life of the new process; never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            # a Ctrl-C at the terminal reaches all: the supervisor decides in which order things end
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for other in self._processes:
                if other.end is not None:  # or their lines would not break while we live
                    other.end.close()
            gc.enable()
            code = process.run(line)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            _log.exception("the process failed", name=process.name)
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        for process in self._processes:
            if process.pid is None:
                continue
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if pid == 0:
                continue
            self._forget(process)
            lived_s = monotonic_s() - process.started_s
            doubled_s = min(BACKOFF_MAX_S, max(BACKOFF_MIN_S, 2 * process.backoff_s))
            process.backoff_s = 0.0 if lived_s > STABLE_S else doubled_s
            process.due_s = monotonic_s() + process.backoff_s
            if not self._stopping:
                code = os.waitstatus_to_exitcode(status)
                _log.error("died; starts again", name=process.name, code=code, after_s=process.backoff_s)

    def _forget(self, process: _Process) -> None:
        process.pid = None
        if process.end is not None:
            process.end.close()
            process.end = None

    def _drain(self) -> None:
        _log.info("draining", limit_s=self._grace_s)
        self._signal_all(signal.SIGTERM)
        # beyond their own limit they get a little more, to close their connections
        until = monotonic_s() + self._grace_s + 2.0
        while any(process.pid for process in self._processes) and monotonic_s() < until:
            self._reap()
            signal.sigtimedwait({signal.SIGCHLD}, 0.05)
        self._signal_all(signal.SIGKILL)
        for process in self._processes:
            if process.pid is not None:
                os.waitpid(process.pid, 0)
                self._forget(process)

    def _signal_all(self, number: int) -> None:
        for process in self._processes:
            if process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)
