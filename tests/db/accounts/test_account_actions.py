"""suspend, reactivate and archive: who may, when, and what stays of it."""

from datetime import timedelta
from typing import Any

import pytest

from milo_billing.accounts import operations
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.resources.account_actions import ARCHIVE
from milo_billing.accounts.resources.accounts import LATE_DAYS_MAX, BillingAccount
from milo_billing.accounts.resources.bindings import BillingAccountBinding
from milo_billing.controlplane.holds import hold, release
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.errors import BadRequest, Conflict, Invalid
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import (
    MONEY_ON_ACCOUNT,
    PREPAID_CREDIT,
    RECEIVABLE,
    UNAPPLIED_CASH,
    AccountName,
    Entry,
    Fact,
    cash,
)
from tests.accounts_world import ACME, World, binding_spec


@pytest.fixture
def main(world: World) -> World:
    """Account main, ready; the caller may approve."""
    world.grants.granted[ARCHIVE] = EVERYWHERE
    world.account()
    return world


@pytest.fixture(params=["action", "status"])
def way(request: pytest.FixtureRequest) -> str:
    """The two ways to say the same: an action, or a write of the phase by who holds `updateStatus`."""
    return request.param


def suspend(world: World, way: str, reason: str = "Compliance") -> dict[str, Any]:
    asked = {"reason": reason, "message": "Papers are missing."}
    if way == "action":
        return world.act(BillingAccount, "main", "suspend", asked).status
    return world.set_status(BillingAccount, "main", {"phase": "Suspended", "suspension": asked}).status


def reactivate(world: World, way: str) -> dict[str, Any]:
    if way == "action":
        return world.act(BillingAccount, "main", "reactivate").status
    return world.set_status(BillingAccount, "main", {"phase": "Ready"}).status


def archive(world: World, way: str) -> dict[str, Any]:
    if way == "action":
        return world.act(BillingAccount, "main", "archive").status
    return world.set_status(BillingAccount, "main", {"phase": "Archived"}).status


# ------------------------------------------------------------------------------------- suspend, reactivate


def test_a_suspended_account_says_why_and_takes_no_binding(main: World, way: str):
    status = suspend(main, way)
    assert status["phase"] == "Suspended"
    assert status["suspension"] == {
        "reason": "Compliance",
        "message": "Papers are missing.",
        "since": "2026-10-01T12:00:00Z",
    }
    (ready,) = [c for c in status["conditions"] if c["type"] == "Ready"]
    assert (ready["status"], ready["reason"], ready["message"]) == (
        "False",
        "BillingAccountNotReady",
        "Billing account is in Suspended phase.",
    )
    main.project("web")
    assert main.refusals(BillingAccountBinding, "b", binding_spec("web"), namespace=ACME) == [
        'spec.billingAccountRef.name: Forbidden: billing account "main" is not ready (current phase: Suspended)'
    ]


def test_bindings_of_a_suspended_account_stay_and_may_leave(main: World):
    main.account("other")
    main.project("web")
    main.bind("first", project="web")
    assert suspend(main, "action")["linkedProjectsCount"] == 1
    main.clock.forward(hours=1)
    assert main.bind("second", project="web", account="other").status["phase"] == "Active"


def test_a_reactivated_account_is_as_ready_as_its_profile(main: World, way: str):
    suspend(main, way)
    status = reactivate(main, way)
    assert status["phase"] == "Ready" and "suspension" not in status
    suspend(main, way)
    main.patch(BillingAccount, "main", {"paymentProfile": None}, namespace=ACME)
    assert reactivate(main, way)["phase"] == "Provisioning"


def test_only_a_suspended_account_is_reactivated(main: World):
    with pytest.raises(Conflict, match=r'"main" is not suspended \(current phase: Ready\)'):
        main.act(BillingAccount, "main", "reactivate")


def test_suspending_again_keeps_since_when(main: World, way: str):
    suspend(main, way)
    main.clock.forward(days=1)
    version = main.act(BillingAccount, "main", "suspend", {"reason": "Administrative"}).status["suspension"]
    assert version == {"reason": "Administrative", "since": "2026-10-01T12:00:00Z"}


