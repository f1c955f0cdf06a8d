"""Writes the electronic invoice of an issued invoice: the standard's core, without rules of a country or network."""

from decimal import Decimal

from milo_billing.adapters.einvoices.cii import write_cii
from milo_billing.adapters.einvoices.model import EInvoice, TaxGroup
from milo_billing.adapters.einvoices.terms import electronic_invoice
from milo_billing.adapters.einvoices.ubl import write_ubl
from milo_billing.invoicing.types import InvoiceDocument, Syntax, WrittenDocument

MEDIA_TYPE = "application/xml"


def write_electronic(document: InvoiceDocument, *, syntax: Syntax) -> WrittenDocument:
    """The invoice in UBL 2.1 or CII D16B. Raises NoEInvoice."""
    return as_document(electronic_invoice(document, taxes=_taxes(document)), syntax=syntax)


def as_document(invoice: EInvoice, *, syntax: Syntax) -> WrittenDocument:
    """The terms as they are written: what stands in the document does not depend on the syntax."""
    match syntax:
        case "ubl":
            return WrittenDocument(MEDIA_TYPE, "ubl-2.1/1", write_ubl(invoice))
        case "cii":
            return WrittenDocument(MEDIA_TYPE, "cii-d16b/1", write_cii(invoice))


def _taxes(document: InvoiceDocument) -> tuple[TaxGroup, ...]:
    """Nothing is taxed yet: every line is out of scope."""
    return (
        TaxGroup(
            code="O",
            percent=Decimal(0),
            base_minor=document.total_minor,
            tax_minor=0,
            lines=frozenset(line.line for line in document.lines),
            reason="Not subject to tax",
            reason_code="VATEX-EU-O",
        ),
    )
