"""Draft, preview and issue: from rated usage to an invoice that never changes again (domain.md §7)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from milo_billing.accounts import operations as accounts
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account, BillingProfile
from milo_billing.commitments import operations as commitments
from milo_billing.controlplane.work import Work
from milo_billing.directory import reads as directory
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import giving_back, granting, rerating
from milo_billing.invoicing.engine.publishing import publish
from milo_billing.invoicing.engine.rerating import Late
from milo_billing.invoicing.operations import adjusting as adjustments
from milo_billing.invoicing.operations import writing
from milo_billing.invoicing.operations.office import UNISSUED, Office, billing_profile
from milo_billing.invoicing.reads import adjustments as adjustment_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import issuers as issuer_reads
from milo_billing.invoicing.rules import (
    adjusting,
    drafts,
    grants,
    issuing,
    periods,
    postings,
)
from milo_billing.invoicing.rules.adjusting import Adjusted
from milo_billing.invoicing.rules.grants import Reaching
from milo_billing.invoicing.store import invoice_rows
from milo_billing.invoicing.types.drafts import Draft, InvoiceKind
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import (
    Invoice,
    Issued,
    IssueOutcome,
    IssuerVersion,
    Preview,
    Skipped,
    Unchanged,
)
from milo_billing.kernel.errors import BadRequest
from milo_billing.kernel.periods import Period, local_day


def draft(
    tx: Tx,
    *,
    account: Account,
    stretch: Sequence[Period],
    now: datetime,
    kind: InvoiceKind = "Periodic",
) -> Draft:
    """What the account owes for consecutive rating periods, as it stands now; nothing is written.

    With everything that was promised, and every discount; before tax. Raises UnableToIssue where usage has no price.
    """
    return drafts.draft(
        commitments.rate_periods(tx, account=account.number, periods=stretch, now=now, payer=account),
        kind=kind,
    )


def preview(
    tx: Tx, *, office: Office, account: Account, month: tuple[int, int] | None, now: datetime
) -> Preview:
    """The account's invoice that holds this month, or the running one, as it stands now; nothing is written.

    From the same functions as the invoice, so that at the end of the period it is the invoice. Rating periods that
    have not begun are left out. Raises BadRequest where none has.
    """
    profile = billing_profile(tx, office.vault, account)
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
    standing = invoice_reads.list_periodic(
        tx, account=account.number, within=Period(begun[0].start, begun[-1].end)
    )
    left = periods.uncovered(begun, invoiced=[one.period for one in standing])
    stretch = left or tuple(begun)
    composed = commitments.rate_periods(tx, account=account.number, periods=stretch, now=now, payer=account)
    late: Late | None = None
    untaxed: str | None = None
    try:
        if left:
            late = rerating.find_late(tx, account=account, before=stretch[0].start, now=now)
    except UnableToIssue as error:
        untaxed = str(error)
    drafted = _with_late(drafts.provisional(composed), late)
    # it could not be issued before its period is over
    credits = granting.reaching(tx, account=account.number, draft=drafted, at=max(now, drafted.period.end))
    issuer = issuer_reads.find_default_issuer(tx)
    try:
        if issuer is None or profile is None:
            raise UnableToIssue(UNISSUED if issuer is None else "the account was deleted")
        owed, late = _owed(
            tx, office, drafted, late, credits, account=account, profile=profile, issuer=issuer, now=now
        )
    except UnableToIssue as error:
        owed, untaxed = (
            grants.before_tax(drafted, credits, issuer="" if issuer is None else issuer.name),
            untaxed or str(error),
        )
    plan = grants.settling(owed, credits, issuer="" if issuer is None else issuer.name)
    used = {share.project for line in owed.lines for share in line.shares}
    used |= {one.project for period in composed for one in period.unpriced}
    numbers = {project for project in used if project is not None}
    return Preview(
        draft=owed,
        periods=composed,
        closed=all(period.closed for period in composed),
        invoices=standing,
        books=writing.book_versions(tx, owed, known=office.books),
        projects={one.number: one.name for one in directory.list_projects(tx, numbers=numbers)},
        untaxed=untaxed,
        goodwill_minor=plan.goodwill_minor,
        prepaid_minor=plan.prepaid_minor,
        given_back=() if late is None else late.given_back,
    )


def issue_month(work: Work, *, office: Office, account: Account, year: int, month: int) -> IssueOutcome:
    """Issue the account's invoice that ends with the rating period of this month, and post its receivable.

    All in the caller's transaction, which `engine.commit` ends. Issuing again gives the same invoice. Raises
    UnableToIssue while the period runs, where usage has no price, where nobody is declared to issue, and for an
    account that was deleted before its usage was invoiced; the message says what to do.
    """
    tx, now = work.tx, work.now
    has_credit = invoice_rows.lock_account(tx, account=account.number)
    profile = billing_profile(tx, office.vault, account)
    frequency, invoice_day = (
        ("Monthly", 1) if profile is None else (profile.invoice_frequency, profile.invoice_day)
    )
    wanted = periods.rating_periods(
        year, month, frequency=frequency, zone=account.time_zone, invoice_day=invoice_day
    )
    if not wanted:
        return Skipped(f"invoices come {frequency.lower()}, and none ends with this month")
    standing, voided = invoice_reads.list_standing_and_void(
        tx, account=account.number, within=Period(wanted[0].start, wanted[-1].end)
    )
    stretch = periods.uncovered(wanted, invoiced=[invoice.period for invoice in standing])
    if not stretch:
        return Unchanged(standing[-1])
    issuing.assert_closed(stretch[-1], now=now)
    return issue_stretch(
        work,
        office,
        account=account,
        profile=profile,
        stretch=stretch,
        invoice_day=invoice_day,
        has_credit=has_credit,
        voided=voided,
    )


def issue_stretch(
    work: Work,
    office: Office,
    *,
    account: Account,
    profile: BillingProfile | None,
    stretch: Sequence[Period],
    invoice_day: int,
    has_credit: bool,
    voided: Sequence[Invoice] = (),
    kind: InvoiceKind = "Periodic",
) -> Issued | Skipped:
    """Issue the account's invoice over consecutive rating periods that are over and that no other covers.

    The account is locked by the caller. Raises UnableToIssue.
    """
    tx, now = work.tx, work.now
    # from here until commit no payer changes: a binding is not backdated into what is being invoiced
    accounts.hold_fence(tx, exclusive=False)
    # and no usage comes in that the draft might miss without knowing that it came after an invoice
    accounts.hold_billing(tx, account=account.number)
    late = rerating.find_late(tx, account=account, before=stretch[0].start, now=now)
    drafted = draft(tx, account=account, stretch=stretch, now=now, kind=kind)
    if late is not None and late.missed:
        _issue_missed(work, office, late, account=account)
        late = rerating.find_late(tx, account=account, before=stretch[0].start, now=now)
    drafted = _with_late(drafted, late)
    credits = _lock_credit(work, office, drafted, account=account) if has_credit else ()
    # what comes to nothing because it was prepaid is issued: the books move from deferred to earned
    moves = postings.postings(drafted) or (late is not None and late.lines)
    if not moves and not (profile is not None and profile.zero_invoices):
        if late is not None:
            adjustments.note_late(work, office, late, account=account.number, carrier=None)
        accounts.mark_closed(tx, account=account.number, until=drafted.period.end)
        return Skipped("nothing to charge")
    if profile is None:
        raise UnableToIssue(
            f"{account.namespace}/{account.name} was deleted before {drafted.total} of usage was invoiced: "
            "nobody is left to address the invoice to"
        )
    issuer = issuer_reads.find_default_issuer(tx)
    if issuer is None:
        raise UnableToIssue(UNISSUED)
    owed, late = _owed(
        tx, office, drafted, late, credits, account=account, profile=profile, issuer=issuer, now=now
    )
    invoice = issue_draft(
        work,
        office,
        owed,
        account=account,
        profile=profile,
        issuer=issuer,
        rated=adjustment_reads.frozen_body(stretch, invoice_day=invoice_day),
        credits=credits,
        voided=voided,
    )
    if late is not None:
        adjustments.note_late(work, office, late, account=account.number, carrier=invoice)
    return Issued(invoice)


def _owed(
    tx: Tx,
    office: Office,
    drafted: Draft,
    late: Late | None,
    credits: Sequence[Reaching],
    *,
    account: Account,
    profile: BillingProfile,
    issuer: IssuerVersion,
    now: datetime,
) -> tuple[Draft, Late | None]:
    """The draft as it is issued, with promotional credit and its tax, at zero where it came to less; and what came
    late, with the credit notes that give the rest back. Raises UnableToIssue.
    """
    day = local_day(now, zone=issuer.body["timeZone"])

    def lifted(*, whole: bool) -> tuple[Draft, Late | None]:
        lifted, found = giving_back.lift(tx, drafted, late, account=account, whole=whole)
        return grants.before_tax(lifted, credits, issuer=issuer.name), found

    def taxed(credited: Draft) -> Draft:
        return writing.taxed(
            tx, office.pen, credited, account=account, profile=profile, issuer=issuer, day=day
        )

    credited, found = lifted(whole=False)
    owed = taxed(credited)
    if owed.total_minor < 0:  # its tax did that: what is given back is taxed more than what is charged
        credited, found = lifted(whole=True)
        owed = taxed(credited)
    if owed.total_minor < 0:  # or what prepaid money pays for is taxed less than it was
        credited, found = giving_back.undraw(tx, credited, found, taxed=owed, account=account)
        owed = taxed(credited)
    return owed, found


def adjust_invoice(work: Work, *, office: Office, invoice: Invoice) -> Adjusted:
    """Charge and give back at once what an issued invoice came to since, without waiting for the account's next one.

    What is more is charged by an invoice of kind Adjustment. In the caller's transaction, which `engine.commit` ends;
    again, it finds nothing. Raises UnableToIssue.
    """
    account = account_reads.get_account(work.tx, number=invoice.account)
    _lock_billing(work.tx, account=account)
    rerated = rerating.rerate(work.tx, invoice=invoice, now=work.now)
    return _adjust(work, office, Late(None, (rerated,)), account=account)


def adjust_account(work: Work, *, office: Office, account: Account) -> Adjusted:
    """The same for all that reached invoiced days of an account for which no invoice follows. Raises UnableToIssue."""
    _lock_billing(work.tx, account=account)
    late = rerating.find_late(work.tx, account=account, before=work.now, now=work.now)
    if late is None:
        return Adjusted(None, ())
    _issue_missed(work, office, late, account=account)
    return _adjust(work, office, late, account=account)


def _lock_billing(tx: Tx, *, account: Account) -> None:
    """Nobody else issues for the account, nor does usage of it come in, until the transaction ends."""
    invoice_rows.lock_account(tx, account=account.number)
    accounts.hold_fence(tx, exclusive=False)
    accounts.hold_billing(tx, account=account.number)


def _adjust(work: Work, office: Office, late: Late, *, account: Account) -> Adjusted:
    carrier = None
    if late.lines:
        profile, issuer = _parties(work.tx, office, account=account)
        drafted = adjusting.draft_alone([one.invoice for one in late.charging], late.lines)
        credits = _lock_credit(work, office, drafted, account=account)
        drafted = grants.before_tax(drafted, credits, issuer=issuer.name)
        carrier = issue_draft(
            work, office, drafted, account=account, profile=profile, issuer=issuer, credits=credits
        )
    return Adjusted(
        carrier, adjustments.note_late(work, office, late, account=account.number, carrier=carrier)
    )


def _issue_missed(work: Work, office: Office, late: Late, *, account: Account) -> None:
    """Invoice the rating periods that usage reached late and that no invoice covers, each by itself."""
    for period in late.missed:
        drafted = draft(work.tx, account=account, stretch=[period], now=work.now)
        if postings.postings(drafted):
            profile, issuer = _parties(work.tx, office, account=account)
            credits = _lock_credit(work, office, drafted, account=account)
            owed, given_back = _owed(
                work.tx,
                office,
                drafted,
                None,
                credits,
                account=account,
                profile=profile,
                issuer=issuer,
                now=work.now,
            )
            rated = adjustment_reads.frozen_body((period,), invoice_day=account.invoice_day)
            made = issue_draft(
                work,
                office,
                owed,
                account=account,
                profile=profile,
                issuer=issuer,
                rated=rated,
                credits=credits,
            )
            if given_back is not None:
                adjustments.note_late(work, office, given_back, account=account.number, carrier=made)


def _lock_credit(work: Work, office: Office, drafted: Draft, *, account: Account) -> Sequence[Reaching]:
    """The account's grants that the draft may use, which are locked."""
    return granting.lock_reaching(work, office.engine, account=account.number, draft=drafted)


