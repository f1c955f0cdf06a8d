"""The facts that docs/accounting.md shows, made by the same verbs as the books, and the tables as the page has them."""

from collections.abc import Iterable
from datetime import date
from typing import Final

from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.rules.chart import CHART
from milo_billing.ledger.types import (
    EARLY_PAYMENT_DISCOUNT,
    MONEY_ON_ACCOUNT,
    PROMOTIONAL,
    RECEIVABLE,
    UNAPPLIED_CASH,
    Entry,
    cash,
    clearing,
    deferred,
    revenue,
    tax_payable,
)

OCTOBER: Final = (date(2026, 10, 1), date(2026, 11, 1))
YEAR: Final = (date(2026, 10, 1), date(2027, 10, 1))
STRIPE, BANK = clearing("stripe"), cash("3000")


def eur(text: str) -> Money:
    """An amount such as 119.00."""
    return Money(int(text.replace(".", "")), "EUR")


INVOICE: Final = ledger.invoiced(
    [(revenue("Usage"), 10_000, OCTOBER), (tax_payable("DE"), 1_900, None)], currency="EUR"
)
ACCRUAL: Final = ledger.accrued([(revenue("Usage"), 10_000, OCTOBER)], currency="EUR")
PAYMENT: Final = ledger.payment_received(eur("119.00"), into=STRIPE)

EARLY: Final = ledger.credit_noted(
    [(EARLY_PAYMENT_DISCOUNT, 200, None), (tax_payable("DE"), 38, None)], currency="EUR"
)
FACTS: Final[dict[str, tuple[Entry, ...]]] = {
    "An invoice is issued": INVOICE,
    "An invoice charges in advance": ledger.invoiced(
        [(deferred("Recurring"), 120_000, YEAR), (tax_payable("DE"), 22_800, None)], currency="EUR"
    ),
    "Usage is paid from a prepayment": ledger.invoiced(
        [(revenue("Usage"), 10_000, OCTOBER), (deferred("Prepayment"), -10_000, OCTOBER)], currency="EUR"
    ),
    "A commitment falls short": ledger.invoiced(
        [(revenue("Shortfall"), 5_000, (date(2026, 10, 31), date(2026, 11, 1)))], currency="EUR"
    ),
    "An invoice is void": ledger.taken_back(INVOICE),
    "A credit note for an open invoice": ledger.credit_noted(
        [(revenue("Usage"), 1_000, OCTOBER), (tax_payable("DE"), 190, None)], currency="EUR"
    ),
    "A credit note for a paid invoice": ledger.credit_noted(
        [(revenue("Usage"), 1_000, OCTOBER), (tax_payable("DE"), 190, None)],
        currency="EUR",
        into=MONEY_ON_ACCOUNT,
    ),
    "Goodwill": (
        *ledger.credit_noted(
            [(revenue("Usage"), 1_000, OCTOBER), (tax_payable("DE"), 190, None)], currency="EUR"
        ),
        *ledger.goodwill_given([(revenue("Usage"), 1_000, OCTOBER)], currency="EUR"),
    ),
    "Promotional credit is used": ledger.invoiced(
        [
            (revenue("Usage"), 10_000, OCTOBER),
            (PROMOTIONAL, -3_000, OCTOBER),
            (tax_payable("DE"), 1_330, None),
        ],
        currency="EUR",
    ),
    "A discount for early payment": EARLY,
    "A discount for early payment ends": ledger.taken_back(EARLY),
    "Interest for late payment": ledger.interest_charged(eur("0.53"), service=OCTOBER),
    "A payment comes in": PAYMENT,
    "A payment goes back": ledger.taken_back(PAYMENT),
    "A provider pays out": ledger.settled_to_cash(
        eur("119.00"), fee=eur("3.75"), provider="stripe", bank=BANK
    ),
    "A dispute is taken out of a payout": ledger.settled_to_cash(
        eur("-119.00"), fee=eur("15.00"), provider="stripe", bank=BANK
    ),
    "A refund": ledger.refunded(eur("11.90"), out_of=STRIPE, of=MONEY_ON_ACCOUNT),
    "Money goes back by bank transfer": ledger.refunded(
        eur("42.00"), out_of=clearing("transfers"), of=UNAPPLIED_CASH
    ),
    "The bank has paid it": ledger.settled_to_cash(
        eur("-42.00"), fee=eur("0.00"), provider="transfers", bank=BANK
    ),
    "A customer pays too much": (
        *ledger.payment_received(eur("119.00"), into=BANK),
        *ledger.put_on_account(eur("42.00"), into=BANK),
    ),
    "Money is put on account": ledger.put_on_account(eur("500.00"), into=BANK),
    "Money on account pays an invoice": ledger.used_from_account(eur("119.00")),
    "Money is set apart as prepaid credit": ledger.credit_granted(eur("500.00")),
    "Prepaid credit pays an invoice": ledger.credit_used(eur("119.00")),
    "Prepaid credit expires": ledger.credit_expired(
        eur("42.00"), service=(date(2026, 10, 31), date(2026, 11, 1))
    ),
    "The money of prepaid credit goes back": (
        *ledger.taken_back(ledger.credit_used(eur("12.00"))),
        *ledger.taken_back(ledger.credit_granted(eur("42.00"))),
        *ledger.taken_back(ledger.put_on_account(eur("42.00"), into=BANK)),
    ),
    "Money comes in, and nobody knows what for": ledger.received_unapplied(eur("42.00"), into=BANK),
    "Somebody knows": ledger.applied(eur("42.00")),
    "An invoice is written off": ledger.written_off(eur("119.00")),
    "What was written off is paid after all": (
        *ledger.recovered(eur("119.00")),
        *ledger.payment_received(eur("119.00"), into=BANK),
    ),
    "A month ends before its invoice": ACCRUAL,
    "The next month begins": ledger.taken_back(ACCRUAL),
    "A payment comes in another currency": ledger.exchanged(
        Money(12_900, "USD"), into=BANK, worth=eur("119.00")
    ),
    "The rate has moved since": ledger.fx_difference(eur("1.20")),
    "One account pays for another: the one that gives": ledger.sent_to_account(
        eur("119.00"), out_of=MONEY_ON_ACCOUNT
    ),
    "One account pays for another: the one that gets": ledger.got_from_account(
        eur("119.00"), into=RECEIVABLE
    ),
}
"""By the heading under which the page has them."""


def entries_table(entries: Iterable[Entry]) -> str:
    """Debits and credits as the page shows them, in Markdown."""
    lines = ["| account | debit | credit | earned |", "|---|---:|---:|---|"]
    for entry in entries:
        amount = f"{abs(entry.amount)}"
        sides = f"{amount} | " if entry.amount.minor > 0 else f" | {amount}"
        lines.append(" ".join(f"| `{entry.account}` | {sides} | {_days(entry)} |".split()))
    return "\n".join(lines)


def _days(entry: Entry) -> str:
    if entry.service is None:
        return ""
    start, end = entry.service
    last = date.fromordinal(end.toordinal() - 1)
    return f"{start}" if start == last else f"{start} to {last}"


def chart_table() -> str:
    """The chart of accounts as the page shows it, in Markdown."""
    lines = ["| account | what it is for |", "|---|---|"]
    for one in CHART:
        lines.append(f"| `{one.name}{':…' if one.per else ''}` | {one.about}{_per(one.per)} |")
    return "\n".join(lines)


def _per(per: str) -> str:
    return f" One for each {per}." if per else ""
