"""PaymentMethodClass and PaymentMethod, and what becomes of accounts that pay with them."""

from typing import Any

import psycopg
import pytest

from milo_billing.accounts import store
from milo_billing.accounts.reads import methods as method_reads
from milo_billing.accounts.resources.account_actions import ARCHIVE
from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.accounts.resources.payment_methods import PaymentMethod, PaymentMethodClass
from milo_billing.directory import reads as directory
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.errors import Conflict, Invalid
from tests.accounts_world import ACME, World

CARD = {"type": "Card", "card": {"brand": "visa", "last4": "4242", "expiry": "2029-12"}}
BANK = {"type": "BankAccount", "bank": {"bankName": "Sample Bank", "country": "IE", "last4": "5678"}}
PAYS_BY_CARD = {"type": "Card", "paymentMethodRef": {"name": "visa"}}


@pytest.fixture
def world(world: World) -> World:
    """An account that wants to pay by a card which is not there yet, and a default class."""
    world.method_class()
    world.account(paymentProfile=PAYS_BY_CARD)
    return world


def account(world: World, name: str = "main") -> dict[str, Any]:
    return world.status(BillingAccount, name, namespace=ACME)


def payment(world: World, name: str = "main") -> tuple[str, str, str]:
    (found,) = [c for c in account(world, name)["conditions"] if c["type"] == "PaymentReady"]
    return found["status"], found["reason"], found["message"]


# --------------------------------------------------------------------------------------------------- classes


def test_a_method_is_of_the_default_class_for_good(world: World):
    assert world.method(phase="Pending").status["className"] == "manual"
    world.patch(PaymentMethodClass, "manual", {"isDefault": False})
    world.method_class("other")
    assert world.method("second", phase="Pending").status["className"] == "other"
    world.patch(PaymentMethod, "visa", {"displayName": "Card of Ann"}, namespace=ACME)
    assert world.status(PaymentMethod, "visa", namespace=ACME)["className"] == "manual"


def test_a_method_can_name_its_class(world: World):
    world.method_class("other", isDefault=False)
    made = world.method(phase="Pending", paymentMethodClassRef={"name": "other"})
    assert made.status["className"] == "other"


def test_without_a_default_a_method_must_name_a_class_that_exists(world: World):
    world.patch(PaymentMethodClass, "manual", {"isDefault": False})
    spec: dict[str, Any] = {"billingAccountRef": {"name": "main"}}
    assert world.refusals(PaymentMethod, "visa", spec, namespace=ACME) == [
        "spec.paymentMethodClassRef: Required value: there is no default payment method class; name one"
    ]
    spec["paymentMethodClassRef"] = {"name": "nothing"}
    assert world.refusals(PaymentMethod, "visa", spec, namespace=ACME) == [
        'spec.paymentMethodClassRef.name: Not found: "nothing"'
    ]


def test_there_is_one_default_class(world: World):
    assert world.refusals(PaymentMethodClass, "other", {"provider": "manual", "isDefault": True}) == [
        'spec.isDefault: Forbidden: payment method class "manual" is the default; there can be one only'
    ]
    world.patch(PaymentMethodClass, "manual", {"parameters": {"region": "eu"}})


def test_a_class_stays_while_methods_are_of_it(world: World):
    world.method(phase="Pending")
    with pytest.raises(Conflict) as refused:
        world.delete(PaymentMethodClass, "manual")
    assert str(refused.value) == (
        'payment method class "manual" is used by payment method "organization-acme/visa"; delete all payment methods '
        "of the class first"
    )
    world.patch(BillingAccount, "main", {"paymentProfile": None}, namespace=ACME)
    world.delete(PaymentMethod, "visa", namespace=ACME)
    world.delete(PaymentMethodClass, "manual")


# --------------------------------------------------------------------------------------------------- methods


