"""From what was metered to what is charged: convert, then round if the Sku asks (domain.md §5) [PM-100..117]."""

from fractions import Fraction

from milo_billing.catalog.types import QuantityRounding, Sku
from milo_billing.kernel.money import half_up
from milo_billing.pricing.types import Metered


def charged_quantity(metered: Metered, *, sku: Sku) -> Fraction:
    """The quantity in the Sku's pricing unit, exact unless the Sku rounds.

    It is the aggregate that is rounded, never one event. Corrections can take a period below nothing; what is
    charged then is nothing.
    """
    if metered <= 0:
        return Fraction(0)
    converted = metered * sku.unit_factor
    return converted if sku.quantity_rounding is None else rounded(converted, sku.quantity_rounding)


def rounded(quantity: Fraction, rounding: QuantityRounding) -> Fraction:
    """The quantity to the given decimals; `Up` is away from zero, `Down` towards it, halves go away from zero."""
    scale = Fraction(10) ** rounding.decimals
    scaled = abs(quantity) * scale
    match rounding.mode:
        case "Up":
            units = -(-scaled.numerator // scaled.denominator)
        case "Down":
            units = scaled.numerator // scaled.denominator
        case "HalfUp":
            units = half_up(scaled.numerator, scaled.denominator)
    return (units if quantity >= 0 else -units) / scale
