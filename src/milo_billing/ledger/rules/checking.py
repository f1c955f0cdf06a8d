"""What the books should be, compared with what they are."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from milo_billing.kernel.money import Currency, Money
from milo_billing.ledger.rules.chart import chart_account
from milo_billing.ledger.types import (
    TRANSFERS,
    AccountName,
    Difference,
    SubledgerBalance,
    TrialBalanceRow,
)

_Whose: TypeAlias = tuple[str, int, Currency]


def compare(
    *, account: AccountName, expected: Iterable[SubledgerBalance], found: Iterable[SubledgerBalance]
) -> Iterator[Difference]:
    """Where one account of the books is not the sum of its documents; by entity, billing account and currency."""
    should, stands = _totals(expected), _totals(found)
    for whose in sorted(should.keys() | stands.keys()):
        entity, billing_account, currency = whose
        if should.get(whose, 0) != stands.get(whose, 0):
            yield Difference(
                check="documents",
                entity=entity,
                account=account,
                billing_account=billing_account,
                expected=Money(should.get(whose, 0), currency),
                found=Money(stands.get(whose, 0), currency),
            )


def check_trial_balance(rows: Iterable[TrialBalanceRow]) -> Iterator[Difference]:
    """Where debits are not credits, transfers do not meet, or an account stands in no chart."""
    rows = tuple(rows)
    totals: defaultdict[tuple[str, Currency], int] = defaultdict(int)
    for row in rows:
        totals[row.entity, row.balance.currency] += row.balance.minor
        if row.account == TRANSFERS and row.balance:
            yield _off("transfers", row.entity, row.account, row.balance)
        if chart_account(row.account) is None:
            yield _off("chart", row.entity, row.account, row.balance)
    for (entity, currency), minor in sorted(totals.items()):
        if minor:
            yield _off("trial balance", entity, AccountName("*"), Money(minor, currency))


def check_balanced(found: Iterable[SubledgerBalance]) -> Iterator[Difference]:
    """A difference for each transaction that is out of balance."""
    for one in found:
        zero = Money(0, one.amount.currency)
        yield Difference(
            "transaction", one.entity, AccountName("*"), one.billing_account, expected=zero, found=one.amount
        )


def _off(check: str, entity: str, account: AccountName, found: Money) -> Difference:
    return Difference(check, entity, account, None, expected=Money(0, found.currency), found=found)


def _totals(balances: Iterable[SubledgerBalance]) -> dict[_Whose, int]:
    totals: defaultdict[_Whose, int] = defaultdict(int)
    for one in balances:
        totals[one.entity, one.billing_account, one.amount.currency] += one.amount.minor
    return totals
