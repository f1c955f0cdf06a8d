"""Money: integer counts of a currency's minor unit, one rounding point, splits that lose nothing (domain.md
§2).

Owns: `Money`, `settle`, `allocate` and the exponents of ISO 4217. Not: exchange rates, formatting for people,
prices (those are `Decimal` with any number of decimals and no rounding).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import lcm
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar

from milo_billing.kernel.currencies import EXPONENTS
from milo_billing.kernel.quantity import INT64_MAX, INT64_MIN

Currency: TypeAlias = str
"""An alphabetic ISO 4217 code, in capitals."""

Exact: TypeAlias = Decimal | Fraction | int
"""A number without error; floats are never money."""

K = TypeVar("K", bound=Hashable)


class UnknownCurrency(ValueError):
    """Not a current ISO 4217 code of a currency that has a minor unit (gold and test codes have none)."""


class CurrencyMismatch(ValueError):
    """Two amounts of different currencies met where only one can be."""


def exponent(currency: Currency) -> int:
    """Digits of the minor unit: JPY 0, USD 2, BHD 3, CLF 4 [CR-051]. Raises UnknownCurrency."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(f"{currency!r} is no current ISO 4217 code with a minor unit") from None


def is_currency(code: str) -> bool:
    """Whether amounts can be kept in this currency."""
    return code in EXPONENTS


@dataclass(frozen=True, slots=True)
class Money:
    """`minor` minor units of `currency`: Money(4515, "USD") is 45.15 US dollars. Within int64, as it is
    stored.

    Amounts of one currency add, subtract and compare; of two, they raise CurrencyMismatch (== is False).
    """

    minor: int
    currency: Currency

    def __post_init__(self) -> None:
        if not INT64_MIN <= self.minor <= INT64_MAX:
            raise OverflowError(f"{self.minor} minor units of {self.currency} do not fit in 64 bits")

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same(other), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.minor, self.currency)

    def __abs__(self) -> "Money":
        return Money(abs(self.minor), self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.minor <= self._same(other)

    def __gt__(self, other: "Money") -> bool:
        return self.minor > self._same(other)

    def __ge__(self, other: "Money") -> bool:
        return self.minor >= self._same(other)

    def __bool__(self) -> bool:
        return self.minor != 0

    def __str__(self) -> str:
        return f"{self.decimal()} {self.currency}"

    def decimal(self) -> Decimal:
        """The amount in the currency's main unit, with exactly its decimals: 45.15, 2.460, 47."""
        return minor_to_decimal(self.minor, self.currency)

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} need an exchange rate to mix")
        return other.minor


def minor_to_decimal(minor: int, currency: Currency) -> Decimal:
    """A count of minor units in the currency's main unit, with exactly its decimals."""
    digits = tuple(map(int, str(abs(minor))))  # built from digits, so that no context rounds it
    return Decimal((int(minor < 0), digits, -exponent(currency)))


def half_up(numerator: int, denominator: int) -> int:
    """numerator / denominator as the nearest integer, halves away from zero. The denominator is positive."""
    if numerator < 0:
        return -((denominator - 2 * numerator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)


def settle(amount: Exact, currency: Currency) -> Money:
    """An exact amount in the main unit as money, half-up away from zero [CR-040..049]: the one crossing.

    Raises UnknownCurrency; ValueError or OverflowError for NaN, infinities and what does not fit in 64 bits.
    """
    return Money(settle_ratio(*amount.as_integer_ratio(), currency), currency)


def settle_ratio(numerator: int, denominator: int, currency: Currency) -> int:
    """`settle` for an amount that is a ratio of integers, as minor units; the denominator is positive.

    For products that are made by the million: building each as a fraction would cost more than rounding it.
    """
    return half_up(numerator * 10 ** exponent(currency), denominator)


def allocate(total: Money | int, weights: Sequence[tuple[K, Exact]]) -> dict[K, int]:
    """Split a settled amount in proportion to the weights, in minor units, by largest remainder
    [CR-015..029].

    Ties go to the lower key, so keys are comparable and each appears once. The parts sum to the total, also
    when it is negative. A zero weight gets nothing. Raises ValueError for negative weights and where there is
    something to split but every weight is zero (that share is the account's own, and the caller's decision).
    """
    minor = total.minor if isinstance(total, Money) else total
    shares = _whole_numbers(weights)
    whole = sum(share for _, share in shares)
    if whole == 0:
        if minor != 0:
            raise ValueError(f"cannot split {minor} over weights that are all zero")
        return {key: 0 for key, _ in shares}
    size, sign = abs(minor), -1 if minor < 0 else 1
    parts: dict[K, int] = {}
    remainders: list[tuple[int, Any]] = []
    for key, share in shares:
        parts[key], remainder = divmod(size * share, whole)
        remainders.append((-remainder, key))
    left = size - sum(parts.values())
    if left:
        remainders.sort()
        for _, key in remainders[:left]:
            parts[key] += 1
    if sign < 0:
        parts = {key: -part for key, part in parts.items()}
    if len(parts) != len(shares) or sum(parts.values()) != minor:
        raise ValueError("a key appears twice among the weights")
    return parts


def _whole_numbers(weights: Sequence[tuple[K, Exact]]) -> list[tuple[K, int]]:
    """The weights scaled to integers, their proportions unchanged."""
    ratios = [(key, weight.as_integer_ratio()) for key, weight in weights]
    scale = lcm(*(denominator for _, (_, denominator) in ratios))
    shares = [(key, numerator * (scale // denominator)) for key, (numerator, denominator) in ratios]
    if shares and min(map(itemgetter(1), shares)) < 0:
        raise ValueError("weights are not negative")
    return shares
