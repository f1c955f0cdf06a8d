"""What Stripe's objects and webhooks are taken for, by the shapes that Stripe publishes."""

import hmac
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from milo_billing.adapters import stripe_payments
from milo_billing.adapters.outbound import OutboundRefused, Posted
from milo_billing.adapters.stripe_payments import StripePayments, connect
from milo_billing.kernel.errors import Unavailable
from milo_billing.kernel.money import Money
from milo_billing.payments.types import (
    ActionRequired,
    Declined,
    Dispute,
    DisputeState,
    PaymentRequest,
    PaymentResult,
    Processing,
    ProviderConfig,
    ProviderEvent,
    RefundRequest,
    Succeeded,
    UnableToSetUp,
    Unknown,
    UnreadableWebhook,
    WebhookRefused,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECRET = "whsec_test"
ASKED = PaymentRequest("invoice/a/attempt/1", Money(1099, "USD"), "cus_1", "pm_1", "Card", "KC-1", NOW)


def config(**parameters: str) -> ProviderConfig:
    return ProviderConfig("cards", "stripe", parameters, {"apiKey": "sk_test_x", "webhookSecret": SECRET})


def answering(status: int, body: Any) -> StripePayments:
    """Stripe, saying always the same."""

    def said(*_: Any) -> Posted:
        return Posted(status, json.dumps(body).encode(), {})

    return connect(config(), transport=said)


@pytest.fixture(scope="module")
def resources(shared_data: Path) -> dict[str, dict[str, Any]]:
    """Stripe's own example of every object."""
    return json.loads((shared_data / "payments" / "stripe_fixtures3.json").read_text())["resources"]


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({"status": "succeeded", "amount_received": 1099}, Succeeded("pi_1", Money(1099, "USD"))),
        ({"status": "processing"}, Processing("pi_1")),
        ({"status": "requires_action"}, ActionRequired("pi_1")),
        (
            {
                "status": "requires_payment_method",
                "last_payment_error": {
                    "code": "card_declined",
                    "decline_code": "lost_card",
                    "message": "No.",
                },
            },
            Declined("pi_1", "lost_card", "No.", hard=True),
        ),
        (
            {
                "status": "requires_payment_method",
                "last_payment_error": {"code": "card_declined", "message": "No."},
            },
            Declined("pi_1", "card_declined", "No.", hard=False),
        ),
        ({"status": "requires_capture"}, Unknown("payment intent pi_1 is requires_capture")),
    ],
)
def test_a_payment_intent(
    resources: dict[str, dict[str, Any]], change: dict[str, Any], result: PaymentResult
) -> None:
    intent = {**resources["payment_intent"], "id": "pi_1", **change}
    assert answering(200, intent).create_payment(ASKED) == result
    assert answering(200, intent).get_payment("pi_1") == result


@pytest.mark.parametrize(
    ("status", "error", "result"),
    [
        (
            402,
            {
                "type": "card_error",
                "code": "card_declined",
                "decline_code": "stolen_card",
                "message": "No.",
                "payment_intent": {"id": "pi_1"},
            },
            Declined("pi_1", "stolen_card", "No.", hard=True),
        ),
        (
            402,
            {
                "type": "card_error",
                "code": "authentication_required",
                "message": "Ask.",
                "payment_intent": {"id": "pi_1"},
            },
            ActionRequired("pi_1"),
        ),
        (
            404,
            {"type": "invalid_request_error", "code": "resource_missing", "message": "No such method."},
            Declined("", "resource_missing", "No such method.", hard=True),
        ),
    ],
)
def test_a_refusal(status: int, error: dict[str, Any], result: PaymentResult) -> None:
    assert answering(status, {"error": error}).create_payment(ASKED) == result


@pytest.mark.parametrize("status", [401, 409, 429, 500, 503])
def test_what_says_nothing_of_the_charge_is_unknown(status: int) -> None:
    provider = answering(status, {"error": {"type": "api_error", "message": "Try later."}})
    assert isinstance(provider.create_payment(ASKED), Unknown)
    assert isinstance(provider.find_payment(ASKED), Unknown)
    assert isinstance(provider.create_refund(RefundRequest("r/1", "pi_1", Money(1, "USD"))), Unknown)


def test_a_connection_that_broke_is_unknown() -> None:
    def broken(*_: Any) -> Posted:
        raise Unavailable("api.stripe.com does not answer")

    assert isinstance(connect(config(), transport=broken).create_payment(ASKED), Unknown)


def test_the_key_and_the_amount_go_out() -> None:
    sent: list[tuple[str, str, dict[str, str], str]] = []

    def heard(method: str, url: str, headers: Any, body: bytes) -> Posted:
        sent.append((method, url, {name.lower(): value for name, value in headers.items()}, body.decode()))
        return Posted(200, b'{"id": "pi_1", "object": "payment_intent", "status": "processing"}', {})

    connect(config(), transport=heard).create_payment(ASKED)
    ((method, url, headers, body),) = sent
    assert (method, url) == ("POST", "https://api.stripe.com/v1/payment_intents")
    assert headers["idempotency-key"] == "invoice/a/attempt/1"
    assert "amount=1099&currency=usd&customer=cus_1&payment_method=pm_1" in body
    assert "confirm=true&off_session=true" in body


