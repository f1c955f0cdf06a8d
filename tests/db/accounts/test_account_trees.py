"""Parents and sub-accounts: where an account may stand, and what it shares with who is invoiced for it."""

import threading
from typing import Any

import psycopg
import pytest

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.resources.account_actions import ARCHIVE
from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.accounts.resources.payment_methods import PaymentMethod
from milo_billing.controlplane.doors import repeated
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.errors import Conflict, Invalid
from tests.accounts_world import ACME, World

BANK_TRANSFER = {"type": "BankTransfer"}


def below(name: str, *, consolidated: bool = False, **spec: Any) -> dict[str, Any]:
    """The spec of an account below the one of that name."""
    mode = {"billingMode": "Parent", "paymentProfile": None} if consolidated else {}
    return {"parentRef": {"namespace": ACME, "name": name}, **mode, **spec}


def move(world: World, name: str, parent: str | None) -> None:
    ref = None if parent is None else {"namespace": ACME, "name": parent}
    world.patch(BillingAccount, name, {"parentRef": ref}, namespace=ACME)


def move_refused(world: World, name: str, parent: str) -> list[str]:
    change = {"parentRef": {"namespace": ACME, "name": parent}}
    return world.changes_refused(BillingAccount, name, change, namespace=ACME)


def chain(world: World, length: int) -> None:
    """Accounts a0 … with a0 at the root."""
    world.account("a0")
    for level in range(1, length):
        world.account(f"a{level}", **below(f"a{level - 1}"))


def phase(world: World, name: str) -> tuple[str, str]:
    status = world.status(BillingAccount, name, namespace=ACME)
    (found,) = [c for c in status["conditions"] if c["type"] == "PaymentReady"]
    return status["phase"], found["reason"]


# ---------------------------------------------------------------------------------------------------- places


def test_a_parent_must_exist_and_be_of_the_same_organization(world: World):
    spec = {"currencyCode": "USD", **below("nothing")}
    assert world.refusals(BillingAccount, "b", spec, namespace=ACME) == [
        'spec.parentRef.name: Not found: "nothing"'
    ]
    spec["parentRef"] = {"namespace": "organization-rival", "name": "main"}
    assert world.refusals(BillingAccount, "b", spec, namespace=ACME) == [
        "spec.parentRef.namespace: Forbidden: an account of another organization can be the parent only under an "
        "agreement, and there is none"
    ]


def test_an_account_cannot_be_above_itself(world: World):
    chain(world, 3)
    assert move_refused(world, "a0", "a2") == [
        "spec.parentRef.name: Forbidden: an account cannot be above itself: a0 → a2 → a1 → a0"
    ]
    assert move_refused(world, "a0", "a0") == [
        "spec.parentRef.name: Forbidden: an account cannot be its own parent"
    ]


def test_a_tree_has_eight_levels_at_most(world: World):
    chain(world, 8)
    deep = {"currencyCode": "USD", **below("a7")}
    assert world.refusals(BillingAccount, "a8", deep, namespace=ACME) == [
        "spec.parentRef.name: Forbidden: a tree of accounts has at most 8 levels, and this one would have 9"
    ]
    world.account("root")
    assert move_refused(world, "a0", "root") == [
        "spec.parentRef.name: Forbidden: a tree of accounts has at most 8 levels, and this one would have 9"
    ]
    move(world, "a1", "root")


def test_what_is_above_others_stays(world: World):
    chain(world, 2)
    with pytest.raises(Conflict, match='has sub-account "a1"; delete or move all sub-accounts'):
        world.delete(BillingAccount, "a0", namespace=ACME)
    move(world, "a1", None)
    world.delete(BillingAccount, "a0", namespace=ACME)


def test_nothing_comes_below_what_is_archived_or_leaves(world: World):
    world.grants.granted[ARCHIVE] = EVERYWHERE
    world.account("archived")
    world.act(BillingAccount, "archived", "archive")
    spec = {"currencyCode": "USD", "paymentProfile": BANK_TRANSFER}
    world.create(BillingAccount, "leaving", spec, namespace=ACME, finalizers=["example.com/wait"])
    world.delete(BillingAccount, "leaving", namespace=ACME)
    for parent, why in (("archived", "is archived and read-only"), ("leaving", "is being deleted")):
        assert world.refusals(BillingAccount, "b", {**spec, **below(parent)}, namespace=ACME) == [
            f'spec.parentRef.name: Forbidden: billing account "{parent}" {why}'
        ]


def test_two_moves_at_once_close_no_cycle(world: World):
    for round_ in range(6):
        one, two = f"one-{round_}", f"two-{round_}"
        world.account(one)
        world.account(two)
        barrier = threading.Barrier(2)
        refused: list[Invalid] = []

        def attach(name: str, parent: str, barrier: threading.Barrier, refused: list[Invalid]) -> None:
            barrier.wait(10)
            try:
                repeated(lambda: move(world, name, parent))
            except Invalid as error:
                refused.append(error)

        threads = [
            threading.Thread(target=attach, args=(name, parent, barrier, refused))
            for name, parent in ((one, two), (two, one))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(refused) == 1 and "cannot be above itself" in str(refused[0])


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update accounts.accounts set parent = %(a1)s where number = %(a0)s", "would be above itself"),
        ("update accounts.accounts set parent = number where number = %(a0)s", "violates check constraint"),
        (
            "update accounts.accounts set billing_mode = 'Parent' where number = %(a0)s",
            "violates check constraint",
        ),
    ],
)
def test_the_database_refuses_a_cycle_by_itself(
    world: World, superuser_tx: psycopg.Connection[Any], statement: str, said: str
):
    chain(world, 2)
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        numbers = {a.name: a.number for a in account_reads.load_accounts(tx)}
    with pytest.raises(psycopg.errors.CheckViolation, match=said):
        superuser_tx.execute(statement.encode(), numbers)


