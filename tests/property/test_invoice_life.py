"""Whatever becomes of an invoice, in whatever order: due is the total less what settled it, and the phase follows."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from milo_billing.invoicing.rules import life
from milo_billing.invoicing.types.errors import UnableToSettle
from tests.unit.invoicing.issued import DUE, ISSUED, issued


class InvoiceLife(RuleBasedStateMachine):
    """Payments, reversals, credits, write-offs, voids, and days that pass, each with any amount."""

    def __init__(self) -> None:
        super().__init__()
        self.today = ISSUED
        self.invoice = issued(0)
        self.settled: dict[str, int] = {}

    @initialize(total_minor=st.integers(0, 300))
    def issue(self, total_minor: int) -> None:
        self.invoice = issued(total_minor)

    def take(self, *steps: life.Step) -> None:
        for step in steps:
            self.settled[step.kind] = self.settled.get(step.kind, 0) + step.amount_minor
            self.invoice = step.after

    @rule(
        kind=st.sampled_from(["Payment", "Credit", "CreditNote", "EarlyPaymentDiscount"]),
        amount=st.integers(-3, 310),
    )
    def settle(self, kind: Any, amount: int) -> None:
        may = 0 < amount <= self.invoice.open_minor and self.invoice.phase != "Void"
        if may:
            self.take(*life.settle(self.invoice, kind=kind, amount_minor=amount, today=self.today))
        else:
            with pytest.raises(UnableToSettle):
                life.settle(self.invoice, kind=kind, amount_minor=amount, today=self.today)

    @rule(amount=st.integers(1, 310))
    def reverse(self, amount: int) -> None:
        if amount <= self.invoice.amount_paid_minor:
            self.take(
                *life.settle(self.invoice, kind="PaymentReversal", amount_minor=amount, today=self.today)
            )
        else:
            with pytest.raises(UnableToSettle):
                life.settle(self.invoice, kind="PaymentReversal", amount_minor=amount, today=self.today)

    @precondition(lambda self: self.invoice.phase != "Void" and self.invoice.amount_due_minor > 0)
    @rule()
    def write_off(self) -> None:
        self.take(*life.write_off(self.invoice, today=self.today))
        assert self.invoice.phase == "Uncollectible"

    @rule()
    def void(self) -> None:
        untouched = self.invoice.amount_paid_minor == 0 == self.invoice.written_off_minor
        if untouched and self.invoice.phase != "Void":
            self.take(life.void(self.invoice))
            assert self.invoice.phase == "Void"
        else:
            with pytest.raises(UnableToSettle):
                life.void(self.invoice)

    @rule(days=st.integers(1, 40))
    def days_pass(self, days: int) -> None:
        self.today += timedelta(days=days)
        self.invoice = life.restated(self.invoice, today=self.today)

    @invariant()
    def what_is_due_is_the_total_less_what_settled_it(self) -> None:
        settled = sum(self.settled.values())
        assert self.invoice.amount_due_minor == self.invoice.total_minor - settled >= 0
        assert (
            min(self.invoice.amount_paid_minor, self.invoice.credited_minor, self.invoice.written_off_minor)
            >= 0
        )

    @invariant()
    def the_phase_follows(self) -> None:
        one, due = self.invoice, self.invoice.amount_due_minor
        assert {
            "Issued": 0 < due == one.total_minor and self.today <= DUE,
            "PartiallyPaid": 0 < due < one.total_minor and self.today <= DUE,
            "PastDue": due > 0 and self.today > DUE,
            "Paid": due == 0 == one.written_off_minor,
            "Uncollectible": due == 0 < one.written_off_minor,
            "Void": due == 0 == one.amount_paid_minor and one.credited_minor == one.total_minor,
            "Draft": False,
        }[one.phase]
        assert one == replace(one, phase=one.phase)


InvoiceLife.TestCase.settings = settings(max_examples=120, stateful_step_count=25, deadline=None)
test_every_life_of_an_invoice_adds_up = InvoiceLife.TestCase
