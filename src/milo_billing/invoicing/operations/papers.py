"""The documents of invoices and credit notes: written once, checked against the rules of EN 16931."""

from collections.abc import Mapping
from datetime import datetime

from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import invoice_documents, note_documents
from milo_billing.invoicing.engine.publishing import PDF
from milo_billing.invoicing.ports import DocumentWriter, EInvoiceChecker
from milo_billing.invoicing.rules.crediting import CreditNote, Paper
from milo_billing.invoicing.types.documents import DocumentKind, Finding, PrintedDocument, Syntax
from milo_billing.invoicing.types.invoices import Invoice


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
    tx: Tx,
    vault: Vault,
    writer: DocumentWriter,
    *,
    note: CreditNote,
    now: datetime,
    kind: DocumentKind = PDF,
    paper: Paper = "Note",
) -> PrintedDocument:
    """The PDF of the credit note or of its cancellation, or the electronic one: written once and sealed.

    Raises UnableToRender, NoEInvoice, CancellationNotFound, and UnableToOpen where the installation's key is lost.
    """
    return note_documents.print_note(tx, vault, writer, note=note, kind=kind, now=now, paper=paper)


def check_credit_note(
    tx: Tx,
    vault: Vault,
    writer: DocumentWriter,
    checker: EInvoiceChecker,
    *,
    note: CreditNote,
    now: datetime,
    paper: Paper = "Note",
) -> Mapping[Syntax, tuple[Finding, ...]]:
    """What the rules of EN 16931 say against the electronic credit notes or cancellations, as `check_documents`."""
    return note_documents.check(tx, vault, writer, checker, note=note, now=now, paper=paper)
