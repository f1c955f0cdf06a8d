"""Invoices of every sort that an electronic invoice has to say: with their tax groups, and what they refer to."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from milo_billing.adapters.einvoices.cii import write_cii
from milo_billing.adapters.einvoices.model import CategoryCode, EInvoice, TaxGroup
from milo_billing.adapters.einvoices.terms import DocumentKind, electronic_invoice
from milo_billing.adapters.einvoices.ubl import write_ubl
from milo_billing.invoicing.types.documents import (
    AdjustedInvoice,
    CancelledNote,
    CreditedInvoice,
    InvoiceDocument,
    Party,
    PostalAddress,
    ReplacedInvoice,
    TaxId,
    WrittenDocument,
)
from milo_billing.invoicing.types.drafts import Adjusts, LineConversion, LineDiscount, LineKind, Part
from milo_billing.invoicing.types.invoices import InvoiceLine
from milo_billing.kernel.money import settle
from milo_billing.kernel.taxes import AccountingTax
from tests.unit.invoicing.builders import document, line, long_document, usage_part

EXEMPT = ("Exempt under Article 132 of Directive 2006/112/EC", "VATEX-EU-132")
REVERSED = ("Reverse charge", "VATEX-EU-AE")
SOURCE = UUID(int=7)
SEPTEMBER = AdjustedInvoice("KC-2026-000097", date(2026, 10, 2))
AUGUST = AdjustedInvoice("KC-2026-000062", date(2026, 9, 2))
VOID = ReplacedInvoice("KC-2026-000101", date(2026, 11, 1))

TOKENS = line("Context tokens", usage_part("18.059974", "2.50", 4515), unit="10*6.{token}")
STORAGE = line("Storage", usage_part("1234.5", "0.021", 2592), number=2, unit="GiBy.mo")
TIERS = line(
    "Requests",
    usage_part("1000", "0.10", 10_000, tier=1),
    usage_part("501", "0.0333", 1668, tier=2),
    number=3,
)


@dataclass(frozen=True, slots=True)
class Case:
    """An invoice and what its e-invoice needs besides."""

    document: InvoiceDocument
    taxes: tuple[TaxGroup, ...]
    kind: DocumentKind = "Invoice"
    paid_minor: int = 0

    def read(self) -> EInvoice:
        """In the terms of EN 16931."""
        return electronic_invoice(
            self.document,
            taxes=self.taxes,
            kind=self.kind,
            paid_minor=self.paid_minor,
        )


def written(case: Case) -> tuple[WrittenDocument, WrittenDocument]:
    """The case in UBL and in CII."""
    read = case.read()
    return (
        WrittenDocument("application/xml", "ubl", write_ubl(read)),
        WrittenDocument("application/xml", "cii", write_cii(read)),
    )


def taxed(
    invoice: InvoiceDocument, code: CategoryCode, percent: str, reason: tuple[str, str] = ("", "")
) -> TaxGroup:
    """All of its lines in one group."""
    return group(invoice.lines, code, percent, invoice.currency, reason)


def group(
    lines: tuple[InvoiceLine, ...],
    code: CategoryCode,
    percent: str,
    currency: str,
    reason: tuple[str, str] = ("", ""),
) -> TaxGroup:
    """These lines in a group, with the tax on their sum."""
    base = sum(one.net_minor for one in lines)
    tax = settle(Decimal(base) * Decimal(percent) / 100, "JPY").minor
    return TaxGroup(
        code, Decimal(percent), base, tax, frozenset(one.line for one in lines), reason[0], reason[1]
    )


def _case(invoice: InvoiceDocument, code: CategoryCode, percent: str, *reason: str, **further: Any) -> Case:
    said = (reason[0], reason[1]) if reason else ("", "")
    return Case(invoice, (taxed(invoice, code, percent, said),), **further)


def _without_vat(invoice: InvoiceDocument) -> InvoiceDocument:
    return replace(
        invoice,
        seller=replace(invoice.seller, tax_ids=(TaxId("us_ein", "12-3456789"),)),
        bank=None,
    )


def _adjusted() -> InvoiceLine:
    """Two tiers, ten percent off, raised to a minimum."""
    parts = (
        usage_part("1000", "0.10", 10_000, tier=1),
        usage_part("501", "0.05", 2505, tier=2),
        Part("Discount", None, None, None, -1251),
        Part("Minimum", None, None, None, 3746),
    )
    discount = LineDiscount("Line", "Discount", SOURCE, "autumn", "Autumn offer", Decimal(10), -1251)
    return replace(line("Requests", *parts), discounts=(discount,))


def _off_the_whole(one: InvoiceLine, minor: int) -> InvoiceLine:
    off = LineDiscount("Invoice", "Discount", SOURCE, "loyal", "Loyal customer", Decimal(5), minor)
    return replace(one, discounts=(off,))


def _promised() -> tuple[InvoiceLine, ...]:
    shortfall = line(
        "annual-2026",
        Part("Committed", None, None, None, 100_000),
        Part("Spent", None, None, None, -81_234),
        number=2,
    )
    drawn = line("annual-2026", Part("FlatFee", None, None, None, -2_000), number=3)
    return (
        TOKENS,
        replace(shortfall, kind="Shortfall", sku=None, pricing_unit="", quantity=Decimal(0)),
        replace(drawn, kind="DrawDown", sku=None, pricing_unit="", quantity=Decimal(0)),
    )


def _adjustment(one: InvoiceLine, kind: LineKind = "Usage") -> InvoiceLine:
    """The line as what invoice KC-2026-000097 came to since; September's."""
    return replace(
        one,
        kind="Adjustment",
        quantity=Decimal(0),
        first_day=date(2026, 9, 1),
        end_day=date(2026, 10, 1),
        adjusts=Adjusts(SOURCE, "KC-2026-000097", kind),
    )


