"""Every text of an invoice's page, in the reader's words and formats: what templates/invoice.typ places.

Owns: what is printed, in which order, and what is left out of a very long invoice. Not: where it stands on the page
(the template), how a number looks (document_formats).
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from milo_billing.adapters.document_formats import Formats, formats_for
from milo_billing.adapters.invoice_page_taxes import (
    accounting_note,
    line_tax,
    tax_heads,
    tax_rows,
    tax_totals,
)
from milo_billing.invoicing.types.documents import CancelledNote, InvoiceDocument, Party
from milo_billing.invoicing.types.drafts import SKU_KINDS, LineDiscount, LineKind, Part
from milo_billing.invoicing.types.invoices import InvoiceDiscount, InvoiceLine, LineShare
from milo_billing.kernel.money import settle

PROJECT_ITEMS_MAX: Final = 120
"""Some two pages. With more shares than this, projects are printed with their totals only."""

PROJECTS_MAX: Final = 1000
"""Projects printed one by one; the smallest of the others are one row, so that the column still sums up."""

_PLACED_BY_TEMPLATE: Final = (
    "invoice",
    "bill_to",
    "amount_due",
    "description",
    "quantity",
    "unit",
    "unit_price",
    "total",
    "payment",
    "by_project",
    "project",
    "commitments",
    "adjustments",
    "taxes",
)
_WHOLE: Final = "JPY"
"""A currency without decimals: a rate printed as its price has no more digits than it needs."""

_WHOLE_KINDS: Final[frozenset[LineKind]] = frozenset({"Prepayment", "DrawDown", "Interest", "PrepaidCredit"})
"""Lines of which a single part would repeat the line."""
_OWN_KINDS: Final[frozenset[LineKind]] = frozenset({"Interest", "PrepaidCredit"})
"""Lines that are what the invoice is about, though no Sku is sold by them."""

_LETTER_COUNTRIES: Final = frozenset({"US", "CA", "MX", "PH", "CL", "CO", "VE"})


def page_data(document: InvoiceDocument) -> dict[str, Any]:
    """Every text of the page, formatted for the document's language: what templates/invoice.typ places."""
    formats = formats_for(document.language)
    words = formats.strings
    seller_country = document.seller.address.country if document.seller.address else ""
    due = formats.money(document.total_minor - document.prepaid_minor, document.currency)
    due_on = formats.day(document.due_on)
    projects = _projects(document, formats)
    return {
        "language": formats.language,
        "region": formats.region,
        "paper": "us-letter" if seller_country in _LETTER_COUNTRIES else "a4",
        "color": document.color,
        "logo": None,
        "logo-alt": words.logo.format(name=document.seller.name),
        "number": document.number,
        "strings": {key: getattr(words, key) for key in _PLACED_BY_TEMPLATE},
        "seller": _party(document.seller, formats, seller_country),
        "buyer": _buyer(document.buyer, formats, seller_country),
        "footer": _footer(document.seller, formats),
        "page-pattern": words.page,
        "facts": [
            [words.number, document.number],
            [words.issued_on, formats.day(document.issued_on)],
            [words.due_on, due_on],
            [words.period, formats.days(document.first_day, document.end_day)],
            [words.account, document.account],
        ],
        "due-by": " · ".join((words.due_by.format(date=due_on), *_replaces_what(document, formats))),
        "amount-head": words.amount.format(currency=document.currency),
        **_placed_lines(document, formats),
        "sections": [
            {"title": title, "subtotal": subtotal} for title, subtotal in _sections(document, formats)
        ],
        "totals": _totals(document, formats),
        "total-money": due,
        "taxes": tax_rows(document, formats),
        "tax-heads": tax_heads(document, formats),
        "projects": projects,
        "projects-total": [
            words.subtotal if document.discounts or document.tax_minor else words.total,
            formats.amount(document.subtotal_minor, document.currency),
        ],
        "pay-please": _pay_please(document, due, due_on, formats),
        "bank": _bank(document, formats),
        "code": None,
        "scan": words.scan,
        "notes": [
            *accounting_note(document, formats),
            words.days_in_zone.format(zone=document.time_zone),
            *(line for line in document.legal_text.splitlines() if line.strip()),
        ],
    }


def _placed_lines(document: InvoiceDocument, formats: Formats) -> dict[str, Any]:
    """Every line in the table that it belongs to, with the section that it stands in."""
    section = _places(document)
    return {
        "lines": [
            {
                **(_line if line.kind in SKU_KINDS else _promise)(line, document, formats),
                "section": section[line.line],
            }
            for line in listed_lines(document)
        ],
        "promises": [
            {**_promise(line, document, formats), "section": section[line.line]}
            for line in document.lines
            if line.kind not in SKU_KINDS | _OWN_KINDS and line.adjusts is None
        ],
        "adjustments": [
            {**_promise(line, document, formats), "section": section[line.line]}
            for line in document.lines
            if line.adjusts is not None
        ],
    }


