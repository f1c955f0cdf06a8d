"""Who pays for project P at instant T, among 100,000 projects, against the cheapest question a database answers.

The floor is a one-row select by primary key on the same connection, in turn with the lookups. `number` is what
the slices ask (`accounts.reads.find_payer`), `name` what the API asks (`who_pays`).
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.figures import Figure
from bench.load import declare_provider
from milo_billing.accounts import reads
from milo_billing.infra.database import EVERYWHERE, Database, connect
from milo_billing.infra.migrations import migrate
from milo_billing.infra.postgres.server import start
from milo_billing.infra.settings import surroundings

NAME = "payer"
PROJECTS = 100_000
ROUNDS = 5_000
WARM_UP = 500
"""Psycopg prepares a statement when it comes for the sixth time, and the cache has to fill."""

FLOOR = "select uid from accounts.accounts where number = %s"
BAR = 3.0
NOW = datetime(2026, 10, 15, tzinfo=UTC)


def run() -> Sequence[Figure]:
    """Declare the projects, then ask in turn."""
    with tempfile.TemporaryDirectory(prefix="milo-billing-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user passes through it
        server = start(folder, around=surroundings(), fsync=False)
        try:
            return _measure(server.conninfo())
        finally:
            server.stop()


def _measure(conninfo: str) -> Sequence[Figure]:
    migrate(conninfo, now=NOW, phase="pre")
    with connect(conninfo, role="milo_owner") as owner:
        declare_provider(owner, now=NOW, projects=PROJECTS)
    with connect(conninfo, role="milo_owner", autocommit=True) as owner:
        owner.execute("vacuum analyze accounts.payer_intervals, accounts.accounts, directory.projects")
    database = Database(conninfo, role="milo_app", pool_max=1)
    randomness = random.Random(2026)
    floor_s, number_s, name_s = [list[float]() for _ in range(3)]
    with database.transaction(reach=EVERYWHERE) as tx:
        for _ in range(ROUNDS):
            project = randomness.randrange(PROJECTS)
            at = NOW - timedelta(seconds=randomness.randrange(300 * 86_400))
            number, called = project + 1, f"p-{project:06d}"
            floor_s.append(_seconds(lambda key=number // 10 + 1: tx.execute(FLOOR, (key,)).fetchone()))
            number_s.append(_seconds(lambda n=number, t=at: reads.find_payer(tx, project=n, at=t)))
            name_s.append(_seconds(lambda n=called, t=at: reads.who_pays(tx, project_name=n, at=t)))
    database.close()
    floor, by_number, by_name = (
        statistics.median(seconds[WARM_UP:]) for seconds in (floor_s, number_s, name_s)
    )
    return (
        Figure("payer/by_number", by_number / floor, "× primary key select", bar=BAR, sense="<="),
        Figure("payer/by_name", by_name / floor, "× primary key select", bar=BAR, sense="<="),
        Figure("payer/primary_key_select", floor * 1e6, "µs"),
    )


def _seconds(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    answer = ask()
    took = time.perf_counter() - began
    if answer is None:
        raise AssertionError("every project has a payer at every instant of the load")
    return took
