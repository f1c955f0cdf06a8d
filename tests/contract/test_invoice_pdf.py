"""The PDF itself: what stands on it, and that the same invoice is the same bytes."""

import shutil
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from milo_billing.adapters import typst_documents
from milo_billing.adapters.invoice_page import PROJECTS_MAX, page_data
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.invoicing.types.documents import InvoiceDocument, Logo
from milo_billing.invoicing.types.drafts import LineConversion, Part
from milo_billing.invoicing.types.invoices import LineShare
from tests.unit.invoicing.builders import document, line, long_document, usage_part
from tests.unit.invoicing.pdf import IMAGE, PATH, count_objects, embedded_fonts, read_pages

TOKENS = line("Context tokens", usage_part("18.059974", "2.50", 4515), unit="10*6.{token}")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 180 48"><rect width="180" height="48"/></svg>'


def _png(side: int) -> bytes:
    """A grey square."""

    def chunk(tag: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + tag + data + zlib.crc32(tag + data).to_bytes(4, "big")

    size = side.to_bytes(4, "big") * 2
    rows = zlib.compress((b"\0" + b"\x90" * side) * side)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", size + bytes((8, 0, 0, 0, 0)))
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


PNG = _png(40)


@pytest.fixture(scope="module")
def writer() -> TypstDocuments:
    return TypstDocuments()


@pytest.fixture(scope="module")
def pages(writer: TypstDocuments) -> Callable[[InvoiceDocument], list[str]]:
    """The text of each page."""

    def read(document: InvoiceDocument) -> list[str]:
        return read_pages(writer.write(document).content)

    return read


def test_a_line_of_a_book_in_another_currency_says_the_rate_and_its_day() -> None:
    conversion = LineConversion(
        "USD", 4515, Decimal("0.8"), date(2026, 10, 30), "ECB", Decimal("1.25"), Decimal(1)
    )
    converted = replace(TOKENS, amount_minor=3612, conversion=conversion)
    (shown,) = page_data(document(converted, currency="CHF"))["lines"]
    assert (shown["price"], shown["amount"]) == ("2.50 USD", "36.12")
    assert shown["detail"].replace("\u00a0", " ") == "compute · USD 45.15 × 0.8 (ECB, October 30, 2026)"


def test_an_invoice_says_who_to_whom_what_and_by_when(pages: Callable[[InvoiceDocument], list[str]]) -> None:
    (page,) = pages(document(TOKENS))
    for shown in (
        "Invoice",
        "KC-2026-000123",
        "Acme Robotics SARL",
        "Zoé Lefèvre",
        "75007 Paris",
        "VAT ID FR40303265045",
        "Kestrel Cloud Ltd.",
        "VAT ID IE3668997OH",
        "Oct 1 – 31, 2026",
        "December 2, 2026",
        "acme/main",
        "18.059974",
        "1M token",
        "USD 45.15",
        "IE64 IRCE 9205 0112 3456 78",
        "Registered in Dublin, no. 000000.",
        "Page 1 of 1",
    ):
        assert shown in page, shown


@pytest.mark.parametrize(
    ("language", "currency", "shown"),
    [
        ("de", "EUR", ["Rechnung", "45,15 EUR", "2. Dezember 2026", "Seite 1 von 1", "Frankreich"]),
        ("fr", "EUR", ["Facture", "45,15 EUR", "2 décembre 2026", "Page 1 sur 1"]),
        ("ja", "JPY", ["請求書", "JPY 4,515", "2026年12月2日", "1 / 1 ページ", "Zoé Lefèvre 様", "フランス"]),
        ("en", "KWD", ["KWD 4.515"]),
    ],
)
def test_words_numbers_and_dates_are_the_readers(
    pages: Callable[[InvoiceDocument], list[str]], language: str, currency: str, shown: list[str]
) -> None:
    (page,) = pages(document(TOKENS, language=language, currency=currency))
    for text in shown:
        assert text in page, text


def test_parts_of_a_line_are_shown_where_it_has_more_than_a_price(
    pages: Callable[[InvoiceDocument], list[str]],
) -> None:
    tiers = (
        usage_part("1000", "0.10", 10_000, tier=1),
        Part("FlatFee", 2, None, None, 300),
        usage_part("500", "0.05", 2_500, tier=2),
        Part("Maximum", None, None, None, -800),
    )
    (page,) = pages(document(line("Requests", *tiers)))
    for shown in (
        "Tier 1",
        "100.00",
        "Fee for tier 2",
        "3.00",
        "Tier 2",
        "Reduction to the maximum charge",
        "-8.00",
    ):
        assert shown in page, shown


def test_each_price_model_says_what_it_charged_for(
    pages: Callable[[InvoiceDocument], list[str]],
) -> None:
    support = Part("Percentage", None, Decimal("1250.00"), Decimal("0.025"), 3_125)
    lines = [
        line("Mail", Part("Package", None, Decimal(3), Decimal("5"), 1_500)),
        line("Support", support),
        line("Base", Part("FlatFee", None, None, None, 2_000)),
    ]
    (page,) = pages(document(*lines))
    for shown in ("Packages", "15.00", "2.5% of USD 1,250.00", "31.25", "Flat charge", "20.00"):
        assert shown in page, shown
    (page,) = pages(document(*lines, language="de"))
    assert "2,5 % von 1.250,00 USD" in page.replace("\u00a0", " ")


def test_a_long_invoice_counts_its_pages_repeats_its_heads_and_loses_no_line(
    pages: Callable[[InvoiceDocument], list[str]],
) -> None:
    made = pages(long_document(60))
    assert len(made) >= 3
    for number, page in enumerate(made, start=1):
        assert f"Page {number} of {len(made)}" in page
        assert "KC-2026-000123" in page
    text = "\n".join(made)
    for number in range(1, 61):
        assert f"Product {number}\n" in text or f"Product {number} " in text


def test_the_projects_sum_up_to_the_total(pages: Callable[[InvoiceDocument], list[str]]) -> None:
    long = long_document(7)
    data = page_data(long)
    amounts = [project["amount"] for project in data["projects"]]
    assert sum(round(float(amount.replace(",", "")) * 100) for amount in amounts) == long.total_minor
    assert [project["name"] for project in data["projects"]] == ["api", "data", "web"]


def test_more_projects_than_are_printed_are_one_row_and_the_column_still_sums_up() -> None:
    many = tuple(LineShare(f"p{index:04}", TOKENS.quantity, 3) for index in range(PROJECTS_MAX + 5))
    data = page_data(document(replace(TOKENS, projects=many, amount_minor=3 * len(many))))
    assert len(data["projects"]) == PROJECTS_MAX + 1
    assert data["projects"][-1] == {"name": "5 further projects", "amount": "0.15", "items": []}


def test_the_same_invoice_is_the_same_bytes_whoever_writes_it(writer: TypstDocuments) -> None:
    one = document(TOKENS)
    assert writer.write(one) == TypstDocuments().write(one)
    assert writer.write(one).content != writer.write(replace(one, number="KC-2026-000124")).content


def test_the_document_is_an_archivable_pdf(writer: TypstDocuments) -> None:
    content = writer.write(document(TOKENS)).content
    assert b"<pdfaid:part>3</pdfaid:part>" in content
    assert b"<pdfaid:conformance>B</pdfaid:conformance>" in content


def test_every_font_of_a_page_is_embedded(writer: TypstDocuments) -> None:
    content = writer.write(document(TOKENS, language="ja", currency="JPY")).content
    assert embedded_fonts(content) == {
        "Inter-Regular",
        "Inter-SemiBold",
        "NotoSansCJKjp-Regular",
        "NotoSansCJKjp-Bold",
    }
    assert content.count(b"/Type/FontDescriptor") == 4


def test_a_character_that_no_font_has_does_not_stop_the_invoice(
    pages: Callable[[InvoiceDocument], list[str]],
) -> None:
    (page,) = pages(document(replace(TOKENS, description="Rockets 🚀 한")))
    assert "Rockets □ □" in page


def test_a_font_in_the_operators_folder_is_used(tmp_path: Path) -> None:
    shipped = Path(typst_documents.__file__).parent / "fonts" / "NotoSansCJKjp-Regular.otf"
    shutil.copy(shipped, tmp_path / "another.otf")
    content = TypstDocuments(fonts_dir=tmp_path).write(document(TOKENS)).content
    assert content.startswith(b"%PDF-1.7")


@pytest.mark.parametrize(
    ("logo", "kind"), [(Logo("image/svg+xml", SVG), PATH), (Logo("image/png", PNG), IMAGE)]
)
def test_the_logo_stands_on_the_page_in_the_place_of_the_name(
    writer: TypstDocuments, pages: Callable[[InvoiceDocument], list[str]], logo: Logo, kind: int
) -> None:
    with_logo, without = replace(document(TOKENS), logo=logo), document(TOKENS)
    drawn, before = (count_objects(writer.write(one).content, kind=kind) for one in (with_logo, without))
    assert drawn == before + 1
    ((page,), (before_page,)) = pages(with_logo), pages(without)
    assert page.count(with_logo.seller.name) == before_page.count(with_logo.seller.name) - 1


def test_a_logo_that_turns_out_to_be_broken_is_left_out(
    pages: Callable[[InvoiceDocument], list[str]],
) -> None:
    broken = replace(document(TOKENS), logo=Logo("image/svg+xml", b"<svg><g></svg>"))
    (page,) = pages(broken)
    assert "USD 45.15" in page


def test_a_customer_whose_data_were_erased_is_not_named(
    pages: Callable[[InvoiceDocument], list[str]],
) -> None:
    (page,) = pages(replace(document(TOKENS), buyer=None))
    assert "Customer details erased on request" in page
    assert "Acme" not in page
