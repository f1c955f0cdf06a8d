"""Draft, issue, and print: from rated usage to an invoice that never changes again (domain.md §7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import structlog

from milo_billing.accounts import operations as accounts
from milo_billing.accounts import reads as account_reads
from milo_billing.accounts.types import Account, BillingProfile
from milo_billing.catalog import reads as catalog
from milo_billing.catalog.types import Book, Sku
from milo_billing.commitments import operations as commitments
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.work import Work
from milo_billing.directory import reads as directory
from milo_billing.infra.clock import new_uid
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing import reads, store
from milo_billing.invoicing.engine import crediting as credits
from milo_billing.invoicing.engine import invoice_documents, note_documents, settling, taxing, telling
from milo_billing.invoicing.engine.crediting import Wanted
from milo_billing.invoicing.engine.publishing import PDF, publish
from milo_billing.invoicing.ports import DocumentWriter, EInvoiceChecker, TaxEngine, VatRegister
from milo_billing.invoicing.rules import (
    announcing,
    drafts,
    explaining,
    issuing,
    periods,
    postings,
    tax_bodies,
)
from milo_billing.invoicing.rules.conversions import frozen_conversions
from milo_billing.invoicing.rules.crediting import CreditNote
from milo_billing.invoicing.rules.requests import EventsRequest
from milo_billing.invoicing.types import (
    BookVersion,
    DocumentKind,
    Draft,
    Finding,
    Invoice,
    Issued,
    IssueOutcome,
    IssuerVersion,
    LineExplanation,
    LineNotFound,
    MoneyKind,
    Preview,
    PrintedDocument,
    Settled,
    Skipped,
    Syntax,
    UnableToIssue,
    Unchanged,
)
from milo_billing.kernel.errors import BadRequest
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.kernel.periods import Period, local_day
from milo_billing.ledger import operations as ledger
from milo_billing.notices import operations as notices
from milo_billing.pricing import operations as pricing
from milo_billing.pricing.types import FrozenLine, RatedLine, UnableToRate
from milo_billing.usage import operations as usage
from milo_billing.usage.ports import BlobStore
from milo_billing.usage.types import EventFilter, EventPage

_log = structlog.get_logger(__name__)

UNISSUED: Final = (
    "nobody is declared to issue invoices: apply an IssuerProfile with spec.isDefault true, "
    "then run the month again"
)


@dataclass(frozen=True, slots=True)
class Office:
    """Where invoices are issued: what that needs besides a transaction. One a process."""

    engine: Engine
    vault: Vault
    books: dict[int, BookVersion] = field(default_factory=dict[int, BookVersion])
    """Versions of price books by number. What is published never changes, so nothing here grows old."""
    taxes: TaxEngine = field(default_factory=taxing.DeclaredRates)
    register: VatRegister | None = None
    """None where the settings name none: then staff say what a register told them."""

    mails: bool = False
    """Whether this server can send mail: then invoices go to the addresses of their accounts."""


def draft(tx: Tx, *, account: Account, stretch: Sequence[Period], now: datetime) -> Draft:
    """What the account owes for consecutive rating periods, as it stands now; nothing is written.

    With everything that was promised, and every discount; before tax. Raises UnableToIssue where usage has no price.
    """
    return drafts.draft(
        commitments.rate_periods(tx, account=account.number, periods=stretch, now=now), kind="Periodic"
    )


def preview(
    tx: Tx, *, office: Office, account: Account, month: tuple[int, int] | None, now: datetime
) -> Preview:
    """The account's invoice that holds this month, or the running one, as it stands now; nothing is written.

    From the same functions as the invoice, so that at the end of the period it is the invoice. Rating periods that
    have not begun are left out. Raises BadRequest where none has.
    """
    profile = _profile(tx, office.vault, account)
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
    standing = reads.list_periodic(tx, account=account.number, within=Period(begun[0].start, begun[-1].end))
    stretch = periods.uncovered(begun, invoiced=[one.period for one in standing]) or tuple(begun)
    composed = commitments.rate_periods(tx, account=account.number, periods=stretch, now=now)
    drafted, untaxed = _provisionally_taxed(tx, office, drafts.provisional(composed), account, profile, now)
    used = {share.project for line in drafted.lines for share in line.shares}
    used |= {one.project for period in composed for one in period.unpriced}
    numbers = {project for project in used if project is not None}
    return Preview(
        draft=drafted,
        periods=composed,
        closed=all(period.closed for period in composed),
        invoices=standing,
        books=_book_versions(tx, drafted, known=office.books),
        projects={one.number: one.name for one in directory.list_projects(tx, numbers=numbers)},
        untaxed=untaxed,
    )


def _provisionally_taxed(
    tx: Tx, office: Office, drafted: Draft, account: Account, profile: BillingProfile | None, now: datetime
) -> tuple[Draft, str | None]:
    """The draft with its tax, were it issued now; without, and why, where that cannot be told."""
    issuer = reads.find_default_issuer(tx)
    if issuer is None or profile is None:
        return drafted, UNISSUED if issuer is None else "the account was deleted"
    day = local_day(now, zone=issuer.body["timeZone"])
    try:
        return _taxed(tx, office, drafted, account=account, profile=profile, issuer=issuer, day=day), None
    except UnableToIssue as error:
        return drafted, str(error)


def _taxed(
    tx: Tx,
    office: Office,
    drafted: Draft,
    *,
    account: Account,
    profile: BillingProfile,
    issuer: IssuerVersion,
    day: date,
) -> Draft:
    return taxing.tax_draft(
        tx,
        drafted,
        engine=office.taxes,
        vault=office.vault,
        account=account,
        profile=profile,
        issuer=issuer,
        day=day,
    )


def issue_month(work: Work, *, office: Office, account: Account, year: int, month: int) -> IssueOutcome:
    """Issue the account's invoice that ends with the rating period of this month, and post its receivable.

    All in the caller's transaction, which `engine.commit` ends. Issuing again gives the same invoice. Raises
    UnableToIssue while the period runs, where usage has no price, where nobody is declared to issue, and for an
    account that was deleted before its usage was invoiced; the message says what to do.
    """
    tx, now = work.tx, work.now
    store.lock_account(tx, account=account.number)
    profile = _profile(tx, office.vault, account)
    frequency, invoice_day = (
        ("Monthly", 1) if profile is None else (profile.invoice_frequency, profile.invoice_day)
    )
    wanted = periods.rating_periods(
        year, month, frequency=frequency, zone=account.time_zone, invoice_day=invoice_day
    )
    if not wanted:
        return Skipped(f"invoices come {frequency.lower()}, and none ends with this month")
    standing = reads.list_periodic(tx, account=account.number, within=Period(wanted[0].start, wanted[-1].end))
    stretch = periods.uncovered(wanted, invoiced=[invoice.period for invoice in standing])
    if not stretch:
        return Unchanged(standing[-1])
    issuing.assert_closed(stretch[-1], now=now)
    # from here until commit no payer changes: a binding is not backdated into what is being invoiced
    accounts.hold_fence(tx, exclusive=False)
    # and no usage comes in that the draft might miss without knowing that it came after an invoice
    accounts.hold_billing(tx, account=account.number)
    drafted = draft(tx, account=account, stretch=stretch, now=now)
    # what comes to nothing because it was prepaid is issued: the books move from deferred to earned
    if not postings.postings(drafted) and not (profile is not None and profile.zero_invoices):
        return Skipped("nothing to charge")
    if profile is None:
        raise UnableToIssue(
            f"{account.namespace}/{account.name} was deleted before {drafted.total} of usage was invoiced: "
            "nobody is left to address the invoice to"
        )
    issuer = reads.find_default_issuer(tx)
    if issuer is None:
        raise UnableToIssue(UNISSUED)
    return Issued(_issue(work, office, drafted, account=account, profile=profile, issuer=issuer))


def _profile(tx: Tx, vault: Vault, account: Account) -> BillingProfile | None:
    """Terms and addressee; None for an account that was deleted."""
    if account.deleted_at is not None:
        return None
    return account_reads.get_billing_profile(tx, vault, account=account.number)


def _issue(
    work: Work,
    office: Office,
    drafted: Draft,
    *,
    account: Account,
    profile: BillingProfile,
    issuer: IssuerVersion,
) -> Invoice:
    tx, now = work.tx, work.now
    today = local_day(now, zone=issuer.body["timeZone"])
    drafted = _taxed(tx, office, drafted, account=account, profile=profile, issuer=issuer, day=today)
    frozen = _freeze(work, office.vault, drafted, account=account, profile=profile)
    frozen["accountingTax"] = tax_bodies.accounting_tax_body(
        taxing.accounting_tax(tx, drafted, issuer=issuer, day=today)
    )
    books = _book_versions(tx, drafted, known=office.books)
    owned = store.Owned(new_uid(), account=account.number, owner_org=account.owner_org)
    store.insert_contents(tx, owned, lines=drafted.lines, taxes=drafted.taxes, books=books)
    accounts.mark_billed(tx, account=account.number, until=drafted.period.end)
    # the number comes as late as it can: the series stays locked from here until commit
    invoice = _numbered(tx, drafted, uid=owned.uid, account=account, profile=profile, issuer=issuer, now=now)
    store.insert_invoice(tx, invoice, issuer_version=issuer.digest, frozen=frozen)
    ledger.post_receivable(
        tx,
        id=new_uid(),
        key=f"invoice/{invoice.uid}/issue",
        entity=invoice.issuer,
        posted_on=invoice.issued_on,
        billing_account=invoice.account,
        owner_org=invoice.owner_org,
        currency=invoice.currency,
        lines=postings.postings(drafted),
        now=now,
        description=f"Invoice {invoice.number}",
    )
    publish(work, office.engine, invoice, verb="issue", new=True)
    event = announcing.invoice_event(
        announcing.ISSUED,
        invoice,
        language=profile.language,
        issuer=issuer.body,
        subject=account.uid,
        mail_to=announcing.recipients(profile.contact) if office.mails else (),
        more=announcing.issued_data(invoice),
    )
    notices.send(tx, office.vault, event=event, now=now)
    return invoice


def _numbered(
    tx: Tx,
    drafted: Draft,
    *,
    uid: UUID,
    account: Account,
    profile: BillingProfile,
    issuer: IssuerVersion,
    now: datetime,
) -> Invoice:
    """The invoice with the next number of its series, dated in the issuer's zone."""
    series_spec: Mapping[str, Any] = issuer.body["numberSeries"]
    today = local_day(now, zone=issuer.body["timeZone"])
    series = issuing.series_of(prefix=series_spec["prefix"], per_year=series_spec["perYear"], day=today)
    void = (
        None
        if drafted.kind != "Periodic"
        else reads.find_void_unreplaced(tx, account=account.number, period=drafted.period)
    )
    sequence, issued_on = store.draw_number(
        tx, issuer=issuer.name, series=series, start=series_spec["start"], day=today
    )
    number = issuing.number_text(series=series, sequence=sequence, digits=series_spec["digits"])
    name, second_name = issuing.object_names(issuer=issuer.name, number=number)
    if reads.is_name_taken(tx, namespace=account.namespace, name=name):
        name = second_name
    return Invoice(
        uid=uid,
        name=name,
        namespace=account.namespace,
        owner_org=account.owner_org,
        account=account.number,
        account_name=account.name,
        kind=drafted.kind,
        period=drafted.period,
        phase="Issued" if drafted.total_minor else "Paid",
        issuer=issuer.name,
        series=series,
        sequence=sequence,
        number=number,
        currency=drafted.currency,
        subtotal_minor=drafted.subtotal_minor,
        discounts_minor=drafted.discounts_minor,
        tax_minor=drafted.tax_minor,
        total_minor=drafted.total_minor,
        amount_paid_minor=0,
        issued_at=now,
        issued_on=issued_on,
        due_on=issuing.due_on(issued_on, net_days=profile.net_days),
        replaces=None if void is None else void[0],
        replaces_name="" if void is None else void[1],
        e_invoicing=issuer.body.get("eInvoice", "None"),
        taxes=drafted.taxes,
    )


