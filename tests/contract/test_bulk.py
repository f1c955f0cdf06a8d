"""Bulk apply: each object as if it had been applied alone, many to a transaction."""

import copy
import json
import threading
from typing import Any

import httpx
import pytest

from milo_billing.app import wiring
from milo_billing.client.bulk import Done, apply_all
from milo_billing.client.connection import Connection
from milo_billing.client.http import ApiClient
from milo_billing.client.objects import Objects
from milo_billing.client.streams import Located
from milo_billing.infra.runtime import Runtime
from tests.contract.conftest import Cluster
from tests.contract.examples import (
    ACCOUNT,
    ACME,
    BILLING,
    DIRECTORY,
    EXAMPLES,
    IAM,
    ORGANIZATION,
    Manifest,
    manifest,
)

PATH = "/v1/objects:apply"


def send(http: httpx.Client, manifests: list[Manifest], **query: str) -> httpx.Response:
    body = b"\n".join(json.dumps(m).encode() for m in manifests)
    return http.post(
        PATH,
        content=body,
        params={"fieldManager": "loader", **query},
        headers={"Content-Type": "application/x-ndjson"},
    )


def answered(http: httpx.Client, manifests: list[Manifest], **query: str) -> tuple[list[Any], Any]:
    """The lines of the answer, and its totals."""
    answer = send(http, manifests, **query)
    assert answer.status_code == 200, answer.text
    *lines, totals = [json.loads(line) for line in answer.text.splitlines()]
    assert totals.pop("done")
    return lines, totals


def outcomes(lines: list[Any]) -> list[str]:
    return [line["outcome"] for line in lines]


def project(name: str, **labels: str) -> Manifest:
    made = manifest(DIRECTORY, "Project", name, {"ownerRef": {"kind": "Organization", "name": "acme"}})
    if labels:
        made["metadata"]["labels"] = labels
    return made


def binding(name: str, *, account: str = "main") -> Manifest:
    spec = {"billingAccountRef": {"name": account}, "projectRef": {"name": name}}
    return manifest(BILLING, "BillingAccountBinding", name, spec, namespace=ACME)


def account(name: str) -> Manifest:
    return {**ACCOUNT, "metadata": {"name": name, "namespace": ACME}}


def every_example() -> list[Manifest]:
    """One object of every declared kind that needs no invoice, each after what it needs."""
    found: dict[str, Manifest] = {}
    for kind in wiring.build_registry().kinds:
        if not kind.system and not EXAMPLES[kind.plural].invoiced:
            example = EXAMPLES[kind.plural]
            for one in (*example.needs, example.manifest):
                key = f"{one['kind']} {one['metadata']}"
                if len(str(one)) > len(str(found.get(key, ""))):  # of two spellings the one that says more
                    found[key] = one
    return list(found.values())


