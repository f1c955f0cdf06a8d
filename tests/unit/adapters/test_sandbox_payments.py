"""The provider that moves no money: what its methods do, and that it is nowhere but where time is simulated."""

import hmac
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from milo_billing.adapters import sandbox_payments
from milo_billing.adapters.sandbox_payments import EMPTY_ONCE, GOOD, SIGNATURE, SLOW, SandboxPayments
from milo_billing.app.wiring import payment_providers
from milo_billing.infra.settings import Settings
from milo_billing.kernel.money import Money
from milo_billing.payments.types import (
    Declined,
    MethodFailed,
    PaymentRequest,
    Processing,
    ProviderConfig,
    SetupRequest,
    Succeeded,
    UnableToSetUp,
    UnreadableWebhook,
    WebhookRefused,
)

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
CONFIG = ProviderConfig("cards", "sandbox", {}, {"webhookSecret": "whsec"})


@pytest.fixture
def sandbox(tmp_path: Path) -> SandboxPayments:
    return sandbox_payments.connect(CONFIG, file=tmp_path / "sandbox.sqlite")


def asked(method: str, *, attempt: int = 1, invoice: str = "KC-1", minor: int = 500) -> PaymentRequest:
    return PaymentRequest(
        f"invoice/{invoice}/attempt/{attempt}", Money(minor, "EUR"), "c", method, "Card", invoice
    )


def test_a_card_that_is_empty_once_pays_each_invoice_at_the_second_attempt(sandbox: SandboxPayments) -> None:
    first = sandbox.create_payment(asked(EMPTY_ONCE))
    assert isinstance(first, Declined) and not first.hard
    assert sandbox.create_payment(asked(EMPTY_ONCE)) == first, "the same key again is the same answer"
    assert isinstance(sandbox.create_payment(asked(EMPTY_ONCE, attempt=2)), Succeeded)
    assert isinstance(sandbox.create_payment(asked(EMPTY_ONCE, invoice="KC-2")), Declined)


def test_what_was_asked_for_is_known_to_another_process(sandbox: SandboxPayments, tmp_path: Path) -> None:
    paid = sandbox.create_payment(asked(GOOD))
    again = sandbox_payments.connect(CONFIG, file=tmp_path / "sandbox.sqlite")
    assert again.find_payment(asked(GOOD)) == paid


def test_a_key_that_says_something_else_is_declined(sandbox: SandboxPayments) -> None:
    sandbox.create_payment(asked(GOOD))
    other = sandbox.create_payment(asked(GOOD, minor=501))
    assert isinstance(other, Declined) and other.code == "idempotency_error"


def test_a_bank_account_pays_when_it_is_asked_about_twice(sandbox: SandboxPayments) -> None:
    begun = sandbox.create_payment(asked(SLOW))
    assert isinstance(begun, Processing)
    assert isinstance(sandbox.get_payment(begun.reference), Processing)
    assert isinstance(sandbox.get_payment(begun.reference), Succeeded)


def test_a_method_that_it_does_not_know_says_which_there_are(sandbox: SandboxPayments) -> None:
    failed = sandbox.set_up_method(SetupRequest("method/a", "7", token="pm_real"))
    assert isinstance(failed, MethodFailed)
    assert GOOD in failed.message


def test_a_webhook_is_read_only_with_its_signature(sandbox: SandboxPayments) -> None:
    body = b'{"id": "e1", "type": "payment.changed", "subject": "payment", "reference": "r"}'

    def sign(body: bytes) -> dict[str, str]:
        return {SIGNATURE: hmac.new(b"whsec", body, sha256).hexdigest()}

    event = sandbox.parse_webhook(body, sign(body), now=NOW)
    assert (event.id, event.subject, event.reference) == ("e1", "payment", "r")
    with pytest.raises(WebhookRefused):
        sandbox.parse_webhook(body, {SIGNATURE: "é"}, now=NOW)
    for wrong in (b"{", b"[]", b"{}"):
        with pytest.raises(UnreadableWebhook):
            sandbox.parse_webhook(wrong, sign(wrong), now=NOW)


def test_a_class_without_its_secret_or_with_parameters_is_refused(tmp_path: Path) -> None:
    for config, said in (
        (ProviderConfig("cards", "sandbox", {}, {}), "webhookSecret is missing"),
        (ProviderConfig("cards", "sandbox", {"apiBase": "x"}, CONFIG.secrets), "no parameter apiBase"),
    ):
        with pytest.raises(UnableToSetUp, match=said):
            sandbox_payments.connect(config, file=tmp_path / "sandbox.sqlite")


def test_where_time_is_real_there_is_no_sandbox(tmp_path: Path) -> None:
    with pytest.raises(UnableToSetUp, match="MILO_BILLING_CLOCK"):
        payment_providers(Settings(data_dir=tmp_path))["sandbox"](CONFIG)
    simulated = payment_providers(Settings(data_dir=tmp_path, clock=NOW))["sandbox"](CONFIG)
    assert isinstance(simulated, SandboxPayments)
