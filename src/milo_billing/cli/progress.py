"""Progress of long commands on standard error: bars on a terminal, otherwise a plain line now and then.

Owns: showing how far something is. Not: the work.
"""

import sys
import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 2.0


class Bars:
    """Shows any number of stages, each with a count. Use as a context manager; `show` may be called as
    often.
    """

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._bars = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._written_at: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, stage: str, done: int, total: int, *, unit: str) -> None:
        """A stage stands at `done` of `total` `unit`s; `total` 0 says that the end is not known yet."""
        if self._terminal:
            task = self._tasks.get(stage)
            if task is None:
                task = self._tasks[stage] = self._bars.add_task(stage, total=total or None, unit=unit)
            self._bars.update(task, completed=done, total=total or None)
            return
        now = time.monotonic()
        finished = total > 0 and done >= total
        if not finished and now - self._written_at.get(stage, now - LINE_EVERY_S) < LINE_EVERY_S:
            return
        self._written_at[stage] = now
        sys.stderr.write(f"{stage}: {done:,} of {total:,} {unit}\n" if total else f"{stage}\n")
        sys.stderr.flush()


class Rate:
    """One long stage whose end is known only as a part of a whole: how many, how many a second, how long still.

    A bar on a terminal, otherwise a line every LINE_EVERY_S; nothing where `silent`. Use as a context manager.
    """

    def __init__(self, *, verb: str, unit: str, silent: bool) -> None:
        self._verb, self._unit = verb, unit
        self._silent = silent
        self._terminal = sys.stderr.isatty() and not silent
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
            # lines of the answer go above the bar where both are on one terminal
            redirect_stdout=sys.stdout.isatty(),
            transient=True,
            disable=not self._terminal,
        )
        self._task = self._bar.add_task("", total=None, left="")
        self._began = self._written_at = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, done: int, *, part: float | None) -> None:
        """It stands at `done`; `part`, from 0 to 1, is how much of the whole that is, None where nobody knows."""
        now = time.monotonic()
        every_s = 0.1 if self._terminal else LINE_EVERY_S
        if self._silent or now - self._written_at < every_s:
            return
        self._written_at = now
        elapsed_s = now - self._began
        text = f"{self._verb} {done:,} {self._unit}, {done / elapsed_s:,.0f} a second"
        left = ""
        if part:
            left = f"{timedelta(seconds=round(elapsed_s * (1 - min(part, 1.0)) / part))} left"
        if self._terminal:
            total = None if part is None else 1.0
            self._bar.update(self._task, description=text, completed=part or 0.0, total=total, left=left)
            return
        sys.stderr.write(f"{text}, {left}\n" if left else f"{text}\n")
        sys.stderr.flush()