def test_every_kind_stands_as_if_it_had_been_applied_alone(cluster: Cluster) -> None:
    manifests = every_example()
    lines, totals = answered(cluster.http, manifests, show="true")
    assert totals == {"created": len(manifests), "configured": 0, "unchanged": 0, "failed": 0}
    for line, one in zip(lines, manifests, strict=True):
        (manager,) = line["stands"]["metadata"]["managedFields"]
        assert (manager["manager"], manager["operation"]) == ("loader", "Apply")
        alone = cluster.http.patch(
            cluster.path(one),
            content=json.dumps(one),
            params={"fieldManager": "loader"},
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        assert alone.status_code == 200, alone.text
        if one["kind"] != "BillingAccount":  # what came after it was counted since
            assert alone.json()["metadata"]["resourceVersion"] == line["resourceVersion"]
    again, totals = answered(cluster.http, manifests)
    assert totals["unchanged"] == len(manifests), again


def test_what_many_bindings_change_is_settled_and_audited(cluster: Cluster, runtime: Runtime) -> None:
    names = [f"p-{n}" for n in range(450)]
    manifests = [ORGANIZATION, account("main"), *map(project, names), *map(binding, names)]
    _, totals = answered(cluster.http, manifests)
    assert totals["created"] == len(manifests)
    stands = cluster.http.get(cluster.path(ACCOUNT)).json()
    assert stands["status"]["linkedProjectsCount"] == 450
    bound = cluster.http.get(cluster.path(binding("p-7"))).json()
    assert bound["status"]["phase"] == "Active"
    with runtime.databases.app.transaction(reach="*") as tx:
        audited = tx.execute(
            "select count(*), count(distinct sequence) from access.audit_records where verb = 'create' "
            "and target like '%%/billingaccountbindings/%%'"
        ).fetchone()
    assert audited == (450, 450)


def test_it_stops_at_the_first_failure_and_keeps_what_came_before(cluster: Cluster) -> None:
    broken = project("b")
    broken["spec"]["colour"] = "red"
    stranger = project("d")
    stranger["spec"]["ownerRef"]["name"] = "nobody"
    manifests = [ORGANIZATION, project("a"), stranger, project("c")]
    lines, totals = answered(cluster.http, manifests)
    assert outcomes(lines) == ["created", "created", "failed"]
    assert totals == {"created": 2, "configured": 0, "unchanged": 0, "failed": 1}
    status = lines[-1]["status"]
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "spec.ownerRef.name"
    assert cluster.http.get(cluster.path(project("a"))).status_code == 200
    assert cluster.http.get(cluster.path(project("c"))).status_code == 404
    going_on, totals = answered(cluster.http, [*manifests, broken, project("e")], onError="continue")
    assert outcomes(going_on) == ["unchanged", "unchanged", "failed", "created", "failed", "created"]
    assert "strict decoding error" in going_on[4]["status"]["message"]
    assert [line["line"] for line in going_on] == [1, 2, 3, 4, 5, 6]


def test_a_failed_object_says_what_it_says_alone(cluster: Cluster) -> None:
    cluster.created(ORGANIZATION)
    wrong = [project("x"), account("y"), binding("none"), manifest(IAM, "Role", "r", {})]
    wrong[0]["spec"]["ownerRef"]["name"] = "nobody"
    wrong[1]["spec"] = {"currencyCode": "XXQ"}
    lines, _ = answered(cluster.http, wrong, onError="continue")
    for line, one in zip(lines, wrong, strict=True):
        alone = cluster.http.patch(
            cluster.path(one),
            content=json.dumps(one),
            params={"fieldManager": "loader"},
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        assert line["status"] == alone.json()


def test_an_object_that_stands_twice_in_a_file_is_applied_twice(cluster: Cluster) -> None:
    manifests = [
        ORGANIZATION,
        project("a", tier="gold"),
        project("a", tier="free"),
        project("a", tier="free"),
    ]
    lines, _ = answered(cluster.http, manifests)
    assert outcomes(lines) == ["created", "created", "configured", "unchanged"]


def test_a_conflict_is_one_unless_the_fields_are_taken_over(cluster: Cluster) -> None:
    answered(cluster.http, [ORGANIZATION, project("a", tier="gold")])
    refused, _ = answered(cluster.http, [project("a", tier="free")], fieldManager="other")
    assert refused[0]["status"]["message"].startswith("Apply failed with 1 conflict")
    taken, _ = answered(cluster.http, [project("a", tier="free")], fieldManager="other", force="true")
    assert outcomes(taken) == ["configured"]


def test_what_the_caller_may_not_is_refused_line_by_line(cluster: Cluster) -> None:
    permissions = [f"resourcemanager.miloapis.com/projects.{verb}" for verb in ("patch", "create")]
    grant = {
        "roleRef": {"name": "loader"},
        "subjects": [{"kind": "User", "name": "ann"}],
        "resourceSelector": {"resourceRef": {"kind": "Organization", "name": "acme"}},
    }
    for needed in (
        ORGANIZATION,
        manifest(DIRECTORY, "Organization", "umbrella", {}),
        manifest(IAM, "Role", "loader", {"includedPermissions": permissions}),
        manifest(IAM, "PolicyBinding", "loaders", grant),
    ):
        cluster.created(needed)
    ann = cluster.client(cluster.token)
    ann.headers["Impersonate-User"] = "ann"
    theirs = project("theirs")
    theirs["spec"]["ownerRef"]["name"] = "umbrella"
    lines, _ = answered(ann, [project("ours"), theirs, account("main"), project("too")], onError="continue")
    assert outcomes(lines) == ["created", "failed", "failed", "created"]
    assert [line["status"]["code"] for line in lines[1:3]] == [403, 403]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"fieldManager": ""}, 400),
        ({"dryRun": "All"}, 400),
        ({"onError": "weep"}, 400),
        ({"force": "yes"}, 400),
        ({"fieldValidation": "Some"}, 422),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_whole(
    cluster: Cluster, query: dict[str, str], code: int
) -> None:
    assert send(cluster.http, [ORGANIZATION], **query).status_code == code
    assert cluster.http.get(cluster.path(ORGANIZATION)).status_code == 404


