"""Numbers, dates, and what an issued invoice says of itself."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from milo_billing.accounts.types import BillingProfile
from milo_billing.commitments.types import Giver
from milo_billing.invoicing.rules.tax_bodies import tax_bodies
from milo_billing.invoicing.types.documents import DocumentKind, Party, PostalAddress, TaxId
from milo_billing.invoicing.types.drafts import GROUP, Draft
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Invoice, InvoiceDiscount, InvoiceLine
from milo_billing.kernel.money import Money, minor_to_decimal
from milo_billing.kernel.periods import Period
from milo_billing.kernel.terms import EarlyPayment, TimeTerms


def assert_closed(period: Period, *, now: datetime) -> None:
    """Raise UnableToIssue while the period runs: usage of it may still come in on time."""
    if now < period.end:
        raise UnableToIssue(
            f"the billing period ends at {period.end:%Y-%m-%d %H:%M} UTC: run the month again after that"
        )


def due_on(issued_on: date, *, net_days: int) -> date:
    """The last day on which payment is in time: calendar days after the issue date [PR-070..072]."""
    return issued_on + timedelta(days=net_days)


def early_payment(terms: TimeTerms, *, issued_on: date, net_days: int) -> EarlyPayment | None:
    """The discount for early payment that the invoice offers, never beyond its last day to pay."""
    if terms.early_percent is None:
        return None
    until = issued_on + timedelta(days=min(terms.early_days, net_days))
    return EarlyPayment(terms.early_percent, until)


def series_of(*, prefix: str, per_year: bool, day: date) -> str:
    """The series that an invoice of this day belongs to: everything in its number before the digits."""
    return f"{prefix}{day.year}-" if per_year else prefix


def number_text(*, series: str, sequence: int, digits: int) -> str:
    """`INV-2026-000123`. A sequence that outgrows the digits is written in full."""
    return f"{series}{sequence:0{digits}d}"


def object_names(*, issuer: str, number: str) -> tuple[str, str]:
    """What the Invoice object is called: its number; where another issuer's invoice has that, the second name."""
    return number.lower(), f"{issuer}.{number.lower()}"


def document_paths(invoice: Invoice) -> dict[DocumentKind, str]:
    """Where the documents that the issuer sends are read, on this server."""
    sent: tuple[DocumentKind, ...] = ("pdf", "ubl") if invoice.e_invoicing == "UBL" else ("pdf",)
    return {kind: document_path(invoice, kind=kind) for kind in sent}


def document_path(invoice: Invoice, *, kind: DocumentKind) -> str:
    """Where one of the invoice's documents is read."""
    return f"/apis/{GROUP}/v1alpha1/namespaces/{invoice.namespace}/invoices/{invoice.name}/{kind}"


def replaced_by(drafted: Draft, voided: Sequence[Invoice]) -> Invoice | None:
    """The void invoice whose days a periodic draft invoices anew: the last of these that shares an instant with it."""
    if drafted.kind not in ("Periodic", "Consolidated", "Final"):
        return None
    period = drafted.period
    shared = [one for one in voided if one.period.start < period.end and period.start < one.period.end]
    return shared[-1] if shared else None


def invoice_spec(invoice: Invoice) -> dict[str, Any]:
    """The spec of the Invoice object: what was asked for."""
    return {
        "billingAccountRef": {"name": invoice.account_name},
        "kind": invoice.kind,
        "period": {
            "start": f"{invoice.period.start:%Y-%m-%dT%H:%M:%SZ}",
            "end": f"{invoice.period.end:%Y-%m-%dT%H:%M:%SZ}",
        },
    }


