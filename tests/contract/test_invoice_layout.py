"""What keeps together on the page, and what is not said twice."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

from milo_billing.adapters.invoice_page import page_data
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.invoicing.types.drafts import Part
from milo_billing.invoicing.types.invoices import LineShare
from tests.contract.einvoices import below_zero, came_late
from tests.unit.invoicing.builders import document, line, usage_part
from tests.unit.invoicing.pdf import heights, read_pages

WRITER = TypstDocuments()


def test_a_single_project_repeats_no_line() -> None:
    one = document(line("Tokens", usage_part("3", "2", 600)))
    assert [project["items"] for project in page_data(one)["projects"]] == [[]]
    half = tuple(LineShare(name, Decimal("1.5"), 300) for name in ("data", "web"))
    two = replace(one, lines=(replace(one.lines[0], projects=half),))
    assert [len(project["items"]) for project in page_data(two)["projects"]] == [1, 1]


def test_projects_that_would_break_over_the_page_stand_on_the_next_one_together() -> None:
    lines = [
        replace(
            line(f"Product {number}", usage_part("3", "2", 600), number=number),
            projects=tuple(LineShare(name, Decimal("1.5"), 300) for name in ("data", "web")),
        )
        for number in range(1, 9)
    ]
    pages = read_pages(WRITER.write(document(*lines)).content)
    assert len(pages) == 2
    assert "Charges by project" not in pages[0]
    assert pages[1].count("Product") == 16


def test_a_text_that_needs_two_lines_has_them() -> None:
    """Rows of one line have a given height: what needs more must not run into the next row."""
    long = " ".join(["An unusually long description of a product"] * 4)
    parts = (usage_part("3", "2", 600, tier=1), Part("Minimum", None, None, None, 400))
    wide = document(
        line(long, *parts), line("WWWWWWWWWWWWWWWWWWWWWWWWWWWWWW", *parts, number=2), language="fr"
    )
    text = read_pages(WRITER.write(wide).content)[0]
    assert text.count("unusually") == 4
    assert "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWW" in text.replace("\n", "")


def test_what_earlier_invoices_came_to_stands_in_rows_of_its_own_with_their_number_and_days() -> None:
    lines = [replace(one, line=number) for number, one in enumerate(came_late(), start=2)]
    written = WRITER.write(document(line("Tokens", usage_part("3", "2", 600)), *lines)).content
    text = read_pages(written)[0]
    assert text.count("Adjustment of invoice KC-2026-000097") == 2
    assert "Requests · Sep 1" in text
    rows = heights(
        written,
        "Adjustments of earlier",
        "Requests",
        "As known now",
        "Charged before",
        "annual-2026",
        "Total",
    )
    assert all(above - below > 6 for above, below in pairwise(rows)), rows


def test_a_month_below_zero_says_that_a_credit_note_gives_the_rest_back() -> None:
    text = read_pages(WRITER.write(document(*below_zero())).content)[0]
    assert "Adjustment of invoice KC-2026-000097" in text
    assert "Given back by a credit note" in text
