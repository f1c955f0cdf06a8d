"""Invoices are collected: one charge for each, whatever answers get lost, in whatever order webhooks come."""

import threading
import time
from datetime import date

import pytest

from milo_billing.infra.database import EVERYWHERE, Databases
from milo_billing.kernel.errors import Unavailable
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, RECEIVABLE, clearing
from milo_billing.payments import reads
from milo_billing.payments.types import Declined, Succeeded
from tests.db.payments.ground import Till
from tests.hostile_provider import CONFIRM, GOOD, HARD, SLOW, SOFT, money

CLEARING = clearing("stripe")


def test_a_due_invoice_is_charged_once_and_settled(till: Till) -> None:
    invoice = till.owing(25)
    opened = till.collect()
    assert [(one.state, one.amount) for one in opened] == [("opened", money(2500))]
    till.ask_all()
    assert till.invoice(invoice).phase == "Paid"
    assert till.provider.charged_minor() == 2500
    assert (till.balance(RECEIVABLE), till.balance(CLEARING)) == (0, 2500)
    (payment,) = till.payments()
    assert (payment.phase, payment.reference, payment.attempts) == ("Succeeded", "pay_1", 1)
    status = till.status("payments", payment.name)
    assert (status["phase"], status["amount"], status["attempts"][0]["state"]) == (
        "Succeeded",
        "25.00",
        "Succeeded",
    )
    assert till.status("invoices", invoice.name)["phase"] == "Paid"
    assert till.collect() == []
    assert till.ground.reading(reads.compare_projections) == ()


def test_a_collector_locks_the_object_of_an_invoice_before_its_row(till: Till) -> None:
    """As everybody who changes the object by its API has to: taken the other way round, the two would deadlock."""
    invoice = till.owing(25)
    with till.ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute("select from controlplane.objects where uid = %s for update", (invoice.uid,))
        collector = threading.Thread(target=till.collect)
        collector.start()
        while tx.execute("select count(*) from pg_locks where not granted").fetchone() == (0,):
            assert collector.is_alive(), "it went on without the object"
            time.sleep(0.01)
        tx.execute("select from invoicing.invoices where uid = %s for update nowait", (invoice.uid,))
    collector.join()
    assert till.ground.read("select count(*) from payments.attempts") == [(1,)]


def test_what_is_not_due_yet_is_left_alone(till: Till) -> None:
    till.owing(25)
    till.days_later(-1)
    assert till.collect() == []


def test_an_account_without_a_card_is_left_alone(till: Till) -> None:
    account = till.ground.declare_account("main")
    till.ground.spend(account, "2026-10-05", 25)
    till.ground.issued(account)
    assert till.collect() == []


def test_collecting_again_while_somebody_is_asked_opens_nothing(till: Till) -> None:
    till.owing(25, token=SLOW)
    till.collect()
    assert [one.state for one in till.collect()] == ["standing"]
    till.ask_all()
    assert [one.state for one in till.collect()] == ["standing"]
    assert till.ground.read("select count(*) from payments.attempts") == [(1,)]


