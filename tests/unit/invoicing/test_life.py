"""What may become of an issued invoice, as tables: what happens to one of 10.00, the phases it is in, what is noted."""

from dataclasses import replace
from datetime import timedelta
from typing import cast, get_args

import pytest

from milo_billing.invoicing.rules import life
from milo_billing.invoicing.types.errors import UnableToSettle
from milo_billing.invoicing.types.invoices import Invoice, InvoicePhase, MoneyKind
from tests.unit.invoicing.issued import DUE, ISSUED, issued

LATE = DUE + timedelta(days=1)


def after(*became: tuple[str, int], invoice: Invoice | None = None) -> tuple[Invoice, list[tuple[str, int]]]:
    """An invoice of 10.00 to which this happened, all of it on the day it was issued, and what was noted of it."""
    one, noted = invoice or issued(1000), list[tuple[str, int]]()
    for kind, amount in became:
        if kind == "WriteOff":
            steps = life.write_off(one, today=ISSUED)
        elif kind == "Void":
            steps = (life.void(one),)
        else:
            assert kind in get_args(MoneyKind)
            steps = life.settle(one, kind=cast("MoneyKind", kind), amount_minor=amount, today=ISSUED)
        noted += [(step.kind, step.amount_minor) for step in steps]
        one = steps[-1].after
    return one, noted


@pytest.mark.parametrize(
    ("became", "phase", "paid", "credited", "written_off"),
    [
        ((), "Issued", 0, 0, 0),
        ((("Payment", 1),), "PartiallyPaid", 1, 0, 0),
        ((("Payment", 1000),), "Paid", 1000, 0, 0),
        ((("Credit", 400), ("Payment", 600)), "Paid", 1000, 0, 0),
        ((("CreditNote", 999),), "PartiallyPaid", 0, 999, 0),
        ((("CreditNote", 1000),), "Paid", 0, 1000, 0),
        ((("EarlyPaymentDiscount", 20), ("Payment", 980)), "Paid", 980, 20, 0),
        ((("Payment", 1000), ("PaymentReversal", 1)), "PartiallyPaid", 999, 0, 0),
        ((("Payment", 1000), ("PaymentReversal", 1000)), "Issued", 0, 0, 0),
        ((("WriteOff", 1000),), "Uncollectible", 0, 0, 1000),
        ((("Payment", 999), ("WriteOff", 1)), "Uncollectible", 999, 0, 1),
        ((("Void", 1000),), "Void", 0, 1000, 0),
        ((("CreditNote", 300), ("Void", 700)), "Void", 0, 1000, 0),
    ],
)
def test_the_phase_follows_from_what_settled_the_invoice(
    became: tuple[tuple[str, int], ...], phase: str, paid: int, credited: int, written_off: int
) -> None:
    one, noted = after(*became)
    assert [(kind, abs(amount)) for kind, amount in noted] == list(became)
    assert one.phase == phase
    assert (one.amount_paid_minor, one.credited_minor, one.written_off_minor) == (paid, credited, written_off)


@pytest.mark.parametrize(
    ("sent", "noted", "phase"),
    [
        (400, [("Recovery", -400), ("Payment", 400)], "Uncollectible"),
        (1000, [("Recovery", -1000), ("Payment", 1000)], "Paid"),
    ],
)
def test_money_that_comes_after_all_takes_back_what_was_written_off_first(
    sent: int, noted: list[tuple[str, int]], phase: str
) -> None:
    given_up, _ = after(("WriteOff", 1000))
    one, found = after(("Payment", sent), invoice=given_up)
    assert (found, one.phase, one.written_off_minor) == (noted, phase, 1000 - sent)


def test_what_is_still_due_is_paid_before_anything_is_recovered() -> None:
    # 3.00 came back after 7.00 had been written off: 3.00 are due again, and 7.00 may still come
    due_again, _ = after(("Payment", 300), ("WriteOff", 700), ("PaymentReversal", 300))
    assert due_again.amount_due_minor == 300
    _, exactly = after(("Payment", 300), invoice=due_again)
    assert exactly == [("Payment", 300)]
    _, more = after(("Payment", 301), invoice=due_again)
    assert more == [("Recovery", -1), ("Payment", 301)]


