"""What is printed on an invoice, and what was printed."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, cast
from uuid import UUID

from milo_billing.infra.crypto import Erased, Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads.grants import paid_at_issue_minor
from milo_billing.invoicing.rules import early_payment, issuing, profiles, tax_bodies
from milo_billing.invoicing.types.documents import AdjustedInvoice, InvoiceDocument, ReplacedInvoice
from milo_billing.invoicing.types.errors import InvoiceNotFound
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine
from milo_billing.kernel.periods import Period, local_day


def find_document(tx: Tx, *, invoice: UUID, kind: str) -> tuple[str, bytes, str] | None:
    """The media type, the SHA-256 of the clear bytes, and the sealed body; None where it was never written."""
    return cast(
        "tuple[str, bytes, str] | None",
        tx.execute(
            "select media_type, sha256, sealed from invoicing.documents where invoice = %s and kind = %s",
            (invoice, kind),
        ).fetchone(),
    )


def load_document(tx: Tx, vault: Vault, *, invoice: Invoice, lines: Iterable[InvoiceLine]) -> InvoiceDocument:
    """What is printed on the invoice, from what was frozen when it was issued: later changes do not show."""
    lines = tuple(lines)
    row = tx.execute(
        "select i.frozen, v.body from invoicing.invoices i "
        "join invoicing.issuer_versions v on v.digest = i.issuer_version where i.uid = %s",
        (invoice.uid,),
    ).fetchone()
    if row is None:
        raise InvoiceNotFound(f"invoice {invoice.number} is not within reach")
    frozen: dict[str, Any] = row[0]
    issuer: dict[str, Any] = row[1]
    buyer = vault.open(tx, subject=UUID(frozen["subject"]), ciphertext=frozen["buyer"])
    brand = issuer.get("brand", {})
    zone: str = frozen["timeZone"]
    collected_from = frozen.get("collectedFrom")
    return InvoiceDocument(
        number=invoice.number,
        issued_at=invoice.issued_at,
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        first_day=local_day(invoice.period.start, zone=zone),
        end_day=_day_after(invoice.period, zone=zone),
        time_zone=zone,
        language=frozen["language"],
        account=f"{invoice.namespace.removeprefix('organization-')}/{invoice.account_name}",
        currency=invoice.currency,
        subtotal_minor=invoice.subtotal_minor,
        discounts=issuing.invoice_discounts(lines),
        total_minor=invoice.total_minor,
        seller=profiles.issuer_party(issuer),
        buyer=None if isinstance(buyer, Erased) else issuing.party_of(cast("dict[str, Any]", buyer)),
        logo=profiles.read_logo(brand["logo"]) if brand.get("logo") else None,
        color=brand.get("color", profiles.DEFAULT_COLOR),
        # who is told an account to pay to and charged by card as well pays twice
        bank=None if collected_from else profiles.issuer_bank(issuer),
        legal_text=issuer.get("legalText", ""),
        lines=lines,
        e_invoicing=invoice.e_invoicing,
        tax_minor=invoice.tax_minor,
        taxes=invoice.taxes,
        prepaid_minor=paid_at_issue_minor(tx, invoice=invoice.uid),
        accounting_tax=tax_bodies.read_accounting_tax(frozen.get("accountingTax")),
        early=invoice.early,
        early_minor=early_payment.printed_minor(invoice, lines=lines),
        collected_from=collected_from,
        adjusted=_list_adjusted(tx, lines=lines),
        replaces=_find_replaced(tx, invoice=invoice),
    )


def _list_adjusted(tx: Tx, *, lines: Iterable[InvoiceLine]) -> tuple[AdjustedInvoice, ...]:
    """The earlier invoices that these lines adjust, each once, the oldest first."""
    uids = {line.adjusts.invoice for line in lines if line.adjusts is not None}
    if not uids:
        return ()
    rows = tx.execute(
        "select number, issued_on from invoicing.invoices where uid = any(%s) order by issued_on, sequence",
        (list(uids),),
    )
    return tuple(AdjustedInvoice(*row) for row in rows)


def _find_replaced(tx: Tx, *, invoice: Invoice) -> ReplacedInvoice | None:
    """The void invoice in whose place this one was issued; not where its account was of another organization then,
    whoever asks: a document is written once, for all who read it.
    """
    if invoice.replaces is None:
        return None
    query = "select number, issued_on from invoicing.invoices where uid = %s and owner_org = %s"
    row = tx.execute(query, (invoice.replaces, invoice.owner_org)).fetchone()
    return None if row is None else ReplacedInvoice(*row)


def _day_after(period: Period, *, zone: str) -> date:
    return local_day(period.end - timedelta(microseconds=1), zone=zone) + timedelta(days=1)
