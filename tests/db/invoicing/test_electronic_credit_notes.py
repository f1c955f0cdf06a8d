"""The electronic credit note of an issued one: kept like the PDF, inside it, and right by every rule of EN 16931."""

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
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.routes import NOTE_PATH, routes, validation_routes
from milo_billing.invoicing.types.documents import DocumentKind
from milo_billing.invoicing.types.invoices import Invoice
from tests.db.invoicing.ground import ACME, ISSUER, NOVEMBER, PRICES, Ground
from tests.db.invoicing.paying import pay
from tests.db.invoicing.test_charges import charge, publish
from tests.db.invoicing.test_credit_notes import act, credit
from tests.db.invoicing.test_taxed_invoices import (
    CONSUMER,
    IRISH,
    REQUESTS,
    TOKENS,
    confirm,
    declare_issuer,
    declare_rate,
)
from tests.serving import serving
from tests.unit.invoicing.pdf import read_pages

WRITER = TypstDocuments()
EXEMPTION = {"country": "IE", "certificate": "IE-56A-1", "reason": "Section 56", "since": "2026-01-01"}


@pytest.fixture(scope="module")
def checker() -> Iterator[RuleChecker]:
    found = RuleChecker()
    yield found
    found.close()


def read(ground: Ground, name: str, kind: DocumentKind) -> bytes:
    def write(tx: Any) -> bytes:
        note = note_reads.get_credit_note(tx, namespace=ACME, name=name)
        printed = papers.print_credit_note(
            tx, ground.office.vault, WRITER, note=note, now=NOVEMBER, kind=kind
        )
        return printed.content

    return ground.reading(write)


def assert_right(ground: Ground, checker: RuleChecker, *names: str) -> None:
    """No rule says anything against the notes in either syntax, and both are the note's own total."""
    for name in names:
        note = ground.reading(lambda tx, name=name: note_reads.get_credit_note(tx, namespace=ACME, name=name))
        found = ground.reading(
            lambda tx, note=note: papers.check_credit_note(
                tx, ground.office.vault, WRITER, checker, note=note, now=NOVEMBER
            )
        )
        assert found == {"ubl": (), "cii": ()}, name
        for kind in ("ubl", "cii"):
            told = importlib.import_module("facturx.parse_xml").parse_ubl_cii_xml(read(ground, name, kind))
            assert (told["BT-1"], told["BT-3"]) == (note.number, "381")
            assert f"{float(told['BT-112']):.2f}" == f"{note.total_minor / 100:.2f}"


def issued(ground: Ground, *usage: Any, issuer: dict[str, Any] | None = None, **account: Any) -> Invoice:
    declare_issuer(ground, IRISH, **(issuer or {"eInvoice": "FacturX"}))
    declare_rate(ground)
    declared = ground.declare_account(**account)
    ground.use(declared, *(usage or (TOKENS, REQUESTS)))
    return ground.issued(declared)


def test_what_is_credited_in_parts_and_last_in_full_is_right_to_the_cent(
    bare_ground: Ground, checker: RuleChecker
) -> None:
    invoice = issued(bare_ground, **CONSUMER)
    credit(bare_ground, invoice, "quantity", lines=[{"line": 1, "quantity": "7"}])
    for number in range(3):  # each of these may be a cent off its rate, for the last takes what is left
        credit(bare_ground, invoice, f"amount-{number}", amount="3.33")
    credit(bare_ground, invoice, "rest", reason="all  of\nit")
    names = ("quantity", "amount-0", "amount-1", "amount-2", "rest")
    assert_right(bare_ground, checker, *names)
    ubl = read(bare_ground, "rest", "ubl").decode()
    assert "<cbc:Note>all of it</cbc:Note>" in ubl
    assert f"<cbc:ID>{invoice.number}</cbc:ID>" in ubl


def test_a_credited_quantity_stands_at_its_price(bare_ground: Ground) -> None:
    invoice = issued(bare_ground, TOKENS, **CONSUMER)
    credit(bare_ground, invoice, "cn", lines=[{"line": 1, "quantity": "4"}])
    ubl = read(bare_ground, "cn", "ubl").decode()
    assert '<cbc:CreditedQuantity unitCode="MIO">4</cbc:CreditedQuantity>' in ubl
    assert '<cbc:PriceAmount currencyID="USD">2.5</cbc:PriceAmount>' in ubl


def test_discounts_are_in_what_is_credited(bare_ground: Ground, checker: RuleChecker) -> None:
    declare_issuer(bare_ground, IRISH)
    declare_rate(bare_ground)
    account = bare_ground.declare_account(**CONSUMER)
    bare_ground.discount("fixed", scope="Line", amount="0.99", currencyCode="USD")
    bare_ground.discount("all", scope="Invoice", percentage="10")
    bare_ground.use(account, TOKENS, REQUESTS)
    invoice = bare_ground.issued(account)
    assert invoice.discounts_minor < 0
    credit(bare_ground, invoice, "some", lines=[{"line": 1, "quantity": "3"}])
    credit(bare_ground, invoice, "rest")
    assert_right(bare_ground, checker, "some", "rest")


