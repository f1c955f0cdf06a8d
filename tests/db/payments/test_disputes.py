"""A payment that is disputed: its invoice is owed again, and paid again where the case is won."""

import pytest

from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.errors import Unavailable
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, PREPAID_CREDIT, RECEIVABLE, UNAPPLIED_CASH, clearing
from milo_billing.payments import reads
from milo_billing.payments.operations import disputing, refunding
from milo_billing.payments.types import Dispute, DisputeState, Succeeded, UnableToRefund
from tests.db.invoicing.ground import ACME
from tests.db.invoicing.paying import pay
from tests.db.payments.ground import DUE, Till
from tests.hostile_provider import SLOW, money

CLEARING = clearing("stripe")


def paid(till: Till, dollars: int = 25) -> Invoice:
    invoice = till.owing(dollars)
    till.collect()
    till.ask_all()
    assert till.invoice(invoice).phase == "Paid"
    return invoice


def happens(till: Till, *states: DisputeState, minor: int | None = None) -> None:
    """The first payment's dispute comes to these states, and every webhook arrives, some of them twice."""
    for state in states:
        till.provider.dispute("pay_1", state, minor=minor)
    till.deliver(till.provider.delivered())


def test_a_dispute_takes_the_money_and_the_invoice_is_owed_again(till: Till) -> None:
    invoice = paid(till)
    happens(till, "Open")
    assert (till.invoice(invoice).phase, till.invoice(invoice).amount_due_minor) == ("Issued", 2500)
    assert (till.balance(CLEARING), till.balance(RECEIVABLE)) == (0, 2500)
    (payment,) = till.payments()
    assert (payment.phase, payment.disputed_minor) == ("Succeeded", 2500)
    assert till.status("payments", payment.name)["amountDisputed"] == "25.00"
    assert till.ground.reading(reads.compare_projections) == ()
    # while the case runs, nobody asks the card again
    assert [(one.state, one.reason) for one in till.collect()] == [
        ("standing", "dispute dispute_pay_1 is open: its outcome decides")
    ]


def test_a_dispute_that_is_won_pays_the_invoice_again(till: Till) -> None:
    invoice = paid(till)
    happens(till, "Open")
    happens(till, "Won")
    assert till.invoice(invoice).phase == "Paid"
    assert (till.balance(CLEARING), till.balance(RECEIVABLE)) == (2500, 0)


def test_a_dispute_that_is_lost_is_not_charged_to_the_same_card_again(till: Till) -> None:
    invoice = paid(till)
    happens(till, "Open", "Lost")
    assert [one.state for one in till.collect()] == ["stopped"]
    assert till.provider.charged_minor() == 2500
    till.card("other")
    till.pays_with("other")
    assert [one.state for one in till.collect()] == ["opened"]
    till.ask_all()
    assert till.invoice(invoice).phase == "Paid"


@pytest.mark.parametrize("states", [("Inquiry",), ("Inquiry", "Won")])
def test_an_inquiry_takes_nothing(till: Till, states: tuple[DisputeState, ...]) -> None:
    invoice = paid(till)
    happens(till, *states)
    assert till.invoice(invoice).phase == "Paid"
    assert till.balance(CLEARING) == 2500


def test_a_part_may_be_disputed_and_only_the_rest_refunded(till: Till) -> None:
    invoice = paid(till)
    happens(till, "Open", minor=1000)
    assert till.invoice(invoice).amount_due_minor == 1000
    (payment,) = till.payments()
    with pytest.raises(UnableToRefund, match=r"has USD 15.00 left|has 15.00 USD left"):
        till.work(
            lambda work: refunding.open_refund(
                work, till.desk, namespace=ACME, name=payment.name, minor=2000, reason="", reopen=True
            )
        )


def test_webhooks_in_any_order_and_many_times_say_what_stands(till: Till) -> None:
    invoice = paid(till)
    told: list[list[DisputeState]] = [["Open", "Won"], ["Open"], ["Lost"], ["Won"]]
    for states in told:
        happens(till, *states)
    assert till.invoice(invoice).phase == "Paid"
    assert (till.balance(CLEARING), till.balance(RECEIVABLE), till.balance(UNAPPLIED_CASH)) == (2500, 0, 0)


def test_a_dispute_of_somebody_elses_payment_changes_nothing(till: Till) -> None:
    invoice = paid(till)
    till.provider.charges[0].reference = "pay_other"
    till.provider.dispute("pay_other", "Open")
    till.deliver(till.provider.delivered())
    assert till.invoice(invoice).phase == "Paid"
    assert till.ground.read("select count(*) from payments.disputes") == [(0,)]


def test_a_dispute_told_before_the_answer_waits_for_it(till: Till) -> None:
    till.owing(25)
    till.collect()
    with till.ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute("update payments.attempts set reference = 'pay_1', state = 'Processing'")
    told = Dispute("d1", "pay_1", money(2500), "Open", "fraudulent")
    with pytest.raises(Unavailable, match="has not come in yet"):
        till.work(
            lambda work: disputing.apply_dispute(
                work, till.desk, class_uid=till.class_uid, dispute=told, told_at=work.now
            )
        )


