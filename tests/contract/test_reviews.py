"""What one is, what one may, and acting as somebody else, over HTTP: JSON and protobuf bodies, answers and audit."""

from typing import Any

import httpx
import pytest

from milo_billing.controlplane.protobuf import KUBERNETES_MAGIC, bytes_field, text_field
from tests.contract.conftest import Cluster
from tests.contract.examples import ACCOUNT, ACME, BILLING, DIRECTORY, IAM, ORGANIZATION, manifest

AUTHORIZATION, AUTHENTICATION = "authorization.k8s.io/v1", "authentication.k8s.io/v1"
PROTOBUF = {"Content-Type": "application/vnd.kubernetes.protobuf"}
OTHER = manifest(DIRECTORY, "Organization", "umbrella", {"displayName": "Umbrella"})
READER = manifest(
    IAM,
    "Role",
    "accounts-reader",
    {
        "includedPermissions": [
            "billing.miloapis.com/billingaccounts.get",
            "billing.miloapis.com/billingaccounts.list",
        ]
    },
)


def binding(name: str, role: str, *users: str, everything: bool = False) -> dict[str, Any]:
    acme = {"resourceRef": {"kind": "Organization", "name": "acme"}}
    spec = {
        "roleRef": {"name": role},
        "resourceSelector": {"everything": True} if everything else acme,
        "subjects": [{"kind": "User", "name": user} for user in users],
    }
    return manifest(IAM, "PolicyBinding", name, spec)


@pytest.fixture
def acme(cluster: Cluster) -> Cluster:
    """Ann reads the accounts of acme; there is another organization beside."""
    for needed in (ORGANIZATION, OTHER, ACCOUNT, READER, binding("ann-reads", "accounts-reader", "ann")):
        cluster.created(needed)
    return cluster


def token_of_alice(cluster: Cluster) -> str:
    """The token of a service account that nothing was granted to."""
    cluster.created(manifest(DIRECTORY, "Organization", "strangers", {}))
    alice = manifest(IAM, "ServiceAccount", "alice", {}, namespace="organization-strangers")
    cluster.created(alice)
    answer = cluster.http.post(cluster.path(alice) + "/token", json={})
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


def ask(cluster: Cluster, plural: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    kinds = {
        "selfsubjectaccessreviews": ("SelfSubjectAccessReview", AUTHORIZATION),
        "selfsubjectrulesreviews": ("SelfSubjectRulesReview", AUTHORIZATION),
        "selfsubjectreviews": ("SelfSubjectReview", AUTHENTICATION),
    }
    kind, api_version = kinds[plural]
    wire = {"kind": kind, "apiVersion": api_version, **body}
    return cluster.http.post(f"/apis/{api_version}/{plural}", json=wire, headers=headers)


def may(cluster: Cluster, user: str, **attributes: str) -> bool:
    asked = {"group": "billing.miloapis.com", "resource": "billingaccounts", **attributes}
    body = {"spec": {"resourceAttributes": asked}}
    answer = ask(cluster, "selfsubjectaccessreviews", body, **{"Impersonate-User": user})
    assert answer.status_code == 201, answer.text
    assert answer.json()["spec"]["resourceAttributes"] == asked
    return answer.json()["status"]["allowed"]


def test_an_access_review_says_what_the_api_would(acme: Cluster) -> None:
    assert may(acme, "ann", verb="get", namespace=ACME, name="main")
    assert may(acme, "ann", verb="list")
    assert not may(acme, "ann", verb="create", namespace=ACME)
    assert not may(acme, "ann", verb="get", namespace="organization-umbrella")
    assert not may(acme, "ann", verb="get", namespace="organization-nobody")
    assert not may(acme, "ben", verb="get", namespace=ACME)
    assert may(acme, "ben", verb="list", group="services.miloapis.com", resource="services")
    assert not may(acme, "ann", verb="update", subresource="status", namespace=ACME)
    assert not may(acme, "ann", verb="*", resource="*", group="*")
    assert not may(acme, "ann", verb="impersonate", resource="users", group="")


@pytest.mark.parametrize(
    "verb", ["get", "list", "create", "update", "patch", "delete", "deletecollection", "*"]
)
def test_an_administrator_may_everything(acme: Cluster, verb: str) -> None:
    asked = {"resourceAttributes": {"group": "billing.miloapis.com", "resource": "invoices", "verb": verb}}
    answer = ask(acme, "selfsubjectaccessreviews", {"spec": asked})
    assert answer.json()["status"] == {"allowed": True}


def test_a_refusal_names_the_permission_that_is_missing(acme: Cluster) -> None:
    asked = {
        "group": "billing.miloapis.com",
        "resource": "billingaccounts",
        "verb": "create",
        "namespace": ACME,
    }
    body = {"spec": {"resourceAttributes": asked}}
    answer = ask(acme, "selfsubjectaccessreviews", body, **{"Impersonate-User": "ann"}).json()
    assert "billing.miloapis.com/billingaccounts.create" in answer["status"]["reason"]


def test_a_rules_review_lists_what_is_held_in_a_namespace(acme: Cluster) -> None:
    def rules(user: str, namespace: str) -> list[tuple[str, list[str]]]:
        body = {"spec": {"namespace": namespace}}
        answer = ask(acme, "selfsubjectrulesreviews", body, **{"Impersonate-User": user})
        assert answer.json()["status"]["incomplete"] is False
        return [(r["resources"][0], r["verbs"]) for r in answer.json()["status"]["resourceRules"]]

    assert ("billingaccounts", ["get", "list"]) in rules("ann", ACME)
    assert "billingaccounts" not in dict(rules("ann", "organization-umbrella"))
    assert ("services", ["get", "list", "watch"]) in rules("ben", ACME)
    assert ("*", ["*"]) in rules("system:admin", ACME)


def test_paths_that_everybody_may_get(acme: Cluster) -> None:
    for path, allowed in (("/version", True), ("/openapi/v3", True), ("/metrics", False)):
        body = {"spec": {"nonResourceAttributes": {"path": path, "verb": "get"}}}
        answer = ask(acme, "selfsubjectaccessreviews", body, **{"Impersonate-User": "ben"})
        assert answer.json()["status"]["allowed"] is allowed, path


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({}, 422),
        ({"resourceAttributes": {}, "nonResourceAttributes": {}}, 422),
        ({"resourceAttributes": {"verb": 7}}, 400),
        ({"resourceAttributes": []}, 400),
        ([], 422),
        ("?", 400),
    ],
)
def test_a_review_that_asks_nothing_is_refused(cluster: Cluster, spec: Any, code: int) -> None:
    answer = ask(cluster, "selfsubjectaccessreviews", {"spec": spec})
    assert answer.status_code == code, answer.text
    assert answer.json()["kind"] == "Status"


