"""Roles and policy bindings: where they reach, and that nobody gives away what they do not hold."""

from typing import Any

import psycopg
import pytest

from tests.db.access.ground import (
    IAM,
    Ground,
    binding,
    manifest,
    organization,
    project,
    role,
    service_account,
)

USER = {"kind": "User", "name": "ann"}
BINDINGS = f"{IAM}/policybindings"
ROLES = f"{IAM}/roles"

pytestmark = pytest.mark.usefixtures("two_organizations")


def test_a_role_reaches_the_organization_where_it_is_bound_and_no_other(ground: Ground):
    token = ground.log_in(organization="acme", role="admin")
    assert ground.create(project("web", organization="acme"), token=token).code == 201
    refused = ground.create(project("web2", organization="beta"), token=token)
    assert refused.code == 403
    ground.created(project("shop", organization="beta"))
    listed = ground.send("GET", "resourcemanager.miloapis.com/v1alpha1/projects", token=token)
    assert [item["metadata"]["name"] for item in listed.body["items"]] == ["web"]
    assert ground.send("GET", "resourcemanager.miloapis.com/v1alpha1/projects/shop", token=token).code == 404


def test_a_viewer_reads_and_does_not_write(ground: Ground):
    token = ground.log_in(organization="acme", role="viewer")
    assert (
        ground.send("GET", "resourcemanager.miloapis.com/v1alpha1/organizations/acme", token=token).code
        == 200
    )
    assert ground.create(project("web", organization="acme"), token=token).code == 403


def test_without_a_binding_everything_is_denied(ground: Ground):
    token = ground.log_in(organization="acme", role="viewer")
    ground.send("DELETE", f"{BINDINGS}/acme-robot")
    assert (
        ground.send("GET", "resourcemanager.miloapis.com/v1alpha1/organizations/acme", token=token).code
        == 403
    )


def test_a_changed_role_counts_with_the_next_request(ground: Ground):
    ground.created(role("clerk", "resourcemanager.miloapis.com/organizations.get"))
    token = ground.log_in(organization="acme", role="clerk")
    acme = "resourcemanager.miloapis.com/v1alpha1/organizations/acme"
    assert ground.send("GET", acme, token=token).code == 200
    ground.send("PATCH", f"{ROLES}/clerk", {"spec": {"includedPermissions": ["*.list"]}})
    assert ground.send("GET", acme, token=token).code == 403


def test_the_first_roles_are_real_objects_that_everybody_reads(ground: Ground):
    token = ground.log_in(organization="acme", role="viewer")
    listed = ground.send("GET", ROLES, token=token)
    assert [item["metadata"]["name"] for item in listed.body["items"]] == ["admin", "viewer"]


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (f"{ROLES}/viewer", {"spec": {"includedPermissions": ["*"]}}),
        (f"{BINDINGS}/system-admin", {"spec": {"subjects": [USER]}}),
    ],
)
def test_what_is_built_in_stays(ground: Ground, path: str, change: dict[str, Any]):
    assert ground.send("PATCH", path, change).fields == {"metadata.name"}
    deleted = ground.send("DELETE", path)
    assert deleted.code == 409
    assert "built in" in deleted.message


# -- nobody gives away what they do not hold


def test_an_administrator_of_one_organization_binds_roles_there(ground: Ground):
    boss = ground.log_in(organization="acme", role="admin", name="boss")
    assert (
        ground.create(binding("ann", role="viewer", subjects=[USER], organization="acme"), token=boss).code
        == 201
    )
    assert (
        ground.create(binding("ann2", role="viewer", subjects=[USER], organization="beta"), token=boss).code
        == 403
    )
    assert ground.create(binding("ann3", role="viewer", subjects=[USER]), token=boss).code == 403


def test_nobody_binds_a_role_with_more_than_they_hold(ground: Ground):
    ground.created(role("binder", "iam.miloapis.com/policybindings.*", "*.get"))
    binder = ground.log_in(organization="acme", role="binder")
    refused = ground.create(binding("ann", role="admin", subjects=[USER], organization="acme"), token=binder)
    assert (refused.code, refused.fields) == (422, {"spec.roleRef.name"})
    ground.created(role("getter", "*.get", "resourcemanager.miloapis.com/projects.get"))
    granted = ground.create(binding("ann", role="getter", subjects=[USER], organization="acme"), token=binder)
    assert granted.code == 201, granted.body


