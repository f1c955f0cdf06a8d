"""Write what issued invoices came to since: credit notes over what is given back, and which invoice charged the rest.

Owns: the order of locks and writes. Not: what they came to (engine.rerating), the invoice that charges it (issuing).
"""

from collections import defaultdict
from typing import Final
from uuid import UUID

from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.invoicing.engine import granting, settling
from milo_billing.invoicing.engine.crediting import Wanted
from milo_billing.invoicing.engine.publishing import publish, publish_note
from milo_billing.invoicing.engine.rerating import Late
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.rules import adjusting
from milo_billing.invoicing.rules.adjusting import Place, Rerated
from milo_billing.invoicing.rules.crediting import CreditNote, LineCredit
from milo_billing.invoicing.store import settlement_rows
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.usage import operations as usage

REASON: Final = "Less was used than invoice {number} charged for: usage was corrected since."


def note_late(work: Work, office: Office, late: Late, *, carrier: Invoice | None) -> tuple[CreditNote, ...]:
    """Issue credit notes over what is given back, and note which invoice charges what is more.

    `carrier` is None where nothing is charged. The account's invoices and its billing are locked by the caller. What
    was noted is subtracted the next time, so doing it twice does it once. Returns the credit notes.
    """
    notes: list[CreditNote] = []
    for one in late.invoices:
        sequence = one.sequence
        for invoice, given_back in _by_invoice(one).items():
            note = _credit(work, office, one, invoice=invoice, given_back=given_back)
            settlement_rows.insert_adjustment(
                work.tx,
                original=one.invoice,
                account=late.account,
                sequence=sequence,
                carrier=None,
                credit_note=note.uid,
                lines=adjusting.by_line(given_back),
                now=work.now,
            )
            sequence += 1
            notes.append(note)
        if one.lines:
            assert carrier is not None, "what is charged in addition stands on an invoice"
            settlement_rows.insert_adjustment(
                work.tx,
                original=one.invoice,
                account=late.account,
                sequence=sequence,
                carrier=carrier.uid,
                credit_note=None,
                lines=one.change,
                now=work.now,
            )
    if late.last_id is not None:
        usage.settle_changes(work.tx, account=late.account, until=late.last_id, now=work.now)
    return tuple(notes)


def _by_invoice(one: Rerated) -> dict[UUID, list[tuple[Place, int]]]:
    """By the invoice whose lines give back, in the order of uids, in which invoices are locked."""
    found: defaultdict[UUID, list[tuple[Place, int]]] = defaultdict(list)
    for place, minor in one.given_back:
        found[place.invoice].append((place, minor))
    return dict(sorted(found.items()))


def _credit(
    work: Work, office: Office, one: Rerated, *, invoice: UUID, given_back: list[tuple[Place, int]]
) -> CreditNote:
    """The credit note over these lines of an invoice, with its object and the invoice's."""
    locked = settling.lock(work, office.engine, invoice=invoice)
    used = granting.lock_used(work, office.engine, invoice=invoice)
    wanted = Wanted(
        uid=new_uid(),
        namespace=locked.namespace,
        name="",
        invoice=invoice,
        lines=tuple(LineCredit(place.line, minor) for place, minor in given_back),
        amount_minor=None,
        reason=one.reason or REASON.format(number=one.invoice.number),
    )
    note = life.issue_credit_note(work.tx, wanted, now=work.now)
    credited = invoice_reads.get_invoice_by_uid(work.tx, uid=invoice)
    publish(work, office.engine, credited, verb="credit")
    publish_note(work, office.engine, note, verb="issue", lines=wanted.lines)
    if used:
        granting.restate(work, office.engine, used)
    return note
