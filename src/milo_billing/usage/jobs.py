"""What workers do for usage: go on with replays, also those that a worker left behind; index and archive past days."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from milo_billing.infra.clock import Clock
from milo_billing.infra.database import EVERYWHERE, Database, connect
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.usage import operations
from milo_billing.usage.engine import replay_rows
from milo_billing.usage.engine.archive import Archivist
from milo_billing.usage.engine.replay import Replayer

REPLAY_STALLED: Final = timedelta(minutes=2)
"""A running replay that has not come further for so long is given to a worker again."""

_RESUMED_AT_ONCE_MAX: Final = 100


def tasks(
    *, database: Database, ingest: Database, clock: Clock, replayer: Callable[[], Replayer]
) -> tuple[Periodic | Task, ...]:
    """`ingest` is of milo_ingest. `replayer` makes one for a job; jobs of different replays run beside each other."""

    def replay(replay: str) -> None:
        replayer().run(UUID(replay), now=clock.now)

    def resume_replays(timestamp: int) -> None:
        del timestamp
        with database.transaction(reach=EVERYWHERE) as tx:
            before = clock.now() - REPLAY_STALLED
            for id in replay_rows.list_stalled_replays(tx, before=before, limit=_RESUMED_AT_ONCE_MAX):
                operations.resume_replay(tx, id=id)

    def index_events(timestamp: int) -> None:
        del timestamp
        with connect(ingest.conninfo, role=ingest.role, autocommit=True) as tx:
            operations.index_events(tx, now=clock.now())

    return (
        Task(operations.REPLAY, replay),
        Periodic(Task("usage.resume_replays", resume_replays), cron="* * * * *"),
        Periodic(Task("usage.index_events", index_events), cron="17 * * * *"),
    )


def archive_tasks(archivist: Archivist, clock: Clock, *, schedule: str) -> tuple[Periodic | Task, ...]:
    """Days whose time is over go to the archive: by the `schedule`, cron as in Periodic, and when staff ask for it."""

    def archive_days(timestamp: int) -> None:
        del timestamp
        archivist.archive(now=clock.now())

    def archive_now(until: str | None) -> None:
        archivist.archive(now=clock.now(), until=None if until is None else date.fromisoformat(until))

    return (
        Task(operations.ARCHIVE_NOW, archive_now),
        Periodic(Task("usage.archive_days", archive_days), cron=schedule),
    )
