"""PDFs that workers write in one go: each once, whoever writes beside them, and one that cannot be stops no other."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.infra.clock import SimulatedClock, new_uid
from milo_billing.infra.database import EVERYWHERE, Reach
from milo_billing.invoicing.engine import printings
from milo_billing.invoicing.engine.press import Presses, print_documents
from milo_billing.invoicing.jobs.runs import run_steps
from milo_billing.invoicing.operations import papers
from milo_billing.invoicing.ports import DocumentWriter
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.rules.printings import Failure, Printing, PrintingRequest
from milo_billing.invoicing.types.documents import InvoiceDocument, WrittenDocument
from milo_billing.invoicing.types.errors import UnableToRender
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground
from tests.db.invoicing.test_credit_notes import credit
from tests.db.invoicing.test_runs import open_run

DECEMBER = datetime(2026, 12, 2, 9, 30, tzinfo=UTC)
ALL = PrintingRequest(None, None)


class Counting(TypstDocuments):
    """The real writer, and what it was asked for; what stands in `refused` it cannot write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.refused: set[str] = set()

    def write(self, document: InvoiceDocument, *, attached: WrittenDocument | None = None) -> WrittenDocument:
        if document.number in self.refused:
            raise UnableToRender(f"{document.number} has no font for its text")
        self.written.append(document.number)
        return super().write(document, attached=attached)


@pytest.fixture(scope="module")
def typst() -> Counting:
    return Counting()


@pytest.fixture
def writer(typst: Counting) -> Counting:
    typst.written.clear()
    typst.refused.clear()
    return typst


def ask(ground: Ground, asked: PrintingRequest = ALL, *, reach: Reach = EVERYWHERE) -> UUID:
    """A printing, as the door opens it."""
    organizations = None if reach == "*" else tuple(sorted(reach))
    opened = Printing(new_uid(), organizations, None, "ann", NOVEMBER)
    with ground.databases.app.transaction(reach=reach) as tx:
        printings.open_asked(tx, opened, asked=asked)
    return opened.id


def work(ground: Ground, writer: DocumentWriter, id: UUID) -> Printing:
    """One job; the printing behind it."""
    clock = SimulatedClock(NOVEMBER)
    print_documents(ground.office.vault, Presses(writer, writer), ground.databases.app, clock, id=id)
    return ground.reading(lambda tx: printings.get(tx, id=id))


def issue(ground: Ground, *names: str) -> None:
    for name in names:
        account = ground.declare_account(name)
        ground.spend(account, "2026-10-05", 25)
        ground.issued(account)


def jobs(ground: Ground) -> list[tuple[Any, ...]]:
    """Jobs that wait to print, as the queue has them."""
    with ground.databases.job.transaction(reach=EVERYWHERE) as tx:
        return tx.execute(
            "select args ->> 'printing', lock from jobs.procrastinate_jobs where task_name = %s and status = 'todo'",
            (printings.PRINT,),
        ).fetchall()


def test_what_is_missing_is_printed_once_and_what_is_there_is_left(ground: Ground, writer: Counting) -> None:
    issue(ground, "a", "b", "c")
    invoice = ground.read("select uid from invoicing.invoices where account_name = 'b'")[0][0]
    kept = ground.reading(
        lambda tx: papers.print_invoice(
            tx,
            ground.office.vault,
            writer,
            invoice=invoice_reads.get_invoice_by_uid(tx, uid=invoice),
            now=NOVEMBER,
        )
    )
    id = ask(ground)
    assert jobs(ground) == [(str(id), printings.PRINT)], "a worker is told"
    done = work(ground, writer, id)
    assert (done.total, done.counts, done.finished_at is not None) == (2, {"printed": 2}, True)
    assert sorted(writer.written) == ["KC-2026-000001", "KC-2026-000002", "KC-2026-000003"]
    assert ground.read("select kind, count(*) from invoicing.documents group by 1") == [("pdf", 3)]
    assert kept.sha256 in {one for (one,) in ground.read("select sha256 from invoicing.documents")}

    again = ask(ground)
    nothing = ground.reading(lambda tx: printings.get(tx, id=again))
    assert (nothing.total, nothing.finished_at) == (0, NOVEMBER), "there is nothing to wait for"
    work(ground, writer, id)
    assert len(writer.written) == 3


def test_a_run_that_is_over_has_its_invoices_printed_ahead(ground: Ground, writer: Counting) -> None:
    for name in ("a", "b"):
        ground.spend(ground.declare_account(name), "2026-10-05", 25)
    office = replace(ground.office, prints_ahead=True)
    run = open_run(ground.databases.app, year=2026, month=10, now=NOVEMBER)
    run_steps(office, ground.databases.app, SimulatedClock(NOVEMBER), id=run)
    ((id,),) = ground.read("select id from invoicing.printings where run = %s", run)
    done = work(ground, writer, id)
    assert (done.run, done.counts, done.finished_at is not None) == (run, {"printed": 2}, True)
    run_steps(office, ground.databases.app, SimulatedClock(NOVEMBER), id=run)
    later = open_run(ground.databases.app, year=2026, month=10, now=NOVEMBER)
    run_steps(ground.office, ground.databases.app, SimulatedClock(NOVEMBER), id=later)
    assert ground.read("select run from invoicing.printings") == [(run,)], (
        "once a run, and where it is wanted"
    )


