"""Volume: all units at the price of the tier that was reached, and that tier's flat fee [PM-020, PM-030..048].

The price can fall where a tier is entered: that is what a buyer of volume is promised. The first tier's flat fee is
charged at zero usage only with `charge_at_zero`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from milo_billing.catalog.types import Tier
from milo_billing.kernel.money import Currency, settle
from milo_billing.pricing.rules.per_unit import UnitPrice, settle_units
from milo_billing.pricing.rules.per_unit import prepare as prepare_unit_price
from milo_billing.pricing.rules.tiers import TierBounds, position, prepare_bounds
from milo_billing.pricing.types import SubLine


@dataclass(frozen=True, slots=True)
class Level:
    """What is charged where one tier was reached: its fee, and every unit at its price."""

    number: int
    unit_price: UnitPrice
    is_flat: bool
    fee: tuple[SubLine, ...]


@dataclass(frozen=True, slots=True)
class Levels:
    """A volume price made ready."""

    bounds: TierBounds
    reached: tuple[Level, ...]
    at_zero: tuple[SubLine, ...]


def prepare(tiers: Sequence[Tier], *, currency: Currency) -> Levels:
    """Make tiers ready for `charge`."""
    reached = tuple(_level(number, tier, currency=currency) for number, tier in enumerate(tiers, start=1))
    at_zero = reached[0].fee if tiers[0].charge_at_zero else ()
    return Levels(prepare_bounds(tiers), reached, at_zero)


def charge(levels: Levels, quantity: Fraction) -> tuple[SubLine, ...]:
    """The fee of the tier reached, if it has one, and all of the quantity at its price."""
    if not quantity:
        return levels.at_zero
    level = levels.reached[position(levels.bounds, quantity)]
    if level.is_flat:
        return level.fee
    amount = settle_units(level.unit_price, quantity)
    return (*level.fee, SubLine("Usage", amount, quantity, level.unit_price.price, level.number))


def _level(number: int, tier: Tier, *, currency: Currency) -> Level:
    fee = SubLine("FlatFee", settle(tier.flat_fee, currency).minor, tier=number)
    return Level(
        number=number,
        unit_price=prepare_unit_price(tier.unit_price, currency=currency),
        is_flat=bool(tier.flat_fee) and not tier.unit_price,
        fee=(fee,) if tier.flat_fee else (),
    )
