"""Percentage: a share of what other Skus came to (domain.md §5: their settled amounts before discounts).

What the percentage is taken of is found by `bases`; how much of its own Sku was used changes nothing here.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from milo_billing.kernel.money import Currency, exponent
from milo_billing.pricing.rules.per_unit import UnitPrice, settle_units
from milo_billing.pricing.rules.per_unit import prepare as prepare_unit_price
from milo_billing.pricing.types import SubLine


@dataclass(frozen=True, slots=True)
class Percentage:
    """A percentage made ready: the charge for one main unit of the currency, and how many minor units that has."""

    rate: UnitPrice
    minor_units: int


def prepare(percent: Decimal, *, currency: Currency) -> Percentage:
    """Make percents ready for `charge`: 2.5 is 0.025 for each main unit of the base."""
    # scaleb would round to the digits of the context
    sign, digits, places = percent.as_tuple()
    hundredth = Decimal((sign, digits, int(places) - 2))
    return Percentage(prepare_unit_price(hundredth, currency=currency), 10 ** exponent(currency))


def charge(percentage: Percentage, base_minor: Fraction) -> tuple[SubLine, ...]:
    """The percentage of a base in minor units, settled; no part of nothing."""
    if not base_minor:
        return ()
    base = base_minor / percentage.minor_units
    return (SubLine("Percentage", settle_units(percentage.rate, base), base, percentage.rate.price),)
