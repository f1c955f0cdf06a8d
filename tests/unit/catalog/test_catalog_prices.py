"""What one price may hold, whatever its model."""

from decimal import Decimal
from typing import Any

import pytest

from milo_billing.catalog.rules.prices import parse_price, price_errors


def tier(
    up_to: str | None, *, at_zero: bool = False, flat_fee: str = "0", unit_price: str | None = "0.10"
) -> dict[str, Any]:
    bound = {} if up_to is None else {"upTo": up_to}
    price = {} if unit_price is None else {"unitPrice": unit_price}
    return {**bound, **price, "flatFee": flat_fee, "chargeAtZero": at_zero}


STEPS = [tier("5", unit_price=None, flat_fee="3"), tier(None, unit_price=None)]
BASE = {"matchLabels": [{"key": "family", "op": "In", "values": ["compute"]}]}


def errors(**price: Any) -> list[str]:
    body = {"skuRef": {"name": "tokens"}, "includedQuantity": "0", **price}
    return [str(error) for error in price_errors(body, path="p")]


@pytest.mark.parametrize(
    "price",
    [
        {"model": "PerUnit", "unitPrice": "0.0000025"},
        {"model": "PerUnit", "unitPrice": "0"},
        {"model": "PerUnit", "unitPrice": "1", "minimum": "5", "maximum": "5"},
        {"model": "Graduated", "tiers": [tier(None)]},
        {"model": "Graduated", "tiers": [tier("1000", at_zero=True), tier("1000.5"), tier(None)]},
        {"model": "Graduated", "tiers": [tier("10", unit_price="0"), tier(None)]},
        {"model": "Volume", "tiers": [tier("10", unit_price=None, flat_fee="7"), tier(None)]},
        {"model": "Package", "unitPrice": "5", "packageSize": "0.5", "includedQuantity": "100"},
        {"model": "Stairstep", "tiers": STEPS},
        {"model": "Percentage", "percent": "2.5", "base": BASE, "chargeAtZero": True, "minimum": "1"},
        {"model": "Percentage", "percent": "10", "base": {}},
        {"model": "Flat", "unitPrice": "20", "includedQuantity": "10", "chargeAtZero": True},
    ],
)
def test_a_price_that_can_be_computed_stands(price: dict[str, Any]):
    assert errors(**price) == []


TIERED = "only the models Graduated, Volume and Stairstep"


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ({"model": "PerUnit"}, ["p.unitPrice: Required value: the model PerUnit needs it"]),
        (
            {"model": "PerUnit", "unitPrice": "1", "tiers": [tier(None)]},
            [f"p.tiers: Forbidden: PerUnit has no use for it, {TIERED}"],
        ),
        ({"model": "Graduated"}, ["p.tiers: Required value: the model Graduated needs at least one tier"]),
        (
            {"model": "Volume", "unitPrice": "1", "tiers": [tier(None)]},
            ["p.unitPrice: Forbidden: Volume has no use for it, only the models PerUnit, Package and Flat"],
        ),
        (
            {"model": "Graduated", "tiers": [tier("10"), tier("10"), tier(None)]},
            ['p.tiers[1].upTo: Invalid value: "10": must be above 10: bounds increase'],
        ),
        (
            {"model": "Graduated", "tiers": [tier("0"), tier(None)]},
            ['p.tiers[0].upTo: Invalid value: "0": must be above 0: bounds increase'],
        ),
        (
            {"model": "Graduated", "tiers": [tier(None), tier("10")]},
            [
                "p.tiers[0].upTo: Required value: only the last tier is open",
                "p.tiers[1].upTo: Forbidden: the last tier is open: leave upTo out",
            ],
        ),
        (
            {"model": "Graduated", "tiers": [tier("10"), tier(None, at_zero=True)]},
            ["p.tiers[1].chargeAtZero: Forbidden: only the first tier is entered at zero usage"],
        ),
        (
            {"model": "Graduated", "tiers": [tier("10", unit_price=None), tier(None)]},
            [
                'p.tiers[0].unitPrice: Required value: a tier has a unit price, a flat fee, or both; "0" is free'
            ],
        ),
        (
            {"model": "Stairstep", "tiers": [tier("5"), STEPS[1]]},
            ["p.tiers[0].unitPrice: Forbidden: a step has a flatFee for all of its units"],
        ),
        (
            {"model": "PerUnit", "unitPrice": "1", "minimum": "5", "maximum": "4.99"},
            ['p.minimum: Invalid value: "5": is above maximum, 4.99'],
        ),
        (
            {"model": "Package", "unitPrice": "1"},
            ["p.packageSize: Required value: the model Package needs it"],
        ),
        (
            {"model": "Package", "unitPrice": "1", "packageSize": "0.00"},
            ['p.packageSize: Invalid value: "0.00": must be above 0'],
        ),
        (
            {"model": "Percentage", "includedQuantity": "5"},
            [
                "p.percent: Required value: the model Percentage needs it",
                "p.base: Required value: the model Percentage needs it",
                "p.includedQuantity: Forbidden: a percentage is of amounts, not of a quantity",
            ],
        ),
        (
            {"model": "Flat", "unitPrice": "1", "percent": "5"},
            ["p.percent: Forbidden: Flat has no use for it, only the model Percentage"],
        ),
        (
            {"model": "Graduated", "tiers": [tier(None)], "chargeAtZero": True},
            [
                "p.chargeAtZero: Forbidden: only of the models Percentage and Flat; its first tier has the same field"
            ],
        ),
        (
            {
                "model": "Percentage",
                "percent": "5",
                "base": {"matchLabels": [{"key": "family", "op": "In"}], "cel": "labels."},
            },
            [
                "p.base.matchLabels[0].values: Required value: the operator In needs at least one value",
                'p.base.cel: Invalid value: "labels.": line 1, column 8: Syntax error: no viable alternative at '
                "input '.'",
            ],
        ),
        (
            {"model": "PerUnit", "unitPrice": "1", "skuSelector": {}},
            ["p.skuRef: Required value: a price is of one Sku by name, or of those of a skuSelector"],
        ),
    ],
)
def test_a_price_that_cannot_be_is_refused_with_its_field(price: dict[str, Any], expected: list[str]):
    assert errors(**price) == expected


def test_a_price_is_of_one_sku_or_of_a_selector():
    body = {"includedQuantity": "0", "model": "PerUnit", "unitPrice": "1"}
    assert [error.field for error in price_errors(body, path="p")] == ["p.skuRef"]
    assert list(price_errors({**body, "skuSelector": {}}, path="p")) == []


def test_prices_keep_every_digit():
    price = parse_price(
        {"model": "PerUnit", "unitPrice": "0.000000000000000000000001", "includedQuantity": "0.1"},
        sku="tokens",
    )
    assert (price.unit_price, price.included_quantity) == (Decimal(1).scaleb(-24), Decimal("0.1"))