def used_by(line: InvoiceLine, document: InvoiceDocument) -> str:
    """The name of the account that used what the line charges."""
    return line.account or document.account.rpartition("/")[2]


def section_names(document: InvoiceDocument) -> tuple[str, ...]:
    """The accounts of a consolidated invoice, or of a credit note over one, in order; none where there is only one."""
    names = tuple(dict.fromkeys(used_by(line, document) for line in document.lines))
    return names if any(line.account for line in document.lines) else ()


def _sections(document: InvoiceDocument, formats: Formats) -> list[tuple[str, list[str]]]:
    """The heading of each section, and what it comes to; one without words where all is of who pays."""
    words, found = formats.strings, []
    for name in section_names(document):
        minor = sum(line.amount_minor for line in document.lines if used_by(line, document) == name)
        found.append((f"{words.account} {name}", [words.subtotal, formats.amount(minor, document.currency)]))
    return found or [("", [])]


def _places(document: InvoiceDocument) -> dict[int, int]:
    """The section of each line, by its number; they count from 0."""
    names = {name: place for place, name in enumerate(section_names(document))}
    return {line.line: names.get(used_by(line, document), 0) for line in document.lines}


def listed_lines(document: InvoiceDocument) -> tuple[InvoiceLine, ...]:
    """The lines of the page's first table, in its order: what was sold, and what an invoice of its own is about."""
    return (
        *(line for line in document.lines if line.kind in SKU_KINDS),
        *(line for line in document.lines if line.kind in _OWN_KINDS),
    )


def _pay_please(document: InvoiceDocument, due: str, due_on: str, formats: Formats) -> str:
    """What the customer is asked for, or told that it is collected; nothing where nothing is left to pay."""
    words = formats.strings
    if document.total_minor == document.prepaid_minor:
        return ""
    if document.collected_from is not None:
        said = words.pay_by_card if document.collected_from == "Card" else words.pay_by_debit
        return " ".join((said.format(amount=due, date=due_on), *pay_early(document, formats)))
    return " ".join(
        (
            words.pay_please.format(amount=due, date=due_on),
            *pay_early(document, formats),
            words.pay_reference.format(number=document.number),
        )
    )


def pay_early(document: InvoiceDocument, formats: Formats) -> tuple[str, ...]:
    """What is off for paying early, and what is to be paid then; nothing where nothing is off."""
    if document.early is None or not document.early_minor:
        return ()
    asked_minor = document.total_minor - document.prepaid_minor - document.early_minor
    said = formats.strings.pay_early.format(
        date=formats.day(document.early.until),
        percent=formats.percent(document.early.percent / 100),
        amount=formats.money(asked_minor, document.currency),
    )
    return (said,) if asked_minor > 0 else ()


def cancels_what(cancels: CancelledNote, formats: Formats) -> tuple[str, str]:
    """Which credit note a document cancels, and the invoice with which it is owed again."""
    words = formats.strings
    return (
        words.cancels_note.format(number=cancels.number, date=formats.day(cancels.issued_on)),
        words.credits_invoice.format(
            number=cancels.invoice_number, date=formats.day(cancels.invoice_issued_on)
        ),
    )


def _replaces_what(document: InvoiceDocument, formats: Formats) -> tuple[str, ...]:
    """The void invoice in whose place the document is; nothing where it is in the place of none."""
    void = document.replaces
    if void is None:
        return ()
    return (formats.strings.replaces_invoice.format(number=void.number, date=formats.day(void.issued_on)),)


def _party(party: Party, formats: Formats, sent_from: str) -> dict[str, Any]:
    lines = [party.contact] if party.contact else []
    if party.address is not None:
        lines += formats.address(party.address, sent_from=sent_from)
    return {"name": party.name, "lines": [*lines, *_tax_ids(party, formats)]}


def _buyer(buyer: Party | None, formats: Formats, sent_from: str) -> dict[str, Any]:
    """The addressee, with the form of address that the language asks for."""
    words = formats.strings
    if buyer is None:
        return {"name": words.erased, "lines": []}
    if not buyer.contact:
        return _party(replace(buyer, name=words.to_company.format(name=buyer.name)), formats, sent_from)
    return _party(replace(buyer, contact=words.to_person.format(name=buyer.contact)), formats, sent_from)


def _tax_ids(party: Party, formats: Formats) -> list[str]:
    words = formats.strings
    return [f"{words.tax_ids.get(tax_id.type, words.tax_id)} {tax_id.value}" for tax_id in party.tax_ids]


