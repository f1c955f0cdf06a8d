"""Every kind through the same suite: what a Kubernetes client may rely on, whatever it declares."""

import copy
import json
import threading
from typing import Any

import httpx
import pytest

from milo_billing.app import wiring
from milo_billing.controlplane.patches import merge_patch
from tests.contract.conftest import TABLE, Cluster
from tests.contract.examples import EXAMPLES, Example

REGISTRY = wiring.build_registry()
DECLARED = [kind.plural for kind in REGISTRY.kinds if not kind.system]
SYSTEM = [kind.plural for kind in REGISTRY.kinds if kind.system]


def test_every_declared_kind_has_an_example() -> None:
    assert sorted(DECLARED) == sorted(EXAMPLES)


SHORTLY = (
    "billingaccounts",
    "billingaccountbindings",
    "commitments",
    "pricebooks",
    "projects",
    "usagecorrections",
)
"""Kinds that stand for all in the short run, where what is tested is the engine's: of each scope, immutable, versioned,
with actions, with a life of its own."""

of_the_engine = pytest.mark.parametrize(
    "plural", [p if p in SHORTLY else pytest.param(p, marks=pytest.mark.long) for p in DECLARED]
)


@pytest.fixture(params=DECLARED)
def plural(request: pytest.FixtureRequest) -> str:
    return request.param


def _change(example: Example) -> dict[str, Any]:
    return example.change or {"metadata": {"labels": {"team": "blue"}}}


def test_a_created_object_is_whole_at_once(cluster: Cluster, example: Example) -> None:
    created = cluster.created({**example.manifest, "status": {"phase": "forged"}})
    metadata = created["metadata"]
    assert metadata["uid"] and metadata["resourceVersion"] and metadata["generation"] == 1
    assert metadata["creationTimestamp"].endswith("Z")
    assert created.get("status", {}).get("phase") != "forged"
    assert cluster.http.get(cluster.path(example.manifest)).json() == created


@of_the_engine
def test_a_name_is_taken_once(cluster: Cluster, example: Example) -> None:
    cluster.created(example.manifest)
    again = cluster.create(example.manifest)
    kind = next(k for k in REGISTRY.kinds if k.kind == example.manifest["kind"])
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    assert again.json()["details"]["kind"] == kind.plural


@of_the_engine
def test_what_does_not_exist_is_404_with_a_status(cluster: Cluster, example: Example) -> None:
    answer = cluster.http.get(cluster.path(example.manifest))
    assert answer.status_code == 404
    assert answer.json()["kind"] == "Status" and answer.json()["reason"] == "NotFound"


def test_a_broken_spec_is_refused_at_its_field(cluster: Cluster, example: Example) -> None:
    answer = cluster.create(merge_patch(example.manifest, example.broken))
    assert answer.status_code == 422, answer.text
    assert example.broken_field in [cause["field"] for cause in answer.json()["details"]["causes"]]


@of_the_engine
def test_unknown_fields_are_refused_warned_of_or_dropped(cluster: Cluster, example: Example) -> None:
    strange = merge_patch(example.manifest, {"spec": {"doesNotExist": 1}})
    strict = cluster.create(strange, fieldValidation="Strict")
    assert strict.status_code == 400
    assert 'strict decoding error: unknown field "spec.doesNotExist"' in strict.json()["message"]
    warned = cluster.create(strange, fieldValidation="Warn")
    assert warned.status_code == 201
    assert 'unknown field \\"spec.doesNotExist\\"' in warned.headers["warning"]
    assert "doesNotExist" not in warned.json()["spec"]


@of_the_engine
def test_a_dry_run_says_what_would_be_and_leaves_nothing(cluster: Cluster, example: Example) -> None:
    answer = cluster.create(example.manifest, dryRun="All")
    assert answer.status_code == 201
    assert "resourceVersion" not in answer.json()["metadata"]
    assert cluster.http.get(cluster.path(example.manifest)).status_code == 404


