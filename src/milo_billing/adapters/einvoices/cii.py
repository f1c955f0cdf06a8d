"""An electronic invoice in UN/CEFACT CII D16B, as Factur-X embeds it: the syntax binding CEN/TS 16931-3-3."""

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

_NAMESPACES: Final = {
    "xmlns:rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "xmlns:ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "xmlns:qdt": "urn:un:unece:uncefact:data:standard:QualifiedDataType:100",
    "xmlns:udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}
_INVOICE, _CREDIT_NOTE = "380", "381"
_DISCOUNT: Final = "95"
_DAY_FORMAT: Final = {"format": "102"}


def write_cii(invoice: EInvoice) -> bytes:
    """The invoice as an XML document: the same value gives the same bytes."""
    return to_bytes(
        node(
            "rsm:CrossIndustryInvoice",
            node(
                "rsm:ExchangedDocumentContext",
                node("ram:GuidelineSpecifiedDocumentContextParameter", node("ram:ID", SPECIFICATION)),
            ),
            node(
                "rsm:ExchangedDocument",
                node("ram:ID", invoice.number),
                node("ram:TypeCode", _CREDIT_NOTE if invoice.credit_note else _INVOICE),
                _instant("ram:IssueDateTime", invoice.issued_on),
                [node("ram:IncludedNote", node("ram:Content", note)) for note in invoice.notes],
            ),
            node(
                "rsm:SupplyChainTradeTransaction",
                [_line(line, invoice.currency) for line in invoice.lines],
                node(
                    "ram:ApplicableHeaderTradeAgreement",
                    said("ram:BuyerReference", invoice.reference),
                    _party("ram:SellerTradeParty", invoice.seller),
                    _party("ram:BuyerTradeParty", invoice.buyer),
                ),
                node("ram:ApplicableHeaderTradeDelivery", _delivery(invoice)),
                node("ram:ApplicableHeaderTradeSettlement", _settlement(invoice)),
            ),
            attributes=_NAMESPACES,
        )
    )


def _party(tag: str, party: EParty) -> Element:
    return node(
        tag,
        said("ram:ID", party.identifier),
        node("ram:Name", party.name),
        group("ram:SpecifiedLegalOrganization", said("ram:ID", party.registration)),
        group("ram:DefinedTradeContact", said("ram:PersonName", party.contact)),
        node(
            "ram:PostalTradeAddress",
            said("ram:PostcodeCode", party.postal_code),
            said("ram:LineOne", party.line1),
            said("ram:LineTwo", party.line2),
            said("ram:CityName", party.city),
            node("ram:CountryID", party.country),
            said("ram:CountrySubDivisionName", party.region),
        ),
        _tax_registration(party.vat_id, "VA"),
        _tax_registration(party.tax_number, "FC"),
    )


def _tax_registration(id: str, scheme: str) -> Element | None:
    return group("ram:SpecifiedTaxRegistration", said("ram:ID", id, attributes={"schemeID": scheme}))


def _delivery(invoice: EInvoice) -> Iterator[Element | None]:
    """When it was supplied, and within the Union where to (BR-IC-12)."""
    if invoice.within_union:
        country = node("ram:CountryID", invoice.buyer.country)
        yield node("ram:ShipToTradeParty", node("ram:PostalTradeAddress", country))
    yield node("ram:ActualDeliverySupplyChainEvent", _instant("ram:OccurrenceDateTime", invoice.last_day))


def _settlement(invoice: EInvoice) -> Iterator[Element | None]:
    yield node("ram:PaymentReference", invoice.payment_reference)
    if invoice.accounting_tax is not None:
        yield node("ram:TaxCurrencyCode", invoice.accounting_tax.currency)
    yield node("ram:InvoiceCurrencyCode", invoice.currency)
    if (means := invoice.payment) is not None:
        yield node(
            "ram:SpecifiedTradeSettlementPaymentMeans",
            node("ram:TypeCode", means.code),
            group(
                "ram:PayeePartyCreditorFinancialAccount",
                said("ram:IBANID", means.iban),
                said("ram:AccountName", means.account_holder),
            ),
            group("ram:PayeeSpecifiedCreditorFinancialInstitution", said("ram:BICID", means.bic)),
        )
    for tax in invoice.taxes:
        yield _tax(tax, invoice.currency)
    yield _period(invoice.first_day, invoice.last_day)
    for adjustment in invoice.adjustments:
        yield _adjustment(adjustment, invoice.currency)
    yield node(
        "ram:SpecifiedTradePaymentTerms",
        node("ram:Description", invoice.terms),
        None if invoice.due_on is None else _instant("ram:DueDateDateTime", invoice.due_on),
    )
    yield _totals(invoice)
    for one in invoice.preceding:
        yield node(
            "ram:InvoiceReferencedDocument",
            node("ram:IssuerAssignedID", one.number),
            node(
                "ram:FormattedIssueDateTime",
                node("qdt:DateTimeString", _digits(one.issued_on), attributes=_DAY_FORMAT),
            ),
        )


def _tax(tax: TaxGroup, currency: str) -> Element:
    return node(
        "ram:ApplicableTradeTax",
        node("ram:CalculatedAmount", amount(tax.tax_minor, currency)),
        node("ram:TypeCode", "VAT"),
        said("ram:ExemptionReason", tax.reason),
        node("ram:BasisAmount", amount(tax.base_minor, currency)),
        node("ram:CategoryCode", tax.code),
        said("ram:ExemptionReasonCode", tax.reason_code),
        _percent(tax.code, tax.percent),
    )


def _percent(code: CategoryCode, percent: Decimal) -> Element | None:
    return None if code == "O" else node("ram:RateApplicablePercent", plain(percent))


def _category(tag: str, code: CategoryCode, percent: Decimal) -> Element:
    return node(tag, node("ram:TypeCode", "VAT"), node("ram:CategoryCode", code), _percent(code, percent))


def _adjustment(one: Adjustment, currency: str) -> Element:
    return node(
        "ram:SpecifiedTradeAllowanceCharge",
        node("ram:ChargeIndicator", node("udt:Indicator", "true" if one.charge else "false")),
        node("ram:ActualAmount", amount(one.amount_minor, currency)),
        None if one.charge else node("ram:ReasonCode", _DISCOUNT),
        node("ram:Reason", one.reason),
        None if one.code is None else _category("ram:CategoryTradeTax", one.code, one.percent),
    )


def _totals(invoice: EInvoice) -> Element:
    def one(tag: str, minor: int) -> Element:
        return node(tag, amount(minor, invoice.currency))

    return node(
        "ram:SpecifiedTradeSettlementHeaderMonetarySummation",
        one("ram:LineTotalAmount", invoice.lines_minor),
        one("ram:ChargeTotalAmount", invoice.charges_minor) if invoice.charges_minor else None,
        one("ram:AllowanceTotalAmount", invoice.allowances_minor) if invoice.allowances_minor else None,
        one("ram:TaxBasisTotalAmount", invoice.net_minor),
        _tax_total(invoice.tax_minor, invoice.currency),
        None
        if invoice.accounting_tax is None
        else _tax_total(invoice.accounting_tax.tax_minor, invoice.accounting_tax.currency),
        one("ram:GrandTotalAmount", invoice.gross_minor),
        one("ram:TotalPrepaidAmount", invoice.paid_minor) if invoice.paid_minor else None,
        one("ram:DuePayableAmount", invoice.due_minor),
    )


def _tax_total(minor: int, currency: str) -> Element:
    return node("ram:TaxTotalAmount", amount(minor, currency), attributes={"currencyID": currency})


def _line(line: ELine, currency: str) -> Element:
    return node(
        "ram:IncludedSupplyChainTradeLineItem",
        node("ram:AssociatedDocumentLineDocument", node("ram:LineID", line.id)),
        node(
            "ram:SpecifiedTradeProduct",
            node("ram:Name", line.name),
            said("ram:Description", line.description),
            None
            if line.attribute is None
            else node(
                "ram:ApplicableProductCharacteristic",
                node("ram:Description", line.attribute[0]),
                node("ram:Value", line.attribute[1]),
            ),
        ),
        node(
            "ram:SpecifiedLineTradeAgreement",
            node("ram:NetPriceProductTradePrice", node("ram:ChargeAmount", plain(line.price))),
        ),
        node(
            "ram:SpecifiedLineTradeDelivery",
            node("ram:BilledQuantity", plain(line.quantity), attributes={"unitCode": line.unit}),
        ),
        node(
            "ram:SpecifiedLineTradeSettlement",
            _category("ram:ApplicableTradeTax", line.code, line.percent),
            _period(line.first_day, line.last_day),
            [_adjustment(one, currency) for one in line.adjustments],
            node(
                "ram:SpecifiedTradeSettlementLineMonetarySummation",
                node("ram:LineTotalAmount", amount(line.net_minor, currency)),
            ),
        ),
    )


def _period(first: date, last: date) -> Element:
    return node(
        "ram:BillingSpecifiedPeriod", _instant("ram:StartDateTime", first), _instant("ram:EndDateTime", last)
    )


def _instant(tag: str, day: date) -> Element:
    return node(tag, node("udt:DateTimeString", _digits(day), attributes=_DAY_FORMAT))


def _digits(day: date) -> str:
    return day.strftime("%Y%m%d")
