"""Rounding, splitting and the exponents of currencies, also as other systems' examples have them."""

from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import pytest

from milo_billing.app.currencies_table import render_currencies
from milo_billing.kernel import currencies
from milo_billing.kernel.money import (
    CurrencyMismatch,
    Money,
    UnknownCurrency,
    allocate,
    exponent,
    is_currency,
    settle,
)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        (Decimal("45.149935"), "USD", 4515),
        (Decimal("0.005"), "USD", 1),
        (Decimal("-0.005"), "USD", -1),  # away from zero
        (Decimal("0.00499999999999999999999999999999999999"), "USD", 0),
        (Fraction(1, 3), "EUR", 33),
        (Fraction(-1, 2), "JPY", -1),
        (Decimal("0.0005"), "KWD", 1),
        (Decimal("1E+3"), "USD", 100_000),
        (7, "CLF", 70_000),
        (Decimal("92233720368547758.07"), "USD", 2**63 - 1),
    ],
)
def test_an_amount_settles_half_up_away_from_zero(
    amount: Decimal | Fraction | int, currency: str, minor: int
) -> None:
    assert settle(amount, currency) == Money(minor, currency)


def test_settling_does_not_depend_on_the_decimal_context() -> None:
    with localcontext() as context:
        context.prec = 3
        assert settle(Decimal("123456.785"), "USD").minor == 12_345_679
        assert str(Money(12_345_679, "USD")) == "123456.79 USD"


@pytest.mark.parametrize("amount", [Decimal("NaN"), Decimal("Infinity"), Decimal("92233720368547758.08")])
def test_what_is_no_amount_does_not_settle(amount: Decimal) -> None:
    with pytest.raises((ValueError, OverflowError)):
        settle(amount, "USD")


def test_money_adds_and_compares_within_its_currency() -> None:
    assert Money(250, "USD") + Money(-50, "USD") == Money(200, "USD")
    assert Money(250, "USD") - Money(50, "USD") == -Money(-200, "USD")
    assert Money(1, "USD") < Money(2, "USD") <= Money(2, "USD") < Money(3, "USD")
    assert Money(2, "USD") >= Money(2, "USD") > Money(1, "USD")
    assert abs(Money(-3, "USD")) == Money(3, "USD")
    assert not Money(0, "USD")
    assert Money(1, "USD") != Money(1, "EUR")


def test_money_of_two_currencies_does_not_mix() -> None:
    with pytest.raises(CurrencyMismatch, match="USD and EUR"):
        _ = Money(1, "USD") + Money(1, "EUR")
    with pytest.raises(CurrencyMismatch):
        _ = Money(1, "USD") < Money(1, "EUR")


def test_money_shows_the_decimals_of_its_currency() -> None:
    shown = [str(Money(4500, code).decimal()) for code in ("JPY", "USD", "KWD", "CLF")]
    assert shown == ["4500", "45.00", "4.500", "0.4500"]
    assert str(Money(-5, "USD").decimal()) == "-0.05"


@pytest.mark.parametrize("code", ["XAU", "XXX", "HRK", "usd", ""])
def test_what_is_no_current_currency_with_a_minor_unit_has_no_exponent(code: str) -> None:
    assert not is_currency(code)
    with pytest.raises(UnknownCurrency):
        exponent(code)


def test_the_generated_table_is_what_the_package_says() -> None:
    assert currencies.__file__ is not None
    assert Path(currencies.__file__).read_text() == render_currencies()


def test_the_larger_remainder_gets_the_odd_unit_and_a_tie_goes_to_the_lower_key() -> None:
    assert allocate(Money(100, "USD"), [("c", 1), ("a", 1), ("b", 1)]) == {"c": 33, "a": 34, "b": 33}
    assert allocate(10, [("a", Decimal("0.1")), ("b", Fraction(1, 5)), ("c", 1)]) == {"a": 1, "b": 1, "c": 8}


def test_nothing_is_split_over_nothing() -> None:
    assert allocate(0, [("a", 0), ("b", 0)]) == {"a": 0, "b": 0}
    assert allocate(0, []) == {}
    for weights in ([], [("a", 0)]):
        with pytest.raises(ValueError, match="all zero"):
            allocate(1, weights)


def test_weights_below_zero_and_keys_that_repeat_are_refused() -> None:
    with pytest.raises(ValueError, match="not negative"):
        allocate(1, [("a", 2), ("b", -1)])
    with pytest.raises(ValueError, match="twice"):
        allocate(5, [("a", 2), ("a", 1)])
