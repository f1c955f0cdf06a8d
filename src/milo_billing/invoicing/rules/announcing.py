"""What is announced of invoices: events of the catalogue of notices, from what the invoice says of itself. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from milo_billing.accounts.types import Contact
from milo_billing.invoicing.rules.issuing import document_path
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.notices.types import Brand, Event

ISSUED: Final = "invoice.issued"

INVOICE: Final = "invoice"
CREDIT_NOTE: Final = "creditnote"
CANCELLATION: Final = "cancellation"
"""What a mail may have attached, before the namespace and the name."""


def invoice_data(invoice: Invoice) -> dict[str, Any]:
    """The fields that every event of an invoice has."""
    return {
        "invoice": {"namespace": invoice.namespace, "name": invoice.name},
        "account": {"namespace": invoice.namespace, "name": invoice.account_name},
        "number": invoice.number,
        "issuer": invoice.issuer,
        "currencyCode": invoice.currency,
        "total": str(minor_to_decimal(invoice.total_minor, invoice.currency)),
        "amountDue": str(minor_to_decimal(invoice.amount_due_minor, invoice.currency)),
        "issuedOn": invoice.issued_on.isoformat(),
        "dueOn": invoice.due_on.isoformat(),
    }


def invoice_event(
    type: str,
    invoice: Invoice,
    *,
    language: str,
    issuer: Mapping[str, Any],
    subject: UUID | None = None,
    mail_to: tuple[str, ...] = (),
    more: Mapping[str, Any] | None = None,
    once: str = "",
    attachments: tuple[str, ...] = (),
) -> Event:
    """An event of the invoice, in the issuer's name and the account's language.

    `issuer` is the body of the IssuerProfile's version. `subject` is the account's uid, needed with `mail_to`: who is
    told whatever channels there are. `once` tells events of the same type apart, where an invoice may have several.
    `more` are fields of the type's own.
    """
    return Event(
        type=type,
        key=f"invoice/{invoice.uid}/{type}" + (f"/{once}" if once else ""),
        org=invoice.owner_org,
        data={**invoice_data(invoice), **(more or {})},
        account=f"{invoice.namespace}/{invoice.account_name}",
        subject=subject,
        language=language,
        brand=Brand(name=issuer["legalName"], color=issuer.get("brand", {}).get("color", "")),
        mail_to=mail_to,
        attachments=(f"{INVOICE}/{invoice.namespace}/{invoice.name}",) if type == ISSUED else attachments,
    )


def issued_data(invoice: Invoice) -> dict[str, Any]:
    """What invoice.issued says besides: the period, and where the PDF is read."""
    return {
        "period": {"start": _shown(invoice.period.start), "end": _shown(invoice.period.end)},
        "pdf": document_path(invoice, kind="pdf"),
    }


def recipients(contact: Contact | None) -> tuple[str, ...]:
    """Who gets invoices; nobody where the account has no contact, or where its personal data was erased."""
    return () if contact is None else contact.invoice_recipients


def _shown(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"
