"""PDFs in bulk: fast enough on one core, and the memory of the first hundred is that of the last."""

import pytest
from bench.bench_pdf_bulk import run


@pytest.mark.long
def test_a_thousand_are_written_in_the_memory_of_the_first_hundred() -> None:
    figures = {one.name: one for one in run(documents=1_000)}
    grown = figures["pdf_bulk/memory_growth"]
    assert grown.holds, grown
    assert figures["pdf_bulk/processes"].value >= 3  # they are replaced
