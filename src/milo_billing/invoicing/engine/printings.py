"""The rows of printings: PDFs that workers write, one step a document, noted in the transaction that keeps it.

Owns: the statements, and which document is written next. Not: writing it (press).
"""

from datetime import date, datetime
from typing import Any, Final, LiteralString
from uuid import UUID

from milo_billing.infra import jobs
from milo_billing.infra.database import Tx
from milo_billing.invoicing.rules.printings import (
    Failure,
    Printing,
    PrintingNotFound,
    PrintingRequest,
    PrintingState,
)

PRINT: Final = "invoicing.print_documents"
"""The job that writes documents of a printing for a while, and queues itself again while some wait."""

RESUMED_AT_ONCE_MAX: Final = 100

_PRINTING: LiteralString = (
    "select id, organizations, run, opened_by, opened_at, total, finished_at from invoicing.printings"
)

_MISSING: LiteralString = (
    "select i.owner_org, i.uid as invoice, null::uuid as credit_note, i.issuer, i.series, i.sequence "
    "from invoicing.invoices i where {chosen} "
    "and not exists (select from invoicing.documents d where d.invoice = i.uid and d.kind = 'pdf') "
    "union all "
    "select n.owner_org, null, n.uid, n.issuer, n.series, n.sequence "
    "from invoicing.invoices i join invoicing.credit_notes n on n.invoice = i.uid where {chosen} "
    "and exists (select 'Note' as paper union all select 'Cancellation' from invoicing.cancellations x "
    "where x.credit_note = n.uid except select d.paper from invoicing.credit_documents d "
    "where d.credit_note = n.uid and d.kind = 'pdf')"
)

# a period ends at a local midnight, and no zone is more than 14 hours before UTC
_ASKED: LiteralString = (
    "(%(month)s::date is null or date_trunc('month', upper(i.period) at time zone 'UTC' + interval '14 hours') "
    "= %(month)s::date + interval '1 month') and (%(namespace)s::text is null or i.namespace = %(namespace)s)"
)
_OF_RUN: LiteralString = (
    "i.uid in (select s.invoice from invoicing.run_steps s where s.run = %(run)s and s.invoice is not null)"
)


def open_asked(tx: Tx, printing: Printing, *, asked: PrintingRequest) -> None:
    """Have workers write what is missing of what was asked for and is within reach, credit notes over it too."""
    month = None if asked.month is None else date(*asked.month, 1)
    _open(tx, printing, chosen=_ASKED, values={"month": month, "namespace": asked.namespace})


def open_ahead(tx: Tx, printing: Printing) -> None:
    """Have workers write what is missing of the invoices of a run. A run has one such printing."""
    assert printing.run is not None, "that is what it is for"
    _open(tx, printing, chosen=_OF_RUN, values={})


def _open(tx: Tx, printing: Printing, *, chosen: LiteralString, values: dict[str, Any]) -> None:
    # one statement, so that the total is that of the steps, whatever others write meanwhile
    steps = tx.execute(
        f"with missing as ({_MISSING.format(chosen=chosen)}), opened as ("
        "insert into invoicing.printings (id, organizations, run, opened_by, opened_at, total, finished_at) "
        "select %(id)s, %(organizations)s::bigint[], %(run)s, %(by)s, %(at)s, count(*), "
        "case when count(*) = 0 then %(at)s::timestamptz end from missing) "
        "insert into invoicing.printing_steps (printing, step, owner_org, invoice, credit_note) "
        "select %(id)s, row_number() over (order by credit_note is not null, issuer, series, sequence), owner_org, "
        "invoice, credit_note from missing",
        {
            "id": printing.id,
            "organizations": None if printing.organizations is None else list(printing.organizations),
            "run": printing.run,
            "by": printing.opened_by,
            "at": printing.opened_at,
            **values,
        },
    )
    if steps.rowcount:
        resume(tx, id=printing.id)


def resume(tx: Tx, *, id: UUID) -> None:
    """Have a worker go on, unless a job for it waits already. One printing at a time, of all there are."""
    jobs.defer(tx, PRINT, lock=PRINT, once=f"{PRINT}/{id}", printing=str(id))


def resume_open(tx: Tx) -> None:
    """Have workers go on with all that are not finished."""
    for id in list_open(tx, limit=RESUMED_AT_ONCE_MAX):
        resume(tx, id=id)


def list_open(tx: Tx, *, limit: int) -> tuple[UUID, ...]:
    """Printings that are not finished, the oldest first."""
    rows = tx.execute(
        "select id from invoicing.printings where finished_at is null order by opened_at limit %s", (limit,)
    )
    return tuple(id for (id,) in rows)


def is_asked_open(tx: Tx) -> bool:
    """Whether somebody waits for a printing that he asked for."""
    row = tx.execute("select from invoicing.printings where finished_at is null and run is null limit 1")
    return row.fetchone() is not None


def take_step(tx: Tx, *, printing: UUID, after: int) -> tuple[int, UUID | None, UUID | None] | None:
    """(step, invoice, credit note) of the next document behind `after` that waits and nobody else is at.

    It is held until the transaction ends, and waits on where that rolls back. None where there is none.
    """
    row = tx.execute(
        "select step, invoice, credit_note from invoicing.printing_steps "
        "where printing = %s and state = 'waiting' and step > %s order by step limit 1 for update skip locked",
        (printing, after),
    ).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def note_step(
    tx: Tx, *, printing: UUID, step: int, state: PrintingState, reason: str | None, at: datetime
) -> None:
    """Say what became of a step; where that has been said already, it stays."""
    tx.execute(
        "update invoicing.printing_steps set state = %s, reason = %s, done_at = %s "
        "where printing = %s and step = %s and state = 'waiting'",
        (state, reason, at, printing, step),
    )


def finish(tx: Tx, *, id: UUID, at: datetime) -> bool:
    """Close the printing if no document waits any more; whether it is closed."""
    tx.execute(
        "update invoicing.printings set finished_at = %s where id = %s and finished_at is null "
        "and not exists (select from invoicing.printing_steps where printing = %s and state = 'waiting')",
        (at, id, id),
    )
    return get(tx, id=id).finished_at is not None


def get(tx: Tx, *, id: UUID) -> Printing:
    """The printing, and how far it has come. Raises PrintingNotFound, also where it is out of reach."""
    row = tx.execute(f"{_PRINTING} where id = %s", (id,)).fetchone()
    if row is None:
        raise PrintingNotFound(f"there is no printing {id}")
    counts = tx.execute(
        "select state, count(*) from invoicing.printing_steps where printing = %s and state <> 'waiting' group by 1",
        (id,),
    )
    _, organizations, run, by, at, total, finished_at = row
    return Printing(
        id=id,
        organizations=None if organizations is None else tuple(organizations),
        run=run,
        opened_by=by,
        opened_at=at,
        total=total,
        finished_at=finished_at,
        counts=dict(counts.fetchall()),
    )


def list_failures(tx: Tx, *, printing: UUID, limit: int) -> tuple[Failure, ...]:
    """The first documents that cannot be written, in order."""
    rows = tx.execute(
        "select coalesce(i.number, n.number), s.reason from invoicing.printing_steps s "
        "left join invoicing.invoices i on i.uid = s.invoice "
        "left join invoicing.credit_notes n on n.uid = s.credit_note "
        "where s.printing = %s and s.state = 'failed' order by s.step limit %s",
        (printing, limit),
    )
    return tuple(Failure(number, reason) for number, reason in rows)