def test_a_failed_payment_does_not_take_the_place_of_what_somebody_decided(main: World):
    suspend(main, "action", reason="Administrative")
    with pytest.raises(Conflict, match=r"suspended already, for another reason \(Administrative\)"):
        suspend(main, "action", reason="PaymentFailure")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {},
            "reason: Required value: why the account is suspended, one of PaymentFailure, Compliance, Administrative",
        ),
        (
            {"reason": "Mood"},
            'reason: Unsupported value: "Mood": supported values: "PaymentFailure", "Compliance", "Administrative"',
        ),
        (
            {"reason": "Compliance", "message": 7},
            "message: Invalid value: message must be a string",
        ),
        (
            {"reason": "Compliance", "message": "x" * 1025},
            "message: Too long: may not be more than 1024 characters",
        ),
    ],
)
def test_a_suspension_needs_a_reason(main: World, request_: dict[str, Any], message: str):
    with pytest.raises(Invalid) as refused:
        main.act(BillingAccount, "main", "suspend", request_)
    assert [str(error) for error in refused.value.errors] == [message]


@pytest.mark.parametrize("action", ["suspend", "reactivate", "archive"])
def test_an_action_takes_no_field_that_it_does_not_know(main: World, action: str):
    with pytest.raises(BadRequest, match='strict decoding error: unknown field "because"'):
        main.act(BillingAccount, "main", action, {"because": "of this"})


def test_a_phase_without_a_reason_suspends_administratively(main: World):
    status = main.set_status(BillingAccount, "main", {"phase": "Suspended"}).status
    assert status["suspension"] == {"reason": "Administrative", "since": "2026-10-01T12:00:00Z"}


def test_a_client_writes_no_phase_that_follows_from_the_profile_and_no_condition_of_the_account(main: World):
    before = main.status(BillingAccount, "main", namespace=ACME)
    forged = [
        {**c, "status": "False", "lastTransitionTime": "2020-01-01T00:00:00Z"} for c in before["conditions"]
    ]
    met = {
        "type": "CommitmentMet",
        "status": "True",
        "reason": "NoShortfall",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-10-01T12:00:00Z",
    }
    wanted = {
        "phase": "Provisioning",
        "linkedProjectsCount": 9,
        "activatedAt": None,
        "conditions": [*forged, met],
    }
    after = main.set_status(BillingAccount, "main", wanted).status
    assert after == {**before, "conditions": [*before["conditions"], met]}


def test_every_action_is_in_the_audit_with_what_was_asked(main: World):
    suspend(main, "action")
    reactivate(main, "action")
    archive(main, "action")
    with main.databases.app.transaction(reach=EVERYWHERE) as tx:
        found = tx.execute(
            "select verb, detail -> 'request' from access.audit_records where verb = any(%s) order by sequence",
            (["suspend", "reactivate", "archive"],),
        ).fetchall()
    assert found == [
        ("suspend", {"reason": "Compliance", "message": "Papers are missing."}),
        ("reactivate", {}),
        ("archive", {}),
    ]


# -------------------------------------------------------------------------------------------------- archive


def test_an_account_that_never_paid_can_be_archived_at_once(main: World, way: str):
    status = archive(main, way)
    assert (status["phase"], status["linkedProjectsCount"]) == ("Archived", 0)
    with main.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
    assert account is not None and account.phase == "Archived"


def test_everything_that_stands_against_archiving_is_told_at_once(main: World, way: str):
    main.grants.granted.clear()
    main.project("web")
    main.bind("web-main", project="web")
    main.account("below", parentRef={"namespace": ACME, "name": "main"})
    with main.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
        assert account is not None
        hold(tx, uid=account.uid, slice="invoicing", reason="invoice 7 is open", at=main.clock.now())
    with pytest.raises(Conflict) as refused:
        archive(main, way)
    assert str(refused.value) == (
        'billing account "main" cannot be archived yet: it has active binding "web-main" for project "web"; remove '
        'all bindings before archiving; it has sub-accounts "below"; archive or move these first; invoicing holds it: '
        "invoice 7 is open; it needs an approver who holds the permission "
        "billing.miloapis.com/billingaccounts.archive"
    )