def _freeze(
    work: Work, vault: Vault, drafted: Draft, *, account: Account, profile: BillingProfile
) -> dict[str, Any]:
    """What is printed and could change later. The addressee is personal: sealed under the account's key."""
    buyer = issuing.party_body(issuing.addressee(profile, account_name=account.name))
    numbers = {share.project for line in drafted.lines for share in line.shares if share.project is not None}
    projects = directory.list_projects(work.tx, numbers=numbers)
    return {
        "timeZone": account.time_zone,
        "language": profile.language,
        "netDays": profile.net_days,
        "subject": str(account.uid),
        "buyer": vault.seal(work.tx, subject=account.uid, value=buyer, at=work.now),
        "projects": {str(project.number): project.name for project in projects},
        "conversions": frozen_conversions(drafted.lines),
    }


def _book_versions(tx: Tx, drafted: Draft, *, known: dict[int, BookVersion]) -> Mapping[int, BookVersion]:
    """The names of the price books' versions that the lines were charged under, by number."""
    missing = {line.book for line in drafted.lines if line.book is not None and line.book not in known}
    if missing:
        for number, name, effective_from in catalog.list_book_names(tx, numbers=missing):
            known[number] = BookVersion(name, effective_from)
    return known


# --------------------------------------------------------------------------------------------------------- life


