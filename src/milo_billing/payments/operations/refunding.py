"""Give money back, in parts: the refund is written, posted and committed, then a job asks the provider."""

from typing import Final, assert_never
from uuid import UUID

from milo_billing.controlplane.work import Work
from milo_billing.infra import jobs
from milo_billing.infra.database import Tx
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger import reads as books
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, RECEIVABLE, UNAPPLIED_CASH, AccountName, clearing
from milo_billing.payments import reads, store
from milo_billing.payments.engine import dispute_rows
from milo_billing.payments.operations import disputing, publishing, receiving
from milo_billing.payments.operations.announcing import announce
from milo_billing.payments.operations.desk import Desk, read_config
from milo_billing.payments.types import (
    Dispute,
    Payment,
    ProviderConfig,
    Refund,
    Refunded,
    RefundFailed,
    RefundProcessing,
    RefundRequest,
    RefundResult,
    RefundSource,
    UnableToRefund,
    Unknown,
)

GIVE_BACK: Final = "payments.give_back"
"""The job that asks the provider about one refund."""

REFUNDS_MAX: Final = 100
"""Parts of one payment."""

_ACCOUNTS: Final[dict[RefundSource, AccountName]] = {
    "Invoice": RECEIVABLE,
    "UnappliedCash": UNAPPLIED_CASH,
    "MoneyOnAccount": MONEY_ON_ACCOUNT,
}


def open_refund(
    work: Work, desk: Desk, *, namespace: str, name: str, minor: int | None, reason: str, reopen: bool
) -> Refund:
    """Give back so much of a payment, or what is left of it; a job asks the provider after this transaction.

    It comes out of what the account has unapplied or on account (a credit note puts it there). With `reopen` the
    invoice is owed again by as much instead. The books have it from now on, and have it back should it fail. Raises
    UnableToRefund where the payment or the account has less.
    """
    tx = work.tx
    store.lock_account(tx, account=reads.get_payment(tx, namespace=namespace, name=name).account)
    payment = reads.get_payment(tx, namespace=namespace, name=name)
    refunds = reads.list_refunds(tx, payment=payment.uid)
    amount = _amount_of(payment, refunds, minor=minor)
    assert payment.invoice is not None, "a payment that a provider collected is for an invoice"
    invoice = life.lock_invoice(work, engine=desk.engine, invoice=payment.invoice)
    number = len(refunds) + 1
    refund = Refund(
        payment=payment.uid,
        number=number,
        owner_org=payment.owner_org,
        key=f"payment/{payment.uid}/refund/{number}",
        amount_minor=amount.minor,
        currency=amount.currency,
        source="Invoice" if reopen else _source(work, invoice, amount=amount),
        reason=reason,
        state="Open",
        calls=0,
        reference="",
        message="",
        at=work.now,
        called_at=None,
        answered_at=None,
    )
    store.insert_refund(tx, refund)
    store.set_refunded(
        tx, uid=payment.uid, refunded_minor=payment.refunded_minor + amount.minor, phase=payment.phase
    )
    _post(work, desk, refund, payment, invoice)
    defer_give_back(tx, payment=payment.uid, number=number)
    _republish(work, desk, payment.uid, verb="refund")
    return refund


def _amount_of(payment: Payment, refunds: tuple[Refund, ...], *, minor: int | None) -> Money:
    left = Money(payment.amount_minor - payment.refunded_minor - payment.disputed_minor, payment.currency)
    if payment.phase != "Succeeded" or not left:
        raise UnableToRefund(
            f'payment "{payment.name}" is {payment.phase}: there is nothing of it that could be given back'
        )
    if payment.invoice is None or not payment.reference:
        raise UnableToRefund(f'payment "{payment.name}" came by itself: see `payments transfers request`')
    if len(refunds) >= REFUNDS_MAX:
        raise UnableToRefund(f'payment "{payment.name}" was given back in {REFUNDS_MAX} parts already')
    amount = left if minor is None else Money(minor, payment.currency)
    if not 0 < amount.minor <= left.minor:
        raise UnableToRefund(f'payment "{payment.name}" has {left} left: {amount} cannot be given back')
    return amount


def _source(work: Work, invoice: Invoice, *, amount: Money) -> RefundSource:
    has = books.get_kept(
        work.tx, billing_account=invoice.account, entity=invoice.issuer, currency=amount.currency
    )
    sources: tuple[RefundSource, ...] = ("UnappliedCash", "MoneyOnAccount")
    for source in sources:
        if has.free(_ACCOUNTS[source]) >= amount:
            return source
    raise UnableToRefund(
        f'billing account "{invoice.account_name}" has {has.unapplied} unapplied and {has.on_account} on account, '
        f"{has.total} in all, and {amount} cannot come out of either: issue a credit note for invoice {invoice.number} "
        "first, or say reopen, and the invoice is owed again"
    )


def _post(work: Work, desk: Desk, refund: Refund, payment: Payment, invoice: Invoice) -> None:
    entries = ledger.refunded(refund.amount, out_of=clearing(payment.provider), of=_ACCOUNTS[refund.source])
    receiving.post(
        work, invoice, key=refund.key, entries=entries, description=f"Refund of payment {payment.name}"
    )
    if refund.source == "Invoice":
        paid_minor = min(refund.amount_minor, invoice.amount_paid_minor)
        if paid_minor < refund.amount_minor:
            paid = Money(paid_minor, invoice.currency)
            raise UnableToRefund(
                f"of invoice {invoice.number} {paid} are paid: the rest of the payment is not the invoice's, so leave "
                "out reopen"
            )
        life.settle_invoice(
            work,
            engine=desk.engine,
            invoice=invoice.uid,
            kind="PaymentReversal",
            reference=refund.key,
            amount_minor=refund.amount_minor,
            posted=refund.key,
            at=work.now,
        )


