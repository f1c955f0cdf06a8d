"""Invoices on which prepaid money pays for charges of several taxes: what is credited of them, and given."""

from datetime import UTC, datetime

import pytest

from milo_billing.accounts.types import Account
from milo_billing.adapters.einvoices.checking import RuleChecker
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.invoicing.operations import papers, previewing
from milo_billing.invoicing.rules.previews import draft_lines
from milo_billing.invoicing.types.documents import DocumentKind, WrittenDocument
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Invoice
from tests.db.invoicing.ground import PRICES, Ground
from tests.db.invoicing.late_ground import adjust, amounts, lines_of
from tests.db.invoicing.paying import as_it_stands
from tests.db.invoicing.test_credit_grants import assert_books, credit, grant
from tests.db.invoicing.test_promised_invoices import month_issued
from tests.db.invoicing.test_taxed_invoices import CONSUMER, IRISH, declare_issuer, declare_rate

WRITER = TypstDocuments()
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
    return only_november(ground, account, tokens=tokens, books=books)


def only_november(ground: Ground, account: Account, *, tokens: int, books: int) -> Invoice:
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


def deferred(ground: Ground) -> int:
    """What is still to be drawn, by the books."""
    ((minor,),) = ground.read(
        "select -sum(amount_minor)::bigint from ledger.entries where account = %s",
        "Liabilities:DeferredRevenue:Prepayment",
    )
    return minor


def notes_of(ground: Ground) -> list[tuple[int, int, int, str]]:
    """Net, tax, what was still owed, and the reason of every credit note."""
    return ground.read(
        "select net_minor, tax_minor, settled_minor, reason from invoicing.credit_notes order by sequence"
    )


def test_prepaid_money_pays_for_what_is_taxed_less_and_the_tax_that_was_too_much_comes_back(
    bare_ground: Ground, account: Account
) -> None:
    """It once was refused. 30.00 of books are paid by 30.00 that were taxed with 6.90: 6.90 come back, and these are
    5.61 of the prepaid money with 1.29 of tax.
    """
    october = month_issued(bare_ground, account, 1)
    assert (october.total_minor, october.tax_minor) == (9_840, 1_840)
    invoice = only_november(bare_ground, account, tokens=0, books=30)
    assert amounts(bare_ground, invoice) == [
        ("Usage", "books", 3_000),
        ("Usage", "tokens", 0),
        ("DrawDown", None, -3_000),
        ("Adjustment", None, 561),
    ]
    assert [(group.basis_minor, group.tax_minor) for group in invoice.taxes] == [(3_000, 0), (-2_439, -561)]
    assert (invoice.total_minor, invoice.phase) == (0, "Paid")
    reason = f"Money prepaid with invoice {october.number} was taxed higher than what it paid for."
    assert notes_of(bare_ground) == [(561, 129, 690, reason)]
    # what is still to be drawn is what is still deferred
    assert deferred(bare_ground) == 8_000 - 3_000
    assert_books(bare_ground)


def test_a_month_that_was_brought_to_zero_comes_to_itself_again_and_the_next_goes_on(
    bare_ground: Ground, account: Account
) -> None:
    invoice = november(bare_ground, account, tokens=0, books=30)
    assert adjust(bare_ground, invoice, now=DECEMBER).notes == ()
    bare_ground.use(account, ("2026-12-05", "web", "bytes", 60))
    december = month_issued(bare_ground, account, 3)
    # 50.00 are left: 10.00 of 60.00 are to be paid, of which the tax of what was drawn takes all
    assert amounts(bare_ground, december)[1] == ("DrawDown", None, -5_000)
    assert december.total_minor == 0
    assert [(net, tax) for net, tax, _, _ in notes_of(bare_ground)] == [(561, 129), (122, 28)]
    assert deferred(bare_ground) == 0
    assert_books(bare_ground)


def test_what_was_credited_of_the_prepaid_money_is_not_given_back_again(
    bare_ground: Ground, account: Account
) -> None:
    """Nothing of it is left that was taxed: the month says why it waits."""
    october = month_issued(bare_ground, account, 1)
    credit(bare_ground, october, "rest")
    with pytest.raises(UnableToIssue, match=r"come to -6\.90 USD, for -6\.90 USD of VAT 23 % \(IE\)"):
        only_november(bare_ground, account, tokens=0, books=30)


def test_a_month_of_several_taxes_is_previewed_as_it_is_issued(bare_ground: Ground, account: Account) -> None:
    """Of 80.00, 10.00 pay for what is taxed as they were, and 70.00 for books: 16.10 of tax were too much."""
    month_issued(bare_ground, account, 1)
    bare_ground.spend(account, "2026-11-05", 10)
    bare_ground.use(account, ("2026-11-05", "web", "bytes", 70))
    preview = bare_ground.reading(
        lambda tx: previewing.preview(
            tx, office=bare_ground.office, account=account, month=(2026, 11), now=DECEMBER
        )
    )
    invoice = month_issued(bare_ground, account, 2)
    assert (preview.untaxed, preview.draft.total_minor) == (None, 0)
    assert draft_lines(preview) == lines_of(bare_ground, invoice)
    assert [(net, tax, on) for net, tax, on, _ in notes_of(bare_ground)] == [(1_309, 301, 1_610)]
    assert_books(bare_ground)


def test_the_electronic_invoice_of_such_a_month_has_no_error(bare_ground: Ground, account: Account) -> None:
    invoice = november(bare_ground, account, tokens=0, books=30)
    checker = RuleChecker()
    kinds: tuple[DocumentKind, ...] = ("ubl", "cii")
    for kind in kinds:
        written = bare_ground.reading(
            lambda tx, kind=kind: papers.print_invoice(
                tx, bare_ground.office.vault, WRITER, invoice=invoice, now=DECEMBER, kind=kind
            )
        )
        found = checker.check(WrittenDocument(written.media_type, "", written.content))
        assert [one for one in found if one.severity == "error"] == []
    checker.close()