def lock_invoice(work: Work, *, engine: Engine, invoice: UUID) -> Invoice:
    """The invoice, which nobody else settles until the transaction ends. Raises InvoiceNotFound.

    Who locks several locks them in the order of their uids.
    """
    return settling.lock(work, engine, invoice=invoice)


def settle_invoice(
    work: Work,
    *,
    engine: Engine,
    invoice: UUID,
    kind: MoneyKind,
    reference: str,
    amount_minor: int,
    posted: str,
    at: datetime,
) -> Settled:
    """Have this much of the invoice settled, or owed again where a payment goes back; the invoice as it is then.

    `amount_minor` is above zero for every kind. `reference` says what settles, such as a payment's uid: the same
    (kind, reference) settles an invoice once, and saying it again changes nothing. `posted` is the key of the
    transaction that the caller posts to the books in this transaction, crediting `Assets:Receivable` by the amount
    (debiting it for a PaymentReversal); the database refuses the commit without it. What was written off and is
    settled after all is posted here. `at` is when the money counts from; the phase is of `work.now`.

    Row, settlement and Invoice object are written in the caller's transaction, which `engine.commit` ends; the invoice
    is locked until then. Raises InvoiceNotFound, and UnableToSettle for more than `Invoice.open_minor`: ask
    `lock_invoice` first and keep the rest as money on account.
    """
    settled = settling.settle(
        work,
        engine,
        invoice=invoice,
        kind=kind,
        reference=reference,
        amount_minor=amount_minor,
        posted=posted,
        at=at,
    )
    if settled.invoice.phase == "Paid" and not settled.repeated:
        telling.tell(work.tx, "invoice.paid", settled.invoice, once=f"{kind}/{reference}", now=work.now)
    return settled