def book(world: World, *entries: tuple[AccountName, int]) -> None:
    """A fact of account main in the books, in cents."""
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
        assert account is not None
        fact = Fact(
            id=new_uid(),
            key=f"test/{new_uid()}",
            entity="default",
            posted_on=world.clock.now().date(),
            billing_account=account.number,
            owner_org=account.owner_org,
        )
        lines = [Entry(name, Money(minor, "USD")) for name, minor in entries]
        ledger.post_fact(tx, fact=fact, entries=lines, now=world.clock.now())


BANK = cash("3000")


@pytest.mark.parametrize(
    ("kept", "minor", "message"),
    [
        (RECEIVABLE, 1250, r"it owes 12\.50 USD for issued invoices; collect, credit or write it off"),
        (RECEIVABLE, -300, r"its invoices are overpaid by 3\.00 USD; refund it"),
        (
            UNAPPLIED_CASH,
            -700,
            r"7\.00 USD that came in pays nothing yet; assign it to what it pays or refund it",
        ),
        (MONEY_ON_ACCOUNT, -205, r"2\.05 USD of its money is held on account; refund it"),
        (PREPAID_CREDIT, -9900, r"99\.00 USD of prepaid credit is left; revoke the grants and refund it"),
    ],
)
def test_nothing_may_be_outstanding_on_either_side(
    main: World, way: str, kept: AccountName, minor: int, message: str
):
    book(main, (kept, minor), (BANK, -minor))
    with pytest.raises(Conflict, match=message):
        archive(main, way)
    book(main, (kept, -minor), (BANK, minor))
    assert archive(main, way)["phase"] == "Archived"


def test_what_is_owed_does_not_make_up_for_what_is_held(main: World):
    book(main, (RECEIVABLE, 500), (UNAPPLIED_CASH, -500))
    with pytest.raises(Conflict, match=r"it owes 5\.00 USD .*; 5\.00 USD that came in pays nothing yet"):
        archive(main, "action")


def test_the_late_window_must_be_over(main: World, way: str):
    main.project("web")
    main.bind("web-main", project="web")
    ended = main.clock.forward(hours=1)
    main.unbind("web-main")
    main.clock.instant = ended + timedelta(days=LATE_DAYS_MAX, microseconds=-1)
    with pytest.raises(Conflict, match=r"usage of it may still arrive until 2026-10-31T13:00:00\.000000Z"):
        archive(main, way)
    main.clock.forward(microseconds=1)
    with pytest.raises(Conflict, match=r"cannot be archived yet: its final invoice has not been issued"):
        archive(main, way)
    with main.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
        assert account is not None
        operations.mark_billed(tx, account=account.number, until=main.clock.now())
        operations.mark_final(tx, account=account.number, until=main.clock.now())
    assert archive(main, way)["phase"] == "Archived"


def test_a_hold_keeps_an_account_from_being_archived_until_it_is_released(main: World):
    with main.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
        assert account is not None
        hold(tx, uid=account.uid, slice="payments", reason="a refund is under way", at=main.clock.now())
    with pytest.raises(Conflict, match="payments holds it: a refund is under way"):
        archive(main, "action")
    with main.databases.app.transaction(reach=EVERYWHERE) as tx:
        release(tx, uid=account.uid, slice="payments")
    assert archive(main, "action")["phase"] == "Archived"


def test_an_archived_account_is_read_only(main: World):
    archive(main, "action")
    message = 'Forbidden: billing account "main" is archived and read-only'
    assert main.changes_refused(BillingAccount, "main", {"displayName": "x"}, namespace=ACME) == [
        f"spec: {message}"
    ]
    for change in (
        lambda: suspend(main, "action"),
        lambda: suspend(main, "status"),
        lambda: reactivate(main, "status"),
    ):
        with pytest.raises(Conflict, match="is archived and read-only"):
            change()
    with pytest.raises(Conflict, match="is not suspended"):
        reactivate(main, "action")


def test_archiving_again_changes_nothing(main: World, way: str):
    archive(main, way)
    version = archive(main, way)
    assert version == main.status(BillingAccount, "main", namespace=ACME)


def test_a_suspended_account_can_be_archived(main: World, way: str):
    suspend(main, way)
    status = archive(main, way)
    assert status["phase"] == "Archived" and "suspension" not in status
