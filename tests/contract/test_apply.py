"""Server-side apply on every kind: create, own, conflict, take over, give up; and deletion of dependants."""

import copy
import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from milo_billing.app import wiring
from milo_billing.controlplane.collecting import collect_dependants
from milo_billing.infra.runtime import Runtime
from tests.contract.conftest import Cluster
from tests.contract.examples import ACCOUNT, ACME, EXAMPLES, IAM, ORGANIZATION, PROJECT, Example, manifest

DECLARED = [kind.plural for kind in wiring.build_registry().kinds if not kind.system]


@pytest.fixture(params=DECLARED)
def plural(request: pytest.FixtureRequest) -> str:
    return request.param


def _apply(
    cluster: Cluster, manifest: dict[str, Any], by: str, *, below: str = "", **query: str
) -> httpx.Response:
    headers = {"Content-Type": "application/apply-patch+yaml"}
    parameters = {"fieldManager": by, **query}
    return cluster.http.patch(
        cluster.path(manifest) + below, content=json.dumps(manifest), headers=headers, params=parameters
    )


def test_apply_creates_owns_and_repeats_without_change(cluster: Cluster, example: Example) -> None:
    created = _apply(cluster, example.manifest, "ann")
    assert created.status_code == 201, created.text
    (manager,) = created.json()["metadata"]["managedFields"]
    assert (manager["manager"], manager["operation"]) == ("ann", "Apply")
    assert set(manager["fieldsV1"]) <= {"f:metadata", "f:spec"}
    again = _apply(cluster, example.manifest, "ann")
    assert (again.status_code, again.json()) == (200, created.json())


def test_another_manager_shares_conflicts_and_takes_over(cluster: Cluster, example: Example) -> None:
    labelled = copy.deepcopy(example.manifest)
    labelled["metadata"]["labels"] = {"tier": "gold"}
    assert _apply(cluster, labelled, "ann").status_code == 201
    assert _apply(cluster, labelled, "bob").status_code == 200  # the same value: shared
    other = copy.deepcopy(labelled)
    other["metadata"]["labels"] = {"tier": "silver"}
    refused = _apply(cluster, other, "bob")
    assert refused.status_code == 409
    assert (
        refused.json()["message"]
        == 'Apply failed with 1 conflict: conflict with "ann": .metadata.labels.tier'
    )
    taken = _apply(cluster, other, "bob", force="true")
    assert (taken.status_code, taken.json()["metadata"]["labels"]["tier"]) == (200, "silver")
    del other["metadata"]["labels"]
    dropped = _apply(cluster, other, "bob")
    assert "tier" not in dropped.json()["metadata"].get("labels", {})


def test_an_update_is_tracked_under_the_name_of_the_client(cluster: Cluster, example: Example) -> None:
    headers = {"User-Agent": "kubectl/v1.33.0 (linux/amd64)"}
    path = cluster.path(example.manifest, name=False)
    created = cluster.http.post(path, json=example.manifest, headers=headers).json()
    (manager,) = created["metadata"]["managedFields"]
    assert (manager["manager"], manager["operation"]) == ("kubectl", "Update")
    cleared = cluster.merge(example.manifest, {"metadata": {"managedFields": [{}]}})
    assert "managedFields" not in cleared.json()["metadata"]


def test_an_applied_item_that_stands_twice_is_refused(cluster: Cluster) -> None:
    cluster.created(ORGANIZATION)
    cluster.created(ACCOUNT)
    ready = {
        "type": "Custom",
        "status": "True",
        "reason": "X",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    manifest = {key: ACCOUNT[key] for key in ("apiVersion", "kind", "metadata")}
    manifest["status"] = {"conditions": [ready, {**ready, "status": "False"}]}
    answer = _apply(cluster, manifest, "ann", below="/status")
    assert answer.status_code == 422
    assert "Duplicate value" in answer.json()["message"]


def test_dependants_go_when_their_last_owner_has_gone(cluster: Cluster, runtime: Runtime) -> None:
    cluster.created(ORGANIZATION)
    owner = cluster.created(EXAMPLES["services"].manifest)
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    dependant = copy.deepcopy(PROJECT)
    dependant["metadata"]["ownerReferences"] = [reference]
    cluster.created(dependant)
    cluster.http.delete(cluster.path(EXAMPLES["services"].manifest))
    with runtime.databases.job.transaction(reach="*") as tx:
        query = "select task_name, args from jobs.procrastinate_jobs"
        assert tx.execute(query).fetchall() == [
            ("controlplane.collect_dependants", {"owner": owner["metadata"]["uid"]})
        ]
    engine = wiring.build_declarative(runtime).engine
    assert collect_dependants(engine, runtime.databases.app, owner=UUID(owner["metadata"]["uid"])) == 1
    assert cluster.http.get(cluster.path(PROJECT)).status_code == 404


def test_an_owner_reference_must_be_whole(cluster: Cluster) -> None:
    cluster.created(ORGANIZATION)
    broken = copy.deepcopy(PROJECT)
    broken["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "nobody"}]
    answer = cluster.create(broken)
    assert answer.status_code == 422
    assert "metadata.ownerReferences[0].uid" in answer.json()["message"]


def test_an_apply_that_creates_needs_the_permission_to_create(cluster: Cluster) -> None:
    """As in Kubernetes: patch alone changes what stands."""
    account = EXAMPLES["serviceaccounts"].manifest
    role = manifest(
        IAM, "Role", "patcher", {"includedPermissions": ["billing.miloapis.com/billingaccounts.patch"]}
    )
    binding = manifest(
        IAM,
        "PolicyBinding",
        "patchers",
        {
            "roleRef": {"name": "patcher"},
            "subjects": [{"kind": "ServiceAccount", "name": "meter", "namespace": ACME}],
            "resourceSelector": {"resourceRef": {"kind": "Organization", "name": "acme"}},
        },
    )
    for needed in (ORGANIZATION, account, role, binding):
        cluster.created(needed)
    token = cluster.http.post(cluster.path(account) + "/token", json={}).json()["token"]
    client = cluster.client(token)
    headers = {"Content-Type": "application/apply-patch+yaml"}

    def apply() -> httpx.Response:
        query = {"fieldManager": "meter"}
        body = json.dumps(ACCOUNT)
        return client.patch(cluster.path(ACCOUNT), content=body, headers=headers, params=query)

    refused = apply()
    assert refused.status_code == 403
    assert "cannot create resource" in refused.json()["message"]
    cluster.created(ACCOUNT)
    assert apply().status_code == 200


def test_a_collection_loses_what_may_go_and_names_what_must_stay(cluster: Cluster) -> None:
    other = copy.deepcopy(PROJECT)
    other["metadata"]["name"] = "zoo"  # after the one that stays
    for needed in (ORGANIZATION, PROJECT, other, ACCOUNT, EXAMPLES["billingaccountbindings"].manifest):
        cluster.created(needed)
    answer = cluster.http.delete(cluster.path(PROJECT, name=False))
    assert answer.status_code == 409
    assert "accounts holds it" in answer.json()["message"]
    assert cluster.http.get(cluster.path(PROJECT)).status_code == 200
    assert cluster.http.get(cluster.path(other)).status_code == 404
