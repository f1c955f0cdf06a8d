"""`status.credits` of an invoice: what granted credit did for it, of every kind, and what came back."""

from typing import Any

import pytest

from milo_billing.accounts.types import Account
from milo_billing.app.projections import compare_projections
from tests.db.invoicing.ground import Ground
from tests.db.invoicing.test_credit_grants import act, assert_books, credit, grant, issued


@pytest.fixture
def account(ground: Ground) -> Account:
    return ground.declare_account()


def credits(ground: Ground, name: str) -> str:
    query = "select status from controlplane.objects where resource = 'invoices' and name = %s"
    ((body,),) = ground.read(query, name)
    return body["credits"]


def assert_agrees(ground: Ground) -> None:
    assert_books(ground)
    assert ground.reading(lambda tx: compare_projections(tx, ground.engine.registry)) == ()


GRANTED: list[tuple[list[tuple[str, str, dict[str, Any]]], str]] = [
    ([], "0.00"),
    ([("Prepaid", "60.00", {})], "60.00"),
    ([("Promotional", "30.00", {})], "30.00"),
    ([("Goodwill", "10.00", {})], "10.00"),
    ([("Prepaid", "25.00", {"taxAt": "Purchase"})], "25.00"),
    # 100.00 less 30.00, 25.00 and 10.00 leaves 35.00 for money
    (
        [
            ("Promotional", "30.00", {}),
            ("Prepaid", "25.00", {"taxAt": "Purchase"}),
            ("Goodwill", "10.00", {}),
            ("Prepaid", "60.00", {}),
        ],
        "100.00",
    ),
]


@pytest.mark.parametrize(("granted", "said"), GRANTED)
def test_an_invoice_says_what_granted_credit_did_for_it(
    ground: Ground, account: Account, granted: list[tuple[Any, ...]], said: str
) -> None:
    for number, (kind, amount, spec) in enumerate(granted):
        grant(ground, f"grant-{number}", kind, amount, **spec)
    invoice = issued(ground, account)
    assert credits(ground, invoice.name) == said
    assert f"{invoice.credits_minor / 100:.2f}" == said
    assert_agrees(ground)


def test_what_comes_back_is_less_and_nothing_of_a_void_one(ground: Ground, account: Account) -> None:
    grant(ground, "top-up", "Prepaid", "60.00")
    grant(ground, "welcome", "Promotional", "20.00")
    invoice = issued(ground, account)
    assert credits(ground, invoice.name) == "80.00"
    credit(ground, invoice, amount="40.00")  # half of the 80.00 that were charged
    assert (
        credits(ground, invoice.name) == "50.00"
    )  # 10.00 of the promotion, and 20.00 of money that was over
    assert_agrees(ground)


def test_a_void_invoice_used_no_credit(ground: Ground, account: Account) -> None:
    grant(ground, "top-up", "Prepaid", "60.00")
    grant(ground, "sorry", "Goodwill", "5.00")
    invoice = issued(ground, account)
    act(ground, "invoices", invoice.name, "void")
    assert credits(ground, invoice.name) == "0.00"
    assert_agrees(ground)