def test_reverse_charge(bare_ground: Ground, checker: RuleChecker) -> None:
    declare_issuer(bare_ground, IRISH)
    declare_rate(bare_ground)
    account = bare_ground.declare_account()
    confirm(bare_ground, account, "FR40303265045")
    bare_ground.use(account, TOKENS)
    invoice = bare_ground.issued(account)
    assert invoice.taxes[0].treatment.code == "AE"
    credit(bare_ground, invoice, "some", amount="10")
    credit(bare_ground, invoice, "rest")
    assert_right(bare_ground, checker, "some", "rest")


def test_exempt_and_prepaid(bare_ground: Ground, checker: RuleChecker) -> None:
    invoice = issued(bare_ground, **CONSUMER, taxExemptions=[EXEMPTION])
    assert invoice.taxes[0].treatment.code == "E"
    pay(bare_ground, invoice, invoice.total_minor, "p1")
    credit(bare_ground, invoice, "cn", lines=[{"line": 2}])
    assert_right(bare_ground, checker, "cn")


def test_a_note_over_one_of_several_rates_has_that_rate_alone(
    bare_ground: Ground, checker: RuleChecker
) -> None:
    declare_issuer(bare_ground, IRISH, eInvoice="FacturX")
    declare_rate(bare_ground)
    declare_rate(bare_ground, "books", taxCategory="books", percent="9")
    declare_rate(bare_ground, "papers", taxCategory="papers", percent="0")
    for category in ("books", "papers"):
        spec = {"chargeType": "OneTime", "pricingUnit": "1", "displayName": category, "taxCategory": category}
        bare_ground.declare("skus", category, spec)
    sold = ({"skuRef": {"name": one}, "model": "PerUnit", "unitPrice": "7"} for one in ("books", "papers"))
    publish(bare_ground, "list-usd", "2026-02-01", *PRICES, *sold)
    account = bare_ground.declare_account(**CONSUMER)
    for one in ("books", "papers"):
        charge(bare_ground, one, "2026-10-07", "3", skuRef={"name": one})
    bare_ground.use(account, TOKENS)
    invoice = bare_ground.issued(account)
    assert [str(one.treatment.percent) for one in invoice.taxes] == ["9", "0", "23"]
    credit(bare_ground, invoice, "free", lines=[{"line": 2}])
    credit(bare_ground, invoice, "last", lines=[{"line": 3, "amount": "5"}])
    credit(bare_ground, invoice, "two", lines=[{"line": 1}, {"line": 3}])
    assert_right(bare_ground, checker, "free", "last", "two")
    text = "\n".join(read_pages(read(bare_ground, "two", "pdf")))
    assert "VAT 23%" in text and "VAT 9%" in text and "VAT 0%" not in text


def test_a_void_invoice_is_credited_as_a_whole(bare_ground: Ground, checker: RuleChecker) -> None:
    invoice = issued(bare_ground, **CONSUMER)
    act(bare_ground, invoice, "void")
    ((name,),) = bare_ground.read("select name from invoicing.credit_notes")
    assert_right(bare_ground, checker, name)


def test_the_credit_note_inside_the_pdf_is_the_one_that_is_kept(bare_ground: Ground) -> None:
    invoice = issued(bare_ground, **CONSUMER)
    status = credit(bare_ground, invoice, "cn")
    pdf, cii = read(bare_ground, "cn", "pdf"), read(bare_ground, "cn", "cii")
    name, inside = importlib.import_module("facturx").get_facturx_xml_from_pdf(pdf)
    assert (name, inside) == ("factur-x.xml", cii)
    assert b"<ram:TypeCode>381</ram:TypeCode>" in cii
    assert "Credit note" in read_pages(pdf)[0]
    assert status["documents"]["ubl"] == ""  # it stands in the PDF
    kept = bare_ground.read("select kind from invoicing.credit_documents order by kind")
    assert kept == [("cii",), ("pdf",)]


def test_a_note_that_cannot_be_one_says_why_and_its_pdf_is_there(
    bare_ground: Ground, tmp_path: Path, checker: RuleChecker
) -> None:
    contact = {"email": "zoe@example.com", "businessName": "Acme"}
    bare_ground.declare("issuerprofiles", "kestrel", {**ISSUER, "eInvoice": "UBL"})
    account = bare_ground.declare_account(contactInfo=contact)
    bare_ground.use(account, TOKENS)
    invoice = bare_ground.issued(account)
    status = credit(bare_ground, invoice, "cn")
    path = NOTE_PATH.format(namespace=ACME, name="cn")
    assert status["documents"] == {"pdf": f"{path}/pdf", "ubl": f"{path}/ubl"}
    door = Door(bare_ground.databases.app, bare_ground.engine.authorizer, SimulatedClock(NOVEMBER))
    application = build_application(
        [
            *routes(door, bare_ground.office, WRITER, FolderBlobs(tmp_path / "archive")),
            *validation_routes(door, bare_ground.office, WRITER, checker),
        ]
    )
    with serving(application) as url, httpx.Client(base_url=url, timeout=60) as http:
        http.headers["Authorization"] = "Bearer ann"
        for below in ("ubl", "cii", "validation"):
            answer = http.get(f"{path}/{below}")
            assert answer.status_code == 409
            assert "the customer has no country" in answer.json()["message"]
        shown = http.get(f"{path}/pdf")
        assert shown.headers["content-disposition"] == f'inline; filename="{status["number"]}.pdf"'
