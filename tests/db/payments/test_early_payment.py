"""Who pays early gets a discount by the terms, whatever the way of the money: by a credit note, with its tax."""

from datetime import UTC, datetime
from typing import Any

import pytest

from milo_billing.accounts.types import Account
from milo_billing.adapters.invoice_page import page_data
from milo_billing.invoicing.reads import documents as document_reads
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.ledger.types import (
    EARLY_PAYMENT_DISCOUNT,
    MONEY_ON_ACCOUNT,
    RECEIVABLE,
    tax_payable,
)
from milo_billing.payments.operations import collecting
from milo_billing.payments.types import Succeeded
from tests.db.invoicing.ground import ACCOUNT, ACME
from tests.db.invoicing.paying import as_it_stands, pay
from tests.db.payments.ground import Till
from tests.hostile_provider import GOOD, SLOW, money

ELSEWHERE = {"country": "IE", "line1": "1 Quay Street", "city": "Galway", "postalCode": "H91"}
CONSUMER: dict[str, Any] = {"contactInfo": {**ACCOUNT["contactInfo"], "address": ELSEWHERE}, "taxIds": None}
TERMS = {"earlyPaymentDiscountPercent": "2", "earlyPaymentDiscountDays": 10}
NINTH = datetime(2026, 11, 9, 12, tzinfo=UTC)
"""Invoices of October are issued on 2 November: the discount is for who pays until the 12th."""


def taxed_account(till: Till, *, token: str | None = None, language: str = "en", **terms: Any) -> Account:
    """An account of which 23 % of tax are taken, and which has 2 % off within 10 days."""
    rate = {
        "country": "IE",
        "percent": "23",
        "startsOn": "2021-03-01",
        "tax": "VAT",
        "taxCategory": "standard",
    }
    till.ground.declare("taxrates", "ie", rate)
    till.change("issuerprofiles", "kestrel", {"taxRegistrations": [{"country": "IE"}]}, namespace="")
    account = till.ground.declare_account(**CONSUMER, language=language, paymentTerms={**TERMS, **terms})
    if token is not None:
        till.card("visa", token=token)
        till.pays_with("visa")
    return account


def taxed(
    till: Till, dollars: int = 100, *, token: str | None = None, language: str = "en", **terms: Any
) -> Invoice:
    """An invoice of October over so many dollars and 23 % of tax, 2 % off within 10 days."""
    account = taxed_account(till, token=token, language=language, **terms)
    till.ground.spend(account, "2026-10-05", dollars)
    return till.ground.issued(account)


def transfer(
    till: Till, invoice: Invoice, minor: int, reference: str = "t1", *, at: datetime = NINTH
) -> Invoice:
    pay(till.ground, invoice, minor, reference, now=at)
    return as_it_stands(till.ground, invoice)


def test_paying_less_the_discount_in_time_closes_the_invoice_and_reduces_its_tax(till: Till) -> None:
    """123.00 with 23.00 of tax: 2 % are 2.00 and 0.46 of tax, so 120.54 settle it."""
    invoice = taxed(till)
    assert (invoice.total_minor, invoice.early and invoice.early.until.isoformat()) == (12_300, "2026-11-12")
    paid = transfer(till, invoice, 12_054)
    assert (paid.phase, paid.amount_paid_minor, paid.credited_minor) == ("Paid", 12_054, 246)
    assert (till.balance(RECEIVABLE), till.balance(EARLY_PAYMENT_DISCOUNT)) == (0, 200)
    assert till.balance(tax_payable("IE")) == -2300 + 46
    ((net, tax, reason),) = till.ground.read(
        "select net_minor, tax_minor, reason from invoicing.credit_notes"
    )
    assert (net, tax, reason) == (200, 46, "Discount of 2 % for early payment")
    assert till.status("creditnotes", "cn-2026-000001")["total"] == "2.46"
    assert till.status("invoices", invoice.name)["amountDue"] == "0.00"
    assert till.differences() == []


