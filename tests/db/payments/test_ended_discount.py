"""A discount for early payment ends when its payment goes back: the invoice is owed in full, and may earn it anew."""

from datetime import UTC, datetime

import psycopg
import pytest

from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.operations import settlements
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.ledger.types import EARLY_PAYMENT_DISCOUNT, MONEY_ON_ACCOUNT, RECEIVABLE, tax_payable
from milo_billing.payments.operations import collecting
from tests.db.invoicing.ground import ACME
from tests.db.invoicing.paying import as_it_stands, pay
from tests.db.payments.ground import Till
from tests.db.payments.test_early_payment import NINTH, taxed, transfer
from tests.hostile_provider import GOOD

LATE = datetime(2026, 11, 20, 12, tzinfo=UTC)


def goes_back(
    till: Till, invoice: Invoice, minor: int, reference: str = "b1", *, at: datetime = NINTH
) -> Invoice:
    pay(till.ground, invoice, minor, reference, kind="PaymentReversal", now=at)
    return as_it_stands(till.ground, invoice)


def books(till: Till) -> tuple[int, int, int, int]:
    """The receivable, the discount, tax of Ireland, and what is kept as the customer's money."""
    accounts = (RECEIVABLE, EARLY_PAYMENT_DISCOUNT, tax_payable("IE"), MONEY_ON_ACCOUNT)
    receivable, discount, tax, on_account = (till.balance(one) for one in accounts)
    return receivable, discount, tax, on_account


def became(till: Till, invoice: Invoice) -> list[tuple[str, int, str]]:
    store = till.ground.engine.store
    found = till.ground.reading(
        lambda tx: settlements.list_settlements(tx, store, invoice=invoice.uid, limit=99)
    )
    return [(one.kind, one.amount_minor, by.document) for one, by in found]


def test_a_payment_that_goes_back_takes_its_discount_with_it(till: Till) -> None:
    invoice = taxed(till)
    transfer(till, invoice, 12_054)
    owed = goes_back(till, invoice, 12_054)
    assert (owed.phase, owed.amount_due_minor, owed.credited_minor) == ("Issued", 12_300, 0)
    assert books(till) == (12_300, 0, -2_300, 0)
    assert became(till, invoice)[1:] == [
        ("EarlyPaymentDiscount", 246, "CN-2026-000001"),
        ("PaymentReversal", -12_054, ""),
        ("DiscountReversal", -246, "CN-2026-000001"),
    ]
    note = till.status("creditnotes", "cn-2026-000001")
    assert (note["total"], note["cancelledAt"]) == ("2.46", "2026-11-09T12:00:00Z")
    assert [one["type"] for one in note["conditions"]] == ["Issued", "Cancelled"]
    assert till.status("invoices", invoice.name)["amountDue"] == "123.00"
    assert till.ground.reading(lambda tx: note_reads.list_credited(tx, invoice=invoice.uid)) == {}
    assert till.differences() == []


def test_paid_again_in_time_it_is_earned_again_however_often_it_goes_back(till: Till) -> None:
    invoice = taxed(till)
    for turn in ("1", "2", "3"):
        paid = transfer(till, invoice, 12_054, f"t{turn}")
        assert (paid.phase, paid.credited_minor) == ("Paid", 246)
        assert books(till) == (0, 200, -2_254, 0)
        assert till.differences() == []
        if turn != "3":
            assert goes_back(till, invoice, 12_054, f"b{turn}").amount_due_minor == 12_300
    notes = till.ground.read("select number, total_minor from invoicing.credit_notes order by number")
    assert notes == [(f"CN-2026-00000{turn}", 246) for turn in (1, 2, 3)]


def test_paid_again_late_all_of_it_is_owed(till: Till) -> None:
    invoice = taxed(till)
    transfer(till, invoice, 12_054)
    goes_back(till, invoice, 12_054)
    assert transfer(till, invoice, 12_054, "late", at=LATE).amount_due_minor == 246
    assert transfer(till, invoice, 246, "rest", at=LATE).phase == "Paid"
    assert books(till) == (0, 0, -2_300, 0)
    assert till.differences() == []


def test_a_part_that_goes_back_ends_all_of_the_discount(till: Till) -> None:
    invoice = taxed(till)
    transfer(till, invoice, 5_000, "t1")
    transfer(till, invoice, 7_054, "t2")
    assert goes_back(till, invoice, 5_000).amount_due_minor == 5_246
    assert goes_back(till, invoice, 7_054, "b2").amount_due_minor == 12_300
    assert books(till) == (12_300, 0, -2_300, 0)
    assert till.differences() == []


def test_what_the_note_put_on_account_is_taken_from_there(till: Till) -> None:
    invoice = taxed(till)
    transfer(till, invoice, 12_100)
    assert books(till) == (0, 200, -2_254, -46)
    assert goes_back(till, invoice, 12_100).amount_due_minor == 12_300
    assert books(till) == (12_300, 0, -2_300, 0)
    assert till.differences() == []


