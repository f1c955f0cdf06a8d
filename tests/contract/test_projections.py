"""Projections of every kind: what the engine wrote agrees with the objects, and every spoiled row is named."""

from typing import Any

import psycopg
import pytest

from milo_billing.app.projections import compare_everything, compare_projections
from tests.contract.conftest import Cluster
from tests.contract.examples import ACME, EXAMPLES, IAM, manifest

PROGRAM = manifest(
    IAM,
    "PolicyBinding",
    "meters",
    {
        "roleRef": {"name": "auditor"},
        "subjects": [{"kind": "ServiceAccount", "namespace": ACME, "name": "meter"}],
        "resourceSelector": {"resourceRef": {"kind": "Organization", "name": "acme"}},
    },
)


@pytest.fixture
def busy(cluster: Cluster) -> Cluster:
    """Every kind's example, some of them changed, and some that were deleted and made again."""
    made: set[str] = set()
    for example in EXAMPLES.values():
        if example.invoiced:
            continue
        for one in (*example.needs, example.manifest):
            if (path := cluster.path(one)) not in made:
                cluster.created(one)
                made.add(path)
        if example.change is not None:
            assert cluster.merge(example.manifest, example.change).status_code == 200
    cluster.created(PROGRAM)
    for plural in ("issuerprofiles", "pricebooks", "policybindings", "billingaccountbindings", "projects"):
        assert cluster.http.delete(cluster.path(EXAMPLES[plural].manifest)).status_code == 200
        if plural == "policybindings":  # a program that was granted something and is not there any more
            account = EXAMPLES["serviceaccounts"].manifest
            assert cluster.http.delete(cluster.path(account)).status_code == 200
    for plural in ("issuerprofiles", "pricebooks", "policybindings", "projects", "billingaccountbindings"):
        cluster.created(EXAMPLES[plural].manifest)
    return cluster


