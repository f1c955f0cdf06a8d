"""Note what becomes of an issued invoice: the settlement, its row, its object, and the books where they are ours.

Owns: the order of locks and writes. Not: what is allowed (rules.life), who may ask for it (doors).
"""

from datetime import date, datetime
from uuid import UUID

from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine.publishing import publish
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.rules import life, postings
from milo_billing.invoicing.store import invoice_rows, settlement_rows
from milo_billing.invoicing.types.drafts import GROUP
from milo_billing.invoicing.types.errors import UnableToSettle
from milo_billing.invoicing.types.invoices import Invoice, MoneyKind, Settled
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import Entry, Fact


def lock(work: Work, engine: Engine, *, invoice: UUID) -> Invoice:
    """The invoice, which nobody else changes until the transaction ends. Raises InvoiceNotFound.

    The object before the row: whoever changes the object by its API holds it already.
    """
    kind = engine.registry.find(GROUP, "v1alpha1", "invoices")
    assert kind is not None, "the kind of this slice is registered"
    engine.store.lock(work.tx, {invoice: kind})
    return invoice_reads.lock_invoice(work.tx, uid=invoice)


def settle(
    work: Work,
    engine: Engine,
    *,
    invoice: UUID,
    kind: MoneyKind,
    reference: str,
    amount_minor: int,
    posted: str,
    at: datetime,
) -> Settled:
    """See `operations.settle_invoice`."""
    tx = work.tx
    locked = lock(work, engine, invoice=invoice)
    signed_minor = -amount_minor if kind == "PaymentReversal" else amount_minor
    standing = invoice_reads.find_settlement(tx, invoice=invoice, kind=kind, reference=reference)
    if standing is not None:
        if (standing.amount_minor, standing.posted) != (signed_minor, posted):
            raise UnableToSettle(
                f"{kind} {reference} settles invoice {locked.number} already, with "
                f"{Money(standing.amount_minor, locked.currency)}: another amount needs another reference"
            )
        return Settled(locked, recovered_minor=0, repeated=True)
    today = invoice_reads.get_issuer_day(tx, invoice=invoice, now=work.now)
    steps = life.settle(locked, kind=kind, amount_minor=amount_minor, today=today)
    recovered_minor = 0
    for step in steps:
        key = posted
        if step.kind == "Recovery":
            recovered_minor = -step.amount_minor
            key = f"invoice/{invoice}/recovery/{kind}/{reference}"
            post_recovery(
                tx, locked, kind=kind, key=key, minor=recovered_minor, posted_on=today, now=work.now
            )
        note(tx, step, reference=reference, posted=key, at=at, now=work.now)
    publish(work, engine, steps[-1].after, verb="settle")
    return Settled(steps[-1].after, recovered_minor=recovered_minor, repeated=False)


def note(
    tx: Tx,
    step: life.Step,
    *,
    reference: str,
    posted: str | None,
    at: datetime,
    now: datetime,
    reason: str | None = None,
) -> None:
    """Write one settlement; the invoice's row follows it by itself."""
    settlement_rows.insert_settlement(
        tx,
        invoice=step.after,
        kind=step.kind,
        reference=reference,
        amount_minor=step.amount_minor,
        posted=posted,
        reason=reason,
        at=at,
        now=now,
    )


def write_off(tx: Tx, *, invoice: UUID, reason: str, now: datetime) -> Invoice:
    """Give up what is due of the invoice, whose object is locked. Raises UnableToSettle where nothing is due."""
    locked = invoice_reads.lock_invoice(tx, uid=invoice)
    today = invoice_reads.get_issuer_day(tx, invoice=invoice, now=now)
    reference = str(new_uid())
    key = f"invoice/{invoice}/write-off/{reference}"
    for step in life.write_off(locked, today=today):
        amount = Money(step.amount_minor, locked.currency)
        fact = Fact(
            id=new_uid(),
            key=key,
            entity=locked.issuer,
            posted_on=today,
            billing_account=locked.account,
            owner_org=locked.owner_org,
            description=f"Write-off of invoice {locked.number}",
        )
        ledger.post_fact(tx, fact=fact, entries=ledger.written_off(amount), now=now)
        note(tx, step, reference=reference, posted=key, at=now, now=now, reason=reason)
        locked = step.after
    return locked


def mark_past_due(work: Work, engine: Engine, *, invoice: UUID) -> bool:
    """Say that the last day to pay is over, where it is and something is due; whether this call said it."""
    locked = lock(work, engine, invoice=invoice)
    today = invoice_reads.get_issuer_day(work.tx, invoice=invoice, now=work.now)
    found = life.restated(locked, today=today)
    if found.phase == locked.phase:
        return False
    invoice_rows.set_phase(work.tx, invoice=found)
    publish(work, engine, found, verb="mark-past-due")
    return True


def post_recovery(
    tx: Tx, invoice: Invoice, *, kind: MoneyKind, key: str, minor: int, posted_on: date, now: datetime
) -> None:
    """The receivable stands again by what was given up, so that what settles it finds it there."""
    debited, credited = postings.recovery(kind)
    fact = Fact(
        id=new_uid(),
        key=key,
        entity=invoice.issuer,
        posted_on=posted_on,
        billing_account=invoice.account,
        owner_org=invoice.owner_org,
        description=f"Recovery of invoice {invoice.number}",
    )
    entries = (
        Entry(debited, Money(minor, invoice.currency)),
        Entry(credited, Money(-minor, invoice.currency)),
    )
    ledger.post_fact(tx, fact=fact, entries=entries, now=now)
