"""The PDF of a credit note: its own words, the invoice that it is about, written once."""

from typing import Any

import pytest

from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.controlplane.decoding import Draft
from milo_billing.invoicing.operations import papers
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.types.documents import PrintedDocument
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground
from tests.db.invoicing.paying import pay
from tests.unit.invoicing.pdf import read_pages


def printed(ground: Ground, name: str) -> PrintedDocument:
    def write(tx: Any) -> PrintedDocument:
        note = note_reads.get_credit_note(tx, namespace=ACME, name=name)
        return papers.print_credit_note(tx, ground.office.vault, TypstDocuments(), note=note, now=NOVEMBER)

    return ground.reading(write)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("Credit note", "Credit note number", "Reason: an outage.", "KC-2026-000001", "5.00 of")),
        ("de", ("Rechnungskorrektur", "zur Rechnung KC-2026-000001", "Guthaben")),
        ("fr", ("Avoir", "Facture concernée", "crédit")),
        ("ja", ("クレジットノート", "減額金額")),
    ],
)
def test_a_credit_note_is_printed_in_the_readers_language(
    ground: Ground, language: str, words: tuple[str, ...]
) -> None:
    account = ground.declare_account(language=language)
    ground.use(account, ("2026-10-01", "web", "tokens", 10_000_000))
    invoice = ground.issued(account)
    pay(ground, invoice, 2_000, "p1")
    kind = next(kind for kind in ground.engine.registry.kinds if kind.plural == "creditnotes")
    spec = {
        "invoiceRef": {"name": invoice.name},
        "reason": "an outage",
        "lines": [{"line": 1, "quantity": "4"}],
    }
    draft = Draft("outage", "", "", "", "", {}, {}, spec, {})
    ground.write(lambda work: ground.engine.create(work, kind, namespace=ACME, draft=draft), now=NOVEMBER)
    first = printed(ground, "outage")
    text = "\n".join(read_pages(first.content))
    for word in ("CN-2026-000001", "Acme Robotics SARL", *words):
        assert word in text, text
    assert "IE64" not in text  # nothing is to be paid
    assert printed(ground, "outage") == first
