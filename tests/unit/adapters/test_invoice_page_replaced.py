"""The page of an invoice in the place of a void one: it names that, with its date, beside when it is due."""

from dataclasses import replace
from datetime import date

import pytest

from milo_billing.adapters.credit_note_page import page_of
from milo_billing.adapters.invoice_page import page_data
from milo_billing.invoicing.types.documents import ReplacedInvoice
from tests.contract.einvoices import cancelling, over_invoice
from tests.unit.invoicing.builders import document, line, usage_part

LINE = line("Tokens", usage_part("1", "1", 100))
VOID = ReplacedInvoice("KC-2026-000101", date(2026, 11, 1))


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "replaces invoice KC-2026-000101 of November 1, 2026"),
        ("de", "ersetzt die Rechnung KC-2026-000101 vom 1. November 2026"),
        ("fr", "remplace la facture KC-2026-000101 du 1 novembre 2026"),
        ("ja", "2026年11月1日付請求書 KC-2026-000101 の差替"),
    ],
)
def test_it_names_the_invoice_that_it_replaces_in_the_readers_language(language: str, said: str) -> None:
    invoice = document(LINE, language=language)
    plain = page_data(invoice)
    assert page_data(replace(invoice, replaces=VOID)) == {**plain, "due-by": f"{plain['due-by']} · {said}"}


def test_what_credits_it_or_cancels_the_credit_names_what_that_is_about_alone() -> None:
    note = over_invoice(document(LINE))
    for one in (note, cancelling(replace(note, credits=None))):
        assert page_of(replace(one, replaces=VOID)) == page_of(one)
