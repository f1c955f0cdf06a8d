"""Cancel the credit note of a discount for early payment: its own numbered document, the entries turned round.

Owns: the order of writes. Not: when a discount ends (early_payments), how the document looks (note_documents).
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from milo_billing.infra import jobs
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import crediting as notes
from milo_billing.invoicing.engine import settling
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.rules import crediting, early_payment, life
from milo_billing.invoicing.rules.crediting import Cancellation, CreditNote
from milo_billing.invoicing.store import note_rows
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.periods import local_day
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import EARLY_PAYMENT_DISCOUNT, Fact

TELL_CANCELLATION: Final = "invoicing.tell_cancellation"
"""The job that announces that a credit note was cancelled, once it is committed."""

SERIES: Final[Mapping[str, Any]] = {"prefix": "CC-", "start": 1, "digits": 6, "perYear": True}
"""How cancellations are numbered where a version of the profile does not say it."""


def cancel_discount(tx: Tx, *, invoice: Invoice, note: CreditNote, now: datetime) -> CreditNote:
    """End the discount for early payment that the note gave: what it took back is owed again, with its tax.

    The note stays as it is. A document of its own, numbered and dated, charges the same again; a fact turns the note's
    entries round, and a settlement takes away what it settled. What it had put on account is taken from there, also
    where that is used already: what comes next fills it up. The invoice and its object are locked by the caller.
    """
    cancelled = _write(tx, invoice=invoice, note=note, now=now)
    one = cancelled.cancellation
    assert one is not None, "it was just written"
    given_back = crediting.credit_postings(
        note_reads.list_credit_lines(tx, note=note.uid),
        lines=notes.lines_of(tx, invoice),
        taxes=note_reads.list_note_taxes(tx, note=note.uid),
        groups=invoice.taxes,
        given_up=EARLY_PAYMENT_DISCOUNT,
    )
    entries = notes.entries_of(given_back, settled_minor=note.settled_minor, currency=note.currency)
    fact = Fact(
        id=new_uid(),
        key=f"credit-note/{note.uid}/cancel",
        entity=note.issuer,
        posted_on=one.issued_on,
        billing_account=note.account,
        owner_org=note.owner_org,
        description=f"The payment of invoice {invoice.number} went back: "
        f"{one.number} cancels credit note {note.number}",
    )
    ledger.post_fact(tx, fact=fact, entries=ledger.taken_back(entries), now=now)
    today = invoice_reads.get_issuer_day(tx, invoice=invoice.uid, now=now)
    step = life.end_discount(invoice, amount_minor=note.settled_minor, today=today)
    settling.note(tx, step, reference=str(note.uid), posted=fact.key, at=now, now=now)
    return cancelled


def _write(tx: Tx, *, invoice: Invoice, note: CreditNote, now: datetime) -> CreditNote:
    """The note with its cancellation: the next number of its series, dated by the issuer, never before the note."""
    issuer, _ = note_reads.find_issuer_of(tx, invoice=invoice.uid)
    language, _ = invoice_reads.get_manner(tx, invoice=invoice.uid)
    spec: Mapping[str, Any] = issuer.body.get("cancellationSeries", SERIES)
    day = max(local_day(now, zone=issuer.body["timeZone"]), note.issued_on)
    drawn = notes.draw(tx, issuer=issuer, spec=spec, day=day)
    one = Cancellation(
        series=drawn.series,
        sequence=drawn.sequence,
        number=drawn.number,
        reason=early_payment.ended_reason(language=language),
        issued_at=now,
        issued_on=drawn.issued_on,
    )
    note_rows.insert_cancellation(tx, note, one, issuer_version=issuer.digest)
    # by a job, as the note itself: whoever books what went back has no key to seal addresses with
    name = f"{TELL_CANCELLATION}/{note.uid}"
    jobs.defer(tx, TELL_CANCELLATION, lock=name, once=name, note=str(note.uid))
    return replace(note, cancellation=one)
