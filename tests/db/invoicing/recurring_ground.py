"""A provider that sells what recurs: offers in advance and in arrears, taken and changed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from milo_billing.accounts.types import Account
from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.patches import merge_patch
from milo_billing.controlplane.rows import Row
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine, Issued
from tests.db.invoicing.ground import ACME, PRICES, Ground

SEATS: dict[str, Any] = {"skuRef": {"name": "seats"}, "model": "PerUnit", "unitPrice": "30"}
PLATFORM: dict[str, Any] = {
    "skuRef": {"name": "platform"},
    "model": "Flat",
    "unitPrice": "50",
    "billing": "Arrears",
}
SUPPORT: dict[str, Any] = {
    "skuRef": {"name": "support"},
    "model": "PerUnit",
    "unitPrice": "365",
    "interval": "Yearly",
}


def open_shop(ground: Ground) -> Ground:
    """A provider with an offer for each of what recurs."""
    ground.declare("services", "llm", {"phase": "Published"})
    for name in ("seats", "platform", "support"):
        ground.declare(
            "skus", name, {"chargeType": "Recurring", "pricingUnit": "{seat}", "displayName": name}
        )
        offer = {"tier": "Pro", "phase": "Published", "services": [{"name": "llm"}]}
        ground.declare("offers", name, {**offer, "recurring": [{"skuRef": {"name": name}}]})
    spec = {
        "bookName": "list-usd",
        "effectiveFrom": "2026-02-01",
        "currencyCode": "USD",
        "phase": "Published",
    }
    ground.declare("pricebooks", "list-2", {**spec, "prices": [*PRICES, SEATS, PLATFORM, SUPPORT]})
    return ground


def take(ground: Ground, offer: str, starts_at: str, **spec: Any) -> None:
    wanted = {"billingAccountRef": {"name": "main"}, "offerRef": {"name": offer}, "startsAt": starts_at}
    ground.declare("entitlements", offer, {**wanted, **spec}, namespace=ACME)


def change(ground: Ground, name: str, on: str, **spec: Any) -> None:
    """Merge into the spec at noon of the day."""
    kind = next(kind for kind in ground.engine.registry.kinds if kind.plural == "entitlements")

    def merged(row: Row) -> Draft:
        return Draft(
            name, ACME, "", "", "", row.labels, row.metadata, merge_patch(row.spec, spec), row.status
        )

    ground.write(
        lambda work: ground.engine.update(work, kind, namespace=ACME, name=name, change=merged, verb="patch"),
        now=datetime.fromisoformat(f"{on}T12:00:00+00:00"),
    )


def issued(ground: Ground, account: Account, month: int) -> Invoice:
    outcome = ground.issue(account, month=month, now=datetime(2026, month + 1, 1, 6, tzinfo=UTC))
    assert isinstance(outcome, Issued), outcome
    return outcome.invoice


def lines_of(ground: Ground, invoice: Invoice) -> Sequence[InvoiceLine]:
    return ground.reading(lambda tx: line_reads.list_lines(tx, invoice=invoice.uid, limit=100))
