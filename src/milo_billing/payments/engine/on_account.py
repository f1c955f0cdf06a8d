"""What is over of money that came in: on account where somebody said what it was for, else unapplied cash.

Owns: which of the two it is, and the rows that say so. Not: its entries in the books, what takes it back (spent).
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from milo_billing.accounts.types import Account
from milo_billing.infra.database import Tx
from milo_billing.kernel.money import Money
from milo_billing.ledger import reads as books
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, UNAPPLIED_CASH, Entry


@dataclass(frozen=True, slots=True)
class Over:
    """Money that pays no invoice: what of it is unapplied cash, and what is on account."""

    unapplied: Money
    on_account: Money

    def credited(self) -> list[Entry]:
        """What the books owe the customer for it."""
        parts = ((UNAPPLIED_CASH, self.unapplied), (MONEY_ON_ACCOUNT, self.on_account))
        return [Entry(name, -amount) for name, amount in parts if amount]


@dataclass(frozen=True, slots=True)
class Source:
    """What came in or went back: a payment, or an entry of a bank statement."""

    payment: UUID | None = None
    entry: UUID | None = None


def divide(tx: Tx, money: Money, *, account: int, entity: str, is_known: bool) -> Over:
    """Where money goes that is over: on account if it `is_known` what it was for.

    Unapplied cash that is below zero, since money went back that the customer had been given, is filled up before.
    """
    none = Money(0, money.currency)
    if not is_known or not money:
        return Over(money, none)
    below = books.balance(
        tx, account=UNAPPLIED_CASH, currency=money.currency, entity=entity, billing_account=account
    )
    fills = Money(min(max(below.minor, 0), money.minor), money.currency)
    return Over(fills, money - fills)


_INSERT: Final = (
    "insert into payments.on_account (posted, owner_org, account, entity, currency, amount_minor, payment, entry) "
    "values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict (posted) do nothing"
)


def note(tx: Tx, amount: Money, *, posted: str, account: Account, entity: str, source: Source) -> None:
    """Say that the transaction `posted` put so much on account, or took it from there where it is below zero."""
    if amount:
        tx.execute(
            _INSERT,
            (
                posted,
                account.owner_org,
                account.number,
                entity,
                amount.currency,
                amount.minor,
                source.payment,
                source.entry,
            ),
        )


def still_of(tx: Tx, source: Source, *, entity: str, currency: str) -> Money:
    """What of this money was put on account in the issuer's books and has not been taken from there for it."""
    row = tx.execute(
        "select coalesce(sum(amount_minor), 0)::bigint from payments.on_account "
        "where entity = %(entity)s and currency = %(currency)s and (payment = %(payment)s or entry = %(entry)s)",
        {"entity": entity, "currency": currency, "payment": source.payment, "entry": source.entry},
    ).fetchone()
    assert row is not None, "a sum is one row"
    return Money(max(row[0], 0), currency)
