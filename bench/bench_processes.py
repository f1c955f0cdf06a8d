"""What a server costs that does nothing: memory of all its processes together, and the time from start to ready.

Memory is the summed proportional set size: a page that several processes share counts once. PostgreSQL is not in it.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from demo.server import Running, start_server

from bench.figures import Figure

NAME = "processes"
STARTS = 5
IDLE_S = 10.0
"""Long enough that what happens at start is over."""


def run() -> Sequence[Figure]:
    """Start a server several times on a database that is there."""
    with tempfile.TemporaryDirectory(prefix="milo-billing-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user passes through it
        first_s, first = _start(folder)
        first.stop()
        warm_s: list[float] = []
        memory_mb: list[float] = []
        for attempt in range(STARTS):
            seconds, server = _start(folder)
            warm_s.append(seconds)
            if attempt == STARTS - 1:
                time.sleep(IDLE_S)
                memory_mb.append(sum(_proportional_kb(pid) for pid in _pids(server)) * 1024 / 1e6)
            server.stop()
    return (
        Figure("processes/idle_memory", memory_mb[0], "MB", bar=250, sense="<="),
        Figure("processes/cold_start", statistics.median(warm_s), "s", bar=3, sense="<="),
        Figure("processes/first_start", first_s, "s"),
    )


def _start(folder: Path) -> tuple[float, Running]:
    began = time.perf_counter()
    server = start_server(folder / "data", log=folder / "log", settings={})
    return time.perf_counter() - began, server


def _pids(server: Running) -> list[int]:
    return [server.process.pid, *server.announcement["processes"].values()]


def _proportional_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise ValueError(f"process {pid} says nothing of its memory")
