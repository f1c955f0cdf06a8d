"""The chart of accounts: every account of the books, what kind it is, and what it is for (domain.md §9).

An account whose name ends in `…` has one account below it for each kind, provider, bank or place.
"""

from dataclasses import dataclass
from typing import Final, cast

from milo_billing.ledger.types import (
    BAD_DEBT,
    BAD_DEBT_RECOVERY,
    CASH,
    CLEARING,
    CONVERSION,
    DEFERRED_REVENUE,
    EARLY_PAYMENT_DISCOUNT,
    FX_DIFFERENCE,
    GOODWILL,
    INTEREST,
    MONEY_ON_ACCOUNT,
    PARTNERS_PAYABLE,
    PAYMENT_FEES,
    PREPAID_CREDIT,
    PROMOTIONAL,
    RECEIVABLE,
    REVENUE,
    REVENUE_SHARE,
    TAX_PAYABLE,
    TRANSFERS,
    UNAPPLIED_CASH,
    UNBILLED,
    VENDORS_PAYABLE,
    AccountName,
    AccountType,
)


@dataclass(frozen=True, slots=True)
class ChartAccount:
    """One account of the chart. `per`: of what there is one account each below it; empty where there is none below."""

    name: AccountName
    about: str
    per: str = ""

    @property
    def type(self) -> AccountType:
        """Its type, which is the first part of the name."""
        return account_type(self.name)


CHART: Final = (
    ChartAccount(CASH, "Money in a bank account.", per="account at a bank"),
    ChartAccount(
        CLEARING,
        "Money that customers paid through a provider and that has not reached the bank yet.",
        per="provider",
    ),
    ChartAccount(RECEIVABLE, "What customers owe for issued invoices, tax included."),
    ChartAccount(
        UNBILLED, "The contract asset: what was earned until the end of a month and invoiced later."
    ),
    ChartAccount(
        TRANSFERS,
        "Where the two transactions of a fact across two billing accounts meet. Always zero in total.",
    ),
    ChartAccount(
        DEFERRED_REVENUE,
        "What was invoiced and is earned later.",
        per="kind of line, Recurring and Prepayment",
    ),
    ChartAccount(
        MONEY_ON_ACCOUNT,
        "Customers' money kept for invoices to come: what was paid too much, or a paid invoice gave back.",
    ),
    ChartAccount(PREPAID_CREDIT, "The part of it that was set apart as prepaid credit."),
    ChartAccount(UNAPPLIED_CASH, "Money received of which nobody has said yet what it is for."),
    ChartAccount(TAX_PAYABLE, "Tax on issued invoices that is handed on.", per="place whose tax it is"),
    ChartAccount(PARTNERS_PAYABLE, "Partners' shares that are not paid out yet."),
    ChartAccount(VENDORS_PAYABLE, "Vendors' shares that are not paid out yet."),
    ChartAccount(
        CONVERSION, "The two legs of an exchange of currencies, so that each currency balances by itself."
    ),
    ChartAccount(
        REVENUE,
        "What was earned.",
        per="kind of line, such as Usage or Shortfall, and Breakage",
    ),
    ChartAccount(PROMOTIONAL, "Revenue given up by promotional credit."),
    ChartAccount(GOODWILL, "Revenue given up by goodwill."),
    ChartAccount(EARLY_PAYMENT_DISCOUNT, "Revenue given up for payment before the due date."),
    ChartAccount(INTEREST, "Interest on what was paid late."),
    ChartAccount(BAD_DEBT_RECOVERY, "Payments for what had been written off."),
    ChartAccount(FX_DIFFERENCE, "Gains and losses because an exchange rate moved between two facts."),
    ChartAccount(BAD_DEBT, "What was written off."),
    ChartAccount(PAYMENT_FEES, "What providers keep of payments.", per="provider"),
    ChartAccount(REVENUE_SHARE, "What partners and vendors get of what was sold."),
)
"""In the order of a balance sheet and of a profit and loss account behind it."""


def account_type(name: AccountName) -> AccountType:
    """Assets, Liabilities, Equity, Income or Expenses."""
    return cast("AccountType", name.partition(":")[0])


def chart_account(name: AccountName) -> ChartAccount | None:
    """The account of the chart that this one is, or is below; None for a name that the chart does not have."""
    for account in CHART:
        if name == account.name if not account.per else name.startswith(f"{account.name}:"):
            return account
    return None
