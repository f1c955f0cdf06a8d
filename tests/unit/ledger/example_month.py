"""The month that docs/accounting.md books as an example, made by the same verbs as the books: the one of the tutorial.

Its trial balance is what docs/tutorial-first-month.md prints, so two ways to the same numbers meet in a test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import (
    MONEY_ON_ACCOUNT,
    AccountName,
    Entry,
    cash,
    revenue,
    tax_payable,
)

OCTOBER: Final = (date(2026, 10, 1), date(2026, 11, 1))
BANK: Final = cash("6199")
USAGE: Final = revenue("Usage")
VAT: Final = tax_payable("DE")


@dataclass(frozen=True, slots=True)
class Fact:
    """What was posted on a day; `letter` names it in the T-accounts."""

    letter: str
    day: date
    what: str
    entries: tuple[Entry, ...]


def _eur(text: str) -> Money:
    return Money(int(text.replace(".", "")), "EUR")


_PAPIERWERK = ledger.accrued([(USAGE, 6_175, OCTOBER)], currency="EUR")
_ATELIER = ledger.accrued([(USAGE, 11_190, OCTOBER)], currency="EUR")

MONTH: Final[tuple[Fact, ...]] = (
    Fact("a", date(2026, 10, 31), "Accrual, Papierwerk", _PAPIERWERK),
    Fact("b", date(2026, 10, 31), "Accrual, Atelier Nord", _ATELIER),
    Fact("c", date(2026, 11, 1), "Release of a", ledger.taken_back(_PAPIERWERK)),
    Fact("d", date(2026, 11, 1), "Release of b", ledger.taken_back(_ATELIER)),
    Fact(
        "e",
        date(2026, 11, 1),
        "Invoice LT-2026-000001, Papierwerk",
        ledger.invoiced([(USAGE, 7_175, OCTOBER), (VAT, 1_363, None)], currency="EUR"),
    ),
    Fact(
        "f",
        date(2026, 11, 1),
        "Invoice LT-2026-000002, Atelier Nord",
        ledger.invoiced([(USAGE, 11_190, OCTOBER)], currency="EUR"),
    ),
    Fact(
        "g", date(2026, 11, 17), "Transfer of Papierwerk", ledger.payment_received(_eur("85.38"), into=BANK)
    ),
    Fact(
        "h", date(2026, 11, 18), "Transfer of Atelier Nord", ledger.payment_received(_eur("60.00"), into=BANK)
    ),
    Fact(
        "i",
        date(2026, 11, 19),
        "Transfer that names nothing",
        ledger.received_unapplied(_eur("42.00"), into=BANK),
    ),
    Fact(
        "j",
        date(2026, 11, 20),
        "Credit note LTC-2026-000001, Papierwerk",
        ledger.credit_noted(
            [(USAGE, 1_000, OCTOBER), (VAT, 190, None)], currency="EUR", into=MONEY_ON_ACCOUNT
        ),
    ),
)


def accounts() -> list[AccountName]:
    """Every account of the month, by name."""
    return sorted({entry.account for fact in MONTH for entry in fact.entries})


def journal_table() -> str:
    """The facts, each with its entries, as the page shows them."""
    lines = ["| | day | fact | debit | credit | EUR |", "|---|---|---|---|---|---:|"]
    for fact in MONTH:
        head = [fact.letter, str(fact.day), fact.what]
        for entry in sorted(fact.entries, key=lambda one: one.amount.minor < 0):
            sides = [f"`{entry.account}`", ""] if entry.amount.minor > 0 else ["", f"`{entry.account}`"]
            lines.append(_row([*head, *sides, _amount(abs(entry.amount.minor))]))
            head = ["", "", ""]
    return "\n".join(lines)


def t_account(account: AccountName) -> str:
    """The two sides of an account with its balance, as the page shows them."""
    debits, credits = _side(account, sign=1), _side(account, sign=-1)
    balance = sum(minor for _, minor in debits) - sum(minor for _, minor in credits)
    if balance:  # a T-account is closed on its smaller side
        (credits if balance > 0 else debits).append(("balance", abs(balance)))
    total = sum(minor for _, minor in debits)
    lines = [f"| `{account}` | debit | | credit |", "|---|---:|---|---:|"]
    for row in range(max(len(debits), len(credits))):
        cells: list[str] = []
        for side in (debits, credits):
            letter, amount = side[row] if row < len(side) else ("", None)
            cells += [letter, "" if amount is None else _amount(amount)]
        lines.append(_row(cells))
    lines.append(_row(["", f"**{_amount(total)}**", "", f"**{_amount(total)}**"]))
    return "\n".join(lines)


def trial_balance(*, until: date) -> dict[str, tuple[str, str, str]]:
    """Account → debits, credits and balance of what was posted up to this day, and `Total`."""
    found: dict[str, tuple[str, str, str]] = {}
    totals = [0, 0]
    for account in accounts():
        minors = [minor for _, minor in _posted(account, until=until)]
        if minors:
            sides = [sum(one for one in minors if one > 0), -sum(one for one in minors if one < 0)]
            totals = [totals[0] + sides[0], totals[1] + sides[1]]
            found[account] = (_amount(sides[0]), _amount(sides[1]), _amount(sides[0] - sides[1]))
    found["Total"] = (_amount(totals[0]), _amount(totals[1]), _amount(totals[0] - totals[1]))
    return found


def _side(account: AccountName, *, sign: int) -> list[tuple[str, int]]:
    return [(letter, abs(minor)) for letter, minor in _posted(account, until=date.max) if minor * sign > 0]


def _posted(account: AccountName, *, until: date) -> list[tuple[str, int]]:
    return [
        (fact.letter, entry.amount.minor)
        for fact in MONTH
        if fact.day <= until
        for entry in fact.entries
        if entry.account == account
    ]


def _row(cells: Sequence[str]) -> str:
    return " ".join(f"| {' | '.join(cells)} |".split())


def _amount(minor: int) -> str:
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100}.{abs(minor) % 100:02}"
