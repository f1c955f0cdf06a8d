"""Discounts and what a commitment charges, as they stand on the page."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from milo_billing.adapters.invoice_page import page_data
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.commitments.types import Giver, Scope
from milo_billing.invoicing.types.documents import InvoiceDocument
from milo_billing.invoicing.types.drafts import LineDiscount, LineKind, Part
from milo_billing.invoicing.types.invoices import InvoiceDiscount, InvoiceLine, LineShare
from tests.unit.invoicing.builders import document, line, usage_part
from tests.unit.invoicing.pdf import read_pages


def given(scope: Scope, by: Giver, title: str, percent: str | None, minor: int) -> LineDiscount:
    share = None if percent is None else Decimal(percent)
    return LineDiscount(scope, by, UUID(int=2), title, title, share, minor)


def promise(number: int, kind: LineKind, *parts: Part) -> InvoiceLine:
    made = line("yearly", *parts, number=number, unit="")
    return replace(
        made,
        kind=kind,
        sku=None,
        book_name=None,
        book_effective_from=None,
        commitment=UUID(int=1),
        quantity=Decimal(0),
        projects=(LineShare("", Decimal(0), made.amount_minor),),
    )


def flat(minor: int) -> Part:
    return Part("FlatFee", None, None, None, minor)


def promised(language: str) -> InvoiceDocument:
    """GPU with two discounts inside and half off the invoice, and every kind of a commitment's lines."""
    inside = (
        given("Line", "Commitment", "yearly", "20", -2_000),
        given("Line", "Discount", "Two off", None, -200),
    )
    beside = given("Invoice", "Discount", "Half price", "50", -3_900)
    parts = (
        usage_part("100", "1", 10_000),
        *(Part("Discount", None, None, None, minor) for minor in (-2_000, 0, -200)),
    )
    gpu = replace(line("GPU hours", *parts), discounts=(*inside, beside))
    made = document(
        gpu,
        promise(
            2,
            "Shortfall",
            Part("Committed", None, None, None, 10_000),
            Part("Spent", None, None, None, -3_900),
        ),
        promise(3, "Overage", Part("Percentage", None, Decimal("40.00"), Decimal("0.5"), 2_000)),
        promise(4, "Prepayment", flat(10_000)),
        promise(5, "DrawDown", flat(-12_000)),
        language=language,
    )
    off = InvoiceDiscount("Half price", Decimal(50), -3_900)
    return replace(made, discounts=(off,), total_minor=made.subtotal_minor - 3_900)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


def test_a_discount_stands_under_its_line_with_who_gave_it_those_of_the_invoice_before_the_total() -> None:
    page = page_data(promised("en"))
    (gpu,) = page["lines"]
    assert [(part["description"], part["amount"]) for part in gpu["parts"]] == [
        ("Usage", "100.00"),
        ("Discount · yearly · 20%", "-20.00"),
        ("Discount", "0.00"),  # a percentage that took nothing off
        ("Discount · Two off", "-2.00"),
    ]
    assert [[plain(text) for text in row] for row in page["totals"]] == [
        ["Subtotal", "USD 139.00"],
        ["Discount · Half price · 50%", "USD -39.00"],
        ["Total", "USD 100.00"],
    ]


SHOWN: dict[str, list[tuple[str, str, list[str]]]] = {
    "en": [
        ("Minimum spend not reached", "61.00", ["Committed 100.00", "Spent or paid before -39.00"]),
        ("Usage beyond the commitment", "20.00", ["50% of USD 40.00 20.00"]),
        ("Prepayment", "100.00", []),
        ("Paid from prepayment", "-120.00", []),
    ],
    "de": [
        (
            "Mindestumsatz nicht erreicht",
            "61,00",
            ["Zugesagt 100,00", "Bereits verbraucht oder bezahlt -39,00"],
        ),
        ("Nutzung über die Zusage hinaus", "20,00", ["50 % von 40,00 USD 20,00"]),
        ("Vorauszahlung", "100,00", []),
        ("Aus Vorauszahlung bezahlt", "-120,00", []),
    ],
}


@pytest.mark.parametrize("language", SHOWN)
def test_what_a_commitment_charges_is_a_group_of_its_own(language: str) -> None:
    page = page_data(promised(language))
    assert [
        (
            one["description"],
            one["amount"],
            [plain(f"{part['description']} {part['amount']}") for part in one["parts"]],
        )
        for one in page["promises"]
    ] == SHOWN[language]
    assert all(one["detail"].startswith("yearly · ") and not one["quantity"] for one in page["promises"])


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Prepaid again"),
        ("de", "Zurück in die Vorauszahlung"),
        ("fr", "Reversé au prépaiement"),
        ("ja", "前払いへの戻し"),
    ],
)
def test_what_prepaid_money_had_paid_and_is_prepaid_again_is_called_so(language: str, words: str) -> None:
    page = page_data(document(promise(1, "DrawDown", flat(4_600)), language=language))
    assert [one["description"] for one in page["promises"]] == [words]


def test_projects_sum_to_the_lines_before_what_is_off_the_invoice() -> None:
    page = page_data(promised("en"))
    assert page["projects-total"] == ["Subtotal", "139.00"]
    assert [(one["name"], one["amount"]) for one in page["projects"]] == [
        ("web", "78.00"),
        ("Not assigned to a project", "61.00"),
    ]
    assert [item["quantity"] for item in page["projects"][1]["items"]] == [""] * 4


def test_the_page_is_written_with_and_without_lines_of_usage() -> None:
    writer, whole = TypstDocuments(), promised("de")
    text = "\n".join(read_pages(writer.write(whole).content))
    for words in ("Zusagen", "Rabatt", "Half price", "Zwischensumme", "-120,00"):
        assert words in text, words
    alone = replace(whole, lines=whole.lines[1:], discounts=())
    assert "Vorauszahlung" in "\n".join(read_pages(writer.write(alone).content))
