"""What was done about invoices that are past due: rows that are added and never changed."""

from datetime import datetime
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.payments.rules.dunning import DunningStep


def list_steps(tx: Tx, *, invoice: UUID) -> tuple[DunningStep, ...]:
    """What was done about the invoice, in order."""
    rows = tx.execute(
        "select kind, number, on_day from payments.dunning where invoice = %s order by at, kind, number",
        (invoice,),
    )
    return tuple(DunningStep(kind, number, on) for kind, number, on in rows)


def insert_step(tx: Tx, step: DunningStep, *, invoice: UUID, owner_org: int, now: datetime) -> None:
    """Note what this transaction does; the same step a second time is refused by the database."""
    tx.execute(
        "insert into payments.dunning (invoice, kind, number, owner_org, on_day, at) "
        "values (%s, %s, %s, %s, %s, %s)",
        (invoice, step.kind, step.number, owner_org, step.on, now),
    )
