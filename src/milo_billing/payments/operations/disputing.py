"""A payment that its customer disputes, or a debit that comes back: the money is gone, and the invoice owed again.

Owns: the order of locks, rows and books. Not: what a state means (rules.disputes), how a provider says it (adapters).
"""

from datetime import datetime
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.operations.taking_back import WentBack
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.kernel.errors import Unavailable
from milo_billing.kernel.money import Money
from milo_billing.ledger.types import Entry, clearing
from milo_billing.payments import reads, store
from milo_billing.payments.engine import dispute_rows, on_account
from milo_billing.payments.engine.on_account import Source
from milo_billing.payments.engine.spent import find_taken, take_back
from milo_billing.payments.operations import publishing, receiving
from milo_billing.payments.operations.announcing import announce
from milo_billing.payments.operations.desk import Desk
from milo_billing.payments.rules.disputes import DisputeRow, taken_minor
from milo_billing.payments.types import Dispute, Payment


def apply_dispute(work: Work, desk: Desk, *, class_uid: UUID, dispute: Dispute, told_at: datetime) -> bool:
    """Note how a dispute stands, with all that follows; False where the payment is none of ours, or nothing is new.
    `told_at` is when the provider first told of it.

    What was taken is owed again for the invoice that it had paid; what was over comes out of what the account has, or
    is owed again for what it has paid since.
    What is given back again pays the invoice as a payment does. Safe to repeat, and in any order: what counts is how
    much is gone now. Raises Unavailable while nobody knows yet that the payment came in, or whether it is ours.
    """
    tx = work.tx
    attempt = reads.find_attempt(tx, class_uid=class_uid, reference=dispute.payment, key="")
    if attempt is None:
        if reads.has_unnamed(tx, class_uid=class_uid, until=told_at):
            raise Unavailable(
                f"dispute {dispute.reference} of {dispute.payment} may be of attempts to which no answer has come: "
                "they are asked about"
            )
        return False
    payment = reads.get_payment_by_uid(tx, uid=attempt.payment)
    store.lock_account(tx, account=payment.account)
    payment = reads.get_payment_by_uid(tx, uid=attempt.payment)
    if payment.phase not in ("Succeeded", "Refunded"):
        raise Unavailable(
            f"payment {payment.name} is disputed, and has not come in yet: its answer is asked for"
        )
    standing = dispute_rows.find_dispute(tx, class_uid=class_uid, reference=dispute.reference)
    before_minor = 0 if standing is None else standing.taken_minor
    left_minor = payment.amount_minor - payment.refunded_minor - payment.disputed_minor + before_minor
    now_minor = taken_minor(dispute, left_minor=left_minor)
    row = DisputeRow(
        class_uid,
        dispute.reference,
        payment.uid,
        payment.owner_org,
        dispute.amount.minor,
        now_minor,
        dispute.state,
        dispute.reason,
        (0 if standing is None else standing.changes) + (now_minor != before_minor),
    )
    if row == standing:
        return False
    dispute_rows.put_dispute(tx, row, now=work.now)
    if now_minor > before_minor:
        _take(work, desk, payment, row, minor=now_minor - before_minor)
    elif now_minor < before_minor:
        _reinstate(work, desk, payment, row, minor=before_minor - now_minor)
    publishing.publish(work, desk.engine, reads.get_payment_by_uid(tx, uid=payment.uid), verb="note-dispute")
    return True


def _take(work: Work, desk: Desk, payment: Payment, row: DisputeRow, *, minor: int) -> None:
    assert payment.invoice is not None, "a payment that a provider collected is for an invoice"
    invoice = life.lock_invoice(work, engine=desk.engine, invoice=payment.invoice)
    amount = Money(minor, payment.currency)
    owed = Money(min(minor, invoice.amount_paid_minor), payment.currency)
    key, out_of = _key(payment, row), clearing(payment.provider)
    if owed:
        life.settle_invoice(
            work,
            engine=desk.engine,
            invoice=invoice.uid,
            kind="PaymentReversal",
            reference=key,
            amount_minor=owed.minor,
            posted=key,
            at=work.now,
        )
    source = Source(payment=payment.uid)
    taken = find_taken(
        work,
        desk.engine,
        account=invoice.account,
        entity=invoice.issuer,
        money=amount - owed,
        on_account=on_account.still_of(work.tx, source, entity=invoice.issuer, currency=payment.currency),
    )
    receiving.post(
        work,
        invoice,
        key=key,
        entries=(Entry(out_of, -amount), *taken.debited(owed_minor=owed.minor)),
        description=f"Payment {payment.name} was disputed: {row.reason}",
    )
    account = account_reads.get_account(work.tx, number=invoice.account)
    on_account.note(
        work.tx, -taken.on_account, posted=key, account=account, entity=invoice.issuer, source=source
    )
    why = WentBack(
        key,
        f"payment {payment.name}, which paid it, was disputed: {row.reason}",
        at=work.now,
        posted_on=invoice_reads.get_issuer_day(work.tx, invoice=invoice.uid, now=work.now),
    )
    take_back(work, desk.engine, taken=taken, key=key, why=why)
    announce(
        work,
        "payment.failed",
        payment,
        invoice=invoice.uid,
        amount=amount,
        once=key,
        reason=f"disputed: {row.reason}",
    )


def _reinstate(work: Work, desk: Desk, payment: Payment, row: DisputeRow, *, minor: int) -> None:
    assert payment.invoice is not None, "a payment that a provider collected is for an invoice"
    key, amount = _key(payment, row), Money(minor, payment.currency)
    receiving.receive(
        work,
        desk.engine,
        invoice=payment.invoice,
        amount=amount,
        into=clearing(payment.provider),
        key=key,
        reference=key,
    )
    announce(work, "payment.succeeded", payment, invoice=payment.invoice, amount=amount, once=key)


def _key(payment: Payment, row: DisputeRow) -> str:
    """One for each time that the money moved."""
    return f"payment/{payment.uid}/dispute/{row.reference}/{row.changes}"
