"""A program that records usage with the SDK: a process of its own that can be stopped and killed at any step on disk.

Recorder, spool and sending are the SDK's own; only its clock and chance are given, and what it asks of the operating
system for its segments is a step each. It sends when it is told to, over real HTTP.
"""

import logging
import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any, TypeAlias, cast

from milo_usage import Recorder, Usage, segments

from tests.simulation.usage_simulation.process import Steps

FLUSH_S = 2.0
_LINGER_S = 3600.0
"""Nothing is sent before it is told to."""

_STEPS = ("open", "fsync", "fdatasync", "ftruncate", "pwrite")


@dataclass(frozen=True)
class Record:
    """Record these in one call; stop at the n-th step on disk, if there are so many."""

    usages: tuple[Usage, ...]
    now_us: int
    stop_at: int | None


@dataclass(frozen=True)
class Flush:
    """Send what waits, and what programs left that were killed."""

    now_us: int
    stop_at: int | None


@dataclass(frozen=True)
class Recorded:
    """These ids were returned: from now on it is the SDK's business that they are stored once."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Flushed:
    """Whether everything has left the spool."""

    everything: bool


Told: TypeAlias = Record | Flush


@dataclass
class _Clock:
    chance: random.Random
    us: int = 0

    def now_us(self) -> int:
        return self.us

    def monotonic_s(self) -> float:
        return 0.0  # nothing is due by itself: neither another look for orphans, nor a warning

    def random_bits(self, count: int) -> int:
        return self.chance.getrandbits(count)


class _SteppedSystem:
    """The operating system, with a step before and after each call that changes what is on disk.

    Only of the thread that does what was told: the one that records, or the one that sends.
    """

    def __init__(self, pass_by: Callable[[str, int | None], None]) -> None:
        self._pass_by = pass_by
        self.recording = True

    def __getattr__(self, name: str) -> Any:
        call: Any = getattr(os, name)
        if name not in _STEPS:
            return call

        def stepped(*arguments: Any) -> Any:
            if self.recording != (threading.current_thread() is threading.main_thread()):
                return call(*arguments)
            self._pass_by(f"before {name} in the spool", None)
            result = call(*arguments)
            self._pass_by(f"after {name} in the spool", None)
            return result

        return stepped


def produce(line: "Connection[Any, Any]", url: str, spool: str, seed: int) -> None:
    """Record and send as told, until None comes."""
    logging.disable()  # it is cut off on purpose, and says so each time
    steps, clock = Steps(line), _Clock(random.Random(seed))
    system = _SteppedSystem(steps.pass_by)
    cast("Any", cast("ModuleType", segments)).os = system
    recorder = Recorder(
        url=url, token="simulated", spool=spool, source="sim/sdk", linger_s=_LINGER_S, clock=clock
    )
    while (told := cast("Told | None", line.recv())) is not None:
        clock.us = told.now_us
        system.recording = isinstance(told, Record)
        steps.begin(told.stop_at)
        answer = _record(recorder, told) if isinstance(told, Record) else Flushed(recorder.flush(FLUSH_S))
        steps.begin(None)
        line.send(answer)
    recorder.close()


def _record(recorder: Recorder, told: Record) -> Recorded:
    one, *more = told.usages
    if more:
        return Recorded(tuple(recorder.record_many(told.usages)))
    id = recorder.record(
        meter=one.meter,
        project=one.project,
        quantity=one.quantity,
        dimensions=one.dimensions,
        resource=one.resource,
        occurred_at=one.occurred_at,
    )
    return Recorded((id,))