def came_late() -> tuple[InvoiceLine, ...]:
    """What late usage charged in addition, and took off a shortfall."""
    more = line(
        "Requests",
        Part("Rerated", None, None, None, 12_000),
        Part("Charged", None, None, None, -6_000),
    )
    less = line(
        "annual-2026",
        Part("Rerated", None, None, None, 0),
        Part("Charged", None, None, None, -4_000),
        number=2,
    )
    return (
        _adjustment(more),
        replace(_adjustment(less, "Shortfall"), sku=None, pricing_unit=""),
    )


def below_zero() -> tuple[InvoiceLine, ...]:
    """A month that gives back more than it charges: the rest is a credit note's, and the invoice is zero."""
    back = line("Seats", replace(usage_part("-2.5", "30", -7_500), tier=None), number=2)
    rest = line("Seats", Part("GivenBack", None, None, None, 2_985), number=3)
    return (
        TOKENS,
        replace(back, kind="Recurring", quantity=Decimal("-2.5"), in_advance=True),
        replace(_adjustment(rest, "Recurring"), first_day=date(2026, 10, 1), end_day=date(2026, 11, 1)),
    )


def _converted() -> InvoiceLine:
    rate = LineConversion("USD", 4515, Decimal("0.8"), date(2026, 10, 30), "ECB", Decimal("1.25"), Decimal(1))
    return replace(TOKENS, amount_minor=3612, parts=(usage_part("18.059974", "2.50", 3612),), conversion=rate)


def _yen() -> InvoiceDocument:
    yen = document(
        line("トークン", usage_part("18.059974", "250", 4515), unit="10*6.{token}"),
        language="ja",
        currency="JPY",
    )
    japan = PostalAddress("JP", "丸の内1-1-1", "", "千代田区", "東京都", "100-0005")
    return replace(
        yen,
        seller=Party("ケストレル株式会社", "", japan, (TaxId("jp_trn", "T1234567890123"),)),
        buyer=Party("アクメ株式会社", "山田 太郎", japan, ()),
        bank=None,
    )


def _long() -> InvoiceDocument:
    text = "Zoë's <Gerät> & “Äpfel” 漢字 \x07" * 40
    return replace(
        document(replace(TOKENS, description=text), language="de", currency="EUR"),
        legal_text="\n".join([text] * 5),
    )


def _several_rates() -> Case:
    lines = (
        TOKENS,
        _off_the_whole(STORAGE, -130),
        _off_the_whole(TIERS, -583),
    )
    invoice = document(*lines, currency="EUR")
    groups = (
        group(lines[:1], "Z", "0", "EUR"),
        group(lines[1:2], "S", "23", "EUR"),
        group(lines[2:], "S", "13.5", "EUR"),
    )
    return Case(invoice, groups)


def _numbered(lines: Iterable[InvoiceLine], first: int) -> Iterator[InvoiceLine]:
    return (replace(one, line=number) for number, one in enumerate(lines, start=first))


