"""The code that a banking app reads, and what a page says of credit notes and of what was prepaid."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from milo_billing.adapters.invoice_page import page_data
from milo_billing.adapters.payment_codes import code_picture, transfer_text
from milo_billing.invoicing.types.documents import InvoiceDocument
from milo_billing.kernel.taxes import TaxGroup, TaxTreatment
from tests.unit.invoicing.builders import document, line, usage_part

TOKENS = line("Tokens", usage_part("18.059974", "2.50", 4515))


def taxed(language: str, *groups: TaxGroup, **changed: Any) -> InvoiceDocument:
    tax = sum(group.tax_minor for group in groups)
    made = document(TOKENS, language=language, currency="EUR")
    return replace(made, taxes=groups, tax_minor=tax, total_minor=made.total_minor + tax, **changed)


def standard(basis: int = 4515, tax: int = 1038) -> TaxGroup:
    return TaxGroup(TaxTreatment("S", Decimal(23), "VAT", "IE"), basis, tax)


def untaxed(code: Any, reason: str) -> TaxGroup:
    return TaxGroup(TaxTreatment(code, Decimal(0), "", "", reason), 4515, 0)


def rows(page: dict[str, Any]) -> list[list[str]]:
    return [[text.replace("\u00a0", " ").replace("\u202f", " ") for text in row] for row in page["totals"]]


def test_the_code_is_a_sepa_transfer_with_the_number_as_its_text() -> None:
    text = transfer_text(taxed("en", standard()))
    assert text is not None
    assert text.split("\n") == [
        "BCD",
        "002",
        "1",
        "SCT",
        "IRCEIE2D",
        "Kestrel Cloud Ltd.",
        "IE64IRCE92050112345678",
        "EUR55.53",
        "",
        "",
        "KC-2026-000123",
    ]
    assert code_picture(text) == code_picture(text)
    assert code_picture(text).startswith("<svg")


@pytest.mark.parametrize(
    "changed",
    [
        {"currency": "USD"},
        {"bank": None},
        {"total_minor": 0},
        {"total_minor": 100_000_000_000},
    ],
)
def test_there_is_no_code_for_what_the_guideline_does_not_know(changed: dict[str, Any]) -> None:
    assert transfer_text(replace(document(TOKENS, currency="EUR"), **changed)) is None


def test_what_was_prepaid_is_taken_off_what_is_asked_for() -> None:
    made = taxed("en", standard(), prepaid_minor=5000)
    page = page_data(made)
    assert [amount for _, amount in rows(page)][-3:] == ["EUR 55.53", "EUR -50.00", "EUR 5.53"]
    assert page["total-money"].replace("\u00a0", " ") == "EUR 5.53"
    assert "EUR5.53" in (transfer_text(made) or "")


def test_nothing_is_asked_for_where_all_was_prepaid() -> None:
    made = taxed("en", standard(), prepaid_minor=5553)
    assert page_data(made)["pay-please"] == ""
    assert transfer_text(made) is None


@pytest.mark.parametrize(
    ("source", "language", "said"),
    [
        ("Card", "en", "EUR 55.53 will be charged to your card on December 2, 2026."),
        ("BankAccount", "de", "55,53 EUR ziehen wir am 2. Dezember 2026 von Ihrem Bankkonto ein."),
    ],
)
def test_who_is_collected_from_is_not_asked_to_transfer(source: Any, language: str, said: str) -> None:
    made = taxed(language, standard(), collected_from=source, bank=None)
    page = page_data(made)
    assert page["pay-please"].replace("\u00a0", " ").startswith(said)
    assert (page["bank"], transfer_text(made)) == ([], None)