def test_a_token_that_nobody_knows_a_wrong_body_and_too_much_are_refused_whole(cluster: Cluster) -> None:
    assert send(cluster.client("nonsense"), [ORGANIZATION]).status_code == 401
    assert cluster.http.post(PATH, params={"fieldManager": "x"}, json=ORGANIZATION).status_code == 400
    assert send(cluster.http, [{}] * 5_001).status_code == 413
    lines, _ = answered(
        cluster.http,
        [{}, {"kind": "Pod", "apiVersion": "v1"}, manifest(BILLING, "Invoice", "x", {}, namespace=ACME)],
        onError="continue",
    )
    assert outcomes(lines) == ["failed"] * 3
    assert "system kind" in lines[2]["status"]["message"]


def test_two_loads_that_lock_the_same_accounts_in_another_order_both_finish(cluster: Cluster) -> None:
    names = [f"p-{n}" for n in range(60)]
    answered(cluster.http, [ORGANIZATION, account("a"), account("b"), *map(project, names)])
    loads = [
        [binding(name, account="ab"[n % 2]) for n, name in enumerate(names) if n % 3 != 0],
        [binding(name, account="ba"[n % 2]) for n, name in reversed(list(enumerate(names))) if n % 3 == 0],
    ]
    totals: list[Any] = []

    def load(manifests: list[Manifest]) -> None:
        totals.append(answered(cluster.client(cluster.token), manifests)[1])

    threads = [threading.Thread(target=load, args=(one,)) for one in loads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(total["created"] for total in totals) == 60
    counts = [
        cluster.http.get(cluster.path(account(name))).json()["status"]["linkedProjectsCount"] for name in "ab"
    ]
    assert sum(counts) == 60


# -- the client ---------------------------------------------------------------------------------------------------


@pytest.fixture
def api(cluster: Cluster) -> Any:
    connection = Connection(
        api_url=cluster.url, gateway_url=cluster.url, token=cluster.token, ca_pem=None, source="test"
    )
    with ApiClient(connection) as api:
        yield api


def applied(
    api: ApiClient,
    *manifests: Manifest,
    namespace: str | None = None,
    keep_going: bool = False,
    show: bool = False,
) -> list[Done]:
    documents = [Located(f"f, document {n}", m, 0) for n, m in enumerate(manifests, start=1)]
    return list(apply_all(api, documents, namespace=namespace, keep_going=keep_going, show=show))


def test_the_client_gives_each_document_its_answer(cluster: Cluster, api: ApiClient) -> None:
    bare = copy.deepcopy(ACCOUNT)
    del bare["metadata"]["namespace"]
    generated = copy.deepcopy(project("x"))
    generated["metadata"] = {"generateName": "gen-"}
    unknown = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}
    done = applied(api, ORGANIZATION, bare, generated, unknown, project("z"), namespace=ACME, keep_going=True)
    assert [d.outcome for d in done] == ["created", "created", "created", "failed", "created"]
    assert done[1].reference == "billingaccount.billing.miloapis.com/main"
    assert done[2].reference.startswith("project.resourcemanager.miloapis.com/gen-")
    assert done[3].error is not None and done[3].error.where == "f, document 4"
    stopped = applied(api, project("z"), unknown, project("y"))
    assert [d.outcome for d in stopped] == ["unchanged", "failed"]


def test_what_was_applied_on_the_clients_side_is_taken_over_whole(cluster: Cluster, api: ApiClient) -> None:
    """What the earlier configuration had and the next one has not goes away, as when the client merged it itself."""
    cluster.created(ORGANIZATION)
    objects = Objects(api)
    first = {**account("main"), "spec": {**ACCOUNT["spec"], "displayName": "First"}}
    objects.apply(first)
    assert [d.outcome for d in applied(api, first)] == ["unchanged"]
    (done,) = applied(api, account("main"), show=True)
    assert done.outcome == "configured" and done.object is not None
    assert "displayName" not in done.object["spec"]
    # and back: the client's merge changes it, and the next load takes that over
    objects.apply({**account("main"), "spec": {**ACCOUNT["spec"], "displayName": "Second"}})
    (done,) = applied(api, account("main"), show=True)
    assert done.object is not None and "displayName" not in done.object["spec"]
    assert [d.outcome for d in applied(api, account("main"))] == ["unchanged"]
