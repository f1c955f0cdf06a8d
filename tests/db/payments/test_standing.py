"""Paying in full lifts a suspension that was for not paying, and no other."""

import pytest

from milo_billing.accounts.types import SuspensionReason
from milo_billing.invoicing.jobs.daily import mark_past_due
from tests.db.invoicing.ground import ACME
from tests.db.payments.ground import Till


def suspend(till: Till, reason: SuspensionReason) -> None:
    kind = till.ground.engine.registry.get("billing.miloapis.com", "billingaccounts")
    till.work(
        lambda work: till.ground.engine.act(
            work, kind, namespace=ACME, name="main", action="suspend", request={"reason": reason}
        )
    )


@pytest.mark.parametrize(
    ("reason", "phase"),
    [("PaymentFailure", "Ready"), ("Administrative", "Suspended"), ("Compliance", "Suspended")],
)
def test_paying_lifts_what_was_for_not_paying(till: Till, reason: SuspensionReason, phase: str) -> None:
    till.owing(25)
    till.days_later(5)
    mark_past_due(till.ground.office, till.ground.databases.app, till.clock)
    suspend(till, reason)
    assert till.status("billingaccounts", "main")["phase"] == "Suspended"
    till.collect()
    till.ask_all()
    assert till.status("billingaccounts", "main")["phase"] == phase


def test_another_invoice_that_is_past_due_keeps_it_suspended(till: Till) -> None:
    till.owing(25)
    account = till.ground.account()
    till.ground.spend(account, "2026-11-05", 20)
    till.days_later(3)
    till.ground.issued(account, month=11, now=till.clock.now())
    till.days_later(60)
    mark_past_due(till.ground.office, till.ground.databases.app, till.clock)
    suspend(till, "PaymentFailure")
    assert [one.state for one in till.collect()] == ["opened"] * 2
    ((first, number), second) = till.ground.read(
        "select invoice, number from payments.attempts order by invoice"
    )
    till.cashier.ask(invoice=first, number=number)
    assert till.status("billingaccounts", "main")["phase"] == "Suspended"
    till.cashier.ask(invoice=second[0], number=second[1])
    assert till.status("billingaccounts", "main")["phase"] == "Ready"
