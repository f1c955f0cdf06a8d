"""What accounts that are invoiced together have on one invoice, and what it comes to (domain.md §7).

Owns: joining their sections into the draft of who pays. Not: what each comes to (commitments, rerating), writing it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account, BillingProfile
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import giving_back, granting
from milo_billing.invoicing.engine.rerating import Late
from milo_billing.invoicing.engine.sections import Section
from milo_billing.invoicing.operations import writing
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.rules import adjusting, drafts, grants
from milo_billing.invoicing.rules.adjusting import Rerated
from milo_billing.invoicing.rules.grants import Reaching
from milo_billing.invoicing.rules.left import Given
from milo_billing.invoicing.types.drafts import Draft, InvoiceKind
from milo_billing.invoicing.types.invoices import IssuerVersion
from milo_billing.kernel.periods import Period, local_day


@dataclass(frozen=True, slots=True)
class Owed:
    """What is issued: the draft with credit and tax, its sections with the credit notes that give the rest back, and
    the credit by the lines that it reaches.
    """

    draft: Draft
    sections: tuple[Section, ...]
    credits: Sequence[Reaching]


def parted(tx: Tx, late: Late, *, payer: Account) -> tuple[Late, Mapping[int, Late]]:
    """What the payer's invoice takes up of what came late, and by number what is charged to other accounts: who was
    invoiced for the days is charged for what they came to since.

    Of days of a payer that was deleted since it is the present one who is charged: a receivable finds somebody.
    """
    others: dict[int, Late] = {}
    own: list[Rerated] = []
    for one in late.invoices:
        number = one.invoice.account
        if not one.lines or number == payer.number or _is_deleted(tx, number):
            own.append(one)
        else:
            found = others.get(number, Late(late.account, None, ()))
            others[number] = replace(found, invoices=(*found.invoices, one))
    return replace(late, invoices=tuple(own)), others


def _is_deleted(tx: Tx, number: int) -> bool:
    return account_reads.get_account(tx, number=number).deleted_at is not None


def section(account: Account, drafted: Draft, late: Late | None) -> Section:
    """The account's draft with what is charged in addition of earlier periods."""
    with_late = drafted if late is None else adjusting.with_adjustments(drafted, late.lines)
    return Section(account, with_late, late)


def combined(sections: Sequence[Section], *, payer: Account, kind: InvoiceKind) -> Draft:
    """The untaxed draft of the payer's invoice. Where it has nothing but what came late, these are its days.

    Raises UnableToIssue where the total does not fit in 64 bits.
    """
    parts = [one.draft for one in sections]
    lines = tuple(line for part in parts for line in part.lines)
    if kind != "Final" and lines and all(line.adjusts is not None for line in lines):
        originals = [one.invoice for part in sections if part.late is not None for one in part.late.charging]
        return replace(adjusting.draft_alone(originals, lines), account=payer.number)
    found = Draft(
        account=payer.number,
        kind=kind,
        period=Period(min(part.period.start for part in parts), max(part.period.end for part in parts)),
        currency=parts[0].currency,
        lines=lines,
        subtotal_minor=sum(part.subtotal_minor for part in parts),
        discounts_minor=sum(part.discounts_minor for part in parts),
        total_minor=sum(part.total_minor for part in parts),
    )
    drafts.assert_fits(found)
    return found


def owed(
    tx: Tx,
    office: Office,
    sections: Sequence[Section],
    credits: Sequence[Reaching],
    *,
    payer: Account,
    profile: BillingProfile,
    issuer: IssuerVersion,
    kind: InvoiceKind,
    now: datetime,
    given: Given,
) -> Owed:
    """The sections as they are issued, with promotional credit and their tax, at zero where they came to less; and what
    came late, with the credit notes that give the rest back. `given` are those that others are about to write. Raises
    UnableToIssue.
    """
    day = local_day(now, zone=issuer.body["timeZone"])

    def taxed(credited: Draft) -> Draft:
        return writing.taxed(tx, office.pen, credited, account=payer, profile=profile, issuer=issuer, day=day)

    def lifted(*, whole: bool) -> Owed:
        before = combined(sections, payer=payer, kind=kind)
        found = giving_back.lift(tx, sections, drafted=before, given=given, whole=whole)
        drafted = combined(found, payer=payer, kind=kind)
        # lines that were added to a section moved those of the next ones
        reaching = granting.reach(tx, [one.grant for one in credits], account=payer.number, draft=drafted)
        return Owed(grants.before_tax(drafted, reaching, issuer=issuer.name), found, reaching)

    found = lifted(whole=False)
    drafted = taxed(found.draft)
    if drafted.total_minor < 0:  # its tax did that: what is given back is taxed more than what is charged
        found = lifted(whole=True)
        drafted = taxed(found.draft)
    if drafted.total_minor < 0:  # or what prepaid money pays for is taxed less than it was
        credited, undrawn = giving_back.undraw(tx, found.draft, found.sections, taxed=drafted, given=given)
        found, drafted = replace(found, sections=undrawn), taxed(credited)
    return replace(found, draft=drafted)
