"""Take the steps of invoice runs, also of those that a killed worker left behind."""

from collections.abc import Iterator
from typing import Final, assert_never
from uuid import UUID

import structlog

from milo_billing.controlplane.doors import repeated
from milo_billing.controlplane.identity import Identity, Reach
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import Clock, new_uid
from milo_billing.infra.database import EVERYWHERE, Database, is_away
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.infra.telemetry import counter
from milo_billing.invoicing.engine import printings, runs
from milo_billing.invoicing.operations import issuing
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.rules.printings import Printing
from milo_billing.invoicing.rules.runs import Run, RunStepState, StepDone
from milo_billing.invoicing.types.invoices import Issued, IssueOutcome, Skipped, Unchanged
from milo_billing.kernel.errors import MiloError, Unavailable

_RESUMED_AT_ONCE_MAX: Final = 100

_log = structlog.get_logger(__name__)
_accounts = counter(
    "invoice_run_accounts", about="Accounts that runs went over, by outcome.", labels=("state",)
)


def run_tasks(*, office: Office, database: Database, clock: Clock) -> tuple[Periodic | Task, ...]:
    """`database` is a pool of milo_app: what a run reaches, its transactions reach and no more."""

    def run_month(run: str) -> None:
        run_steps(office, database, clock, id=UUID(run))

    def resume_runs(timestamp: int) -> None:
        del timestamp
        with database.transaction(reach=EVERYWHERE) as tx:
            for id in runs.list_open_runs(tx, limit=_RESUMED_AT_ONCE_MAX):
                runs.resume_run(tx, id=id)

    return (
        Task(runs.RUN_MONTH, run_month),
        Periodic(Task("invoicing.resume_runs", resume_runs), cron="* * * * *"),
    )


def run_steps(office: Office, database: Database, clock: Clock, *, id: UUID) -> None:
    """Take steps of the run until none waits that nobody else is at; close the run behind the last one, and have
    another follow where accounts changed who is invoiced for them meanwhile.

    One account a transaction, which also notes the step. What one account lacks is noted and does not stop the others.
    Raises Unavailable when the database is away: what was committed stays, the rest is for the next call.
    """
    with database.transaction(reach=EVERYWHERE) as tx:
        run = runs.get_run(tx, id=id, now=clock.now())
    if run.finished_at is not None:
        return
    for state in RunLane(office, database, clock, run).steps():
        _accounts.labels(state).inc()
    with database.transaction(reach=EVERYWHERE) as tx:
        if not runs.finish_run(tx, id=id, at=clock.now()):
            return
        again = runs.follow_up(tx, run, at=clock.now())
        if again is not None:
            _log.info("invoice_run_followed", run=str(run.id), by=str(again.id))
        if office.prints_ahead:
            ahead = Printing(new_uid(), run.organizations, run.id, run.opened_by, clock.now())
            printings.open_ahead(tx, ahead)


class RunLane:
    """One job's way through the steps of a run."""

    def __init__(self, office: Office, database: Database, clock: Clock, run: Run) -> None:
        self._office = office
        self._database = database
        self._clock = clock
        self._run = run
        self._reach: Reach = EVERYWHERE if run.organizations is None else frozenset(run.organizations)
        self._step = 0

    def steps(self) -> Iterator[RunStepState]:
        """Take steps in order, then those that another lane gave back; what became of each."""
        from_the_start = False
        while True:
            state = self._take()
            if state is not None:
                from_the_start = False
                yield state
            elif from_the_start:
                return
            else:
                from_the_start, self._step = True, 0

    def _take(self) -> RunStepState | None:
        """Do the next step behind the last one; None where none waits there."""
        before = self._step
        try:
            return repeated(lambda: self._issue(after=before))
        except Unavailable:
            raise
        except Exception as error:  # one account's defect must not stop the others' invoices
            if is_away(error):
                raise Unavailable(f"the database went away: {error}") from error
            if self._step == before:
                raise  # no step was taken, so there is none to note it at
            return self._fail(str(error) if isinstance(error, MiloError) else self._defect(error))

    def _issue(self, *, after: int) -> RunStepState | None:
        run = self._run
        with self._database.transaction(reach=self._reach) as tx:
            taken = runs.take_step(tx, run=run.id, after=after)
            if taken is None:
                return None
            self._step, number = taken
            work = Work(
                tx=tx,
                identity=Identity(run.opened_by, impersonated_by=run.impersonated_by),
                reach=self._reach,
                audit_id=run.audit_id,
                now=self._clock.now(),
            )
            outcome = issuing.issue_month(
                work, office=self._office, number=number, year=run.year, month=run.month
            )
            done = _noted(outcome)
            runs.note_step(tx, run=run.id, step=self._step, done=done, at=self._clock.now())
            self._office.engine.commit(work)
        return done.state

    def _fail(self, reason: str) -> RunStepState:
        with self._database.transaction(reach=self._reach) as tx:
            done = StepDone("failed", reason=reason)
            runs.note_step(tx, run=self._run.id, step=self._step, done=done, at=self._clock.now())
        return done.state

    def _defect(self, error: Exception) -> str:
        _log.error(
            "issue_failed",
            run=str(self._run.id),
            step=self._step,
            audit_id=str(self._run.audit_id),
            exc_info=error,
        )
        return f"internal error: see the server's log under audit id {self._run.audit_id}"


def _noted(outcome: IssueOutcome) -> StepDone:
    match outcome:
        case Issued(invoice):
            return StepDone("issued", invoice.uid)
        case Unchanged(invoice):
            return StepDone("unchanged", invoice.uid)
        case Skipped(reason, invoiced_with):
            return StepDone("skipped", None, reason, invoiced_with)
        case _:
            assert_never(outcome)
