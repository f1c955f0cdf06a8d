"""Draft and issue: from rated usage to an invoice that never changes again (domain.md §7)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from milo_billing.accounts import operations as accounts
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account, BillingProfile
from milo_billing.commitments import operations as commitments
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import granting, rerating
from milo_billing.invoicing.engine.left import NONE_GIVEN
from milo_billing.invoicing.engine.publishing import publish
from milo_billing.invoicing.engine.rerating import Late
from milo_billing.invoicing.engine.sections import Section, Stretch
from milo_billing.invoicing.operations import adjusting as adjustments
from milo_billing.invoicing.operations import consolidating, writing
from milo_billing.invoicing.operations.office import UNISSUED, Office, billing_profile
from milo_billing.invoicing.reads import adjustments as adjustment_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import issuers as issuer_reads
from milo_billing.invoicing.rules import adjusting, drafts, grants, issuing, periods, postings
from milo_billing.invoicing.rules.adjusting import Adjusted
from milo_billing.invoicing.rules.crediting import CreditNote
from milo_billing.invoicing.rules.grants import Reaching
from milo_billing.invoicing.rules.left import Given
from milo_billing.invoicing.store import invoice_rows
from milo_billing.invoicing.types.drafts import Draft, InvoiceKind
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import (
    Covering,
    Invoice,
    Issued,
    IssueOutcome,
    IssuerVersion,
    Skipped,
    Unchanged,
)
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


def issue_month(work: Work, *, office: Office, number: int, year: int, month: int) -> IssueOutcome:
    """Issue the account's invoice that ends with the rating period of this month, and post its receivable.

    All in the caller's transaction, which `engine.commit` ends. Issuing again gives the same invoice. Accounts that it
    is invoiced for have a section each on it; they have none of their own, and are skipped. What of all of them an
    invoice has already is left out, whoever paid it. Raises UnableToIssue while the period runs, where usage has no
    price, where nobody is declared to issue, and for an account that was deleted before its usage was invoiced; the
    message says what to do. What the account is by now is read here. Raises AccountNotFound.
    """
    tx, now = work.tx, work.now
    account = accounts.hold_account(tx, number=number)
    if account.billing_mode == "Parent":
        payer = accounts.get_invoiced(tx, account=account)
        return Skipped(f"invoiced with {payer.name}", invoiced_with=payer.number)
    profile = billing_profile(tx, office.vault, account)
    frequency, invoice_day = (
        ("Monthly", 1) if profile is None else (profile.invoice_frequency, profile.invoice_day)
    )
    wanted = periods.rating_periods(
        year, month, frequency=frequency, zone=account.time_zone, invoice_day=invoice_day
    )
    if not wanted:
        return Skipped(f"invoices come {frequency.lower()}, and none ends with this month")
    members = (account, *accounts.list_invoiced_with(tx, account=account, since=wanted[0].start))
    has_credit = lock_invoiced(tx, accounts_=[one.number for one in members])
    stretches, standing, voided = _uncovered(tx, members, wanted)
    if not stretches:
        return Unchanged(standing[-1].invoice)
    for one in stretches:
        issuing.assert_closed(one.periods[-1], now=now)
    return issue_stretches(
        work,
        office,
        account=account,
        profile=profile,
        stretches=stretches,
        invoice_day=invoice_day,
        has_credit=has_credit,
        voided=[one for one in voided if one.account == number],
        kind="Periodic" if len(members) == 1 else "Consolidated",
    )


def _uncovered(
    tx: Tx, members: Sequence[Account], wanted: Sequence[Period]
) -> tuple[list[Stretch], tuple[Covering, ...], list[Invoice]]:
    """What of the periods no invoice has yet, by account; the invoices that have days of the first account, and the
    void ones of them all that no other replaces yet.
    """
    within = Period(wanted[0].start, wanted[-1].end)
    stretches: list[Stretch] = []
    voided: dict[Any, Invoice] = {}
    own: tuple[Covering, ...] = ()
    for number, member in enumerate(members):
        standing, void = invoice_reads.list_standing_and_void(tx, account=member.number, within=within)
        own = own if number else standing
        voided |= {one.uid: one for one in void}
        left = periods.uncovered(wanted, invoiced=[one.period for one in standing])
        if left:
            stretches.append(Stretch(member, left))
    return stretches, own, sorted(voided.values(), key=lambda one: (one.issued_at, one.sequence))


def issue_stretches(
    work: Work,
    office: Office,
    *,
    account: Account,
    profile: BillingProfile | None,
    stretches: Sequence[Stretch],
    invoice_day: int,
    has_credit: bool,
    voided: Sequence[Invoice] = (),
    kind: InvoiceKind = "Periodic",
) -> Issued | Skipped:
    """Issue an invoice to the account over consecutive rating periods, of its own and of accounts that are invoiced
    with it, that are over and that no other invoice has.

    All these accounts are locked by the caller. Raises UnableToIssue.
    """
    tx = work.tx
    # from here until commit no payer changes: a binding is not backdated into what is being invoiced
    accounts.hold_fence(tx, exclusive=False)
    # and no usage comes in that the draft might miss without knowing that it came after an invoice
    accounts.hold_billing(tx, accounts=[one.account.number for one in stretches])
    sections: list[Section] = []
    for one in stretches:
        given = rerating.given_of(section.late for section in sections)
        sections.append(_section(work, office, one, payer=account, kind=kind, given=given))
    drafted = consolidating.combined(sections, payer=account, kind=kind)
    # what comes to nothing because it was prepaid is issued: the books move from deferred to earned
    moves = postings.postings(drafted) or any(one.late is not None and one.late.lines for one in sections)
    if not moves and not (profile is not None and profile.zero_invoices):
        for one in sections:
            if one.late is not None:
                adjustments.note_late(work, office, one.late, carrier=None)
        _close(work, stretches)
        return Skipped("nothing to charge")
    if profile is None:
        raise UnableToIssue(
            f"{account.namespace}/{account.name} was deleted before {drafted.total} of usage was invoiced: "
            "nobody is left to address the invoice to"
        )
    issuer = issuer_reads.find_default_issuer(tx)
    if issuer is None:
        raise UnableToIssue(UNISSUED)
    rated = {
        one.account.number: adjustment_reads.frozen_body(one.periods, invoice_day=invoice_day)
        for one in stretches
    }
    invoice, _ = _issue_sections(
        work,
        office,
        sections,
        account=account,
        parties=(profile, issuer),
        kind=kind,
        rated=rated,
        has_credit=has_credit,
        voided=voided,
    )
    if invoice.kind == "Adjustment":  # it has what came late of earlier days, and none of these
        _close(work, stretches)
    return Issued(invoice)


def _close(work: Work, stretches: Sequence[Stretch]) -> None:
    """Tell that there was nothing to invoice of these days: what reaches them from now on is a change."""
    for one in stretches:
        number, period = one.account.number, Period(one.periods[0].start, one.periods[-1].end)
        invoice_rows.note_nothing(work.tx, account=number, period=period, now=work.now)
        accounts.mark_closed(work.tx, account=number, until=period.end)


def _section(
    work: Work,
    office: Office,
    stretch: Stretch,
    *,
    payer: Account,
    kind: InvoiceKind,
    given: Given,
) -> Section:
    """What the account has on the payer's invoice, with what came late of the days that the payer was invoiced for.

    What came late of others is charged at once to who was invoiced for it, and days that no invoice has are invoiced.
    `given`: the credit notes that sections before this one are about to write.
    """
    account, own = stretch.account, Period(stretch.periods[0].start, stretch.periods[-1].end)
    drafted = draft(work.tx, account=account, stretch=stretch.periods, now=work.now, kind=kind)
    late = rerating.find_late(work.tx, account=account, but=own, now=work.now, given=given)
    if late is not None and late.missed:
        _issue_missed(work, office, late, account=account, payer=payer, given=given)
        late = rerating.find_late(work.tx, account=account, but=own, now=work.now, given=given)
    if late is not None:
        late, others = consolidating.parted(work.tx, late, payer=payer)
        _charge_others(work, office, others, given=rerating.given_of([late], given=given))
    return consolidating.section(account, drafted, late)


def _issue_sections(
    work: Work,
    office: Office,
    sections: Sequence[Section],
    *,
    account: Account,
    parties: tuple[BillingProfile, IssuerVersion],
    kind: InvoiceKind,
    rated: Mapping[int, Mapping[str, Any]] | None = None,
    has_credit: bool = True,
    voided: Sequence[Invoice] = (),
    given: Given = NONE_GIVEN,
) -> tuple[Invoice, tuple[CreditNote, ...]]:
    """Issue the sections to the account, at zero where they come to less, and note what came late; the invoice, and the
    credit notes over what it gives back. `given` are those that others are about to write. Raises UnableToIssue.
    """
    profile, issuer = parties
    drafted = consolidating.combined(sections, payer=account, kind=kind)
    credits: Sequence[Reaching] = ()
    if has_credit:
        credits = granting.lock_reaching(work, office.engine, account=account.number, draft=drafted)
    owed = consolidating.owed(
        work.tx,
        office,
        sections,
        credits,
        payer=account,
        profile=profile,
        issuer=issuer,
        kind=kind,
        now=work.now,
        given=given,
    )
    invoice = issue_draft(
        work,
        office,
        owed.draft,
        account=account,
        profile=profile,
        issuer=issuer,
        rated=rated,
        credits=owed.credits,
        voided=voided,
        sections=owed.sections,
    )
    notes: list[CreditNote] = []
    for one in owed.sections:
        if one.late is not None:
            notes += adjustments.note_late(work, office, one.late, carrier=invoice)
    return invoice, tuple(notes)


def adjust_invoice(work: Work, *, office: Office, invoice: Invoice) -> Adjusted:
    """Charge and give back at once what an issued invoice came to since, without waiting for the account's next one.

    What is more is charged by an invoice of kind Adjustment. In the caller's transaction, which `engine.commit` ends;
    again, it finds nothing. Raises UnableToIssue.
    """
    used_by = adjustment_reads.list_sections(work.tx, invoice=invoice.uid) or (invoice.account,)
    _lock_billing(work.tx, accounts_=used_by, payer=invoice.account)
    lates: list[Late] = []
    for one in used_by:
        given = rerating.given_of(lates)
        found = rerating.rerate(work.tx, invoice=invoice, account=one, now=work.now, given=given)
        lates.append(Late(one, None, (found,)))
    return _adjust(work, office, lates, payer=account_reads.get_account(work.tx, number=invoice.account))


def adjust_account(work: Work, *, office: Office, number: int) -> Adjusted:
    """The same for all that reached invoiced days of an account for which no invoice follows.

    Raises UnableToIssue and AccountNotFound.
    """
    account, payer = accounts.hold_invoiced(work.tx, number=number)
    _lock_billing(work.tx, accounts_=[number], payer=payer.number)
    late = rerating.find_late(work.tx, account=account, now=work.now)
    if late is None:
        return Adjusted(None, ())
    if late.missed:
        _issue_missed(work, office, late, account=account, payer=payer)
        late = rerating.find_late(work.tx, account=account, now=work.now)
        assert late is not None, "what came late is open until it is noted"
    late, others = consolidating.parted(work.tx, late, payer=payer)
    _charge_others(work, office, others, given=rerating.given_of([late]))
    return _adjust(work, office, [late], payer=payer)


def lock_invoiced(tx: Tx, *, accounts_: Sequence[int]) -> bool:
    """Nobody else issues to or for these accounts, nor to who was invoiced for their days before, until the transaction
    ends; whether any of them has credit.

    What came late is charged to a former payer, whose credit and invoices are then used as those of the present one
    are: so all are locked here, at once and in one order, and two payers that took accounts of each other do not cross.
    """
    before = invoice_reads.list_payers(tx, accounts=accounts_)
    return invoice_rows.lock_accounts(tx, accounts=(*accounts_, *before))


def _lock_billing(tx: Tx, *, accounts_: Sequence[int], payer: int) -> None:
    """The same, with who is charged; nor does usage of the accounts come in until the transaction ends."""
    lock_invoiced(tx, accounts_=(*accounts_, payer))
    accounts.hold_fence(tx, exclusive=False)
    accounts.hold_billing(tx, accounts=accounts_)


def _charge_others(work: Work, office: Office, others: Mapping[int, Late], *, given: Given) -> None:
    """Charge what came late to who was invoiced for these days, by number: the account has changed its payer since.

    The caller has locked them (`lock_invoiced`). `given` are the credit notes that are written behind these.
    """
    rest = dict(others)
    for number in sorted(others):
        late = rest.pop(number)
        payer = account_reads.get_account(work.tx, number=number)
        _adjust(work, office, [late], payer=payer, given=rerating.given_of(rest.values(), given=given))


def _adjust(
    work: Work, office: Office, lates: Sequence[Late], *, payer: Account, given: Given = NONE_GIVEN
) -> Adjusted:
    """Charge the payer what these came to more, by an invoice of kind Adjustment, and give back what is less; `given`
    are the credit notes that others are about to write.
    """
    notes: list[CreditNote] = []
    charging: list[Section] = []
    for late in lates:
        if late.lines:
            drafted = adjusting.draft_alone([one.invoice for one in late.charging], late.lines)
            account = account_reads.get_account(work.tx, number=late.account)
            charging.append(Section(account, replace(drafted, account=late.account), late))
        else:
            notes += adjustments.note_late(work, office, late, carrier=None)
    if not charging:
        return Adjusted(None, tuple(notes))
    invoice, found = _issue_sections(
        work,
        office,
        charging,
        account=payer,
        parties=_parties(work.tx, office, account=payer),
        kind="Adjustment",
        given=given,
    )
    return Adjusted(invoice, (*notes, *found))


def _issue_missed(
    work: Work, office: Office, late: Late, *, account: Account, payer: Account, given: Given = NONE_GIVEN
) -> None:
    """Invoice the rating periods that usage reached late and that no invoice covers, each by itself, to the payer.

    What came late is to be looked for again behind it: these may give back of the same invoices. `given` are the credit
    notes that others are about to write.
    """
    kind: InvoiceKind = "Periodic" if account.number == payer.number else "Consolidated"
    for period in late.missed:
        drafted = draft(work.tx, account=account, stretch=[period], now=work.now, kind=kind)
        if postings.postings(drafted):
            _, voided = invoice_reads.list_standing_and_void(work.tx, account=account.number, within=period)
            _issue_sections(
                work,
                office,
                [Section(account, drafted)],
                account=payer,
                parties=_parties(work.tx, office, account=payer),
                kind=kind,
                rated={
                    account.number: adjustment_reads.frozen_body((period,), invoice_day=account.invoice_day)
                },
                voided=[one for one in voided if one.account == payer.number],
                given=given,
            )


def _parties(tx: Tx, office: Office, *, account: Account) -> tuple[BillingProfile, IssuerVersion]:
    """Whom an invoice of what came late is addressed to, and who issues it. Raises UnableToIssue."""
    profile = billing_profile(tx, office.vault, account)
    if profile is None:
        raise UnableToIssue(
            f"{account.namespace}/{account.name} was deleted before what came late was charged, so nobody is left to "
            "address the invoice to: what a sub-account that is invoiced with another account now used comes with its "
            "next month there; other usage can be taken back (milo-billing usage void)"
        )
    issuer = issuer_reads.find_default_issuer(tx)
    if issuer is None:
        raise UnableToIssue(UNISSUED)
    return profile, issuer


def issue_draft(
    work: Work,
    office: Office,
    drafted: Draft,
    *,
    account: Account,
    profile: BillingProfile,
    issuer: IssuerVersion,
    rated: Mapping[int, Mapping[str, Any]] | None = None,
    credits: Sequence[Reaching] = (),
    voided: Sequence[Invoice] = (),
    sections: Sequence[Section] = (),
) -> Invoice:
    """Issue the draft and post its receivable, in the caller's transaction; taxed here, where it has no taxes yet.

    `rated` is by account how its days were rated, for rating them again, `sections` what each account has on it; of
    `voided`, the void invoices of its days that no other replaces yet, in the order of issue, it replaces the last.
    Raises UnableToIssue where nobody can say how a line is taxed.
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
        sections=sections,
    )
    if credits:
        plan = grants.settling(drafted, credits, issuer=invoice.issuer)
        invoice = granting.use(
            work, office.engine, invoice=invoice, drafted=drafted, found=credits, plan=plan
        )
    publish(work, office.engine, invoice, verb="issue", new=True)
    writing.announce(tx, office.pen, invoice, account=account, profile=profile, issuer=issuer, now=now)
    return invoice