def _parties(tx: Tx, office: Office, *, account: Account) -> tuple[BillingProfile, IssuerVersion]:
    """Whom an invoice of what came late is addressed to, and who issues it. Raises UnableToIssue."""
    profile = billing_profile(tx, office.vault, account)
    if profile is None:
        raise UnableToIssue(
            f"{account.namespace}/{account.name} was deleted before what came late was charged: nobody is left to "
            "address the invoice to"
        )
    issuer = issuer_reads.find_default_issuer(tx)
    if issuer is None:
        raise UnableToIssue(UNISSUED)
    return profile, issuer


def _with_late(drafted: Draft, late: Late | None) -> Draft:
    """The draft with what is charged in addition of earlier periods; where it has nothing else, these are its days."""
    if late is None:
        return drafted
    if late.lines and not drafted.lines and drafted.kind == "Periodic":
        return adjusting.draft_alone([one.invoice for one in late.charging], late.lines)
    return adjusting.with_adjustments(drafted, late.lines)


def issue_draft(
    work: Work,
    office: Office,
    drafted: Draft,
    *,
    account: Account,
    profile: BillingProfile,
    issuer: IssuerVersion,
    rated: Mapping[str, Any] | None = None,
    credits: Sequence[Reaching] = (),
    voided: Sequence[Invoice] = (),
) -> Invoice:
    """Issue the draft and post its receivable, in the caller's transaction; taxed here, where it has no taxes yet.

    `rated` is how its period was rated, for rating it again; of `voided`, the void invoices of its days that no other
    replaces yet, in the order of issue, it replaces the last. Raises UnableToIssue where nobody can say how a line is
    taxed.
    """
    tx, now = work.tx, work.now
    if not drafted.taxes:
        today = local_day(now, zone=issuer.body["timeZone"])
        drafted = writing.taxed(
            tx, office.pen, drafted, account=account, profile=profile, issuer=issuer, day=today
        )
    invoice = writing.write_invoice(
        tx,
        office.pen,
        drafted,
        uid=new_uid(),
        account=account,
        profile=profile,
        issuer=issuer,
        now=now,
        rated=rated,
        voided=voided,
    )
    if credits:
        plan = grants.settling(drafted, credits, issuer=invoice.issuer)
        invoice = granting.use(
            work, office.engine, invoice=invoice, drafted=drafted, found=credits, plan=plan
        )
    publish(work, office.engine, invoice, verb="issue", new=True)
    writing.announce(tx, office.pen, invoice, account=account, profile=profile, issuer=issuer, now=now)
    return invoice
