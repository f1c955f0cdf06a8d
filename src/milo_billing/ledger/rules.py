"""What makes a transaction acceptable, and how a receivable is written. Pure."""

from collections import defaultdict
from collections.abc import Sequence

from milo_billing.kernel.money import Currency, Money
from milo_billing.ledger.types import (
    RECEIVABLE,
    AccountName,
    Entry,
    LedgerTransaction,
    Posting,
    ServicePeriod,
    UnableToPost,
)

ENTRIES_MAX = 32_767
"""Entries are numbered by a smallint."""


def assert_postable(transaction: LedgerTransaction) -> None:
    """Raise UnableToPost unless every currency balances and every entry carries an amount.

    The database says it again when the entries go in and once more at commit; here the message has the
    figures.
    """
    if not 2 <= len(transaction.entries) <= ENTRIES_MAX:
        raise UnableToPost(
            f"{transaction.key}: a transaction has 2 to {ENTRIES_MAX} entries, not {len(transaction.entries)}"
        )
    totals: defaultdict[Currency, int] = defaultdict(int)
    for line, entry in enumerate(transaction.entries, start=1):
        if not entry.amount:
            raise UnableToPost(f"{transaction.key}: entry {line} on {entry.account} has no amount")
        if entry.service is not None and entry.service[0] >= entry.service[1]:
            raise UnableToPost(
                f"{transaction.key}: entry {line} serves {entry.service[0]} to {entry.service[1]}"
            )
        totals[entry.amount.currency] += entry.amount.minor
    off = [str(Money(total, currency)) for currency, total in sorted(totals.items()) if total]
    if off:
        raise UnableToPost(
            f"{transaction.key} is out of balance by {', '.join(off)}: debits must equal credits"
        )


def receivable_entries(lines: Sequence[Posting], *, currency: Currency) -> tuple[Entry, ...]:
    """Debit the receivable with the sum, credit each account of revenue, earned or deferred, per service period;
    negative lines the reverse.

    Lines of one account and period become one entry. Empty where every entry would be zero: there is nothing to post.
    """
    earned: defaultdict[tuple[AccountName, ServicePeriod], int] = defaultdict(int)
    for account, minor, service in lines:
        earned[account, service] += minor
    credits = [
        Entry(account, Money(-minor, currency), service)
        for (account, service), minor in sorted(earned.items())
        if minor
    ]
    total = sum(earned.values())
    if total:
        return (Entry(RECEIVABLE, Money(total, currency)), *credits)
    return tuple(credits)