@pytest.mark.parametrize("amount", [Money(1, "ISK"), Money(1001, "KWD")])
def test_an_amount_that_stripe_counts_otherwise_is_never_sent(amount: Money) -> None:
    def silent(*_: Any) -> Posted:
        raise AssertionError("Stripe was called")

    asked = PaymentRequest("k", amount, "cus_1", "pm_1", "Card")
    found = connect(config(), transport=silent).create_payment(asked)
    assert isinstance(found, Declined)
    assert (found.code, found.hard) == ("amount_not_supported", True)


@pytest.mark.parametrize(
    ("parameters", "secrets", "said"),
    [
        ({"colour": "red"}, {}, "no parameter colour"),
        ({"apiBase": "http://api.example.com"}, {}, "must be an https URL"),
        ({"paymentMethodTypes": "card, cash"}, {}, "card and sepa_debit"),
        ({}, {"webhookSecret": ""}, "webhookSecret is missing"),
    ],
)
def test_what_a_class_lacks(parameters: dict[str, str], secrets: dict[str, str], said: str) -> None:
    wanted = {"apiKey": "sk_test_x", "webhookSecret": SECRET, **secrets}
    with pytest.raises(UnableToSetUp, match=said):
        connect(ProviderConfig("cards", "stripe", parameters, wanted))


def test_an_address_inside_is_never_called() -> None:
    with pytest.raises(OutboundRefused, match="an address inside"):
        stripe_payments.send("GET", "https://127.0.0.1/v1/customers", {}, b"")
    with pytest.raises(OutboundRefused, match="an address inside"):
        stripe_payments.send_here_too("GET", "http://10.0.0.1/v1/customers", {}, b"")


# ------------------------------------------------------------------------------------------------------- webhooks


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("warning_needs_response", "Inquiry"),
        ("warning_closed", "Won"),
        ("needs_response", "Open"),
        ("under_review", "Open"),
        ("won", "Won"),
        ("lost", "Lost"),
    ],
)
def test_a_dispute(resources: dict[str, dict[str, Any]], status: str, state: DisputeState) -> None:
    body = {**resources["dispute"], "status": status, "payment_intent": "pi_1"}
    found = answering(200, body).get_dispute("dp_1")
    assert found == Dispute("dp_1", "pi_1", Money(1000, "USD"), state, "general")


def test_a_dispute_that_stripe_calls_otherwise_is_unknown(resources: dict[str, dict[str, Any]]) -> None:
    found = answering(200, {**resources["dispute"], "status": "new"}).get_dispute("dp_1")
    assert isinstance(found, Unknown)


def signed(body: bytes, *, at: datetime = NOW, secret: str = SECRET) -> dict[str, str]:
    stamp = int(at.timestamp())
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, sha256).hexdigest()
    return {"stripe-signature": f"t={stamp},v1={mac}"}


def event(resources: dict[str, dict[str, Any]], object: str, type: str) -> bytes:
    about = {**resources[object], "metadata": {"milo_key": "invoice/a/attempt/1"}}
    return json.dumps({**resources["event"], "id": "evt_1", "type": type, "data": {"object": about}}).encode()


@pytest.mark.parametrize(
    ("object", "type", "subject"),
    [
        ("payment_intent", "payment_intent.succeeded", "payment"),
        ("refund", "refund.updated", "refund"),
        ("setup_intent", "setup_intent.succeeded", "method"),
        ("dispute", "charge.dispute.created", "dispute"),
        ("payout", "payout.paid", "payout"),
        ("customer", "customer.updated", "other"),
    ],
)
def test_what_a_webhook_is_about(
    resources: dict[str, dict[str, Any]], object: str, type: str, subject: Any
) -> None:
    body = event(resources, object, type)
    found = connect(config()).parse_webhook(body, signed(body), now=NOW)
    assert found == ProviderEvent("evt_1", type, subject, resources[object]["id"], "invoice/a/attempt/1")


def test_who_did_not_sign_or_long_ago_is_refused(resources: dict[str, dict[str, Any]]) -> None:
    body = event(resources, "payment_intent", "payment_intent.succeeded")
    provider = connect(config())
    for headers in (
        {},
        signed(body, secret="whsec_other"),
        signed(body + b" "),
        signed(body, at=NOW - timedelta(minutes=6)),
        signed(body, at=NOW + timedelta(minutes=6)),
    ):
        with pytest.raises(WebhookRefused):
            provider.parse_webhook(body, headers, now=NOW)
    for junk in (b"[]", b"{}", b'{"id": "evt_1", "type": "x", "data": {"object": 1}}', b"junk"):
        with pytest.raises(UnreadableWebhook):
            provider.parse_webhook(junk, signed(junk), now=NOW)
