"""docs/accounting.md says what the books do: its tables are made anew here, and must be the same."""

from pathlib import Path

import pytest

from tests.unit.ledger.accounting import FACTS, chart_table, entries_table

PAGE = (Path(__file__).parents[3] / "docs" / "accounting.md").read_text()


def section(heading: str) -> str:
    _, found, rest = PAGE.partition(f"\n### {heading}\n")
    assert found, f"docs/accounting.md has no section {heading!r}"
    return rest.partition("\n#")[0]


@pytest.mark.parametrize("fact", FACTS)
def test_the_page_shows_each_fact_with_the_entries_that_it_posts(fact: str) -> None:
    assert entries_table(FACTS[fact]) in section(fact)


def test_the_page_shows_no_fact_that_is_not_made_here() -> None:
    shown = [line.removeprefix("### ") for line in PAGE.splitlines() if line.startswith("### ")]
    assert shown == list(FACTS)


def test_the_page_has_the_chart() -> None:
    assert chart_table() in PAGE
