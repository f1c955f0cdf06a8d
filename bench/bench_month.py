"""A month over all accounts: rated, drafted, issued by a real server; five meters, ten projects, thirty days each.

The run is opened over the API and the server's workers take its steps, as an operator has it; PDFs are written when
they are asked for, so none is here. How long it takes an account is compared between a database of a tenth of the
accounts and the whole, and between the first tenth of the run and its last. `python -m bench.bench_month --accounts
200` is a short one.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from demo.server import Running, start_server

from bench.figures import Figure
from bench.month_world import LINES_AN_ACCOUNT, MONTH, YEAR, declare_month
from milo_billing.client.billing import get_run, open_run
from milo_billing.client.http import ApiClient
from milo_billing.infra.database import connect
from milo_billing.infra.postgres.folder import SUPERUSER
from milo_billing.infra.postgres.server import PostgresServer, find_postmaster

NAME = "month"
ACCOUNTS: Final = 10_000
SECONDS_MAX: Final = 120.0
LINEAR_MAX: Final = 1.25
"""An account of the whole may take so much longer than one of a tenth."""

DECLARED: Final = datetime(2026, 9, 1, tzinfo=UTC)
OVER: Final = "2026-12-02T00:00:00Z"
TICKS_S: Final = 100
"""/proc counts the time of processes in hundredths."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: seconds in all, seconds of its first and last tenth, processor seconds, memory at its highest."""

    accounts: int
    seconds: float
    first_s: float
    last_s: float
    workers_s: float
    postgres_s: float
    workers_mb: float


def run() -> Sequence[Figure]:
    """Run a tenth, then the whole."""
    return _figures(_measure(ACCOUNTS // 10), _measure(ACCOUNTS), bar=SECONDS_MAX)


def _figures(small: Measured, whole: Measured, *, bar: float | None) -> tuple[Figure, ...]:
    growth = (whole.seconds / whole.accounts) / (small.seconds / small.accounts)
    return (
        Figure("month/run", whole.seconds, "s", bar),
        Figure("month/accounts", whole.accounts / whole.seconds, "accounts/s"),
        Figure("month/lines", LINES_AN_ACCOUNT * whole.accounts / whole.seconds, "lines/s"),
        Figure("month/worker_cpu", whole.workers_s / whole.accounts * 1000, "ms/account"),
        Figure("month/postgres_cpu", whole.postgres_s / whole.accounts * 1000, "ms/account"),
        Figure("month/growth_from_a_tenth", growth, "× an account", LINEAR_MAX),
        Figure("month/last_tenth_to_first", whole.last_s / whole.first_s, "× an account", LINEAR_MAX),
        Figure("month/worker_memory", whole.workers_mb, "MB PSS"),
        Figure("month/worker_memory_growth", whole.workers_mb - small.workers_mb, "MB PSS", 32),
    )


def _measure(accounts: int) -> Measured:
    with _server(accounts) as (server, postgres):
        workers = [pid for name, pid in server.announcement["processes"].items() if name.startswith("worker")]
        before = _cpu_of(workers), _cpu_below_s(postgres.pid)
        with ApiClient(server.connection()) as api:
            began = time.perf_counter()
            found = open_run(api, month=f"{YEAR}-{MONTH:02}")
            memory: list[float] = []
            while found["state"] != "finished":
                memory.append(sum(map(_proportional_mb, workers)))
                sys.stderr.write(f"\r{found['done']:,} of {found['total']:,} accounts ")
                time.sleep(0.5)
                found = get_run(api, found["id"])
            seconds = time.perf_counter() - began
        after = _cpu_of(workers), _cpu_below_s(postgres.pid)
        if found["issued"] != accounts:
            raise AssertionError(f"not every account has its invoice: {found}")
        first_s, last_s = _tenths(postgres, UUID(found["id"]), opened=found["openedAt"])
    sys.stderr.write(f"in {seconds:.1f} s\n")
    return Measured(
        accounts,
        seconds,
        first_s,
        last_s,
        after[0] - before[0],
        after[1] - before[1],
        max(memory, default=0.0),
    )


@contextmanager
def _server(accounts: int) -> Generator[tuple[Running, PostgresServer]]:
    with tempfile.TemporaryDirectory(prefix="milo-billing-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user passes through it
        data = folder / "data"
        server = start_server(data, log=folder / "log", settings={"CLOCK": OVER})
        try:
            found = find_postmaster(data / "postgres")
            assert found is not None, "the server runs its own PostgreSQL"
            postgres = PostgresServer(
                folder=data / "postgres", socket_dir=found.socket_dir, pid=found.pid, child=None
            )
            declare_month(
                postgres.conninfo(user=SUPERUSER), data / "keyfile", accounts=accounts, now=DECLARED
            )
            yield server, postgres
        finally:
            server.stop()


def _tenths(postgres: PostgresServer, run: UUID, *, opened: str) -> tuple[float, float]:
    """Seconds that the first tenth of the accounts took, and the last."""
    with connect(postgres.conninfo(user=SUPERUSER), role="milo_owner") as owner:
        rows = owner.execute(
            "select done_at from invoicing.run_steps where run = %s order by done_at", (run,)
        ).fetchall()
    at = [row[0] for row in rows]
    tenth = len(at) // 10
    return (at[tenth - 1] - datetime.fromisoformat(opened)).total_seconds(), (
        at[-1] - at[-tenth - 1]
    ).total_seconds()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


def _cpu_of(processes: Sequence[int]) -> float:
    return sum(map(_cpu_s, processes))


def _cpu_below_s(pid: int) -> float:
    """Of a process and those that it started, also of children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ended = (int(fields[13]) + int(fields[14])) / TICKS_S
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return _cpu_s(pid) + ended + sum(_cpu_s(int(child)) for child in children)


def _proportional_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"process {pid} says nothing of its memory")


def main() -> None:
    """One short run, printed and not recorded."""
    parser = argparse.ArgumentParser(description="A month over a few accounts.")
    parser.add_argument("--accounts", type=int, default=200, help="a multiple of 100")
    accounts: int = parser.parse_args().accounts
    small, whole = _measure(accounts // 10), _measure(accounts)
    for figure in _figures(small, whole, bar=None):
        print(json.dumps(figure.line()))


if __name__ == "__main__":
    main()
