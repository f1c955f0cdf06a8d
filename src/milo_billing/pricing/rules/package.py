"""Package: whole packages, rounded up; what is included came off before (domain.md §5) [PM-050..069]."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from milo_billing.kernel.money import Currency
from milo_billing.pricing.rules.per_unit import UnitPrice, settle_units
from milo_billing.pricing.rules.per_unit import prepare as prepare_unit_price
from milo_billing.pricing.types import SubLine


@dataclass(frozen=True, slots=True)
class Package:
    """A package price made ready: the price of one package, and its size as a ratio of integers."""

    price: UnitPrice
    size_numerator: int
    size_denominator: int


def prepare(price: Decimal, *, size: Decimal, currency: Currency) -> Package:
    """Make the price of a package of `size` units, which is above zero, ready for `charge`."""
    return Package(prepare_unit_price(price, currency=currency), *size.as_integer_ratio())


def charge(package: Package, quantity: Fraction) -> tuple[SubLine, ...]:
    """A package for each one that was begun; no part for no quantity."""
    if not quantity:
        return ()
    begun = -(
        -quantity.numerator * package.size_denominator // (quantity.denominator * package.size_numerator)
    )
    packages = Fraction(begun)
    return (SubLine("Package", settle_units(package.price, packages), packages, package.price.price),)