def test_the_database_refuses_a_ninth_level_by_itself(world: World, superuser_tx: psycopg.Connection[Any]):
    chain(world, 8)
    world.account("root")
    with pytest.raises(psycopg.errors.CheckViolation, match="more than eight levels"):
        superuser_tx.execute(
            "update accounts.accounts set parent = (select number from accounts.accounts where name = 'root') "
            "where name = 'a0'"
        )


# --------------------------------------------------------------------------------------------- consolidation


def test_an_account_invoiced_with_its_parent_shares_what_invoices_need(world: World):
    world.account("root", currencyCode="EUR", timeZone="Europe/Berlin")
    spec = {
        "currencyCode": "USD",
        **below("root", consolidated=True),
        "paymentTerms": {"invoiceDayOfMonth": 5, "invoiceFrequency": "Annual"},
    }
    same = 'as for billing account "root", which is invoiced for this one'
    assert world.refusals(BillingAccount, "b", spec, namespace=ACME) == [
        f'spec.currencyCode: Invalid value: "USD": must be EUR {same}',
        f'spec.timeZone: Invalid value: "Etc/UTC": must be Europe/Berlin {same}',
        f'spec.paymentTerms.invoiceDayOfMonth: Invalid value: "5": must be 1 {same}',
        f'spec.paymentTerms.invoiceFrequency: Invalid value: "Annual": must be Monthly {same}',
    ]
    world.account("own", **below("root"))


def test_who_is_invoiced_is_the_next_above_that_is_invoiced_itself(world: World):
    world.account("root", currencyCode="EUR")
    world.account("branch", **below("root"))
    world.account("twig", **below("branch", consolidated=True))
    status = world.account("leaf", **below("twig", consolidated=True)).status
    (invoicing,) = [c for c in status["conditions"] if c["type"] == "InvoicingReady"]
    assert (status["phase"], invoicing["message"]) == (
        "Ready",
        'Billing account "branch" is invoiced for this one.',
    )


def test_what_is_shared_cannot_change_above(world: World):
    world.account("root")
    world.account("leaf", **below("root", consolidated=True))
    change = {"paymentTerms": {"invoiceDayOfMonth": 9}}
    assert world.changes_refused(BillingAccount, "root", change, namespace=ACME) == [
        'spec.paymentTerms.invoiceDayOfMonth: Forbidden: billing account "leaf" is invoiced together with this one and '
        "shares it, so it cannot be 9"
    ]
    world.patch(
        BillingAccount, "leaf", {"billingMode": "Self", "paymentProfile": BANK_TRANSFER}, namespace=ACME
    )
    world.patch(BillingAccount, "root", change, namespace=ACME)


def test_an_account_pays_with_the_profile_of_who_is_invoiced_for_it(world: World):
    world.method_class()
    world.account("root", paymentProfile={"type": "Card", "paymentMethodRef": {"name": "visa"}})
    world.account("twig", **below("root", consolidated=True))
    world.account("leaf", **below("twig", consolidated=True))
    world.account("own", **below("root"))
    names = ("root", "twig", "leaf", "own")
    assert [phase(world, n)[0] for n in names] == ["Provisioning"] * 3 + ["Ready"]
    world.method(account="root")
    assert [phase(world, n)[0] for n in names] == ["Ready"] * 4
    world.set_status(PaymentMethod, "visa", {"phase": "Failed", "failureReason": "expired"})
    assert [phase(world, n)[0] for n in names] == ["Provisioning"] * 3 + ["Ready"]
    world.patch(BillingAccount, "root", {"paymentProfile": None}, namespace=ACME)
    assert phase(world, "leaf") == ("Provisioning", "PaymentProfileMissing")
    world.patch(BillingAccount, "root", {"paymentProfile": BANK_TRANSFER}, namespace=ACME)
    assert phase(world, "leaf") == ("Ready", "PaidByParent")
    world.act(BillingAccount, "root", "suspend", {"reason": "PaymentFailure"})
    assert phase(world, "leaf") == ("Provisioning", "ParentNotReady")
    world.act(BillingAccount, "root", "reactivate")
    assert phase(world, "leaf") == ("Ready", "PaidByParent")


def test_accounts_below_follow_when_one_between_changes_its_mode(world: World):
    world.account("root")
    world.account("twig", **below("root"), paymentProfile=None)
    world.account("leaf", **below("twig", consolidated=True))
    assert phase(world, "leaf") == ("Provisioning", "PaymentProfileMissing")
    world.patch(BillingAccount, "twig", {"billingMode": "Parent"}, namespace=ACME)
    assert phase(world, "leaf") == ("Ready", "PaidByParent")
