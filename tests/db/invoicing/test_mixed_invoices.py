"""Invoices on which prepaid money pays for charges of several taxes: what is credited of them, and given."""

from datetime import UTC, datetime

import pytest

from milo_billing.accounts.types import Account
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Invoice
from tests.db.invoicing.ground import PRICES, Ground
from tests.db.invoicing.paying import as_it_stands
from tests.db.invoicing.test_credit_grants import assert_books, credit, grant
from tests.db.invoicing.test_promised_invoices import month_issued
from tests.db.invoicing.test_taxed_invoices import CONSUMER, IRISH, declare_issuer, declare_rate

DECEMBER = datetime(2026, 12, 2, 9, 30, tzinfo=UTC)
TOKENS = [{"matchLabels": [{"key": "kind", "op": "DoesNotExist"}]}]
TERMS = {"earlyPaymentDiscountPercent": "2", "earlyPaymentDiscountDays": 10}


@pytest.fixture
def account(bare_ground: Ground) -> Account:
    """Of an issuer who takes 23 % of everything but books, with 80.00 prepaid that is drawn on as it comes."""
    declare_issuer(bare_ground, IRISH)
    declare_rate(bare_ground)
    declare_rate(bare_ground, "books", taxCategory="books", percent="0")
    books = {"chargeType": "Usage", "meter": {"meterName": "example.com/bytes"}, "pricingUnit": "By"}
    bare_ground.declare("skus", "books", {**books, "taxCategory": "books", "labels": {"kind": "book"}})
    prices = [*PRICES, {"skuRef": {"name": "books"}, "model": "PerUnit", "unitPrice": "1"}]
    version = {"bookName": "list-usd", "effectiveFrom": "2026-02-01", "currencyCode": "USD"}
    bare_ground.declare("pricebooks", "with-books", {**version, "phase": "Published", "prices": prices})
    account = bare_ground.declare_account(**CONSUMER, paymentTerms=TERMS)
    bare_ground.promise(prepayment={"amount": "80"}, termMonths=4)
    return account


def november(ground: Ground, account: Account, *, tokens: int, books: int) -> Invoice:
    month_issued(ground, account, 1)
    ground.spend(account, "2026-11-05", tokens)
    ground.use(account, ("2026-11-05", "web", "bytes", books))
    return as_it_stands(ground, month_issued(ground, account, 2))


def test_an_amount_takes_each_tax_back_in_the_proportion_in_which_it_was_taken(
    bare_ground: Ground, account: Account
) -> None:
    """It once was refused: two thirds of 60.00 on the 100.00 of tokens, of whose tax group 20.00 is left."""
    invoice = november(bare_ground, account, tokens=100, books=50)
    assert [(group.basis_minor, group.tax_minor) for group in invoice.taxes] == [(5_000, 0), (2_000, 460)]
    noted = credit(bare_ground, invoice, amount="60.00")
    assert (noted["net"], noted["tax"], noted["total"]) == ("60.00", "3.94", "63.94")
    noted = credit(bare_ground, invoice, "rest")
    assert (noted["net"], noted["tax"], noted["total"]) == ("10.00", "0.66", "10.66")
    assert_books(bare_ground)


def test_goodwill_that_is_more_than_what_is_left_to_tax_is_used_as_far_as_it_goes(
    bare_ground: Ground, account: Account
) -> None:
    """It once kept the month from being issued."""
    grant(bare_ground, "sorry", "Goodwill", "90.00", skuSelectors=TOKENS)
    invoice = november(bare_ground, account, tokens=100, books=50)
    assert (invoice.total_minor, invoice.credited_minor, invoice.amount_due_minor) == (7_460, 2_460, 5_000)
    assert_books(bare_ground)


def test_promotional_credit_leaves_no_tax_below_zero(bare_ground: Ground, account: Account) -> None:
    grant(bare_ground, "welcome", "Promotional", "500.00")
    invoice = november(bare_ground, account, tokens=100, books=50)
    assert (invoice.total_minor, invoice.tax_minor, invoice.phase) == (0, 0, "Paid")
    assert_books(bare_ground)


def test_what_only_its_tax_brings_below_zero_is_refused_with_the_reason(
    bare_ground: Ground, account: Account
) -> None:
    """The database would refuse it too, and say nothing that a person understands."""
    with pytest.raises(UnableToIssue, match=r"come to -6\.90 USD, for -6\.90 USD of VAT 23 % \(IE\)"):
        november(bare_ground, account, tokens=0, books=30)
