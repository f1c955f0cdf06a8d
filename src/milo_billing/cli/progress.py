"""Progress of long commands on standard error: bars on a terminal, otherwise a plain line now and then.

Owns: showing how far something is. Not: the work.
"""

import sys
import time
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
