"""How the amount of an issued line came about, step by step, from what the invoice froze.

metered → converted → rounded → included → prices → another currency → percentages → maximum → minimum → fixed
amounts → the line → discounts on the whole invoice. Each step has its numbers and says them in a sentence.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from milo_billing.catalog.types import Book, Meter, Sku
from milo_billing.invoicing.rules.conversions import conversion_body
from milo_billing.invoicing.rules.explaining_adjustments import AdjustedLine, recomputed_minor, steps
from milo_billing.invoicing.types.drafts import QUANTITY_PLACES_MAX, LineConversion, LineDiscount, Part
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.kernel.quantity import shown_decimal
from milo_billing.pricing.types import ExchangeRate, FrozenLine, RatedLine

SHARES_MAX: Final = 1_000
"""Shares of one explanation; the step before says the sum of all."""

_BASE: Final = ("Usage", "Package", "Percentage", "FlatFee")
_CREDITS: Final[Mapping[str, str]] = {"CreditGrant": "promotional credit", "PrepaidCredit": "prepaid credit"}
_BOUNDS: Final = ("Maximum", "Minimum")
_CALLED: Final[Mapping[str, str]] = {
    "FlatFee": "fee",
    "Rerated": "the period comes to, rated again as the invoice was",
    "Charged": "less what was charged before",
}


@dataclass(frozen=True, slots=True)
class DimensionsShare:
    """What one project used with one dimension set; `project` is empty for the account's own share.

    `metered` is in the meter's unit, `quantity` in the line's pricing unit.
    """

    project: str
    dimensions: Mapping[str, str]
    metered: Decimal
    quantity: Decimal
    amount_minor: int


@dataclass(frozen=True, slots=True)
class LineExplanation:
    """An issued line with everything that it came of.

    `shares` are by project and dimension set, at most so many; `metered` is over all. `sku`, `meter` and `book` are
    None where a commitment charged. `again` is the line as the frozen version of the book charges it now; what stands
    behind a line that adjusts another invoice is `adjusted`.
    """

    invoice: Invoice
    line: InvoiceLine
    shares: tuple[DimensionsShare, ...]
    metered: Decimal
    sku: Sku | None
    meter: Meter | None
    book: Book | None
    again: RatedLine | None
    adjusted: AdjustedLine | None = None


def frozen_line(line: InvoiceLine, *, metered: Decimal, currency: str) -> FrozenLine:
    """What pricing needs to charge the line again.

    Percentages stand before the price's bounds, fixed amounts behind.
    """
    kinds = [part.kind for part in line.parts]
    bounds = [index for index, kind in enumerate(kinds) if kind in _BOUNDS]
    first_bound = bounds[0] if bounds else len(kinds)
    taken = [(index, part.amount_minor) for index, part in enumerate(line.parts) if part.kind == "Discount"]
    base = next((part.quantity for part in line.parts if part.kind == "Percentage"), None)
    return FrozenLine(
        currency=currency,
        first_day=line.first_day,
        end_day=line.end_day,
        metered=Fraction(metered),
        quantity=Fraction(line.quantity),
        base=Fraction(base or 0),
        percents_minor=tuple(minor for index, minor in taken if index < first_bound),
        fixed_minor=tuple(minor for index, minor in taken if index > first_bound),
        rate=_rate(line.conversion, to_currency=currency),
    )


def _rate(conversion: LineConversion | None, *, to_currency: str) -> ExchangeRate | None:
    if conversion is None:
        return None
    return ExchangeRate(
        source=conversion.source,
        day=conversion.day,
        from_currency=conversion.currency,
        to_currency=to_currency,
        from_per_euro=conversion.from_per_euro,
        to_per_euro=conversion.to_per_euro,
    )


def is_same(found: LineExplanation) -> bool:
    """Whether the line, charged again, has the same parts; of what a commitment charged, whether its parts make it; of
    what adjusts another invoice, whether it is what its period came to less what was charged before.
    """
    line, again = found.line, found.again
    if found.adjusted is not None:
        return recomputed_minor(line, found.adjusted) == line.amount_minor
    if line.sku is None:
        return sum(part.amount_minor for part in line.parts) == line.amount_minor
    if again is None:
        return False
    return [(part.kind, part.tier, part.amount_minor) for part in again.parts] == [
        (part.kind, part.tier, part.amount_minor) for part in line.parts
    ]


# ------------------------------------------------------------------------------------------------- the answer


def explanation_body(found: LineExplanation) -> dict[str, Any]:
    """The answer of …/lines/{line}/explanation. Decimals are strings; `text` says a step to a person."""
    line, invoice = found.line, found.invoice
    same = is_same(found)
    return {
        "invoice": invoice.number,
        "line": line.line,
        "kind": line.kind,
        "sku": line.sku,
        "description": line.description,
        "firstDay": line.first_day.isoformat(),
        "endDay": line.end_day.isoformat(),
        "priceBook": None if found.book is None else _book_body(found.book),
        "commitment": None if line.commitment is None else str(line.commitment),
        "steps": list(_steps(found)),
        "amount": _shown(line.amount_minor, invoice.currency),
        "net": _shown(line.net_minor, invoice.currency),
        "currencyCode": invoice.currency,
        "recomputed": "same" if same else "differs",
        "recomputedAmount": _recomputed(found),
        "shares": [_share_body(share, invoice) for share in found.shares],
    }


def _book_body(book: Book) -> dict[str, str]:
    return {
        "bookName": book.book_name,
        "version": book.name,
        "effectiveFrom": book.effective_from.isoformat(),
        "currencyCode": book.currency,
    }


def _recomputed(found: LineExplanation) -> str | None:
    if found.adjusted is not None:
        return _shown(recomputed_minor(found.line, found.adjusted), found.invoice.currency)
    if found.line.sku is None:
        return _shown(sum(part.amount_minor for part in found.line.parts), found.invoice.currency)
    return None if found.again is None else _shown(found.again.amount_minor, found.invoice.currency)


def _share_body(share: DimensionsShare, invoice: Invoice) -> dict[str, Any]:
    return {
        "project": share.project or None,
        "dimensions": dict(share.dimensions),
        "metered": _plain(share.metered),
        "quantity": _plain(share.quantity),
        "amount": _shown(share.amount_minor, invoice.currency),
    }


# ------------------------------------------------------------------------------------------------- the steps


def _steps(found: LineExplanation) -> Iterator[dict[str, Any]]:
    line, invoice = found.line, found.invoice
    if found.adjusted is not None:
        yield from steps(line, found.adjusted)
    elif found.sku is not None and found.sku.charge_type == "Usage":
        yield from _quantity_steps(found, found.sku)
    elif found.sku is not None:
        text = f"{_plain(line.quantity)} {line.pricing_unit} from {line.first_day} up to {line.end_day}"
        yield {"step": "declared", "text": text, "quantity": _plain(line.quantity)}
    base = [part for part in line.parts if part.kind in _BASE]
    for part in line.parts:
        if part.kind in (*_BASE, "Committed", "Spent", "Rerated", "Charged"):
            yield _priced(part, found)
    if line.conversion is not None:
        yield _converted(line.conversion, base, invoice)
    yield from _reductions(line, invoice)
    text = f"the line comes to {_money(line.amount_minor, invoice)}"
    yield {"step": "line", "text": text, "amount": _shown(line.amount_minor, invoice.currency)}
    for one in line.discounts:
        if one.scope == "Invoice":
            yield _discount(one, one.amount_minor, invoice, of="the invoice, this line's share")
    if line.net_minor != line.amount_minor:
        text = f"owed for it are {_money(line.net_minor, invoice)}"
        yield {"step": "net", "text": text, "amount": _shown(line.net_minor, invoice.currency)}


def _quantity_steps(found: LineExplanation, sku: Sku) -> Iterator[dict[str, Any]]:
    """Metered → converted → rounded → less what is included."""
    line = found.line
    unit = "" if found.meter is None else found.meter.unit
    projects = len({share.project for share in found.shares if share.project})
    metered, converted = found.metered, Fraction(found.metered) * sku.unit_factor
    text = f"{_plain(metered)} {unit} metered by {projects} project{'' if projects == 1 else 's'}"
    yield {"step": "metered", "text": text, "quantity": _plain(metered), "unit": unit}
    shown = _plain(shown_decimal(converted, places_max=QUANTITY_PLACES_MAX))
    yield {
        "step": "converted",
        "text": f"{_plain(metered)} {unit} × {sku.unit_factor} = {shown} {sku.pricing_unit}",
        "unitFactor": str(sku.unit_factor),
        "quantity": shown,
        "unit": sku.pricing_unit,
    }
    if (rounding := sku.quantity_rounding) is not None:
        text = f"rounded {rounding.mode} to {rounding.decimals} decimals: {_plain(line.quantity)}"
        yield {"step": "rounded", "text": text, "mode": rounding.mode, "quantity": _plain(line.quantity)}
    if line.included:
        left = line.quantity - line.included
        text = f"{_plain(line.included)} {sku.pricing_unit} are included, {_plain(left)} are charged"
        yield {"step": "included", "text": text, "included": _plain(line.included), "quantity": _plain(left)}


def _priced(part: Part, found: LineExplanation) -> dict[str, Any]:
    """One settled part: the product as it was, and the amount that it was rounded to."""
    currency = found.invoice.currency if found.line.conversion is None else found.line.conversion.currency
    body: dict[str, Any] = {"step": part.kind[0].lower() + part.kind[1:]}
    what = _CALLED.get(part.kind, part.kind.lower())
    if part.tier is not None:
        what = f"tier {part.tier}, {what}"
    converted = (
        "" if found.line.conversion is None else f", converted {_money(part.amount_minor, found.invoice)}"
    )
    if part.quantity is not None and part.unit_price is not None:
        exact = part.quantity * part.unit_price
        body |= {
            "quantity": _plain(part.quantity),
            "unitPrice": _plain(part.unit_price),
            "exact": _plain(exact),
        }
        text = f"{what}: {_plain(part.quantity)} × {_plain(part.unit_price)} = {_plain(exact)} {currency}"
        text += converted or f", rounded {_money(part.amount_minor, found.invoice)}"
    else:
        text = f"{what}: {_money(part.amount_minor, found.invoice)}"
    if part.tier is not None:
        body["tier"] = part.tier
    return {**body, "text": text, "amount": _shown(part.amount_minor, found.invoice.currency)}


def _converted(conversion: LineConversion, base: Sequence[Part], invoice: Invoice) -> dict[str, Any]:
    """The rate at which the parts above came into the invoice's currency, each rounded once."""
    amount_minor = sum(part.amount_minor for part in base)
    currency = conversion.currency
    text = (
        f"{_shown(conversion.amount_minor, currency)} {currency} in the book's currency; "
        f"1 {currency} = {_plain(conversion.rate)} {invoice.currency}, {conversion.source} of {conversion.day}"
    )
    return {
        "step": "exchanged",
        "text": text,
        "conversion": conversion_body(conversion),
        "amount": _shown(amount_minor, invoice.currency),
    }


