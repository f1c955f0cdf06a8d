"""What workers do for invoicing: take the steps of runs and printings, also of those a killed worker left behind."""

from collections.abc import Iterator
from typing import Final, Literal, assert_never
from uuid import UUID

import psycopg
import structlog

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account
from milo_billing.controlplane.doors import repeated
from milo_billing.controlplane.identity import Identity, Reach
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import Clock, new_uid
from milo_billing.infra.database import EVERYWHERE, Database
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.infra.telemetry import counter
from milo_billing.invoicing.engine import press, printings, runs, settling, vat_checks
from milo_billing.invoicing.engine.crediting import TELL_CREDIT_NOTE
from milo_billing.invoicing.operations import granting, issuing, late_interest, life
from milo_billing.invoicing.operations.late_interest import InterestOutcome
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.ports import VatRegister
from milo_billing.invoicing.reads import grants as grant_reads
from milo_billing.invoicing.reads import interest as interest_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.rules.printings import Printing
from milo_billing.invoicing.rules.runs import Run, RunStepState
from milo_billing.invoicing.types.invoices import Issued, IssueOutcome, Skipped, Unchanged
from milo_billing.kernel.errors import MiloError, Unavailable
from milo_billing.usage import reads as usage

_RESUMED_AT_ONCE_MAX: Final = 100
_PAGE: Final = 500
_TOLD_MAX: Final = 10_000
"""Expiring grants that one day looks at, the soonest first."""
_SYSTEM: Final = Identity("system:invoicing")
_SHUT_DOWN: Final = "57P"
"""SQLSTATEs that say nothing of the statement: the server stops, or is starting."""

_log = structlog.get_logger(__name__)
_accounts = counter(
    "invoice_run_accounts", about="Accounts that runs went over, by outcome.", labels=("state",)
)

_checks = counter(
    "vat_number_checks", about="Accounts looked at for their VAT number, by outcome.", labels=("outcome",)
)

_adjusted = counter(
    "closed_accounts_adjusted",
    about="Closed accounts whose invoiced periods changed, by outcome.",
    labels=("outcome",),
)

_interest = counter(
    "late_interest_invoices",
    about="Invoices over interest on late payment, those given back, and accounts that failed.",
    labels=("outcome",),
)
_past_due = counter(
    "invoices_fallen_due", about="Invoices whose last day to pay was over, by outcome.", labels=("outcome",)
)

_lapsed = counter(
    "credit_grants_lapsed",
    about="Credit grants that had expired with something left, by outcome.",
    labels=("outcome",),
)


def tasks(*, office: Office, database: Database, clock: Clock) -> tuple[Periodic | Task, ...]:
    """`database` is a pool of milo_app: what a run reaches, its transactions reach and no more."""

    def run_month(run: str) -> None:
        run_steps(office, database, clock, id=UUID(run))

    def resume_runs(timestamp: int) -> None:
        del timestamp
        with database.transaction(reach=EVERYWHERE) as tx:
            for id in runs.list_open_runs(tx, limit=_RESUMED_AT_ONCE_MAX):
                runs.resume_run(tx, id=id)

    def note_past_due(timestamp: int) -> None:
        del timestamp
        mark_past_due(office, database, clock)

    def adjust_closed(timestamp: int) -> None:
        del timestamp
        adjust_closed_accounts(office, database, clock)

    def tell_credit_note(note: str) -> None:
        with database.transaction(reach=EVERYWHERE) as tx:
            life.tell_credit_note(tx, office, note=UUID(note), now=clock.now())

    def charge_late_interest(timestamp: int) -> None:
        del timestamp
        charge_interest(office, database, clock)

    return (
        Periodic(Task("invoicing.adjust_closed", adjust_closed), cron="43 4 * * *"),
        Task(TELL_CREDIT_NOTE, tell_credit_note),
        Periodic(Task("invoicing.note_past_due", note_past_due), cron="7 * * * *"),
        # a month is charged once it is over; asked every night, so that a night without a server is made up for
        Periodic(Task("invoicing.charge_interest", charge_late_interest), cron="37 4 * * *"),
        Task(runs.RUN_MONTH, run_month),
        Periodic(Task("invoicing.resume_runs", resume_runs), cron="* * * * *"),
    )


def run_steps(office: Office, database: Database, clock: Clock, *, id: UUID) -> None:
    """Take steps of the run until none waits that nobody else is at; close the run behind the last one.

    One account a transaction, which also notes the step. What one account lacks is noted and does not stop the others.
    Raises Unavailable when the database is away: what was committed stays, the rest is for the next call.
    """
    with database.transaction(reach=EVERYWHERE) as tx:
        run = runs.get_run(tx, id=id, now=clock.now())
    if run.finished_at is not None:
        return
    for state in _Lane(office, database, clock, run).steps():
        _accounts.labels(state).inc()
    with database.transaction(reach=EVERYWHERE) as tx:
        if runs.finish_run(tx, id=id, at=clock.now()) and office.prints_ahead:
            ahead = Printing(new_uid(), run.organizations, run.id, run.opened_by, clock.now())
            printings.open_ahead(tx, ahead)


