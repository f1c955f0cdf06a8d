import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from milo_billing.infra import jobs
from milo_billing.infra.database import EVERYWHERE, Databases, Tx, connect
from milo_billing.infra.jobs import (
    Periodic,
    Task,
    build_queue,
    defer,
    measure_lag,
    requeue_stalled,
    run_worker,
)
from milo_billing.infra.telemetry import REGISTRY

LIMIT_S = 20.0


def waiting(tx: Tx) -> list[tuple[object, ...]]:
    """What is queued, as only the worker's role may see it."""
    tx.execute("set local role milo_job")
    rows = tx.execute(
        "select task_name, args from jobs.procrastinate_jobs where status = 'todo' order by id"
    ).fetchall()
    tx.execute("set local role milo_app")
    return rows


def test_a_job_is_queued_with_the_callers_transaction(databases: Databases) -> None:
    with pytest.raises(ZeroDivisionError), databases.app.transaction(reach=EVERYWHERE) as tx:
        defer(tx, "invoicing.issue", account="a/b")
        raise ZeroDivisionError
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        assert waiting(tx) == []
        assert defer(tx, "invoicing.issue", account="a/b") is not None
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        assert waiting(tx) == [("invoicing.issue", {"account": "a/b"})]


def test_of_the_jobs_with_one_key_one_waits_and_the_transaction_goes_on(tx: Tx) -> None:
    assert defer(tx, "usage.archive", once="archive/1") is not None
    assert defer(tx, "usage.archive", once="archive/1") is None
    assert defer(tx, "usage.archive", once="archive/2") is not None
    assert len(waiting(tx)) == 2


def test_the_roles_of_all_doors_may_defer(databases: Databases) -> None:
    for database in (databases.app, databases.job, databases.ingest):
        with database.transaction(reach=frozenset()) as tx:
            assert defer(tx, "anything", at=datetime(2026, 10, 1, tzinfo=UTC)) is not None


class Ledger:
    """Notes what ran, from the worker's threads, and says when it was enough."""

    def __init__(self, *, enough: int) -> None:
        self.seen: list[dict[str, object]] = []
        self.enough = threading.Event()
        self._enough = enough

    def note(self, *args: object, **named: object) -> None:
        self.seen.append({**named, **({"tick": args[0]} if args else {})})
        if len(self.seen) >= self._enough:
            self.enough.set()


def work_until(databases: Databases, ledger: Ledger, *, work: Sequence[Task | Periodic]) -> None:
    queue = build_queue(
        databases.job.conninfo,
        tasks=[entry for entry in work if isinstance(entry, Task)],
        periodics=[entry for entry in work if isinstance(entry, Periodic)],
    )

    async def main() -> None:
        worker = asyncio.create_task(run_worker(queue, concurrency=2, grace_s=5))
        came = await asyncio.to_thread(ledger.enough.wait, LIMIT_S)
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker
        assert came, f"only {ledger.seen} ran"

    asyncio.run(main())


def test_a_worker_runs_what_is_queued_and_forgets_it(databases: Databases) -> None:
    ledger = Ledger(enough=2)
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        defer(tx, "note", queue="q", number=1)
        defer(tx, "note", queue="q", number=2)
    work_until(databases, ledger, work=[Task(name="note", run=ledger.note, queue="q")])
    assert sorted(str(entry["number"]) for entry in ledger.seen) == ["1", "2"]
    with databases.job.transaction(reach=EVERYWHERE) as tx:
        assert tx.execute("select count(*) from jobs.procrastinate_jobs").fetchone() == (0,)


def test_a_job_that_fails_runs_again(databases: Databases) -> None:
    ledger = Ledger(enough=2)

    def fail_once() -> None:
        ledger.note()
        if len(ledger.seen) == 1:
            raise ConnectionError("the provider is away")

    with databases.app.transaction(reach=EVERYWHERE) as tx:
        defer(tx, "flaky")
    work_until(databases, ledger, work=[Task(name="flaky", run=fail_once)])
    assert len(ledger.seen) == 2


