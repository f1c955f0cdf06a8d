"""The order inside a line, and the one place where price models branch (domain.md §5).

quantity → included quantity → price → percentages off → maximum → minimum [PM-121..127]. A further model is one more
module with `prepare` and `charge`, and one more case in each `match` below.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias, assert_never

from milo_billing.catalog.types import Price
from milo_billing.kernel.money import Currency, Exact, settle
from milo_billing.pricing.rules import graduated, per_unit, percentages
from milo_billing.pricing.types import SubLine

PreparedModel: TypeAlias = per_unit.UnitPrice | graduated.Tiers


@dataclass(frozen=True, slots=True)
class PreparedPrice:
    """A price in one currency, made ready once for any number of lines."""

    model: PreparedModel
    included: Fraction
    maximum_minor: int | None
    minimum_minor: int | None


def prepare(price: Price, *, currency: Currency) -> PreparedPrice:
    """Make a price ready for `charge`: everything that does not depend on the quantity is computed here, once."""
    # 2.5 and 2.50 are equal, and parts show a unit price as it was written: the cache has to tell them apart
    written = (str(price.unit_price), *[str(tier.unit_price) for tier in price.tiers])
    return _prepare(price, written, currency)


@lru_cache(maxsize=4096)
def _prepare(price: Price, _written: tuple[str, ...], currency: Currency) -> PreparedPrice:
    return PreparedPrice(
        model=_prepare_model(price, currency=currency),
        included=Fraction(price.included_quantity),
        maximum_minor=_settled(price.maximum, currency=currency),
        minimum_minor=_settled(price.minimum, currency=currency),
    )


def charge(price: PreparedPrice, quantity: Fraction, percents: Sequence[Exact] = ()) -> tuple[SubLine, ...]:
    """The settled parts of a line over `quantity`, which is in the pricing unit and not negative.

    `percents` come off the price one after the other, each from what the one before it left.
    """
    billable = quantity
    if price.included:
        billable = max(quantity - price.included, Fraction(0))
    parts = _charge_model(price.model, billable)
    if percents:
        parts = percentages.take_off(parts, percents)
    if price.maximum_minor is None and price.minimum_minor is None:
        return parts
    return percentages.bound(parts, maximum_minor=price.maximum_minor, minimum_minor=price.minimum_minor)


def charges_at_zero(price: Price) -> bool:
    """Whether an account that used nothing has a line all the same: its first tier has a fee and says so."""
    return bool(price.tiers) and price.tiers[0].charge_at_zero and price.tiers[0].flat_fee > 0


def _prepare_model(price: Price, *, currency: Currency) -> PreparedModel:
    match price.model:
        case "PerUnit":
            if price.unit_price is None:
                raise ValueError(f"the price of {price.sku} is PerUnit without a unit price")
            return per_unit.prepare(price.unit_price, currency=currency)
        case "Graduated":
            return graduated.prepare(price.tiers, currency=currency)
        case _:
            assert_never(price.model)


def _charge_model(model: PreparedModel, quantity: Fraction) -> tuple[SubLine, ...]:
    match model:
        case per_unit.UnitPrice():
            return per_unit.charge(model, quantity)
        case graduated.Tiers():
            return graduated.charge(model, quantity)
        case _:
            assert_never(model)


def _settled(amount: Decimal | None, *, currency: Currency) -> int | None:
    return None if amount is None else settle(amount, currency).minor
