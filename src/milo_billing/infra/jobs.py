"""The one queue: jobs are rows, deferred in the caller's transaction, run by worker processes.

Built on procrastinate, whose tables stand in the schema `jobs`. A job that a killed worker left behind is run again,
so every job must be safe to run twice. Not: what any job does (slices), nor when the worker process starts (app).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import procrastinate
import procrastinate.tasks
import psycopg
import structlog
from procrastinate.exceptions import ConnectorException

from milo_billing.infra.database import Tx
from milo_billing.infra.telemetry import counter

DEFAULT_QUEUE = "default"
HEARTBEAT_S = 5.0
STALLED_S = 20.0
"""A worker that has been silent for so long is taken for dead, and its jobs run again."""

SWEEP_S = 10.0
"""How often stalled jobs are looked for."""

_requeued = counter("jobs_requeued", about="Jobs of dead workers that were queued again.")

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
    `once` only one may wait: None says that one does already. Not started before `at`.
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
