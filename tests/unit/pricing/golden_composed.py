"""Charges on payments, composed of what a book has: percent of amounts, fees for each event, least and most of each.

A payment is an event whose value is its amount. The percentage is a price for the sum of the amounts, the fee one for
their count. A least and a most charge for each payment are Skus of their own, told apart by a meter's bands of values.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from milo_billing.catalog.types import Price, Sku
from milo_billing.kernel.aggregation import Figures
from milo_billing.kernel.money import settle
from milo_billing.pricing.types import Rating, UsageQuantity
from tests.unit.pricing.builders import FIRST_DAY, book, card, per_unit, rate_october, sku
from tests.unit.pricing.golden_prices import currency_of

PARTS = 10**9
"""Amounts are metered in billionths of the currency, so that any decimals fit."""


def percentage_of_events(given: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Percent of each payment and a fee for it, between the least and the most of one payment."""
    currency = currency_of(expected)
    rate = Decimal(given["rate_percent"]) / 100
    fee, least, most = (
        Decimal(given.get(name) or 0) for name in ("fixed_per_event", "min_per_txn", "max_per_txn")
    )
    prices = {
        "percentage": per_unit(str(rate), sku="percentage", included=str(given.get("free_amount") or 0)),
        "fixed": per_unit(str(fee), sku="fixed"),
        "least": per_unit(str(least), sku="least"),
        "most": per_unit(str(most), sku="most"),
        "amounts of fees": per_unit("0", sku="amounts of fees"),
    }
    rating = _rate(_payments(given), prices, band=_Bands(rate, fee, least, most), currency=currency)
    amounts = {line.sku.name: line.amount.decimal() for line in rating.lines}
    assert rating.unpriced == ()
    for name, value in expected.items():
        found = sum(amounts.values()) if name == "amount" else amounts.get(name, Decimal(0))
        if name in ("amount", "percentage", "fixed"):
            assert found == settle(Decimal(value), currency).decimal(), name


class _Bands:
    """Which band a payment is in, by its amount: below the least charge, above the most, or between."""

    def __init__(self, rate: Decimal, fee: Decimal, least: Decimal, most: Decimal) -> None:
        self.low = Fraction(least - fee) / Fraction(rate) if least else None
        self.high = Fraction(most - fee) / Fraction(rate) if most else None

    def name(self, amount: Fraction) -> str:
        if self.low is not None and amount <= self.low:
            return "small"
        return "large" if self.high is not None and amount > self.high else "middle"


def _payments(given: Mapping[str, Any]) -> list[tuple[Fraction, int]]:
    """(amount, events) of each payment; of a total, all of it at once."""
    if "transactions" in given:
        return [(Fraction(Decimal(amount)), 1) for amount in given["transactions"]]
    return [(Fraction(Decimal(given["amount_total"])), int(given.get("events") or 0))]


def _rate(
    payments: Iterable[tuple[Fraction, int]], prices: Mapping[str, Price], *, band: _Bands, currency: str
) -> Rating:
    rows: list[UsageQuantity] = []
    for amount, events in payments:
        billionths = amount * PARTS
        assert billionths.denominator == 1
        for meter in ("amounts", "payments"):
            dimensions = (("size", band.name(amount)),)
            rows.append(UsageQuantity(1, meter, dimensions, FIRST_DAY, Figures(billionths.numerator, events)))
    return rate_october(
        rows,
        card([book(*prices.values(), currency=currency)], _skus(), {"payments": "Count"}),
    )


def _skus() -> list[Sku]:
    in_parts = Fraction(1, PARTS)
    return [
        sku("percentage", meter="amounts", match={"size": ("middle",)}, unit_factor=in_parts),
        sku("fixed", meter="payments", match={"size": ("middle",)}),
        sku("least", meter="payments", match={"size": ("small",)}),
        sku("most", meter="payments", match={"size": ("large",)}),
        sku("amounts of fees", meter="amounts", match={"size": ("small", "large")}),
    ]