def adjust_closed_accounts(office: Office, database: Database, clock: Clock) -> None:
    """Charge and give back what reached invoiced days of accounts that no invoice follows for: archived and deleted.

    One account a transaction; what one lacks is logged and counted, and does not stop the others.
    """
    after = 0
    while True:
        with database.transaction(reach=EVERYWHERE) as tx:
            page = usage.list_changed_accounts(tx, after=after, limit=_PAGE)
            closed = [
                one
                for one in (account_reads.get_account(tx, number=number) for number in page)
                if _closed(one)
            ]
        for account in closed:
            try:
                repeated(lambda one=account: _adjust_closed(office, database, clock, account=one))
                _adjusted.labels("adjusted").inc()
            except MiloError as error:
                _adjusted.labels("failed").inc()
                _log.error("account_not_adjusted", account=account.number, reason=str(error))
        if len(page) < _PAGE:
            return
        after = page[-1]


def _closed(account: Account) -> bool:
    return account.phase == "Archived" or account.deleted_at is not None


def _adjust_closed(office: Office, database: Database, clock: Clock, *, account: Account) -> None:
    with database.transaction(reach=EVERYWHERE) as tx:
        work = Work(tx=tx, identity=_SYSTEM, reach=EVERYWHERE, audit_id=new_uid(), now=clock.now())
        issuing.adjust_account(work, office=office, account=account)
        office.engine.commit(work)


def mark_past_due(office: Office, database: Database, clock: Clock) -> None:
    """Say of every invoice whose last day to pay is over, where it was issued, that it is past due.

    One invoice a transaction; one that cannot be written is logged and counted, and does not keep the others waiting.
    """
    after = UUID(int=0)
    while True:
        with database.transaction(reach=EVERYWHERE) as tx:
            page = invoice_reads.list_fallen_due(tx, now=clock.now(), after=after, limit=_PAGE)
        for invoice in page:
            try:
                marked = repeated(lambda uid=invoice: _mark_past_due(office, database, clock, invoice=uid))
                _past_due.labels("marked" if marked else "settled").inc()
            except MiloError as error:
                _past_due.labels("failed").inc()
                _log.error("past_due_not_noted", invoice=str(invoice), reason=str(error))
        if len(page) < _PAGE:
            return
        after = page[-1]


def charge_interest(office: Office, database: Database, clock: Clock) -> None:
    """Charge the accounts' interest on what was overdue until the month began, and give back what is not owed.

    One account a transaction; one that cannot be invoiced is logged and counted, and does not keep the others waiting.
    """
    after = 0
    while True:
        with database.transaction(reach=EVERYWHERE) as tx:
            page = interest_reads.list_accounts(tx, after=after, now=clock.now(), limit=_PAGE)
        for number in page:
            try:
                done = repeated(lambda account=number: _charge_interest(office, database, clock, account))
                _interest.labels("charged").inc(len(done.charged))
                _interest.labels("given_back").inc(len(done.given_back))
            except MiloError as error:
                _interest.labels("failed").inc()
                _log.error("interest_not_charged", account=number, reason=str(error))
        if len(page) < _PAGE:
            return
        after = page[-1]


def _charge_interest(office: Office, database: Database, clock: Clock, number: int) -> InterestOutcome:
    with database.transaction(reach=EVERYWHERE) as tx:
        work = Work(tx=tx, identity=_SYSTEM, reach=EVERYWHERE, audit_id=new_uid(), now=clock.now())
        account = account_reads.get_account(tx, number=number)
        done = late_interest.charge_interest(work, office=office, account=account)
        office.engine.commit(work)
    return done


def _mark_past_due(office: Office, database: Database, clock: Clock, *, invoice: UUID) -> bool:
    with database.transaction(reach=EVERYWHERE) as tx:
        work = Work(tx=tx, identity=_SYSTEM, reach=EVERYWHERE, audit_id=new_uid(), now=clock.now())
        marked = settling.mark_past_due(work, office.engine, invoice=invoice)
        if marked:
            life.tell_past_due(work, office, invoice=invoice)
        office.engine.commit(work)
    return marked


class _Lane:
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
            if _is_away(error):
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
            account = account_reads.get_account(tx, number=number)
            outcome = issuing.issue_month(
                work, office=self._office, account=account, year=run.year, month=run.month
            )
            state, invoice, reason = _noted(outcome)
            runs.note_step(
                tx,
                run=run.id,
                step=self._step,
                state=state,
                invoice=invoice,
                reason=reason,
                at=self._clock.now(),
            )
            self._office.engine.commit(work)
        return state

    def _fail(self, reason: str) -> RunStepState:
        with self._database.transaction(reach=self._reach) as tx:
            runs.note_step(
                tx,
                run=self._run.id,
                step=self._step,
                state="failed",
                invoice=None,
                reason=reason,
                at=self._clock.now(),
            )
        return "failed"

    def _defect(self, error: Exception) -> str:
        _log.error(
            "issue_failed",
            run=str(self._run.id),
            step=self._step,
            audit_id=str(self._run.audit_id),
            exc_info=error,
        )
        return f"internal error: see the server's log under audit id {self._run.audit_id}"


