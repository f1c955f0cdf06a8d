"""Money goes back in parts, never above what came, and the books have it either way."""

import pytest
from psycopg.errors import CheckViolation

from milo_billing.kernel.errors import Unavailable
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, RECEIVABLE, UNAPPLIED_CASH, clearing
from milo_billing.payments import reads
from milo_billing.payments.operations import refunding
from milo_billing.payments.operations.refunding import open_refund
from milo_billing.payments.types import (
    Payment,
    Refunded,
    RefundFailed,
    RefundSource,
    Succeeded,
    UnableToRefund,
)
from tests.db.invoicing.ground import ACME
from tests.db.payments.ground import Till
from tests.hostile_provider import SLOW, money

CLEARING = clearing("stripe")


def refund(till: Till, payment: Payment, minor: int | None, *, reopen: bool = False) -> None:
    till.work(
        lambda work: open_refund(
            work,
            till.desk,
            namespace=payment.namespace,
            name=payment.name,
            minor=minor,
            reason="too much",
            reopen=reopen,
        )
    )


@pytest.fixture
def paid(till: Till) -> Payment:
    """25 dollars, for an invoice of as much."""
    till.owing(25)
    till.collect()
    till.ask_all()
    return till.payments()[0]


@pytest.fixture
def overpaid(till: Till) -> Payment:
    """40 dollars, for an invoice of 25."""
    till.owing(25, token=SLOW)
    till.collect()
    till.ask_all()
    till.provider.decide("pay_1", Succeeded("pay_1", money(4000)))
    till.ask_all()
    return till.payments()[0]


def test_a_refund_that_reopens_the_invoice(till: Till, paid: Payment) -> None:
    refund(till, paid, 1000, reopen=True)
    assert (till.balance(RECEIVABLE), till.balance(CLEARING)) == (1000, 1500)
    till.give_back_all()
    (now,) = till.payments()
    assert (now.phase, now.refunded_minor) == ("Succeeded", 1000)
    assert till.ground.read("select phase, total_minor - amount_paid_minor from invoicing.invoices") == [
        ("PartiallyPaid", 1000)
    ]
    assert [one.state for one in till.collect()] == ["opened"], "what is owed again is collected again"
    till.ask_all()
    assert till.balance(RECEIVABLE) == 0
    assert till.differences() == []


def test_what_was_paid_too_much_is_given_back_in_parts(till: Till, overpaid: Payment) -> None:
    refund(till, overpaid, 1000)
    refund(till, overpaid, 500)
    till.give_back_all()
    assert till.balance(MONEY_ON_ACCOUNT) == 0
    assert [one["state"] for one in till.status("payments", overpaid.name)["refunds"]] == ["Succeeded"] * 2
    with pytest.raises(
        UnableToRefund,
        match=r"has 0\.00 USD unapplied and 0\.00 USD on account, 0\.00 USD in all, and 25\.00 USD cannot",
    ):
        refund(till, overpaid, None)


def test_everything_given_back_is_refunded(till: Till, paid: Payment) -> None:
    refund(till, paid, None, reopen=True)
    till.give_back_all()
    assert till.payments()[0].phase == "Refunded"
    assert till.status("payments", paid.name)["amountRefunded"] == "25.00"
    with pytest.raises(UnableToRefund, match="is Refunded"):
        refund(till, paid, 1, reopen=True)


@pytest.mark.parametrize("minor", [0, -5, 2501])
def test_never_more_than_what_came(till: Till, paid: Payment, minor: int) -> None:
    with pytest.raises(UnableToRefund, match=r"has 25.00 USD left"):
        refund(till, paid, minor, reopen=True)


def test_refunds_under_way_count(till: Till, paid: Payment) -> None:
    refund(till, paid, 2000, reopen=True)
    with pytest.raises(UnableToRefund, match=r"has 5.00 USD left"):
        refund(till, paid, 501, reopen=True)


@pytest.mark.parametrize("reopen", [False, True])
def test_a_refund_that_failed_is_as_if_it_had_not_been(till: Till, overpaid: Payment, reopen: bool) -> None:
    before = (till.balance(RECEIVABLE), till.balance(CLEARING), till.balance(MONEY_ON_ACCOUNT))
    till.provider.slow_refunds = True
    refund(till, overpaid, 1200, reopen=reopen)
    till.give_back_all()
    key = f"payment/{overpaid.uid}/refund/1"
    till.provider.decide_refund(key, RefundFailed("re_1", "expired_card", "The card has expired."))
    till.deliver(till.provider.delivered())
    assert (till.balance(RECEIVABLE), till.balance(CLEARING), till.balance(MONEY_ON_ACCOUNT)) == before
    assert till.ground.read("select phase from invoicing.invoices") == [("Paid",)]
    assert till.payments()[0].refunded_minor == 0
    refund(till, overpaid, 1200, reopen=reopen)
    till.provider.slow_refunds = False
    till.give_back_all()
    assert [one["state"] for one in till.status("payments", overpaid.name)["refunds"]] == [
        "Failed",
        "Succeeded",
    ]


