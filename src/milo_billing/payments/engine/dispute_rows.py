"""Disputed payments: a row each, as its provider said last."""

from datetime import datetime
from typing import LiteralString
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.payments.rules.disputes import TAKEN_STATES, DisputeRow
from milo_billing.payments.types import DisputeState

_DISPUTE: LiteralString = (
    "select class, reference, payment, owner_org, amount_minor, taken_minor, state, reason, changes "
    "from payments.disputes"
)


def find_dispute(tx: Tx, *, class_uid: UUID, reference: str) -> DisputeRow | None:
    """The dispute that the provider calls so."""
    row = tx.execute(f"{_DISPUTE} where class = %s and reference = %s", (class_uid, reference)).fetchone()
    return None if row is None else DisputeRow(*row)


def put_dispute(tx: Tx, row: DisputeRow, *, now: datetime) -> None:
    """Note how it stands, and how much of the payment is gone by all its disputes."""
    tx.execute(
        "insert into payments.disputes (class, reference, payment, owner_org, amount_minor, taken_minor, state, "
        "reason, changes, opened_at, changed_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "on conflict (class, reference) do update set amount_minor = excluded.amount_minor, "
        "taken_minor = excluded.taken_minor, state = excluded.state, reason = excluded.reason, "
        "changes = excluded.changes, changed_at = excluded.changed_at",
        (
            row.class_uid,
            row.reference,
            row.payment,
            row.owner_org,
            row.amount_minor,
            row.taken_minor,
            row.state,
            row.reason,
            row.changes,
            now,
            now,
        ),
    )
    tx.execute(
        "update payments.payments set disputed_minor = (select sum(taken_minor) from payments.disputes "
        "where payment = %(payment)s) where uid = %(payment)s",
        {"payment": row.payment},
    )


def list_short(tx: Tx, *, payment: UUID) -> tuple[DisputeRow, ...]:
    """Disputes that took less of the payment than is disputed, because the rest was on its way back."""
    rows = tx.execute(
        f"{_DISPUTE} where payment = %s and taken_minor < amount_minor and state = any(%s) "
        "order by opened_at, reference",
        (payment, list(TAKEN_STATES)),
    )
    return tuple(DisputeRow(*row) for row in rows)


def list_of_invoice(tx: Tx, *, invoice: UUID) -> tuple[tuple[str, DisputeState, UUID], ...]:
    """(reference, state, method that was charged) of disputes that took money of the invoice."""
    rows = tx.execute(
        "select d.reference, d.state, a.method from payments.payments p "
        "join payments.disputes d on d.payment = p.uid and d.state in ('Open', 'Lost') "
        "join payments.attempts a on a.payment = p.uid and a.state = 'Succeeded' "
        "where p.invoice = %s order by d.opened_at desc",
        (invoice,),
    )
    return tuple(rows)
