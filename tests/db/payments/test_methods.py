"""Payment methods are what their provider says of them; card data and secrets stay outside."""

import pytest
from tests.db.invoicing.ground import ACME
from tests.db.payments.ground import Till
from tests.hostile_provider import BROKEN, SIGNATURE, sign

from milo_billing.kernel.errors import BadRequest, Invalid, NotFound
from milo_billing.payments.operations import telling
from milo_billing.payments.operations.desk import set_secrets
from milo_billing.payments.types import WebhookRefused

MAIN = {"billingAccountRef": {"name": "main"}}


def test_a_method_that_the_provider_takes_is_active(till: Till) -> None:
    till.ground.declare_account()
    till.card("visa")
    status = till.status("paymentmethods", "visa")
    assert status["phase"] == "Active"
    assert status["details"] == {
        "type": "Card",
        "card": {"brand": "visa", "last4": "4242", "expiry": "2030-08"},
    }


def test_a_method_that_it_refuses_has_failed(till: Till) -> None:
    till.ground.declare_account()
    till.card("visa", token=BROKEN)
    status = till.status("paymentmethods", "visa")
    assert (status["phase"], status["failureReason"]) == ("Failed", "card_declined: Your card was declined.")


def test_a_method_that_its_owner_enters_at_the_provider(till: Till) -> None:
    till.ground.declare_account()
    uid = till.ground.declare("paymentmethods", "visa", MAIN, namespace=ACME)
    till.cashier.set_up_method(method=uid)
    assert till.status("paymentmethods", "visa")["phase"] == "AwaitingConfirmation"
    till.provider.confirm(f"method/{uid}", customer="cus_1")
    till.deliver(till.provider.delivered())
    assert till.status("paymentmethods", "visa")["phase"] == "Active"


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"providerToken": "4242424242424242"}, "spec.providerToken"),
        ({"displayName": "my card 4000 0000 0000 0341"}, "spec.displayName"),
    ],
)
def test_a_card_number_is_refused_and_not_repeated(till: Till, spec: dict[str, str], path: str) -> None:
    till.ground.declare_account()
    with pytest.raises(Invalid) as refused:
        till.ground.declare("paymentmethods", "visa", {**MAIN, **spec}, namespace=ACME)
    (error,) = refused.value.errors
    assert error.field == path
    assert "enter cards at the provider" in error.message
    assert next(iter(spec.values())) not in str(refused.value)


def test_secrets_are_sealed_and_nowhere_else(till: Till) -> None:
    till.work(lambda work: set_secrets(work, till.desk, name="cards", secrets={"apiKey": "k"}))
    kept = till.ground.read("select class, sealed, set_by from payments.class_secrets")
    assert [(uid, "apiKey" in sealed, by) for uid, sealed, by in kept] == [(till.class_uid, False, "ann")]
    assert "apiKey" not in str(till.ground.read("select * from controlplane.objects"))


@pytest.mark.parametrize(
    ("name", "secrets", "said"),
    [
        ("nobody", {"apiKey": "k"}, "not found"),
        ("cards", {}, "1 to 16 names"),
        ("cards", {"apiKey": ""}, "1 to 4096 characters"),
    ],
)
def test_what_cannot_be_secrets(till: Till, name: str, secrets: dict[str, str], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        till.work(lambda work: set_secrets(work, till.desk, name=name, secrets=secrets))


def test_a_webhook_that_the_provider_did_not_sign_leaves_nothing(till: Till) -> None:
    body = b'{"id": "evt_1", "type": "x", "subject": "other", "reference": "", "key": ""}'
    with pytest.raises(WebhookRefused):
        till.work(
            lambda work: telling.store_event(
                work, till.desk, class_name="cards", body=body, headers={SIGNATURE: sign(b"other")}
            )
        )
    with pytest.raises(NotFound):
        till.work(
            lambda work: telling.store_event(work, till.desk, class_name="nobody", body=body, headers={})
        )
    assert till.ground.read("select count(*) from payments.webhook_events") == [(0,)]


def test_the_provider_of_a_class_stays(till: Till) -> None:
    kind = till.ground.engine.registry.get("billing.miloapis.com", "paymentmethodclasses")
    assert kind.kind == "PaymentMethodClass"
    with pytest.raises(Invalid, match="provider is immutable"):
        till.change("paymentmethodclasses", "cards", {"provider": "manual"}, namespace="")
