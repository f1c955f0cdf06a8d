"""Write a draft as an invoice: taxed, frozen, numbered, in the books, announced (domain.md §7)."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from milo_billing.accounts import operations as accounts
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account, BillingProfile
from milo_billing.catalog import reads as catalog
from milo_billing.directory import reads as directory
from milo_billing.infra.clock import new_uid
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import taxing
from milo_billing.invoicing.engine.sections import Section
from milo_billing.invoicing.operations.office import Pen
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.rules import (
    announcing,
    issuing,
    postings,
    tax_bodies,
    taxes,
)
from milo_billing.invoicing.rules.conversions import frozen_conversions
from milo_billing.invoicing.store import invoice_rows
from milo_billing.invoicing.types.drafts import Draft
from milo_billing.invoicing.types.invoices import (
    BookVersion,
    Invoice,
    IssuerVersion,
)
from milo_billing.kernel.periods import local_day
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import Fact
from milo_billing.notices import operations as notices


def taxed(
    tx: Tx,
    pen: Pen,
    drafted: Draft,
    *,
    account: Account,
    profile: BillingProfile,
    issuer: IssuerVersion,
    day: date,
) -> Draft:
    """The draft with its tax as of `day`, the issue date in the issuer's zone. Raises UnableToIssue."""
    return taxing.tax_draft(
        tx,
        drafted,
        engine=pen.taxes,
        vault=pen.vault,
        account=account,
        profile=profile,
        issuer=issuer,
        day=day,
    )


def write_invoice(
    tx: Tx,
    pen: Pen,
    drafted: Draft,
    *,
    uid: UUID,
    account: Account,
    profile: BillingProfile,
    issuer: IssuerVersion,
    now: datetime,
    rated: Mapping[int, Mapping[str, Any]] | None = None,
    voided: Sequence[Invoice] = (),
    sections: Sequence[Section] = (),
) -> Invoice:
    """Write the taxed draft as an invoice, numbered, and post its receivable; its object is the caller's to write.

    `rated` says by account how its days were rated. `sections` are those of a consolidated invoice. Raises
    UnableToIssue.
    """
    taxes.assert_owed(drafted)
    today = local_day(now, zone=issuer.body["timeZone"])
    frozen = _freeze(tx, pen.vault, drafted, account=account, profile=profile, now=now)
    frozen["rated"] = (rated or {}).get(account.number, {})
    if drafted.kind == "Consolidated":
        frozen["sections"] = {str(number): body for number, body in (rated or {}).items()}
    frozen["accountingTax"] = tax_bodies.accounting_tax_body(
        taxing.accounting_tax(tx, drafted, issuer=issuer, day=today)
    )
    books = book_versions(tx, drafted, known=pen.books)
    owned = invoice_rows.Owned(uid, account=account.number, owner_org=account.owner_org)
    if others := {line.used_by for line in drafted.lines if line.used_by is not None} - {account.number}:
        names = account_reads.list_names(tx, numbers=others)
        frozen["accounts"] = {str(number): name.partition("/")[2] for number, name in names.items()}
    days = {one.account.number: one.draft.period for one in sections if drafted.kind == "Consolidated"}
    invoice_rows.insert_contents(
        tx, owned, lines=drafted.lines, taxes=drafted.taxes, books=books, sections=days
    )
    if drafted.kind == "Consolidated":
        for number, period in days.items():
            accounts.mark_billed(tx, account=number, until=period.end)
    elif drafted.kind in ("Periodic", "Final"):
        accounts.mark_billed(tx, account=account.number, until=drafted.period.end)
    # the number comes as late as it can: the series stays locked from here until commit
    invoice = _numbered(
        tx,
        drafted,
        uid=owned.uid,
        account=account,
        profile=profile,
        issuer=issuer,
        now=now,
        void=issuing.replaced_by(drafted, voided),
    )
    invoice_rows.insert_invoice(tx, invoice, issuer_version=issuer.digest, frozen=frozen)
    _post(tx, invoice, drafted, now=now)
    return invoice


