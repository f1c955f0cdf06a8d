"""Graduated: each unit at the price of the tier it falls in [PM-010..048].

Entering a tier costs its flat fee, once; the first tier's is charged at zero usage only with `charge_at_zero`.

A tier that is passed always costs the same, so `prepare` settles it once; `charge` finds the tier that was
reached and settles what fell into that one. The cost does not grow with the number of tiers.
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
class ReachedTier:
    """What is charged once usage has got into a tier, but for the usage within it."""

    number: int
    begins_at: Fraction
    unit_price: UnitPrice
    is_flat: bool
    before: tuple[SubLine, ...]


@dataclass(frozen=True, slots=True)
class Tiers:
    """A graduated price made ready."""

    bounds: TierBounds
    reached: tuple[ReachedTier, ...]
    at_zero: tuple[SubLine, ...]


def prepare(tiers: Sequence[Tier], *, currency: Currency) -> Tiers:
    """Make tiers ready for `charge`. Their bounds increase and the last is open: admission of the book saw to it."""
    closed = [Fraction(tier.up_to) for tier in tiers if tier.up_to is not None]
    reached: list[ReachedTier] = []
    before: tuple[SubLine, ...] = ()
    for number, (tier, begins_at) in enumerate(zip(tiers, [Fraction(0), *closed], strict=True), start=1):
        if tier.flat_fee:
            before = (*before, SubLine("FlatFee", settle(tier.flat_fee, currency).minor, tier=number))
        entered = ReachedTier(
            number=number,
            begins_at=begins_at,
            unit_price=prepare_unit_price(tier.unit_price, currency=currency),
            is_flat=bool(tier.flat_fee) and not tier.unit_price,
            before=before,
        )
        reached.append(entered)
        if tier.up_to is not None:
            before = _with_usage(entered, Fraction(tier.up_to) - begins_at)
    return Tiers(
        bounds=prepare_bounds(tiers),
        reached=tuple(reached),
        at_zero=reached[0].before if tiers[0].charge_at_zero else (),
    )


def charge(tiers: Tiers, quantity: Fraction) -> tuple[SubLine, ...]:
    """One settled part a tier and kind, in the order of the tiers."""
    if not quantity:
        return tiers.at_zero
    reached = tiers.reached[position(tiers.bounds, quantity)]
    return _with_usage(reached, quantity - reached.begins_at)


def _with_usage(reached: ReachedTier, quantity: Fraction) -> tuple[SubLine, ...]:
    """What came before, and the usage within the tier; a tier that costs a flat fee only has no usage part."""
    if reached.is_flat:
        return reached.before
    amount = settle_units(reached.unit_price, quantity)
    return (*reached.before, SubLine("Usage", amount, quantity, reached.unit_price.price, reached.number))
