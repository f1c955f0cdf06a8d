"""What becomes of an issued invoice: settlements, phases, and who holds their sums."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from milo_billing.app.projections import compare_projections
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import SimulatedClock
from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.jobs import daily
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.types.errors import UnableToSettle
from milo_billing.invoicing.types.invoices import Invoice, Settled
from milo_billing.kernel.money import Money
from milo_billing.ledger import reads as ledger
from milo_billing.ledger.types import RECEIVABLE
from tests.db.invoicing.ground import Ground
from tests.db.invoicing.paying import as_it_stands, pay

LAST_DAY = datetime(2026, 12, 2, 23, 30, tzinfo=UTC)
NEXT_DAY = datetime(2026, 12, 3, 0, 30, tzinfo=UTC)


@pytest.fixture
def invoice(ground: Ground) -> Invoice:
    """25.00 for October, due on 2 December in Dublin."""
    account = ground.declare_account()
    ground.use(account, ("2026-10-01", "web", "tokens", 10_000_000))
    return ground.issued(account)


def status_of(ground: Ground, invoice: Invoice) -> dict[str, Any]:
    ((status,),) = ground.read("select status from controlplane.objects where uid = %s", invoice.uid)
    return status


def amounts(ground: Ground, invoice: Invoice) -> tuple[str, ...]:
    status = status_of(ground, invoice)
    return tuple(status[name] for name in ("phase", "amountPaid", "amountDue"))


def test_an_invoice_is_paid_in_parts_and_its_object_says_so(ground: Ground, invoice: Invoice) -> None:
    assert amounts(ground, invoice) == ("Issued", "0.00", "25.00")
    assert pay(ground, invoice, 1_000, "p1").invoice.phase == "PartiallyPaid"
    assert amounts(ground, invoice) == ("PartiallyPaid", "10.00", "15.00")
    assert pay(ground, invoice, 1_500, "p2").invoice == as_it_stands(ground, invoice)
    assert amounts(ground, invoice) == ("Paid", "25.00", "0.00")
    assert ground.reading(lambda tx: ledger.balance(tx, account=RECEIVABLE, currency="USD")) == Money(
        0, "USD"
    )
    assert ground.reading(lambda tx: compare_projections(tx, ground.engine.registry)) == ()
    assert ground.read(
        "select verb from access.audit_records where target_uid = %s order by sequence", invoice.uid
    ) == [("issue",), ("settle",), ("settle",)]


def test_the_same_payment_settles_an_invoice_once(ground: Ground, invoice: Invoice) -> None:
    assert not pay(ground, invoice, 1_000, "p1").repeated
    assert pay(ground, invoice, 1_000, "p1").repeated
    assert amounts(ground, invoice) == ("PartiallyPaid", "10.00", "15.00")
    with pytest.raises(UnableToSettle, match="settles invoice KC-2026-000001 already, with 10"):
        ground.write(lambda work: _resettle(work, ground, invoice))


def _resettle(work: Work, ground: Ground, invoice: Invoice) -> Settled:
    return life.settle_invoice(
        work,
        engine=ground.engine,
        invoice=invoice.uid,
        kind="Payment",
        reference="p1",
        amount_minor=900,
        posted="test/Payment/p1",
        at=work.now,
    )


def test_more_than_is_due_is_refused_with_what_could_be_taken(ground: Ground, invoice: Invoice) -> None:
    pay(ground, invoice, 1_000, "p1")
    with pytest.raises(
        UnableToSettle, match=r"can take 15.00 USD, not 15.01 USD: keep the rest as money on account"
    ):
        pay(ground, invoice, 1_501, "p2")
    assert amounts(ground, invoice) == ("PartiallyPaid", "10.00", "15.00")


def test_two_who_pay_the_same_invoice_at_once_do_not_pay_it_twice(ground: Ground, invoice: Invoice) -> None:
    start = threading.Barrier(4)

    def attempt(number: int) -> bool:
        start.wait()
        try:
            pay(ground, invoice, 2_500, f"p{number}")
        except UnableToSettle:
            return False
        return True

    with ThreadPoolExecutor(4) as crowd:
        assert sorted(crowd.map(attempt, range(4))) == [False, False, False, True]
    assert amounts(ground, invoice) == ("Paid", "25.00", "0.00")


def test_a_payment_that_goes_back_is_owed_again(ground: Ground, invoice: Invoice) -> None:
    pay(ground, invoice, 2_500, "p1")
    pay(ground, invoice, 2_500, "r1", kind="PaymentReversal")
    assert amounts(ground, invoice) == ("Issued", "0.00", "25.00")
    with pytest.raises(UnableToSettle, match="cannot go back"):
        pay(ground, invoice, 1, "r2", kind="PaymentReversal")


def test_an_invoice_is_past_due_the_day_after_where_it_was_issued(ground: Ground, invoice: Invoice) -> None:
    for now, phase in ((LAST_DAY, "Issued"), (NEXT_DAY, "PastDue")):
        daily.mark_past_due(ground.office, ground.databases.app, SimulatedClock(now))
        assert as_it_stands(ground, invoice).phase == phase
    status = status_of(ground, invoice)
    (condition,) = [c for c in status["conditions"] if c["type"] == "PastDue"]
    assert condition["message"] == "25.00 USD was to be paid by 2026-12-02."
    assert pay(ground, invoice, 100, "p1", now=NEXT_DAY).invoice.phase == "PastDue"
    assert pay(ground, invoice, 2_400, "p2", now=NEXT_DAY).invoice.phase == "Paid"
    assert pay(ground, invoice, 1, "r1", kind="PaymentReversal", now=NEXT_DAY).invoice.phase == "PastDue"


INSERT = (
    "insert into invoicing.settlements select uid, {step}, owner_org, '{kind}', '{reference}', {amount}, '{phase}', "
    "(select key from ledger.transactions limit 1), {reason}, issued_at, issued_at from invoicing.invoices "
    "returning step"
)


@pytest.mark.parametrize(
    ("kind", "amount", "phase"),
    [
        ("Payment", 2_501, "Paid"),
        ("Payment", -1, "Issued"),
        ("PaymentReversal", -1, "Issued"),
        ("Payment", 100, "Paid"),
        ("Payment", 2_500, "PartiallyPaid"),
        ("Payment", 2_500, "Void"),
        ("WriteOff", 100, "Uncollectible"),
        ("CreditNote", 2_500, "Uncollectible"),
    ],
)
def test_the_database_holds_the_sums_and_the_phase(
    ground: Ground, invoice: Invoice, kind: str, amount: int, phase: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        reason = "'insolvent'" if kind == "WriteOff" else "null"
        ground.read(
            INSERT.format(step=1, kind=kind, reference="x", amount=amount, phase=phase, reason=reason)
        )


def test_a_settlement_without_its_entries_in_the_books_is_refused_at_commit(
    ground: Ground, invoice: Invoice
) -> None:
    unposted = INSERT.format(
        step=1, kind="Payment", reference="x", amount=2_500, phase="Paid", reason="null"
    ).replace("(select key from ledger.transactions limit 1)", "'nowhere'")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        ground.read(unposted)


def test_what_settled_an_invoice_never_changes(
    ground: Ground, invoice: Invoice, as_owner: Callable[[str], None]
) -> None:
    pay(ground, invoice, 1_000, "p1")
    for change in (
        "update invoicing.settlements set amount_minor = 1",
        "delete from invoicing.settlements",
        "truncate invoicing.settlements cascade",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation):
            as_owner(change)


def test_settlements_are_read_in_their_order_and_by_their_owner_only(
    ground: Ground, invoice: Invoice
) -> None:
    pay(ground, invoice, 1_000, "p1")
    pay(ground, invoice, 200, "c1", kind="Credit")
    found = ground.reading(lambda tx: invoice_reads.list_settlements(tx, invoice=invoice.uid, limit=10))
    assert [(one.step, one.kind, one.reference, one.amount_minor, one.phase) for one in found] == [
        (1, "Payment", "p1", 1_000, "PartiallyPaid"),
        (2, "Credit", "c1", 200, "PartiallyPaid"),
    ]
    with ground.databases.app.transaction(reach=frozenset({invoice.owner_org + 1})) as tx:
        assert invoice_reads.list_settlements(tx, invoice=invoice.uid, limit=10) == ()
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        assert len(invoice_reads.list_settlements(tx, invoice=invoice.uid, limit=1)) == 1
