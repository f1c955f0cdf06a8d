"""Quantities: what a meter counts is an int64, what a price multiplies is an exact fraction (domain.md §2).

Owns: the bounds, and exact ways between integers, decimals and fractions. Not: units (catalog), rounding
rules of a Sku (pricing).
"""

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1


def is_int64(value: int) -> bool:
    """Whether the database's bigint holds it."""
    return INT64_MIN <= value <= INT64_MAX


def fraction(value: Decimal | Fraction | int) -> Fraction:
    """The same number as an exact fraction. Raises ValueError or OverflowError for NaN and infinities."""
    numerator, denominator = value.as_integer_ratio()
    return Fraction(numerator, denominator)


def finite_decimal(value: Fraction) -> Decimal | None:
    """The number as a decimal if it has one: 18059974/1000000 is 18.059974, 1/3 is None."""
    places = _places(value.denominator)
    return None if places is None else _decimal(value, places)


def shown_decimal(value: Fraction, *, places_max: int) -> Decimal:
    """The number as people read it: exact where `places_max` decimals do, else rounded half-up to that many.

    For display only. What is charged is computed from the fraction.
    """
    places = _places(value.denominator)
    if places is not None and places <= places_max:
        return _decimal(value, places)
    scaled = abs(value) * 10**places_max
    units = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Decimal(f"{'-' if value < 0 else ''}{units}E-{places_max}")


@lru_cache(maxsize=256)
def _places(denominator: int) -> int | None:
    """How many decimals a reduced fraction with this denominator has; None where they never end."""
    rest, twos, fives = denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


def _decimal(value: Fraction, places: int) -> Decimal:
    # from a text, which is exact whatever the context's precision, and five times as fast as from a tuple of digits
    return Decimal(f"{value.numerator * 10**places // value.denominator}E-{places}")