def test_a_discount_that_ends_is_owed_again() -> None:
    discounted, _ = after(("EarlyPaymentDiscount", 20), ("Payment", 980), ("PaymentReversal", 980))
    step = life.end_discount(discounted, amount_minor=20, today=DUE)
    assert (step.kind, step.amount_minor) == ("DiscountReversal", -20)
    assert (step.after.phase, step.after.credited_minor, step.after.amount_due_minor) == ("Issued", 0, 1000)
    assert life.end_discount(discounted, amount_minor=20, today=LATE).after.phase == "PastDue"


@pytest.mark.parametrize(
    ("became", "in_time", "late"),
    [
        ((), "Issued", "PastDue"),
        ((("Payment", 1),), "PartiallyPaid", "PastDue"),
        ((("Payment", 1000),), "Paid", "Paid"),
        ((("WriteOff", 1000),), "Uncollectible", "Uncollectible"),
        ((("Void", 1000),), "Void", "Void"),
    ],
)
def test_the_last_day_to_pay_is_in_time(
    became: tuple[tuple[str, int], ...], in_time: InvoicePhase, late: InvoicePhase
) -> None:
    one, _ = after(*became)
    assert life.restated(one, today=DUE).phase == in_time
    assert life.restated(one, today=LATE).phase == late


def test_a_step_on_a_late_day_leaves_the_phase_of_that_day() -> None:
    (step,) = life.settle(issued(1000), kind="Payment", amount_minor=1, today=LATE)
    assert step.after.phase == "PastDue"
    back, _ = after(("Payment", 1000))
    (step,) = life.settle(back, kind="PaymentReversal", amount_minor=1000, today=LATE)
    assert (step.after.phase, step.amount_minor) == ("PastDue", -1000)
    (step,) = life.write_off(replace(issued(1), phase="PastDue"), today=LATE)
    assert (step.kind, step.amount_minor, step.after.phase) == ("WriteOff", 1, "Uncollectible")


def test_an_invoice_over_nothing_is_paid() -> None:
    assert life.phase_of(issued(0), today=LATE) == "Paid"


@pytest.mark.parametrize(
    ("became", "attempt", "why"),
    [
        ((), ("Payment", 0), r"KC-1: 0\.00 USD settles nothing; say more than zero"),
        ((), ("Payment", -1), r"KC-1: -0\.01 USD settles nothing"),
        ((), ("PaymentReversal", 1), r"KC-1 was paid 0\.00 USD: 0\.01 USD cannot go back"),
        ((("Payment", 500),), ("PaymentReversal", 501), r"KC-1 was paid 5\.00 USD: 5\.01 USD cannot go back"),
        ((("Payment", 500),), ("Payment", 501), r"KC-1 can take 5\.00 USD, not 5\.01 USD: keep the rest as"),
        ((("CreditNote", 1000),), ("Credit", 1), r"KC-1 can take 0\.00 USD, not 0\.01 USD"),
        ((("Void", 1000),), ("Payment", 1), "KC-1 is void: nothing is owed for it"),
        ((("Void", 1000),), ("WriteOff", 0), "KC-1 is Void: nothing is due that could be given up"),
        ((("Payment", 1000),), ("WriteOff", 0), "KC-1 is Paid: nothing is due that could be given up"),
        ((("WriteOff", 1000),), ("WriteOff", 0), "KC-1 is Uncollectible: nothing is due"),
        ((("Void", 1000),), ("Void", 0), "KC-1 is void already"),
        (
            (("Payment", 1),),
            ("Void", 0),
            r"KC-1 was paid 0\.01 USD: only an unpaid one can be void; refund the payment first, or issue a credit",
        ),
        ((("WriteOff", 1000),), ("Void", 0), "KC-1 was written off: issue a credit note over it"),
    ],
)
def test_what_cannot_be_is_refused_and_told(
    became: tuple[tuple[str, int], ...], attempt: tuple[str, int], why: str
) -> None:
    one, _ = after(*became)
    with pytest.raises(UnableToSettle, match=f"^invoice .*{why}"):
        after(attempt, invoice=one)


def test_a_void_invoice_with_something_due_is_left_alone_all_the_same() -> None:
    odd = replace(issued(1000), phase="Void")
    with pytest.raises(UnableToSettle):
        life.write_off(odd, today=ISSUED)
    with pytest.raises(UnableToSettle):
        life.void(odd)
