"""An issued invoice goes out: to the account's addresses with its PDF, and to the provider's webhook."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from typing_extensions import override

from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.app.postman import Documents
from milo_billing.infra.clock import SimulatedClock
from milo_billing.infra.database import EVERYWHERE, Databases
from milo_billing.infra.jobs import Task
from milo_billing.invoicing.engine import crediting
from milo_billing.invoicing.jobs.daily import daily_tasks, mark_past_due
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.notices import reads
from milo_billing.notices.jobs import Postman
from milo_billing.notices.ports import Sender
from milo_billing.notices.types import Answer, EmailTarget, Parcel
from tests.db.invoicing.ground import ACCOUNT, ACME, ISSUER, NOVEMBER, Ground, open_ground
from tests.db.invoicing.paying import pay
from tests.unit.invoicing.pdf import read_pages


class Kept(Sender):
    """Takes everything, and shows what it would have sent."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []

    @override
    def send(self, parcel: Parcel) -> Answer:
        self.parcels.append(parcel)
        return Answer("Delivered", 250, "")


def issued(databases: Databases, folder: Path, *, mails: bool, **account: Any) -> Ground:
    ground = open_ground(databases, folder)
    ground.declare_world()
    ground.declare("issuerprofiles", "kestrel", ISSUER)
    ground = replace(ground, office=Office(ground.engine, ground.office.vault, mails=mails))
    declared = ground.declare_account(**account)
    ground.spend(declared, "2026-10-05", 120)
    ground.issued(declared)
    return ground


def delivered(ground: Ground, *, at: datetime = NOVEMBER) -> list[Parcel]:
    kept, clock = Kept(), SimulatedClock(at)
    vault = ground.office.vault
    postman = Postman(
        engine=ground.engine,
        vault=vault,
        database=ground.databases.app,
        clock=clock,
        senders={"Email": kept, "Webhook": kept},
        attachments=Documents(vault, TypstDocuments(), clock),
    )
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        due = reads.list_due(tx, before=clock.now(), now=clock.now(), limit=9)
    assert [postman.deliver(one) for one in due] == ["Delivered"] * len(due)
    return kept.parcels


def test_an_invoice_goes_by_mail_to_the_contact_and_the_further_addresses(
    databases: Databases, tmp_path: Path
) -> None:
    contact = {**ACCOUNT["contactInfo"], "invoiceEmails": ["ap@example.com", "Zoe@example.com"]}
    ground = issued(databases, tmp_path, mails=True, contactInfo=contact, language="fr")
    (parcel,) = delivered(ground)
    assert parcel.target == EmailTarget(("zoe@example.com", "ap@example.com"))
    assert parcel.message.brand.name == "Kestrel Cloud Ltd."
    assert parcel.message.language == "fr"
    assert parcel.message.data["total"] == "120.00"
    assert parcel.message.data["number"] == "KC-2026-000001"
    (pdf,) = parcel.attachments
    assert (pdf.name, pdf.media_type) == ("KC-2026-000001.pdf", "application/pdf")
    assert pdf.content.startswith(b"%PDF-")


def test_without_mail_and_channels_issuing_writes_nothing_of_it(databases: Databases, tmp_path: Path) -> None:
    ground = issued(databases, tmp_path, mails=False)
    assert ground.read("select count(*) from notices.messages") == [(0,)]


def test_what_becomes_of_an_invoice_is_told_to_the_channels_of_its_organization(
    databases: Databases, tmp_path: Path
) -> None:
    ground = issued(databases, tmp_path, mails=False)
    spec = {"type": "Email", "email": {"to": ["books@example.com"]}, "events": ["invoice.*", "creditnote.*"]}
    ground.declare("notificationchannels", "books", spec, namespace=ACME)
    mark_past_due(ground.office, ground.databases.app, SimulatedClock(datetime(2026, 12, 20, tzinfo=UTC)))

    ((namespace, name),) = ground.read("select namespace, name from invoicing.invoices")
    invoice = ground.reading(lambda tx: invoice_reads.get_invoice(tx, namespace=namespace, name=name))
    for minor in (5_000, 7_000):
        pay(ground, invoice, minor, f"payment-{minor}", now=datetime(2026, 12, 21, tzinfo=UTC))
    told = ground.read("select type from notices.messages order by occurred_at")
    assert told == [("invoice.past_due",), ("invoice.paid",)]
    first, second = delivered(ground, at=datetime(2026, 12, 22, tzinfo=UTC))
    assert first.message.data["amountDue"] == "120.00"
    assert (second.message.data["amountDue"], second.message.brand.name) == ("0.00", "Kestrel Cloud Ltd.")


def test_an_account_is_reminded_by_mail_when_its_invoice_is_past_due(
    databases: Databases, tmp_path: Path
) -> None:
    ground = issued(databases, tmp_path, mails=True, language="de")
    delivered(ground)
    late = datetime(2026, 12, 20, tzinfo=UTC)
    mark_past_due(ground.office, ground.databases.app, SimulatedClock(late))
    mark_past_due(ground.office, ground.databases.app, SimulatedClock(late))
    (parcel,) = delivered(ground, at=late + timedelta(hours=1))
    assert parcel.target == EmailTarget(("zoe@example.com",))
    assert (parcel.message.type, parcel.message.language) == ("invoice.past_due", "de")


def test_an_invoice_that_is_voided_or_credited_says_so(databases: Databases, tmp_path: Path) -> None:
    ground = issued(databases, tmp_path, mails=False)
    spec = {"type": "Email", "email": {"to": ["books@example.com"]}}
    ground.declare("notificationchannels", "books", spec, namespace=ACME)
    ((uid,),) = ground.read("select uid from invoicing.invoices")
    ground.write(
        lambda work: life.void_invoice(work.tx, invoice=uid, reason="wrong address", now=work.now),
        now=NOVEMBER,
    )
    (parcel,) = delivered(ground)
    assert (parcel.message.type, parcel.message.data["reason"]) == ("invoice.voided", "wrong address")


def test_a_credit_note_goes_by_mail_with_its_pdf_also_where_it_voids(
    databases: Databases, tmp_path: Path
) -> None:
    ground = issued(databases, tmp_path, mails=True, language="de")
    delivered(ground)
    ((uid,),) = ground.read("select uid from invoicing.invoices")
    ground.write(
        lambda work: life.void_invoice(work.tx, invoice=uid, reason="falsche Anschrift", now=work.now),
        now=NOVEMBER,
    )
    ((note,),) = ground.read("select uid::text from invoicing.credit_notes")
    (task,) = [
        one
        for one in daily_tasks(
            office=ground.office, database=ground.databases.app, clock=SimulatedClock(NOVEMBER)
        )
        if isinstance(one, Task) and one.name == crediting.TELL_CREDIT_NOTE
    ]
    for _ in range(2):  # a job may run twice
        task.run(note=note)
    (parcel,) = delivered(ground, at=NOVEMBER + timedelta(hours=1))
    assert parcel.target == EmailTarget(("zoe@example.com",))
    assert (parcel.message.type, parcel.message.language) == ("creditnote.issued", "de")
    assert (parcel.message.data["credited"], parcel.message.data["reason"]) == ("120.00", "falsche Anschrift")
    (pdf,) = parcel.attachments
    assert pdf.name == "CN-2026-000001.pdf"
    assert "Rechnungskorrektur" in read_pages(pdf.content)[0]
