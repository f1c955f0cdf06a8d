"""Go round accounts, invoices and grants for what the time of day brings: due days, interest, late usage, lapse."""

from typing import Final
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.rounds import Rounds
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import EVERYWHERE, Database
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.infra.telemetry import counter
from milo_billing.invoicing.engine import settling
from milo_billing.invoicing.engine.cancelling import TELL_CANCELLATION
from milo_billing.invoicing.engine.crediting import TELL_CREDIT_NOTE
from milo_billing.invoicing.operations import granting, issuing, late_interest, life
from milo_billing.invoicing.operations.late_interest import InterestOutcome
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.reads import grants as grant_reads
from milo_billing.invoicing.reads import interest as interest_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.usage import reads as usage

_TOLD_MAX: Final = 10_000
"""Expiring grants that one day looks at, the soonest first."""
_SYSTEM: Final = Identity("system:invoicing")
_NUMBERS: Final = 0
_UIDS: Final = UUID(int=0)
"""What stands before the first number, and before the first uid."""

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


def daily_tasks(*, office: Office, database: Database, clock: Clock) -> tuple[Periodic | Task, ...]:
    """What is asked every night, hour or quarter of one, so that a time without a server is made up for."""

    def note_past_due(timestamp: int) -> None:
        del timestamp
        mark_past_due(office, database, clock)

    def adjust_closed(timestamp: int) -> None:
        del timestamp
        adjust_closed_accounts(office, database, clock)

    def tell_credit_note(note: str) -> None:
        with database.transaction(reach=EVERYWHERE) as tx:
            life.tell_credit_note(tx, office, note=UUID(note), now=clock.now())

    def tell_cancellation(note: str) -> None:
        with database.transaction(reach=EVERYWHERE) as tx:
            life.tell_cancellation(tx, office, note=UUID(note), now=clock.now())

    def charge_late_interest(timestamp: int) -> None:
        del timestamp
        charge_interest(office, database, clock)

    def lapse(timestamp: int) -> None:
        del timestamp
        lapse_credit(office, database, clock)

    def tell_expiring(timestamp: int) -> None:
        del timestamp
        with database.transaction(reach=EVERYWHERE) as tx:
            granting.tell_expiring(tx, now=clock.now(), limit=_TOLD_MAX)

    return (
        Task(TELL_CREDIT_NOTE, tell_credit_note),
        Task(TELL_CANCELLATION, tell_cancellation),
        Periodic(Task("invoicing.note_past_due", note_past_due), cron="7 * * * *"),
        # a month is charged once it is over
        Periodic(Task("invoicing.charge_interest", charge_late_interest), cron="37 4 * * *"),
        Periodic(Task("invoicing.adjust_closed", adjust_closed), cron="43 4 * * *"),
        Periodic(Task("invoicing.lapse_credit", lapse), cron="*/15 * * * *"),
        Periodic(Task("invoicing.tell_expiring_credit", tell_expiring), cron="41 8 * * *"),
    )


def adjust_closed_accounts(office: Office, database: Database, clock: Clock) -> None:
    """Charge and give back what reached invoiced days of accounts that no invoice follows for: archived and deleted."""
    rounds = _rounds(office, database, clock)

    def adjust(number: int) -> tuple[str, ...]:
        def write(work: Work) -> tuple[str, ...]:
            account = account_reads.get_account(work.tx, number=number)
            if account.phase != "Archived" and account.deleted_at is None:
                return ()
            issuing.adjust_account(work, office=office, number=number)
            return ("adjusted",)

        return rounds.write(write)

    rounds.go(
        lambda tx, after, limit: usage.list_changed_accounts(tx, after=after, limit=limit),
        adjust,
        begin=_NUMBERS,
        outcomes=_adjusted,
        failed="account_not_adjusted",
    )


def mark_past_due(office: Office, database: Database, clock: Clock) -> None:
    """Say of every invoice whose last day to pay is over, where it was issued, that it is past due."""
    rounds = _rounds(office, database, clock)

    def mark(invoice: UUID) -> tuple[str, ...]:
        def write(work: Work) -> bool:
            marked = settling.mark_past_due(work, office.engine, invoice=invoice)
            if marked:
                life.tell_past_due(work, office, invoice=invoice)
            return marked

        return ("marked" if rounds.write(write) else "settled",)

    rounds.go(
        lambda tx, after, limit: invoice_reads.list_fallen_due(tx, now=clock.now(), after=after, limit=limit),
        mark,
        begin=_UIDS,
        outcomes=_past_due,
        failed="past_due_not_noted",
    )


def charge_interest(office: Office, database: Database, clock: Clock) -> None:
    """Charge the accounts' interest on what was overdue until the month began, and give back what is not owed."""
    rounds = _rounds(office, database, clock)

    def charge(number: int) -> tuple[str, ...]:
        def write(work: Work) -> InterestOutcome:
            account = account_reads.get_account(work.tx, number=number)
            return late_interest.charge_interest(work, office=office, account=account)

        done = rounds.write(write)
        return ("charged",) * len(done.charged) + ("given_back",) * len(done.given_back)

    rounds.go(
        lambda tx, after, limit: interest_reads.list_accounts(tx, after=after, now=clock.now(), limit=limit),
        charge,
        begin=_NUMBERS,
        outcomes=_interest,
        failed="interest_not_charged",
    )


def lapse_credit(office: Office, database: Database, clock: Clock) -> None:
    """Let what is left of every expired grant lapse."""
    rounds = _rounds(office, database, clock)

    def lapse(grant: UUID) -> tuple[str, ...]:
        lapsed = rounds.write(lambda work: granting.expire_credit(work, office.engine, uid=grant))
        return ("lapsed" if lapsed else "used",)

    rounds.go(
        lambda tx, after, limit: grant_reads.list_overdue(tx, now=clock.now(), after=after, limit=limit),
        lapse,
        begin=_UIDS,
        outcomes=_lapsed,
        failed="credit_not_lapsed",
    )


def _rounds(office: Office, database: Database, clock: Clock) -> Rounds:
    return Rounds(office.engine, database, clock, _SYSTEM)
