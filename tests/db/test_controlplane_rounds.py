"""Rounds of a worker: everything is visited, and what fails takes nothing with it."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter
from psycopg import OperationalError

from milo_billing.controlplane import rounds
from milo_billing.controlplane.identity import EVERYWHERE, Identity
from milo_billing.controlplane.rounds import Rounds
from milo_billing.controlplane.work import Work
from milo_billing.infra.database import Databases, Tx
from milo_billing.kernel.errors import Conflict
from tests.accounts_world import make_world

UNABLE, DEFECTIVE = 7, 13
THINGS = 25


def test_all_are_visited_page_by_page_each_in_a_transaction_of_its_own(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "PAGE", 10)
    world = make_world(databases, tmp_path)
    numbers = [world.project(f"p{at}").uid for at in range(THINGS)]
    worker = Rounds(world.engine, databases.app, world.clock, Identity("system:test"))
    registry = CollectorRegistry()
    outcomes = Counter("rounds", "What became of each.", ("outcome",), registry=registry)
    visited: list[int] = []

    def list_page(tx: Tx, after: int, limit: int) -> list[int]:
        return [*range(after + 1, THINGS)][:limit]

    def do(at: int) -> tuple[str, ...]:
        def write(work: Work) -> None:
            work.tx.execute(
                "update directory.projects set name = name || '-seen' where uid = %s", (numbers[at],)
            )
            if at == UNABLE:
                raise Conflict("it cannot be done")
            if at == DEFECTIVE:
                raise IndexError("nobody thought of it")

        visited.append(at)
        worker.write(write)
        return ("done",)

    worker.go(list_page, do, begin=-1, outcomes=outcomes, failed="not_done")

    assert visited == list(range(THINGS))
    assert registry.get_sample_value("rounds_total", {"outcome": "done"}) == THINGS - 2
    assert registry.get_sample_value("rounds_total", {"outcome": "failed"}) == 2
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        rows = tx.execute("select uid from directory.projects where name like '%-seen'").fetchall()
    assert {uid for (uid,) in rows} == {
        uid for at, uid in enumerate(numbers) if at not in (UNABLE, DEFECTIVE)
    }


def test_a_round_ends_where_the_database_is_away(
    databases: Databases, superuser_tx: Tx, tmp_path: Path
) -> None:
    world = make_world(databases, tmp_path)
    worker = Rounds(world.engine, databases.app, world.clock, Identity("system:test"))
    outcomes = Counter("rounds", "What became of each.", ("outcome",), registry=CollectorRegistry())
    visited: list[int] = []

    def lose(work: Work) -> None:
        superuser_tx.execute("select pg_terminate_backend(%s, 5000)", (work.tx.info.backend_pid,))
        work.tx.execute("select")

    def do(at: int) -> tuple[str, ...]:
        visited.append(at)
        worker.write(lose)
        return ("done",)

    with pytest.raises(OperationalError):
        worker.go(lambda tx, after, limit: [1, 2], do, begin=0, outcomes=outcomes, failed="not_done")
    assert visited == [1]
