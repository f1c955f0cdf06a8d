"""Money that goes back to whoever sent it, when the account has used it since: what it paid is owed again.

Owns: which uses are taken back, the newest first. Not: what sends the money back (bank_deciding), its entries.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from milo_billing.controlplane.work import Work
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.kernel.money import Money
from milo_billing.ledger import reads as books
from milo_billing.ledger.types import UNAPPLIED_CASH

USES_MAX: Final = 1000
"""Uses of an account's money that are looked at, the newest of them."""


@dataclass(frozen=True, slots=True)
class Use:
    """So much of an account's unapplied cash paid this invoice; `reference` is the Credit's."""

    invoice: UUID
    reference: str
    amount_minor: int


def list_spent(work: Work, *, account: int, entity: str, money: Money) -> tuple[Use, ...]:
    """What the account has used of this much unapplied cash: nothing where it still has all of it.

    The newest uses, together no more than is missing. Less than is missing where money was given back to the account
    instead: then its unapplied cash falls below zero, and what it pays next fills it up.

    The caller holds the account's collection lock.
    """
    held = -books.balance(
        work.tx, account=UNAPPLIED_CASH, currency=money.currency, entity=entity, billing_account=account
    ).minor
    missing = money.minor - max(held, 0)
    if missing <= 0:
        return ()
    credits = invoice_reads.list_credits(
        work.tx, account=account, issuer=entity, currency=money.currency, limit=USES_MAX
    )
    posted = {credit.posted for _, credit in credits if credit.posted is not None}
    unapplied = books.list_debited(work.tx, keys=posted, account=UNAPPLIED_CASH)
    paid: dict[UUID, int] = {}
    found: list[Use] = []
    for invoice, credit in credits:
        if credit.posted not in unapplied:
            continue
        if invoice not in paid:
            paid[invoice] = invoice_reads.get_invoice_by_uid(work.tx, uid=invoice).amount_paid_minor
        # a refund may have reopened the invoice already: what is not paid cannot be taken back
        minor = min(missing, credit.amount_minor, paid[invoice])
        if minor:
            found.append(Use(invoice, credit.reference, minor))
            paid[invoice] -= minor
            missing -= minor
    return tuple(found)


def take_back(work: Work, office: Office, *, use: Use, key: str, by: str, at: datetime) -> None:
    """Have the invoice owed again by what this use paid; `key` is the posting that debits the receivable by it.

    `by` says what went back, such as an entry of the bank's.
    """
    life.settle_invoice(
        work,
        engine=office.engine,
        invoice=use.invoice,
        kind="PaymentReversal",
        reference=f"{by}/{use.reference}",
        amount_minor=use.amount_minor,
        posted=key,
        at=at,
    )