def defer_give_back(tx: Tx, *, payment: UUID, number: int) -> None:
    """Have a worker ask about a refund, unless one waits for it already. Safe to repeat."""
    name = f"{GIVE_BACK}/{payment}/{number}"
    jobs.defer(tx, GIVE_BACK, lock=name, once=name, payment=str(payment), number=number)


def begin_refund_call(
    work: Work, desk: Desk, *, payment: UUID, number: int, told: bool = False
) -> tuple[Refund, RefundRequest, ProviderConfig] | None:
    """What to ask the provider, noted as asked; None where the answer is known. Commit before asking.

    Where the provider has `told` of it, one that succeeded is asked about again: it may have failed since. Such a one
    is looked for, never made.
    """
    tx = work.tx
    paid = reads.get_payment_by_uid(tx, uid=payment)
    store.lock_account(tx, account=paid.account)
    refund = reads.get_refund(tx, payment=payment, number=number)
    if refund.answered_at is not None and not (told and refund.state == "Succeeded"):
        return None
    config = read_config(tx, desk, class_uid=reads.get_refund_class(tx, payment=payment))
    if refund.answered_at is None:
        store.count_refund_call(tx, payment=payment, number=number, at=work.now)
    return refund, RefundRequest(refund.key, paid.reference, refund.amount), config


def apply_refund_result(
    work: Work, desk: Desk, *, payment: UUID, number: int, result: RefundResult
) -> Refund:
    """Note what the provider said of a refund, with all that follows; as `collecting.apply_result`.

    One that succeeded may fail after all, once: whoever was to have the money could not take it.
    """
    tx = work.tx
    paid = reads.get_payment_by_uid(tx, uid=payment)
    store.lock_account(tx, account=paid.account)
    paid = reads.get_payment_by_uid(tx, uid=payment)
    refund = reads.get_refund(tx, payment=payment, number=number)
    fails_late = refund.state == "Succeeded" and isinstance(result, RefundFailed)
    if isinstance(result, Unknown) or (refund.answered_at is not None and not fails_late):
        return refund
    match result:
        case Refunded(reference):
            store.note_refund(
                tx,
                payment=payment,
                number=number,
                state="Succeeded",
                reference=reference,
                answered_at=work.now,
            )
            others = [one for one in reads.list_refunds(tx, payment=payment) if one.state == "Succeeded"]
            if sum(one.amount_minor for one in others) == paid.amount_minor:
                store.set_refunded(tx, uid=payment, refunded_minor=paid.amount_minor, phase="Refunded")
            assert paid.invoice is not None, "a payment that a provider collected is for an invoice"
            announce(
                work,
                "payment.refunded",
                paid,
                invoice=paid.invoice,
                amount=refund.amount,
                once=str(refund.number),
            )
        case RefundProcessing(reference):
            store.note_refund(tx, payment=payment, number=number, state="Processing", reference=reference)
        case RefundFailed():
            _fail(work, desk, refund, paid, failed=result)
            _dispute_again(work, desk, paid)
        case _:
            assert_never(result)
    _republish(work, desk, payment, verb="note-answer")
    return reads.get_refund(tx, payment=payment, number=number)


def _fail(work: Work, desk: Desk, refund: Refund, paid: Payment, *, failed: RefundFailed) -> None:
    """Nothing went back: the books and the invoice have it again."""
    store.note_refund(
        work.tx,
        payment=paid.uid,
        number=refund.number,
        state="Failed",
        reference=failed.reference,
        message=f"{failed.code}: {failed.message}",
        answered_at=work.now,
    )
    left_minor = paid.refunded_minor - refund.amount_minor
    store.set_refunded(work.tx, uid=paid.uid, refunded_minor=left_minor, phase="Succeeded")
    assert paid.invoice is not None, "a payment that a provider collected is for an invoice"
    key, into = f"{refund.key}/failed", clearing(paid.provider)
    if refund.source == "Invoice":
        receiving.receive(
            work, desk.engine, invoice=paid.invoice, amount=refund.amount, into=into, key=key, reference=key
        )
        return
    invoice = invoice_reads.get_invoice_by_uid(work.tx, uid=paid.invoice)
    entries = ledger.taken_back(ledger.refunded(refund.amount, out_of=into, of=_ACCOUNTS[refund.source]))
    receiving.post(
        work, invoice, key=key, entries=entries, description=f"Refund of payment {paid.name} failed"
    )


def _dispute_again(work: Work, desk: Desk, paid: Payment) -> None:
    """What was to go back and did not is disputed like the rest: the provider has taken it already."""
    for row in dispute_rows.list_short(work.tx, payment=paid.uid):
        amount = Money(row.amount_minor, paid.currency)
        dispute = Dispute(row.reference, paid.reference, amount, row.state, row.reason)
        disputing.apply_dispute(work, desk, class_uid=row.class_uid, dispute=dispute, told_at=work.now)


def _republish(work: Work, desk: Desk, uid: UUID, *, verb: str) -> None:
    publishing.publish(work, desk.engine, reads.get_payment_by_uid(work.tx, uid=uid), verb=verb)
