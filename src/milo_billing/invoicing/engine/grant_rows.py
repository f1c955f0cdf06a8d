"""SQL that writes granted credit: the grant once, and its movements, which carry themselves into what is left."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from milo_billing.infra.database import Tx
from milo_billing.invoicing.rules.grants import Grant, MovementKind


def insert_grant(
    tx: Tx, grant: Grant, *, selectors: Sequence[Mapping[str, Any]], received_minor: int, unapplied_minor: int
) -> None:
    """Write the grant, of which nothing is there to be used until its first movement. It can never be changed.

    Of prepaid credit `received_minor` came with it, `unapplied_minor` was unapplied cash, and the rest was on account.
    """
    tx.execute(
        "insert into invoicing.credit_grants (uid, owner_org, namespace, name, account, account_name, kind, currency, "
        "amount_minor, priority, effective_from, expires_at, issuer, received_minor, unapplied_minor, title, reason, "
        "selectors, granted_at, tax_at, tax_category, bought_by) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            grant.uid,
            grant.owner_org,
            grant.namespace,
            grant.name,
            grant.account,
            grant.account_name,
            grant.kind,
            grant.currency,
            grant.amount_minor,
            grant.priority,
            grant.effective_from,
            grant.expires_at,
            grant.issuer,
            received_minor,
            unapplied_minor,
            grant.title,
            grant.reason,
            Jsonb(list(selectors)),
            grant.granted_at,
            grant.tax_at,
            grant.tax_category,
            grant.bought_by,
        ),
    )


def insert_movement(
    tx: Tx,
    grant: Grant,
    kind: MovementKind,
    *,
    minor: int,
    cause: str,
    at: datetime,
    invoice: UUID | None = None,
    posted: str | None = None,
    reason: str | None = None,
) -> None:
    """Write what became of the grant, whose object the transaction has locked; `minor` is above zero for every kind.

    What is left follows by a trigger; the database refuses more than there is, and the same cause twice.
    """
    tx.execute(
        "insert into invoicing.grant_movements (credit_grant, step, owner_org, kind, amount_minor, invoice, cause, "
        "posted, reason, at) select %(grant)s, coalesce(max(step), 0) + 1, %(owner_org)s, %(kind)s, %(minor)s, "
        "%(invoice)s, %(cause)s, %(posted)s, %(reason)s, %(at)s from invoicing.grant_movements "
        "where credit_grant = %(grant)s",
        {
            "grant": grant.uid,
            "owner_org": grant.owner_org,
            "kind": kind,
            "minor": minor if kind in ("Granted", "GivenBack") else -minor,
            "invoice": invoice,
            "cause": cause,
            "posted": posted,
            "reason": reason,
            "at": at,
        },
    )
