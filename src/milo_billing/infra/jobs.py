"""The one queue: jobs are rows, deferred in the caller's transaction, run by worker processes.

Built on procrastinate, whose tables stand in the schema `jobs`. A job that a killed worker left behind is run again,
so every job must be safe to run twice. Not: what any job does (slices), nor when the worker process starts (app).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import orjson
import procrastinate
import procrastinate.tasks
import psycopg
import structlog
from procrastinate.exceptions import ConnectorException

from milo_billing.infra.database import Tx
from milo_billing.infra.telemetry import counter, gauge

DEFAULT_QUEUE = "default"
HEARTBEAT_S = 5.0
STALLED_S = 20.0
"""A worker that has been silent for so long is taken for dead, and its jobs run again."""

SWEEP_S = 10.0
"""How often stalled jobs are looked for."""

_requeued = counter("jobs_requeued", about="Jobs of dead workers that were queued again.")
_waiting = gauge(
    "jobs_waiting", about="Jobs whose time has come and that no worker has begun.", labels=("queue",)
)
_lag = gauge(
    "job_lag_seconds",
    about="How long the job that has waited longest has been due, by queue; 0 where none waits.",
    labels=("queue",),
)

_LAG = """
select j.queue_name as queue, count(*) as jobs,
    greatest(0, extract(epoch from now() - min(coalesce(j.scheduled_at, e.at))))::float8 as lag_s
from procrastinate_jobs j
left join lateral (select min(at) as at from procrastinate_events where job_id = j.id and type = 'deferred') e on true
where j.status = 'todo' and (j.scheduled_at is null or j.scheduled_at <= now())
group by j.queue_name
"""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """Work that a worker knows by name.

    `run` is called in a thread with the arguments the job was deferred with; an exception makes it run again after
    2, 4, 8 … seconds, `attempts_max` times in all, then the job stays in the table as failed.
    """

    name: str
    run: Callable[..., None]
    queue: str = DEFAULT_QUEUE
    attempts_max: int = 8


@dataclass(frozen=True, slots=True)
class Periodic:
    """A task that is deferred by the clock: `cron` in five fields (UTC), or six with seconds last.

    One worker of all defers each tick; `run` gets the tick as unix seconds. A tick is left out while the one before
    it still waits.
    """

    task: Task
    cron: str


def defer(
    tx: Tx,
    name: str,
    *,
    queue: str = DEFAULT_QUEUE,
    lock: str | None = None,
    once: str | None = None,
    at: datetime | None = None,
    **args: Any,
) -> int | None:
    """Queue the task `name` with `args` (JSON values) if this transaction commits; the job's number.

    `queue` is the task's. Of the jobs with the same `lock` one runs at a time, in order. Of those with the same
    `once` only one may wait: None says that one does already. One that runs again, because it failed or its worker
    died, does not count: another may have been queued meanwhile. Not started before `at`.
    """
    job = (queue, name, 0, lock, once, orjson.dumps(args).decode(), at)
    statement = (
        "select (jobs.procrastinate_defer_jobs_v1(array[row(%s, %s, %s, %s, %s, %s::jsonb, %s)"
        "::jobs.procrastinate_job_to_defer_v1]))[1]"
    )
    try:
        with tx.transaction():
            row = tx.execute(statement, job).fetchone()
    except psycopg.errors.UniqueViolation as error:
        if once is None or error.diag.constraint_name != "procrastinate_jobs_queueing_lock_idx_v1":
            raise
        return None
    return row[0] if row is not None else None


def connection_options() -> str:
    """What procrastinate's own connections start with; its statements name no schema."""
    return "-c role=milo_job -c search_path=jobs,pg_catalog -c timezone=UTC"


def _register(
    app: procrastinate.App, task: Task, *, periodic: bool
) -> "procrastinate.tasks.Task[Any, Any, Any]":
    retry = procrastinate.RetryStrategy(max_attempts=task.attempts_max, exponential_wait=2)
    register = app.task(
        name=task.name,
        queue=task.queue,
        retry=retry,
        queueing_lock=f"periodic/{task.name}" if periodic else None,
    )
    return register(task.run)


def build_queue(conninfo: str, *, tasks: Sequence[Task], periodics: Sequence[Periodic]) -> procrastinate.App:
    """The queue on the database at `conninfo`, knowing these tasks; nothing is connected yet."""
    # one for LISTEN and a few for jobs that start and end at once
    connector = procrastinate.PsycopgConnector(
        conninfo=conninfo, kwargs={"options": connection_options()}, min_size=1, max_size=3
    )
    app = procrastinate.App(connector=connector)
    for task in tasks:
        _register(app, task, periodic=False)
    for periodic in periodics:
        app.periodic(cron=periodic.cron)(_register(app, periodic.task, periodic=True))
    return app


async def run_worker(app: procrastinate.App, *, concurrency: int, grace_s: int) -> None:
    """Run jobs until cancelled; then finish those that run, for `grace_s` seconds at most."""
    async with app.open_async():
        sweep = asyncio.create_task(_sweep(app))
        try:
            await app.run_worker_async(
                concurrency=concurrency,
                delete_jobs="successful",
                install_signal_handlers=False,
                shutdown_graceful_timeout=float(grace_s),
                update_heartbeat_interval=HEARTBEAT_S,
                stalled_worker_timeout=STALLED_S,
            )
        finally:
            sweep.cancel()


async def _sweep(app: procrastinate.App) -> None:
    while True:
        try:
            await requeue_stalled(app)
            await measure_lag(app)
        except ConnectorException:
            _log.warning("stalled jobs could not be looked for; the next sweep tries again", exc_info=True)
        await asyncio.sleep(SWEEP_S)


async def requeue_stalled(app: procrastinate.App) -> int:
    """Queue again what dead workers were running; how many jobs that were."""
    count = 0
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_S):
        try:
            await app.job_manager.retry_job(job)
        except ConnectorException:
            _log.info("another worker has queued a stalled job already", job=job.id)
            continue
        count += 1
        _requeued.inc()
    return count


async def measure_lag(app: procrastinate.App) -> None:
    """Say on /metrics how many jobs are due and for how long, by queue; by the database's clock.

    Those that another job with the same lock keeps waiting are among them.
    """
    rows = await app.connector.execute_query_all_async(_LAG)
    due = {str(row["queue"]): (int(row["jobs"]), float(row["lag_s"])) for row in rows}
    tasks = cast("dict[str, procrastinate.tasks.Task[Any, Any, Any]]", app.tasks)
    known = {task.queue for task in tasks.values() if not task.name.startswith("builtin:")}
    for queue in known | due.keys() | {DEFAULT_QUEUE}:
        jobs, lag_s = due.get(queue, (0, 0.0))
        _waiting.labels(queue).set(jobs)
        _lag.labels(queue).set(lag_s)
