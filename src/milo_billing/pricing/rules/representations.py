"""What the endpoints of pricing answer. Decimals are strings; a fraction without an end is cut for display."""

from fractions import Fraction
from typing import Any, Final

from milo_billing.kernel.money import Currency, minor_to_decimal
from milo_billing.kernel.quantity import shown_decimal
from milo_billing.pricing.types import (
    Candidate,
    ExchangeRate,
    PriceExplanation,
    RatedLine,
    SubLine,
)

PLACES_MAX: Final = 12
"""Decimals of a rate or a quantity as it is shown; what is charged is computed from the exact fraction."""


def rate_body(rate: ExchangeRate) -> dict[str, Any]:
    """A rate: both legs as they were published, and their ratio."""
    return {
        "from": rate.from_currency,
        "to": rate.to_currency,
        "rate": _shown(rate.rate),
        "day": rate.day.isoformat(),
        "source": rate.source,
        "perEuro": {"from": f"{rate.from_per_euro:f}", "to": f"{rate.to_per_euro:f}"},
    }


def explanation_body(found: PriceExplanation, *, account: str) -> dict[str, Any]:
    """Every step from a quantity to an amount; `price`, `parts` and `amount` are null where nothing prices the Sku."""
    line = found.line
    return {
        "account": account,
        "sku": found.sku.name,
        "day": found.day.isoformat(),
        "period": {"firstDay": found.first_day.isoformat(), "endDay": found.end_day.isoformat()},
        "candidates": [_candidate(candidate) for candidate in found.candidates],
        "price": None if line is None else _price(found, line),
        "quantity": _quantity(found),
        "parts": None if line is None else _parts(line),
        "conversion": None if line is None or line.conversion is None else _conversion(line),
        "amount": None if line is None else _amount(line.amount_minor, line.currency),
        "currencyCode": None if line is None else line.currency,
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    source, book = candidate.source, candidate.book
    return {
        "source": source.kind,
        "priceBook": source.book_name,
        "by": source.by or None,
        "currencyCode": source.books[0].currency,
        "effectiveFrom": None if book is None else book.effective_from.isoformat(),
        "chosen": candidate.chosen,
        "reason": candidate.reason,
    }


def _price(found: PriceExplanation, line: RatedLine) -> dict[str, Any]:
    price, book = line.price, found.book
    assert book is not None, "a line has a book"
    return {
        "source": line.source,
        "priceBook": book.book_name,
        "effectiveFrom": book.effective_from.isoformat(),
        "currencyCode": book.currency,
        "model": price.model,
        "firstDay": line.first_day.isoformat(),
        "endDay": line.end_day.isoformat(),
        "minimum": None if price.minimum is None else f"{price.minimum:f}",
        "maximum": None if price.maximum is None else f"{price.maximum:f}",
    }


def _quantity(found: PriceExplanation) -> dict[str, Any]:
    """Metered → converted → rounded → less what is included."""
    sku, line = found.sku, found.line
    rounding = sku.quantity_rounding
    charged = None if line is None else line.quantity
    return {
        "metered": _shown(found.metered),
        "meterUnit": None if found.meter is None else found.meter.unit,
        "unitFactor": str(sku.unit_factor),
        "converted": _shown(found.converted),
        "pricingUnit": sku.pricing_unit,
        "rounding": None if rounding is None else {"mode": rounding.mode, "decimals": rounding.decimals},
        "charged": None if charged is None else _shown(charged),
        "included": None if line is None else _shown(line.included),
        "billable": None if line is None else _shown(line.quantity - line.included),
    }


def _parts(line: RatedLine) -> list[dict[str, Any]]:
    """Each settled part in the book's currency, with what it came to before it was settled."""
    if line.conversion is None:
        return [_part(part, line.currency) for part in line.parts]
    currency = line.conversion.rate.from_currency
    return [
        {**_part(part, currency), "converted": _amount(converted.amount_minor, line.currency)}
        for part, converted in zip(line.conversion.parts, line.parts, strict=True)
    ]


def _part(part: SubLine, currency: Currency) -> dict[str, Any]:
    priced = part.unit_price is not None
    exact = part.quantity * Fraction(part.unit_price) if part.unit_price is not None else None
    return {
        "kind": part.kind,
        "tier": part.tier,
        "quantity": _shown(part.quantity) if priced else None,
        "unitPrice": f"{part.unit_price:f}" if priced else None,
        "exact": None if exact is None else _shown(exact),
        "amount": _amount(part.amount_minor, currency),
    }


def _conversion(line: RatedLine) -> dict[str, Any]:
    assert line.conversion is not None, "the caller has looked"
    rate = line.conversion.rate
    return {**rate_body(rate), "amount": _amount(line.conversion.amount_minor, rate.from_currency)}


def _amount(minor: int, currency: Currency) -> str:
    return str(minor_to_decimal(minor, currency))


def _shown(number: Fraction) -> str:
    return f"{shown_decimal(number, places_max=PLACES_MAX):f}"