def test_a_periodic_task_runs_by_the_clock(databases: Databases) -> None:
    ledger = Ledger(enough=1)
    every_second = Periodic(Task(name="tick", run=ledger.note), cron="* * * * * *")
    work_until(databases, ledger, work=[every_second])
    assert "timestamp" in ledger.seen[0]


def die_amid(databases: Databases, name: str, *, lock: str | None = None) -> None:
    """A worker has begun a job and was killed; silent for a minute now."""
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        defer(tx, name, lock=lock, once=lock)
    with connect(databases.job.conninfo, role="milo_job") as tx:
        tx.execute("set search_path = jobs, pg_catalog")
        row = tx.execute("select worker_id from procrastinate_register_worker_v1()").fetchone()
        assert row is not None
        tx.execute("select * from procrastinate_fetch_job_v2(null, %s)", (row[0],))
        tx.execute("update procrastinate_workers set last_heartbeat = now() - interval '1 minute'")


def test_a_job_of_a_dead_worker_is_queued_again(databases: Databases, clean_database: str) -> None:
    die_amid(databases, "slow")
    queue = build_queue(clean_database, tasks=[Task(name="slow", run=lambda: None)], periodics=[])

    async def sweep() -> list[int]:
        async with queue.open_async():
            return [await requeue_stalled(queue), await requeue_stalled(queue)]

    assert asyncio.run(sweep()) == [1, 0]
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        assert waiting(tx) == [("slow", {})]


def test_a_dead_workers_job_is_queued_again_also_where_its_like_waits(databases: Databases) -> None:
    """Both have the lock: while the dead one's job counted as running, the other waited for it, and for ever."""
    die_amid(databases, "lane", lock="lane")
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        assert defer(tx, "lane", lock="lane", once="lane") is not None, "none waits: the first has begun"
    ledger = Ledger(enough=2)
    work_until(databases, ledger, work=[Task(name="lane", run=ledger.note)])
    with databases.job.transaction(reach=EVERYWHERE) as tx:
        assert tx.execute("select count(*) from jobs.procrastinate_jobs").fetchone() == (0,)


def test_a_job_that_fails_runs_again_also_where_its_like_waits(databases: Databases) -> None:
    ledger = Ledger(enough=3)

    def fail_once() -> None:
        ledger.note()
        if len(ledger.seen) == 1:
            with databases.app.transaction(reach=EVERYWHERE) as tx:
                assert defer(tx, "ask", lock="ask", once="ask") is not None
            raise ConnectionError("the provider is away")

    with databases.app.transaction(reach=EVERYWHERE) as tx:
        defer(tx, "ask", lock="ask", once="ask")
    work_until(databases, ledger, work=[Task(name="ask", run=fail_once)])


def test_how_long_jobs_have_been_due_is_measured_by_queue(databases: Databases, clean_database: str) -> None:
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        defer(tx, "late", queue="mail")
        defer(tx, "late", queue="mail")
        defer(tx, "later", at=datetime(2100, 1, 1, tzinfo=UTC))
    with connect(clean_database, role="milo_job") as tx:
        tx.execute("update jobs.procrastinate_events set at = now() - interval '1 minute' where job_id = 1")
    queue = build_queue(clean_database, tasks=[], periodics=[])

    async def measure() -> None:
        async with queue.open_async():
            await measure_lag(queue)

    def measured(name: str, queue: str) -> float:
        value = REGISTRY.get_sample_value(f"milo_billing_{name}", {"queue": queue})
        assert value is not None
        return value

    asyncio.run(measure())
    assert measured("jobs_waiting", "mail") == 2
    assert 60 <= measured("job_lag_seconds", "mail") < 120
    assert (measured("jobs_waiting", "default"), measured("job_lag_seconds", "default")) == (0, 0)


def test_the_sweep_comes_before_a_dead_workers_jobs_have_waited_long() -> None:
    assert jobs.STALLED_S + jobs.SWEEP_S <= 30
    assert jobs.HEARTBEAT_S * 3 < jobs.STALLED_S
