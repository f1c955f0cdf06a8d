"""What the page says of tax: totals, the table, a line's own, and the formula of the law in the reader's language."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from milo_billing.adapters.invoice_page import page_data
from milo_billing.invoicing.rules.taxes import settle_taxes
from milo_billing.invoicing.types.documents import InvoiceDocument
from milo_billing.kernel.taxes import AccountingTax, TaxTreatment
from tests.unit.invoicing.builders import document, line, usage_part

ZERO = Decimal(0)
STANDARD = TaxTreatment("S", Decimal(23), "VAT", "IE")
REDUCED = TaxTreatment("S", Decimal("13.5"), "VAT", "IE")
REVERSED = TaxTreatment("AE", ZERO, "VAT", "FR", "Reverse charge", "VATEX-EU-AE")
UNTAXED = TaxTreatment("O", ZERO, "", "", "Not subject to tax", "VATEX-EU-O")
EXEMPT = TaxTreatment("E", ZERO, "", "IE", "Section 56, certificate 7")


def taxed(*treatments: TaxTreatment, language: str = "en") -> InvoiceDocument:
    """One line of 10.00 for each treatment."""
    lines = [
        line(f"Product {number}", usage_part("1", "10", 1000), number=number)
        for number in range(1, len(treatments) + 1)
    ]
    found = settle_taxes([(one.net_minor, (how,)) for one, how in zip(lines, treatments, strict=True)])
    made = document(
        *(replace(one, taxes=taxes) for one, taxes in zip(lines, found.lines, strict=True)), language=language
    )
    total = made.subtotal_minor + found.tax_minor
    return replace(made, taxes=found.groups, tax_minor=found.tax_minor, total_minor=total)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


def rows(page: dict[str, Any], name: str) -> list[list[str]]:
    return [[plain(text) for text in row] for row in page[name]]


def test_each_rate_has_its_row_and_lines_say_theirs_where_there_are_several() -> None:
    page = page_data(taxed(STANDARD, REDUCED))
    assert rows(page, "totals") == [
        ["Subtotal", "USD 20.00"],
        ["VAT 23%", "USD 2.30"],
        ["VAT 13.5%", "USD 1.35"],
        ["Total", "USD 23.65"],
    ]
    assert rows(page, "taxes") == [
        ["VAT · IE", "23%", "10.00", "2.30"],
        ["VAT · IE", "13.5%", "10.00", "1.35"],
    ]
    assert [row["detail"] for row in page["lines"]] == ["compute · VAT 23%", "compute · VAT 13.5%"]
    assert page["projects-total"][0] == "Subtotal"


def test_an_invoice_under_one_rate_does_not_repeat_it_on_every_line() -> None:
    page = page_data(taxed(STANDARD, STANDARD))
    assert [row["detail"] for row in page["lines"]] == ["compute", "compute"]
    assert rows(page, "taxes") == [["VAT · IE", "23%", "20.00", "4.60"]]


@pytest.mark.parametrize(
    ("language", "formula"),
    [
        ("en", "Reverse charge: the customer owes the tax"),
        ("de", "Steuerschuldnerschaft des Leistungsempfängers"),
        ("fr", "Autoliquidation : la taxe est due par le client"),
        ("ja", "リバースチャージ(お客様が納税義務者となります)"),
    ],
)
def test_reverse_charge_is_said_in_the_words_of_the_law(language: str, formula: str) -> None:
    page = page_data(taxed(REVERSED, language=language))
    ((name, _, _, tax),) = rows(page, "taxes")
    assert name == plain(formula)
    assert Decimal(tax.replace(",", ".")) == 0
    assert len(page["totals"]) == 1


def test_a_certificate_is_printed_as_it_was_declared() -> None:
    assert rows(page_data(taxed(EXEMPT)), "taxes") == [["Section 56, certificate 7", "0%", "10.00", "0.00"]]


def test_who_collects_no_tax_says_nothing_of_it() -> None:
    page = page_data(taxed(UNTAXED))
    assert page["taxes"] == []
    assert rows(page, "totals") == [["Total", "USD 10.00"]]


def test_the_tax_in_the_issuers_currency_is_a_note() -> None:
    in_euro = AccountingTax("EUR", 184, Decimal("0.8"), date(2026, 10, 30), "ECB")
    page = page_data(replace(taxed(STANDARD), accounting_tax=in_euro))
    assert plain(page["notes"][0]) == "Tax in EUR: EUR 1.84 at 0.8 (ECB, October 30, 2026)."
