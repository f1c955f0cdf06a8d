"""What workers do for entitlements: let them start and end when their day comes, by the function that writes use."""

from typing import Final

from milo_billing.access.operations import SYSTEM
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.kinds import Ref
from milo_billing.controlplane.work import Work
from milo_billing.entitlements import reads
from milo_billing.entitlements.resources.entitlements import Entitlement
from milo_billing.infra.clock import Clock, new_uid
from milo_billing.infra.database import EVERYWHERE, Database
from milo_billing.infra.jobs import Periodic, Task

AT_ONCE_MAX: Final = 200
"""Entitlements settled in one transaction: each is locked until its end."""


def tasks(*, engine: Engine, database: Database, clock: Clock) -> tuple[Periodic, ...]:
    """Every five minutes: offsets of zones are multiples of fifteen, so a status is five minutes late at most.

    Access and prices do not wait for it: they follow from the days themselves.
    """

    def settle(timestamp: int) -> None:
        del timestamp
        after: int | None = 0
        while after is not None:
            after = settle_due(engine, database, clock, after=after)

    return (Periodic(Task("entitlements.settle", settle), cron="*/5 * * * *"),)


def settle_due(engine: Engine, database: Database, clock: Clock, *, after: int) -> int | None:
    """Settle so many of the entitlements behind the number `after` whose phase is due to change.

    The number to go on behind; None where there was nothing left.
    """
    now = clock.now()
    with database.transaction(reach=EVERYWHERE) as tx:
        due = reads.list_due(tx, now=now, after=after, limit=AT_ONCE_MAX)
        work = Work(tx=tx, identity=SYSTEM, reach=EVERYWHERE, audit_id=new_uid(), now=now)
        engine.settle(work, [Ref(Entitlement, namespace, name) for _, namespace, name in due])
        engine.commit(work)
    return due[-1][0] if due else None