def test_nobody_writes_a_role_with_more_than_they_hold_everywhere(ground: Ground):
    ground.created(role("role-writer", "iam.miloapis.com/roles.*", "*.get"))
    ground.created(service_account("writer", namespace="organization-acme"))
    writer = ground.log_in(organization="acme", role="viewer", name="writer2")
    subject = {"kind": "ServiceAccount", "name": "writer2", "namespace": "organization-acme"}
    ground.created(binding("writer-everywhere", role="role-writer", subjects=[subject]))
    refused = ground.create(role("mine", "*.get", "*.list", "*.delete"), token=writer)
    assert refused.fields == {"spec.includedPermissions[1]", "spec.includedPermissions[2]"}
    assert ground.create(role("mine", "*.get"), token=writer).code == 201
    # what others put there may stay, more may not come
    wider = {"spec": {"includedPermissions": ["*.get", "*.delete"]}}
    assert ground.send("PATCH", f"{ROLES}/mine", wider, token=writer).fields == {
        "spec.includedPermissions[1]"
    }
    assert ground.send("PATCH", f"{ROLES}/mine", wider).code == 200
    labelled = {"metadata": {"labels": {"team": "a"}}}
    assert ground.send("PATCH", f"{ROLES}/mine", labelled, token=writer).code == 200


# -- form


def test_every_error_of_a_binding_is_told_at_once(ground: Ground):
    subjects = [
        USER,
        USER,
        {"kind": "User", "name": "system:admin"},
        {"kind": "User", "name": "bob", "namespace": "organization-acme"},
        {"kind": "ServiceAccount", "name": "robot"},
        {"kind": "ServiceAccount", "name": "nobody", "namespace": "organization-acme"},
    ]
    refused = ground.create(binding("wrong", role="nothing", subjects=subjects, organization="gamma"))
    assert refused.fields == {
        "spec.roleRef.name",
        "spec.resourceSelector.resourceRef.name",
        "spec.subjects[1]",
        "spec.subjects[2].name",
        "spec.subjects[3].namespace",
        "spec.subjects[4].namespace",
        "spec.subjects[5].name",
    }


@pytest.mark.parametrize(
    "selector", [{}, {"everything": True, "resourceRef": {"kind": "Organization", "name": "acme"}}]
)
def test_a_binding_selects_one_organization_or_everything(ground: Ground, selector: dict[str, Any]):
    spec = {"roleRef": {"name": "viewer"}, "resourceSelector": selector, "subjects": [USER]}
    refused = ground.create(manifest(IAM, "PolicyBinding", "wrong", spec))
    assert refused.fields == {"spec.resourceSelector"}


def test_what_a_binding_grants_and_where_cannot_change_but_to_whom_can(ground: Ground):
    ground.created(binding("ann", role="viewer", subjects=[USER], organization="acme"))
    moved = {"resourceRef": {"kind": "Organization", "name": "beta"}}
    refused = ground.send(
        "PATCH", f"{BINDINGS}/ann", {"spec": {"roleRef": {"name": "admin"}, "resourceSelector": moved}}
    )
    assert refused.fields == {"spec.roleRef", "spec.resourceSelector"}
    bob = {"kind": "User", "name": "bob"}
    assert ground.send("PATCH", f"{BINDINGS}/ann", {"spec": {"subjects": [bob]}}).code == 200
    with ground.transaction() as tx:
        rows = tx.execute("select subject from access.bindings where owner_org <> 0").fetchall()
    assert rows == [("bob",)]


def test_every_error_of_a_role_is_told_at_once(ground: Ground):
    refused = ground.create(role("wrong", "*.get", "invoices", "*.get", "billing.miloapis.com/Invoices.get"))
    assert refused.fields == {f"spec.includedPermissions[{index}]" for index in (1, 2, 3)}


# -- deletion


def test_a_role_that_is_bound_stays_and_names_its_bindings(ground: Ground):
    ground.created(role("clerk", "*.get"))
    ground.created(binding("ann", role="clerk", subjects=[USER], organization="acme"))
    refused = ground.send("DELETE", f"{ROLES}/clerk")
    assert refused.code == 409
    assert "policybindings ann" in refused.message
    ground.send("DELETE", f"{BINDINGS}/ann")
    assert ground.send("DELETE", f"{ROLES}/clerk").code == 200


def test_the_database_keeps_a_role_that_is_bound_out_of_sight(ground: Ground):
    ground.created(role("clerk", "*.get"))
    ground.created(binding("ann", role="clerk", subjects=[USER], organization="acme"))
    with pytest.raises(psycopg.errors.ForeignKeyViolation), ground.transaction(frozenset()) as tx:
        tx.execute("delete from access.roles where name = 'clerk'")


def test_an_organization_is_kept_by_the_bindings_that_select_it(ground: Ground):
    ground.created(organization("gamma"))
    ground.created(binding("ann", role="viewer", subjects=[USER], organization="gamma"))
    refused = ground.send("DELETE", "resourcemanager.miloapis.com/v1alpha1/organizations/gamma")
    assert refused.code == 409
    assert "policybindings ann" in refused.message
