"""`python -m bench.soak`: constant load on a real server, for minutes or for millions of events.

Told: throughput of the last tenth over that of the first, each as a ratio to PostgreSQL's own COPY measured right
before it; how fast the memory of each process grows; and whether the roll-ups equal a recount of the events.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Line
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any, Final, LiteralString

from demo.server import Running, start_server

from bench.figures import Figure
from bench.load import declare_provider
from bench.run import record
from bench.soak_client import Order, Sent, serve
from milo_billing.infra.clock import SystemClock
from milo_billing.infra.database import Tx, connect
from milo_billing.infra.postgres.folder import SUPERUSER
from milo_billing.infra.postgres.server import PostgresServer, find_postmaster
from milo_billing.usage import store

NAME: Final = "soak"
PROJECTS: Final = 20_000
WARM_S: Final = 15.0
PARTS: Final = 10
SAMPLE_S: Final = 2.0
WARM_SHARE: Final = 5
"""The first fifth of the samples is not looked at: caches fill."""

COPIES: Final = 10
COPY_ROWS: Final = 5_000
GROWTH_MB_MIN_MAX: Final = 5.0
RATIO_MIN: Final = 0.9


@dataclass
class Soaked:
    """What came of it. `wrong` is what must not be; `growth` MB a minute by process; `rates` and `ceilings` by part."""

    sent: Sent = field(default_factory=Sent)
    rates: list[float] = field(default_factory=list[float])
    ceilings: list[float] = field(default_factory=list[float])
    growth: dict[str, float] = field(default_factory=dict[str, float])
    wrong: list[str] = field(default_factory=list[str])

    @property
    def ratio(self) -> float:
        """The last part's throughput over the first part's, each as a ratio to the ceiling of its moment."""
        return (self.rates[-1] / self.ceilings[-1]) / (self.rates[0] / self.ceilings[0])

    def figures(self, *, paced: bool) -> Sequence[Figure]:
        """As they are recorded; throughput has a bar only where the load was not `paced`."""
        growth = [
            Figure(f"soak/growth_{name}", slope, "MB/min", GROWTH_MB_MIN_MAX)
            for name, slope in self.growth.items()
        ]
        return (
            Figure("soak/events", self.sent.stored + self.sent.unpaid, "events"),
            Figure("soak/last_over_first", self.ratio, "×", None if paced else RATIO_MIN, ">="),
            Figure("soak/rate", statistics.median(self.rates), "events/s"),
            Figure("soak/ceiling_rate", statistics.median(self.ceilings), "rows/s"),
            *growth,
        )


def soak(order: Order) -> Soaked:
    """Soak a new server with the load of `order`, in ten parts."""
    with tempfile.TemporaryDirectory(prefix="milo-billing-soak-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user passes through it
        server = start_server(folder / "data", log=folder / "log", settings={})
        try:
            return _soak(server, folder / "data", order)
        finally:
            server.stop()


def _soak(server: Running, data: Path, order: Order) -> Soaked:
    found = find_postmaster(data / "postgres")
    assert found is not None, "the server runs its own PostgreSQL"
    postgres = PostgresServer(
        folder=data / "postgres", socket_dir=found.socket_dir, pid=found.pid, child=None
    )
    now = SystemClock().now()
    with connect(postgres.conninfo(), role="milo_owner") as owner:
        declare_provider(owner, now=now, projects=PROJECTS)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    client = context.Process(
        target=serve, args=(theirs, server.connection(), PROJECTS, int(now.timestamp() * 1_000)), daemon=True
    )
    client.start()
    theirs.close()
    ours.recv()
    with closing(connect(postgres.conninfo(), role="milo_ingest", autocommit=True)) as tx:
        with connect(postgres.conninfo(user=SUPERUSER), role=None, autocommit=True) as superuser:
            superuser.execute(
                "create table soak_ceiling (like usage.events including all); "
                "alter table soak_ceiling owner to milo_ingest"
            )
        soaked = _run(ours, tx, order, _Memory(server))
        _recount(tx, soaked)
    ours.send(None)
    client.join()
    return soaked


def _run(line: "Line[Any, Any]", tx: Tx, order: Order, memory: "_Memory") -> Soaked:
    soaked = Soaked()
    _send(line, Order(WARM_S, order.events, order.rate), soaked)
    rows = _sample_rows(tx)
    memory.start()
    for part in range(PARTS):
        soaked.ceilings.append(_measure_ceiling(tx, rows))
        sent = _send(line, Order(order.seconds / PARTS, order.events // PARTS, order.rate), soaked)
        soaked.rates.append((sent.stored + sent.unpaid) / sent.seconds)
        print(
            f"part {part + 1} of {PARTS}: {soaked.rates[-1]:,.0f} events/s, ceiling {soaked.ceilings[-1]:,.0f} rows/s",
            file=sys.stderr,
            flush=True,
        )
    soaked.growth = memory.stop()
    return soaked


def _send(line: "Line[Any, Any]", order: Order, soaked: Soaked) -> Sent:
    line.send(order)
    sent: Sent = line.recv()
    total = soaked.sent
    total.stored += sent.stored
    total.unpaid += sent.unpaid
    total.again += sent.again
    total.refused_requests += sent.refused_requests
    return sent


# -- the ceiling


def _sample_rows(tx: Tx) -> list[bytes]:
    """Stored events as binary COPY has them, COPY_ROWS each."""
    columns: LiteralString = store.EVENT_COLUMNS
    found: list[bytes] = []
    for n in range(COPIES):
        query = f"copy (select {columns} from usage.events offset {n * COPY_ROWS} limit {COPY_ROWS}) to stdout binary"
        with tx.cursor() as cursor, cursor.copy(query.encode()) as copy:
            found.append(b"".join(bytes(part) for part in copy))
    return found


def _measure_ceiling(tx: Tx, rows: Sequence[bytes]) -> float:
    """Rows a second of COPY alone, COPY_ROWS a commit."""
    tx.execute("truncate soak_ceiling")
    began = monotonic()
    for part in rows:
        with (
            tx.cursor() as cursor,
            cursor.copy(f"copy soak_ceiling ({store.EVENT_COLUMNS}) from stdin binary".encode()) as copy,
        ):
            copy.write(part)
    return COPIES * COPY_ROWS / (monotonic() - began)


# -- memory


class _Memory:
    """Resident memory of each process of the server, every SAMPLE_S."""

    def __init__(self, server: Running) -> None:
        self._pids: dict[str, int] = {"supervisor": server.process.pid, **server.announcement["processes"]}
        self._samples: dict[str, list[tuple[float, float]]] = {name: [] for name in self._pids}
        self._ended = Event()
        self._thread = Thread(target=self._watch, name="soak-memory", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> dict[str, float]:
        """End; how fast each process grew, in MB a minute, by least squares."""
        self._ended.set()
        self._thread.join()
        slopes: dict[str, float] = {}
        for name, samples in self._samples.items():
            minutes, megabytes = zip(*samples[len(samples) // WARM_SHARE :], strict=True)
            slopes[name] = statistics.linear_regression(minutes, megabytes).slope
        return slopes

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            for name, pid in self._pids.items():
                self._samples[name].append((monotonic() / 60, _resident_mb(pid)))


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"process {pid} says nothing of its memory")


# -- exactness


def _recount(tx: Tx, soaked: Soaked) -> None:
    """Compare what was acknowledged with what is stored, and the roll-ups with the events themselves."""
    sent = soaked.sent
    row = tx.execute(
        "select (select count(*) from usage.events), (select count(*) from usage.quarantine), "
        "(select count(*) from usage.quarantine where reason <> 'attribution_failure'), "
        "(select sum(events)::bigint from usage.tallies where fate = 'duplicate')"
    ).fetchone()
    expected = (sent.stored, sent.unpaid, 0)
    if row is None or row[:3] != expected:
        soaked.wrong.append(f"stored, quarantined, otherwise quarantined: {row}, not {expected}")
    elif (row[3] or 0) < sent.again:  # more where a request was answered 503 and was stored all the same
        soaked.wrong.append(f"{row[3]} duplicates, {sent.again} were sent")
    key: LiteralString = "account, day, project, meter, dimensions"
    different = tx.execute(
        f"with kept as (select {key}, sum(sum) s, sum(count) c, min(min) l, max(max) m from "
        f"(select {key}, sum, count, min, max from usage.rollups "
        f"union all select {key}, sum, count, min, max from usage.deltas) u group by {key}), "
        f"counted as (select {key}, sum(value) s, count(*) c, min(value) l, max(value) m "
        f"from usage.events group by {key}) "
        "select (select count(*) from (table kept except table counted) a), "
        "(select count(*) from (table counted except table kept) b)"
    ).fetchone()
    if different != (0, 0):
        soaked.wrong.append(f"roll-ups and recount differ in {different} rows")


def main(arguments: Sequence[str]) -> int:
    """1 if something is wrong, or a bar is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak",
        description="Constant load on a real server: throughput at the end, memory, and an exact recount.",
        epilog="examples: python -m bench.soak --seconds 300 --rate 10000 · python -m bench.soak --events 20000000",
    )
    parser.add_argument("--seconds", type=float, default=86_400.0, help="how long at most (default: a day)")
    parser.add_argument(
        "--events", type=int, default=20_000_000, help="how many at most (default 20 million)"
    )
    parser.add_argument(
        "--rate", type=float, default=0.0, help="events a second at most (default: as fast as it goes)"
    )
    chosen = parser.parse_args(arguments)
    soaked = soak(Order(chosen.seconds, chosen.events, chosen.rate))
    lines = [figure.line() for figure in soaked.figures(paced=chosen.rate > 0)]
    print(*(json.dumps(line) for line in lines), sep="\n")
    print(*soaked.wrong, sep="\n", file=sys.stderr)
    record(NAME, lines)
    return 1 if soaked.wrong or not all(line["holds"] for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
