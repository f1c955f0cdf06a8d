"""Usage ingest, from the bytes of a request to the fsynced commit, as a ratio to PostgreSQL's own ceiling.

The ceiling is a binary COPY of the same rows, 5,000 a commit, into an unpartitioned table with only the primary key,
measured in the same round. The server is a real one; its gateway is driven over HTTPS by this process, and for the
other figures the engine runs in this process, which decodes as the gateway's threads do. Compaction is on throughout.
"""

import asyncio
import ssl
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import uvloop
from demo.server import Running, start_server

from bench.figures import Figure
from bench.load import Load, declare_provider, generate, with_users
from milo_billing.client.connection import Connection
from milo_billing.infra.clock import SystemClock, new_uid, random_bits
from milo_billing.infra.database import EVERYWHERE, Database, Tx, connect
from milo_billing.infra.postgres.folder import SUPERUSER
from milo_billing.infra.postgres.server import PostgresServer, find_postmaster
from milo_billing.usage import store
from milo_billing.usage.engine import decode, groups, knowledge
from milo_billing.usage.engine.answers import Acknowledged
from milo_billing.usage.engine.pipeline import UsageEngine
from milo_billing.usage.engine.prepare import Preparer
from milo_billing.usage.engine.prepared import GOOD, Limits
from milo_billing.usage.engine.readings import to_us
from milo_billing.usage.engine.rows import pack_events

NAME = "ingest"

ROUNDS = 5
"""Measured rounds; one more comes first, which fills caches and is not counted."""

EVENTS = 300_000
HTTP_EVENTS = 100_000
CEILING_ROWS = 5_000
IN_FLIGHT_EVENTS = 60_000
CONNECTIONS = 256
LATE_DAYS_MAX = 30

_PLATFORM = groups.Sender(owner_org=0, reach=EVERYWHERE)
_TABLES = (
    "usage.events, usage.foreign_ids, usage.quarantine, usage.rollups, usage.deltas, usage.distinct_keys, "
    "usage.distinct_key_deltas, usage.tallies"
)


@dataclass(frozen=True, slots=True)
class Run:
    """One way of sending and its bar; `send` says how many seconds it took. What was measured: events/s, and ratios."""

    name: str
    bar: float | None
    bodies: Sequence[bytes]
    events: int
    send: Callable[[Sequence[bytes]], float]
    rates: list[float] = field(default_factory=list[float])
    ratios: list[float] = field(default_factory=list[float])