@pytest.mark.parametrize("reopen", [False, True])
def test_a_refund_may_fail_after_it_has_succeeded(till: Till, overpaid: Payment, reopen: bool) -> None:
    """The customer's bank sends it back: the provider has the money again, and so do the books."""
    before = (till.balance(RECEIVABLE), till.balance(CLEARING), till.balance(MONEY_ON_ACCOUNT))
    refund(till, overpaid, 1500, reopen=reopen)
    till.give_back_all()
    till.deliver(till.provider.delivered())
    key = f"payment/{overpaid.uid}/refund/1"
    till.provider.decide_refund(
        key, RefundFailed("re_1", "expired_or_canceled_card", "The card has expired.")
    )
    till.deliver(till.provider.delivered())
    assert (till.balance(RECEIVABLE), till.balance(CLEARING), till.balance(MONEY_ON_ACCOUNT)) == before
    (now,) = till.payments()
    assert (now.phase, now.refunded_minor) == ("Succeeded", 0)
    assert [one["state"] for one in till.status("payments", now.name)["refunds"]] == ["Failed"]
    assert till.ground.reading(reads.compare_projections) == ()
    assert len(till.provider.charges[0].refunds) == 1, "nobody was asked for another one"


def test_a_refund_of_everything_that_fails_late_is_of_a_payment_that_came(till: Till, paid: Payment) -> None:
    refund(till, paid, None, reopen=True)
    till.give_back_all()
    assert till.payments()[0].phase == "Refunded"
    key = f"payment/{paid.uid}/refund/1"
    till.provider.decide_refund(key, RefundFailed("re_1", "unknown", "It came back."))
    till.deliver(till.provider.delivered())
    assert (till.payments()[0].phase, till.balance(RECEIVABLE), till.balance(CLEARING)) == (
        "Succeeded",
        0,
        2500,
    )
    refund(till, paid, None, reopen=True)
    till.give_back_all()
    assert till.payments()[0].phase == "Refunded"


def test_a_refund_that_the_provider_does_not_find_any_more_is_not_made_again(
    till: Till, paid: Payment
) -> None:
    refund(till, paid, None, reopen=True)
    till.give_back_all()
    till.provider.charges[0].refunds.clear()
    till.deliver(till.provider.delivered())
    assert (till.payments()[0].phase, till.provider.charges[0].refunds) == ("Refunded", {})


def test_a_lost_answer_gives_back_once(till: Till, overpaid: Payment) -> None:
    refund(till, overpaid, 1500)
    till.provider.lost_after = 1.0
    with pytest.raises(Unavailable):
        till.give_back_all()
    till.provider.lost_after = 0.0
    till.give_back_all()
    given = [result for _, result in till.provider.charges[0].refunds.values()]
    assert given == [Refunded("pay_1_refund_1", money(1500))]
    assert till.balance(CLEARING) == 2500


def test_no_more_is_refunded_than_the_account_has_in_all(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first payment had over, 15, went back as a refund of the second. Then the first one was disputed: 15 are
    missing. 20 of the other invoice are credited.
    """
    till.owing(25, token=SLOW)
    till.ground.spend(till.ground.account(), "2026-09-05", 25)
    till.ground.issued(till.ground.account(), month=9)
    till.collect()
    till.ask_all()
    till.provider.decide("pay_1", Succeeded("pay_1", money(4000)))
    till.provider.decide("pay_2", Succeeded("pay_2", money(2500)))
    till.ask_all()
    (other,) = [one for one in till.payments() if one.amount_minor == 2500]
    refund(till, other, 1500)
    till.give_back_all()
    till.provider.dispute("pay_1", "Open", minor=4000)
    till.deliver(till.provider.delivered())
    spec = {"invoiceRef": {"name": other.invoice_name}, "amount": "20.00", "reason": "too much"}
    till.ground.declare("creditnotes", "note", spec, namespace=ACME, now=till.clock.now())
    assert (till.balance(UNAPPLIED_CASH), till.balance(MONEY_ON_ACCOUNT)) == (1500, -2000)
    message = r"has -15\.00 USD unapplied and 20\.00 USD on account, 5\.00 USD in all, and 5\.01 USD cannot"
    with pytest.raises(UnableToRefund, match=message):
        refund(till, other, 501)

    def choose(*_: object, **__: object) -> RefundSource:
        return "MoneyOnAccount"

    with monkeypatch.context() as patch, pytest.raises(CheckViolation, match="than there is in all"):
        patch.setattr(refunding, "_source", choose)
        refund(till, other, 501)
    refund(till, other, 500)
    assert (till.balance(UNAPPLIED_CASH), till.balance(MONEY_ON_ACCOUNT)) == (1500, -1500)