def enveloped(api_version: str, kind: str, spec: bytes) -> bytes:
    """A runtime.Unknown as client-go writes it."""
    type_meta = text_field(1, api_version) + text_field(2, kind)
    body = bytes_field(1, b"") + bytes_field(2, spec)
    return KUBERNETES_MAGIC + bytes_field(1, type_meta) + bytes_field(2, body) + bytes_field(3, b"")


def test_protobuf_bodies_are_read_as_json_ones(acme: Cluster) -> None:
    attributes = b"".join(
        text_field(number, value)
        for number, value in enumerate(
            (ACME, "get", "billing.miloapis.com", "v1alpha1", "billingaccounts"), 1
        )
    )
    body = enveloped(AUTHORIZATION, "SelfSubjectAccessReview", bytes_field(1, attributes))
    url = f"/apis/{AUTHORIZATION}/selfsubjectaccessreviews"
    answer = acme.http.post(url, content=body, headers={**PROTOBUF, "Impersonate-User": "ann"})
    assert answer.status_code == 201, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["status"] == {"allowed": True}
    assert answer.json()["spec"]["resourceAttributes"]["version"] == "v1alpha1"
    body = enveloped(AUTHORIZATION, "SelfSubjectRulesReview", text_field(1, ACME))
    answer = acme.http.post(f"/apis/{AUTHORIZATION}/selfsubjectrulesreviews", content=body, headers=PROTOBUF)
    assert answer.json()["spec"] == {"namespace": ACME}


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", KUBERNETES_MAGIC, KUBERNETES_MAGIC + b"\xff" * 20, enveloped("v1", "Pod", b"")],
)
def test_protobuf_that_is_none_is_a_bad_request(cluster: Cluster, body: bytes) -> None:
    url = f"/apis/{AUTHENTICATION}/selfsubjectreviews"
    assert cluster.http.post(url, content=body, headers=PROTOBUF).status_code == 400


