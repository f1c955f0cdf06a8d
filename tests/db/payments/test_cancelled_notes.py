"""What cancels the credit note of a discount that ended: a numbered document of its own, on paper and for machines."""

import importlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from milo_billing.adapters.einvoices.checking import RuleChecker
from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import SimulatedClock
from milo_billing.infra.database import EVERYWHERE, Tx
from milo_billing.infra.jobs import Task
from milo_billing.invoicing.engine.cancelling import TELL_CANCELLATION
from milo_billing.invoicing.jobs.daily import daily_tasks
from milo_billing.invoicing.operations import papers
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.routes import NOTE_PATH, routes, validation_routes
from milo_billing.invoicing.rules.crediting import Paper
from milo_billing.invoicing.types.documents import DocumentKind
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.errors import Invalid
from milo_billing.ledger.types import tax_payable
from tests.db.invoicing.ground import ACME, ISSUER
from tests.db.invoicing.test_printings import Counting, ask, work
from tests.db.notices.test_invoices_announced import delivered
from tests.db.payments.ground import Till
from tests.db.payments.test_early_payment import NINTH, taxed, transfer
from tests.db.payments.test_ended_discount import goes_back
from tests.serving import serving
from tests.unit.invoicing.pdf import read_pages

WRITER = TypstDocuments()


@pytest.fixture(scope="module")
def checker() -> Iterator[RuleChecker]:
    found = RuleChecker()
    yield found
    found.close()


def cancelled(till: Till, paid_minor: int = 12_054) -> Invoice:
    """123.00 paid with the discount of 2.46, and the payment came back."""
    invoice = taxed(till)
    transfer(till, invoice, paid_minor)
    goes_back(till, invoice, paid_minor)
    return invoice


def read(till: Till, kind: DocumentKind = "pdf", *, paper: Paper = "Cancellation") -> bytes:
    def write(tx: Any) -> bytes:
        note = note_reads.get_credit_note(tx, namespace=ACME, name="cn-2026-000001")
        vault = till.ground.office.vault
        return papers.print_credit_note(
            tx, vault, WRITER, note=note, now=NINTH, kind=kind, paper=paper
        ).content

    return till.ground.reading(write)


def money(told: Any) -> str:
    return f"{float(told):.2f}"


def sends(till: Till, e_invoice: str) -> None:
    till.change("issuerprofiles", "kestrel", {"eInvoice": e_invoice}, namespace="")


def test_the_note_names_what_cancels_it(till: Till) -> None:
    sends(till, "UBL")
    invoice = cancelled(till)
    path = NOTE_PATH.format(namespace=ACME, name="cn-2026-000001")
    status = till.status("creditnotes", "cn-2026-000001")
    assert status["cancellation"] == {
        "number": "CC-2026-000001",
        "issuedOn": "2026-11-09",
        "reason": "The payment that earned the discount went back",
        "documents": {"pdf": f"{path}/cancellation/pdf", "ubl": f"{path}/cancellation/ubl"},
    }
    assert status["conditions"][-1]["message"] == (
        f"The payment for which it gave a discount went back: CC-2026-000001 cancels it, and {invoice.number} is owed "
        "in full again."
    )


def test_a_note_that_stands_has_no_cancellation(till: Till) -> None:
    transfer(till, taxed(till), 12_054)
    status = till.status("creditnotes", "cn-2026-000001")
    assert (status["cancelledAt"], status["cancellation"]["number"]) == ("", "")
    assert till.ground.read("select count(*) from invoicing.cancellations") == [(0,)]


def test_cancellations_are_numbered_without_a_gap_beside_the_notes(till: Till) -> None:
    invoice = taxed(till)
    for turn in ("1", "2", "3"):
        transfer(till, invoice, 12_054, f"t{turn}")
        goes_back(till, invoice, 12_054, f"b{turn}", at=NINTH + timedelta(hours=int(turn)))
    numbers = till.ground.read(
        "select n.number, c.number from invoicing.cancellations c "
        "join invoicing.credit_notes n on n.uid = c.credit_note order by c.sequence"
    )
    assert numbers == [(f"CN-2026-00000{one}", f"CC-2026-00000{one}") for one in (1, 2, 3)]