@pytest.mark.parametrize(
    ("minor", "at", "left"),
    [
        (12_053, NINTH, 247),  # too little
        (12_054, datetime(2026, 11, 13, 0, 30, tzinfo=UTC), 246),  # too late
        (
            12_054,
            datetime(2026, 11, 12, 23, 30, tzinfo=UTC),
            0,
        ),  # the last minutes of the last day, in Dublin
        (12_200, NINTH, 0),  # paid nearly in full: the discount is given, and what is over is kept
    ],
)
def test_too_late_or_too_little_earns_nothing(till: Till, minor: int, at: datetime, left: int) -> None:
    paid = transfer(till, taxed(till), minor, at=at)
    assert paid.amount_due_minor == left
    assert till.balance(RECEIVABLE) == left
    assert -till.balance(MONEY_ON_ACCOUNT) == max(0, minor - 12_054 if not left else 0)
    assert till.differences() == []


def test_paying_in_full_asks_for_no_discount(till: Till) -> None:
    paid = transfer(till, taxed(till), 12_300)
    assert (paid.phase, paid.credited_minor) == ("Paid", 0)


def test_payments_in_parts_earn_it_together_and_a_late_part_loses_it(till: Till) -> None:
    invoice = taxed(till)
    assert transfer(till, invoice, 5_000, "t1").phase == "PartiallyPaid"
    assert transfer(till, invoice, 7_054, "t2").phase == "Paid"


def test_a_late_part_loses_the_discount_also_where_it_is_told_of_first(till: Till) -> None:
    invoice = taxed(till)
    transfer(till, invoice, 5_000, "late", at=datetime(2026, 11, 20, tzinfo=UTC))
    assert transfer(till, invoice, 7_054, "early").amount_due_minor == 246


def test_a_card_is_asked_for_the_discounted_amount_on_the_last_days_of_the_discount(till: Till) -> None:
    invoice = taxed(till, token=GOOD)
    till.clock.instant = datetime(2026, 11, 10, 12, tzinfo=UTC)
    assert till.collect() == []
    till.clock.instant = datetime(2026, 11, 11, 12, tzinfo=UTC)
    assert [one.amount.minor for one in till.collect()] == [12_054]
    till.ask_all()
    assert (till.invoice(invoice).phase, till.provider.charged_minor()) == ("Paid", 12_054)
    assert till.differences() == []


def test_a_debit_that_takes_days_is_in_time_if_it_was_asked_for_in_time(till: Till) -> None:
    invoice = taxed(till, token=SLOW)
    till.clock.instant = datetime(2026, 11, 12, 12, tzinfo=UTC)
    till.collect()
    till.ask_all()
    till.days_later(5)
    (charge,) = till.provider.charges
    till.provider.decide(charge.reference, Succeeded(charge.reference, money(12_054)))
    till.deliver(till.provider.delivered())
    assert till.invoice(invoice).phase == "Paid"


def test_after_the_discount_a_card_is_asked_for_all(till: Till) -> None:
    taxed(till, token=GOOD)
    assert [one.amount.minor for one in till.collect()] == [12_300]


def test_money_on_account_pays_the_discounted_amount(till: Till) -> None:
    """Prepaid credit was taken back: of the 130 dollars 120.54 settle this one in time."""
    invoice = taxed(till)
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
    assert till.balance(RECEIVABLE) == 0


def test_the_invoice_says_what_is_off_until_when(till: Till) -> None:
    invoice = taxed(till)
    lines = till.ground.reading(lambda tx: line_reads.list_lines(tx, invoice=invoice.uid, limit=9))
    document = till.ground.reading(
        lambda tx: document_reads.load_document(tx, till.desk.vault, invoice=invoice, lines=lines)
    )
    said = "If you pay by November 12, 2026, 2% is off: USD\xa0120.54 then settles the invoice."
    assert said in page_data(document)["pay-please"]


def test_who_pays_by_card_is_told_so_and_given_no_bank_to_pay_to(till: Till) -> None:
    """Told both, customers pay twice. The terms are those of the day of issue: a later change does not show."""
    invoice = taxed(till, token=GOOD)
    till.change("billingaccounts", "main", {"paymentProfile": {"type": "BankTransfer"}})
    document = till.ground.reading(
        lambda tx: document_reads.load_document(tx, till.desk.vault, invoice=invoice, lines=())
    )
    assert (document.collected_from, document.bank) == ("Card", None)
    assert "will be charged to your card on December 2, 2026" in page_data(document)["pay-please"]


def test_an_invoice_never_offers_more_time_than_there_is_to_pay(till: Till) -> None:
    invoice = taxed(till, netDays=5)
    assert invoice.early is not None
    assert invoice.early.until == invoice.due_on
