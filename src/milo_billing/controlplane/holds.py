"""Holds: a slice that needs an object to stay says so in a row; delete answers 409 and names the holders."""

from datetime import datetime
from uuid import UUID

from milo_billing.infra.database import Tx


def hold(tx: Tx, *, uid: UUID, slice: str, reason: str, at: datetime) -> None:
    """Keep the object from being deleted until `release`; holding again with the same words changes nothing."""
    tx.execute(
        "insert into controlplane.holds values (%s, %s, %s, %s) on conflict do nothing",
        (uid, slice, reason, at),
    )


def release(tx: Tx, *, uid: UUID, slice: str, reason: str | None = None) -> None:
    """Give up one hold of the slice on the object, or all of them."""
    tx.execute(
        "delete from controlplane.holds where uid = %s and slice = %s and reason = coalesce(%s, reason)",
        (uid, slice, reason),
    )


def list_holds(tx: Tx, *, uid: UUID) -> list[tuple[str, str]]:
    """Who holds the object and why: (slice, reason), in order."""
    query = "select slice, reason from controlplane.holds where uid = %s order by slice, reason"
    return tx.execute(query, (uid,)).fetchall()
