"""PDFs are written by other processes: the same bytes, whatever becomes of those, and their memory comes back."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from milo_billing.adapters.child_documents import ChildDocuments
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.invoicing.types.documents import InvoiceDocument, Logo
from milo_billing.invoicing.types.errors import UnableToRender
from tests.contract.einvoices import TOKENS
from tests.unit.invoicing.builders import document, long_document

SHORT = document(TOKENS, currency="EUR")


@pytest.fixture
def writer() -> Iterator[ChildDocuments]:
    found = ChildDocuments(children=1, documents_max=2)
    yield found
    found.close()


def numbered(number: int) -> InvoiceDocument:
    return replace(SHORT, number=f"KC-2026-{number:06}")


def test_it_writes_what_the_renderer_writes_here(writer: ChildDocuments) -> None:
    assert writer.write(SHORT) == TypstDocuments().write(SHORT)


def test_a_process_ends_after_its_documents_and_another_takes_its_place(writer: ChildDocuments) -> None:
    seen: list[tuple[int, ...]] = []
    for number in range(4):
        writer.write(numbered(number))
        seen.append(writer.processes)
    assert [len(one) for one in seen] == [1, 0, 1, 0]
    assert seen[0] != seen[2]


def test_one_that_was_killed_is_replaced(writer: ChildDocuments) -> None:
    writer.write(SHORT)
    (child,) = writer.processes
    os.kill(child, signal.SIGKILL)
    assert writer.write(SHORT).content.startswith(b"%PDF-")


def test_many_ask_at_once_and_each_gets_its_own(writer: ChildDocuments) -> None:
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(writer.write, map(numbered, range(4))))
    assert len({one.content for one in written}) == 4
    assert written[3] == TypstDocuments().write(numbered(3))


def test_a_broken_logo_is_left_out_there_too(writer: ChildDocuments) -> None:
    broken = replace(SHORT, logo=Logo("image/svg+xml", b"<svg"))
    assert writer.write(broken) == TypstDocuments().write(broken)


def test_one_that_does_not_answer_is_an_error_and_not_a_wait() -> None:
    writer = ChildDocuments(children=1, answer_s=0.01)
    try:
        with pytest.raises(UnableToRender, match="KC-2026-000123 cannot be printed: the process"):
            writer.write(long_document(60))
        assert writer.processes == ()
    finally:
        writer.close()