SPOILED: dict[str, tuple[str, str, str, str]] = {
    "an organization was renamed": (
        "update directory.organizations set name = 'acne' where name = 'acme'",
        "directory.organizations",
        '"name": "acme"',
        '"name": "acne"',
    ),
    "a project changed hands": (
        "update directory.projects set owner_org = 0 where deleted_at is null",
        "directory.projects",
        '"organization": "acme"',
        '"organization": "provider"',
    ),
    "a project has gone in its table only": (
        "update directory.projects set deleted_at = now() + interval '1 day' where deleted_at is null",
        "directory.projects",
        '"gone": false',
        '"gone": true',
    ),
    "an account has another currency": (
        "update accounts.accounts set currency = 'EUR'",
        "accounts.accounts",
        '"currency": "USD"',
        '"currency": "EUR"',
    ),
    "a payment method works": (
        "update accounts.payment_methods set phase = 'Active'",
        "accounts.payment_methods",
        '"phase": "Pending"',
        '"phase": "Active"',
    ),
    "a payer was forgotten": (
        "update accounts.payer_intervals set ends_at = now() + interval '1 day' where ends_at = 'infinity'",
        "accounts.payer_intervals",
        "infinity",
        "Superseded",
    ),
    "a project is not held": (
        "delete from controlplane.holds",
        "controlplane.holds",
        '"held for": "web-main"',
        "none",
    ),
    "a meter adds up otherwise": (
        "update catalog.meters set aggregation = 'Max'",
        "catalog.meters",
        '"aggregation": "Sum"',
        '"aggregation": "Max"',
    ),
    "a meter forgot its window": (
        "update catalog.meters set value_window = 'Day'",
        "catalog.meters",
        '"window": "Period"',
        '"window": "Day"',
    ),
    "a resource type has other labels": (
        "update catalog.resource_types set labels = '{nothing}'",
        "catalog.resource_types",
        '"labels": [',
        '"labels": ["nothing"]',
    ),
    "a correction says another quantity": (
        "update usage.corrections set sum = sum + 1, count = count + 1",
        "usage.corrections",
        '"quantity":',
        '"quantity":',
    ),
    "a Sku has another factor": (
        "update catalog.skus set unit_factor = '1/10' where charge_type = 'Usage'",
        "catalog.skus",
        '"factor": "1/1000000"',
        '"factor": "1/10"',
    ),
    "a charge is of more": (
        "update pricing.charges set quantity = 7",
        "pricing.charges",
        '"quantity": 2',
        '"quantity": 7',
    ),
    "a price changed": (
        "update catalog.price_books set body = jsonb_set(body, '{prices,0,unitPrice}', '\"9\"') "
        "where deleted_at is null",
        "catalog.price_books",
        '"unitPrice": "0.40"',
        '"unitPrice": "9"',
    ),
    "a commitment ends another day": (
        "update commitments.commitments set ends_on = '2031-06-01'",
        "commitments.commitments",
        '"until":',
        '"until": "2031-06-01"',
    ),
    "a discount is another one": (
        "update commitments.discounts set body = jsonb_set(body, '{percentage}', '\"50\"')",
        "commitments.discounts",
        '"percentage": "5"',
        '"percentage": "50"',
    ),
    "an offer has other prices": (
        "update entitlements.offers set book = 'cheap'",
        "entitlements.offers",
        '"book": null',
        '"book": "cheap"',
    ),
    "what recurs is another quantity": (
        "update entitlements.offers set recurring = jsonb_set(recurring, '{0,quantity}', '\"5\"')",
        "entitlements.offers",
        '"quantities": ["1"]',
        '"quantities": ["5"]',
    ),
    "what was said last of an entitlement is not what it says": (
        "update entitlements.revisions set quantity = 7",
        "entitlements.entitlements",
        '"known": [5, null]',
        '"known": [7, null]',
    ),
    "an invoice day was kept that nobody declared": (
        "update accounts.invoice_days set invoice_day = 9",
        "accounts.accounts",
        '"last day": 1',
        '"last day": 9',
    ),
    "an entitlement ended": (
        "update entitlements.entitlements set ends_on = '2026-06-01', phase = 'Ended'",
        "entitlements.entitlements",
        '"phase": "Active"',
        '"phase": "Ended"',
    ),
    "a role grants everything": (
        "update access.roles set permissions = '{*}' where name = 'auditor'",
        "access.roles",
        '"permissions": ["billing.miloapis.com/invoices.list"]',
        '"permissions": ["*"]',
    ),
    "somebody was granted a role": (
        "insert into access.bindings select uid, 'mallory', null, role, owner_org from access.bindings "
        "where subject = 'ann@example.com'",
        "access.bindings",
        "none",
        '"role": "auditor"',
    ),
    "a grant reaches everywhere": (
        "update access.bindings set owner_org = 0 where subject = 'ann@example.com'",
        "access.bindings",
        '"owner_org": 1',
        '"owner_org": 0',
    ),
    "a token of a program that has gone lives": (
        "insert into access.tokens values (sha256('x'), 'system:serviceaccount:organization-acme:meter', "
        "gen_random_uuid(), 1, now(), null, null)",
        "access.tokens",
        "none",
        '"revoked": false',
    ),
    "nobody issues": ("delete from invoicing.issuers", "invoicing.issuers", '"name": "milo"', "none"),
    "a selector misses an object": (
        "update controlplane.objects set fields = '{}' where resource = 'services' or resource = 'projects'",
        "controlplane.objects",
        '"spec.ownerRef.name": "acme"',
        "{}",
    ),
}


def test_what_the_engine_wrote_is_what_the_objects_say_and_what_was_spoiled_is_named(
    busy: Cluster, clean_database: str, superuser_tx: psycopg.Connection[Any]
):
    compared = compare_everything(clean_database)
    assert compared.differences == ()
    assert (compared.objects, compared.kinds) == (29, len(busy.registry.kinds))
    for what, (statement, projection, expected, found) in SPOILED.items():
        with superuser_tx.transaction(force_rollback=True):
            superuser_tx.execute("set local session_replication_role = replica")  # past the triggers
            superuser_tx.execute(statement.encode())
            named = [
                d for d in compare_projections(superuser_tx, busy.registry) if d.projection == projection
            ]
        assert len(named) == 1, (what, named)
        assert expected in named[0].expected, what
        assert found in named[0].found, what
        assert named[0].remedy


def test_a_row_without_an_object_is_not_to_be_written_again(
    busy: Cluster, superuser_tx: psycopg.Connection[Any]
):
    with superuser_tx.transaction(force_rollback=True):
        superuser_tx.execute("set local session_replication_role = replica")
        superuser_tx.execute("delete from controlplane.objects where resource = 'meterdefinitions'")
        (orphan,) = (
            d for d in compare_projections(superuser_tx, busy.registry) if d.projection == "catalog.meters"
        )
    assert "no object says so" in orphan.remedy
