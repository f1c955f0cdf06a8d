"""What goes with the way in which a Sku is charged: by usage, again and again, or once (domain.md §5)."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from milo_billing.catalog.rules import units, wording
from milo_billing.catalog.rules.prices import selector_of
from milo_billing.catalog.rules.selectors import selects
from milo_billing.catalog.types import ChargeType, PriceModel, Sku, SkuSelector, UnknownUnit
from milo_billing.kernel.errors import FieldError

DECLARED_MODELS: Final[tuple[PriceModel, ...]] = ("PerUnit", "Flat")
"""Models of Skus whose quantity is declared: each unit at a price, or one amount whatever the quantity."""

_WORDS: Final[Mapping[ChargeType, str]] = {
    "Usage": "sold by usage",
    "Recurring": "recurring",
    "OneTime": "sold once",
}


def sku_charge_errors(charge_type: ChargeType, body: Mapping[str, Any]) -> Iterator[FieldError]:
    """What a Sku of this charge type lacks, and what it has no use for; `body` is its spec."""
    if charge_type == "Usage":
        if "meter" not in body:
            yield wording.required("spec.meter", "a Sku of chargeType Usage sells the usage of a meter")
        return
    for field, why in (("meter", "no usage is metered"), ("quantityRounding", "its quantity is declared")):
        if field in body:
            message = f"a Sku of chargeType {charge_type} has none: {why}"
            yield wording.forbidden(f"spec.{field}", message)
    try:
        units.parse_unit(body["pricingUnit"])
    except UnknownUnit as error:
        yield wording.invalid("spec.pricingUnit", body["pricingUnit"], str(error))


def price_charge_errors(body: Mapping[str, Any], sku: Sku, *, path: str) -> Iterator[FieldError]:
    """What in a price does not go with how its Sku is charged; `path` is the price, such as `spec.prices[0]`."""
    what = f'Sku "{sku.name}" is {_WORDS[sku.charge_type]}'
    if sku.charge_type != "Recurring":
        for field in ("interval", "billing"):
            if field in body:
                yield wording.forbidden(f"{path}.{field}", f"{what}; only prices of recurring Skus have it")
    if sku.charge_type == "Usage":
        return
    if body["model"] not in DECLARED_MODELS:
        message = f"{what}: its price is {' or '.join(DECLARED_MODELS)}"
        yield wording.invalid(f"{path}.model", body["model"], message)
    for field in ("includedQuantity", "minimum", "maximum", "chargeAtZero"):
        if _says_something(body.get(field)):
            yield wording.forbidden(f"{path}.{field}", f"{what}; only prices of usage have it")


def base_charge_errors(body: Mapping[str, Any], skus: Iterable[Sku]) -> Iterator[FieldError]:
    """Bases of percentages that name what is not sold by usage, among the Skus that the book of this spec prices.

    An empty base is everything that is sold by usage, and asks for nothing else.
    """
    declared = [sku for sku in skus if sku.charge_type != "Usage"]
    for index, price in enumerate(body["prices"]):
        base = selector_of(price, "base")
        if base is None or base == SkuSelector():
            continue
        for sku in declared:
            if selects([base], sku):
                message = (
                    f'Sku "{sku.name}" is {_WORDS[sku.charge_type]}, and a percentage is of what is sold by usage: '
                    "narrow the base so that it does not mean it"
                )
                yield wording.forbidden(f"spec.prices[{index}].base", message)
                break


def _says_something(value: Any) -> bool:
    """Whether the field is set, and to another value than the one that changes nothing for a quantity that is free."""
    return bool(Decimal(value)) if isinstance(value, str) else value is not None
