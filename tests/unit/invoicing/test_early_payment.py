"""What paying early takes off an invoice, when it is offered and earned, and what the note says of it."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from milo_billing.invoicing.rules import early_payment
from milo_billing.invoicing.rules.crediting import CreditLine
from milo_billing.invoicing.rules.issuing import early_payment as offered_until
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine
from milo_billing.kernel.taxes import TaxGroup, TaxTreatment
from milo_billing.kernel.terms import EarlyPayment, TimeTerms
from tests.unit.invoicing.builders import line, usage_part
from tests.unit.invoicing.issued import ISSUED, issued

UNTIL = date(2026, 11, 12)
TWO = EarlyPayment(Decimal(2), UNTIL)
VAT_19 = TaxTreatment("S", Decimal(19), "VAT", "DE")


def sold(*nets_minor: int) -> dict[int, InvoiceLine]:
    return {
        number: replace(line("Product", usage_part("1", "1", minor), number=number), taxes=(1,))
        for number, minor in enumerate(nets_minor, start=1)
    }


@pytest.mark.parametrize(
    ("percent", "left", "taken"),
    [
        ("2", {1: 10_000, 2: 5_000}, {1: 200, 2: 100}),
        ("2.5", {1: 1_000}, {1: 25}),
        ("3", {1: 17}, {1: 1}),  # 0.51: half up
        ("3", {1: 16}, {}),  # 0.48
        ("2", {1: 75}, {1: 2}),  # 1.5: half up
        ("2", {1: 100, 2: 0}, {1: 2}),
        ("50", {1: 3, 2: -1}, {1: 2, 2: -1}),  # of what the lines come to together
        ("100", {1: 3, 2: -1}, {1: 3, 2: -1}),
        ("2", {1: -10_000}, {}),
        ("2", {}, {}),
    ],
)
def test_the_percentage_is_of_all_that_is_left_settled_once(
    percent: str, left: dict[int, int], taken: dict[int, int]
) -> None:
    found = early_payment.discount_lines(
        EarlyPayment(Decimal(percent), UNTIL), lines=sold(*left.values()), left=left, currency="USD"
    )
    assert found == tuple(CreditLine(number, minor) for number, minor in taken.items())


def test_the_discount_is_printed_with_the_tax_that_comes_back_by_it() -> None:
    lines = sold(10_000, 5_000)
    group = TaxGroup(VAT_19, 15_000, 2_850)
    invoice = replace(issued(17_850), early=TWO, taxes=(group,))
    assert early_payment.printed_minor(invoice, lines=[*lines.values()]) == 300 + 57
    assert early_payment.printed_minor(replace(invoice, early=None), lines=[*lines.values()]) == 0


@pytest.mark.parametrize(
    ("changed", "day", "offered"),
    [
        ({}, ISSUED, True),
        ({}, UNTIL, True),
        ({}, UNTIL + timedelta(days=1), False),
        ({"early": None}, ISSUED, False),
        ({"phase": "Void"}, ISSUED, False),
        ({"amount_paid_minor": 999}, ISSUED, True),
        ({"amount_paid_minor": 1000}, ISSUED, False),
        ({"written_off_minor": 1}, ISSUED, False),
    ],
)
def test_it_is_offered_until_its_day_while_something_is_due(
    changed: dict[str, object], day: date, offered: bool
) -> None:
    invoice: Invoice = replace(issued(1000), **{"early": TWO, **changed})
    assert early_payment.is_offered(invoice, day=day) is offered


@pytest.mark.parametrize(("open_minor", "earned"), [(0, False), (1, True), (20, True), (21, False)])
def test_it_is_earned_where_nothing_but_the_discount_is_left(open_minor: int, earned: bool) -> None:
    assert early_payment.is_earned(open_minor=open_minor, discount_minor=20) is earned


@pytest.mark.parametrize(
    ("percent", "language", "said"),
    [
        ("2.00", "en", "Discount of 2 % for early payment"),
        ("2.50", "de", "Skonto von 2.5 % für frühe Zahlung"),
        ("10", "fr", "Escompte de 10 % pour paiement anticipé"),
        ("3", "ja", "早期お支払いによる 3 % の割引"),
        ("3", "pt", "Discount of 3 % for early payment"),
    ],
)
def test_the_note_says_what_for_in_the_languages_of_the_documents(
    percent: str, language: str, said: str
) -> None:
    assert early_payment.reason(EarlyPayment(Decimal(percent), UNTIL), language=language) == said


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "The payment that earned the discount went back"),
        ("de", "Die Zahlung, für die Skonto gewährt wurde, ging zurück"),
        ("fr", "Le paiement qui donnait droit à l’escompte a été retourné"),
        ("ja", "割引の対象となったお支払いが取り消されたため"),
        ("pt", "The payment that earned the discount went back"),
    ],
)
def test_what_cancels_the_note_says_why_in_these_languages(language: str, said: str) -> None:
    assert early_payment.ended_reason(language=language) == said


@pytest.mark.parametrize(
    ("days", "net_days", "until"), [(10, 30, "2026-11-12"), (30, 30, "2026-12-02"), (31, 30, "2026-12-02")]
)
def test_it_is_never_offered_beyond_the_last_day_to_pay(days: int, net_days: int, until: str) -> None:
    terms = TimeTerms(early_percent=Decimal(2), early_days=days)
    offered = offered_until(terms, issued_on=ISSUED, net_days=net_days)
    assert offered == EarlyPayment(Decimal(2), date.fromisoformat(until))
    assert offered_until(TimeTerms(), issued_on=ISSUED, net_days=net_days) is None
