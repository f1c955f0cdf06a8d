"""From the acknowledgement of an event to the moment when a reader sees it, on a server that is busy with others'.

Usage is read in the transaction that it was written in (the roll-up, and what is not folded into it yet), so what is
measured is the reader's own way: HTTPS to the API and the sum of one project's usage of one meter. What usage costs is
computed from the same rows.
"""

import multiprocessing
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
from demo.server import Running, start_server

from bench.figures import Figure
from bench.load import declare_provider
from bench.soak_client import Order, serve
from milo_billing.client.connection import Connection
from milo_billing.infra.clock import SystemClock, random_bits
from milo_billing.infra.database import connect
from milo_billing.infra.postgres.folder import SUPERUSER
from milo_billing.infra.postgres.server import PostgresServer, find_postmaster
from milo_billing.kernel.ids import ulid

NAME = "visibility"

PROJECTS: Final = 100_000
PROBES: Final = 200
LOAD_EVENTS_S: Final = 20_000
VISIBLE_S_MAX: Final = 2.0
SECONDS: Final = 60.0


def run() -> Sequence[Figure]:
    """Probe a server under load."""
    with tempfile.TemporaryDirectory(prefix="milo-billing-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user passes through it
        server = start_server(folder / "data", log=folder / "log", settings={})
        try:
            return _under_load(server, folder / "data")
        finally:
            server.stop()


def _under_load(server: Running, data: Path) -> Sequence[Figure]:
    found = find_postmaster(data / "postgres")
    assert found is not None, "the server runs its own PostgreSQL"
    postgres = PostgresServer(
        folder=data / "postgres", socket_dir=found.socket_dir, pid=found.pid, child=None
    )
    now = SystemClock().now()
    with connect(postgres.conninfo(user=SUPERUSER), role="milo_owner") as owner:
        declare_provider(owner, now=now, projects=PROJECTS)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, server.connection(), PROJECTS, int(now.timestamp() * 1_000))
    client = context.Process(target=serve, args=arguments, daemon=True)
    client.start()
    theirs.close()
    ours.recv()
    ours.send(Order(SECONDS, 1 << 40, LOAD_EVENTS_S))
    took = _probe(server.connection())
    client.kill()
    client.join()
    return (
        Figure("visibility/usage_median", statistics.median(took), "s"),
        Figure("visibility/usage_longest", max(took), "s", VISIBLE_S_MAX),
    )


def _probe(connection: Connection) -> list[float]:
    """Seconds from acknowledgement to being seen, of PROBES events, each of another project."""
    headers = {"Authorization": f"Bearer {connection.token}"}
    trust = ssl.create_default_context(cadata=connection.ca_pem)
    with httpx.Client(headers=headers, verify=trust, timeout=30) as client:
        return [_seconds(client, connection, number) for number in range(PROBES)]


def _seconds(client: httpx.Client, connection: Connection, number: int) -> float:
    project = f"p-{number * (PROJECTS // PROBES):06d}"
    meter = f"compute.example/meter-{(number * 7) % 50}"
    instant = datetime.now(UTC)
    event = {
        "specversion": "1.0",
        "id": ulid(int(instant.timestamp() * 1_000), random_bits(80)),
        "type": meter,
        "source": "probe",
        "subject": f"projects/{project}",
        "time": instant.isoformat(),
        "data": {"value": "1", "dimensions": {"region": "probe"}},
    }
    answer = client.post(f"{connection.gateway_url}/v1/usage/events", json=event)
    answer.raise_for_status()
    acknowledged = time.perf_counter()
    asked = {"project": project, "meter": meter, "groupBy": "project,dimension:region"}
    _wait(lambda: _seen(client.get(f"{connection.api_url}/v1/usage", params=asked)))
    return time.perf_counter() - acknowledged


def _seen(answer: httpx.Response) -> bool:
    answer.raise_for_status()
    return any(item["dimensions"] == {"region": "probe"} for item in answer.json()["items"])


def _wait(seen: Callable[[], bool]) -> None:
    until = time.perf_counter() + 5 * VISIBLE_S_MAX
    while not seen():
        if time.perf_counter() > until:
            raise AssertionError(f"an acknowledged event was not visible after {5 * VISIBLE_S_MAX:.0f} s")
