"""What a price list becomes as declared objects, and how prices that stand in a book read."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from milo_billing.catalog.rules.importing.values import (
    HOURS,
    ListedMeter,
    ListedSku,
    Step,
    Steps,
    amount_text,
)

API_VERSION: Final = "billing.miloapis.com/v1alpha1"

Manifest: TypeAlias = dict[str, Any]


def meter_manifest(meter: ListedMeter) -> Manifest:
    """A published meter that sums up."""
    return {
        "apiVersion": API_VERSION,
        "kind": "MeterDefinition",
        "metadata": {"name": meter.name},
        "spec": {
            "meterName": meter.meter_name,
            "phase": "Published",
            "displayName": meter.display_name,
            "measurement": measurement(meter),
        },
    }


def measurement(meter: ListedMeter) -> Manifest:
    """How the meter measures, as its spec says it."""
    said: Manifest = {"aggregation": "Sum", "unit": meter.unit, "dimensions": list(meter.dimensions)}
    if meter.hours:
        ranges = [{"name": band.name, "from": band.start, "to": band.end} for band in meter.hours]
        said["bands"] = [{"dimension": HOURS, "by": "TimeOfDay", "timeZone": "Etc/UTC", "ranges": ranges}]
    return said


def sku_manifest(sku: ListedSku) -> Manifest:
    """A Sku of usage."""
    spec: Manifest = {
        "displayName": sku.display_name,
        "meter": {"meterName": sku.meter_name, "match": match(sku)},
        "pricingUnit": sku.pricing_unit,
        "labels": dict(sku.labels),
    }
    if sku.invoice_group:
        spec["invoiceGroup"] = sku.invoice_group
    return {
        "apiVersion": API_VERSION,
        "kind": "Sku",
        "metadata": {"name": sku.name},
        "spec": spec,
    }


def match(sku: ListedSku) -> dict[str, list[str]]:
    """What usage it sells, as its spec says it."""
    return {dimension: list(values) for dimension, values in sku.match}


def price_body(sku: str, steps: Steps) -> Manifest:
    """An entry of a book's `prices`."""
    if len(steps) == 1:
        return {
            "skuRef": {"name": sku},
            "model": "PerUnit",
            "unitPrice": amount_text(steps[0].unit_price),
        }
    return {"skuRef": {"name": sku}, "model": "Graduated", "tiers": [_tier(step) for step in steps]}


def _tier(step: Step) -> Manifest:
    tier = {"unitPrice": amount_text(step.unit_price)}
    return tier if step.up_to is None else {"upTo": amount_text(step.up_to), **tier}


_PLAIN: Final[Mapping[str, Sequence[object]]] = {
    "includedQuantity": (None, "0"),
    "minimum": (None,),
    "maximum": (None,),
}


def steps_of(price: Mapping[str, Any]) -> Steps | None:
    """A price that stands in a book, if it says no more than a list can."""
    known = {"skuRef", "model", "unitPrice", "tiers", *_PLAIN}
    if price.keys() - known or any(price.get(field) not in values for field, values in _PLAIN.items()):
        return None
    if price.get("model") == "PerUnit" and price.get("unitPrice") is not None:
        return (Step(None, Decimal(price["unitPrice"])),)
    tiers: Sequence[Mapping[str, Any]] = price.get("tiers") or ()
    if price.get("model") != "Graduated" or any(_has_fee(tier) for tier in tiers):
        return None
    return tuple(
        Step(None if tier.get("upTo") is None else Decimal(tier["upTo"]), Decimal(tier["unitPrice"]))
        for tier in tiers
    )


def _has_fee(tier: Mapping[str, Any]) -> bool:
    return Decimal(tier.get("flatFee") or 0) != 0


def shown_steps(price: Mapping[str, Any]) -> str:
    """A price for people: `2.50`, or `0 up to 10, then 0.0255`; of other models its name."""
    steps = steps_of(price)
    return str(price.get("model")) if steps is None else shown(steps)


def shown(steps: Steps) -> str:
    """Steps for people."""
    parts = [
        f"{amount_text(step.unit_price)}"
        if step.up_to is None
        else f"{amount_text(step.unit_price)} up to {amount_text(step.up_to)}"
        for step in steps
    ]
    return ", then ".join(parts)
