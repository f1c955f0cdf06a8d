"""Prepaid credit that was set apart of money which an account had with its issuer, for whoever takes that back."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from milo_billing.infra.database import Tx


@dataclass(frozen=True, slots=True)
class SetApart:
    """One grant: how much of it was unapplied cash and on account, and is not taken back yet; amounts in minor units.

    `left_minor` is what nobody has used of it. `uses` are the invoices that it pays, the last first, with amounts.
    """

    grant: UUID
    at: datetime
    unapplied_minor: int
    on_account_minor: int
    left_minor: int
    uses: tuple[tuple[UUID, int], ...]


def list_set_apart(tx: Tx, *, account: int, issuer: str, currency: str, limit: int) -> tuple[SetApart, ...]:
    """The newest first. Not credit that was bought with its tax: an invoice was paid for it, which is owed again.

    What was taken back of a grant counts as its unapplied cash first.
    """
    rows = tx.execute(
        "select g.uid, g.granted_at, g.unapplied_minor, g.amount_minor - g.unapplied_minor, g.remaining_minor, "
        "coalesce((select -sum(amount_minor) from invoicing.grant_movements "
        "where credit_grant = g.uid and kind = 'Revoked'), 0)::bigint "
        "from invoicing.credit_grants g where g.account = %s and g.issuer = %s and g.currency = %s "
        "and g.kind = 'Prepaid' and g.tax_at = 'Use' and g.received_minor = 0 "
        "order by g.granted_at desc, g.uid desc limit %s",
        (account, issuer, currency, limit),
    ).fetchall()
    used = _list_used(tx, grants=[row[0] for row in rows])
    found: list[SetApart] = []
    for grant, at, unapplied, on_account, left, revoked in rows:
        first = min(revoked, unapplied)
        rest = max(on_account - (revoked - first), 0)
        found.append(SetApart(grant, at, unapplied - first, rest, left, tuple(used.get(grant, ()))))
    return tuple(found)


def _list_used(tx: Tx, *, grants: list[UUID]) -> dict[UUID, list[tuple[UUID, int]]]:
    rows = tx.execute(
        "select credit_grant, invoice, -sum(amount_minor)::bigint from invoicing.grant_movements "
        "where credit_grant = any(%s) and invoice is not null group by 1, 2 having sum(amount_minor) < 0 "
        "order by max(step) desc",
        (grants,),
    )
    found: dict[UUID, list[tuple[UUID, int]]] = {}
    for grant, invoice, minor in rows:
        found.setdefault(grant, []).append((invoice, minor))
    return found
