"""The order inside a line, and the one place where price models branch (domain.md §5).

quantity → included quantity → price → percentages off → maximum → minimum [PM-121..127]. A further model is one more
module with `prepare` and `charge`, and one more case in each `match` below.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias, TypeVar, assert_never

from milo_billing.catalog.types import Price
from milo_billing.kernel.money import Currency, Exact, settle
from milo_billing.pricing.rules import (
    flat,
    graduated,
    package,
    per_unit,
    percentage,
    percentages,
    stairstep,
    volume,
)
from milo_billing.pricing.types import SubLine

PreparedModel: TypeAlias = (
    per_unit.UnitPrice
    | graduated.Tiers
    | volume.Levels
    | package.Package
    | stairstep.Steps
    | percentage.Percentage
    | flat.Flat
)

T = TypeVar("T")

NOTHING = Fraction(0)


@dataclass(frozen=True, slots=True)
class PreparedPrice:
    """A price in one currency, made ready once for any number of lines."""

    model: PreparedModel
    included: Fraction
    maximum_minor: int | None
    minimum_minor: int | None


def prepare(price: Price, *, currency: Currency) -> PreparedPrice:
    """Make a price ready for `charge`: everything that does not depend on the quantity is computed here, once."""
    # 2.5 and 2.50 are equal, and parts show a price as it was written: the cache has to tell them apart
    written = (str(price.unit_price), str(price.percent), *[str(tier.unit_price) for tier in price.tiers])
    return _prepare(price, written, currency)


@lru_cache(maxsize=4096)
def _prepare(price: Price, _written: tuple[str, ...], currency: Currency) -> PreparedPrice:
    return PreparedPrice(
        model=_prepare_model(price, currency=currency),
        included=Fraction(price.included_quantity),
        maximum_minor=_settled(price.maximum, currency=currency),
        minimum_minor=_settled(price.minimum, currency=currency),
    )


def charge(
    price: PreparedPrice,
    quantity: Fraction,
    percents: Sequence[Exact] = (),
    *,
    base_minor: Fraction = NOTHING,
) -> tuple[SubLine, ...]:
    """The settled parts of a line over `quantity`, which is in the pricing unit and not negative.

    `percents` come off the price one after the other, each from what the one before it left. `base_minor` is what a
    Percentage is taken of, in minor units; no other price asks for it.
    """
    billable = quantity
    if price.included:
        billable = max(quantity - price.included, NOTHING)
    parts = _charge_model(price.model, billable, base_minor=base_minor)
    if percents:
        parts = percentages.take_off(parts, percents)
    if price.maximum_minor is None and price.minimum_minor is None:
        return parts
    return percentages.bound(parts, maximum_minor=price.maximum_minor, minimum_minor=price.minimum_minor)


def charges_at_zero(price: Price) -> bool:
    """Whether an account that used nothing has a line all the same: the price says so, or its first tier has a fee
    and says so.
    """
    return price.charge_at_zero or (
        bool(price.tiers) and price.tiers[0].charge_at_zero and price.tiers[0].flat_fee > 0
    )


def _prepare_model(price: Price, *, currency: Currency) -> PreparedModel:
    match price.model:
        case "PerUnit":
            return per_unit.prepare(_present(price, "unitPrice", price.unit_price), currency=currency)
        case "Graduated":
            return graduated.prepare(price.tiers, currency=currency)
        case "Volume":
            return volume.prepare(price.tiers, currency=currency)
        case "Package":
            size = _present(price, "packageSize", price.package_size)
            return package.prepare(
                _present(price, "unitPrice", price.unit_price), size=size, currency=currency
            )
        case "Stairstep":
            return stairstep.prepare(price.tiers, currency=currency)
        case "Percentage":
            return percentage.prepare(_present(price, "percent", price.percent), currency=currency)
        case "Flat":
            amount = _present(price, "unitPrice", price.unit_price)
            return flat.prepare(amount, charge_at_zero=price.charge_at_zero, currency=currency)
        case _:
            assert_never(price.model)


def _charge_model(model: PreparedModel, quantity: Fraction, *, base_minor: Fraction) -> tuple[SubLine, ...]:
    match model:
        case per_unit.UnitPrice():
            return per_unit.charge(model, quantity)
        case graduated.Tiers():
            return graduated.charge(model, quantity)
        case volume.Levels():
            return volume.charge(model, quantity)
        case package.Package():
            return package.charge(model, quantity)
        case stairstep.Steps():
            return stairstep.charge(model, quantity)
        case percentage.Percentage():
            return percentage.charge(model, base_minor)
        case flat.Flat():
            return flat.charge(model, quantity)
        case _:
            assert_never(model)


def _present(price: Price, field: str, value: T | None) -> T:
    """What admission of the book has seen to be there."""
    if value is None:
        raise ValueError(f"the price of {price.sku} is {price.model} without {field}")
    return value


def _settled(amount: Decimal | None, *, currency: Currency) -> int | None:
    return None if amount is None else settle(amount, currency).minor
