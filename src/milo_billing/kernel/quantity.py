"""Quantities: what a meter counts is an int64, what a price multiplies is an exact fraction (domain.md §2).

Owns: the bounds, and exact ways between integers, decimals and fractions. Not: units (catalog), rounding
rules of a Sku (pricing).
"""

from decimal import Decimal
from fractions import Fraction
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
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return None
    places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator)
    return Decimal((int(value < 0), tuple(map(int, digits)), -places))


def shown_decimal(value: Fraction, *, places_max: int) -> Decimal:
    """The number as people read it: exact where `places_max` decimals do, else rounded half-up to that many.

    For display only. What is charged is computed from the fraction.
    """
    exact = finite_decimal(value)
    if exact is not None and -int(exact.as_tuple().exponent) <= places_max:
        return exact
    scaled = abs(value) * 10**places_max
    units = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Decimal((int(value < 0), tuple(map(int, str(units))), -places_max))