def test_a_method_needs_an_account(world: World):
    spec = {"billingAccountRef": {"name": "nothing"}}
    assert world.refusals(PaymentMethod, "visa", spec, namespace=ACME) == [
        'spec.billingAccountRef.name: Not found: "nothing"'
    ]


def test_an_archived_account_gets_no_method(world: World):
    world.grants.granted[ARCHIVE] = EVERYWHERE
    world.act(BillingAccount, "main", "archive")
    spec = {"billingAccountRef": {"name": "main"}}
    assert world.refusals(PaymentMethod, "visa", spec, namespace=ACME) == [
        'spec.billingAccountRef.name: Forbidden: billing account "main" is archived and read-only'
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"billingAccountRef": {"name": "other"}},
            "spec.billingAccountRef: Forbidden: billingAccountRef is immutable",
        ),
        (
            {"paymentMethodClassRef": {"name": "manual"}},
            "spec.paymentMethodClassRef: Forbidden: paymentMethodClassRef is immutable",
        ),
        (
            {"providerToken": "tok_2"},
            "spec.providerToken: Forbidden: providerToken is immutable once set; make another payment method for "
            "another card or account",
        ),
    ],
)
def test_what_a_method_is_stays(world: World, change: dict[str, Any], message: str):
    world.method(phase="Pending", providerToken="tok_1")
    assert world.changes_refused(PaymentMethod, "visa", change, namespace=ACME) == [message]


def test_the_token_of_the_provider_is_not_readable_in_the_database(world: World):
    world.method(providerToken="tok_9f8e7d")
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        stored = [
            *tx.execute("select spec::text from controlplane.objects"),
            *tx.execute("select object::text from controlplane.changes"),
            *tx.execute("select detail::text from access.audit_records"),
        ]
    assert [row for row in stored if "tok_9f8e7d" in row[0]] == []


@pytest.mark.parametrize(
    ("steps", "good"),
    [
        (["AwaitingConfirmation", "Active", "Failed", "Pending", "Active"], True),
        (["Active", "Failed", "Active"], True),
        (["Failed", "AwaitingConfirmation", "Failed"], True),
        (["Active", "Pending"], False),
        (["Active", "AwaitingConfirmation"], False),
        (["AwaitingConfirmation", "Pending"], False),
    ],
)
def test_phases_go_forward_and_begin_anew_after_a_failure(world: World, steps: list[str], good: bool):
    world.method(phase="Pending")
    *before, last = [{"phase": step, "failureReason": "declined"} for step in steps]
    for step in before:
        world.set_status(PaymentMethod, "visa", step)
    if good:
        assert world.set_status(PaymentMethod, "visa", last).status["phase"] == last["phase"]
        return
    with pytest.raises(Invalid) as refused:
        world.set_status(PaymentMethod, "visa", last)
    assert [error.field for error in refused.value.errors] == ["status.phase"]


def test_a_failure_has_a_reason_and_takes_it_along_when_it_is_over(world: World):
    world.method(phase="Pending")
    with pytest.raises(Invalid, match=r"status\.failureReason: Required value"):
        world.set_status(PaymentMethod, "visa", {"phase": "Failed"})
    failed = world.set_status(PaymentMethod, "visa", {"phase": "Failed", "failureReason": "expired"}).status
    assert failed["failureReason"] == "expired"
    assert "failureReason" not in world.set_status(PaymentMethod, "visa", {"phase": "Active"}).status


# ---------------------------------------------------------------------------------- accounts that pay with it


def test_an_account_is_ready_as_soon_as_its_method_is_active(world: World):
    assert account(world)["phase"] == "Provisioning"
    assert payment(world)[1] == "PaymentMethodMissing"
    world.method(phase="Pending")
    assert payment(world) == (
        "False",
        "PaymentMethodPending",
        'Payment method "visa" is not active yet (current phase: Pending).',
    )
    world.set_status(PaymentMethod, "visa", {"phase": "Active", "details": CARD})
    assert account(world)["phase"] == "Ready"
    assert payment(world) == (
        "True",
        "PaymentProfileValid",
        "Billing account has a valid payment profile.",
    )


