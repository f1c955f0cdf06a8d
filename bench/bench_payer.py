"""Who pays for project P at instant T, among 100,000 projects, against the cheapest question a database answers.

The floor is a one-row select by primary key on the same connection, in turn with the lookups. `number` is what
the slices ask (`accounts.reads.find_payer`), `name` what the API asks (`who_pays`), `timeline` everybody who ever paid
(`list_payers`). `projects_of_account` is a page of 500 of one account that pays for 100,000 projects by itself, at an
instant (`list_paid_projects`), against as many rows by primary key.
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
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.infra.database import EVERYWHERE, Database, Tx, connect
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
PAGE = 500
PAGE_ROUNDS = 400
PAGE_FLOOR = (
    "select project, project_name, binding, binding_name, starts_at, nullif(ends_at, 'infinity') "
    "from accounts.payer_intervals "
    "where id between %s and %s"
)
PAGE_BAR = 5.0
"""As for a list of 500 of 100,000 objects."""

GIANT = "giant"
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
        _declare_giant(owner)
    with connect(conninfo, role="milo_owner", autocommit=True) as owner:
        owner.execute("vacuum analyze accounts.payer_intervals, accounts.accounts, directory.projects")
    database = Database(conninfo, role="milo_app", pool_max=1)
    randomness = random.Random(2026)
    floor_s, number_s, name_s, timeline_s = [list[float]() for _ in range(4)]
    with database.transaction(reach=EVERYWHERE) as tx:
        for _ in range(ROUNDS):
            project = randomness.randrange(PROJECTS)
            at = NOW - timedelta(seconds=randomness.randrange(300 * 86_400))
            number, called = project + 1, f"p-{project:06d}"
            floor_s.append(_seconds(lambda key=number // 10 + 1: tx.execute(FLOOR, (key,)).fetchone()))
            number_s.append(_seconds(lambda n=number, t=at: payer_reads.find_payer(tx, project=n, at=t)))
            name_s.append(_seconds(lambda n=called, t=at: payer_reads.who_pays(tx, project_name=n, at=t)))
            timeline_s.append(
                _seconds(lambda n=called: payer_reads.list_payers(tx, project_name=n, limit=100) or None)
            )
        page, page_floor = _measure_pages(tx, randomness)
    database.close()
    floor, by_number, by_name, timeline = (
        statistics.median(seconds[WARM_UP:]) for seconds in (floor_s, number_s, name_s, timeline_s)
    )
    return (
        Figure("payer/by_number", by_number / floor, "× primary key select", bar=BAR, sense="<="),
        Figure("payer/by_name", by_name / floor, "× primary key select", bar=BAR, sense="<="),
        Figure("payer/timeline", timeline / floor, "× primary key select", bar=BAR, sense="<="),
        Figure(
            "payer/projects_of_account",
            page / page_floor,
            f"× {PAGE} rows by primary key",
            bar=PAGE_BAR,
            sense="<=",
        ),
        Figure("payer/primary_key_select", floor * 1e6, "µs"),
    )


def _declare_giant(owner: Tx) -> None:
    """One account that pays for 100,000 projects, half of them since recently."""
    values = {"since": NOW - timedelta(days=365), "last": PROJECTS - 1, "recent": NOW - timedelta(days=10)}
    for statement in (
        "insert into accounts.accounts "
        "(uid, namespace, name, owner_org, currency, time_zone, phase, created_at, version) "
        f"values (gen_random_uuid(), 'organization-org-1', '{GIANT}', 1, 'USD', 'Etc/UTC', 'Ready', %(since)s, 1)",
        "insert into directory.projects (uid, name, owner_org, created_at) select gen_random_uuid(), "
        "'g-' || lpad(g::text, 6, '0'), 1, %(since)s from generate_series(0, %(last)s) g",
        "insert into accounts.payer_intervals (owner_org, project, account, binding, binding_name, project_name, "
        "starts_at, version) select 1, p.number, a.number, gen_random_uuid(), 'b', p.name, "
        "case when p.number %% 2 = 0 then %(since)s else %(recent)s end, 1 "
        f"from directory.projects p join accounts.accounts a on a.name = '{GIANT}' where p.name like 'g-%%'",
    ):
        owner.execute(statement.encode(), values)
    owner.commit()


def _measure_pages(tx: Tx, randomness: random.Random) -> tuple[float, float]:
    """Median seconds of a page of the giant's projects, and of as many rows by primary key."""
    giant = account_reads.find_account(tx, namespace="organization-org-1", name=GIANT)
    assert giant is not None
    (first, last) = tx.execute(
        "select min(id), max(id) from accounts.payer_intervals where account = %s", (giant.number,)
    ).fetchone() or (0, 0)
    page_s, floor_s = list[float](), list[float]()
    for _ in range(PAGE_ROUNDS):
        after = f"g-{randomness.randrange(PROJECTS - 2 * PAGE):06d}"
        at = NOW - timedelta(days=randomness.randrange(20))
        start = randomness.randrange(first, last - PAGE)
        floor_s.append(
            _seconds(lambda key=start: tx.execute(PAGE_FLOOR, (key, key + PAGE - 1)).fetchall() or None)
        )
        page_s.append(
            _seconds(
                lambda a=after, t=at: (
                    payer_reads.list_paid_projects(tx, account=giant.number, at=t, after=a, limit=PAGE)
                    or None
                )
            )
        )
    return statistics.median(page_s[WARM_UP // 10 :]), statistics.median(floor_s[WARM_UP // 10 :])


def _seconds(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    answer = ask()
    took = time.perf_counter() - began
    if answer is None:
        raise AssertionError("every project has a payer at every instant of the load")
    return took
