"""Money for invoices of the tests: posted to the books and noted on the invoice, as payments does it."""

from datetime import datetime

from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.types.invoices import Invoice, MoneyKind, Settled
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import RECEIVABLE, Entry, LedgerTransaction, account_name
from tests.db.invoicing.ground import NOVEMBER, Ground

BANK = account_name("Assets", "Cash", "Bank")


def pay(
    ground: Ground,
    invoice: Invoice,
    minor: int,
    reference: str,
    *,
    kind: MoneyKind = "Payment",
    now: datetime = NOVEMBER,
    at: datetime | None = None,
) -> Settled:
    """Have the money, and the invoice settled with it, in one transaction."""
    signed = Money(-minor if kind == "PaymentReversal" else minor, invoice.currency)
    key = f"test/{kind}/{reference}"

    def settle(work: Work) -> Settled:
        ledger.post(
            work.tx,
            transaction=LedgerTransaction(
                id=new_uid(),
                key=key,
                entity=invoice.issuer,
                posted_on=now.date(),
                description="Money from Acme",
                billing_account=invoice.account,
                owner_org=invoice.owner_org,
                entries=(Entry(BANK, signed), Entry(RECEIVABLE, -signed)),
            ),
            now=now,
        )
        return life.settle_invoice(
            work,
            engine=ground.engine,
            invoice=invoice.uid,
            kind=kind,
            reference=reference,
            amount_minor=minor,
            posted=key,
            at=at or now,
        )

    return ground.write(settle, now=now, reach=frozenset({invoice.owner_org}))


def as_it_stands(ground: Ground, invoice: Invoice) -> Invoice:
    """The invoice as its row says now."""
    return ground.reading(lambda tx: invoice_reads.get_invoice_by_uid(tx, uid=invoice.uid))