def _post(tx: Tx, invoice: Invoice, drafted: Draft, *, now: datetime) -> None:
    """The receivable at the account that pays; what others used is earned there, and passed on by a transfer."""
    own, sent = postings.consolidated(drafted)
    ledger.post_receivable(
        tx,
        id=new_uid(),
        key=postings.issue_key(invoice.uid, payer=invoice.account),
        entity=invoice.issuer,
        posted_on=invoice.issued_on,
        billing_account=invoice.account,
        owner_org=invoice.owner_org,
        currency=invoice.currency,
        lines=own,
        now=now,
        description=f"Invoice {invoice.number}",
    )
    for user, lines in sorted(sent.items()):
        fact = Fact(
            id=new_uid(),
            key=postings.issue_key(invoice.uid, payer=invoice.account, user=user),
            entity=invoice.issuer,
            posted_on=invoice.issued_on,
            billing_account=user,
            owner_org=invoice.owner_org,
            description=f"Invoice {invoice.number}",
        )
        ledger.post_fact(tx, fact=fact, entries=ledger.passed_on(lines, currency=invoice.currency), now=now)


def announce(
    tx: Tx,
    pen: Pen,
    invoice: Invoice,
    *,
    account: Account,
    profile: BillingProfile,
    issuer: IssuerVersion,
    now: datetime,
) -> None:
    """Announce the invoice to the channels, and by mail to whom the account names for it."""
    event = announcing.invoice_event(
        announcing.ISSUED,
        invoice,
        language=profile.language,
        issuer=issuer.body,
        subject=account.uid,
        mail_to=announcing.recipients(profile.contact) if pen.mails else (),
        more=announcing.issued_data(invoice),
    )
    notices.send(tx, pen.vault, event=event, now=now)


def _numbered(
    tx: Tx,
    drafted: Draft,
    *,
    uid: UUID,
    account: Account,
    profile: BillingProfile,
    issuer: IssuerVersion,
    now: datetime,
    void: Invoice | None,
) -> Invoice:
    """The invoice with the next number of its series, dated in the issuer's zone; `void` is the one it replaces."""
    series_spec: Mapping[str, Any] = issuer.body["numberSeries"]
    today = local_day(now, zone=issuer.body["timeZone"])
    series = issuing.series_of(prefix=series_spec["prefix"], per_year=series_spec["perYear"], day=today)
    # interest is simple: what charges it bears none, and nothing is off for paying it early
    one_time = drafted.kind == "OneTime"
    sequence, issued_on = invoice_rows.draw_number(
        tx, issuer=issuer.name, series=series, start=series_spec["start"], day=today
    )
    number = issuing.number_text(series=series, sequence=sequence, digits=series_spec["digits"])
    name, second_name = issuing.object_names(issuer=issuer.name, number=number)
    if invoice_reads.is_name_taken(tx, namespace=account.namespace, name=name):
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
        replaces=None if void is None else void.uid,
        replaces_name="" if void is None else void.name,
        e_invoicing=issuer.body.get("eInvoice", "None"),
        early=None
        if one_time
        else issuing.early_payment(profile.time_terms, issued_on=issued_on, net_days=profile.net_days),
        interest_percent=None if one_time else profile.time_terms.interest_percent,
        taxes=drafted.taxes,
    )


def _freeze(
    tx: Tx, vault: Vault, drafted: Draft, *, account: Account, profile: BillingProfile, now: datetime
) -> dict[str, Any]:
    """What is printed and could change later. The addressee is personal: sealed under the account's key."""
    buyer = issuing.party_body(issuing.addressee(profile, account_name=account.name))
    numbers = {share.project for line in drafted.lines for share in line.shares if share.project is not None}
    projects = directory.list_projects(tx, numbers=numbers)
    return {
        "timeZone": account.time_zone,
        "language": profile.language,
        "netDays": profile.net_days,
        "collectedFrom": profile.collected_from,
        "subject": str(account.uid),
        "buyer": vault.seal(tx, subject=account.uid, value=buyer, at=now),
        "projects": {str(project.number): project.name for project in projects},
        "conversions": frozen_conversions(drafted.lines),
    }


def book_versions(tx: Tx, drafted: Draft, *, known: dict[int, BookVersion]) -> Mapping[int, BookVersion]:
    """The names of the price books' versions that the lines were charged under, by number."""
    missing = {line.book for line in drafted.lines if line.book is not None and line.book not in known}
    if missing:
        for number, name, effective_from in catalog.list_book_names(tx, numbers=missing):
            known[number] = BookVersion(name, effective_from)
    return known
