"""Stairstep: one fee for the whole quantity, that of the step it has reached; units have no price [PM-041, PM-046].

The steps are not added up, and they may fall. The first step's fee is charged at zero usage only with `charge_at_zero`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from milo_billing.catalog.types import Tier
from milo_billing.kernel.money import Currency, settle
from milo_billing.pricing.rules.tiers import TierBounds, position, prepare_bounds
from milo_billing.pricing.types import SubLine


@dataclass(frozen=True, slots=True)
class Steps:
    """A stairstep price made ready: the part of each step."""

    bounds: TierBounds
    steps: tuple[SubLine, ...]
    at_zero: tuple[SubLine, ...]


def prepare(tiers: Sequence[Tier], *, currency: Currency) -> Steps:
    """Make steps ready for `charge`."""
    steps = tuple(
        SubLine("FlatFee", settle(tier.flat_fee, currency).minor, tier=number)
        for number, tier in enumerate(tiers, start=1)
    )
    return Steps(prepare_bounds(tiers), steps, steps[:1] if tiers[0].charge_at_zero else ())


def charge(steps: Steps, quantity: Fraction) -> tuple[SubLine, ...]:
    """The fee of the step that was reached, a free step's too."""
    if not quantity:
        return steps.at_zero
    return (steps.steps[position(steps.bounds, quantity)],)
