"""Money that has come in for an invoice: the books, the invoice, and what is more than it could take."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads.kept import APPLIED, ON_ACCOUNT
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger import reads as books
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, UNAPPLIED_CASH, AccountName, Entry, Fact
from milo_billing.payments.engine import on_account, standing


@dataclass(frozen=True, slots=True)
class Received:
    """`settled` is what the invoice took, `over` what is the account's for another one."""

    settled: Money
    over: on_account.Over


def receive(
    work: Work,
    engine: Engine,
    *,
    invoice: UUID,
    amount: Money,
    into: AccountName,
    key: str,
    reference: str,
    at: datetime | None = None,
    payment: UUID | None = None,
) -> Received:
    """Post a payment and settle the invoice with as much of it as is open.

    The rest is money on account where `payment` came in for the invoice; without one, as for money that comes again,
    it is unapplied cash. `key` names the fact in the books, `reference` the settlement; repeating both changes nothing.
    `at` is when the money counts from, now where it is not said. The caller holds the account's collection lock.
    """
    found = life.lock_invoice(work, engine=engine, invoice=invoice)
    open_minor = 0 if found.phase == "Void" or found.currency != amount.currency else found.open_minor
    settled = Money(min(amount.minor, open_minor), amount.currency)
    over = on_account.divide(
        work.tx, amount - settled, account=found.account, entity=found.issuer, is_known=payment is not None
    )
    post(
        work,
        found,
        key=key,
        entries=(
            *ledger.payment_received(settled, into=into),
            *ledger.received_unapplied(over.unapplied, into=into),
            *ledger.put_on_account(over.on_account, into=into),
        ),
        description=f"Payment of invoice {found.number}",
    )
    if over.on_account:
        on_account.note(
            work.tx,
            over.on_account,
            posted=key,
            account=account_reads.get_account(work.tx, number=found.account),
            entity=found.issuer,
            source=on_account.Source(payment=payment),
        )
    if settled:
        life.settle_invoice(
            work,
            engine=engine,
            invoice=invoice,
            kind="Payment",
            reference=reference,
            amount_minor=settled.minor,
            posted=key,
            at=at or work.now,
        )
        standing.reactivate_if_paid(work, engine, account=found.account)
    return Received(settled, over)


def use_balance(work: Work, engine: Engine, *, invoice: Invoice) -> Invoice:
    """Pay what is due from what the account has with the issuer: unapplied cash first, then money on account; the
    invoice as it is then.

    The caller holds the account's collection lock, so that nothing is used twice.
    """
    before = invoice
    for source in (UNAPPLIED_CASH, MONEY_ON_ACCOUNT):
        invoice = _use(work, engine, invoice, source=source)
    if invoice != before:
        standing.reactivate_if_paid(work, engine, account=invoice.account)
    return invoice


def _use(work: Work, engine: Engine, invoice: Invoice, *, source: AccountName) -> Invoice:
    balance = books.balance(
        work.tx,
        account=source,
        currency=invoice.currency,
        entity=invoice.issuer,
        billing_account=invoice.account,
    )
    asked_minor = life.asked_minor(work.tx, invoice=invoice, now=work.now)
    used = Money(min(-balance.minor, asked_minor), invoice.currency)
    if used.minor <= 0:
        return invoice
    reference = str(new_uid())
    unapplied = source == UNAPPLIED_CASH
    key = f"invoice/{invoice.uid}/{APPLIED if unapplied else ON_ACCOUNT}/{reference}"
    post(
        work,
        invoice,
        key=key,
        entries=ledger.applied(used) if unapplied else ledger.used_from_account(used),
        description=f"{'Unapplied cash' if unapplied else 'Money on account'} for invoice {invoice.number}",
    )
    settled = life.settle_invoice(
        work,
        engine=engine,
        invoice=invoice.uid,
        kind="Credit",
        reference=reference,
        amount_minor=used.minor,
        posted=key,
        at=work.now,
    )
    return settled.invoice


def post(work: Work, invoice: Invoice, *, key: str, entries: tuple[Entry, ...], description: str) -> None:
    """Post a fact about an invoice in its issuer's books, on the day that it is there."""
    fact = Fact(
        id=new_uid(),
        key=key,
        entity=invoice.issuer,
        posted_on=invoice_reads.get_issuer_day(work.tx, invoice=invoice.uid, now=work.now),
        billing_account=invoice.account,
        owner_org=invoice.owner_org,
        description=description,
    )
    ledger.post_fact(work.tx, fact=fact, entries=entries, now=work.now)
