"""Accrue at a month's end what was earned and is not invoiced yet, one account a transaction (domain.md §9).

Two transactions of the books: the accrual on the last day of the month, and its release on the first day of the next.
So an invoice that comes later is posted as every other, and nothing has to be matched. Owns: what is unbilled. Not:
closing the month (ledger), which comes after.
"""

from datetime import date, datetime, timedelta
from typing import Literal

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account
from milo_billing.commitments import operations as commitments
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads import issuers as issuer_reads
from milo_billing.invoicing.rules import drafts, postings, unbilled
from milo_billing.kernel.periods import add_months, local_day, next_month
from milo_billing.ledger import operations as ledger
from milo_billing.ledger import reads as books
from milo_billing.ledger.types import LedgerTransaction, Posting

AccrualOutcome = Literal["posted", "unchanged", "nothing"]


class MonthEndAccruals:
    """`ledger.ports.Accruals`, from rated usage and issued invoices."""

    def list_accounts(self, tx: Tx, *, after: int, limit: int) -> tuple[int, ...]:
        """Numbers of accounts behind `after`, deleted ones included, in order."""
        return account_reads.list_numbers(tx, after=after, limit=limit)

    def accrue(self, tx: Tx, *, entity: str, month: date, account: int, now: datetime) -> AccrualOutcome:
        """Post what the account owes for the month and has on no invoice that was posted in it, and its release.

        Once: doing it again changes nothing. What is not invoiced at all is accrued in the books of the default issuer,
        who would invoice it. Raises UnableToPost where the month is closed, UnableToIssue where usage has no price.
        """
        if books.is_posted(tx, key=_key(entity, month, account)):
            return "unchanged"
        found = account_reads.get_account(tx, number=account)
        until = next_month(month)
        lines = list(
            unbilled.earned_before(
                books.list_revenue_after(tx, entity=entity, billing_account=account, day=until), until=until
            )
        )
        issuer = issuer_reads.find_default_issuer(tx)
        if issuer is not None and issuer.name == entity:
            lines += unbilled.earned_before(_not_invoiced(tx, found, until=until, now=now), until=until)
        entries = ledger.accrued(lines, currency=found.currency)
        if not entries:
            return "nothing"
        key = _key(entity, month, account)
        for suffix, day, posted in (
            ("", until - timedelta(days=1), entries),
            ("/release", until, ledger.taken_back(entries)),
        ):
            transaction = LedgerTransaction(
                id=new_uid(),
                key=key + suffix,
                entity=entity,
                posted_on=day,
                description=f"{'Release of u' if suffix else 'U'}nbilled revenue of {month:%Y-%m}",
                billing_account=account,
                owner_org=found.owner_org,
                entries=posted,
            )
            ledger.post(tx, transaction=transaction, now=now)
        return "posted"


def _not_invoiced(tx: Tx, account: Account, *, until: date, now: datetime) -> tuple[Posting, ...]:
    """What the account would be invoiced for until the day, from where its last invoice ended."""
    billed = account_reads.find_billed_until(tx, account=account.number)
    first = (
        add_months(until, -unbilled.REACH_MONTHS)
        if billed is None
        else local_day(billed, zone=account.time_zone)
    )
    stretch = unbilled.stretch(
        first=first, until=until, zone=account.time_zone, invoice_day=account.invoice_day
    )
    if not stretch:
        return ()
    composed = commitments.rate_periods(tx, account=account.number, periods=stretch, now=now)
    return postings.postings(drafts.draft(composed))


def _key(entity: str, month: date, account: int) -> str:
    return f"accrual/{entity}/{month:%Y-%m}/{account}"
