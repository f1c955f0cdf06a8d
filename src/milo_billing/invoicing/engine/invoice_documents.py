"""The documents of an invoice: written when they are first asked for, sealed, the same bytes ever after.

Owns: what is kept, under which key, and which electronic invoice stands in the PDF. Not: how they look (adapters).
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import structlog

from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import sealed_documents
from milo_billing.invoicing.engine.publishing import PDF
from milo_billing.invoicing.ports import DocumentWriter, EInvoiceChecker
from milo_billing.invoicing.reads import documents as document_reads
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.store import document_rows
from milo_billing.invoicing.types.documents import (
    DocumentKind,
    Finding,
    InvoiceDocument,
    PrintedDocument,
    Syntax,
    WrittenDocument,
)
from milo_billing.invoicing.types.errors import NoEInvoice, UnableToRender
from milo_billing.invoicing.types.invoices import Invoice

_log = structlog.get_logger(__name__)

LINES_MAX: Final = 10_000
"""Lines of one printed invoice."""

ELECTRONIC: Final[tuple[Syntax, ...]] = ("ubl", "cii")


def print_invoice(
    tx: Tx,
    vault: Vault,
    writer: DocumentWriter,
    *,
    invoice: Invoice,
    now: datetime,
    kind: DocumentKind,
) -> PrintedDocument:
    """See `operations.print_invoice`."""
    found = document_reads.find_document(tx, invoice=invoice.uid, kind=kind)
    if found is None:
        _write(tx, vault, writer, invoice=invoice, kind=kind, now=now)
        found = document_reads.find_document(tx, invoice=invoice.uid, kind=kind)
        assert found is not None, "it was just written, here or by somebody else"
    return sealed_documents.opened(tx, vault, found, subject=invoice.uid, of=f"invoice {invoice.number}")


def check(
    tx: Tx,
    vault: Vault,
    writer: DocumentWriter,
    checker: EInvoiceChecker,
    *,
    invoice: Invoice,
    now: datetime,
) -> Mapping[Syntax, tuple[Finding, ...]]:
    """See `operations.check_documents`."""
    found: dict[Syntax, tuple[Finding, ...]] = {}
    for syntax in ELECTRONIC:
        kept = print_invoice(tx, vault, writer, invoice=invoice, now=now, kind=syntax)
        found[syntax] = checker.check(WrittenDocument(kept.media_type, syntax, kept.content))
    return found


def _write(
    tx: Tx, vault: Vault, writer: DocumentWriter, *, invoice: Invoice, kind: DocumentKind, now: datetime
) -> None:
    lines = line_reads.list_lines(tx, invoice=invoice.uid, limit=LINES_MAX + 1)
    if len(lines) > LINES_MAX:
        raise UnableToRender(f"invoice {invoice.number} has more than {LINES_MAX} lines: read them as data")
    loaded = document_reads.load_document(tx, vault, invoice=invoice, lines=lines)
    if kind == PDF:
        inside = _attachment(tx, vault, writer, invoice=invoice, loaded=loaded, now=now)
        document = writer.write(loaded, attached=inside)
    else:
        document = writer.write_electronic(loaded, syntax=kind)
    document_rows.insert_document(
        tx,
        invoice=invoice.uid,
        owner_org=invoice.owner_org,
        kind=kind,
        document=document,
        sha256=hashlib.sha256(document.content).digest(),
        sealed=sealed_documents.sealed(tx, vault, subject=invoice.uid, content=document.content, now=now),
        now=now,
    )


def _attachment(
    tx: Tx,
    vault: Vault,
    writer: DocumentWriter,
    *,
    invoice: Invoice,
    loaded: InvoiceDocument,
    now: datetime,
) -> WrittenDocument | None:
    """The electronic invoice that stands in the PDF, the one that is kept; none where there can be none."""
    if loaded.e_invoicing != "FacturX":
        return None
    try:
        kept = print_invoice(tx, vault, writer, invoice=invoice, now=now, kind="cii")
    except NoEInvoice as error:
        _log.info("pdf_without_einvoice", invoice=invoice.number, reason=str(error))
        return None
    return WrittenDocument(kept.media_type, "cii", kept.content)