def test_a_dispute_of_a_payment_whose_answer_was_lost_waits_until_somebody_knows_whose_it_is(
    till: Till,
) -> None:
    """The provider charged and the connection broke: its own name for the payment is not known here yet."""
    invoice = till.owing(25)
    till.collect()
    till.provider.lost_after = 1.0
    with pytest.raises(Unavailable):
        till.ask_all()
    till.provider.lost_after = 0.0
    till.provider.dispute("pay_1", "Open")
    (told,) = [body for body in till.provider.webhooks if b"dispute" in body]
    with pytest.raises(Unavailable, match="may be of attempts"):
        till.deliver([told])
    till.ask_all()
    assert till.invoice(invoice).phase == "Paid"
    till.deliver([])
    assert till.invoice(invoice).phase == "Issued"
    assert (till.balance(CLEARING), till.balance(RECEIVABLE)) == (0, 2500)


def test_what_a_disputed_over_payment_has_paid_since_is_owed_again(till: Till) -> None:
    first = till.owing(25, token=SLOW)
    till.collect()
    till.ask_all()
    till.provider.decide("pay_1", Succeeded("pay_1", money(4000)))
    till.ask_all()
    till.ground.spend(till.ground.account(), "2026-11-05", 20)
    second = till.ground.issued(till.ground.account(), month=11, now=DUE)
    till.days_later(40)
    till.collect()
    assert till.invoice(second).amount_due_minor == 500
    till.provider.dispute("pay_1", "Open", minor=4000)
    till.deliver(till.provider.delivered())
    assert (till.balance(MONEY_ON_ACCOUNT), till.balance(UNAPPLIED_CASH)) == (0, 0)
    assert till.differences() == []
    assert [till.invoice(one).amount_due_minor for one in (first, second)] == [2500, 2000]
    assert (till.balance(CLEARING), till.balance(RECEIVABLE)) == (0, 4500)


def test_what_a_disputed_payment_paid_twice_over_an_invoice_is_taken_back_once(till: Till) -> None:
    """It paid the invoice and, by way of money on account, what was opened of it again."""
    invoice = till.owing(25, token=SLOW)
    till.collect()
    till.ask_all()
    till.provider.decide("pay_1", Succeeded("pay_1", money(4000)))
    till.ask_all()
    pay(till.ground, invoice, 1500, "elsewhere", kind="PaymentReversal", now=DUE)
    till.collect()
    assert till.invoice(invoice).amount_due_minor == 0
    till.provider.dispute("pay_1", "Open", minor=4000)
    till.deliver(till.provider.delivered())
    assert till.invoice(invoice).amount_due_minor == 2500
    assert till.balance(UNAPPLIED_CASH) == 1500, "what went back elsewhere did not come after all"


# of 15.00 that were over and became credit, what the next invoice used, and what it owes then
@pytest.mark.parametrize(("dollars", "owed"), [(0, 0), (10, 1000), (20, 2000)])
def test_a_disputed_over_payment_takes_the_credit_that_it_became(till: Till, dollars: int, owed: int) -> None:
    first = till.owing(25, token=SLOW)
    till.collect()
    till.ask_all()
    till.provider.decide("pay_1", Succeeded("pay_1", money(4000)))
    till.ask_all()
    spec = {
        "billingAccountRef": {"name": "main"},
        "kind": "Prepaid",
        "amount": "15.00",
        "currencyCode": "USD",
        "reason": "prepaid",
    }
    grant = till.ground.declare("creditgrants", "pot", spec, namespace=ACME, now=DUE)
    later: list[Invoice] = []
    if dollars:
        till.ground.spend(till.ground.account(), "2026-11-05", dollars)
        later.append(till.ground.issued(till.ground.account(), month=11, now=DUE))
    till.provider.dispute("pay_1", "Open", minor=4000)
    till.deliver(till.provider.delivered())
    assert [till.invoice(one).amount_due_minor for one in (first, *later)] == [2500, owed][: 1 + len(later)]
    assert [till.balance(name) for name in (MONEY_ON_ACCOUNT, PREPAID_CREDIT, UNAPPLIED_CASH, CLEARING)] == [
        0
    ] * 4
    ((left,),) = till.ground.read("select remaining_minor from invoicing.credit_grants where uid = %s", grant)
    assert (left, till.differences()) == (0, [])


def test_a_refund_that_a_dispute_came_before_fails_and_the_dispute_has_all_of_it(till: Till) -> None:
    invoice = paid(till)
    (payment,) = till.payments()
    till.work(
        lambda work: refunding.open_refund(
            work, till.desk, namespace=ACME, name=payment.name, minor=1000, reason="agreed", reopen=True
        )
    )
    happens(till, "Open")
    assert till.balance(CLEARING) == 0, "ten are to go back, fifteen are disputed"
    till.give_back_all()  # the provider gives nothing back of what is disputed
    assert [state for (state,) in till.ground.read("select state from payments.refunds")] == ["Failed"]
    (payment,) = till.payments()
    assert (payment.refunded_minor, payment.disputed_minor, till.balance(CLEARING)) == (0, 2500, 0)
    assert till.invoice(invoice).amount_due_minor == 2500
    assert till.differences() == []
