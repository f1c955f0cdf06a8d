"""Every price model from its declaration to the stored parts of an invoice's line."""

from typing import Any

import pytest

from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.types.invoices import InvoiceLine
from tests.db.invoicing.ground import Ground

TIERS = [{"upTo": "100", "unitPrice": "2", "flatFee": "5"}, {"unitPrice": "1"}]
STEPS = [{"upTo": "100", "flatFee": "30"}, {"flatFee": "50"}]


def line_of(ground: Ground, **price: Any) -> dict[str, InvoiceLine]:
    """The lines of a month with 150 requests at this price, and a percentage of them at `support`."""
    ground.declare(
        "skus",
        "support",
        {
            "chargeType": "Usage",
            "meter": {"meterName": "example.com/bytes"},
            "pricingUnit": "By",
            "labels": {"family": "support"},
        },
    )
    support = {
        "skuRef": {"name": "support"},
        "model": "Percentage",
        "percent": "2.5",
        "base": {"cel": "!('family' in labels)"},
        "chargeAtZero": True,
    }
    ground.publish("EUR", [{"skuRef": {"name": "requests"}, **price}, support])
    account = ground.declare_account(currencyCode="EUR")
    ground.use(account, ("2026-10-05", "web", "requests", 150))
    invoice = ground.issued(account)
    lines = ground.reading(lambda tx: line_reads.list_lines(tx, invoice=invoice.uid, limit=100))
    assert sum(line.amount_minor for line in lines) == invoice.total.minor
    return {line.sku: line for line in lines if line.sku is not None}


@pytest.mark.parametrize(
    ("price", "parts"),
    [
        ({"model": "Volume", "tiers": TIERS}, [("Usage", 2, "150", 15_000)]),
        ({"model": "Package", "unitPrice": "5", "packageSize": "100"}, [("Package", None, "2", 1_000)]),
        ({"model": "Stairstep", "tiers": STEPS}, [("FlatFee", 2, None, 5_000)]),
        ({"model": "Flat", "unitPrice": "20"}, [("FlatFee", None, None, 2_000)]),
    ],
    ids=["Volume", "Package", "Stairstep", "Flat"],
)
def test_a_model_is_declared_rated_and_issued(
    ground: Ground, price: dict[str, Any], parts: list[tuple[str, int | None, str | None, int]]
) -> None:
    lines = line_of(ground, **price)
    assert [
        (part.kind, part.tier, None if part.quantity is None else f"{part.quantity:f}", part.amount_minor)
        for part in lines["requests"].parts
    ] == parts
    amount_minor = lines["requests"].amount_minor
    (percentage,) = lines["support"].parts
    assert (percentage.kind, str(percentage.unit_price)) == ("Percentage", "0.025")
    assert lines["support"].amount_minor == amount_minor * 25 // 1000
    assert [(share.project, share.amount_minor) for share in lines["support"].projects] == [
        ("web", amount_minor * 25 // 1000)
    ]
