"""The ways in: the database functions `ledger.post` and `ledger.close_month`. Inserts are granted to nobody."""

from datetime import date, datetime
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from milo_billing.infra.database import Tx
from milo_billing.ledger.types import Entry, LedgerTransaction, UnableToPost


def insert_transaction(tx: Tx, transaction: LedgerTransaction, *, late: bool, now: datetime) -> UUID:
    """Insert, or find that the same stands already; returns the id of what stands.

    `late`: on the first open day, where the month of `posted_on` is closed; else that is refused.
    """
    try:
        row = tx.execute(
            "select ledger.post(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
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
                late,
            ),
        ).fetchone()
    except (psycopg.errors.UniqueViolation, psycopg.errors.CheckViolation) as error:
        raise UnableToPost(error.diag.message_primary) from error
    assert row is not None  # a scalar function returns one row
    return row[0]


def close_month(tx: Tx, *, entity: str, month: date, by: str, now: datetime) -> bool:
    """Close the month that begins on the day `month`; False where it is closed already."""
    row = tx.execute("select ledger.close_month(%s, %s, %s, %s)", (entity, month, now, by)).fetchone()
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
