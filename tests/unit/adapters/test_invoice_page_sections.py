"""The page of a consolidated invoice: a section of each account, with its name and what it comes to."""

from dataclasses import replace

import pytest

from milo_billing.adapters.document_strings import STRINGS
from milo_billing.adapters.invoice_page import page_data
from milo_billing.invoicing.types.invoices import InvoiceLine
from tests.unit.invoicing.builders import document, line, usage_part


def used(number: int, account: str, minor: int) -> InvoiceLine:
    shown = line(f"Tokens {number}", usage_part("1", "1", minor), number=number)
    return replace(shown, account=account)


@pytest.mark.parametrize(
    ("language", "heads", "subtotal"),
    [
        ("en", ["Billing account main", "Billing account team"], "Subtotal"),
        ("de", ["Abrechnungskonto main", "Abrechnungskonto team"], "Zwischensumme"),
    ],
)
def test_every_account_has_a_section_with_its_subtotal(
    language: str, heads: list[str], subtotal: str
) -> None:
    page = page_data(document(used(1, "", 100), used(2, "team", 250), used(3, "team", 50), language=language))
    assert [one["title"] for one in page["sections"]] == heads
    assert [one["section"] for one in page["lines"]] == [0, 1, 1]
    assert [one["subtotal"][0] for one in page["sections"]] == [subtotal, subtotal]
    assert [one["subtotal"][1][:1] for one in page["sections"]] == ["1", "3"]


def test_an_invoice_of_one_account_has_no_headings() -> None:
    page = page_data(document(used(1, "", 100)))
    assert page["sections"] == [{"title": "", "subtotal": []}]


def test_an_invoice_over_what_one_sub_account_used_names_it() -> None:
    page = page_data(document(used(1, "team", 100)))
    assert [one["title"] for one in page["sections"]] == ["Billing account team"]
    assert len(STRINGS) == 4
