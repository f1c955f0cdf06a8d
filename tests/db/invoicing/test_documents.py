"""The PDF of an issued invoice: written once, sealed, and outliving the customer's erasure."""

import pytest

from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.invoicing.operations import papers
from milo_billing.invoicing.types.documents import InvoiceDocument, PrintedDocument, WrittenDocument
from milo_billing.invoicing.types.invoices import Invoice
from tests.db.invoicing.ground import NOVEMBER, Ground
from tests.unit.invoicing.pdf import read_pages


@pytest.fixture(scope="module")
def writer() -> TypstDocuments:
    return TypstDocuments()


@pytest.fixture
def invoice(ground: Ground) -> Invoice:
    account = ground.declare_account(language="fr")
    ground.use(
        account, ("2026-10-01", "web", "tokens", 10_000_000), ("2026-10-31", "data", "tokens", 8_059_974)
    )
    return ground.issued(account)


def printed(ground: Ground, writer: TypstDocuments, invoice: Invoice) -> PrintedDocument:
    return ground.reading(
        lambda tx: papers.print_invoice(tx, ground.office.vault, writer, invoice=invoice, now=NOVEMBER)
    )


def test_the_document_shows_what_was_issued(ground: Ground, writer: TypstDocuments, invoice: Invoice) -> None:
    text = "\n".join(read_pages(printed(ground, writer, invoice).content))
    for shown in (
        "Facture",
        "KC-2026-000001",
        "Acme Robotics SARL",
        "Zoé Lefèvre",
        "N° TVA FR40303265045",
        "Kestrel Cloud Ltd.",
        "18,059974",
        "45,15 USD",
        "web",
        "20,15",
        "2 décembre 2026",
        "IE64 IRCE 9205 0112 3456 78",
    ):
        assert shown in text


def test_the_document_is_written_once_and_read_ever_after(
    ground: Ground, writer: TypstDocuments, invoice: Invoice
) -> None:
    first = printed(ground, writer, invoice)

    class Broken(TypstDocuments):
        def write(
            self, document: InvoiceDocument, *, attached: WrittenDocument | None = None
        ) -> WrittenDocument:
            raise AssertionError("written twice")

    assert printed(ground, Broken(), invoice) == first


def test_the_document_outlives_the_erasure_of_the_customer(
    ground: Ground, writer: TypstDocuments, invoice: Invoice
) -> None:
    before = printed(ground, writer, invoice)
    account = ground.account()
    ground.reading(lambda tx: ground.office.vault.erase(tx, account.uid, NOVEMBER))
    assert printed(ground, writer, invoice) == before


def test_after_erasure_a_document_that_was_never_written_names_nobody(
    ground: Ground, writer: TypstDocuments, invoice: Invoice
) -> None:
    account = ground.account()
    ground.reading(lambda tx: ground.office.vault.erase(tx, account.uid, NOVEMBER))
    text = "\n".join(read_pages(printed(ground, writer, invoice).content))
    assert "Coordonnées du client effacées" in text
    assert "Acme" not in text


def test_documents_are_ciphertext(ground: Ground, writer: TypstDocuments, invoice: Invoice) -> None:
    printed(ground, writer, invoice)
    ((sealed, template),) = ground.read("select sealed, template from invoicing.documents")
    assert template == "invoice/4"
    assert "JVBERi0" not in sealed  # %PDF- in base64
