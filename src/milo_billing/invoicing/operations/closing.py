"""The last invoice of an account that is being closed (domain.md §3, §7): everything up to the day of its issue.

Owns: what must have ended before. Not: how an invoice is issued (issuing), the account's phase (accounts).
"""

from datetime import datetime, timedelta
from typing import Final

from milo_billing.accounts import operations as accounts
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.types import Account
from milo_billing.commitments import operations as commitments
from milo_billing.commitments import reads as promises
from milo_billing.controlplane.work import Work
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine.sections import Stretch
from milo_billing.invoicing.operations import issuing
from milo_billing.invoicing.operations.office import Office, billing_profile
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.rules import closing
from milo_billing.invoicing.rules.periods import months_between, uncovered
from milo_billing.invoicing.store import invoice_rows
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import IssueOutcome, Skipped, Unchanged
from milo_billing.kernel.periods import Period, billing_month, local_day, local_midnight

_AHEAD_DAYS: Final = 62
"""So far ahead is looked for what would still fall due: the rest of the rating period, and the next one."""


def issue_final(work: Work, *, office: Office, number: int) -> IssueOutcome:
    """Issue the account's invoice of kind Final: all that no invoice covers yet, up to the account's last midnight.

    It has a stub of the running rating period, what the account's commitments settle as they were terminated, and
    what came late. In the caller's transaction, which `engine.commit` ends; again, it is unchanged. Where there is
    nothing to charge, no invoice is issued. What the account is by now is read here. Raises UnableToIssue with
    everything that has not ended yet, and AccountNotFound.
    """
    tx, now = work.tx, work.now
    account = accounts.hold_account(tx, number=number)
    if account.billing_mode == "Parent":
        return _end_with_payer(work, account=account)
    if below := accounts.list_invoiced_with(tx, account=account, since=now):
        raise UnableToIssue(closing.refused_by_sub_accounts(account.name, [one.name for one in below]))
    has_credit = issuing.lock_invoiced(tx, accounts_=[account.number])
    # no binding begins or ends until commit
    accounts.hold_fence(tx, exclusive=False)
    zone = account.time_zone
    until = local_midnight(local_day(now, zone=zone), zone=zone)
    profile = billing_profile(tx, office.vault, account)
    invoice_day = account.invoice_day if profile is None else profile.invoice_day
    wanted = _rating_periods(tx, account, invoice_day=invoice_day, until=until)
    standing, voided = (
        invoice_reads.list_standing_and_void(
            tx, account=account.number, within=Period(wanted[0].start, until)
        )
        if wanted
        else ((), ())
    )
    stretch = uncovered(wanted, invoiced=[one.period for one in standing])
    final = [one.invoice for one in standing if one.invoice.kind == "Final"]
    if final and not stretch:
        return Unchanged(final[-1])
    _assert_ended(tx, account, until=until, now=now)
    if not stretch:
        accounts.mark_final(tx, account=account.number, until=until)
        return Skipped("everything is invoiced")
    if stretch[-1].end != until:
        raise UnableToIssue(
            f"days before {stretch[-1].end:%Y-%m-%d} were not invoiced, though later ones were: run their months first"
        )
    outcome = issuing.issue_stretches(
        work,
        office,
        account=account,
        profile=profile,
        stretches=[Stretch(account, stretch)],
        invoice_day=invoice_day,
        has_credit=has_credit,
        voided=[one for one in voided if one.account == account.number],
        kind="Final",
    )
    accounts.mark_final(tx, account=account.number, until=until)
    return outcome


def _end_with_payer(work: Work, *, account: Account) -> IssueOutcome:
    """Tell that nothing is left of an account without invoices of its own, once those of its payer have its days."""
    tx = work.tx
    payer = accounts.get_invoiced(tx, account=account)
    invoice_rows.lock_account(tx, account=account.number)
    accounts.hold_fence(tx, exclusive=False)
    until = account_reads.find_closed_until(tx, account=account.number)
    ended_at = payer_reads.find_last_end(tx, account=account.number)
    if ended_at is not None and (until is None or until < ended_at):
        raise UnableToIssue(
            f'billing account "{account.name}" is invoiced with {payer.name}, and its days until '
            f"{local_day(ended_at, zone=account.time_zone)} are on no invoice yet: run their month first"
        )
    if until is not None:
        _assert_ended(tx, account, until=until, now=work.now)
        accounts.mark_final(tx, account=account.number, until=until)
    return Skipped(f"everything is on invoices of {payer.name}")


def _rating_periods(tx: Tx, account: Account, *, invoice_day: int, until: datetime) -> tuple[Period, ...]:
    """Those from where the account was invoiced, or began to pay, up to `until`, the last one cut there."""
    closed = account_reads.find_closed_until(tx, account=account.number)
    first = closed or payer_reads.find_first_start(tx, account=account.number)
    if first is None or first >= until:
        first = until - timedelta(days=1)
    zone = account.time_zone
    months = months_between(
        local_day(first, zone=zone), local_day(until - timedelta(days=1), zone=zone), invoice_day=invoice_day
    )
    found = [billing_month(year, month, zone=zone, invoice_day=invoice_day) for year, month in months]
    return tuple(Period(one.start, min(one.end, until)) for one in found if one.start < until)


def _assert_ended(tx: Tx, account: Account, *, until: datetime, now: datetime) -> None:
    """Raise UnableToIssue with everything that the account would still be charged for."""
    zone = account.time_zone
    day = local_day(until, zone=zone)
    bound = payer_reads.find_active_interval(tx, account=account.number)
    ahead = local_midnight(day + timedelta(days=_AHEAD_DAYS), zone=zone)
    invoice_day = account.invoice_day
    coming = [
        Period(max(one.start, until), one.end)
        for year, month in months_between(day, local_day(ahead, zone=zone), invoice_day=invoice_day)
        if (one := billing_month(year, month, zone=zone, invoice_day=invoice_day)).end > until
    ]
    composed = commitments.rate_periods(tx, account=account.number, periods=coming[:2], now=now)
    refused = closing.refusal(
        account=account.name,
        binding=None if bound is None else bound.binding_name,
        ended_at=payer_reads.find_last_end(tx, account=account.number),
        until=until,
        running=[
            one.name
            for one in promises.list_commitments(tx, account=account.number)
            if one.promise.ends_on is None
            or one.promise.ends_on + timedelta(days=one.promise.grace_days) > day
        ],
        coming=[
            (line.line.sku.display_name or line.line.sku.name, line.line.first_day)
            for one in composed
            for line in one.lines
        ],
    )
    if refused is not None:
        raise UnableToIssue(refused)