def test_a_method_that_fails_takes_ready_away_and_gives_it_back(world: World):
    world.method()
    world.project("web")
    world.bind("web-main", project="web")
    world.set_status(PaymentMethod, "visa", {"phase": "Failed", "failureReason": "card expired"})
    status = account(world)
    assert (status["phase"], status["linkedProjectsCount"]) == ("Provisioning", 1)
    assert payment(world) == (
        "False",
        "PaymentMethodFailed",
        'Payment method "visa" has failed: card expired.',
    )
    world.set_status(PaymentMethod, "visa", {"phase": "Active"})
    assert account(world)["phase"] == "Ready"


def test_a_method_of_another_account_does_not_count(world: World):
    world.account("other")
    world.method(account="other")
    assert payment(world)[1] == "PaymentMethodMissing"


def test_a_method_of_an_earlier_account_of_the_name_does_not_count(world: World):
    world.method()
    world.delete(BillingAccount, "main", namespace=ACME)
    assert world.account(paymentProfile=PAYS_BY_CARD).status["phase"] == "Provisioning"
    world.delete(PaymentMethod, "visa", namespace=ACME)


def test_a_profile_needs_a_method_of_its_type(world: World):
    world.method()
    world.set_status(PaymentMethod, "visa", {"details": BANK})
    assert payment(world) == (
        "False",
        "PaymentMethodUnsuitable",
        'Payment method "visa" is of type BankAccount; the profile Card needs one of type Card.',
    )
    debit = {"paymentProfile": {"type": "DirectDebit"}}
    assert world.patch(BillingAccount, "main", debit, namespace=ACME).status["phase"] == "Ready"


def test_the_method_that_an_account_pays_with_stays(world: World):
    world.method()
    with pytest.raises(Conflict) as refused:
        world.delete(PaymentMethod, "visa", namespace=ACME)
    assert str(refused.value) == (
        'payment method "visa" is the one that billing account "main" pays with; choose another one in its payment '
        "profile before deleting"
    )
    world.method("second")
    profile = {"paymentProfile": {"paymentMethodRef": {"name": "second"}}}
    world.patch(BillingAccount, "main", profile, namespace=ACME)
    world.delete(PaymentMethod, "visa", namespace=ACME)
    assert account(world)["phase"] == "Ready"


def test_a_suspended_account_says_what_became_of_its_method_and_stays_suspended(world: World):
    world.method()
    world.act(BillingAccount, "main", "suspend", {"reason": "Compliance"})
    world.set_status(PaymentMethod, "visa", {"phase": "Failed", "failureReason": "stolen"})
    assert (account(world)["phase"], payment(world)[1]) == ("Suspended", "PaymentMethodFailed")


# ------------------------------------------------------------------------------------------------- isolation


def reach_of_acme(world: World) -> frozenset[int]:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        acme = directory.find_organization(tx, name="acme")
    assert acme is not None
    return frozenset({acme.number})


def test_customers_see_and_keep_the_classes_of_the_provider_and_write_none(world: World):
    reach = reach_of_acme(world)
    with world.databases.app.transaction(reach=reach) as tx:
        found = method_reads.find_method_class(tx, name=None)
        assert found is not None and found.name == "manual"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            store.put_method_class(tx, uid=found.uid, name="manual", provider="manual", is_default=False)


def test_customers_do_not_see_the_methods_of_others(world: World):
    world.method()
    with world.databases.app.transaction(reach=reach_of_acme(world)) as tx:
        assert method_reads.find_method(tx, namespace=ACME, name="visa") is not None
    with world.databases.app.transaction(reach=frozenset({99})) as tx:
        assert method_reads.find_method(tx, namespace=ACME, name="visa") is None
