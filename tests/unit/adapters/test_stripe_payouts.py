"""What Stripe's payouts and balance transactions are taken for, by the shapes that Stripe publishes."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from milo_billing.adapters.outbound import Posted
from milo_billing.adapters.stripe_payments import StripePayments, connect
from milo_billing.kernel.money import Money
from milo_billing.payments.types import Payout, PayoutItem, PayoutState, ProviderConfig, Unknown

Json = dict[str, Any]
MOVED: tuple[Json, ...] = (
    {"id": "txn_0", "type": "payout", "amount": -2470, "source": {"id": "po_1", "object": "payout"}},
    {"id": "txn_1", "type": "charge", "amount": 5000, "fee": 175, "source": {"payment_intent": "pi_1"}},
    {"id": "txn_2", "type": "refund", "amount": -1000, "source": {"payment_intent": "pi_1"}},
    {
        "id": "txn_3",
        "type": "adjustment",
        "amount": -1100,
        "fee": 1500,
        "source": {"object": "dispute", "payment_intent": "pi_2"},
    },
    {"id": "txn_4", "type": "stripe_fee", "amount": -200, "source": None},
    {"id": "txn_5", "type": "payout_failure", "amount": 1445, "source": {"id": "po_0", "object": "payout"}},
    {"id": "txn_6", "type": "adjustment", "amount": 7, "source": None},
    {"id": "txn_7", "type": "topup", "amount": 3, "source": {"id": "tu_1", "object": "topup"}},
)


@pytest.fixture(scope="module")
def resources(shared_data: Path) -> dict[str, Json]:
    """Stripe's own example of every object."""
    return json.loads((shared_data / "payments" / "stripe_fixtures3.json").read_text())["resources"]


def stripe(resources: dict[str, Json], asked: list[str], **change: Any) -> StripePayments:
    """Stripe with one payout, whose balance transactions come a page each."""
    told = {**resources["payout"], "id": "po_1", "amount": 2470, "destination": {"last4": "6789"}, **change}
    moved = [{**resources["balance_transaction"], "fee": 0, **one} for one in MOVED]

    def answer(method: str, url: str, headers: object, body: bytes) -> Posted:
        asked.append(url)
        parts = urlsplit(url)
        found: Any = told
        if parts.path == "/v1/payouts":
            found = {"data": [told], "has_more": False}
        elif parts.path == "/v1/balance_transactions":
            after = parse_qs(parts.query).get("starting_after", [""])[0]
            at = 1 + int(after.removeprefix("txn_")) if after else 0
            found = {"data": moved[at : at + 1], "has_more": at + 1 < len(moved)}
        return Posted(200, json.dumps(found).encode(), {})

    secrets = {"apiKey": "sk_test_x", "webhookSecret": "whsec_test"}
    return connect(ProviderConfig("cards", "stripe", {}, secrets), transport=answer)


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def test_a_payout_says_what_it_is_made_of(resources: dict[str, Json]) -> None:
    asked: list[str] = []
    found = stripe(resources, asked, status="paid", statement_descriptor="KESTREL").get_payout("po_1")
    assert found == Payout(
        reference="po_1",
        amount=usd(2470),
        state="Paid",
        arrives_on=date(2009, 2, 13),
        bank_account="6789",
        trace="KESTREL",
        items=(
            PayoutItem("txn_1", "Payment", "pi_1", usd(5000), usd(175)),
            PayoutItem("txn_2", "Refund", "pi_1", usd(-1000), usd(0)),
            PayoutItem("txn_3", "Dispute", "pi_2", usd(-1100), usd(1500)),
            PayoutItem("txn_4", "Fee", "", usd(0), usd(200)),
            PayoutItem("txn_5", "Payout", "po_0", usd(1445), usd(0)),
            PayoutItem("txn_6", "Other", "", usd(7), usd(0)),
            PayoutItem("txn_7", "Other", "", usd(3), usd(0)),
        ),
    )
    assert "expand[0]=destination" in asked[0] and "payout=po_1" in asked[1], asked[:2]


@pytest.mark.parametrize(
    ("status", "state"),
    [("pending", "Pending"), ("in_transit", "Pending"), ("failed", "Failed"), ("canceled", "Failed")],
)
def test_how_a_payout_stands(resources: dict[str, Json], status: str, state: PayoutState) -> None:
    found = stripe(resources, [], status=status).get_payout("po_1")
    assert isinstance(found, Payout), found
    assert found.state == state


def test_what_stripe_calls_otherwise_is_unknown(resources: dict[str, Json]) -> None:
    assert isinstance(stripe(resources, [], status="sent").get_payout("po_1"), Unknown)


def test_payouts_are_listed_by_when_they_were_made(resources: dict[str, Json]) -> None:
    asked: list[str] = []
    assert stripe(resources, asked).list_payouts(since=datetime(2026, 11, 1, tzinfo=UTC)) == ("po_1",)
    assert "created[gte]=1793491200" in asked[0], asked
