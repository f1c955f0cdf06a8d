"""Organizations and projects through the engine, and what other slices read of them."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from milo_billing.directory import operations, reads
from milo_billing.directory.types import OrganizationGone, OrganizationNotFound
from milo_billing.infra.database import EVERYWHERE, Databases
from tests.db.access.ground import DIRECTORY, START, Ground, organization, project, service_account

ORGANIZATIONS = f"{DIRECTORY}/organizations"
PROJECTS = f"{DIRECTORY}/projects"
LABEL = "resourcemanager.miloapis.com/organization-name"


@pytest.fixture
def ground(databases: Databases, tmp_path: Path) -> Ground:
    ground = Ground(databases, tmp_path / "keyfile")
    ground.bootstrap()
    return ground


@pytest.fixture
def acme(ground: Ground) -> dict[str, Any]:
    return ground.created(organization("acme"))


def number_of(ground: Ground, name: str) -> int:
    with ground.transaction() as tx:
        found = reads.find_organization(tx, name=name)
    assert found is not None
    return found.number


def version_of_projects(ground: Ground) -> int:
    with ground.transaction() as tx:
        row = tx.execute("select version from controlplane.versions where name = 'projects'").fetchone()
    assert row is not None
    return row[0]


# -- organizations


def test_an_organization_is_ready_when_its_creation_is_answered(acme: dict[str, Any]):
    (condition,) = acme["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["observedGeneration"]) == ("Ready", "True", 1)
    assert acme["spec"] == {"type": "Standard"}


def test_an_organization_owns_itself_under_a_number_of_its_own(ground: Ground, acme: dict[str, Any]):
    ground.created(organization("beta"))
    assert number_of(ground, "acme") > 0
    assert number_of(ground, "beta") != number_of(ground, "acme")
    with ground.transaction() as tx:
        row = tx.execute(
            "select owner_org from controlplane.objects where uid = %s", (acme["metadata"]["uid"],)
        )
        assert row.fetchone() == (number_of(ground, "acme"),)


def test_its_namespace_exists_as_long_as_it_does(ground: Ground, acme: dict[str, Any]):
    robot = service_account("robot", namespace="organization-acme")
    assert ground.create(service_account("robot", namespace="organization-beta")).code == 404
    ground.created(robot)
    ground.send("DELETE", "iam.miloapis.com/v1alpha1/namespaces/organization-acme/serviceaccounts/robot")
    assert ground.send("DELETE", f"{ORGANIZATIONS}/acme").code == 200
    assert ground.create(robot).code == 404


def test_the_owner_of_a_namespace_is_known_whatever_the_reach(ground: Ground, acme: dict[str, Any]):
    for database in (ground.databases.app, ground.databases.ingest):
        with database.transaction(reach=frozenset()) as tx:
            assert reads.find_owner_of_namespace(tx, "organization-acme") == number_of(ground, "acme")
            assert reads.find_owner_of_namespace(tx, "organization-beta") is None
            assert reads.find_owner_of_namespace(tx, "acme") is None


def test_what_it_owns_keeps_an_organization_and_is_named(ground: Ground, acme: dict[str, Any]):
    for number in range(6):
        ground.created(project(f"p{number}", organization="acme"))
    refused = ground.send("DELETE", f"{ORGANIZATIONS}/acme")
    assert refused.code == 409
    assert "projects p0, projects p1, projects p2, projects p3, projects p4, …" in refused.message
    for number in range(6):
        ground.send("DELETE", f"{PROJECTS}/p{number}")
    ground.created(service_account("robot", namespace="organization-acme"))
    assert "serviceaccounts organization-acme/robot" in ground.send("DELETE", f"{ORGANIZATIONS}/acme").message


def test_a_name_can_be_used_again_and_a_number_cannot(ground: Ground, acme: dict[str, Any]):
    before = number_of(ground, "acme")
    ground.clock.pass_by(days=1)
    assert ground.send("DELETE", f"{ORGANIZATIONS}/acme").code == 200
    with ground.transaction() as tx:
        assert reads.find_organization(tx, name="acme") is None
        assert reads.get_organization(tx, before).deleted_at == START + timedelta(days=1)
        with pytest.raises(OrganizationNotFound):
            reads.get_organization(tx, before + 1)
    ground.created(organization("acme"))
    assert number_of(ground, "acme") > before


@pytest.mark.parametrize(
    ("name", "spec", "fields"),
    [
        ("a" * 51, {}, {"metadata.name"}),
        ("a.b", {}, {"metadata.name"}),
        ("acme", {"type": "Big"}, {"spec.type"}),
        ("acme", {"displayName": "x" * 257}, {"spec.displayName"}),
    ],
)
def test_an_organization_that_breaks_a_rule_is_told_where(
    ground: Ground, name: str, spec: dict[str, Any], fields: set[str]
):
    refused = ground.create({**organization(name), "spec": spec})
    assert (refused.code, refused.fields) == (422, fields)


def test_the_type_of_an_organization_stays(ground: Ground, acme: dict[str, Any]):
    assert ground.send("PATCH", f"{ORGANIZATIONS}/acme", {"spec": {"displayName": "Acme"}}).code == 200
    refused = ground.send("PATCH", f"{ORGANIZATIONS}/acme", {"spec": {"type": "Personal"}})
    assert refused.fields == {"spec.type"}


# -- projects


def test_a_project_carries_the_label_of_its_organization(ground: Ground, acme: dict[str, Any]):
    wanted = project("web", organization="acme")
    wanted["metadata"]["labels"] = {LABEL: "beta", "team": "a"}
    made = ground.created(wanted)
    assert made["metadata"]["labels"] == {LABEL: "acme", "team": "a"}
    listed = ground.send("GET", PROJECTS).body["items"]
    assert [item["metadata"]["name"] for item in listed] == ["web"]


def test_a_project_belongs_to_the_organization_that_its_spec_names(ground: Ground, acme: dict[str, Any]):
    ground.created(project("web", organization="acme"))
    with ground.transaction() as tx:
        found = reads.find_project(tx, name="web", at=START)
        assert found is not None
        assert found.owner_org == number_of(ground, "acme")
        assert reads.list_projects(tx, numbers=[found.number, 4711]) == (found,)
        assert reads.load_projects(tx) == (found,)


def test_a_project_of_no_organization_is_refused(ground: Ground):
    refused = ground.create(project("web", organization="nobody"))
    assert (refused.code, refused.fields) == (422, {"spec.ownerRef.name"})


def test_every_error_of_a_project_is_told_at_once(ground: Ground):
    wanted = project("web.shop", organization="nobody")
    assert ground.create(wanted).fields == {"metadata.name", "spec.ownerRef.name"}


@pytest.mark.parametrize(
    ("owner", "field"),
    [
        ({"kind": "User", "name": "acme"}, "spec.ownerRef.kind"),
        ({"kind": "Organization"}, "spec.ownerRef.name"),
        ({"kind": "Organization", "name": ""}, "spec.ownerRef.name"),
    ],
)
def test_an_owner_is_an_organization_with_a_name(ground: Ground, owner: dict[str, str], field: str):
    wanted = {**project("web", organization="acme"), "spec": {"ownerRef": owner}}
    assert field in ground.create(wanted).fields


def test_a_project_stays_with_its_organization(ground: Ground, acme: dict[str, Any]):
    ground.created(organization("beta"))
    ground.created(project("web", organization="acme"))
    moved = {"spec": {"ownerRef": {"kind": "Organization", "name": "beta"}}}
    assert ground.send("PATCH", f"{PROJECTS}/web", moved).fields == {"spec.ownerRef"}


def test_caches_of_projects_are_told_when_there_is_something_to_tell(ground: Ground, acme: dict[str, Any]):
    before = version_of_projects(ground)
    ground.created(project("web", organization="acme"))
    assert version_of_projects(ground) == before + 1
    ground.send("PATCH", f"{PROJECTS}/web", {"spec": {"displayName": "Shop"}})
    assert version_of_projects(ground) == before + 1
    ground.send("DELETE", f"{PROJECTS}/web")
    assert version_of_projects(ground) == before + 2


def test_a_project_with_a_hold_stays(ground: Ground, acme: dict[str, Any]):
    made = ground.created(project("web", organization="acme"))
    with ground.transaction() as tx:
        tx.execute(
            "insert into controlplane.holds (uid, slice, reason, held_at) "
            "values (%s, 'accounts', 'it has a payer', %s)",
            (made["metadata"]["uid"], START),
        )
    refused = ground.send("DELETE", f"{PROJECTS}/web")
    assert refused.code == 409
    assert "it has a payer" in refused.message


def test_a_name_leads_to_the_project_that_bore_it_at_that_instant(ground: Ground, acme: dict[str, Any]):
    ground.created(project("web", organization="acme"))  # first: from day 0 to day 1
    ground.clock.pass_by(days=1)
    ground.send("DELETE", f"{PROJECTS}/web")
    ground.clock.pass_by(days=1)
    ground.created(project("web", organization="acme"))  # second: from day 2 on
    with ground.transaction() as tx:
        first, second = reads.load_projects(tx)
        for days, expected in (
            (-400, first),  # usage may be older than the declaration
            (0, first),
            (0.999, first),
            (1, None),  # half-open: not at the instant of deletion
            (1.999, None),
            (2, second),
            (400, second),
        ):
            assert reads.find_project(tx, name="web", at=START + timedelta(days=days)) == expected, days
        assert reads.find_project(tx, name="webs", at=START) is None


def test_the_database_lets_no_two_projects_bear_a_name_at_once(ground: Ground, acme: dict[str, Any]):
    ground.created(project("web", organization="acme"))
    with pytest.raises(psycopg.errors.ExclusionViolation), ground.transaction() as tx:
        tx.execute(
            "insert into directory.projects (uid, name, owner_org, created_at) "
            "select gen_random_uuid(), name, owner_org, created_at + interval '1 day' from directory.projects"
        )


# -- an organization that goes while something comes


def test_an_organization_waits_for_what_is_being_created_in_it_and_then_stays(
    ground: Ground, acme: dict[str, Any]
):
    replies: list[int] = []
    deleting = threading.Thread(
        target=lambda: replies.append(ground.send("DELETE", f"{ORGANIZATIONS}/acme").code)
    )
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        assert operations.hold_namespace(tx, namespace="organization-acme") == number_of(ground, "acme")
        tx.execute(
            "insert into controlplane.objects (uid, api_group, resource, namespace, name, owner_org, generation, "
            "created_at) values (gen_random_uuid(), 'g', 'things', 'organization-acme', 'new', %s, 1, %s)",
            (number_of(ground, "acme"), START),
        )
        deleting.start()
        deleting.join(timeout=0.3)
        assert deleting.is_alive(), "the deletion must wait"
    deleting.join(timeout=10)
    assert replies == [409]


def test_nothing_is_created_in_an_organization_that_has_gone(ground: Ground, acme: dict[str, Any]):
    ground.send("DELETE", f"{ORGANIZATIONS}/acme")
    with ground.transaction() as tx:
        assert operations.hold_namespace(tx, namespace="organization-acme") is None
        with pytest.raises(OrganizationGone):
            operations.hold_organization(tx, name="acme")
