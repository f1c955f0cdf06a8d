"""Entries, transactions, the names of accounts and the errors of the ledger. README.md has the conventions.

What each account is for, and its type, is told by `rules.chart`.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal, NewType, TypeAlias
from uuid import UUID

from milo_billing.kernel.errors import Conflict
from milo_billing.kernel.money import Money

AccountName = NewType("AccountName", str)
"""A ledger account, root first: `Assets:Receivable`. Made by `account_name` or one of the builders below."""

ServicePeriod: TypeAlias = tuple[date, date]
"""The days a revenue entry was earned in, a deferred one will be: the first, and the day after the last."""

Posting: TypeAlias = tuple[AccountName, int, ServicePeriod | None]
"""What a receivable is credited to: (account, minor units, service period), charges positive.

Taxes have no service period: they are owed on a date, not earned over days.
"""

AccountType: TypeAlias = Literal["Assets", "Liabilities", "Equity", "Income", "Expenses"]
"""The first part of an account's name. Assets and Expenses normally have debit balances, the others credit."""

_ACCOUNT_NAME = re.compile(r"(Assets|Liabilities|Equity|Income|Expenses)(:[A-Z0-9][A-Za-z0-9-]*)+")


class UnableToPost(Exception):
    """The books refuse a transaction: a defect of the caller, whose database transaction must roll back."""


class UnableToClose(Conflict):
    """The month cannot be closed yet. The message says when, or what has to be done before."""


@dataclass(frozen=True, slots=True)
class Closing:
    """A month of an entity's books in which nothing is posted any more; `month` is its first day."""

    entity: str
    month: date
    closed_at: datetime
    closed_by: str


def account_name(*parts: str) -> AccountName:
    """Join the parts of an account name. Raises ValueError for what a plain-text ledger could not read."""
    name = ":".join(parts)
    if _ACCOUNT_NAME.fullmatch(name) is None:
        raise ValueError(
            f"{name!r} is not a ledger account name: a type such as Assets, then one or more parts of letters, digits "
            "and -, each with a capital letter or digit first"
        )
    return AccountName(name)


def _part(text: str) -> str:
    """A name of something else, such as a provider, as part of an account name: `stripe` is Stripe."""
    return text[:1].upper() + text[1:]


RECEIVABLE: Final = account_name("Assets", "Receivable")
"""What customers owe for issued invoices. Whose it is stands on the transaction, not in the name."""

UNBILLED: Final = account_name("Assets", "Unbilled")
"""The contract asset: what was earned and is on no invoice yet."""

CASH: Final = account_name("Assets", "Cash")

CLEARING: Final = account_name("Assets", "Clearing")

TRANSFERS: Final = account_name("Assets", "Transfers")
"""Where the two transactions of a fact that touches two billing accounts meet; zero over all of them."""

REVENUE: Final = account_name("Income", "Revenue")

CONTRA_REVENUE: Final = account_name("Income", "ContraRevenue")

DEFERRED_REVENUE: Final = account_name("Liabilities", "DeferredRevenue")

MONEY_ON_ACCOUNT: Final = account_name("Liabilities", "MoneyOnAccount")
"""Customers' money that is kept for invoices to come: prepaid credit and over-payments."""

PREPAID_CREDIT: Final = account_name("Liabilities", "MoneyOnAccount", "Prepaid")
"""The part of customers' money that credit grants have set apart, with an order and an expiry of its own."""

UNAPPLIED_CASH: Final = account_name("Liabilities", "UnappliedCash")
"""Money received of which nobody has said yet what it pays."""

TAX_PAYABLE: Final = account_name("Liabilities", "TaxPayable")

PARTNERS_PAYABLE: Final = account_name("Liabilities", "Payable", "Partners")
"""What is owed to partners as their share."""

VENDORS_PAYABLE: Final = account_name("Liabilities", "Payable", "Vendors")
"""What is owed to vendors for what was sold of theirs."""

PROMOTIONAL: Final = account_name("Income", "ContraRevenue", "Promotional")
GOODWILL: Final = account_name("Income", "ContraRevenue", "Goodwill")
EARLY_PAYMENT_DISCOUNT: Final = account_name("Income", "ContraRevenue", "EarlyPaymentDiscount")

INTEREST: Final = account_name("Income", "Interest")
"""Interest on what was paid late."""

BAD_DEBT_RECOVERY: Final = account_name("Income", "BadDebtRecovery")
"""What was paid after all when it had been written off."""

FX_DIFFERENCE: Final = account_name("Income", "FxDifference")
"""Gains (credits) and losses (debits) because a rate moved between two facts."""

BAD_DEBT: Final = account_name("Expenses", "BadDebt")
"""What was written off."""

PAYMENT_FEES: Final = account_name("Expenses", "PaymentFees")

REVENUE_SHARE: Final = account_name("Expenses", "RevenueShare")
"""What partners and vendors get of what was sold."""