def _is_away(error: Exception) -> bool:
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_SHUT_DOWN)


def _noted(outcome: IssueOutcome) -> tuple[RunStepState, UUID | None, str | None]:
    match outcome:
        case Issued(invoice):
            return "issued", invoice.uid, None
        case Unchanged(invoice):
            return "unchanged", invoice.uid, None
        case Skipped(reason):
            return "skipped", None, reason
        case _:
            assert_never(outcome)


# ------------------------------------------------------------------------------------------------------ credit


def credit_tasks(*, office: Office, database: Database, clock: Clock) -> tuple[Periodic, ...]:
    """Every quarter of an hour, let expired credit lapse; every day, tell of what expires soon."""

    def lapse(timestamp: int) -> None:
        del timestamp
        lapse_credit(office, database, clock)

    def tell(timestamp: int) -> None:
        del timestamp
        with database.transaction(reach=EVERYWHERE) as tx:
            granting.tell_expiring(tx, now=clock.now(), limit=_TOLD_MAX)

    return (
        Periodic(Task("invoicing.lapse_credit", lapse), cron="*/15 * * * *"),
        Periodic(Task("invoicing.tell_expiring_credit", tell), cron="41 8 * * *"),
    )


def lapse_credit(office: Office, database: Database, clock: Clock) -> None:
    """Let what is left of every expired grant lapse, one a transaction; one that cannot keeps no other waiting."""
    after = UUID(int=0)
    while True:
        with database.transaction(reach=EVERYWHERE) as tx:
            page = grant_reads.list_overdue(tx, now=clock.now(), after=after, limit=_PAGE)
        for grant in page:
            try:
                lapsed = repeated(lambda uid=grant: _lapse(office, database, clock, grant=uid))
                _lapsed.labels("lapsed" if lapsed else "used").inc()
            except MiloError as error:
                _lapsed.labels("failed").inc()
                _log.error("credit_not_lapsed", grant=str(grant), reason=str(error))
        if len(page) < _PAGE:
            return
        after = page[-1]


def _lapse(office: Office, database: Database, clock: Clock, *, grant: UUID) -> bool:
    with database.transaction(reach=EVERYWHERE) as tx:
        work = Work(tx=tx, identity=_SYSTEM, reach=EVERYWHERE, audit_id=new_uid(), now=clock.now())
        lapsed = granting.expire_credit(work, office.engine, uid=grant)
        office.engine.commit(work)
    return lapsed


# --------------------------------------------------------------------------------------------------- documents


def printing_tasks(
    *, office: Office, presses: press.Presses, database: Database, clock: Clock
) -> tuple[Periodic | Task, ...]:
    """Write what printings want, one document at a time."""

    def print_some(printing: str) -> None:
        press.print_documents(office.vault, presses, database, clock, id=UUID(printing))

    def resume(timestamp: int) -> None:
        del timestamp
        with database.transaction(reach=EVERYWHERE) as tx:
            printings.resume_open(tx)

    return (
        Task(printings.PRINT, print_some),
        Periodic(Task("invoicing.resume_printings", resume), cron="* * * * *"),
    )


# ------------------------------------------------------------------------------------------------ VAT numbers


def vat_tasks(*, office: Office, database: Database, clock: Clock) -> tuple[Periodic, ...]:
    """Every night, ask the register about the accounts' VAT numbers; nothing where the settings name no register."""
    register = office.register
    if register is None:
        return ()

    def check_numbers(timestamp: int) -> None:
        del timestamp
        with database.transaction(reach=EVERYWHERE) as tx:
            numbers = account_reads.list_numbers(tx)
        for number in numbers:
            try:
                _checks.labels(_check_number(office, register, database, clock, account=number)).inc()
            except MiloError as error:
                _checks.labels("failed").inc()
                _log.warning("vat_number_not_checked", account=number, reason=str(error))

    return (Periodic(Task("invoicing.check_vat_numbers", check_numbers), cron="17 3 * * *"),)


def _check_number(
    office: Office, register: VatRegister, database: Database, clock: Clock, *, account: int
) -> Literal["none", "known", "valid", "invalid"]:
    """What became of one account's number; the register is asked between two transactions."""
    with database.transaction(reach=EVERYWHERE) as tx:
        found = account_reads.get_account(tx, number=account)
        vat_number = vat_checks.find_vat_number(tx, office.vault, account=found)
        if vat_number is None:
            return "none"
        if not vat_checks.is_check_due(tx, office.vault, account=found, number=vat_number, now=clock.now()):
            return "known"
    answer = register.check(vat_number)
    with database.transaction(reach=EVERYWHERE) as tx:
        vat_checks.note_check(
            tx, office.vault, account=found, number=vat_number, answer=answer, now=clock.now()
        )
    return "valid" if answer.valid else "invalid"
