"""The documents of a credit note and of its cancellation: written when first asked for, sealed, the same ever after.

Owns: what stands on them, and which electronic document stands in the PDF. Not: how they look (adapters).
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
from milo_billing.invoicing.rules.crediting import CancellationNotFound, CreditNote, Paper, credited_line
from milo_billing.invoicing.rules.taxes import credited_accounting_tax
from milo_billing.invoicing.store import note_rows
from milo_billing.invoicing.types.documents import (
    CancelledNote,
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
    paper: Paper = "Note",
) -> PrintedDocument:
    """See `operations.print_credit_note`."""
    found = note_reads.find_note_document(tx, note=note.uid, paper=paper, kind=kind)
    if found is None:
        written = _written(tx, vault, writer, note=note, kind=kind, now=now, paper=paper)
        note_rows.insert_note_document(
            tx,
            note=note.uid,
            paper=paper,
            owner_org=note.owner_org,
            kind=kind,
            document=written,
            sha256=hashlib.sha256(written.content).digest(),
            sealed=sealed_documents.sealed(tx, vault, subject=note.uid, content=written.content, now=now),
            now=now,
        )
        found = note_reads.find_note_document(tx, note=note.uid, paper=paper, kind=kind)
        assert found is not None, "it was just written, here or by somebody else"
    of = f"credit note {note.number}" if paper == "Note" else f"the cancellation of credit note {note.number}"
    return sealed_documents.opened(tx, vault, found, subject=note.uid, of=of)


def check(
    tx: Tx,
    vault: Vault,
    writer: DocumentWriter,
    checker: EInvoiceChecker,
    *,
    note: CreditNote,
    now: datetime,
    paper: Paper = "Note",
) -> Mapping[Syntax, tuple[Finding, ...]]:
    """See `operations.check_credit_note`."""
    found: dict[Syntax, tuple[Finding, ...]] = {}
    for syntax in ELECTRONIC:
        kept = print_note(tx, vault, writer, note=note, kind=syntax, now=now, paper=paper)
        found[syntax] = checker.check(WrittenDocument(kept.media_type, syntax, kept.content))
    return found


def _written(
    tx: Tx,
    vault: Vault,
    writer: DocumentWriter,
    *,
    note: CreditNote,
    kind: DocumentKind,
    now: datetime,
    paper: Paper,
) -> WrittenDocument:
    loaded = load(tx, vault, note=note) if paper == "Note" else load_cancellation(tx, vault, note=note)
    if kind != PDF:
        return writer.write_electronic(loaded, syntax=kind)
    inside = None
    if loaded.e_invoicing == "FacturX":
        try:
            kept = print_note(tx, vault, writer, note=note, kind="cii", now=now, paper=paper)
            inside = WrittenDocument(kept.media_type, "cii", kept.content)
        except NoEInvoice as error:
            _log.info("pdf_without_einvoice", document=loaded.number, reason=str(error))
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


def load_cancellation(tx: Tx, vault: Vault, *, note: CreditNote) -> InvoiceDocument:
    """What is printed on the document that cancels the note: its lines and amounts, owed again with its invoice.

    What the note had put on account is taken from there, so it is paid already. Raises CancellationNotFound.
    """
    one = note.cancellation
    if one is None:
        raise CancellationNotFound(f"credit note {note.number} stands: there is no cancellation of it")
    invoice = invoice_reads.get_invoice_by_uid(tx, uid=note.invoice)
    return replace(
        load(tx, vault, note=note),
        number=one.number,
        issued_at=one.issued_at,
        issued_on=one.issued_on,
        due_on=invoice.due_on,
        prepaid_minor=note.on_account_minor,
        credits=None,
        cancels=CancelledNote(
            number=note.number,
            issued_on=note.issued_on,
            invoice_number=invoice.number,
            invoice_issued_on=invoice.issued_on,
            reason=one.reason,
        ),
        # nothing is collected or transferred for it alone: it is paid with its invoice, and nothing is off it
        early=None,
        early_minor=0,
        collected_from=None,
    )