def test_what_is_credited_afterwards_can_be_all_of_the_invoice(till: Till) -> None:
    """What the cancelled note had taken back is there to be credited, to the cent of its tax."""
    invoice = taxed(till)
    transfer(till, invoice, 12_054)
    goes_back(till, invoice, 12_054)
    declared = {"invoiceRef": {"name": invoice.name}, "reason": "never used"}
    till.ground.declare("creditnotes", "all", declared, namespace=ACME, now=NINTH)
    assert till.status("creditnotes", "all")["total"] == "123.00"
    assert (as_it_stands(till.ground, invoice).phase, books(till)) == ("Paid", (0, 0, 0, 0))
    assert till.differences() == []


def test_a_note_over_the_rest_stands_when_the_discount_ends(till: Till) -> None:
    """Of the paid invoice all the rest was credited, and its money put on account: 2.46 are left to be credited."""
    invoice = taxed(till)
    transfer(till, invoice, 12_054)
    declared = {"invoiceRef": {"name": invoice.name}, "reason": "never used"}
    till.ground.declare("creditnotes", "rest", declared, namespace=ACME, now=NINTH)
    assert goes_back(till, invoice, 12_054).amount_due_minor == 12_300
    assert books(till) == (12_300, 0, -46, -12_054)
    till.ground.declare("creditnotes", "last", declared, namespace=ACME, now=NINTH)
    assert till.status("creditnotes", "last")["total"] == "2.46"
    assert books(till) == (12_054, 0, 0, -12_054)
    assert till.differences() == []


def test_a_disputed_card_payment_ends_it_and_a_case_won_late_pays_without_it(till: Till) -> None:
    invoice = taxed(till, token=GOOD)
    till.clock.instant = datetime(2026, 11, 11, 12, tzinfo=UTC)
    till.collect()
    till.ask_all()
    assert till.invoice(invoice).credited_minor == 246
    till.provider.dispute("pay_1", "Open")
    till.deliver(till.provider.delivered())
    assert (till.invoice(invoice).amount_due_minor, till.balance(RECEIVABLE)) == (12_300, 12_300)
    assert till.differences() == []
    till.days_later(9)
    till.provider.dispute("pay_1", "Won")
    till.deliver(till.provider.delivered())
    assert (till.invoice(invoice).amount_due_minor, till.balance(EARLY_PAYMENT_DISCOUNT)) == (246, 0)
    assert till.differences() == []


def test_a_case_that_is_won_in_time_earns_it_again(till: Till) -> None:
    invoice = taxed(till, token=GOOD)
    till.clock.instant = datetime(2026, 11, 11, 12, tzinfo=UTC)
    till.collect()
    till.ask_all()
    for state in ("Open", "Won"):
        till.provider.dispute("pay_1", state)
        till.deliver(till.provider.delivered())
    assert (till.invoice(invoice).phase, till.balance(EARLY_PAYMENT_DISCOUNT)) == ("Paid", 200)
    assert till.differences() == []


def test_money_on_account_asks_for_the_discounted_amount_again(till: Till) -> None:
    invoice = taxed(till)
    transfer(till, invoice, 12_054)
    goes_back(till, invoice, 12_054)
    till.clock.instant = NINTH
    prepaid = {
        "billingAccountRef": {"name": "main"},
        "kind": "Prepaid",
        "amount": "130.00",
        "currencyCode": "USD",
        "reason": "paid ahead",
        "receivedInto": "bank",
    }
    till.ground.declare("creditgrants", "ahead", prepaid, namespace=ACME, now=NINTH)
    grants = till.ground.engine.registry.get("billing.miloapis.com", "creditgrants")
    till.work(
        lambda work: till.ground.engine.act(
            work, grants, namespace=ACME, name="ahead", action="revoke", request={"reason": "a mistake"}
        )
    )
    assert till.work(lambda work: collecting.use_balance(work, till.desk, invoice=invoice.uid))
    assert (till.invoice(invoice).phase, till.balance(MONEY_ON_ACCOUNT)) == ("Paid", -946)


@pytest.mark.parametrize(
    ("kind", "reference", "minor", "refused"),
    [
        ("EarlyPaymentDiscount", "'another'", 1, "has its discount for early payment already"),
        ("DiscountReversal", "reference", -245, "no discount for early payment"),
        ("DiscountReversal", "'another'", -246, "no discount for early payment"),
        ("DiscountReversal", "reference", 246, "no discount for early payment"),
    ],
)
def test_the_database_keeps_one_discount_and_ends_it_by_what_it_was(
    till: Till, kind: str, reference: str, minor: int, refused: str
) -> None:
    invoice = taxed(till)
    transfer(till, invoice, 12_054)
    statement = (
        "insert into invoicing.settlements select invoice, step + 100, owner_org, %s, "
        f"{reference}, %s, 'PastDue', posted, null, at, noted_at from invoicing.settlements "
        "where kind = 'EarlyPaymentDiscount' order by step desc limit 1"
    )
    with (
        pytest.raises(psycopg.errors.CheckViolation, match=refused),
        till.ground.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute(statement.encode(), (kind, minor))