def test_nobody_may_ask_nothing(cluster: Cluster) -> None:
    url = f"/apis/{AUTHENTICATION}/selfsubjectreviews"
    body = {"kind": "SelfSubjectReview", "apiVersion": AUTHENTICATION}
    answer = httpx.post(cluster.url + url, json=body)
    assert answer.status_code == 403 and 'User "system:anonymous" cannot create' in answer.json()["message"]
    assert cluster.http.get(url).status_code == 405
    assert cluster.http.post(url, content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415


# -- impersonation


def accounts(cluster: Cluster, **headers: str) -> httpx.Response:
    return cluster.http.get(f"/apis/{BILLING}/namespaces/{ACME}/billingaccounts", headers=headers)


def test_who_is_impersonated_counts_for_what_is_allowed(acme: Cluster) -> None:
    assert accounts(acme, **{"Impersonate-User": "ann"}).status_code == 200
    refused = accounts(acme, **{"Impersonate-User": "ben"})
    assert refused.status_code == 403 and 'User "ben" cannot list' in refused.json()["message"]


def test_whoever_lacks_the_permission_impersonates_nobody(acme: Cluster) -> None:
    stranger = acme.client(token_of_alice(acme))
    url = f"/apis/{BILLING}/namespaces/{ACME}/billingaccounts"
    answer = stranger.get(url, headers={"Impersonate-User": "ann"})
    assert answer.status_code == 403
    assert answer.json()["message"] == (
        'users "ann" is forbidden: User "system:serviceaccount:organization-strangers:alice" cannot impersonate '
        'resource "users" in API group "" at the cluster scope'
    )
    assert httpx.get(acme.url + url, headers={"Impersonate-User": "ann"}).status_code == 403


def test_one_who_may_impersonate_becomes_neither_the_server_nor_its_administrator(acme: Cluster) -> None:
    role = manifest(IAM, "Role", "support", {"includedPermissions": ["iam.miloapis.com/users.impersonate"]})
    acme.created(role)
    account = {"kind": "ServiceAccount", "name": "alice", "namespace": "organization-strangers"}
    token = token_of_alice(acme)
    support = binding("support", "support", everything=True)
    support["spec"]["subjects"] = [account]
    acme.created(support)
    alice = acme.client(token)
    url = f"/apis/{BILLING}/namespaces/{ACME}/billingaccounts"
    assert alice.get(url).status_code == 403
    assert alice.get(url, headers={"Impersonate-User": "ann"}).status_code == 200
    assert alice.get(url, headers={"Impersonate-User": "system:admin"}).status_code == 403
    for client in (alice, acme.http):
        masters = {"Impersonate-User": "ann", "Impersonate-Group": "system:masters"}
        answer = client.get(url, headers=masters)
        assert answer.status_code == 403 and '"system:masters"' in answer.json()["message"]


def test_a_service_account_is_impersonated_as_it_stands(acme: Cluster) -> None:
    token_of_alice(acme)
    name = "system:serviceaccount:organization-strangers:alice"
    who = ask(acme, "selfsubjectreviews", {}, **{"Impersonate-User": name}).json()["status"]["userInfo"]
    stored = acme.http.get(f"/apis/{IAM}/namespaces/organization-strangers/serviceaccounts/alice").json()
    assert who["uid"] == stored["metadata"]["uid"]
    assert "system:serviceaccounts:organization-strangers" in who["groups"]
    another = {"Impersonate-User": name, "Impersonate-Uid": "another"}
    assert ask(acme, "selfsubjectreviews", {}, **another).status_code == 403
    gone = {"Impersonate-User": "system:serviceaccount:organization-strangers:nobody", "Impersonate-Uid": "x"}
    assert ask(acme, "selfsubjectreviews", {}, **gone).status_code == 403


def test_the_audit_names_both(acme: Cluster) -> None:
    acme.created(binding("ann-is-admin", "admin", "ann", everything=True))
    url = acme.path(ACCOUNT)
    media = {"Content-Type": "application/merge-patch+json", "Impersonate-User": "ann"}
    answer = acme.http.patch(url, json={"metadata": {"labels": {"team": "blue"}}}, headers=media)
    assert answer.status_code == 200, answer.text
    records = acme.http.get("/v1/audit/records", params={"limit": 500}).json()["items"]
    (record,) = [r for r in records if r["auditId"] == answer.headers["audit-id"]]
    assert record["actor"] == "ann" and record["detail"]["impersonatedBy"] == "system:admin"


# -- documents and namespaces


@pytest.mark.parametrize(
    "path", ["/openapi/v2", "/openapi/v3", "/openapi/v3/apis/billing.miloapis.com/v1alpha1"]
)
def test_openapi_documents_are_sent_once(cluster: Cluster, path: str) -> None:
    first = cluster.http.get(path)
    assert first.status_code == 200 and first.headers["content-type"] == "application/json"
    again = cluster.http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304 and again.content == b""
    assert cluster.http.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_openapi_v2_comes_in_protobuf_to_who_asks(cluster: Cluster) -> None:
    for accept in (
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    ):
        answer = cluster.http.get("/openapi/v2", headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
        assert answer.content.startswith(b"\x0a\x032.0")
    assert cluster.http.get("/openapi/v2", headers={"Accept": "text/html"}).status_code == 406


def test_a_document_under_its_hash_may_be_kept_and_an_old_hash_leads_to_the_new(cluster: Cluster) -> None:
    paths = cluster.http.get("/openapi/v3").json()["paths"]
    url = paths["apis/billing.miloapis.com/v1alpha1"]["serverRelativeURL"]
    assert "immutable" in cluster.http.get(url).headers["cache-control"]
    outdated = cluster.http.get(url.partition("?")[0], params={"hash": "OLD"})
    assert (outdated.status_code, outdated.headers["location"]) == (301, url)


def test_a_namespace_is_there_for_whom_it_is(acme: Cluster) -> None:
    assert acme.http.get(f"/api/v1/namespaces/{ACME}").json()["metadata"]["name"] == ACME
    missing = acme.http.get("/api/v1/namespaces/organization-nobody")
    assert (missing.status_code, missing.json()["message"]) == (
        404,
        'namespaces "organization-nobody" not found',
    )
    for name in (ACME, "organization-nobody"):
        hidden = acme.http.get(f"/api/v1/namespaces/{name}", headers={"Impersonate-User": "ben"})
        assert hidden.status_code == 403
