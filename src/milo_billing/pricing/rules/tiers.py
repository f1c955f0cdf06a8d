"""Tier bounds, as all tiered models read them: inclusive and continuous (domain.md §5) [PM-021..027].

With a bound of 5, 5 is in tier 1 and 5.001 in tier 2. What a tier costs is each model's own.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from milo_billing.catalog.types import Tier


@dataclass(frozen=True, slots=True)
class TierBounds:
    """The closed tiers' upper bounds, in units of 1/`scale` so that they are whole numbers."""

    scale: int
    scaled: tuple[int, ...]


def prepare_bounds(tiers: Sequence[Tier]) -> TierBounds:
    """Bounds ready for `position`. They increase and the last tier is open: admission of the book saw to it."""
    closed = [Fraction(tier.up_to) for tier in tiers if tier.up_to is not None]
    scale = lcm(*(bound.denominator for bound in closed))
    return TierBounds(scale, tuple(int(bound * scale) for bound in closed))


def position(bounds: TierBounds, quantity: Fraction) -> int:
    """The index of the tier that the quantity has reached, from 0."""
    # the least whole number of 1/scale that is not below the quantity lies in the same tier as the quantity
    return bisect_left(bounds.scaled, -(-quantity.numerator * bounds.scale // quantity.denominator))