def run() -> Sequence[Figure]:
    """Declare a large provider on a new server and measure each way of sending, in turn."""
    with tempfile.TemporaryDirectory(prefix="milo-billing-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user passes through it
        server = start_server(folder / "data", log=folder / "log", settings={})
        try:
            bench = Bench(server, folder / "data")
            try:
                return bench.measure()
            finally:
                bench.close()
        finally:
            server.stop()


class Bench:
    """A server with a provider on it, and an engine in this process beside the server's own."""

    def __init__(self, server: Running, data: Path) -> None:
        self._server = server
        found = find_postmaster(data / "postgres")
        assert found is not None, "the server runs its own PostgreSQL"
        self._postgres = PostgresServer(
            folder=data / "postgres", socket_dir=found.socket_dir, pid=found.pid, child=None
        )
        self._now = SystemClock().now()
        with connect(self._postgres.conninfo(), role="milo_owner") as owner:
            declare_provider(owner, now=self._now)
        self._database = Database(self._postgres.conninfo(), role="milo_ingest", pool_max=1)
        self._engine = UsageEngine(
            self._database, process=new_uid(), random_bits=random_bits, late_days_max=LATE_DAYS_MAX
        )
        self._engine.start()

    def close(self) -> None:
        """Stop the engine of this process."""
        self._engine.stop()
        self._database.close()

    def measure(self) -> Sequence[Figure]:
        """All figures: medians over interleaved rounds."""
        runs = self._runs()
        ceilings: list[float] = []
        rows = self._ceiling_rows(runs[0].bodies)
        for round_ in range(ROUNDS + 1):
            for each in runs:
                self._clear()
                ceiling = self._measure_ceiling(rows)
                self._clear()
                rate = each.events / each.send(each.bodies)
                self._check(each)
                if round_:
                    ceilings.append(ceiling)
                    each.rates.append(rate)
                    each.ratios.append(rate / ceiling)
        figures = [
            figure
            for each in runs
            for figure in (
                Figure(f"ingest/{each.name}", statistics.median(each.ratios), "× COPY", each.bar, ">="),
                Figure(f"ingest/{each.name}_rate", statistics.median(each.rates), "events/s"),
            )
        ]
        return (*figures, Figure("ingest/ceiling_rate", statistics.median(ceilings), "rows/s"))

    def _runs(self) -> list[Run]:
        def load(mix: str, events: int, size: int, duplicates: float) -> list[bytes]:
            chosen = Load("wide" if mix == "wide" else "local", events // size, size, duplicates)
            return list(generate(chosen, now_ms=to_us(self._now) // 1_000))

        local = load("local", EVENTS, 5_000, 0.01)
        foreign = [body.replace(b'"id":"0', b'"id":"order-0') for body in local]
        return [
            Run("local", 0.30, local, EVENTS, self._send),
            Run("wide", 0.15, load("wide", EVENTS, 5_000, 0.0), EVENTS, self._send),
            Run("small_requests", None, load("local", HTTP_EVENTS, 100, 0.01), HTTP_EVENTS, self._send),
            Run(
                "http_small_requests",
                0.20,
                load("local", HTTP_EVENTS, 100, 0.01),
                HTTP_EVENTS,
                self._send_http,
            ),
            Run("foreign_ids", None, foreign, EVENTS, self._send),
            Run(
                "unique_count", None, list(with_users(load("local", EVENTS, 5_000, 0.0))), EVENTS, self._send
            ),
        ]

    # -- the ceiling

    def _ceiling_rows(self, bodies: Sequence[bytes]) -> list[tuple[int, bytes]]:
        """The rows that these bodies come to, each once, as COPY takes them."""
        with self._database.transaction(reach=EVERYWHERE) as tx:
            found = store.read_versions(tx)
            versions = knowledge.Versions(found["payers"], found["meters"], found["projects"])
            known = knowledge.refreshed(tx, knowledge.nothing(), versions, projects=True)
        preparer = Preparer(random_bits=random_bits)
        seen: set[bytes] = set()
        packed: list[tuple[int, bytes]] = []
        for body in bodies:
            rows = preparer.prepare(groups.whole([self._request(body)]), known, Limits(LATE_DAYS_MAX, 0)).rows
            keys: list[bytes] = rows.key.tolist()
            rows = rows.take(np.array([key not in seen for key in keys]) & (rows.reason == GOOD))
            seen.update(keys)
            packed.append((len(rows), pack_events(rows)))
        return packed

    def _measure_ceiling(self, packed: Sequence[tuple[int, bytes]]) -> float:
        """Rows a second of COPY alone, CEILING_ROWS a commit."""
        with connect(self._postgres.conninfo(), role="milo_ingest") as tx:
            began = time.perf_counter()
            for _, rows in packed:
                store.copy_rows(tx, f"bench_ceiling ({store.EVENT_COLUMNS})", rows)
                tx.commit()
            return sum(count for count, _ in packed) / (time.perf_counter() - began)

    def _clear(self) -> None:
        """Start each measurement with empty tables and nothing left to write."""
        with self._superuser() as tx:
            tx.execute(
                "drop table if exists bench_ceiling; create table bench_ceiling (like usage.events including all); "
                f"grant all on bench_ceiling to milo_ingest; truncate {_TABLES}; checkpoint"
            )

    def _superuser(self) -> Tx:
        conninfo = self._postgres.conninfo(user=SUPERUSER)
        return connect(conninfo, role=None, autocommit=True)

    # -- sending

    def _request(self, body: bytes) -> groups.Request:
        return groups.Request(
            batch=decode.decode_batch(body), sender=_PLATFORM, received_us=to_us(SystemClock().now())
        )

    def _send(self, bodies: Sequence[bytes]) -> float:
        """Through the engine in this process, with many events in flight, as many senders have them."""
        waiting: deque[Future[Acknowledged]] = deque()
        waiting_max = max(4, IN_FLIGHT_EVENTS * len(bodies) // EVENTS)
        began = time.perf_counter()
        for body in bodies:
            waiting.append(self._engine.submit(self._request(body)))
            if len(waiting) > waiting_max:
                waiting.popleft().result()
        for future in waiting:
            future.result()
        return time.perf_counter() - began

    def _send_http(self, bodies: Sequence[bytes]) -> float:
        """To the gateway over TLS, on CONNECTIONS open connections, each with one request at a time."""
        return uvloop.run(_post_all(self._server.connection(), bodies))

    def _check(self, each: Run) -> None:
        """What was sent is stored, quarantined or a duplicate, and every stored event is in the roll-ups."""
        with self._database.transaction(reach=EVERYWHERE) as tx:
            row = tx.execute(
                "select (select count(*) from usage.events), (select sum(count)::bigint from "
                "(select count from usage.rollups union all select count from usage.deltas) parts), "
                "(select sum(events)::bigint from usage.tallies where fate <> 'late')"
            ).fetchone()
        if row is None or row[0] != row[1] or row[2] != each.events:
            raise AssertionError(f"{each.name}: events, rolled up and tallied of {each.events}: {row}")


async def _post_all(connection: Connection, bodies: Sequence[bytes]) -> float:
    """Post every body, and how long that took, in seconds. A client that costs little: it shares the machine."""
    url = urlsplit(connection.gateway_url)
    trust = ssl.create_default_context(cadata=connection.ca_pem)
    opened = [await asyncio.open_connection(url.hostname, url.port, ssl=trust) for _ in range(CONNECTIONS)]
    head = (
        "POST /v1/usage/events:batchIngest HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {connection.token}\r\nContent-Length: "
    ).encode()
    waiting = iter(bodies)

    async def post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for body in waiting:
            writer.write(head + str(len(body)).encode() + b"\r\n\r\n" + body)
            answered = await reader.readuntil(b"\r\n\r\n")
            length = int(answered.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if not answered.startswith(b"HTTP/1.1 200"):
                raise AssertionError(f"the gateway answered {answered.decode()}{answer.decode()}")

    began = time.perf_counter()
    await asyncio.gather(*(post(reader, writer) for reader, writer in opened))
    took = time.perf_counter() - began
    for _, writer in opened:
        writer.close()
    return took