def test_what_is_ahead_gives_way_to_what_somebody_waits_for(ground: Ground, writer: Counting) -> None:
    ground.spend(ground.declare_account("a"), "2026-10-05", 25)
    office = replace(ground.office, prints_ahead=True)
    run = open_run(ground.databases.app, year=2026, month=10, now=NOVEMBER)
    run_steps(office, ground.databases.app, SimulatedClock(NOVEMBER), id=run)
    ((ahead,),) = ground.read("select id from invoicing.printings where run = %s", run)
    asked = ask(ground)
    assert work(ground, writer, ahead).counts == {}
    with ground.databases.job.transaction(reach=EVERYWHERE) as tx:
        tx.execute("delete from jobs.procrastinate_jobs")  # both are taken
    assert work(ground, writer, asked).counts == {"printed": 1}
    assert jobs(ground) == [(str(ahead), printings.PRINT)], "it goes on by itself"
    done = work(ground, writer, ahead)
    assert (done.counts, done.finished_at is not None, len(writer.written)) == ({"printed": 1}, True, 1)


def test_one_that_cannot_be_printed_is_told_and_stops_no_other(ground: Ground, writer: Counting) -> None:
    issue(ground, "a", "b", "c")
    writer.refused.add("KC-2026-000002")
    id = ask(ground)
    done = work(ground, writer, id)
    assert (done.counts, done.finished_at is not None) == ({"printed": 2, "failed": 1}, True)
    told = ground.reading(lambda tx: printings.list_failures(tx, printing=id, limit=9))
    assert told == (Failure("KC-2026-000002", "KC-2026-000002 has no font for its text"),)
    writer.refused.clear()
    assert work(ground, writer, ask(ground)).counts == {"printed": 1}


def test_a_month_is_its_invoices_and_the_credit_notes_over_them(ground: Ground, writer: Counting) -> None:
    account = ground.declare_account()
    for day in ("2026-10-05", "2026-11-05"):
        ground.spend(account, day, 25)
    october = ground.issued(account)
    ground.issued(account, month=11, now=DECEMBER)
    credit(ground, october)
    done = work(ground, writer, ask(ground, PrintingRequest((2026, 10), ACME)))
    assert (done.counts, writer.written) == ({"printed": 2}, ["KC-2026-000001", "CN-2026-000001"])
    assert work(ground, writer, ask(ground, PrintingRequest((2026, 10), None))).total == 0
    assert work(ground, writer, ask(ground, PrintingRequest(None, "organization-else"))).total == 0
    assert work(ground, writer, ask(ground)).counts == {"printed": 1}


def test_nobody_prints_or_sees_more_than_he_reaches(ground: Ground, writer: Counting) -> None:
    issue(ground, "a")
    theirs = ask(ground, reach=frozenset({77}))
    assert work(ground, writer, theirs).total == 0
    everything = ask(ground)
    with ground.databases.app.transaction(reach=frozenset({77})) as tx:
        assert printings.get(tx, id=theirs).organizations == (77,)
        with pytest.raises(Exception, match="there is no printing"):
            printings.get(tx, id=everything)


def test_a_job_that_was_broken_off_leaves_the_rest_to_the_next(ground: Ground, writer: Counting) -> None:
    issue(ground, "a", "b", "c")
    id = ask(ground)

    class Killed(BaseException):
        """As a kill: nothing that catches errors catches it."""

    class Dying(Counting):
        def write(
            self, document: InvoiceDocument, *, attached: WrittenDocument | None = None
        ) -> WrittenDocument:
            if writer.written:
                raise Killed
            return writer.write(document, attached=attached)

    with pytest.raises(Killed):
        work(ground, Dying(), id)
    halfway = ground.reading(lambda tx: printings.get(tx, id=id))
    assert (halfway.counts, halfway.finished_at) == ({"printed": 1}, None)
    assert ground.reading(lambda tx: printings.list_open(tx, limit=9)) == (id,), "somebody takes it up again"
    assert work(ground, writer, id).counts == {"printed": 3}
    assert writer.written == ["KC-2026-000001", "KC-2026-000002", "KC-2026-000003"]


def test_what_became_of_a_document_does_not_change(ground: Ground, writer: Counting) -> None:
    issue(ground, "a")
    work(ground, writer, ask(ground))
    with (
        pytest.raises(psycopg.errors.RestrictViolation, match="what happened does not change"),
        ground.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute("update invoicing.printing_steps set state = 'failed', reason = 'no'")
