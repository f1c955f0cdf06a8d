"""From what an invoice froze to the terms of EN 16931: parties, lines with their allowances, tax groups, payment.

Owns: which term says what, and why an invoice cannot be an electronic one. Not: amounts (they are the invoice's own,
to the cent), tax rates, syntax.

A line of ours is the sum of its parts, so each part that has a quantity and a price is a line of the e-invoice (`3`,
or `3.1`, `3.2` where there are several tiers), and what a discount, a maximum or a minimum does to it is an allowance
or a charge of that line. Discounts on the whole invoice are allowances of the document, for each tax group.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, Literal, TypeAlias

from milo_billing.adapters.document_formats import Formats, formats_for
from milo_billing.adapters.einvoices.elements import amount, fit
from milo_billing.adapters.einvoices.model import (
    Adjustment,
    EInvoice,
    ELine,
    EParty,
    PaymentMeans,
    Preceding,
    TaxGroup,
)
from milo_billing.adapters.einvoices.units import ONE, is_coded, unit_code
from milo_billing.adapters.invoice_page import (
    cancels_what,
    conversion_text,
    discount_name,
    part_name,
    pay_early,
    promise_name,
)
from milo_billing.invoicing.types.documents import InvoiceDocument, Party, TaxId
from milo_billing.invoicing.types.drafts import SKU_KINDS, Part, PartKind
from milo_billing.invoicing.types.errors import NoEInvoice
from milo_billing.invoicing.types.invoices import InvoiceLine
from milo_billing.kernel.money import allocate, minor_to_decimal, settle

DocumentKind: TypeAlias = Literal["Invoice", "CreditNote"]

_ADJUSTING: Final[frozenset[PartKind]] = frozenset({"Discount", "Maximum", "Minimum", "Spent", "Charged"})
_PRICED: Final[frozenset[PartKind]] = frozenset({"Usage", "Package"})
_ONE: Final = Decimal(1)
_CENT: Final = Decimal("0.01")
_NO_PERCENT: Final = Decimal("0.5")
_TRANSFER, _SEPA_TRANSFER, _CARD, _DEBIT, _SEPA_DEBIT = "30", "58", "48", "49", "59"
"""How an invoice is paid, of UNTDID 4461."""

_REGISTERS: Final = frozenset({"us_ein", "fr_siret", "fr_siren", "gb_crn", "de_hrb", "nl_kvk", "eu_eori"})
"""Types of ids that are of a register of companies, and say nothing of tax."""


def electronic_invoice(
    document: InvoiceDocument,
    *,
    taxes: Sequence[TaxGroup],
    kind: DocumentKind = "Invoice",
    paid_minor: int = 0,
) -> EInvoice:
    """The invoice in the terms of EN 16931.

    `taxes` has every line in exactly one group; `paid_minor` was settled before issue, in advance or by credit.
    Raises NoEInvoice where something is missing that the standard asks for, with everything that is missing.
    """
    formats = formats_for(document.language)
    group_of = {number: group for group in taxes for number in group.lines}
    if missing := tuple(_missing(document, taxes=taxes, group_of=group_of)):
        raise NoEInvoice(
            f"there is no electronic invoice of {document.number}: {'; '.join(missing)}. Its PDF is not concerned"
        )
    assert document.buyer is not None, "missing buyers were refused"
    untaxed = any(group.code == "O" for group in taxes)
    made = EInvoice(
        number=document.number,
        issued_on=document.issued_on,
        due_on=document.due_on if kind == "Invoice" else None,
        credit_note=kind == "CreditNote",
        currency=document.currency,
        reference=document.account,
        notes=tuple(_notes(document)),
        terms=_terms(document, formats=formats),
        preceding=_preceding(document),
        seller=_party(document.seller, selling=True, untaxed=untaxed),
        buyer=_party(document.buyer, selling=False, untaxed=untaxed),
        first_day=document.first_day,
        last_day=_last(document.end_day),
        payment=_payment(document) if kind == "Invoice" else None,
        adjustments=tuple(_document_adjustments(document, group_of=group_of, formats=formats)),
        taxes=tuple(taxes),
        lines=tuple(
            one for line in document.lines for one in _lines(line, group_of[line.line], document, formats)
        ),
        paid_minor=paid_minor,
        payment_reference=document.number if document.cancels is None else document.cancels.invoice_number,
        accounting_tax=document.accounting_tax,
    )
    _assert_two_decimals(made)
    _assert_rates(made)
    return made


def _notes(document: InvoiceDocument) -> Iterator[str]:
    """Why something is credited or cancelled, and what the issuer says on every invoice."""
    about = document.credits or document.cancels
    if about is not None and about.reason.strip():
        yield " ".join(about.reason.split())
    yield from (line.strip() for line in fit(document.legal_text).splitlines() if line.strip())


def _preceding(document: InvoiceDocument) -> tuple[Preceding, ...]:
    """What a credit note credits; what is cancelled, and its invoice; the void invoice that this one replaces, then the
    invoices that lines adjust, each once.
    """
    if (credited := document.credits) is not None:
        return (Preceding(credited.number, credited.issued_on),)
    if (cancelled := document.cancels) is not None:
        return (
            Preceding(cancelled.number, cancelled.issued_on),
            Preceding(cancelled.invoice_number, cancelled.invoice_issued_on),
        )
    replaced = () if document.replaces is None else (document.replaces,)
    found = [Preceding(one.number, one.issued_on) for one in (*replaced, *document.adjusted)]
    return tuple(dict.fromkeys(found))


def _terms(document: InvoiceDocument, *, formats: Formats) -> str:
    """By when it is to be paid; of a credit note, what it takes something back of; of what cancels one, with what."""
    words = formats.strings
    if (credited := document.credits) is not None:
        return words.credits_invoice.format(number=credited.number, date=formats.day(credited.issued_on))
    due = words.due_by.format(date=formats.day(document.due_on))
    if document.cancels is None:
        return ". ".join((due, *pay_early(document, formats)))
    return "; ".join((due, *cancels_what(document.cancels, formats)))


def _last(end: date) -> date:
    return end - timedelta(days=1)


# ---------------------------------------------------------------------------------------------------- refusals


def _missing(
    document: InvoiceDocument, *, taxes: Sequence[TaxGroup], group_of: dict[int, TaxGroup]
) -> Iterator[str]:
    """What the standard asks for and this invoice has not."""
    if not document.lines:
        yield "it has no line (BR-16)"
    if untaxed := [line.line for line in document.lines if line.line not in group_of]:
        yield f"line {untaxed[0]} is in no tax group (BR-CO-4)"
    codes = {group.code for group in taxes}
    if "O" in codes and len(codes) > 1:
        yield "some of its lines are outside the scope of tax and others are not (BR-O-11 to 14)"
    yield from _missing_of(document.seller, who="the issuer", where="IssuerProfile spec.address")
    if document.buyer is None:
        yield "the customer's details were erased"
    else:
        yield from _missing_of(
            document.buyer, who="the customer", where="BillingAccount spec.contactInfo.address"
        )
    taxed = codes - {"O"}
    if taxed and not any(_is_vat(one) or _is_tax_number(one) for one in document.seller.tax_ids):
        yield "the issuer has no tax id: say it in IssuerProfile spec.taxIds (BR-S-02)"
    # in these the customer accounts for the tax, so both have to be known to the tax office
    if taxed & {"AE", "K"} and document.buyer is not None and not any(map(_is_vat, document.buyer.tax_ids)):
        yield "the customer has no VAT id: say it in BillingAccount spec.taxIds (BR-AE-02)"


def _missing_of(party: Party, *, who: str, where: str) -> Iterator[str]:
    if party.address is None or not party.address.country:
        yield f"{who} has no country: say it in {where} (BR-09, BR-11)"
    if not fit(party.name).strip():
        yield f"{who} has no name (BR-06, BR-07)"


def _assert_two_decimals(made: EInvoice) -> None:
    """Raise NoEInvoice for the first amount with a third decimal; what is written are these, and sums of these."""
    amounts = [
        *(line.net_minor for line in made.lines),
        *(one.amount_minor for line in made.lines for one in line.adjustments),
        *(one.amount_minor for one in made.adjustments),
        *(minor for tax in made.taxes for minor in (tax.base_minor, tax.tax_minor)),
        made.paid_minor,
    ]
    for minor in amounts:
        amount(minor, made.currency)
    if made.accounting_tax is not None:
        amount(made.accounting_tax.tax_minor, made.accounting_tax.currency)


def _assert_rates(made: EInvoice) -> None:
    """Raise NoEInvoice where a tax is a whole unit or more off its rate, as the rules forbid (BR-CO-17).

    So it can be where earlier credit notes were rounded and the last one takes what they left, above all in yen.
    """
    for tax in made.taxes:
        said, base = (minor_to_decimal(minor, made.currency) for minor in (tax.tax_minor, tax.base_minor))
        wanted = abs(base * tax.percent / 100).quantize(_CENT, ROUND_HALF_UP)
        # the rules take a percentage that rounds to zero for none at all
        off = abs(said) if tax.percent < _NO_PERCENT else abs(abs(said) - wanted)
        if off >= (_NO_PERCENT if tax.percent < _NO_PERCENT else _ONE):
            raise NoEInvoice(
                f"there is no electronic invoice of {made.number}: a tax of {said} {made.currency} on {base} is not "
                f"within one of {tax.percent.normalize():f} %, as EN 16931 asks (BR-CO-17), which can be where earlier "
                "credit notes were rounded. Its PDF is not concerned"
            )


# ----------------------------------------------------------------------------------------------------- parties


def _is_vat(one: TaxId) -> bool:
    return one.type.endswith("_vat")


def _is_tax_number(one: TaxId) -> bool:
    """A number at the tax office that is no VAT id: the German Steuernummer, the Japanese 登録番号."""
    return not _is_vat(one) and one.type not in _REGISTERS


def _vat_id(one: TaxId) -> str:
    """With the country before it, as BR-CO-09 asks: a British number is often said without."""
    value = one.value.replace(" ", "")
    return value if value[:2].isalpha() else one.type[:2].upper() + value


def _party(party: Party, *, selling: bool, untaxed: bool) -> EParty:
    """A party; where nothing is in the scope of tax no VAT id may stand (BR-O-02), so it identifies only.

    A tax number is a term of sellers alone (BT-32); a buyer's is told as its registration.
    """
    address = party.address
    assert address is not None, "parties without address were refused"
    vat = next((_vat_id(one) for one in party.tax_ids if _is_vat(one)), "")
    number = next((one.value for one in party.tax_ids if _is_tax_number(one)), "")
    register = next((one.value for one in party.tax_ids if one.type in _REGISTERS), "")
    registration = register or (vat if untaxed else "") or ("" if selling else number)
    known = registration or (vat and not untaxed)
    return EParty(
        name=party.name,
        country=address.country,
        # BR-CO-26: a seller without VAT id and registration has to be known by something
        identifier="" if known or not selling else number or party.name,
        registration=registration,
        vat_id="" if untaxed else vat,
        tax_number=number if selling else "",
        contact=party.contact,
        line1=address.line1,
        line2=address.line2,
        city=address.city,
        region=address.region,
        postal_code=address.postal_code,
    )


def _payment(document: InvoiceDocument) -> PaymentMeans | None:
    euro = document.currency == "EUR"
    if document.collected_from == "Card":
        return PaymentMeans(_CARD)
    if document.collected_from == "BankAccount":
        return PaymentMeans(_SEPA_DEBIT if euro else _DEBIT)
    bank = document.bank
    if bank is None or not bank.iban:
        return None
    return PaymentMeans(
        _SEPA_TRANSFER if euro else _TRANSFER,
        account_holder=bank.account_holder,
        iban=bank.iban,
        bic=bank.bic,
    )


# ------------------------------------------------------------------------------------------------------- lines


def _lines(
    line: InvoiceLine, group: TaxGroup, document: InvoiceDocument, formats: Formats
) -> Iterator[ELine]:
    """The line by its priced parts, with what adjusts them spread over these."""
    priced = [part for part in line.parts if part.kind not in _ADJUSTING]
    adjusting = [(part, name) for part, name in _named(line, document, formats) if part.kind in _ADJUSTING]
    if not priced:
        whole = line.amount_minor - sum(part.amount_minor for part, _ in adjusting)
        priced = [Part("FlatFee", None, None, None, whole)]
    spread = _spread(priced, adjusting)
    for index, part in enumerate(priced):
        quantity, unit, price = _price(part, line, document.currency)
        adjustments = tuple(spread[index])
        yield ELine(
            id=str(line.line) if len(priced) == 1 else f"{line.line}.{index + 1}",
            name=fit(promise_name(line, formats)).strip() or line.sku or f"{line.line}",
            description=" · ".join(_description(part, line, document, formats, several=len(priced) > 1)),
            quantity=quantity,
            unit=unit,
            price=price,
            net_minor=part.amount_minor
            + sum(one.amount_minor if one.charge else -one.amount_minor for one in adjustments),
            adjustments=adjustments,
            code=group.code,
            percent=group.percent,
            first_day=line.first_day,
            last_day=_last(line.end_day),
            attribute=(formats.strings.account, line.account) if line.account else None,
        )


def _named(line: InvoiceLine, document: InvoiceDocument, formats: Formats) -> Iterator[tuple[Part, str]]:
    """Every part with what it is called; a discount by who gave it."""
    currency = document.currency if line.conversion is None else line.conversion.currency
    given = iter([one for one in line.discounts if one.scope == "Line"])
    for part in line.parts:
        giver = next(given, None) if part.kind == "Discount" and part.amount_minor else None
        yield part, part_name(part, currency, formats) if giver is None else discount_name(giver, formats)


def _spread(priced: Sequence[Part], adjusting: Sequence[tuple[Part, str]]) -> list[list[Adjustment]]:
    """What adjusts the line, for each priced part in proportion to its amount; all at the first where none has one."""
    spread: list[list[Adjustment]] = [[] for _ in priced]
    weights = [(index, abs(part.amount_minor)) for index, part in enumerate(priced)]
    if not any(weight for _, weight in weights):
        weights = [(0, 1)]
    for part, name in adjusting:
        for index, minor in allocate(part.amount_minor, weights).items():
            if minor:
                spread[index].append(Adjustment(charge=minor > 0, amount_minor=abs(minor), reason=name))
    return spread


def _price(part: Part, line: InvoiceLine, currency: str) -> tuple[Decimal, str, Decimal]:
    """Quantity, unit and price, where their product is the amount to the cent; else one at the amount.

    The product is not the amount where the price is in another currency, or the quantity was rounded for display.
    """
    if part.kind in _PRICED and part.quantity is not None and part.unit_price is not None:
        unit = unit_code(line.pricing_unit) if part.kind == "Usage" else ONE
        exact = line.conversion is None and part.unit_price >= 0
        if exact and settle(part.quantity * part.unit_price, currency).minor == part.amount_minor:
            return part.quantity, unit, part.unit_price
    # BR-27: a price is never below zero, so what is given back is a quantity below it
    sign = -_ONE if part.amount_minor < 0 else _ONE
    return sign, ONE, minor_to_decimal(abs(part.amount_minor), currency)


def _description(
    part: Part, line: InvoiceLine, document: InvoiceDocument, formats: Formats, *, several: bool
) -> Iterator[str]:
    """What the codes do not say: which tier, which unit, which commitment, at which rate of exchange."""
    if several or part.kind not in ("Usage", "FlatFee"):
        currency = document.currency if line.conversion is None else line.conversion.currency
        yield part_name(part, currency, formats)
    if line.kind not in SKU_KINDS:
        yield line.description
        return
    if part.quantity is not None and not is_coded(line.pricing_unit):
        yield formats.unit(line.pricing_unit)
    if conversion := conversion_text(line, formats):
        yield conversion


# --------------------------------------------------------------------------------------------------- discounts


def _document_adjustments(
    document: InvoiceDocument, *, group_of: dict[int, TaxGroup], formats: Formats
) -> Iterator[Adjustment]:
    """Discounts on the whole invoice: one allowance for each discount and tax group, in the order of the lines."""
    amounts: dict[tuple[str, TaxGroup], int] = {}
    for line in document.lines:
        for one in line.discounts:
            if one.scope == "Invoice":
                key = discount_name(one, formats), group_of[line.line]
                amounts[key] = amounts.get(key, 0) + one.amount_minor
    for (reason, group), minor in amounts.items():
        if minor:
            yield Adjustment(minor > 0, abs(minor), reason, group.code, group.percent)
