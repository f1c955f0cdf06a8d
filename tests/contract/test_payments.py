"""The doors of payments: what they refuse, and what never comes in."""

import httpx
import pytest

from tests.contract.conftest import Cluster
from tests.contract.examples import ACCOUNT, ACME, BILLING, ORGANIZATION, manifest

CARDS = manifest(BILLING, "PaymentMethodClass", "cards", {"provider": "stripe", "isDefault": True})
CARD_NUMBER = "4242 4242 4242 4242"


def test_nothing_is_due_at_first(cluster: Cluster) -> None:
    answer = cluster.http.post("/v1/payments/collect")
    assert (answer.status_code, answer.json()) == (200, {"metadata": {}, "items": []})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/payments/collect", {"accounts": [CARD_NUMBER]}),
        ("/v1/payments/classes/cards/secrets", {"secrets": {"apiKey": CARD_NUMBER}}),
        (
            f"/apis/billing.miloapis.com/v1alpha1/namespaces/{ACME}/payments/p/refund",
            {"reason": f"charged {CARD_NUMBER}"},
        ),
    ],
)
def test_a_card_number_in_a_body_is_refused_and_not_repeated(
    cluster: Cluster, path: str, body: dict[str, object]
) -> None:
    answer = cluster.http.post(path, json=body)
    assert answer.status_code == 400
    assert "enter cards at the provider" in answer.json()["message"]
    assert CARD_NUMBER not in answer.text


def test_a_card_number_in_an_object_is_refused_and_not_repeated(cluster: Cluster) -> None:
    for needed in (ORGANIZATION, ACCOUNT, CARDS):
        cluster.created(needed)
    spec = {"billingAccountRef": {"name": ACCOUNT["metadata"]["name"]}, "providerToken": CARD_NUMBER}
    answer = cluster.create(manifest(BILLING, "PaymentMethod", "visa", spec, namespace=ACME))
    assert answer.status_code == 422
    assert CARD_NUMBER not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        {"again": "yes"},
        {"accounts": []},
        {"accounts": ["main"]},
        {"continue": "there"},
        {"more": 1},
        [],
    ],
)
def test_what_is_no_collection(cluster: Cluster, body: object) -> None:
    assert cluster.http.post("/v1/payments/collect", json=body).status_code == 400


def test_an_account_that_is_not_there(cluster: Cluster) -> None:
    answer = cluster.http.post("/v1/payments/collect", json={"accounts": [f"{ACME}/nobody"]})
    assert answer.status_code == 404


def test_payouts_are_the_providers(cluster: Cluster) -> None:
    assert cluster.http.get("/v1/payments/payouts").json() == {"items": []}
    assert cluster.http.post("/v1/payments/payouts/fetch").status_code == 202
    assert cluster.http.post("/v1/payments/payouts/nobody/po_1/accept").status_code == 404
    assert cluster.client("unknown").get("/v1/payments/payouts").status_code == 401


def test_webhooks_need_a_class_that_takes_them(cluster: Cluster) -> None:
    assert httpx.post(f"{cluster.url}/v1/payments/webhooks/nobody", json={}).status_code == 404


def test_a_stranger_collects_and_refunds_nothing(cluster: Cluster) -> None:
    stranger = cluster.client("unknown")
    assert stranger.post("/v1/payments/collect").status_code == 401
    path = f"/apis/billing.miloapis.com/v1alpha1/namespaces/{ACME}/payments/p/refund"
    assert stranger.post(path, json={"reason": "x"}).status_code == 401
    assert cluster.http.post(path, json={"reason": "x"}).status_code == 404