def invoice_status(invoice: Invoice) -> dict[str, Any]:
    """The status of the Invoice object, without its conditions; amounts are decimal strings."""

    def amount(minor: int) -> str:
        return str(minor_to_decimal(minor, invoice.currency))

    return {
        "phase": invoice.phase,
        "number": invoice.number,
        "issuer": invoice.issuer,
        "currencyCode": invoice.currency,
        "subtotal": amount(invoice.subtotal_minor),
        "discounts": amount(invoice.discounts_minor),
        "tax": tax_bodies(invoice.taxes, currency=invoice.currency),
        "taxTotal": amount(invoice.tax_minor),
        "credits": amount(0 if invoice.phase == "Void" else invoice.credits_minor),
        "total": amount(invoice.total_minor),
        "amountPaid": amount(invoice.amount_paid_minor),
        "amountCredited": amount(invoice.credited_minor),
        "amountWrittenOff": amount(invoice.written_off_minor),
        "amountDue": amount(invoice.amount_due_minor),
        "issuedOn": invoice.issued_on.isoformat(),
        "dueDate": invoice.due_on.isoformat(),
        "replaces": invoice.replaces_name,
    }


def invoice_conditions(invoice: Invoice) -> Iterator[tuple[str, Literal["True", "False"], str, str]]:
    """(type, status, reason, message) of what the invoice's phase means."""
    yield "Issued", "True", "InvoiceIssued", f"Invoice {invoice.number} was issued on {invoice.issued_on}."
    if invoice.phase == "PastDue":
        message = f"{Money(invoice.amount_due_minor, invoice.currency)} was to be paid by {invoice.due_on}."
        yield "PastDue", "True", "PaymentOverdue", message
    else:
        yield "PastDue", "False", f"Invoice{invoice.phase}", f"The invoice is {invoice.phase}."
    if invoice.phase == "Void":
        yield (
            "Voided",
            "True",
            "InvoiceVoided",
            "The invoice was taken back as a whole; nothing is owed for it.",
        )


def invoice_discounts(lines: Iterable[InvoiceLine]) -> tuple[InvoiceDiscount, ...]:
    """What was taken off the whole invoice, once for each Discount, in the order in which they acted."""
    amounts: dict[tuple[UUID, str, Decimal | None, Giver], int] = {}
    for line in lines:
        for one in line.discounts:
            if one.scope == "Invoice":
                key = one.source, one.title, one.percent, one.given_by
                amounts[key] = amounts.get(key, 0) + one.amount_minor
    # percentages act before fixed amounts; a line may have been reached by some of them only
    ordered = sorted(amounts.items(), key=lambda item: item[0][2] is None)
    return tuple(
        InvoiceDiscount(title, percent, minor, giver) for (_, title, percent, giver), minor in ordered
    )


def addressee(profile: BillingProfile, *, account_name: str) -> Party:
    """Whom the invoice is addressed to: the business, at a person's attention; else the person; else the account."""
    contact = profile.contact
    business, person = ("", "") if contact is None else (contact.business_name, contact.name)
    address = None if contact is None else contact.address
    return Party(
        name=business or person or profile.display_name or account_name,
        contact=person if business else "",
        address=None
        if address is None
        else PostalAddress(
            country=address.country,
            line1=address.line1,
            line2=address.line2,
            city=address.city,
            region=address.region,
            postal_code=address.postal_code,
        ),
        tax_ids=tuple(TaxId(type=tax_id.type, value=tax_id.value) for tax_id in profile.tax_ids),
    )


def party_body(party: Party) -> dict[str, Any]:
    """The party as it is kept, sealed, with the invoice."""
    address = party.address
    return {
        "name": party.name,
        "contact": party.contact,
        "address": None
        if address is None
        else [
            address.country,
            address.line1,
            address.line2,
            address.city,
            address.region,
            address.postal_code,
        ],
        "taxIds": [[tax_id.type, tax_id.value] for tax_id in party.tax_ids],
    }


def party_of(body: dict[str, Any]) -> Party:
    """The party again, from what `party_body` made."""
    return Party(
        name=body["name"],
        contact=body["contact"],
        address=None if body["address"] is None else PostalAddress(*body["address"]),
        tax_ids=tuple(TaxId(*pair) for pair in body["taxIds"]),
    )