def test_two_collectors_at_once_open_one_attempt(till: Till, databases: Databases) -> None:
    for number in range(4):
        till.owing(10 + number, account=f"a{number}")
    gate = threading.Barrier(4)
    opened: list[str] = []

    def collect() -> None:
        gate.wait()
        opened.extend(one.invoice for one in till.collect() if one.state == "opened")

    threads = [threading.Thread(target=collect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == len(set(opened)) == 4
    till.ask_all()
    assert till.provider.charged_minor() == 4600


def test_an_answer_that_was_lost_is_asked_for_again_and_charged_once(till: Till) -> None:
    invoice = till.owing(25)
    till.collect()
    till.provider.lost_after = 1.0
    with pytest.raises(Unavailable, match="the connection broke before the answer came"):
        till.ask_all()
    assert till.invoice(invoice).phase == "Issued"
    till.provider.lost_after, till.provider.forgets_keys = 0.0, True
    till.ask_all()
    assert till.invoice(invoice).phase == "Paid"
    assert len(till.provider.charges) == 1, "looked up, since the provider forgot the key"


def test_a_soft_decline_is_tried_again_by_the_schedule(till: Till) -> None:
    invoice = till.owing(25, token=SOFT)
    till.provider.soft_declines = 2
    till.collect()
    till.ask_all()
    (payment,) = till.payments()
    assert (payment.phase, payment.next_attempt_on) == ("Pending", date(2026, 12, 5))
    assert payment.failure == "insufficient_funds: Not enough money."
    for days, state in ((2, "waiting"), (1, "opened")):
        till.days_later(days)
        assert [one.state for one in till.collect()] == [state]
    till.ask_all()
    till.days_later(4)
    assert [one.state for one in till.collect()] == ["waiting"]
    till.days_later(1)
    till.collect()
    till.ask_all()
    (payment,) = till.payments()
    assert (payment.phase, payment.attempts) == ("Succeeded", 3)
    assert till.invoice(invoice).phase == "Paid"
    assert till.provider.charged_minor() == 2500


def test_after_the_last_day_of_the_schedule_the_payment_has_failed(till: Till) -> None:
    invoice = till.owing(25, token=SOFT)
    for days in (0, 3, 5, 7, 7):
        till.days_later(days)
        assert [one.state for one in till.collect()] == ["opened"]
        till.ask_all()
    assert [(one.phase, one.attempts) for one in till.payments()] == [("Failed", 5)]
    till.days_later(30)
    assert [one.state for one in till.collect()] == ["stopped"]
    assert till.invoice(invoice).amount_due_minor == 2500


def test_a_hard_decline_is_never_repeated_and_a_new_card_is_asked(till: Till) -> None:
    invoice = till.owing(25, token=HARD)
    till.collect()
    till.ask_all()
    till.days_later(40)
    (stopped,) = till.collect()
    assert stopped.state == "stopped"
    assert "declined for good (stolen_card)" in stopped.reason
    assert len(till.provider.charges) == 1
    till.card("new", token=GOOD)
    till.pays_with("new")
    assert [one.state for one in till.collect()] == ["opened"]
    till.ask_all()
    assert [one.phase for one in till.payments()] == ["Failed", "Succeeded"]
    assert till.invoice(invoice).phase == "Paid"


def test_what_its_owner_has_to_confirm_is_paid_when_the_webhook_says_so(till: Till) -> None:
    invoice = till.owing(25, token=CONFIRM)
    till.collect()
    till.ask_all()
    assert till.status("payments", till.payments()[0].name)["attempts"][0]["state"] == "ActionRequired"
    till.provider.decide("pay_1", Succeeded("pay_1", money(2500)))
    told = till.deliver(till.provider.delivered())
    assert till.invoice(invoice).phase == "Paid"
    assert sum(told) == len(till.provider.webhooks), "each once, however often it comes"
    assert not any(till.deliver(till.provider.delivered()))


def test_webhooks_in_any_order_say_the_same(till: Till) -> None:
    invoice = till.owing(25, token=SLOW)
    till.collect()
    till.ask_all()
    till.provider.decide("pay_1", Declined("pay_1", "insufficient_funds", "No.", hard=False))
    first, last = till.provider.webhooks[0], till.provider.webhooks[-1]
    till.deliver([last, first, last])
    (payment,) = till.payments()
    assert (payment.phase, payment.failure) == ("Pending", "insufficient_funds: No.")
    assert till.invoice(invoice).phase == "Issued"


def test_a_webhook_can_come_before_the_answer(till: Till) -> None:
    invoice = till.owing(25)
    till.collect()
    till.provider.lost_after = 1.0
    with pytest.raises(Unavailable):
        till.ask_all()
    till.provider.lost_after = 0.0
    till.deliver(till.provider.webhooks)
    assert till.invoice(invoice).phase == "Paid"
    till.ask_all()
    assert till.balance(CLEARING) == 2500


def test_what_is_paid_too_much_waits_on_the_account_and_pays_the_next_invoice(till: Till) -> None:
    invoice = till.owing(25, token=SLOW)
    till.collect()
    till.ask_all()
    till.provider.decide("pay_1", Succeeded("pay_1", money(4000)))
    till.ask_all()
    assert till.invoice(invoice).phase == "Paid"
    assert till.balance(MONEY_ON_ACCOUNT) == -1500
    account = till.ground.account()
    till.ground.spend(account, "2026-11-05", 20)
    later = till.ground.issued(account, month=11, now=till.clock.now())
    till.days_later(30)
    assert [(one.state, one.amount) for one in till.collect()] == [("opened", money(500))]
    assert till.balance(MONEY_ON_ACCOUNT) == 0
    till.provider.decide("pay_1", Succeeded("pay_1", money(4000)))
    assert till.invoice(later).amount_due_minor == 500
