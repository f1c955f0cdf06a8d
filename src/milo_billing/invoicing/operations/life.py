"""What becomes of an issued invoice: settled, credited, void, written off, past due."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.work import Work
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import crediting as credits
from milo_billing.invoicing.engine import early_payments, returning, settling, telling
from milo_billing.invoicing.engine.crediting import Wanted
from milo_billing.invoicing.operations.office import Office, billing_profile
from milo_billing.invoicing.reads import adjustments as adjustment_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.rules import (
    announcing,
)
from milo_billing.invoicing.rules.crediting import CreditNote
from milo_billing.invoicing.store import invoice_rows
from milo_billing.invoicing.types.invoices import Invoice, MoneyKind, Settled
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.usage import operations as usage


def lock_invoice(work: Work, *, engine: Engine, invoice: UUID) -> Invoice:
    """The invoice, which nobody else settles until the transaction ends. Raises InvoiceNotFound.

    Who locks several locks them in the order of their uids.
    """
    return settling.lock(work, engine, invoice=invoice)


def settle_invoice(
    work: Work,
    *,
    engine: Engine,
    invoice: UUID,
    kind: MoneyKind,
    reference: str,
    amount_minor: int,
    posted: str,
    at: datetime,
) -> Settled:
    """Have this much of the invoice settled, or owed again where a payment goes back; the invoice as it is then.

    `amount_minor` is above zero for every kind. `reference` says what settles, such as a payment's uid: the same
    (kind, reference) settles an invoice once, and saying it again changes nothing. `posted` is the key of the
    transaction that the caller posts to the books in this transaction, crediting `Assets:Receivable` by the amount
    (debiting it for a PaymentReversal); the database refuses the commit without it. What was written off and is
    settled after all is posted here. `at` is when the money counts from; the phase is of `work.now`.

    A payment in full less the discount for early payment, in time, closes the invoice: the rest is a credit note,
    whatever the way of the payment. Where a payment goes back and the invoice is owed again, that discount ends.

    Row, settlement and Invoice object are written in the caller's transaction, which `engine.commit` ends; the invoice
    is locked until then. Raises InvoiceNotFound, and UnableToSettle for more than `Invoice.open_minor`: ask
    `lock_invoice` first and keep the rest as money on account.
    """
    settled = settling.settle(
        work,
        engine,
        invoice=invoice,
        kind=kind,
        reference=reference,
        amount_minor=amount_minor,
        posted=posted,
        at=at,
    )
    if kind in ("Payment", "Credit") and not settled.repeated:
        paid = early_payments.grant(work, engine, settled.invoice)
        settled = replace(settled, invoice=paid)
    if kind == "PaymentReversal" and not settled.repeated:
        owed = early_payments.end(work, engine, settled.invoice)
        if owed is not settled.invoice:  # what the discount had taken was not given back otherwise
            _look_again(work.tx, owed, now=work.now)
        settled = replace(settled, invoice=owed)
    if settled.invoice.phase == "Paid" and not settled.repeated:
        telling.tell(work.tx, "invoice.paid", settled.invoice, once=f"{kind}/{reference}", now=work.now)
    return settled


def asked_minor(tx: Tx, *, invoice: Invoice, now: datetime) -> int:
    """What settles the invoice if it is paid now: what is due, less the discount for early payment."""
    if invoice.early is None:
        return invoice.amount_due_minor
    today = invoice_reads.get_issuer_day(tx, invoice=invoice.uid, now=now)
    return invoice.amount_due_minor - early_payments.offered_minor(tx, invoice, day=today)


def void_invoice(tx: Tx, *, invoice: UUID, reason: str, now: datetime) -> CreditNote:
    """Take an unpaid invoice back as a whole; the credit note over it. Its days can be invoiced again, once.

    The caller holds the lock of the invoice's object and writes the objects. Raises UnableToSettle.
    """
    returning.before_void(tx, invoice=invoice, now=now)
    note = credits.void(tx, invoice=invoice, reason=reason, now=now)
    returning.after_void(tx, note, now=now)
    voided = invoice_reads.lock_invoice(tx, uid=invoice)
    # what it carried is to be charged again, what it gave back for others is to be, and what others carried of it is
    # not owed any more
    _look_again(tx, voided, now=now)
    telling.tell(tx, "invoice.voided", voided, more={"reason": reason}, now=now)
    return note


def _look_again(tx: Tx, invoice: Invoice, *, now: datetime) -> None:
    """Have what was adjusted by way of the invoice looked at by the next one of its accounts."""
    if adjustment_reads.is_adjusted(tx, invoice=invoice.uid):
        used_by = {invoice.account, *adjustment_reads.list_used_by(tx, invoice=invoice.uid)}
        used_by |= {*adjustment_reads.list_sections(tx, invoice=invoice.uid)}
        invoice_rows.lock_accounts(tx, accounts=used_by)
        for account in sorted(used_by):
            usage.reopen_changes(tx, account=account, now=now)


def write_off_invoice(tx: Tx, *, invoice: UUID, reason: str, now: datetime) -> Invoice:
    """Give up what is due of the invoice; the invoice then. A payment may still recover it.

    The caller holds the lock of the invoice's object and writes the objects. Raises UnableToSettle.
    """
    written_off = settling.write_off(tx, invoice=invoice, reason=reason, now=now)
    telling.tell(
        tx, "invoice.written_off", written_off, more={"reason": reason}, once=now.isoformat(), now=now
    )
    return written_off


def tell_past_due(work: Work, office: Office, *, invoice: UUID) -> None:
    """Announce that the invoice is past due, which this transaction has said of it; its account by mail, too."""
    late = invoice_reads.lock_invoice(work.tx, uid=invoice)
    account = account_reads.get_account(work.tx, number=late.account)
    profile = billing_profile(work.tx, office.vault, account) if office.mails else None
    telling.tell(
        work.tx,
        "invoice.past_due",
        late,
        once=work.now.isoformat(),
        vault=office.vault,
        subject=account.uid,
        mail_to=() if profile is None else announcing.recipients(profile.contact),
        now=work.now,
    )


def choose_credit(tx: Tx, wanted: Wanted) -> None:
    """Raise UnableToCredit where the credit note could not be issued as things stand."""
    credits.choose(tx, wanted)


def issue_credit_note(tx: Tx, wanted: Wanted, *, now: datetime) -> CreditNote:
    """Issue the credit note: number, lines, books, and the invoice settled as far as it was open.

    What is over becomes money on account of the customer. The caller holds the lock of the invoice's object and writes
    the objects. Raises UnableToCredit, InvoiceNotFound.
    """
    note = credits.issue(tx, wanted, now=now)
    returning.after_credit_note(tx, note, now=now)
    return note


def tell_credit_note(tx: Tx, office: Office, *, note: UUID, now: datetime) -> None:
    """Announce the credit note; by mail its PDF goes with it, to its account as well.

    Telling it again does nothing; raises MessageConflict where the invoice has changed since it was told.
    """
    issued = note_reads.find_credit_note(tx, uid=note)
    if issued is None:
        return  # nobody told that there is one: the job is older than a restored database
    more = {
        "creditNote": issued.number,
        "credited": str(minor_to_decimal(issued.total_minor, issued.currency)),
        "reason": issued.reason,
    }
    _tell(tx, office, "creditnote.issued", issued, attached=announcing.CREDIT_NOTE, more=more, now=now)


def tell_cancellation(tx: Tx, office: Office, *, note: UUID, now: datetime) -> None:
    """Announce that the credit note was cancelled, as `tell_credit_note`; by mail with the document that does it."""
    found = note_reads.find_credit_note(tx, uid=note)
    if found is None or found.cancellation is None:
        return  # as above
    more = {
        "creditNote": found.number,
        "cancellation": found.cancellation.number,
        "amount": str(minor_to_decimal(found.total_minor, found.currency)),
        "reason": found.cancellation.reason,
    }
    _tell(tx, office, "creditnote.cancelled", found, attached=announcing.CANCELLATION, more=more, now=now)


def _tell(
    tx: Tx,
    office: Office,
    type: str,
    note: CreditNote,
    *,
    attached: str,
    more: Mapping[str, Any],
    now: datetime,
) -> None:
    """Announce what became of the note, to its account's addresses as well."""
    account = account_reads.get_account(tx, number=note.account)
    profile = billing_profile(tx, office.vault, account) if office.mails else None
    telling.tell(
        tx,
        type,
        invoice_reads.get_invoice_by_uid(tx, uid=note.invoice),
        more=more,
        once=str(note.uid),
        vault=office.vault,
        subject=account.uid,
        mail_to=() if profile is None else announcing.recipients(profile.contact),
        attachments=(f"{attached}/{note.namespace}/{note.name}",),
        now=now,
    )
