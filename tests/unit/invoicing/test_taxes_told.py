"""Taxes that bring an invoice below zero, tax in the currency of the books, and what a refusal tells people."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from milo_billing.invoicing.rules.tax_treatments import decide
from milo_billing.invoicing.rules.taxes import assert_owed, credited_accounting_tax, with_taxes
from milo_billing.invoicing.types.drafts import Draft
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.kernel.money import Money
from milo_billing.kernel.taxes import (
    AccountingTax,
    TaxBuyer,
    TaxPlace,
    TaxQuestion,
    TaxRegistration,
    TaxSeller,
    TaxTreatment,
)
from tests.unit.invoicing.granted import draft_of

DECISION = {
    "high": (TaxTreatment("S", Decimal("23.00"), "VAT", "IE"),),
    "low": (TaxTreatment("S", Decimal("5.5"), "GST", "CA"),),
    "none": (TaxTreatment("Z", Decimal(0), "VAT", "IE"),),
}


def drafted(*lines: tuple[int, str]) -> Draft:
    """Lines of so much net, each of its tax category."""
    made = draft_of([net for net, _ in lines])
    kept = tuple(
        replace(one, tax_category=category) for one, (_, category) in zip(made.lines, lines, strict=True)
    )
    return replace(made, lines=kept)


def test_an_invoice_that_only_its_tax_brings_below_zero_says_which_and_what_to_do() -> None:
    made = drafted((5_100, "none"), (-5_000, "high"), (-100, "low"))
    taxed = with_taxes(made, DECISION)
    assert taxed.total_minor == -1_156
    with pytest.raises(UnableToIssue) as caught:
        assert_owed(taxed)
    assert str(caught.value) == (
        f"with tax the invoice would come to -11.56 {made.currency}, for -11.50 {made.currency} of VAT 23 % (IE) and "
        f"-0.06 {made.currency} of GST 5.5 % (CA): so it is where prepaid money was taxed when it was bought, and pays "
        "for what is taxed less. End the commitment, accept one whose spec.taxCategory is that of what it pays for, "
        "then run the month again"
    )


def test_a_total_of_zero_is_owed() -> None:
    taxed = with_taxes(drafted((6_150, "none"), (-5_000, "high")), DECISION)
    assert taxed.total_minor == 0
    assert_owed(taxed)
    with pytest.raises(UnableToIssue, match=r"come to -0\.01 "):
        assert_owed(with_taxes(drafted((6_149, "none"), (-5_000, "high")), DECISION))


def test_a_place_with_regions_is_told_with_all_of_them() -> None:
    seller = TaxSeller(
        TaxPlace("US", "TX"), tuple(TaxRegistration(TaxPlace("US", region)) for region in ("TX", "CA"))
    )
    question = TaxQuestion(seller, TaxBuyer(TaxPlace("US")), frozenset({"high"}), date(2026, 11, 2))
    with pytest.raises(UnableToIssue) as caught:
        decide(question, rates=())
    assert str(caught.value) == (
        "the tax depends on where in US the customer is, for the issuer collects tax in CA, TX, and the account does "
        "not say: set its spec.contactInfo.address.region, then run the month again"
    )


# ------------------------------------------------------------------------------------ in the currency of the books

DOLLARS = AccountingTax("EUR", 1_001, Decimal("0.9123"), date(2026, 11, 2), "ECB")
OF = Money(1_096, "USD")
"""10.96 USD of tax are 9.998808 EUR; what was frozen with the invoice is 10.01, as its legs had more decimals."""


def in_books(before: int, credited: int) -> AccountingTax | None:
    return credited_accounting_tax(
        DOLLARS, of=OF, before=Money(before, "USD"), credited=Money(credited, "USD")
    )


@pytest.mark.parametrize(
    ("before", "credited", "in_books_minor"),
    [
        (0, 1_096, 1_001),  # all of it
        (0, 100, 91),  # 0.9123
        (100, 100, 91),  # 1.8246 less what was taken
        (200, 896, 819),  # the last note takes the rest
        (1_095, 1, 2),
        (1_096, 0, 0),
        (0, 0, 0),
    ],
)
def test_all_notes_together_take_back_the_tax_of_the_books(
    before: int, credited: int, in_books_minor: int
) -> None:
    assert in_books(before, credited) == replace(DOLLARS, tax_minor=in_books_minor)


def test_where_books_and_invoice_have_one_currency_there_is_nothing_to_take_back() -> None:
    money = Money(1, "EUR")
    assert credited_accounting_tax(None, of=money, before=money, credited=money) is None
