"""What workers do for promises: look at what time has changed, and say so in phases and conditions."""

from typing import Final
from uuid import UUID

import structlog

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.commitments import operations, reads
from milo_billing.commitments.resources.commitments import CommitmentKind
from milo_billing.commitments.resources.reporting import report_account
from milo_billing.commitments.rules.standing import LOOKED_AT_AGAIN
from milo_billing.commitments.types import Commitment
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.kinds import Ref
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import Clock, new_uid
from milo_billing.infra.database import EVERYWHERE, Database
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.infra.telemetry import counter
from milo_billing.kernel.errors import MiloError
from milo_billing.kernel.periods import local_day

_PAGE: Final = 500
_SYSTEM: Final = Identity("system:commitments")

_log = structlog.get_logger(__name__)
_looked = counter(
    "commitments_assessed", about="Commitments that workers looked at, by outcome.", labels=("outcome",)
)


def tasks(*, engine: Engine, database: Database, clock: Clock) -> tuple[Periodic | Task, ...]:
    """Every hour each commitment is looked at, in a transaction of its own; doing it again changes nothing."""

    def assess(timestamp: int) -> None:
        del timestamp
        assess_all(engine, database, clock)

    return (Periodic(Task("commitments.assess", assess), cron="11 * * * *"),)


def assess_all(engine: Engine, database: Database, clock: Clock) -> None:
    """Look at every commitment that has not ended long ago: its ended intervals, then its phase and conditions.

    One that cannot be rated is logged and counted, and does not keep the others waiting.
    """
    after = UUID(int=0)
    since = (clock.now() - LOOKED_AT_AGAIN).date()
    while True:
        with database.transaction(reach=EVERYWHERE) as tx:
            page = reads.list_in_force(tx, since=since, after=after, limit=_PAGE)
        for commitment, accepted in page:
            try:
                _assess(engine, database, clock, commitment, accepted=accepted)
                _looked.labels("done").inc()
            except MiloError as error:
                _looked.labels("failed").inc()
                _log.error("commitment_not_assessed", commitment=str(commitment.uid), reason=str(error))
        if len(page) < _PAGE:
            return
        after = page[-1][0].uid


def _assess(
    engine: Engine, database: Database, clock: Clock, commitment: Commitment, *, accepted: bool
) -> None:
    now = clock.now()
    with database.transaction(reach=EVERYWHERE) as tx:
        work = Work(tx=tx, identity=_SYSTEM, reach=EVERYWHERE, audit_id=new_uid(), now=now)
        if accepted:
            payer = account_reads.get_account(tx, number=commitment.account)
            today = local_day(now, zone=payer.time_zone)
            ended = [row[2] for row in reads.list_shortfalls(tx, commitment=commitment.uid)]
            reached = max(ended, default=commitment.promise.starts_on)
            since = min(today - LOOKED_AT_AGAIN, reached)
            operations.assess(tx, commitment=commitment, since=since, now=now)
        engine.settle(work, [Ref(CommitmentKind, commitment.namespace, commitment.name)])
        # the status may stand while the account's does not: another commitment has ended meanwhile
        for reported in report_account(tx, number=commitment.account, now=now):
            engine.report_condition(work, reported)
        engine.commit(work)