CONVERSION: Final = account_name("Equity", "Conversion")
"""The two legs of an exchange: each currency of a transaction balances here."""


def revenue(*parts: str) -> AccountName:
    """Revenue of one kind: `revenue("Usage")` is Income:Revenue:Usage."""
    return account_name(REVENUE, *parts)


def deferred(*parts: str) -> AccountName:
    """What was charged and is not earned yet: `deferred("Recurring")` is Liabilities:DeferredRevenue:Recurring."""
    return account_name(DEFERRED_REVENUE, *parts)


def cash(bank: str) -> AccountName:
    """Money in one account at a bank, named by what tells it from others: `cash("3000")` is Assets:Cash:3000."""
    return account_name(CASH, _part(bank))


def clearing(provider: str) -> AccountName:
    """Money on its way through a payment provider: `clearing("stripe")` is Assets:Clearing:Stripe."""
    return account_name(CLEARING, _part(provider))


BY_TRANSFER: Final = "transfers"
"""What stands for the bank itself where the books name a provider that money is under way at."""

UNDER_WAY: Final = clearing(BY_TRANSFER)
"""Money that was taken from what is owed to customers, and that has not left the bank yet: below zero."""


def payment_fees(provider: str) -> AccountName:
    """What a payment provider keeps of payments: `payment_fees("stripe")` is Expenses:PaymentFees:Stripe."""
    return account_name(PAYMENT_FEES, _part(provider))


def tax_payable(place: str) -> AccountName:
    """Tax to be handed on to one place: `tax_payable("DE")` or `tax_payable("US-CA")`."""
    return account_name(TAX_PAYABLE, place)


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a transaction: a positive amount is a debit, a negative one a credit; never zero."""

    account: AccountName
    amount: Money
    service: ServicePeriod | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """What a money fact says of itself, besides its entries: one billing account of one organization.

    `key` is derived from the fact (`invoice/<uid>/issue`) and makes posting idempotent. `entity` is the legal
    entity in whose books it stands: the name of an IssuerProfile. `posted_on` is the date in those books.
    """

    id: UUID
    key: str
    entity: str
    posted_on: date
    billing_account: int
    owner_org: int
    description: str = ""


@dataclass(frozen=True, slots=True)
class LedgerTransaction:
    """A money fact in balanced entries; the fields are those of `Fact`."""

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


@dataclass(frozen=True, slots=True)
class PostedTransaction:
    """A transaction as it stands in the books, with all of its entries. Numbers grow as posted, with gaps."""

    number: int
    id: UUID
    key: str
    entity: str
    posted_on: date
    description: str
    billing_account: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class BookFilter:
    """Which transactions are asked for: everything that is given holds. Days are `[first, end)`.

    `account` is an account of the books with everything below it: Income:Revenue has Income:Revenue:Usage. A
    transaction is found by one of its entries, and shown whole.
    """

    entity: str | None = None
    account: AccountName | None = None
    billing_account: int | None = None
    first: date | None = None
    end: date | None = None


Position: TypeAlias = tuple[date, int]
"""Where a page of transactions ended: they are in the order of their days, then of their numbers."""


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One movement of what a billing account owes, and what it owes after it; positive is owed by the customer."""

    number: int
    key: str
    posted_on: date
    description: str
    amount: Money
    balance: Money


@dataclass(frozen=True, slots=True)
class AgedReceivable:
    """What one billing account owes in one currency, by how long it is overdue on a day; minor units."""

    account: int
    currency: str
    not_due_minor: int
    days_30_minor: int
    days_60_minor: int
    days_90_minor: int
    older_minor: int

    @property
    def total_minor(self) -> int:
        """All that is due, overdue or not."""
        return (
            self.not_due_minor
            + self.days_30_minor
            + self.days_60_minor
            + self.days_90_minor
            + self.older_minor
        )


@dataclass(frozen=True, slots=True)
class SubledgerBalance:
    """An account of the books for one billing account: as it stands, or as its documents say. Debits are positive."""

    entity: str
    billing_account: int
    amount: Money


@dataclass(frozen=True, slots=True)
class Kept:
    """What an issuer keeps for one billing account in one currency, and what pays nothing yet: without what credit
    grants have set apart. One of them may be below zero, where money went back that the customer had been given.
    """

    entity: str
    unapplied: Money
    on_account: Money

    @property
    def total(self) -> Money:
        """What the customer has in all; below zero, it is missing."""
        return self.unapplied + self.on_account

    def free(self, name: AccountName) -> Money:
        """What may leave UNAPPLIED_CASH or MONEY_ON_ACCOUNT: what is there, and never more than the customer has."""
        there = {UNAPPLIED_CASH: self.unapplied, MONEY_ON_ACCOUNT: self.on_account}[name]
        return max(min(there, self.total), Money(0, there.currency))


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as it should be in the books: what was checked, of whom, and the two amounts."""

    check: str
    entity: str
    account: AccountName
    billing_account: int | None
    expected: Money
    found: Money
