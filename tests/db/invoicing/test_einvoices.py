"""The electronic invoice of an issued invoice: kept like the PDF, inside it where the issuer says so, and validated."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from milo_billing.adapters.einvoices.checking import RuleChecker
from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import SimulatedClock
from milo_billing.invoicing.operations import papers
from milo_billing.invoicing.routes import routes, validation_routes
from milo_billing.invoicing.types.documents import DocumentKind
from milo_billing.invoicing.types.errors import NoEInvoice
from milo_billing.invoicing.types.invoices import Invoice
from tests.db.invoicing.ground import ACME, ISSUER, NOVEMBER, Ground
from tests.serving import client_of, serving

INVOICE = f"/apis/billing.miloapis.com/v1alpha1/namespaces/{ACME}/invoices/kc-2026-000001"
WRITER = TypstDocuments()


@pytest.fixture
def issue(bare_ground: Ground) -> Any:
    """Issue October under an issuer that sends e-invoices in this way."""

    def issued(e_invoice: str, **account: Any) -> Invoice:
        bare_ground.declare("issuerprofiles", "kestrel", {**ISSUER, "eInvoice": e_invoice})
        declared = bare_ground.declare_account(**account)
        bare_ground.use(declared, ("2026-10-01", "web", "tokens", 18_059_974))
        return bare_ground.issued(declared)

    return issued


def read(ground: Ground, invoice: Invoice, kind: DocumentKind) -> bytes:
    return ground.reading(
        lambda tx: papers.print_invoice(
            tx, ground.office.vault, WRITER, invoice=invoice, now=NOVEMBER, kind=kind
        )
    ).content


def documents_of(ground: Ground) -> Any:
    ((status,),) = ground.read(
        "select status -> 'documents' from controlplane.objects where resource = 'invoices'"
    )
    return status


def test_the_electronic_invoice_inside_the_pdf_is_the_one_that_is_kept(
    bare_ground: Ground, issue: Any
) -> None:
    invoice = issue("FacturX")
    pdf, cii = read(bare_ground, invoice, "pdf"), read(bare_ground, invoice, "cii")
    name, inside = importlib.import_module("facturx").get_facturx_xml_from_pdf(pdf)
    assert (name, inside) == ("factur-x.xml", cii)
    assert bare_ground.read("select kind from invoicing.documents order by kind") == [("cii",), ("pdf",)]


def test_a_pdf_has_nothing_inside_where_the_issuer_does_not_say_so(bare_ground: Ground, issue: Any) -> None:
    assert b"/EmbeddedFile" not in read(bare_ground, issue("None"), "pdf")
    assert set(documents_of(bare_ground)) == {"pdf"}


def test_an_issuer_that_sends_ubl_says_where_it_is(bare_ground: Ground, issue: Any) -> None:
    issue("UBL")
    assert documents_of(bare_ground) == {"pdf": f"{INVOICE}/pdf", "ubl": f"{INVOICE}/ubl"}


def test_what_was_written_outlives_the_erasure_and_what_was_not_is_refused(
    bare_ground: Ground, issue: Any
) -> None:
    invoice = issue("FacturX")
    before = read(bare_ground, invoice, "ubl")
    account = bare_ground.account()
    bare_ground.reading(lambda tx: bare_ground.office.vault.erase(tx, account.uid, NOVEMBER))
    assert read(bare_ground, invoice, "ubl") == before
    with pytest.raises(NoEInvoice, match="details were erased"):
        read(bare_ground, invoice, "cii")
    # the page is not concerned
    assert b"/EmbeddedFile" not in read(bare_ground, invoice, "pdf")


@pytest.fixture
def http(bare_ground: Ground, tmp_path: Path) -> Iterator[httpx.Client]:
    door = Door(bare_ground.databases.app, bare_ground.engine.authorizer, SimulatedClock(NOVEMBER))
    checker = RuleChecker()
    application = build_application(
        [
            *routes(door, bare_ground.office, WRITER, FolderBlobs(tmp_path / "archive")),
            *validation_routes(door, bare_ground.office, WRITER, checker),
        ]
    )
    with (
        serving(application) as url,
        client_of(url, token="ann", timeout_s=60) as client,
    ):
        yield client
    checker.close()


def test_it_is_served_with_a_tag_of_its_bytes_and_is_valid(
    bare_ground: Ground, issue: Any, http: httpx.Client
) -> None:
    issue("UBL")
    for kind in ("ubl", "cii"):
        first, again = (http.get(f"{INVOICE}/{kind}") for _ in range(2))
        assert first.headers["content-type"] == "application/xml"
        assert first.headers["content-disposition"] == f'inline; filename="KC-2026-000001.{kind}.xml"'
        assert (first.content, first.headers["etag"]) == (again.content, again.headers["etag"])
    answer = http.get(f"{INVOICE}/validation").json()
    assert answer == {"valid": True, "documents": {"ubl": [], "cii": []}}


def test_an_invoice_that_cannot_be_one_says_why(bare_ground: Ground, issue: Any, http: httpx.Client) -> None:
    issue("FacturX", contactInfo={"email": "zoe@example.com", "businessName": "Acme"})
    for below in ("ubl", "cii", "validation"):
        answer = http.get(f"{INVOICE}/{below}")
        assert answer.status_code == 409
        assert "the customer has no country: say it in BillingAccount" in answer.json()["message"]
    assert http.get(f"{INVOICE}/pdf").status_code == 200