def corpus() -> Mapping[str, Case]:
    """Every sort of invoice, by what is special about it. The tax authorities' codes are those of VATEX."""
    euro = document(TOKENS, STORAGE, TIERS, currency="EUR")
    british = replace(
        document(TOKENS, currency="GBP"),
        seller=Party("Kestrel", "", PostalAddress("GB", "1 Road"), (TaxId("gb_vat", "123456789"),)),
    )
    german = replace(
        euro,
        language="de",
        seller=Party("Muster GmbH", "", PostalAddress("DE", "Weg 1"), (TaxId("de_stn", "21/815/08150"),)),
    )
    return {
        "standard": _case(euro, "S", "23"),
        "british, its VAT number without a country": _case(british, "S", "20"),
        "a seller with a tax number only": _case(german, "S", "19"),
        "zero": _case(euro, "Z", "0"),
        "exempt": _case(euro, "E", "0", *EXEMPT),
        "reverse charge": _case(euro, "AE", "0", *REVERSED),
        "intra-community": _case(euro, "K", "0", "Intra-Community supply", "VATEX-EU-IC"),
        "collected by card": _case(replace(euro, collected_from="Card", bank=None), "S", "23"),
        "collected by direct debit": _case(replace(euro, collected_from="BankAccount", bank=None), "S", "23"),
        "export": _case(euro, "G", "0", "Export outside the EU", "VATEX-EU-G"),
        "outside the scope": _case(
            _without_vat(document(TOKENS)), "O", "0", "Not subject to VAT", "VATEX-EU-O"
        ),
        "several rates, a discount on the whole": _several_rates(),
        "a line with a discount and a minimum": _case(document(_adjusted(), currency="EUR"), "S", "23"),
        "what was promised": _case(document(*_promised(), currency="EUR"), "S", "23"),
        "usage that came late": _case(
            _adjusting(document(TOKENS, *_numbered(came_late(), 2), currency="EUR")), "S", "23"
        ),
        "an account and one that is invoiced with it": _case(
            document(TOKENS, replace(STORAGE, account="team"), currency="EUR"), "S", "23"
        ),
        "nothing but what came late": _case(
            _adjusting(document(*came_late(), currency="EUR"), SEPTEMBER, AUGUST), "S", "23"
        ),
        "in the place of a void one": _case(replace(euro, replaces=VOID), "S", "23"),
        "in the place of a void one, with what came late": _case(
            replace(
                _adjusting(document(TOKENS, *_numbered(came_late(), 2), currency="EUR")),
                replaces=ReplacedInvoice(SEPTEMBER.number, SEPTEMBER.issued_on),
            ),
            "S",
            "23",
        ),
        "a month below zero": _case(_adjusting(document(*below_zero(), currency="EUR")), "S", "23"),
        "a price in another currency": _case(document(_converted(), currency="EUR"), "S", "23"),
        "prepaid": _case(euro, "S", "23", paid_minor=10_000),
        "prepaid in full": replace(_case(euro, "S", "23"), paid_minor=_gross(_case(euro, "S", "23"))),
        **{
            f"credit note, {name}": replace(case, kind="CreditNote", document=over_invoice(case.document))
            for name, case in _credited(euro).items()
        },
        **{
            f"cancellation, {name}": replace(case, document=cancelling(case.document))
            for name, case in _credited(euro).items()
        },
        "cancellation, some of it on account": replace(_case(cancelling(euro), "S", "23"), paid_minor=4_600),
        "tax in the currency of the books": _case(
            replace(
                document(TOKENS, currency="USD"),
                accounting_tax=AccountingTax("EUR", 898, Decimal("0.8654"), date(2026, 10, 30), "ECB"),
            ),
            "S",
            "23",
        ),
        "yen": _case(_yen(), "S", "10"),
        "long texts": _case(_long(), "S", "19"),
        "sixty lines": _case(replace(long_document(60), currency="EUR"), "S", "23"),
    }


def over_invoice(invoice: InvoiceDocument) -> InvoiceDocument:
    """The same as a credit note over an invoice of October."""
    credited = CreditedInvoice("KC-2026-000100", date(2026, 10, 2), "an outage", invoice.total_minor)
    return replace(invoice, credits=credited)


def cancelling(note: InvoiceDocument) -> InvoiceDocument:
    """The same as what cancels a credit note over an invoice of October."""
    cancelled = CancelledNote(
        "CN-2026-000003",
        date(2026, 10, 9),
        "KC-2026-000100",
        date(2026, 10, 2),
        "The payment that earned the discount went back",
    )
    return replace(note, cancels=cancelled, number="CC-2026-000001", bank=None)


def _adjusting(invoice: InvoiceDocument, *adjusted: AdjustedInvoice) -> InvoiceDocument:
    return replace(invoice, adjusted=adjusted or (SEPTEMBER,))


def _credited(euro: InvoiceDocument) -> Mapping[str, Case]:
    """What is taken back: lines net of their discounts, by amount or by quantity, some of them below zero."""
    off = tuple(replace(one, discounts=(), parts=(), quantity=Decimal(0)) for one in euro.lines)
    part = replace(
        TOKENS, quantity=Decimal(4), amount_minor=1000, parts=(usage_part("4", "2.50", 1000),), discounts=()
    )
    drawn = replace(
        off[1], amount_minor=-900, kind="DrawDown", sku=None, pricing_unit="", description="yearly"
    )
    some = _case(_over(euro, *off[:1]), "S", "23")
    (group_,) = some.taxes
    return {
        "full": _case(euro, "S", "23"),
        "of amounts": _case(_over(euro, *off), "S", "23"),
        "of a quantity": _case(_over(euro, part), "S", "23"),
        "the last one, its tax a cent off": replace(
            some, taxes=(replace(group_, tax_minor=group_.tax_minor - 1),)
        ),
        "with what had been drawn down": _case(_over(euro, off[0], drawn), "S", "23"),
        "zero": _case(euro, "Z", "0"),
        "exempt": _case(euro, "E", "0", *EXEMPT),
        "reverse charge": _case(euro, "AE", "0", *REVERSED),
        "yen": _case(_yen(), "S", "10"),
    }


def _over(invoice: InvoiceDocument, *lines: InvoiceLine) -> InvoiceDocument:
    return replace(invoice, lines=lines, subtotal_minor=sum(one.amount_minor for one in lines))


def _gross(case: Case) -> int:
    return sum(one.base_minor + one.tax_minor for one in case.taxes)