def _reductions(line: InvoiceLine, invoice: Invoice) -> Iterator[dict[str, Any]]:
    """Percentages, bounds and fixed amounts inside the line, in the order in which they acted."""
    givers = iter([one for one in line.discounts if one.scope == "Line"])
    left_minor = sum(part.amount_minor for part in line.parts if part.kind in _BASE)
    for part in line.parts:
        if part.kind in _BOUNDS:
            bound = _money(left_minor + part.amount_minor, invoice)
            text = f"{part.kind.lower()} of {bound}: {_money(part.amount_minor, invoice)}"
            amount = _shown(part.amount_minor, invoice.currency)
            yield {"step": part.kind.lower(), "text": text, "amount": amount}
        elif part.kind == "Discount" and part.amount_minor:
            # only who took something off was kept
            one = next(givers, None)
            yield _discount(one, part.amount_minor, invoice, of=_money(left_minor, invoice))
        if part.kind in (*_BOUNDS, "Discount"):
            left_minor += part.amount_minor


def _discount(one: LineDiscount | None, minor: int, invoice: Invoice, *, of: str) -> dict[str, Any]:
    if one is None:
        text, giver = f"discount: {_money(minor, invoice)}", None
    else:
        percent = None if one.percent is None else _plain(one.percent)
        how = "off " if percent is None else f"{percent} % off "
        by = _CREDITS.get(one.given_by, one.given_by.lower())
        text = f"{by} {one.name}: {how}{of}: {_money(minor, invoice)}"
        giver = {"kind": one.given_by, "name": one.name, "percentage": percent}
    step = "discount" if one is None or one.scope == "Line" else "invoiceDiscount"
    return {"step": step, "text": text, "givenBy": giver, "amount": _shown(minor, invoice.currency)}


def _money(minor: int, invoice: Invoice) -> str:
    return f"{_shown(minor, invoice.currency)} {invoice.currency}"


def _shown(minor: int, currency: str) -> str:
    return str(minor_to_decimal(minor, currency))


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
