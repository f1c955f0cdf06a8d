"""compare_projections: silent after honest work, and it names what was changed behind the objects' back."""

from typing import Any

import psycopg
import pytest

from milo_billing.accounts import operations
from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.accounts.resources.payment_methods import PaymentMethod
from milo_billing.controlplane.projections import ProjectionDifference
from milo_billing.infra.database import EVERYWHERE
from tests.accounts_world import ACME, World


@pytest.fixture
def busy(world: World) -> World:
    """Accounts in a tree, payment methods, bindings that were superseded, deleted and used again."""
    world.method_class()
    world.account()
    world.account("below", parentRef={"namespace": ACME, "name": "main"}, billingMode="Parent")
    world.account("gone", paymentProfile={"type": "Card", "paymentMethodRef": {"name": "visa"}})
    world.method(account="gone")
    for project in ("web", "api"):
        world.project(project)
        world.bind(project, project=project, account="gone")
    world.clock.forward(hours=1)
    world.bind("web-2", project="web", account="below")
    world.clock.forward(hours=1)
    world.unbind("api")
    world.unbind("web")
    world.delete(BillingAccount, "gone", namespace=ACME)
    world.delete(PaymentMethod, "visa", namespace=ACME)
    world.clock.forward(hours=1)
    world.bind("api", project="api")
    return world


def differences(world: World) -> tuple[ProjectionDifference, ...]:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        return operations.compare_projections(tx)


def test_what_the_engine_wrote_is_what_the_objects_say(busy: World):
    assert differences(busy) == ()


def test_a_pruned_change_log_leaves_ended_intervals_to_the_audit(
    busy: World, superuser_tx: psycopg.Connection[Any]
):
    superuser_tx.execute("delete from controlplane.changes")
    assert differences(busy) == ()


@pytest.mark.parametrize(
    ("statement", "projection", "expected", "found"),
    [
        (
            "update accounts.payer_intervals set ends_at = '2026-12-01Z' where binding_name = 'web-2'",
            "accounts.payer_intervals",
            "organization-acme/below pays for web in [2026-10-01 13:00:00+00, infinity), Active",
            "organization-acme/below pays for web in [2026-10-01 13:00:00+00, 2026-12-01 00:00:00+00), Superseded",
        ),
        (
            "update accounts.payer_intervals set project_name = 'mail' where binding_name = 'web-2'",
            "accounts.payer_intervals",
            "organization-acme/below pays for web in [2026-10-01 13:00:00+00, infinity), Active",
            "organization-acme/below pays for mail in [2026-10-01 13:00:00+00, infinity), Active",
        ),
        (
            "delete from accounts.payer_intervals where binding_name = 'web'",
            "accounts.payer_intervals",
            "organization-acme/gone pays for web in [2026-10-01 12:00:00+00, 2026-10-01 13:00:00+00)",
            "none",
        ),
        (
            "update accounts.accounts set phase = 'Suspended' where name = 'main'",
            "accounts.accounts",
            '"phase": "Ready"',
            '"phase": "Suspended"',
        ),
        (
            "update accounts.accounts set parent = null, billing_mode = 'Self' where name = 'below'",
            "accounts.accounts",
            '"parent": "main"',
            '"parent": null',
        ),
        (
            "update controlplane.objects set status = status || '{\"linkedProjectsCount\": 7}' where name = 'main'",
            "accounts.accounts",
            '"projects": 7',
            '"projects": 1',
        ),
        (
            "update accounts.payment_method_classes set is_default = false",
            "accounts.payment_method_classes",
            '"default": true',
            '"default": false',
        ),
    ],
)
def test_what_was_changed_behind_the_objects_is_named(
    busy: World,
    superuser_tx: psycopg.Connection[Any],
    statement: str,
    projection: str,
    expected: str,
    found: str,
):
    superuser_tx.execute("set session_replication_role = replica")  # past the triggers
    superuser_tx.execute(statement.encode())
    # an interval that was shortened makes a count wrong too
    named = [d for d in differences(busy) if d.projection == projection]
    assert len(named) == 1
    assert expected in named[0].expected and found in named[0].found


def test_an_interval_that_was_deleted_is_missed_even_when_only_the_audit_knows_of_it(
    busy: World, superuser_tx: psycopg.Connection[Any]
):
    superuser_tx.execute("set session_replication_role = replica")
    superuser_tx.execute("delete from controlplane.changes")
    superuser_tx.execute("delete from accounts.payer_intervals where binding_name = 'web'")
    (missing,) = differences(busy)
    assert (missing.projection, missing.expected, missing.found) == (
        "accounts.payer_intervals",
        "an interval",
        "none",
    )


def test_a_gap_between_a_binding_and_its_successor_is_named(
    busy: World, superuser_tx: psycopg.Connection[Any]
):
    superuser_tx.execute("set session_replication_role = replica")
    busy.clock.forward(hours=1)
    busy.bind("api-2", project="api", account="below")
    early = "2026-10-01T15:59:59.000000Z"
    superuser_tx.execute(
        "update accounts.payer_intervals set ends_at = %s where binding_name = 'api' and ends_at > %s",
        (early, early),
    )
    superuser_tx.execute(
        "update controlplane.objects set status = jsonb_set(status, '{billingResponsibility,endedAt}', "
        "to_jsonb(%s::text)) where name = 'api' and resource = 'billingaccountbindings'",
        (early,),
    )
    (torn,) = differences(busy)
    assert torn.expected == "its successor begins where it ends"
