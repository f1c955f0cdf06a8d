"""Entries, transactions, account names and the one error of the ledger. README.md has the conventions."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final, NewType, TypeAlias
from uuid import UUID

from milo_billing.kernel.money import Money

AccountName = NewType("AccountName", str)
"""A ledger account, root first: `Assets:Receivable`. Made by `account_name` or one of the builders below."""

ServicePeriod: TypeAlias = tuple[date, date]
"""The days a revenue entry was earned in, a deferred one will be: the first, and the day after the last."""

Posting: TypeAlias = tuple[AccountName, int, ServicePeriod]
"""What a receivable is credited to: (account, minor units, service period), charges positive."""

_ACCOUNT_NAME = re.compile(r"[A-Z][A-Za-z]*(:[A-Za-z0-9-]+)+")


class UnableToPost(Exception):
    """The books refuse a transaction: a defect of the caller, whose database transaction must roll back."""


def account_name(*parts: str) -> AccountName:
    """Join the parts of an account name. Raises ValueError for what a plain-text ledger could not read."""
    name = ":".join(parts)
    if _ACCOUNT_NAME.fullmatch(name) is None:
        raise ValueError(
            f"{name!r} is not a ledger account name: use two or more parts of letters, digits and -"
        )
    return AccountName(name)


RECEIVABLE: Final = account_name("Assets", "Receivable")
"""What customers owe for issued invoices. Whose it is stands on the transaction, not in the name."""

REVENUE: Final = account_name("Income", "Revenue")

DEFERRED_REVENUE: Final = account_name("Liabilities", "DeferredRevenue")


def revenue(*parts: str) -> AccountName:
    """Revenue of one kind: `revenue("Usage")` is Income:Revenue:Usage."""
    return account_name(REVENUE, *parts)


def deferred(*parts: str) -> AccountName:
    """What was charged and is not earned yet: `deferred("Recurring")` is Liabilities:DeferredRevenue:Recurring."""
    return account_name(DEFERRED_REVENUE, *parts)


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a transaction: a positive amount is a debit, a negative one a credit; never zero."""

    account: AccountName
    amount: Money
    service: ServicePeriod | None = None


@dataclass(frozen=True, slots=True)
class LedgerTransaction:
    """A money fact in balanced entries, on one billing account of one organization.

    `key` is derived from the fact (`invoice/<uid>/issue`) and makes posting idempotent. `entity` is the legal
    entity in whose books it stands: the name of an IssuerProfile. `posted_on` is the date in those books.
    """

    id: UUID
    key: str
    entity: str
    posted_on: date
    description: str
    billing_account: int
    owner_org: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class TrialBalanceRow:
    """The totals of one account of one entity in one currency; an entity's balances sum to zero."""

    entity: str
    account: AccountName
    debits: Money
    credits: Money

    @property
    def balance(self) -> Money:
        """Debits less credits: positive for what is owned or spent, negative for what is owed or earned."""
        return self.debits - self.credits
