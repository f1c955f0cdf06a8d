"""Granted credit after a discount for early payment: a full credit note gives all of it back, and never more."""

from typing import Any, Literal, TypeAlias
from uuid import UUID

import pytest

from milo_billing.invoicing.types.invoices import Invoice
from tests.db.invoicing.test_credit_grants import credit, grant, status
from tests.db.payments.ground import Till
from tests.db.payments.test_early_payment import taxed_account, transfer
from tests.db.payments.test_ended_discount import goes_back

Kind: TypeAlias = Literal["Promotional", "Prepaid"]
KINDS: tuple[Kind, ...] = ("Promotional", "Prepaid")


def discounted(till: Till, kind: Kind) -> tuple[UUID, Invoice]:
    """100.00 of which credit pays 20.00 before tax; 23 % of tax on 80.00; and 2 % off for 96.43 in time.

    Prepaid credit is of the kind that is taxed when it is bought: that acts before tax too.
    """
    account = taxed_account(till)
    tax_at: dict[str, Any] = {"taxAt": "Purchase"} if kind == "Prepaid" else {}
    uid = grant(till.ground, "gift", kind, "20.00", **tax_at)
    till.ground.spend(account, "2026-10-05", 100)
    invoice = till.ground.issued(account)
    assert invoice.total_minor == 9_840
    paid = transfer(till, invoice, 9_643)
    assert (paid.phase, paid.credited_minor) == ("Paid", 197)
    assert status(till.ground, uid) == ("UsedUp", "0.00", "20.00")
    return uid, invoice


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_credit_note_gives_all_of_the_credit_back(till: Till, kind: Kind) -> None:
    """The discount took nothing of the service back, and no credit came back with it."""
    uid, invoice = discounted(till, kind)
    credit(till.ground, invoice)
    assert status(till.ground, uid) == ("Active", "20.00", "0.00")


@pytest.mark.parametrize("first", ["40.00", "33.33"])
@pytest.mark.parametrize("kind", KINDS)
def test_so_do_several(till: Till, kind: Kind, first: str) -> None:
    uid, invoice = discounted(till, kind)
    credit(till.ground, invoice, "some", lines=[{"line": 1, "amount": first}])
    credit(till.ground, invoice, "rest")
    assert status(till.ground, uid) == ("Active", "20.00", "0.00")


@pytest.mark.parametrize("kind", KINDS)
def test_a_discount_that_ends_afterwards_gives_no_more_back(till: Till, kind: Kind) -> None:
    uid, invoice = discounted(till, kind)
    credit(till.ground, invoice, "rest")
    goes_back(till, invoice, 9_643)
    credit(till.ground, invoice, "last")
    assert status(till.ground, uid) == ("Active", "20.00", "0.00")


@pytest.mark.parametrize("kind", KINDS)
def test_a_discount_that_ended_before_changes_nothing(till: Till, kind: Kind) -> None:
    uid, invoice = discounted(till, kind)
    goes_back(till, invoice, 9_643)
    credit(till.ground, invoice, "some", lines=[{"line": 1, "amount": "40.00"}])
    assert status(till.ground, uid) == ("Active", "10.00", "10.00")
    credit(till.ground, invoice, "rest")
    assert status(till.ground, uid) == ("Active", "20.00", "0.00")
