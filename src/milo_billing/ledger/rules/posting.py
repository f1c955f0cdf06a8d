"""What makes a transaction acceptable, and how entries are written."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from milo_billing.kernel.money import Currency, Money
from milo_billing.kernel.periods import next_month
from milo_billing.ledger.types import (
    RECEIVABLE,
    AccountName,
    Entry,
    LedgerTransaction,
    Posting,
    ServicePeriod,
    UnableToClose,
    UnableToPost,
)

_BEHIND_MAX: Final = timedelta(hours=12)
"""No zone is further behind UTC."""

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


def assert_over(month: date, *, now: datetime) -> None:
    """Raise UnableToClose unless the month that begins on this day is over in every zone of the earth."""
    if month.day != 1:
        raise UnableToClose(f"{month} is not the first day of a month")
    ended = datetime.combine(next_month(month), time(), tzinfo=UTC) + _BEHIND_MAX
    if now < ended:
        raise UnableToClose(
            f"{month:%Y-%m} is not over everywhere before {ended:%Y-%m-%d %H:%M} UTC: close it then, or one before it"
        )


def receivable_entries(lines: Sequence[Posting], *, currency: Currency) -> tuple[Entry, ...]:
    """Debit the receivable with the sum, credit each account of revenue, earned or deferred, per service period;
    negative lines the reverse.

    Lines of one account and period become one entry. Empty where every entry would be zero: there is nothing to post.
    """
    return against(lines, currency=currency, account=RECEIVABLE)


def against(lines: Sequence[Posting], *, currency: Currency, account: AccountName) -> tuple[Entry, ...]:
    """As `receivable_entries`, with another account debited."""
    earned: defaultdict[tuple[AccountName, ServicePeriod | None], int] = defaultdict(int)
    for credited, minor, service in lines:
        earned[credited, service] += minor
    credits = [
        Entry(credited, Money(-minor, currency), service)
        for (credited, service), minor in sorted(earned.items(), key=_by_account_and_days)
        if minor
    ]
    total = sum(earned.values())
    if total:
        return (Entry(account, Money(total, currency)), *credits)
    return tuple(credits)


def _by_account_and_days(
    line: tuple[tuple[AccountName, ServicePeriod | None], int],
) -> tuple[AccountName, ServicePeriod]:
    (account, service), _ = line
    return account, service or (date.min, date.min)


def mirrored(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The same entries with debits for credits: what takes a fact back."""
    return tuple(Entry(entry.account, -entry.amount, entry.service) for entry in entries)


def moved(amount: Money, *, debit: AccountName, credit: AccountName) -> tuple[Entry, ...]:
    """One amount from the credited account to the debited one; nothing where it is zero.

    Raises UnableToPost for a negative amount: a fact that goes back is mirrored, so that a sign lost on the way shows.
    """
    if amount.minor < 0:
        raise UnableToPost(
            f"{amount} from {credit} to {debit}: an amount is positive; mirror the entries instead"
        )
    if not amount:
        return ()
    return Entry(debit, amount), Entry(credit, -amount)
