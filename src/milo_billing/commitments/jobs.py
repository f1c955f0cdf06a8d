"""What workers do for promises: look at what time has changed, and say so in phases and conditions."""

from typing import Final
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.commitments import operations, reads
from milo_billing.commitments.resources.commitments import CommitmentKind
from milo_billing.commitments.resources.reporting import report_account
from milo_billing.commitments.rules.standing import LOOKED_AT_AGAIN
from milo_billing.commitments.types import Commitment
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.kinds import Ref
from milo_billing.controlplane.rounds import Rounds
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Database, Tx
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.infra.telemetry import counter
from milo_billing.kernel.periods import local_day

_SYSTEM: Final = Identity("system:commitments")

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
    since = (clock.now() - LOOKED_AT_AGAIN).date()
    rounds = Rounds(engine, database, clock, _SYSTEM)

    def list_page(tx: Tx, after: UUID, limit: int) -> tuple[tuple[Commitment, bool], ...]:
        return reads.list_in_force(tx, since=since, after=after, limit=limit)

    def assess(one: tuple[Commitment, bool]) -> tuple[str, ...]:
        commitment, accepted = one
        rounds.write(lambda work: _assess(work, engine, commitment, accepted=accepted))
        return ("done",)

    rounds.go(
        list_page,
        assess,
        begin=UUID(int=0),
        at=lambda one: one[0].uid,
        outcomes=_looked,
        failed="commitment_not_assessed",
    )


def _assess(work: Work, engine: Engine, commitment: Commitment, *, accepted: bool) -> None:
    tx, now = work.tx, work.now
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
