"""The document of a credit note: written when it is first asked for, sealed, the same bytes ever after."""

import base64
import hashlib
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final, cast

from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing import store
from milo_billing.invoicing.engine.publishing import PDF
from milo_billing.invoicing.ports import DocumentWriter
from milo_billing.invoicing.reads import documents as document_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.rules.crediting import CreditNote
from milo_billing.invoicing.types import CreditedInvoice, InvoiceDocument, InvoiceLine, PrintedDocument
from milo_billing.kernel.taxes import TaxGroup

LINES_MAX: Final = 100_000


def print_note(
    tx: Tx, vault: Vault, writer: DocumentWriter, *, note: CreditNote, now: datetime
) -> PrintedDocument:
    """See `operations.print_credit_note`."""
    found = note_reads.find_note_document(tx, note=note.uid, kind=PDF)
    if found is None:
        written = writer.write(load(tx, vault, note=note))
        body = base64.b64encode(written.content).decode()
        store.insert_note_document(
            tx,
            note=note.uid,
            owner_org=note.owner_org,
            kind=PDF,
            document=written,
            sha256=hashlib.sha256(written.content).digest(),
            sealed=vault.seal(tx, subject=note.uid, value=body, at=now),
            now=now,
        )
        found = note_reads.find_note_document(tx, note=note.uid, kind=PDF)
        assert found is not None, "it was just written, here or by somebody else"
    media_type, sha256, sealed = found
    content = base64.b64decode(cast("str", vault.open(tx, subject=note.uid, ciphertext=sealed)))
    if hashlib.sha256(content).digest() != sha256:
        raise AssertionError(f"the document of credit note {note.number} is not the one that was written")
    return PrintedDocument(media_type=media_type, sha256=sha256, content=content)


def load(tx: Tx, vault: Vault, *, note: CreditNote) -> InvoiceDocument:
    """What is printed on the credit note: the invoice's parties and lines as they were frozen, what was credited."""
    invoice = invoice_reads.get_invoice_by_uid(tx, uid=note.invoice)
    lines = {line.line: line for line in line_reads.list_lines(tx, invoice=invoice.uid, limit=LINES_MAX)}
    credited = note_reads.list_credit_lines(tx, note=note.uid)
    shown = tuple(_line(lines[one.line], net_minor=one.net_minor, quantity=one.quantity) for one in credited)
    taxes = note_reads.list_note_taxes(tx, note=note.uid)
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
            for number, one in sorted(taxes.items())
        ),
        total_minor=note.total_minor,
        bank=None,
        accounting_tax=None,
        credits=CreditedInvoice(
            number=invoice.number,
            issued_on=invoice.issued_on,
            reason=note.reason,
            settled_minor=note.settled_minor,
        ),
    )


def _line(line: InvoiceLine, *, net_minor: int, quantity: Decimal | None) -> InvoiceLine:
    """The line with what was credited of it, net of discounts, and no more."""
    return replace(
        line,
        quantity=quantity or Decimal(0),
        included=Decimal(0),
        amount_minor=net_minor,
        parts=(),
        projects=(),
        discounts=(),
        conversion=None,
    )
