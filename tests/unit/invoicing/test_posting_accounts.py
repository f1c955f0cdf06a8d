"""Which account of the books takes each kind of line, its tax, and what comes after it was given up."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from milo_billing.invoicing.rules.drafts import draft
from milo_billing.invoicing.rules.postings import account_of, postings, recovery, service_of
from milo_billing.invoicing.types.drafts import Adjusts, DraftLine, LineKind
from milo_billing.invoicing.types.invoices import MoneyKind
from milo_billing.kernel.taxes import TaxGroup, TaxTreatment
from milo_billing.ledger.types import PREPAID_CREDIT
from milo_billing.pricing.types import SubLine
from tests.unit.invoicing.builders import rated, rated_line

MADE = draft([rated(rated_line("tokens", SubLine("Usage", 1000)))])
OCTOBER = date(2026, 10, 1), date(2026, 11, 1)


def of(kind: LineKind, *, adjusts: LineKind | None = None, in_advance: bool = False) -> DraftLine:
    adjusted = None if adjusts is None else Adjusts(UUID(int=1), "KC-1", adjusts)
    return replace(MADE.lines[0], kind=kind, adjusts=adjusted, in_advance=in_advance)


@pytest.mark.parametrize(
    ("line", "account"),
    [
        (of("Usage"), "Income:Revenue:Usage"),
        (of("OneTime"), "Income:Revenue:OneTime"),
        (of("Shortfall"), "Income:Revenue:Shortfall"),
        (of("Overage"), "Income:Revenue:Overage"),
        (of("Interest"), "Income:Interest"),
        (of("Prepayment"), "Liabilities:DeferredRevenue:Prepayment"),
        (of("DrawDown"), "Liabilities:DeferredRevenue:Prepayment"),
        (of("Recurring"), "Income:Revenue:Recurring"),
        (of("Recurring", in_advance=True), "Liabilities:DeferredRevenue:Recurring"),
        (of("Adjustment", adjusts="Usage"), "Income:Revenue:Usage"),
        (of("Adjustment", adjusts="Recurring", in_advance=True), "Liabilities:DeferredRevenue:Recurring"),
    ],
)
def test_every_kind_of_line_has_its_account(line: DraftLine, account: str) -> None:
    assert account_of(line) == account


def test_credit_that_is_bought_is_owed_and_is_for_no_days() -> None:
    assert account_of(of("PrepaidCredit")) == PREPAID_CREDIT
    assert service_of(of("PrepaidCredit")) is None


def test_an_adjustment_of_nothing_is_a_defect() -> None:
    with pytest.raises(ValueError, match=r"^an adjustment says what kind of line it adjusts$"):
        account_of(of("Adjustment"))


def test_a_shortfall_is_earned_on_its_last_day_also_where_it_is_adjusted() -> None:
    last = date(2026, 10, 31), date(2026, 11, 1)
    assert service_of(of("Shortfall")) == service_of(of("Adjustment", adjusts="Shortfall")) == last
    assert service_of(of("Adjustment", adjusts="Usage")) == OCTOBER


def test_taxes_are_owed_to_their_places_and_two_rates_of_one_place_together() -> None:
    def group(place: str, percent: int, tax_minor: int) -> TaxGroup:
        return TaxGroup(TaxTreatment("S", Decimal(percent), "VAT", place), 1000, tax_minor)

    exempt = TaxGroup(TaxTreatment("E", Decimal(0), "", "DE", "Exempt"), 10, 0)
    taxed = replace(MADE, taxes=(group("DE", 19, 190), group("DE", 7, 70), group("FR", 20, 200), exempt))
    assert postings(taxed) == (
        ("Income:Revenue:Usage", 1000, OCTOBER),
        ("Liabilities:TaxPayable:DE", 260, None),
        ("Liabilities:TaxPayable:FR", 200, None),
    )


def test_lines_of_one_account_and_the_same_days_are_one_posting() -> None:
    two = draft([rated(rated_line("a", SubLine("Usage", 30)), rated_line("b", SubLine("Usage", 12)))])
    assert postings(two) == (("Income:Revenue:Usage", 42, OCTOBER),)


@pytest.mark.parametrize(
    ("kind", "credited"),
    [
        ("Payment", "Income:BadDebtRecovery"),
        ("Credit", "Income:BadDebtRecovery"),
        ("CreditNote", "Expenses:BadDebt"),
        ("EarlyPaymentDiscount", "Expenses:BadDebt"),
    ],
)
def test_money_that_comes_after_all_is_income_and_a_credit_note_takes_the_loss_back(
    kind: MoneyKind, credited: str
) -> None:
    assert recovery(kind) == ("Assets:Receivable", credited)