def void_invoice(tx: Tx, *, invoice: UUID, reason: str, now: datetime) -> CreditNote:
    """Take an unpaid invoice back as a whole; the credit note over it. Its days can be invoiced again, once.

    The caller holds the lock of the invoice's object and writes the objects. Raises UnableToSettle.
    """
    note = credits.void(tx, invoice=invoice, reason=reason, now=now)
    voided = reads.lock_invoice(tx, uid=invoice)
    telling.tell(tx, "invoice.voided", voided, more={"reason": reason}, now=now)
    return note


def write_off_invoice(tx: Tx, *, invoice: UUID, reason: str, now: datetime) -> Invoice:
    """Give up what is due of the invoice; the invoice then. A payment may still recover it.

    The caller holds the lock of the invoice's object and writes the objects. Raises UnableToSettle.
    """
    written_off = settling.write_off(tx, invoice=invoice, reason=reason, now=now)
    telling.tell(
        tx, "invoice.written_off", written_off, more={"reason": reason}, once=now.isoformat(), now=now
    )
    return written_off


def tell_past_due(work: Work, office: Office, *, invoice: UUID) -> None:
    """Announce that the invoice is past due, which this transaction has said of it; its account by mail, too."""
    late = reads.lock_invoice(work.tx, uid=invoice)
    account = account_reads.get_account(work.tx, number=late.account)
    profile = _profile(work.tx, office.vault, account) if office.mails else None
    telling.tell(
        work.tx,
        "invoice.past_due",
        late,
        once=work.now.isoformat(),
        vault=office.vault,
        subject=account.uid,
        mail_to=() if profile is None else announcing.recipients(profile.contact),
        now=work.now,
    )


def choose_credit(tx: Tx, wanted: Wanted) -> None:
    """Raise UnableToCredit where the credit note could not be issued as things stand."""
    credits.choose(tx, wanted)


def issue_credit_note(tx: Tx, wanted: Wanted, *, now: datetime) -> CreditNote:
    """Issue the credit note: number, lines, books, and the invoice settled as far as it was open.

    What is over becomes money on account of the customer. The caller holds the lock of the invoice's object and writes
    the objects. Raises UnableToCredit, InvoiceNotFound.
    """
    note = credits.issue(tx, wanted, now=now)
    credited = str(minor_to_decimal(note.total_minor, note.currency))
    telling.tell(
        tx,
        "creditnote.issued",
        reads.lock_invoice(tx, uid=note.invoice),
        more={"creditNote": note.number, "credited": credited},
        once=str(note.uid),
        now=now,
    )
    return note


