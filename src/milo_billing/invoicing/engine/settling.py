"""Note what becomes of an issued invoice: the settlement, its row, its object, and the books where they are ours.

Owns: the order of locks and writes. Not: what is allowed (rules.life), who may ask for it (doors).
"""

from datetime import datetime
from uuid import UUID

from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.invoicing import reads, store
from milo_billing.invoicing.engine.publishing import publish
from milo_billing.invoicing.rules import life, postings
from milo_billing.invoicing.types import Invoice, MoneyKind, Settled, UnableToSettle
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import Entry, LedgerTransaction


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
    locked = reads.lock_invoice(tx, uid=invoice)
    signed_minor = -amount_minor if kind == "PaymentReversal" else amount_minor
    standing = reads.find_settlement(tx, invoice=invoice, kind=kind, reference=reference)
    if standing is not None:
        if (standing.amount_minor, standing.posted) != (signed_minor, posted):
            raise UnableToSettle(
                f"{kind} {reference} settles invoice {locked.number} already, with "
                f"{Money(standing.amount_minor, locked.currency)}: another amount needs another reference"
            )
        return Settled(locked, recovered_minor=0, repeated=True)
    today = reads.get_issuer_day(tx, invoice=invoice, now=work.now)
    steps = life.settle(locked, kind=kind, amount_minor=amount_minor, today=today)
    recovered_minor = 0
    for step in steps:
        key = posted
        if step.kind == "Recovery":
            recovered_minor = -step.amount_minor
            key = f"invoice/{invoice}/recovery/{kind}/{reference}"
            _post_recovery(work, locked, kind=kind, key=key, minor=recovered_minor)
        note(work, step, reference=reference, posted=key, at=at)
    publish(work, engine, steps[-1].after, verb="settle")
    return Settled(steps[-1].after, recovered_minor=recovered_minor, repeated=False)


def note(work: Work, step: life.Step, *, reference: str, posted: str | None, at: datetime) -> None:
    """Write one settlement; the invoice's row follows it by itself."""
    store.insert_settlement(
        work.tx,
        invoice=step.after,
        kind=step.kind,
        reference=reference,
        amount_minor=step.amount_minor,
        posted=posted,
        at=at,
        now=work.now,
    )


def mark_past_due(work: Work, engine: Engine, *, invoice: UUID) -> bool:
    """Say that the last day to pay is over, where it is and something is due; whether this call said it."""
    locked = reads.lock_invoice(work.tx, uid=invoice)
    today = reads.get_issuer_day(work.tx, invoice=invoice, now=work.now)
    found = life.restated(locked, today=today)
    if found.phase == locked.phase:
        return False
    store.set_phase(work.tx, invoice=found)
    publish(work, engine, found, verb="mark-past-due")
    return True


def _post_recovery(work: Work, invoice: Invoice, *, kind: MoneyKind, key: str, minor: int) -> None:
    """The receivable stands again by what was given up, so that what settles it finds it there."""
    debited, credited = postings.recovery(kind)
    ledger.post(
        work.tx,
        transaction=LedgerTransaction(
            id=new_uid(),
            key=key,
            entity=invoice.issuer,
            posted_on=reads.get_issuer_day(work.tx, invoice=invoice.uid, now=work.now),
            description=f"Recovery of invoice {invoice.number}",
            billing_account=invoice.account,
            owner_org=invoice.owner_org,
            entries=(
                Entry(debited, Money(minor, invoice.currency)),
                Entry(credited, Money(-minor, invoice.currency)),
            ),
        ),
        now=work.now,
    )