def test_no_two_series_of_an_issuer_are_one(till: Till) -> None:
    for series, other in (
        ({"cancellationSeries": {"prefix": "CN-"}}, "credit notes"),
        ({"cancellationSeries": {"prefix": "KC-"}}, "invoices"),
    ):
        with pytest.raises(Invalid, match=f"{other} are numbered with it"):
            till.ground.declare("issuerprofiles", "other", {**ISSUER, "isDefault": False, **series})


@pytest.mark.parametrize(
    ("paid_minor", "due", "on_account"),
    [
        (12_054, "2.46", None),
        (12_100, "2.00", "0.46"),
    ],  # what the note had put on account is taken from there
)
def test_the_electronic_one_charges_to_the_cent_what_the_note_took_back(
    till: Till, checker: RuleChecker, paid_minor: int, due: str, on_account: str | None
) -> None:
    sends(till, "FacturX")
    invoice = cancelled(till, paid_minor)
    note = till.ground.reading(
        lambda tx: note_reads.get_credit_note(tx, namespace=ACME, name="cn-2026-000001")
    )
    found = till.ground.reading(
        lambda tx: papers.check_credit_note(
            tx, till.ground.office.vault, WRITER, checker, note=note, now=NINTH, paper="Cancellation"
        )
    )
    assert found == {"ubl": (), "cii": ()}
    parse = importlib.import_module("facturx.parse_xml").parse_ubl_cii_xml
    for kind in ("ubl", "cii"):
        told, taken = parse(read(till, kind)), parse(read(till, kind, paper="Note"))
        assert (told["BT-1"], told["BT-3"], taken["BT-3"]) == ("CC-2026-000001", "380", "381")
        for term in ("BT-106", "BT-109", "BT-110", "BT-112"):
            assert told[term] == taken[term], term
        assert (money(told["BT-112"]), money(told["BT-115"])) == ("2.46", due)
        paid = told.get("BT-113")
        assert (money(paid) if paid and float(paid) else None) == on_account
    ubl = read(till, "ubl").decode()
    assert ubl.index("<cbc:ID>CN-2026-000001</cbc:ID>") < ubl.index(f"<cbc:ID>{invoice.number}</cbc:ID>")
    name, inside = importlib.import_module("facturx").get_facturx_xml_from_pdf(read(till))
    assert (name, inside) == ("factur-x.xml", read(till, "cii"))
    assert till.balance(tax_payable("IE")) == -2_300


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("Cancellation of a credit note", "Amount owed again", "earned the discount went back.")),
        ("de", ("Storno der Rechnungskorrektur", "Wieder zu zahlen", "Skonto")),
        ("fr", ("Annulation d’un avoir", "Montant de nouveau dû", "escompte")),
        ("ja", ("クレジットノートの取消", "再請求金額", "取消番号")),
    ],
)
def test_it_is_printed_in_the_readers_language(till: Till, language: str, words: tuple[str, ...]) -> None:
    invoice = taxed(till, language=language)
    transfer(till, invoice, 12_100)
    goes_back(till, invoice, 12_100)
    text = "\n".join(read_pages(read(till)))
    for word in ("CC-2026-000001", "CN-2026-000001", invoice.number, "Acme Robotics SARL", "2", *words):
        assert word in text, text
    assert "IE64" not in text  # it is paid with its invoice
    assert read(till) == read(till)
    assert "CC-2026" not in "\n".join(read_pages(read(till, paper="Note")))


def test_it_goes_by_mail_to_the_account_and_to_channels(till: Till) -> None:
    ground = replace(till.ground, office=Office(till.ground.engine, till.ground.office.vault, mails=True))
    invoice = taxed(till, language="de")
    transfer(till, invoice, 12_054)
    goes_back(till, invoice, 12_054)
    clock = SimulatedClock(NINTH)
    (task,) = [
        one
        for one in daily_tasks(office=ground.office, database=ground.databases.app, clock=clock)
        if isinstance(one, Task) and one.name == TELL_CANCELLATION
    ]
    ((note,),) = ground.read("select uid::text from invoicing.credit_notes")
    for _ in range(2):  # a job may run twice
        task.run(note=note)
    (parcel,) = delivered(ground, at=NINTH + timedelta(hours=1))
    assert (parcel.message.type, parcel.message.language) == ("creditnote.cancelled", "de")
    assert {key: parcel.message.data[key] for key in ("creditNote", "cancellation", "amount", "reason")} == {
        "creditNote": "CN-2026-000001",
        "cancellation": "CC-2026-000001",
        "amount": "2.46",
        "reason": "Die Zahlung, für die Skonto gewährt wurde, ging zurück",
    }
    (pdf,) = parcel.attachments
    assert pdf.name == "CC-2026-000001.pdf"
    assert "Storno der Rechnungskorrektur" in read_pages(pdf.content)[0]


