"""Lines in another currency than their price book: what is frozen of the exchange rate when an invoice is issued."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from milo_billing.invoicing.types.drafts import DraftLine, LineConversion
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.kernel.quantity import shown_decimal
from milo_billing.pricing.types import Conversion

RATE_PLACES_MAX: Final = 12
"""Decimals of a rate as it is shown."""


def line_conversion(conversion: Conversion | None) -> LineConversion | None:
    """What an invoice keeps of a conversion."""
    if conversion is None:
        return None
    rate = conversion.rate
    return LineConversion(
        currency=rate.from_currency,
        amount_minor=conversion.amount_minor,
        rate=shown_decimal(rate.rate, places_max=RATE_PLACES_MAX),
        day=rate.day,
        source=rate.source,
        from_per_euro=rate.from_per_euro,
        to_per_euro=rate.to_per_euro,
    )


def frozen_conversions(lines: Sequence[DraftLine]) -> dict[str, Any]:
    """Of each line that was converted its conversion, by the line's number, which counts from 1."""
    return {
        str(number): {**conversion_body(line.conversion), "amountMinor": line.conversion.amount_minor}
        for number, line in enumerate(lines, start=1)
        if line.conversion is not None
    }


def conversion_body(conversion: LineConversion) -> dict[str, Any]:
    """A conversion as it is sent; decimals are strings."""
    return {
        "currencyCode": conversion.currency,
        "amount": str(minor_to_decimal(conversion.amount_minor, conversion.currency)),
        "rate": f"{conversion.rate:f}",
        "day": conversion.day.isoformat(),
        "source": conversion.source,
        "perEuro": {"from": f"{conversion.from_per_euro:f}", "to": f"{conversion.to_per_euro:f}"},
    }


def read_conversion(body: Mapping[str, Any]) -> LineConversion:
    """A conversion as it was frozen."""
    return LineConversion(
        currency=body["currencyCode"],
        amount_minor=body["amountMinor"],
        rate=Decimal(body["rate"]),
        day=date.fromisoformat(body["day"]),
        source=body["source"],
        from_per_euro=Decimal(body["perEuro"]["from"]),
        to_per_euro=Decimal(body["perEuro"]["to"]),
    )
