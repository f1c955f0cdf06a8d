"""Writes the electronic invoice of an issued invoice: the standard's core, without rules of a country or network."""

from decimal import Decimal

from milo_billing.adapters.einvoices.cii import write_cii
from milo_billing.adapters.einvoices.model import CategoryCode, EInvoice, TaxGroup
from milo_billing.adapters.einvoices.terms import electronic_invoice
from milo_billing.adapters.einvoices.ubl import write_ubl
from milo_billing.invoicing.types.documents import InvoiceDocument, Syntax, WrittenDocument
from milo_billing.invoicing.types.errors import NoEInvoice
from milo_billing.kernel.taxes import TaxGroup as InvoiceTaxGroup

MEDIA_TYPE = "application/xml"


def write_electronic(document: InvoiceDocument, *, syntax: Syntax) -> WrittenDocument:
    """The invoice in UBL 2.1 or CII D16B. Raises NoEInvoice."""
    invoice = electronic_invoice(
        document,
        taxes=_taxes(document),
        kind="Invoice" if document.credits is None else "CreditNote",
        paid_minor=document.prepaid_minor,
    )
    return as_document(invoice, syntax=syntax)


def as_document(invoice: EInvoice, *, syntax: Syntax) -> WrittenDocument:
    """The terms as they are written: what stands in the document does not depend on the syntax."""
    match syntax:
        case "ubl":
            return WrittenDocument(MEDIA_TYPE, "ubl-2.1/1", write_ubl(invoice))
        case "cii":
            return WrittenDocument(MEDIA_TYPE, "cii-d16b/1", write_cii(invoice))


def _taxes(document: InvoiceDocument) -> tuple[TaxGroup, ...]:
    """The invoice's tax groups, with the lines that belong to each.

    The standard has one for each category and rate (BR-S-08), so those of several places or reasons become one.
    Raises NoEInvoice for a line of several taxes, such as those of a state and a city: the standard knows one.
    """
    lines: dict[int, set[int]] = {}
    for line in document.lines:
        if len(line.taxes) != 1:
            raise NoEInvoice(
                f"there is no electronic invoice of {document.number}: line {line.line} is taxed by "
                f"{len(line.taxes)} taxes, and EN 16931 knows one for a line (BR-CO-4). Its PDF is not concerned"
            )
        lines.setdefault(line.taxes[0], set()).add(line.line)
    groups: dict[tuple[CategoryCode, Decimal], TaxGroup] = {}
    for number, one in enumerate(document.taxes, start=1):
        group = _group(one, frozenset(lines.get(number, ())))
        key = group.code, group.percent
        groups[key] = _joined(groups[key], group) if key in groups else group
    return tuple(groups.values())


def _group(one: InvoiceTaxGroup, lines: frozenset[int]) -> TaxGroup:
    treatment = one.treatment
    return TaxGroup(
        code=treatment.code,
        percent=treatment.percent,
        base_minor=one.basis_minor,
        tax_minor=one.tax_minor,
        lines=lines,
        reason=treatment.reason,
        reason_code=treatment.reason_code,
    )


def _joined(one: TaxGroup, other: TaxGroup) -> TaxGroup:
    """Both as one; a code stays only where it is right for all of it."""
    reasons = dict.fromkeys(filter(None, (one.reason, other.reason)))
    return TaxGroup(
        code=one.code,
        percent=one.percent,
        base_minor=one.base_minor + other.base_minor,
        tax_minor=one.tax_minor + other.tax_minor,
        lines=one.lines | other.lines,
        reason="; ".join(reasons),
        reason_code=one.reason_code if one.reason_code == other.reason_code else "",
    )
