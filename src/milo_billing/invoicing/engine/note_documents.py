"""The documents of a credit note: written when they are first asked for, sealed, the same bytes ever after.

Owns: what stands on a note, and which electronic credit note stands in its PDF. Not: how they look (adapters).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import sealed_documents
from milo_billing.invoicing.engine.invoice_documents import ELECTRONIC
from milo_billing.invoicing.engine.publishing import PDF
from milo_billing.invoicing.ports import DocumentWriter, EInvoiceChecker
from milo_billing.invoicing.reads import documents as document_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.rules.crediting import CreditNote, credited_line
from milo_billing.invoicing.rules.taxes import credited_accounting_tax
from milo_billing.invoicing.store import note_rows
from milo_billing.invoicing.types.documents import (
    CreditedInvoice,
    DocumentKind,
    Finding,
    InvoiceDocument,
    PrintedDocument,
    Syntax,
    WrittenDocument,
)
from milo_billing.invoicing.types.errors import NoEInvoice
from milo_billing.kernel.money import Money
from milo_billing.kernel.taxes import TaxGroup

_log = structlog.get_logger(__name__)

LINES_MAX: Final = 100_000


def print_note(
    tx: Tx,
    vault: Vault,
    writer: DocumentWriter,
    *,
    note: CreditNote,
    kind: DocumentKind,
    now: datetime,
) -> PrintedDocument:
    """See `operations.print_credit_note`."""
    found = note_reads.find_note_document(tx, note=note.uid, kind=kind)
    if found is None:
        written = _written(tx, vault, writer, note=note, kind=kind, now=now)
        note_rows.insert_note_document(
            tx,
            note=note.uid,
            owner_org=note.owner_org,
            kind=kind,
            document=written,
            sha256=hashlib.sha256(written.content).digest(),
            sealed=sealed_documents.sealed(tx, vault, subject=note.uid, content=written.content, now=now),
            now=now,
        )
        found = note_reads.find_note_document(tx, note=note.uid, kind=kind)
        assert found is not None, "it was just written, here or by somebody else"
    return sealed_documents.opened(tx, vault, found, subject=note.uid, of=f"credit note {note.number}")


def check(
    tx: Tx,
    vault: Vault,
    writer: DocumentWriter,
    checker: EInvoiceChecker,
    *,
    note: CreditNote,
    now: datetime,
) -> Mapping[Syntax, tuple[Finding, ...]]:
    """See `operations.check_credit_note`."""
    found: dict[Syntax, tuple[Finding, ...]] = {}
    for syntax in ELECTRONIC:
        kept = print_note(tx, vault, writer, note=note, kind=syntax, now=now)
        found[syntax] = checker.check(WrittenDocument(kept.media_type, syntax, kept.content))
    return found


def _written(
    tx: Tx, vault: Vault, writer: DocumentWriter, *, note: CreditNote, kind: DocumentKind, now: datetime
) -> WrittenDocument:
    loaded = load(tx, vault, note=note)
    if kind != PDF:
        return writer.write_electronic(loaded, syntax=kind)
    inside = None
    if loaded.e_invoicing == "FacturX":
        try:
            kept = print_note(tx, vault, writer, note=note, kind="cii", now=now)
            inside = WrittenDocument(kept.media_type, "cii", kept.content)
        except NoEInvoice as error:
            _log.info("pdf_without_einvoice", credit_note=note.number, reason=str(error))
    return writer.write(loaded, attached=inside)


def load(tx: Tx, vault: Vault, *, note: CreditNote) -> InvoiceDocument:
    """What is printed on the credit note: the invoice's parties and lines as they were frozen, what was credited."""
    invoice = invoice_reads.get_invoice_by_uid(tx, uid=note.invoice)
    lines = {line.line: line for line in line_reads.list_lines(tx, invoice=invoice.uid, limit=LINES_MAX)}
    taxes = sorted(note_reads.list_note_taxes(tx, note=note.uid).items())
    # the note has groups of its own, counted from 1: those of the invoice that it takes nothing of are not on it
    numbers = {number: own for own, (number, _) in enumerate(taxes, start=1)}
    shown = tuple(
        credited_line(lines[one.line], one, currency=note.currency, groups=numbers)
        for one in note_reads.list_credit_lines(tx, note=note.uid)
    )
    loaded = document_reads.load_document(tx, vault, invoice=invoice, lines=shown)
    return replace(
        loaded,
        number=note.number,
        issued_at=note.issued_at,
        issued_on=note.issued_on,
        due_on=note.issued_on,
        subtotal_minor=note.net_minor,
        discounts=(),
        prepaid_minor=0,
        tax_minor=note.tax_minor,
        taxes=tuple(
            TaxGroup(invoice.taxes[number - 1].treatment, one.basis_minor, one.tax_minor)
            for number, one in taxes
        ),
        total_minor=note.total_minor,
        bank=None,
        accounting_tax=credited_accounting_tax(
            loaded.accounting_tax,
            of=Money(invoice.tax_minor, note.currency),
            before=Money(note_reads.sum_taxes_before(tx, note=note), note.currency),
            credited=Money(note.tax_minor, note.currency),
        ),
        credits=CreditedInvoice(
            number=invoice.number,
            issued_on=invoice.issued_on,
            reason=note.reason,
            settled_minor=note.settled_minor,
        ),
    )
