"""Invoices that stay unpaid: remind, announce that the account will be suspended, suspend it. Each thing once.

Owns: the order of locks, rows and what is told. Not: when (rules.dunning), what suspends an account (accounts).
"""

from typing import Any
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.notices import operations as notices
from milo_billing.notices.types import Event
from milo_billing.payments import reads, store
from milo_billing.payments.engine import debit_rows, dispute_rows, dunning_rows
from milo_billing.payments.operations.collecting import ATTEMPTS_MAX
from milo_billing.payments.rules.dunning import DunningStep, Schedule, next_step, suspends_on
from milo_billing.payments.types import GROUP


def dun(work: Work, office: Office, *, invoice: UUID, schedule: Schedule) -> DunningStep | None:
    """Do what is to be done today about an invoice that is past due; what that was, None for nothing.

    Nothing while money is on its way, nor about an account that is suspended, archived or gone.
    """
    tx = work.tx
    store.lock_account(tx, account=invoice_reads.get_invoice_by_uid(tx, uid=invoice).account)
    found = life.lock_invoice(work, engine=office.engine, invoice=invoice)
    account = account_reads.get_account(tx, number=found.account)
    if found.phase != "PastDue" or account.deleted_at is not None:
        return None
    if account.phase in ("Suspended", "Archived") or _is_being_paid(work, invoice):
        return None
    step = next_step(
        due_on=found.due_on,
        today=invoice_reads.get_issuer_day(tx, invoice=invoice, now=work.now),
        done=dunning_rows.list_steps(tx, invoice=invoice),
        schedule=schedule,
    )
    if step is None:
        return None
    dunning_rows.insert_step(tx, step, invoice=invoice, owner_org=found.owner_org, now=work.now)
    match step.kind:
        case "Reminder":
            life.tell_past_due(work, office, invoice=invoice)
        case "Announcement":
            _announce(work, office, account, found, step, schedule)
        case "Suspension":
            _suspend(work, office, account, found)
    return step


def _is_being_paid(work: Work, invoice: UUID) -> bool:
    """Whether somebody is being asked for the money, or a dispute decides; who does not confirm is reminded."""
    attempts = reads.list_attempts(work.tx, invoice=invoice, limit=ATTEMPTS_MAX)
    if any(attempt.state in ("Open", "Processing") for attempt in attempts):
        return True
    if any(state == "Open" for _, state, _ in dispute_rows.list_of_invoice(work.tx, invoice=invoice)):
        return True
    return debit_rows.find_standing(work.tx, invoice=invoice) is not None


def _announce(
    work: Work, office: Office, account: Account, invoice: Invoice, step: DunningStep, schedule: Schedule
) -> None:
    data = {
        "suspendsOn": suspends_on(step, schedule).isoformat(),
        "currencyCode": invoice.currency,
        "amountDue": str(minor_to_decimal(invoice.amount_due_minor, invoice.currency)),
    }
    _tell(work, office, account, "account.suspension_announced", once=str(invoice.uid), data=data)


def _suspend(work: Work, office: Office, account: Account, invoice: Invoice) -> None:
    reason = f"Invoice {invoice.number} was due on {invoice.due_on} and is not paid."
    kind = office.engine.registry.get(GROUP, "billingaccounts")
    request = {"reason": "PaymentFailure", "message": reason}
    office.engine.act(
        work, kind, namespace=account.namespace, name=account.name, action="suspend", request=request
    )
    _tell(work, office, account, "account.suspended", once=str(invoice.uid), data={"reason": reason})


def _tell(
    work: Work, office: Office, account: Account, type: str, *, once: str, data: dict[str, Any]
) -> None:
    """Tell the channels of the account's organization, and the account by mail where mail is sent."""
    profile = account_reads.get_billing_profile(work.tx, office.vault, account=account.number)
    mail_to = profile.contact.invoice_recipients if office.mails and profile.contact else ()
    event = Event(
        type=type,
        key=f"account/{account.uid}/{type}/{once}",
        org=account.owner_org,
        data={"account": {"namespace": account.namespace, "name": account.name}, **data},
        account=f"{account.namespace}/{account.name}",
        subject=account.uid if mail_to else None,
        language=profile.language,
        mail_to=mail_to,
    )
    notices.send(work.tx, office.vault, event=event, now=work.now)
