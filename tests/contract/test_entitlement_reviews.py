"""EntitlementReview over HTTP: created, answered, never stored; found by clients as every resource is."""

from typing import Any

import httpx

from tests.contract.conftest import Cluster
from tests.contract.examples import BILLING, BINDING_OF_OLD, EXAMPLES, PROJECT
from tests.serving import client_of

PATH = f"/apis/{BILLING}/entitlementreviews"


def ask(client: httpx.Client, project: str = "web", service: str = "compute", **more: Any) -> httpx.Response:
    spec = {"projectRef": {"name": project}, "serviceRef": {"name": service}, **more}
    body = {"apiVersion": BILLING, "kind": "EntitlementReview", "spec": spec}
    return client.post(PATH, json=body)


def test_a_review_is_answered_from_the_entitlements_of_who_pays(cluster: Cluster) -> None:
    found = EXAMPLES["entitlements"]
    for needed in (*found.needs, PROJECT, BINDING_OF_OLD, found.manifest):
        cluster.created(needed)
    answer = ask(cluster.http)
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == {
        "allowed": True,
        "reason": "Entitled",
        "message": 'entitlement "main-pro" of billing account "organization-acme/main" covers service "compute" '
        'through offer "pro"',
        "billingAccount": "organization-acme/main",
        "entitlement": "main-pro",
        "offer": "pro",
        "tier": "Pro",
        "startsAt": "2026-01-01",
        "quantity": 1,
        "features": {"support": "phone"},
        "limits": {},
    }
    refused = ask(cluster.http, service="nothing").json()["status"]
    assert (refused["allowed"], refused["reason"]) == (False, "ServiceNotFound")
    assert cluster.http.get(PATH).status_code == 404


def test_a_question_that_asks_nothing_is_refused_as_an_object_would_be(cluster: Cluster) -> None:
    body = {"apiVersion": BILLING, "kind": "EntitlementReview", "spec": {"projectRef": {"name": "web"}}}
    lacking = cluster.http.post(PATH, json=body)
    assert lacking.status_code == 422
    assert [cause["field"] for cause in lacking.json()["details"]["causes"]] == ["spec.serviceRef"]
    unknown = ask(cluster.http, colour="red")
    assert (unknown.status_code, "spec.colour" in unknown.json()["message"]) == (400, True)
    assert cluster.http.post(PATH, json={**body, "kind": "Offer"}).status_code == 422
    assert cluster.http.post(PATH, content=b"{").status_code == 400
    with client_of(cluster.url) as nobody:
        assert ask(nobody).status_code in (401, 403)


def test_clients_discover_the_review(cluster: Cluster) -> None:
    resources = cluster.http.get(f"/apis/{BILLING}").json()["resources"]
    (listed,) = (one for one in resources if one["name"] == "entitlementreviews")
    assert (listed["kind"], listed["verbs"], listed["namespaced"]) == ("EntitlementReview", ["create"], False)
    document = cluster.http.get(f"/openapi/v3/apis/{BILLING}").json()
    assert list(document["paths"][PATH]) == ["post"]
