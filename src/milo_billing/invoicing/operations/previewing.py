"""An account's invoice as it stands now, before it is one (domain.md §7). Nothing is written here."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from milo_billing.accounts import operations as accounts
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import tree as tree_reads
from milo_billing.accounts.types import Account, BillingProfile
from milo_billing.commitments import operations as commitments
from milo_billing.commitments.types import ComposedPeriod
from milo_billing.directory import reads as directory
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import granting, rerating
from milo_billing.invoicing.engine.left import NONE_GIVEN
from milo_billing.invoicing.engine.rerating import Late
from milo_billing.invoicing.engine.sections import Section, Stretch
from milo_billing.invoicing.operations import consolidating, writing
from milo_billing.invoicing.operations.consolidating import Owed
from milo_billing.invoicing.operations.office import UNISSUED, Office, billing_profile
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import issuers as issuer_reads
from milo_billing.invoicing.rules import drafts, grants, periods
from milo_billing.invoicing.rules.left import Given
from milo_billing.invoicing.types.drafts import Draft, InvoiceKind
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Invoice, IssuerVersion, Preview
from milo_billing.kernel.errors import BadRequest
from milo_billing.kernel.periods import Period, local_day


def preview(
    tx: Tx, *, office: Office, account: Account, month: tuple[int, int] | None, now: datetime
) -> Preview:
    """The account's invoice that holds this month, or the running one, as it stands now; nothing is written.

    From the same functions as the invoice, so that at the end of the period it is the invoice. Of an account that is
    invoiced with another one it is its section there, before tax. Rating periods that have not begun are left out.
    Raises BadRequest where none has.
    """
    profile = billing_profile(tx, office.vault, account)
    begun = _begun(account, profile, month=month, now=now)
    payer = accounts.get_invoiced(tx, account=account)
    stretches, standing, covered = _stretches(tx, account, begun)
    composed = {
        one.account.number: commitments.rate_periods(
            tx, account=one.account.number, periods=one.periods, now=now, payer=one.account
        )
        for one in stretches
    }
    lates, unknown = _lates(tx, () if covered else stretches, payer=payer, now=now)
    untaxed = (
        unknown if payer == account else f"it is a section of the invoice of {payer.name}, taxed as a whole"
    )
    kind: InvoiceKind = "Periodic" if len(stretches) == 1 and payer == account else "Consolidated"
    sections = [
        consolidating.section(
            one.account,
            drafts.provisional(composed[one.account.number], kind=kind),
            lates.get(one.account.number),
        )
        for one in stretches
    ]
    owed, refused = _owed(
        tx, office, sections, payer=payer, account=account, profile=profile, kind=kind, now=now
    )
    issuer = issuer_reads.find_default_issuer(tx)
    plan = grants.settling(owed.draft, owed.credits, issuer="" if issuer is None else issuer.name)
    every = tuple(one for periods_ in composed.values() for one in periods_)
    given_back = tuple(pair for one in owed.sections if one.late is not None for pair in one.late.given_back)
    return Preview(
        draft=owed.draft,
        periods=every,
        closed=all(period.closed for period in every),
        invoices=standing,
        books=writing.book_versions(tx, owed.draft, known=office.books),
        projects=_projects(tx, owed.draft, every),
        untaxed=untaxed or refused,
        goodwill_minor=plan.goodwill_minor,
        prepaid_minor=plan.prepaid_minor,
        given_back=given_back,
        accounts={one.account.number: one.account.name for one in sections if one.account != account},
        invoiced_with=None if payer == account else payer.name,
    )


def _begun(
    account: Account, profile: BillingProfile | None, *, month: tuple[int, int] | None, now: datetime
) -> Sequence[Period]:
    invoice_day = account.invoice_day if profile is None else profile.invoice_day
    year, number = month or periods.running_month(
        local_day(now, zone=account.time_zone), invoice_day=invoice_day
    )
    wanted = periods.invoice_holding(
        year,
        number,
        frequency="Monthly" if profile is None else profile.invoice_frequency,
        zone=account.time_zone,
        invoice_day=invoice_day,
    )
    begun = [period for period in wanted if period.start <= now]
    if not begun:
        raise BadRequest(f"the invoice of {year}-{number:02} has not begun: nothing can be said of it yet")
    return begun


def _stretches(
    tx: Tx, account: Account, begun: Sequence[Period]
) -> tuple[list[Stretch], tuple[Invoice, ...], bool]:
    """What the invoice would have of which account; the invoices that stand for these days; and whether they cover all
    of them: then it is what they would be now.
    """
    members = [account]
    if account.billing_mode == "Self" and account.consolidates:
        numbers = tree_reads.list_invoiced_with(tx, account=account.number, since=begun[0].start)
        members += [account_reads.get_account(tx, number=number) for number in numbers]
    within = Period(begun[0].start, begun[-1].end)
    left: list[Stretch] = []
    standing: dict[str, Invoice] = {}
    for member in members:
        covering = invoice_reads.list_periodic(tx, account=member.number, within=within)
        standing |= {one.invoice.number: one.invoice for one in covering}
        uncovered = periods.uncovered(begun, invoiced=[one.period for one in covering])
        if uncovered:
            left.append(Stretch(member, uncovered))
    invoices = tuple(standing.values())
    if left:
        return left, invoices, False
    return [Stretch(member, tuple(begun)) for member in members], invoices, True


def _lates(
    tx: Tx, stretches: Iterable[Stretch], *, payer: Account, now: datetime
) -> tuple[dict[int, Late], str | None]:
    """What came late of each account, by its number; and why that of one, and of all after it, is not known."""
    lates: dict[int, Late] = {}
    given: Given = NONE_GIVEN
    try:
        for one in stretches:
            own = Period(one.periods[0].start, one.periods[-1].end)
            late = rerating.find_late(tx, account=one.account, but=own, now=now, given=given)
            if late is not None:
                given = rerating.given_of([late], given=given)
                lates[one.account.number], _ = consolidating.parted(tx, late, payer=payer)
    except UnableToIssue as error:
        return lates, str(error)
    return lates, None


def _owed(
    tx: Tx,
    office: Office,
    sections: Sequence[Section],
    *,
    payer: Account,
    account: Account,
    profile: BillingProfile | None,
    kind: InvoiceKind,
    now: datetime,
) -> tuple[Owed, str | None]:
    """What would be issued, or what it comes to before tax, and why nobody could issue it."""
    drafted = consolidating.combined(sections, payer=payer, kind=kind)
    # it could not be issued before its period is over
    at = max(now, drafted.period.end)
    credits = granting.reaching(tx, account=payer.number, draft=drafted, at=at)
    if payer != account:
        # what lies with the payer acts on the whole invoice, not on this section of it
        credits = tuple(one for one in credits if one.grant.account == account.number)
    issuer: IssuerVersion | None = issuer_reads.find_default_issuer(tx)
    untaxed = Owed(
        grants.before_tax(drafted, credits, issuer="" if issuer is None else issuer.name),
        tuple(sections),
        credits,
    )
    if payer != account:
        return untaxed, None
    if issuer is None:
        return untaxed, UNISSUED
    if profile is None:
        return untaxed, "the account was deleted"
    try:
        return (
            consolidating.owed(
                tx,
                office,
                sections,
                credits,
                payer=payer,
                profile=profile,
                issuer=issuer,
                kind=kind,
                now=now,
                given=NONE_GIVEN,
            ),
            None,
        )
    except UnableToIssue as error:
        return untaxed, str(error)


def _projects(tx: Tx, drafted: Draft, composed: Sequence[ComposedPeriod]) -> dict[int, str]:
    used = {share.project for line in drafted.lines for share in line.shares}
    used |= {one.project for period in composed for one in period.unpriced}
    numbers = {project for project in used if project is not None}
    return {one.number: one.name for one in directory.list_projects(tx, numbers=numbers)}
