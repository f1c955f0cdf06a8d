"""One price of a book by itself: what each model needs, and what it has no use for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from milo_billing.catalog.rules import wording
from milo_billing.catalog.rules.selectors import parse_selectors, selector_errors
from milo_billing.catalog.types import Price, PriceModel, SkuSelector, Tier
from milo_billing.kernel.errors import FieldError

NEEDS: Final[Mapping[PriceModel, tuple[str, ...]]] = {
    "PerUnit": ("unitPrice",),
    "Graduated": ("tiers",),
    "Volume": ("tiers",),
    "Package": ("unitPrice", "packageSize"),
    "Stairstep": ("tiers",),
    "Percentage": ("percent", "base"),
    "Flat": ("unitPrice",),
}
"""The fields without which a model cannot be computed. Of these fields it has no other."""

AT_ZERO: Final[tuple[PriceModel, ...]] = ("Percentage", "Flat")
"""Models of which the price says whether it is due without usage; of tiered ones, the first tier does."""


def parse_price(body: Mapping[str, Any], *, sku: str, base: Sequence[str] = ()) -> Price:
    """A price as it stands in the spec of a PriceBook, in exact numbers, for one Sku; `base` are names of Skus."""
    return Price(
        sku=sku,
        model=body["model"],
        unit_price=_decimal(body.get("unitPrice")),
        tiers=tuple(_parse_tier(tier) for tier in body.get("tiers", ())),
        included_quantity=Decimal(body["includedQuantity"]),
        minimum=_decimal(body.get("minimum")),
        maximum=_decimal(body.get("maximum")),
        package_size=_decimal(body.get("packageSize")),
        percent=_decimal(body.get("percent")),
        base=frozenset(base),
        charge_at_zero=body.get("chargeAtZero") or False,
        interval=body.get("interval"),
        billing=body.get("billing"),
    )


def _parse_tier(body: Mapping[str, Any]) -> Tier:
    return Tier(
        up_to=_decimal(body.get("upTo")),
        unit_price=Decimal(body.get("unitPrice", 0)),
        flat_fee=Decimal(body["flatFee"]),
        charge_at_zero=body["chargeAtZero"],
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def selector_of(body: Mapping[str, Any], field: str) -> SkuSelector | None:
    """The selector in that field of a price, or of None where it has none."""
    if body.get(field) is None:
        return None
    (selector,) = parse_selectors([body[field]])
    return selector


def price_errors(body: Mapping[str, Any], *, path: str) -> Iterator[FieldError]:
    """What is wrong with one price of a spec; `path` is its field, such as `spec.prices[0]`."""
    price, model = parse_price(body, sku=""), body["model"]
    if ("skuRef" in body) == ("skuSelector" in body):
        yield wording.required(
            f"{path}.skuRef", "a price is of one Sku by name, or of those of a skuSelector"
        )
    for field in ("skuSelector", "base"):
        selector = selector_of(body, field)
        if selector is not None:
            for error in selector_errors([selector], path=""):
                yield replace(error, field=f"{path}.{field}{error.field.removeprefix('[0]')}")
    yield from _field_errors(price, body, path=path)
    if price.tiers:
        yield from _tier_errors(price.tiers, path=f"{path}.tiers")
        yield from _tier_price_errors(body["tiers"], model=model, path=f"{path}.tiers")
    if price.package_size == 0:
        yield wording.invalid(f"{path}.packageSize", body["packageSize"], "must be above 0")
    if price.minimum is not None and price.maximum is not None and price.minimum > price.maximum:
        yield wording.invalid(f"{path}.minimum", f"{price.minimum}", f"is above maximum, {price.maximum}")


def _field_errors(price: Price, body: Mapping[str, Any], *, path: str) -> Iterator[FieldError]:
    needed = NEEDS[price.model]
    for field in ("unitPrice", "tiers", "packageSize", "percent", "base"):
        if field in needed and not _is_set(body, field):
            what = "at least one tier" if field == "tiers" else "it"
            yield wording.required(f"{path}.{field}", f"the model {price.model} needs {what}")
        elif field not in needed and _is_set(body, field):
            models = _joined([model for model, fields in NEEDS.items() if field in fields])
            yield wording.forbidden(f"{path}.{field}", f"{price.model} has no use for it, only the {models}")
    if price.charge_at_zero and price.model not in AT_ZERO:
        first = "; its first tier has the same field" if "tiers" in needed else ""
        yield wording.forbidden(f"{path}.chargeAtZero", f"only of the {_joined(AT_ZERO)}{first}")
    if price.included_quantity and price.model == "Percentage":
        yield wording.forbidden(f"{path}.includedQuantity", "a percentage is of amounts, not of a quantity")


def _is_set(body: Mapping[str, Any], field: str) -> bool:
    return body.get(field) not in (None, [])


def _joined(models: Sequence[str]) -> str:
    if len(models) == 1:
        return f"model {models[0]}"
    return f"models {', '.join(models[:-1])} and {models[-1]}"


def _tier_errors(tiers: Sequence[Tier], *, path: str) -> Iterator[FieldError]:
    """Bounds increase; the last tier, and only it, is open (domain.md §5)."""
    for index, tier in enumerate(tiers[:-1]):
        bound = tiers[index - 1].up_to if index else None
        if tier.up_to is None:
            yield wording.required(f"{path}[{index}].upTo", "only the last tier is open")
        elif tier.up_to <= (bound or 0):
            above = "0" if bound is None else f"{bound}"
            yield wording.invalid(
                f"{path}[{index}].upTo", f"{tier.up_to}", f"must be above {above}: bounds increase"
            )
    last = len(tiers) - 1
    if tiers[last].up_to is not None:
        yield wording.forbidden(f"{path}[{last}].upTo", "the last tier is open: leave upTo out")
    for index, tier in enumerate(tiers[1:], start=1):
        if tier.charge_at_zero:
            yield wording.forbidden(
                f"{path}[{index}].chargeAtZero", "only the first tier is entered at zero usage"
            )


def _tier_price_errors(
    tiers: Sequence[Mapping[str, Any]], *, model: PriceModel, path: str
) -> Iterator[FieldError]:
    """A tier that says no price at all is a slip, not a gift; a step has a fee and no unit price."""
    for index, tier in enumerate(tiers):
        if model == "Stairstep" and Decimal(tier.get("unitPrice", 0)):
            yield wording.forbidden(f"{path}[{index}].unitPrice", "a step has a flatFee for all of its units")
        elif model != "Stairstep" and "unitPrice" not in tier and not Decimal(tier["flatFee"]):
            yield wording.required(
                f"{path}[{index}].unitPrice", 'a tier has a unit price, a flat fee, or both; "0" is free'
            )