def _footer(seller: Party, formats: Formats) -> str:
    address = formats.address(seller.address, sent_from="") if seller.address else ()
    return " · ".join((seller.name, *address, *_tax_ids(seller, formats)))


def _totals(document: InvoiceDocument, formats: Formats) -> list[list[str]]:
    """Label and amount: the lines, what is taken off the whole invoice, its net, each tax, and last what is due.

    A subtotal that says the same as the total is left out, and the net where it is the subtotal.
    """
    words, currency = formats.strings, document.currency
    total = [words.total, formats.money(document.total_minor, currency)]
    taxes = tax_totals(document, formats)
    due = [total]
    if document.prepaid_minor:
        due_minor = document.total_minor - document.prepaid_minor
        due += [
            [words.prepaid, formats.money(-document.prepaid_minor, currency)],
            [words.amount_due, formats.money(due_minor, currency)],
        ]
    if not document.discounts and not taxes:
        return due
    return [
        [words.subtotal, formats.money(document.subtotal_minor, currency)],
        *(
            [discount_name(one, formats), formats.money(one.amount_minor, currency)]
            for one in document.discounts
        ),
        *(taxes if document.discounts else taxes[1:]),
        *due,
    ]


def discount_name(one: InvoiceDiscount | LineDiscount, formats: Formats) -> str:
    """What a discount is called: the word for it, its title, its percentage. Credit that was bought is no discount."""
    percent = "" if one.percent is None else formats.percent(one.percent / 100)
    bought = one.given_by == "PrepaidCredit"
    word = formats.strings.draw_down if bought else formats.strings.discount
    return " · ".join(filter(None, (word, one.title, percent)))


def _line(line: InvoiceLine, document: InvoiceDocument, formats: Formats) -> dict[str, Any]:
    """A line; a single part with a price says nothing that the line itself cannot say."""
    plain = len(line.parts) == 1 and line.parts[0].kind == "Usage" and not line.included
    price = line.parts[0].unit_price if plain else None
    whole = (line.first_day, line.end_day) == (document.first_day, document.end_day)
    group = line.invoice_group or line.service
    return {
        "description": line.description,
        "detail": " · ".join(
            filter(
                None,
                (
                    group,
                    "" if whole else formats.days(line.first_day, line.end_day),
                    conversion_text(line, formats),
                    line_tax(line, document, formats),
                ),
            )
        ),
        "quantity": formats.quantity(line.quantity),
        "unit": formats.unit(line.pricing_unit),
        "price": "" if price is None else _unit_price(price, line, document.currency, formats),
        "amount": formats.amount(line.amount_minor, document.currency),
        "parts": [] if plain else _parts(line, document.currency, formats),
    }


def _promise(line: InvoiceLine, document: InvoiceDocument, formats: Formats) -> dict[str, Any]:
    """What a commitment charges, or an earlier invoice came to since: for what, the name of the commitment or the Sku,
    the days; a single part would repeat the line.
    """
    return {
        "description": promise_name(line, formats),
        "detail": " · ".join(
            filter(
                None,
                (
                    line.description,
                    formats.days(line.first_day, line.end_day),
                    line_tax(line, document, formats),
                ),
            )
        ),
        "quantity": "",
        "unit": "",
        "price": "",
        "amount": formats.amount(line.amount_minor, document.currency),
        "parts": [] if line.kind in _WHOLE_KINDS else _parts(line, document.currency, formats),
    }


def promise_name(line: InvoiceLine, formats: Formats) -> str:
    """What a line charges for: a commitment's by its kind, an adjustment by its invoice, else its description."""
    words = formats.strings
    match line.kind:
        case "Shortfall":
            return words.shortfall
        case "Overage":
            return words.overage
        case "Prepayment" | "PrepaidCredit":
            return words.prepayment
        case "DrawDown":
            return words.draw_down if line.amount_minor < 0 else words.put_back
        case "Interest":
            return words.interest
        case "Usage" | "Recurring" | "OneTime":
            return line.description
        case "Adjustment":
            return words.adjusts.format(number=line.adjusts.number if line.adjusts else "")


def _unit_price(price: Decimal, line: InvoiceLine, currency: str, formats: Formats) -> str:
    """A price; one in another currency than the invoice says so."""
    if line.conversion is None:
        return formats.unit_price(price, currency)
    return f"{formats.unit_price(price, line.conversion.currency)} {line.conversion.currency}"


def conversion_text(line: InvoiceLine, formats: Formats) -> str:
    """The amount before it was converted, the rate, and who published it when; empty where nothing was converted."""
    if line.conversion is None:
        return ""
    found = line.conversion
    amount = formats.money(found.amount_minor, found.currency)
    return f"{amount} × {formats.unit_price(found.rate, _WHOLE)} ({found.source}, {formats.day(found.day)})"


