"""What happens while the provider is being asked, or waits to be asked again: nothing is charged for nothing, and
nothing waits for ever.
"""

import pytest

from milo_billing.infra.database import Tx
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.errors import Unavailable
from milo_billing.ledger.types import (
    BAD_DEBT_RECOVERY,
    MONEY_ON_ACCOUNT,
    RECEIVABLE,
    UNAPPLIED_CASH,
    clearing,
)
from milo_billing.payments.types import Succeeded
from tests.db.invoicing.ground import ACME
from tests.db.invoicing.late_ground import void
from tests.db.invoicing.paying import pay
from tests.db.payments.ground import Till
from tests.hostile_provider import SLOW, SOFT, money


def waiting(till: Till) -> Invoice:
    """25 dollars that a card declined softly: it is asked again in three days."""
    invoice = till.owing(25, token=SOFT)
    till.collect()
    till.ask_all()
    (payment,) = till.payments()
    assert (payment.phase, payment.next_attempt_on is None) == ("Pending", False)
    return invoice


def write_off(till: Till, invoice: Invoice) -> None:
    kind = next(kind for kind in till.ground.engine.registry.kinds if kind.plural == "invoices")
    till.work(
        lambda work: till.ground.engine.act(
            work, kind, namespace=ACME, name=invoice.name, action="writeOff", request={"reason": "gone"}
        )
    )


def test_a_payment_whose_invoice_is_paid_otherwise_does_not_wait_for_ever(till: Till) -> None:
    invoice = waiting(till)
    pay(till.ground, invoice, 2500, "transfer", now=till.clock.now())
    till.days_later(1)
    till.collect()
    (payment,) = till.payments()
    assert (payment.phase, payment.next_attempt_on) == ("Failed", None)
    assert payment.failure == "nothing is due any more"
    assert till.status("payments", payment.name)["phase"] == "Failed"


def test_a_payment_of_an_account_that_pays_otherwise_now_does_not_wait_for_ever(till: Till) -> None:
    waiting(till)
    till.change("billingaccounts", "main", {"paymentProfile": {"type": "Invoice"}})
    till.days_later(1)
    till.collect()
    (payment,) = till.payments()
    assert (payment.phase, payment.failure) == ("Failed", "nobody collects from the account any more")


def test_an_invoice_that_is_void_before_the_provider_was_asked_is_not_charged(till: Till) -> None:
    invoice = till.owing(25)
    till.collect()
    void(till.ground, invoice, now=till.clock.now())
    till.ask_all()
    assert till.provider.charges == []
    (payment,) = till.payments()
    assert (payment.phase, payment.failure) == ("Failed", "nothing is due any more")


def test_less_that_is_due_before_the_provider_was_asked_is_asked_for(till: Till) -> None:
    invoice = till.owing(25)
    till.collect()
    spec = {"invoiceRef": {"name": invoice.name}, "amount": "20.00", "reason": "too much"}
    till.ground.declare("creditnotes", "note", spec, namespace=ACME, now=till.clock.now())
    till.ask_all()
    assert till.provider.charges == []
    assert [(one.state, one.amount) for one in till.collect()] == [("opened", money(500))]
    till.ask_all()
    (payment,) = till.payments()
    assert (payment.phase, payment.amount_minor, payment.attempts) == ("Succeeded", 500, 2)
    assert till.status("payments", payment.name)["attempts"][0]["code"] == "withdrawn"
    assert till.invoice(invoice).phase == "Paid"


def test_an_attempt_that_the_provider_may_know_of_is_never_withdrawn(till: Till) -> None:
    invoice = till.owing(25)
    till.collect()
    till.provider.lost_after = 1.0
    with pytest.raises(Unavailable):
        till.ask_all()
    till.provider.lost_after = 0.0
    void(till.ground, invoice, now=till.clock.now())
    till.ask_all()
    assert [one.phase for one in till.payments()] == ["Succeeded"]
    assert (till.provider.charged_minor(), till.balance(MONEY_ON_ACCOUNT)) == (2500, -2500)


def test_an_invoice_that_is_void_while_it_is_paid_leaves_the_money_on_account(till: Till) -> None:
    invoice = till.owing(25, token=SLOW)
    till.collect()
    till.ask_all()
    void(till.ground, invoice, now=till.clock.now())
    till.provider.decide("pay_1", Succeeded("pay_1", money(2500)))
    till.deliver(till.provider.delivered())
    assert (till.balance(RECEIVABLE), till.balance(MONEY_ON_ACCOUNT)) == (0, -2500)
    till.provider.dispute("pay_1", "Open")
    till.provider.dispute("pay_1", "Lost")
    till.deliver(till.provider.delivered())
    assert (till.balance(RECEIVABLE), till.balance(MONEY_ON_ACCOUNT)) == (0, 0)
    till.provider.dispute("pay_1", "Won")
    till.deliver(till.provider.delivered())
    assert (till.balance(UNAPPLIED_CASH), till.balance(clearing("stripe"))) == (-2500, 2500)


def test_a_credit_note_while_it_is_paid_puts_what_is_over_on_account(till: Till) -> None:
    invoice = till.owing(25, token=SLOW)
    till.collect()
    till.ask_all()
    spec = {"invoiceRef": {"name": invoice.name}, "amount": "20.00", "reason": "too much"}
    till.ground.declare("creditnotes", "note", spec, namespace=ACME, now=till.clock.now())
    till.provider.decide("pay_1", Succeeded("pay_1", money(2500)))
    till.ask_all()
    assert till.invoice(invoice).phase == "Paid"
    assert (till.balance(RECEIVABLE), till.balance(MONEY_ON_ACCOUNT)) == (0, -2000)


def test_an_invoice_that_is_written_off_while_it_is_paid_is_recovered(till: Till) -> None:
    invoice = till.owing(25, token=SLOW)
    till.collect()
    till.ask_all()
    write_off(till, invoice)
    till.provider.decide("pay_1", Succeeded("pay_1", money(2500)))
    till.deliver(till.provider.delivered())
    assert till.invoice(invoice).phase == "Paid"
    assert (till.balance(RECEIVABLE), till.balance(BAD_DEBT_RECOVERY)) == (0, -2500)
    till.provider.dispute("pay_1", "Open")
    till.deliver(till.provider.delivered())
    assert (till.invoice(invoice).amount_due_minor, till.balance(RECEIVABLE)) == (2500, 2500)


def test_what_a_provider_tells_of_one_thing_is_applied_one_after_the_other(
    till: Till, superuser_tx: Tx
) -> None:
    """Two workers at once could take an older answer for the newer one: a dispute that is won would stand as open."""
    till.owing(25)
    till.collect()
    till.ask_all()
    till.provider.dispute("pay_1", "Open")
    till.provider.dispute("pay_1", "Won")
    till.deliver(till.provider.webhooks)
    query = "select lock from jobs.procrastinate_jobs where task_name = 'payments.apply_event' order by id"
    first, second, third = [lock for (lock,) in superuser_tx.execute(query)]
    assert second == third != first
    assert second.endswith("/dispute_pay_1")
