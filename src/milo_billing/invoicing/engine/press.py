"""Writes the documents of a printing, one after the other, each kept and noted in a transaction of its own.

Owns: how long it writes at a time, how fast, and what becomes of what cannot be written. Not: when (jobs), the rows
(printings), how a document comes about (invoice_documents, note_documents).
"""

from dataclasses import dataclass
from datetime import datetime
from time import sleep
from typing import Final
from uuid import UUID

import psycopg
import structlog

from milo_billing.infra.clock import Clock, monotonic_s
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import EVERYWHERE, Database, Reach, Tx
from milo_billing.infra.telemetry import counter
from milo_billing.invoicing.engine import invoice_documents, note_documents, printings
from milo_billing.invoicing.engine.publishing import PDF
from milo_billing.invoicing.ports import DocumentWriter
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.rules.printings import Printing, pause_s
from milo_billing.invoicing.types.errors import UnableToRender
from milo_billing.kernel.errors import MiloError, Unavailable

PRINTED_S: Final = 5.0
"""So long one job writes documents; then another goes on, so that a server that stops need not break one off."""

_log = structlog.get_logger(__name__)
_printed = counter(
    "documents_printed", about="PDFs that printings wrote, and those that cannot be.", labels=("outcome",)
)


@dataclass(frozen=True, slots=True)
class Presses:
    """Who writes: what somebody asked for, and what is ahead, which is at work in `percent` of the time at most."""

    asked: DocumentWriter
    ahead: DocumentWriter
    percent: int = 100


def print_documents(vault: Vault, presses: Presses, database: Database, clock: Clock, *, id: UUID) -> None:
    """Write documents of a printing for a while; queue the next job where some still wait, else close it.

    One that cannot be written is noted and stops no other. What is ahead gives way while somebody waits for what he
    asked for. Raises Unavailable when the database is away: what was committed stays, the rest is for the next call.
    """
    with database.transaction(reach=EVERYWHERE) as tx:
        wanted = printings.get(tx, id=id)
        if wanted.finished_at is not None or (wanted.run is not None and printings.is_asked_open(tx)):
            return
    ahead = wanted.run is not None
    press = _Press(vault, presses.ahead if ahead else presses.asked, database, clock, wanted)
    share = max(1, presses.percent) if ahead else 100
    until_s = monotonic_s() + PRINTED_S
    while (began_s := monotonic_s()) < until_s and press.print_next():
        sleep(pause_s(monotonic_s() - began_s, percent=share))
    with database.transaction(reach=EVERYWHERE) as tx:
        if printings.finish(tx, id=id, at=clock.now()):
            printings.resume_open(tx)  # those that gave way
        else:
            printings.resume(tx, id=id)


class _Press:
    """One job's way through the documents of a printing."""

    def __init__(
        self, vault: Vault, writer: DocumentWriter, database: Database, clock: Clock, wanted: Printing
    ) -> None:
        self._vault = vault
        self._writer = writer
        self._database = database
        self._clock = clock
        self._wanted = wanted
        self._reach: Reach = EVERYWHERE if wanted.organizations is None else frozenset(wanted.organizations)
        self._step = 0

    def print_next(self) -> bool:
        """Whether there was a document to write; what cannot be written counts."""
        before = self._step
        try:
            return self._print(after=before)
        except psycopg.OperationalError as error:
            raise Unavailable(f"the database went away: {error}") from error
        except Unavailable:
            raise
        except Exception as error:  # one document's defect must not stop the others
            if self._step == before:
                raise  # no step was taken, so there is none to note it at
            self._fail(error)
            return True

    def _print(self, *, after: int) -> bool:
        with self._database.transaction(reach=self._reach) as tx:
            taken = printings.take_step(tx, printing=self._wanted.id, after=after)
            if taken is None:
                return False
            self._step, invoice, credit_note = taken
            now = self._clock.now()
            _print_one(tx, self._vault, self._writer, invoice=invoice, credit_note=credit_note, now=now)
            printings.note_step(
                tx, printing=self._wanted.id, step=self._step, state="printed", reason=None, at=now
            )
        _printed.labels("printed").inc()
        return True

    def _fail(self, error: Exception) -> None:
        reason = str(error)
        if not isinstance(error, (MiloError, UnableToRender)):
            _log.error("print_failed", printing=str(self._wanted.id), step=self._step, exc_info=error)
            reason = f"internal error: see the server's log of printing {self._wanted.id}"
        with self._database.transaction(reach=self._reach) as tx:
            printings.note_step(
                tx,
                printing=self._wanted.id,
                step=self._step,
                state="failed",
                reason=reason,
                at=self._clock.now(),
            )
        _printed.labels("failed").inc()


def _print_one(
    tx: Tx,
    vault: Vault,
    writer: DocumentWriter,
    *,
    invoice: UUID | None,
    credit_note: UUID | None,
    now: datetime,
) -> None:
    """Have the PDF of the invoice or credit note written, with that of what cancels it, unless it is there."""
    if invoice is not None:
        found = invoice_reads.get_invoice_by_uid(tx, uid=invoice)
        invoice_documents.print_invoice(tx, vault, writer, invoice=found, kind=PDF, now=now)
        return
    assert credit_note is not None, "a step is of the one or of the other"
    note = note_reads.find_credit_note(tx, uid=credit_note)
    assert note is not None, "it was issued, and stays"
    note_documents.print_note(tx, vault, writer, note=note, kind=PDF, now=now)
    if note.cancellation is not None:
        note_documents.print_note(tx, vault, writer, note=note, kind=PDF, now=now, paper="Cancellation")