def test_the_end_of_a_discount_has_it_told(till: Till, superuser_tx: Tx) -> None:
    cancelled(till)
    jobs = (
        "select args ->> 'note' from jobs.procrastinate_jobs where task_name = 'invoicing.tell_cancellation'"
    )
    notes = till.ground.read("select uid::text from invoicing.credit_notes")
    assert superuser_tx.execute(jobs).fetchall() == notes


def test_doors_serve_it_below_the_note_and_have_none_of_one_that_stands(
    till: Till, tmp_path: Path, checker: RuleChecker
) -> None:
    invoice = taxed(till)
    transfer(till, invoice, 12_054)
    door = Door(till.ground.databases.app, till.ground.engine.authorizer, SimulatedClock(NINTH))
    application = build_application(
        [
            *routes(door, till.ground.office, WRITER, FolderBlobs(tmp_path / "archive")),
            *validation_routes(door, till.ground.office, WRITER, checker),
        ]
    )
    path = f"{NOTE_PATH.format(namespace=ACME, name='cn-2026-000001')}/cancellation"
    with serving(application) as url, httpx.Client(base_url=url, timeout=60) as http:
        http.headers["Authorization"] = "Bearer ann"
        for below in ("pdf", "ubl", "cii", "validation"):
            answer = http.get(f"{path}/{below}")
            assert answer.status_code == 404
            assert "CN-2026-000001 stands: there is no cancellation of it" in answer.json()["message"]
        goes_back(till, invoice, 12_054)
        shown = http.get(f"{path}/pdf")
        assert shown.headers["content-disposition"] == 'inline; filename="CC-2026-000001.pdf"'
        assert http.get(f"{path}/ubl").content == read(till, "ubl")
        assert http.get(f"{path}/validation").json() == {"valid": True, "documents": {"ubl": [], "cii": []}}


def test_a_printing_writes_it_with_its_note_also_where_that_was_written_before(till: Till) -> None:
    invoice = taxed(till)
    transfer(till, invoice, 12_054)
    writer = Counting()
    work(till.ground, writer, ask(till.ground))
    assert writer.written == [invoice.number, "CN-2026-000001"]
    goes_back(till, invoice, 12_054)
    writer.written.clear()
    assert work(till.ground, writer, ask(till.ground)).total == 1
    assert writer.written == ["CC-2026-000001"]
    assert work(till.ground, writer, ask(till.ground)).total == 0


COPIED = (
    "insert into invoicing.cancellations select uid, owner_org, issuer, issuer_version, 'CC-2026-', 7, "
    "'CC-2026-000007', 'by hand', issued_at, issued_on {later} from invoicing.credit_notes; "
    "set constraints all immediate"
)


@pytest.mark.parametrize(
    ("later", "refused"),
    [("", "is of a credit note that stands"), ("- 1", "is not of the credit note that it cancels")],
)
def test_the_database_has_none_of_a_note_that_stands(till: Till, later: str, refused: str) -> None:
    transfer(till, taxed(till), 12_054)
    with (
        pytest.raises(psycopg.errors.CheckViolation, match=refused),
        till.ground.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute(COPIED.format(later=later).encode())


def test_the_database_ends_no_discount_without_it(till: Till) -> None:
    transfer(till, taxed(till), 12_054)
    statement = (
        "insert into invoicing.settlements select invoice, step + 100, owner_org, 'DiscountReversal', reference, "
        "-amount_minor, 'Issued', posted, null, at, noted_at from invoicing.settlements "
        "where kind = 'EarlyPaymentDiscount'"
    )
    with (
        pytest.raises(psycopg.errors.CheckViolation, match="has no document that cancels it"),
        till.ground.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute(statement.encode())
