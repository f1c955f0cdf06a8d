"""An electronic invoice in UBL 2.1 (OASIS), an Invoice or a CreditNote: the syntax binding CEN/TS 16931-3-2."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Final

from milo_billing.adapters.einvoices.elements import Element, amount, group, node, plain, said, to_bytes
from milo_billing.adapters.einvoices.model import (
    SPECIFICATION,
    Adjustment,
    CategoryCode,
    EInvoice,
    ELine,
    EParty,
    TaxGroup,
)

_SCHEMA: Final = "urn:oasis:names:specification:ubl:schema:xsd:"
_INVOICE, _CREDIT_NOTE = "380", "381"
_DISCOUNT: Final = "95"


def write_ubl(invoice: EInvoice) -> bytes:
    """The invoice as an XML document: the same value gives the same bytes."""
    name = "CreditNote" if invoice.credit_note else "Invoice"
    namespaces = {
        "xmlns": f"{_SCHEMA}{name}-2",
        "xmlns:cac": f"{_SCHEMA}CommonAggregateComponents-2",
        "xmlns:cbc": f"{_SCHEMA}CommonBasicComponents-2",
    }
    return to_bytes(node(name, _content(invoice), attributes=namespaces))


def _content(invoice: EInvoice) -> Iterator[Element | None]:
    yield node("cbc:CustomizationID", SPECIFICATION)
    yield node("cbc:ID", invoice.number)
    yield _day("cbc:IssueDate", invoice.issued_on)
    if invoice.credit_note:
        yield node("cbc:CreditNoteTypeCode", _CREDIT_NOTE)
    else:
        yield None if invoice.due_on is None else _day("cbc:DueDate", invoice.due_on)
        yield node("cbc:InvoiceTypeCode", _INVOICE)
    # UBL has a single note (UBL-SR-03 of the binding), CII as many as there are lines
    yield said("cbc:Note", "\n".join(invoice.notes))
    yield node("cbc:DocumentCurrencyCode", invoice.currency)
    if invoice.accounting_tax is not None:
        yield node("cbc:TaxCurrencyCode", invoice.accounting_tax.currency)
    yield said("cbc:BuyerReference", invoice.reference)
    yield _period(invoice.first_day, invoice.last_day)
    for one in invoice.preceding:
        yield node(
            "cac:BillingReference",
            node(
                "cac:InvoiceDocumentReference",
                node("cbc:ID", one.number),
                _day("cbc:IssueDate", one.issued_on),
            ),
        )
    yield node("cac:AccountingSupplierParty", _party(invoice.seller))
    yield node("cac:AccountingCustomerParty", _party(invoice.buyer))
    yield _delivery(invoice)
    yield _payment_means(invoice)
    yield node("cac:PaymentTerms", node("cbc:Note", invoice.terms))
    for adjustment in invoice.adjustments:
        yield _adjustment(adjustment, invoice.currency)
    yield node(
        "cac:TaxTotal",
        _amount("cbc:TaxAmount", invoice.tax_minor, invoice.currency),
        [_tax_subtotal(tax, invoice.currency) for tax in invoice.taxes],
    )
    if (told := invoice.accounting_tax) is not None:
        yield node("cac:TaxTotal", _amount("cbc:TaxAmount", told.tax_minor, told.currency))
    yield _totals(invoice)
    for line in invoice.lines:
        yield _line(line, invoice)


def _party(party: EParty) -> Element:
    return node(
        "cac:Party",
        group("cac:PartyIdentification", said("cbc:ID", party.identifier)),
        node(
            "cac:PostalAddress",
            said("cbc:StreetName", party.line1),
            said("cbc:AdditionalStreetName", party.line2),
            said("cbc:CityName", party.city),
            said("cbc:PostalZone", party.postal_code),
            said("cbc:CountrySubentity", party.region),
            node("cac:Country", node("cbc:IdentificationCode", party.country)),
        ),
        _tax_scheme(party.vat_id, "VAT"),
        _tax_scheme(party.tax_number, "FC"),
        node(
            "cac:PartyLegalEntity",
            node("cbc:RegistrationName", party.name),
            said("cbc:CompanyID", party.registration),
        ),
        group("cac:Contact", said("cbc:Name", party.contact)),
    )


def _tax_scheme(id: str, scheme: str) -> Element | None:
    if not id:
        return None
    return node(
        "cac:PartyTaxScheme", node("cbc:CompanyID", id), node("cac:TaxScheme", node("cbc:ID", scheme))
    )


def _delivery(invoice: EInvoice) -> Element:
    """When it was supplied, and within the Union where to (BR-IC-12)."""
    return node(
        "cac:Delivery",
        _day("cbc:ActualDeliveryDate", invoice.last_day),
        None
        if not invoice.within_union
        else node(
            "cac:DeliveryLocation",
            node("cac:Address", node("cac:Country", node("cbc:IdentificationCode", invoice.buyer.country))),
        ),
    )


def _payment_means(invoice: EInvoice) -> Element | None:
    """The account to pay to, where one is known, or that the money is collected."""
    means = invoice.payment
    if means is None:
        return None
    branch = group("cac:FinancialInstitutionBranch", said("cbc:ID", means.bic))
    return node(
        "cac:PaymentMeans",
        node("cbc:PaymentMeansCode", means.code),
        node("cbc:PaymentID", invoice.payment_reference),
        group(
            "cac:PayeeFinancialAccount",
            said("cbc:ID", means.iban),
            said("cbc:Name", means.account_holder),
            branch,
        ),
    )


def _adjustment(one: Adjustment, currency: str) -> Element:
    return node(
        "cac:AllowanceCharge",
        node("cbc:ChargeIndicator", "true" if one.charge else "false"),
        None if one.charge else node("cbc:AllowanceChargeReasonCode", _DISCOUNT),
        node("cbc:AllowanceChargeReason", one.reason),
        _amount("cbc:Amount", one.amount_minor, currency),
        None if one.code is None else _category("cac:TaxCategory", one.code, one.percent),
    )


def _category(tag: str, code: CategoryCode, percent: Decimal, *reasons: Element | None) -> Element:
    return node(
        tag,
        node("cbc:ID", code),
        None if code == "O" else node("cbc:Percent", plain(percent)),
        reasons,
        node("cac:TaxScheme", node("cbc:ID", "VAT")),
    )


def _tax_subtotal(tax: TaxGroup, currency: str) -> Element:
    return node(
        "cac:TaxSubtotal",
        _amount("cbc:TaxableAmount", tax.base_minor, currency),
        _amount("cbc:TaxAmount", tax.tax_minor, currency),
        _category(
            "cac:TaxCategory",
            tax.code,
            tax.percent,
            said("cbc:TaxExemptionReasonCode", tax.reason_code),
            said("cbc:TaxExemptionReason", tax.reason),
        ),
    )


def _totals(invoice: EInvoice) -> Element:
    def one(tag: str, minor: int) -> Element:
        return _amount(tag, minor, invoice.currency)

    return node(
        "cac:LegalMonetaryTotal",
        one("cbc:LineExtensionAmount", invoice.lines_minor),
        one("cbc:TaxExclusiveAmount", invoice.net_minor),
        one("cbc:TaxInclusiveAmount", invoice.gross_minor),
        one("cbc:AllowanceTotalAmount", invoice.allowances_minor) if invoice.allowances_minor else None,
        one("cbc:ChargeTotalAmount", invoice.charges_minor) if invoice.charges_minor else None,
        one("cbc:PrepaidAmount", invoice.paid_minor) if invoice.paid_minor else None,
        one("cbc:PayableAmount", invoice.due_minor),
    )


def _line(line: ELine, invoice: EInvoice) -> Element:
    kind = "Credited" if invoice.credit_note else "Invoiced"
    return node(
        "cac:CreditNoteLine" if invoice.credit_note else "cac:InvoiceLine",
        node("cbc:ID", line.id),
        node(f"cbc:{kind}Quantity", plain(line.quantity), attributes={"unitCode": line.unit}),
        _amount("cbc:LineExtensionAmount", line.net_minor, invoice.currency),
        _period(line.first_day, line.last_day),
        [_adjustment(one, invoice.currency) for one in line.adjustments],
        node(
            "cac:Item",
            said("cbc:Description", line.description),
            node("cbc:Name", line.name),
            _category("cac:ClassifiedTaxCategory", line.code, line.percent),
            None
            if line.attribute is None
            else node(
                "cac:AdditionalItemProperty",
                node("cbc:Name", line.attribute[0]),
                node("cbc:Value", line.attribute[1]),
            ),
        ),
        node(
            "cac:Price",
            node("cbc:PriceAmount", plain(line.price), attributes={"currencyID": invoice.currency}),
        ),
    )


def _period(first: date, last: date) -> Element:
    return node("cac:InvoicePeriod", _day("cbc:StartDate", first), _day("cbc:EndDate", last))


def _day(tag: str, day: date) -> Element:
    return node(tag, day.isoformat())


def _amount(tag: str, minor: int, currency: str) -> Element:
    return node(tag, amount(minor, currency), attributes={"currencyID": currency})
