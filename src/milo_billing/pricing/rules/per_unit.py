"""PerUnit: every unit at one price [PM-001]."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from milo_billing.kernel.money import Currency, settle_ratio
from milo_billing.pricing.types import SubLine


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """A price in the currency's main unit, as it was written and as a ratio of integers."""

    price: Decimal
    numerator: int
    denominator: int
    currency: Currency


def prepare(price: Decimal, *, currency: Currency) -> UnitPrice:
    """Make a unit price ready for `charge`."""
    numerator, denominator = price.as_integer_ratio()
    return UnitPrice(price, numerator, denominator, currency)


def charge(unit_price: UnitPrice, quantity: Fraction) -> tuple[SubLine, ...]:
    """Quantity × unit price, settled; no part for no quantity."""
    if not quantity:
        return ()
    return (SubLine("Usage", settle_units(unit_price, quantity), quantity, unit_price.price),)


def settle_units(unit_price: UnitPrice, quantity: Fraction) -> int:
    """Quantity × unit price, settled to minor units."""
    return settle_ratio(
        quantity.numerator * unit_price.numerator,
        quantity.denominator * unit_price.denominator,
        unit_price.currency,
    )