def test_a_change_raises_the_version_and_no_change_does_not(cluster: Cluster, example: Example) -> None:
    before = cluster.created(example.manifest)
    changed = cluster.merge(example.manifest, _change(example))
    assert changed.status_code == 200, changed.text
    after = changed.json()
    assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
    assert after["metadata"]["generation"] == (2 if example.change else 1)
    again = cluster.merge(example.manifest, _change(example)).json()
    assert again["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


@of_the_engine
def test_a_stale_replacement_conflicts(cluster: Cluster, example: Example) -> None:
    stale = cluster.created(example.manifest)
    cluster.merge(example.manifest, _change(example))
    path = cluster.path(example.manifest)
    answer = cluster.http.put(path, json=stale)
    assert answer.status_code == 409
    assert "the object has been modified; please apply your changes" in answer.json()["message"]
    del stale["metadata"]["resourceVersion"]
    assert cluster.http.put(path, json=stale).status_code == 422


@of_the_engine
def test_an_identical_replacement_changes_nothing(cluster: Cluster, example: Example) -> None:
    standing = cluster.created(example.manifest)
    assert cluster.http.put(cluster.path(example.manifest), json=standing).json() == standing


@of_the_engine
def test_the_main_endpoint_ignores_status(cluster: Cluster, example: Example) -> None:
    created = cluster.created(example.manifest)
    forged = copy.deepcopy(created)
    forged["status"] = {}
    assert cluster.http.put(cluster.path(example.manifest), json=forged).json() == created


def test_a_list_has_the_object_the_table_its_columns(cluster: Cluster, example: Example, plural: str) -> None:
    created = cluster.created(example.manifest)
    collection = cluster.path(example.manifest, name=False)
    listed = cluster.http.get(collection).json()
    assert listed["kind"] == f"{example.manifest['kind']}List"
    assert created in listed["items"]
    assert int(listed["metadata"]["resourceVersion"]) >= int(created["metadata"]["resourceVersion"])
    table = cluster.http.get(collection, headers={"Accept": TABLE}).json()
    columns = [column["name"] for column in table["columnDefinitions"]]
    assert columns == ["Name", *(c.name for c in cluster.kind(plural).columns), "Age"]
    row = next(r for r in table["rows"] if r["cells"][0] == created["metadata"]["name"])
    assert len(row["cells"]) == len(columns) and row["object"]["kind"] == "PartialObjectMetadata"


@of_the_engine
def test_selectors_select(cluster: Cluster, example: Example) -> None:
    name = cluster.created(merge_patch(example.manifest, {"metadata": {"labels": {"tier": "gold"}}}))[
        "metadata"
    ]["name"]
    collection = cluster.path(example.manifest, name=False)

    def names(**query: str) -> list[str]:
        return [
            item["metadata"]["name"] for item in cluster.http.get(collection, params=query).json()["items"]
        ]

    assert names(labelSelector="tier=gold") == [name]
    assert names(labelSelector="tier in (gold,silver),tier") == [name]
    assert name not in names(labelSelector="tier!=gold")
    assert names(fieldSelector=f"metadata.name={name}") == [name]
    unknown = cluster.http.get(collection, params={"fieldSelector": "spec.nothing=1"})
    assert (unknown.status_code, unknown.json()["message"]) == (
        400,
        "field label not supported: spec.nothing",
    )


@of_the_engine
def test_yaml_is_understood_and_spoken(cluster: Cluster, example: Example) -> None:
    collection = cluster.path(example.manifest, name=False)
    body = json.dumps(example.manifest)  # JSON is YAML
    made = cluster.http.post(collection, content=body, headers={"Content-Type": "application/yaml"})
    assert made.status_code == 201, made.text
    shown = cluster.http.get(cluster.path(example.manifest), headers={"Accept": "application/yaml"})
    assert shown.headers["content-type"].startswith("application/yaml")
    assert f"kind: {example.manifest['kind']}\n" in shown.text


@of_the_engine
def test_a_finalizer_keeps_the_object_until_it_is_taken_away(cluster: Cluster, example: Example) -> None:
    if example.permanent:
        return
    cluster.created(merge_patch(example.manifest, {"metadata": {"finalizers": ["example.com/wait"]}}))
    path = cluster.path(example.manifest)
    deleting = cluster.http.request("DELETE", path, json={"propagationPolicy": "Background"}).json()
    assert deleting["metadata"]["deletionTimestamp"] and deleting["metadata"]["generation"] == 2
    assert cluster.http.get(path).status_code == 200
    cluster.merge(example.manifest, {"metadata": {"finalizers": None}})
    assert cluster.http.get(path).status_code == 404


def test_delete_answers_success_and_checks_preconditions(cluster: Cluster, example: Example) -> None:
    created = cluster.created(example.manifest)
    path = cluster.path(example.manifest)
    if example.permanent:
        for query in ({}, {"dryRun": "All"}):
            assert cluster.http.delete(path, params=query).json()["reason"] == "Conflict"
        assert cluster.http.get(path).json() == created
        return
    wrong = {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
    assert cluster.http.request("DELETE", path, json=wrong).status_code == 409
    answer = cluster.http.delete(path).json()
    assert answer["status"] == "Success" and answer["details"]["uid"] == created["metadata"]["uid"]
    assert cluster.http.delete(path).status_code == 404


@of_the_engine
def test_a_dry_run_of_delete_deletes_nothing(cluster: Cluster, example: Example) -> None:
    """kubectl sends dryRun in the body; the parameter counts as well."""
    if example.permanent:
        return
    created = cluster.created(example.manifest)
    path = cluster.path(example.manifest)
    assert cluster.http.request("DELETE", path, json={"dryRun": ["All"]}).status_code == 200
    assert cluster.http.delete(path, params={"dryRun": "All"}).status_code == 200
    assert cluster.http.request("DELETE", path, json={"dryRun": ["Some"]}).status_code == 422
    assert cluster.http.get(path).json() == created


@of_the_engine
def test_a_watch_sees_every_change_once_and_in_order(cluster: Cluster, example: Example) -> None:
    collection = cluster.path(example.manifest, name=False)
    since = cluster.http.get(collection).json()["metadata"]["resourceVersion"]
    lines: list[dict[str, Any]] = []
    query = {"watch": "1", "resourceVersion": since, "timeoutSeconds": "20"}
    listening = threading.Event()
    last = "MODIFIED" if example.permanent else "DELETED"

    def watch() -> None:
        with (
            httpx.Client(base_url=cluster.url, headers=cluster.http.headers, timeout=30) as client,
            client.stream("GET", collection, params=query) as answer,
        ):
            listening.set()
            for line in answer.iter_lines():
                lines.append(json.loads(line))
                if lines[-1]["type"] == last:
                    return

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert listening.wait(10)
    cluster.created(example.manifest)
    cluster.merge(example.manifest, _change(example))
    cluster.http.delete(cluster.path(example.manifest))
    watcher.join(timeout=20)
    name = example.manifest["metadata"]["name"]
    mine = [line for line in lines if line["object"]["metadata"]["name"] == name]
    assert [line["type"] for line in mine] == ["ADDED", "MODIFIED", "DELETED"][
        : 2 if example.permanent else 3
    ]
    versions = [int(line["object"]["metadata"]["resourceVersion"]) for line in lines]
    assert versions == sorted(set(versions))


def test_the_schema_is_published(cluster: Cluster, plural: str) -> None:
    kind = cluster.kind(plural)
    root = cluster.http.get("/openapi/v3").json()
    document = cluster.http.get(
        root["paths"][f"apis/{kind.group}/{kind.version}"]["serverRelativeURL"]
    ).json()
    schemas = document["components"]["schemas"].values()
    wanted = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    found = [s for s in schemas if wanted in s.get("x-kubernetes-group-version-kind", [])]
    assert len(found) == 1 and found[0]["properties"]["spec"]["type"] == "object"


@pytest.mark.parametrize("system", SYSTEM)
def test_system_kinds_are_read_only(cluster: Cluster, system: str) -> None:
    kind = cluster.kind(system)
    scope = "/namespaces/organization-acme" if kind.namespaced else ""
    path = f"/apis/{kind.group}/{kind.version}{scope}/{kind.plural}"
    body = {
        "apiVersion": f"{kind.group}/{kind.version}",
        "kind": kind.kind,
        "metadata": {"name": "x"},
        "spec": {},
    }
    assert cluster.http.post(path, json=body).status_code == 405
    assert cluster.http.put(f"{path}/x", json=body).status_code == 405
    assert cluster.http.delete(f"{path}/x").status_code == 405
