"""What the tests of entitlements stand on: a service, books, an offer, an account in New York."""

from typing import Any

from milo_billing.catalog.resources.books import PriceBook
from milo_billing.catalog.resources.meters import MeterDefinition
from milo_billing.catalog.resources.services import Service
from milo_billing.catalog.resources.skus import Sku
from milo_billing.controlplane.rows import Row
from milo_billing.entitlements.resources.entitlements import Entitlement
from milo_billing.entitlements.resources.offers import Offer
from tests.accounts_world import ACME, World

PRO: dict[str, Any] = {
    "tier": "Pro",
    "phase": "Published",
    "services": [{"name": "llm"}],
    "features": {"support": "phone"},
    "priceBookRef": {"name": "pro-usd"},
    "trialDays": 14,
}


def stock(world: World) -> None:
    world.account(timeZone="America/New_York")
    world.project("web")
    world.bind("web-main", project="web")
    for name in ("llm", "storage"):
        world.create(Service, name, {"phase": "Published"})
    measurement = {"aggregation": "Sum", "unit": "{token}"}
    world.create(
        MeterDefinition, "tokens", {"meterName": "tokens", "phase": "Published", "measurement": measurement}
    )
    sku = {"meter": {"meterName": "tokens"}, "pricingUnit": "10*6.{token}"}
    world.create(Sku, "tokens", {**sku, "serviceRef": {"name": "llm"}})
    for name in ("pro-usd", "acme-usd"):
        publish(world, name)
    world.create(Offer, "pro", PRO)


def publish(world: World, book: str, **spec: Any) -> Row:
    wanted = {
        "bookName": book,
        "effectiveFrom": "2026-01-01",
        "currencyCode": "USD",
        "role": "Negotiated",
        "phase": "Published",
        "prices": [{"skuRef": {"name": "tokens"}, "model": "PerUnit", "unitPrice": "2"}],
    }
    return world.create(PriceBook, f"{book}-1", {**wanted, **spec})


def terms(**spec: Any) -> dict[str, Any]:
    """The spec of an entitlement of the account main to the offer pro from today on, unless something else is said."""
    wanted = {"billingAccountRef": {"name": "main"}, "startsAt": "2026-10-01", **spec}
    return wanted if "services" in spec else {"offerRef": {"name": "pro"}, **wanted}


def entitle(world: World, name: str = "main-pro", **spec: Any) -> Row:
    return world.create(Entitlement, name, terms(**spec), namespace=ACME)