def _parts(line: InvoiceLine, currency: str, formats: Formats) -> list[dict[str, str]]:
    # a percentage that took nothing off has no giver
    given = iter([one for one in line.discounts if one.scope == "Line"])
    named = [
        next(given, None) if part.kind == "Discount" and part.amount_minor else None for part in line.parts
    ]
    rows = [
        _part(part, line, currency, formats)
        | ({} if giver is None else {"description": discount_name(giver, formats)})
        for part, giver in zip(line.parts, named, strict=True)
    ]
    if line.included:
        included = {
            "description": formats.strings.included,
            "quantity": formats.quantity(line.included),
            "price": "",
            "amount": formats.amount(0, currency),
        }
        rows.insert(0, included)
    return rows


def _part(part: Part, line: InvoiceLine, currency: str, formats: Formats) -> dict[str, str]:
    """What a percentage is of stands in its words: it is an amount, and no quantity at a price."""
    shown = part.kind != "Percentage"
    priced_in = currency if line.conversion is None else line.conversion.currency
    return {
        "description": part_name(part, priced_in, formats),
        "quantity": formats.quantity(part.quantity) if shown and part.quantity is not None else "",
        "price": _unit_price(part.unit_price, line, currency, formats)
        if shown and part.unit_price is not None
        else "",
        "amount": formats.amount(part.amount_minor, currency),
    }


def part_name(part: Part, currency: str, formats: Formats) -> str:
    """What a part of a line is called; `currency` is what its base is in."""
    words = formats.strings
    match part.kind:
        case "Usage":
            return words.usage if part.tier is None else words.tier.format(tier=part.tier)
        case "Package":
            return words.packages
        case "Percentage":
            base = settle(part.quantity or Decimal(0), currency)
            percent = formats.percent(part.unit_price or Decimal(0))
            return words.percentage.format(percent=percent, amount=formats.money(base.minor, currency))
        case "FlatFee":
            return words.flat_charge if part.tier is None else words.flat_fee.format(tier=part.tier)
        case "Discount":
            return words.discount
        case "Maximum":
            return words.maximum
        case "Minimum":
            return words.minimum
        case "Committed":
            return words.committed
        case "Spent":
            return words.spent
        case "Rerated":
            return words.rerated
        case "Charged":
            return words.charged
        case "GivenBack":
            return words.given_back


def _projects(document: InvoiceDocument, formats: Formats) -> list[dict[str, Any]]:
    """The lines again, by project: by name, the account's own share last. The amounts sum to the lines' total."""
    shares: dict[str, list[tuple[InvoiceLine, LineShare]]] = {}
    for line in document.lines:
        for share in line.projects:
            shares.setdefault(share.project, []).append((line, share))
    if set(shares) <= {""}:
        return []
    amounts = {name: sum(share.amount_minor for _, share in rows) for name, rows in shares.items()}
    # of a single project the lines themselves say it
    in_detail = len(shares) > 1 and sum(map(len, shares.values())) <= PROJECT_ITEMS_MAX
    largest = sorted(amounts, key=lambda name: (-amounts[name], name))
    printed = sorted(largest[:PROJECTS_MAX], key=lambda name: (name == "", name))
    rows = [
        {
            "name": name or formats.strings.account_share,
            "amount": formats.amount(amounts[name], document.currency),
            "items": [_item(*one, document.currency, formats) for one in shares[name]] if in_detail else [],
        }
        for name in printed
    ]
    if further := largest[PROJECTS_MAX:]:
        amount = sum(amounts[name] for name in further)
        name = formats.strings.further_projects.format(count=len(further))
        rows.append({"name": name, "amount": formats.amount(amount, document.currency), "items": []})
    return rows


def _item(line: InvoiceLine, share: LineShare, currency: str, formats: Formats) -> dict[str, str]:
    unit = formats.unit(line.pricing_unit)
    name = promise_name(line, formats)
    return {
        "description": f"{name} ({unit})" if unit else name,
        "quantity": formats.quantity(share.quantity) if line.kind in SKU_KINDS else "",
        "amount": formats.amount(share.amount_minor, currency),
    }


def _bank(document: InvoiceDocument, formats: Formats) -> list[list[str]]:
    if document.bank is None:
        return []
    words, bank = formats.strings, document.bank
    rows = [
        [words.account_holder, bank.account_holder],
        [words.bank, bank.bank_name],
        [words.iban, " ".join(bank.iban[i : i + 4] for i in range(0, len(bank.iban), 4))],
        [words.bic, bank.bic],
        [words.reference, document.number],
    ]
    return [[name, value] for name, value in rows if value]
