"""The ledger's one way in: the database function `ledger.post`. Direct inserts are granted to nobody."""

from datetime import datetime
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from milo_billing.infra.database import Tx
from milo_billing.ledger.types import Entry, LedgerTransaction, UnableToPost


def insert_transaction(tx: Tx, transaction: LedgerTransaction, *, now: datetime) -> UUID:
    """Insert, or find that the same stands already; returns the id of what stands."""
    try:
        row = tx.execute(
            "select ledger.post(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                transaction.id,
                transaction.key,
                transaction.entity,
                transaction.posted_on,
                transaction.description,
                transaction.billing_account,
                transaction.owner_org,
                now,
                Jsonb([_row(entry) for entry in transaction.entries]),
            ),
        ).fetchone()
    except (psycopg.errors.UniqueViolation, psycopg.errors.CheckViolation) as error:
        raise UnableToPost(error.diag.message_primary) from error
    assert row is not None  # a scalar function returns one row
    return row[0]


def _row(entry: Entry) -> dict[str, str | int | None]:
    """The entry as the function reads it, and as it compares a standing one: every key present."""
    start, end = entry.service or (None, None)
    return {
        "account": entry.account,
        "currency": entry.amount.currency,
        "amount_minor": entry.amount.minor,
        "service_from": start.isoformat() if start else None,
        "service_to": end.isoformat() if end else None,
    }
