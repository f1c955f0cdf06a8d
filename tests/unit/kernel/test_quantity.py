"""Exact ways between integers, decimals and fractions."""

from decimal import Decimal
from fractions import Fraction

import pytest

from milo_billing.kernel.quantity import (
    INT64_MAX,
    INT64_MIN,
    finite_decimal,
    fraction,
    is_int64,
    shown_decimal,
)


def test_int64_ends_where_bigint_ends() -> None:
    assert is_int64(INT64_MAX)
    assert is_int64(INT64_MIN)
    assert not is_int64(INT64_MAX + 1)
    assert not is_int64(INT64_MIN - 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(18_059_974, 1_000_000), "18.059974"),
        (Fraction(5), "5"),
        (Fraction(-1, 8), "-0.125"),
        (Fraction(1, 2**40), str(Decimal(5**40).scaleb(-40))),
        (Fraction(0), "0"),
    ],
)
def test_a_finite_decimal_is_exact_and_has_no_spare_digits(value: Fraction, text: str) -> None:
    assert str(finite_decimal(value)) == text


def test_a_third_has_no_decimal() -> None:
    assert finite_decimal(Fraction(1, 3)) is None


@pytest.mark.parametrize(
    ("value", "places_max", "text"),
    [
        (Fraction(1, 3), 6, "0.333333"),
        (Fraction(2, 3), 2, "0.67"),
        (Fraction(-1, 8), 2, "-0.13"),
        (Fraction(18_059_974, 1_000_000), 9, "18.059974"),
        (Fraction(7, 2), 0, "4"),
    ],
)
def test_a_quantity_is_shown_in_as_few_decimals_as_it_needs(
    value: Fraction, places_max: int, text: str
) -> None:
    assert str(shown_decimal(value, places_max=places_max)) == text


def test_decimals_become_exact_fractions() -> None:
    assert fraction(Decimal("0.1")) == Fraction(1, 10)
    with pytest.raises(ValueError, match="NaN"):
        fraction(Decimal("NaN"))
