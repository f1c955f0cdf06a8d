"""What credit notes take back of the tax in the currency of the issuer's books: at the invoice's rate, all of it."""

from collections.abc import Iterator

import pytest

from milo_billing.adapters.einvoices.checking import RuleChecker
from milo_billing.invoicing.engine import note_documents
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.kernel.taxes import AccountingTax
from tests.db.invoicing.ground import ACME, Ground
from tests.db.invoicing.test_credit_notes import credit
from tests.db.invoicing.test_electronic_credit_notes import assert_right, issued, read
from tests.db.invoicing.test_other_books import bring_rates
from tests.db.invoicing.test_taxed_invoices import CONSUMER, TOKENS
from tests.unit.invoicing.pdf import read_pages


@pytest.fixture(scope="module")
def checker() -> Iterator[RuleChecker]:
    found = RuleChecker()
    yield found
    found.close()


def told(ground: Ground, name: str) -> AccountingTax:
    note = ground.reading(lambda tx: note_reads.get_credit_note(tx, namespace=ACME, name=name))
    loaded = ground.reading(lambda tx: note_documents.load(tx, ground.office.vault, note=note))
    assert loaded.accounting_tax is not None
    return loaded.accounting_tax


def test_credit_notes_take_back_the_tax_in_the_books_currency_to_the_cent(
    bare_ground: Ground, checker: RuleChecker
) -> None:
    """25.00 USD have 5.75 of tax, 2.88 EUR at 0.5: a credit note once said nothing of euros."""
    bring_rates(bare_ground)
    books = {"accountingCurrency": "EUR", "eInvoice": "UBL"}
    invoice = issued(bare_ground, TOKENS, issuer=books, **CONSUMER)
    for name, amount in (("one", "3.33"), ("two", "7.77")):
        credit(bare_ground, invoice, name, amount=amount)
    credit(bare_ground, invoice, "rest")
    found = [told(bare_ground, name) for name in ("one", "two", "rest")]
    # 0.77, then 2.56, then 5.75 dollars of tax are back: 0.39, 1.28 and 2.88 euros
    assert [one.tax_minor for one in found] == [39, 89, 160]
    assert {(one.currency, str(one.rate)) for one in found} == {("EUR", "0.5")}
    assert_right(bare_ground, checker, "one", "rest")
    assert '<cbc:TaxAmount currencyID="EUR">0.39</cbc:TaxAmount>' in read(bare_ground, "one", "ubl").decode()
    page = "\n".join(read_pages(read(bare_ground, "one", "pdf")))
    assert "EUR 0.39 at 0.5" in page, page
