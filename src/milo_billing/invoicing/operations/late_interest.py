"""Charge interest on what is paid late, month by month, and give back what turns out not to be owed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from milo_billing.accounts.types import Account
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import crediting, publishing, settling
from milo_billing.invoicing.engine.crediting import Wanted
from milo_billing.invoicing.operations import issuing
from milo_billing.invoicing.operations.office import Office, billing_profile
from milo_billing.invoicing.reads import interest as interest_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.rules import interest_accruals, late_interest
from milo_billing.invoicing.rules.crediting import LineCredit
from milo_billing.invoicing.rules.interest_accruals import Accrual
from milo_billing.invoicing.rules.late_interest import Owed, TooMuch
from milo_billing.invoicing.rules.tax_treatments import UNTAXED
from milo_billing.invoicing.store import invoice_rows, settlement_rows
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.money import Money
from milo_billing.kernel.periods import Period, local_midnight

INVOICES_MAX: Final = 1000
"""Overdue invoices of one account, looked at in one go; more wait for the next."""

_REVERSED: Final = "Interest on invoice {number}: less was overdue"


@dataclass(frozen=True, slots=True)
class InterestOutcome:
    """`charged` are the invoices that were issued over interest; `given_back` overdue invoices that came to less."""

    charged: tuple[Invoice, ...]
    given_back: tuple[UUID, ...]


def list_accruals(
    tx: Tx, *, account: int | None, after: UUID, now: datetime, limit: int
) -> tuple[Accrual, ...]:
    """Interest on overdue invoices as of today, where each was issued: of one account, or of all within reach.

    In the order of uids, behind `after`. By the same rules as it is charged, so whole months come to what is invoiced.
    """
    found: list[Accrual] = []
    for uid in interest_reads.list_accruing(tx, account=account, after=after, now=now, limit=limit):
        today = invoice_reads.get_issuer_day(tx, invoice=uid, now=now)
        found.append(
            interest_accruals.accrue(
                invoice_reads.get_invoice_by_uid(tx, uid=uid),
                interest_reads.list_settlings(tx, invoice=uid),
                charged=interest_reads.get_charged(tx, invoice=uid),
                today=today,
                month=today.replace(day=1),
            )
        )
    return tuple(found)


def list_open(tx: Tx, *, account: int, now: datetime) -> tuple[Money, ...]:
    """Interest on the account's invoices up to and with today that none charges, by currency; nothing that is zero.

    Today counts, since what is paid today still bears interest for it.
    """
    open_minor: dict[str, int] = {}
    after, tomorrow = UUID(int=0), now + timedelta(days=1)
    while found := list_accruals(tx, account=account, after=after, now=tomorrow, limit=INVOICES_MAX):
        for one in found:
            currency = one.invoice.currency
            more_minor = max(0, one.accrued_minor - one.charged.amount_minor)
            open_minor[currency] = open_minor.get(currency, 0) + more_minor
        after = found[-1].invoice.uid
    return tuple(Money(minor, currency) for currency, minor in sorted(open_minor.items()) if minor)


def charge_interest(work: Work, *, office: Office, account: Account) -> InterestOutcome:
    """Invoice the account's interest on what was overdue until the month began, where it was issued; once for each day.

    An invoice of its own, of kind OneTime: a periodic one is what usage and declarations say, and is computed again at
    any time. It is untaxed, and bears no interest itself. What was charged and is not owed, because an invoice became
    void, was credited, or had been paid earlier than was known, is given back by a credit note. Nothing is charged to
    an account that was deleted. All in the caller's transaction, which `engine.commit` ends.
    """
    tx = work.tx
    invoice_rows.lock_account(tx, account=account.number)
    owed: dict[str, list[tuple[Invoice, Owed]]] = {}
    given_back: list[UUID] = []
    for uid in interest_reads.list_bearing(tx, account=account.number, now=work.now, limit=INVOICES_MAX):
        invoice = settling.lock(work, office.engine, invoice=uid)
        until = invoice_reads.get_issuer_day(tx, invoice=uid, now=work.now).replace(day=1)
        found = late_interest.decide(
            invoice,
            interest_reads.list_settlings(tx, invoice=uid),
            charged=interest_reads.get_charged(tx, invoice=uid),
            until=until,
        )
        if isinstance(found, Owed):
            owed.setdefault(invoice.issuer, []).append((invoice, found))
        elif isinstance(found, TooMuch) and _give_back(work, office, invoice, found):
            given_back.append(uid)
    charged = tuple(_charge(work, office, account, pairs) for pairs in owed.values())
    return InterestOutcome(tuple(one for one in charged if one is not None), tuple(given_back))


def _charge(
    work: Work, office: Office, account: Account, owed: Sequence[tuple[Invoice, Owed]]
) -> Invoice | None:
    """The one-time invoice of one issuer over these; None for a deleted account, which nobody can address."""
    tx = work.tx
    profile = billing_profile(tx, office.vault, account)
    if profile is None:
        return None
    issuer, _ = note_reads.find_issuer_of(tx, invoice=owed[0][0].uid)
    lines = [one for _, one in owed]
    drafted = late_interest.draft(
        lines,
        account=account.number,
        currency=owed[0][0].currency,
        period=_period(lines, zone=account.time_zone),
        untaxed=UNTAXED,
    )
    charged = issuing.issue_draft(work, office, drafted, account=account, profile=profile, issuer=issuer)
    settlement_rows.insert_interest(tx, lines, charged_on=charged)
    return charged


def _period(owed: Sequence[Owed], *, zone: str) -> Period:
    first: date = min(one.first_day for one in owed)
    end: date = max(one.end for one in owed)
    return Period(local_midnight(first, zone=zone), local_midnight(end, zone=zone))


def _give_back(work: Work, office: Office, invoice: Invoice, found: TooMuch) -> bool:
    """Credit what was charged too much, the newest charge first; False where staff had given all of it back before."""
    left_minor = found.amount_minor
    for charging, line in interest_reads.list_charging(work.tx, invoice=invoice.uid):
        rest_minor = _left_of(work.tx, invoice=charging, line=line)
        part_minor = min(left_minor, rest_minor)
        if part_minor <= 0:
            continue
        settling.lock(work, office.engine, invoice=charging)
        wanted = Wanted(
            new_uid(),
            invoice.namespace,
            "",
            charging,
            (LineCredit(line, part_minor),),
            None,
            _REVERSED.format(number=invoice.number),
        )
        note = crediting.issue(work.tx, wanted, now=work.now)
        publishing.publish_note(work, office.engine, note, verb="issue")
        credited = invoice_reads.lock_invoice(work.tx, uid=charging)
        publishing.publish(work, office.engine, credited, verb="settle")
        settlement_rows.insert_reversal(
            work.tx, invoice=invoice, credit_note=note.uid, amount_minor=part_minor
        )
        left_minor -= part_minor
    return left_minor < found.amount_minor


def _left_of(tx: Tx, *, invoice: UUID, line: int) -> int:
    credited: Mapping[int, int] = note_reads.list_credited(tx, invoice=invoice)
    return interest_reads.get_line_minor(tx, invoice=invoice, line=line) - credited.get(line, 0)
