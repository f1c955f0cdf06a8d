"""An invoice that stays unpaid: reminders, the announcement, the suspension, and the way back by paying."""

from milo_billing.invoicing.jobs.daily import mark_past_due
from milo_billing.payments.jobs import dun_all
from milo_billing.payments.rules.dunning import Schedule
from tests.db.invoicing.ground import ACME
from tests.db.payments.ground import Till
from tests.hostile_provider import HARD, SLOW


def days_pass(till: Till, days: int) -> None:
    """Every day somebody looks, twice."""
    for _ in range(days):
        till.days_later(1)
        mark_past_due(till.ground.office, till.ground.databases.app, till.clock)
        for _ in range(2):
            dun_all(till.ground.office, till.ground.databases.app, till.clock, schedule=Schedule())


def test_who_does_not_pay_is_reminded_warned_and_suspended_and_paying_lifts_it(till: Till) -> None:
    spec = {"type": "Email", "email": {"to": ["ops@example.com"]}, "events": ["account.*", "invoice.*"]}
    till.ground.declare("notificationchannels", "ops", spec, namespace=ACME)
    till.owing(25, token=HARD)
    till.collect()
    till.ask_all()
    days_pass(till, 60)
    steps = till.ground.read(
        "select d.kind, d.number, d.on_day - i.due_on from payments.dunning d "
        "join invoicing.invoices i on i.uid = d.invoice order by d.on_day"
    )
    assert steps == [("Reminder", 1, 7), ("Reminder", 2, 14), ("Announcement", 1, 21), ("Suspension", 1, 28)]
    suspension = till.status("billingaccounts", "main")["suspension"]
    assert suspension["reason"] == "PaymentFailure"
    assert "was due on 2026-12-02 and is not paid" in suspension["message"]
    till.card("other")
    till.pays_with("other")
    till.collect()
    till.ask_all()
    assert till.status("billingaccounts", "main")["phase"] == "Ready"
    told = till.ground.read("select type, count(*) from notices.messages group by type order by type")
    assert told == [
        ("account.reactivated", 1),
        ("account.suspended", 1),
        ("account.suspension_announced", 1),
        ("invoice.issued", 1),
        ("invoice.paid", 1),
        ("invoice.past_due", 3),
    ]


def test_nobody_is_reminded_while_the_money_is_on_its_way(till: Till) -> None:
    till.owing(25, token=SLOW)
    till.collect()
    till.ask_all()
    days_pass(till, 30)
    assert till.ground.read("select count(*) from payments.dunning") == [(0,)]