# ------------------------------------------------------------------------------------------------- documents


def print_invoice(
    tx: Tx,
    vault: Vault,
    writer: DocumentWriter,
    *,
    invoice: Invoice,
    now: datetime,
    kind: DocumentKind = PDF,
) -> PrintedDocument:
    """The invoice's PDF, or its electronic invoice: written when it is first asked for, the same bytes ever after.

    It is kept sealed under a key of the invoice's own, since the law wants it kept when the customer's data are
    erased. Raises UnableToRender, NoEInvoice, and UnableToOpen where the installation's key is lost.
    """
    return invoice_documents.print_invoice(tx, vault, writer, invoice=invoice, kind=kind, now=now)


def check_documents(
    tx: Tx,
    vault: Vault,
    writer: DocumentWriter,
    checker: EInvoiceChecker,
    *,
    invoice: Invoice,
    now: datetime,
) -> Mapping[Syntax, tuple[Finding, ...]]:
    """What the rules of EN 16931 say against the invoice's electronic invoices, which are written where they were not.

    Raises NoEInvoice where there are none, and UnableToCheck.
    """
    return invoice_documents.check(tx, vault, writer, checker, invoice=invoice, now=now)


def print_credit_note(
    tx: Tx, vault: Vault, writer: DocumentWriter, *, note: CreditNote, now: datetime
) -> PrintedDocument:
    """The credit note's PDF: written when it is first asked for, the same bytes ever after; sealed as an invoice's.

    Raises UnableToRender, and UnableToOpen where the installation's key is lost.
    """
    return note_documents.print_note(tx, vault, writer, note=note, now=now)


# ---------------------------------------------------------------------------------------------------- disputes


def list_line_events(
    tx: Tx, *, invoice: Invoice, line: int, asked: EventsRequest, blobs: BlobStore, now: datetime
) -> EventPage:
    """The events that make up a line: the Sku's meter and match, the line's days, the account, a page at a time.

    `blobs` is where archived days lie.

    Those that counted when the invoice was issued, whose quantity is the line's; with `asked.later` those that have
    reached its days since. Raises LineNotFound.
    """
    found = reads.get_line(tx, invoice=invoice, line=line)
    skus = catalog.list_skus(tx, names=[found.sku] if found.sku is not None else [])
    meter = catalog.find_meter(tx, meter_name=skus[0].meter_name) if skus else None
    if meter is None or found.kind != "Usage":
        raise LineNotFound(f"line {line} of invoice {invoice.number} charges for no usage: it has no events")
    wanted = EventFilter(
        accounts=(invoice.account,),
        meters=(meter.number,),
        first=found.first_day,
        end=found.end_day,
        match=skus[0].match,
        counted_until=None if asked.later else invoice.issued_at,
        counted_after=invoice.issued_at if asked.later else None,
    )
    return usage.list_events(tx, wanted=wanted, after=asked.after, limit=asked.limit, blobs=blobs, now=now)


# ------------------------------------------------------------------------------------------------ explanations


def explain_line(tx: Tx, *, invoice: Invoice, line: int) -> LineExplanation:
    """Where the amount of a line came from, and what the frozen version of its price book makes of it now.

    Raises LineNotFound.
    """
    found = reads.get_line(tx, invoice=invoice, line=line)
    shares, metered = reads.list_line_shares(tx, invoice=invoice.uid, line=line, limit=explaining.SHARES_MAX)
    numbers = reads.find_line_sources(tx, invoice=invoice.uid, line=line)
    sku = None if numbers is None else catalog.find_sku(tx, number=numbers[0])
    book = None if numbers is None else catalog.find_book(tx, number=numbers[1])
    frozen = explaining.frozen_line(found, metered=metered, currency=invoice.currency)
    return LineExplanation(
        invoice=invoice,
        line=found,
        shares=shares,
        metered=metered,
        sku=sku,
        meter=None if sku is None else catalog.find_meter(tx, meter_name=sku.meter_name),
        book=book,
        again=None if sku is None or book is None else _charged_again(frozen, sku=sku, book=book),
    )


def _charged_again(frozen: FrozenLine, *, sku: Sku, book: Book) -> RatedLine | None:
    """The line under its book; None where what is known of it now cannot have made it."""
    try:
        return pricing.charge_again(frozen, sku=sku, book=book)
    except (UnableToRate, ValueError) as error:
        _log.warning("line_not_charged_again", sku=sku.name, book=book.number, reason=str(error))
        return None
