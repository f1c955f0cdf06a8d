"""SQL that reads what was promised. What a transaction reaches is decided by row-level security."""

from datetime import date
from typing import Any, LiteralString
from uuid import UUID

from milo_billing.commitments.rules.bodies import parse_discount, parse_promise
from milo_billing.commitments.types import Commitment, CommitmentNotFound, Discount
from milo_billing.controlplane.projections import ProjectionDifference, compare_rows
from milo_billing.infra.database import Tx

_COMMITMENT: LiteralString = (
    "select uid, namespace, name, account, owner_org, currency, ends_on, body from commitments.commitments"
)


def list_commitments(tx: Tx, *, account: int) -> tuple[Commitment, ...]:
    """Everything that the account has ever accepted, in the order in which it did; a handful."""
    found = tx.execute(
        f"{_COMMITMENT} where account = %s and accepted_at is not null order by accepted_at, uid", (account,)
    )
    return tuple(_commitment(row) for row in found)


def get_commitment(tx: Tx, *, namespace: str, name: str) -> tuple[Commitment, bool]:
    """The commitment of that name, and whether it was accepted. Raises CommitmentNotFound."""
    row = tx.execute(
        "select uid, namespace, name, account, owner_org, currency, ends_on, body, accepted_at is not null "
        "from commitments.commitments where namespace = %s and name = %s",
        (namespace, name),
    ).fetchone()
    if row is None:
        raise CommitmentNotFound(f'commitments.billing.miloapis.com "{name}" not found')
    return _commitment(row[:8]), row[8]


def list_in_force(tx: Tx, *, since: date, after: UUID, limit: int) -> tuple[tuple[Commitment, bool], ...]:
    """Commitments of every account within reach that have not ended before that day, by uid from behind `after`.

    With each whether it was accepted.
    """
    found = tx.execute(
        "select uid, namespace, name, account, owner_org, currency, ends_on, body, accepted_at is not null "
        "from commitments.commitments where uid > %s and (ends_on is null or ends_on >= %s) order by uid limit %s",
        (after, since, limit),
    )
    return tuple((_commitment(row[:8]), row[8]) for row in found)


def list_discounts(tx: Tx, *, account: int) -> tuple[Discount, ...]:
    """Every discount of the account."""
    found = tx.execute(
        "select uid, name, body from commitments.discounts where account = %s order by uid", (account,)
    )
    return tuple(parse_discount(body, uid=uid, name=name) for uid, name, body in found)


def find_discount(tx: Tx, *, namespace: str, name: str) -> tuple[int, str | None, Discount] | None:
    """The Discount of that name: its account, the currency of its amount where it has one, itself."""
    row = tx.execute(
        "select account, uid, name, body from commitments.discounts where namespace = %s and name = %s",
        (namespace, name),
    ).fetchone()
    if row is None:
        return None
    account, uid, name, body = row
    return account, body.get("currencyCode"), parse_discount(body, uid=uid, name=name)


def list_shortfalls(tx: Tx, *, commitment: UUID) -> tuple[tuple[int, date, date, int, int, int], ...]:
    """How its ended intervals stood when last looked at: (minimum, start, end, minimum, spent, shortfall) by end."""
    found = tx.execute(
        "select minimum, starts_on, ends_on, minimum_minor, spent_minor, shortfall_minor from commitments.intervals "
        "where commitment = %s order by ends_on, minimum",
        (commitment,),
    )
    return tuple(found.fetchall())


def find_object(tx: Tx, *, group: str, plural: str, namespace: str, name: str, owner_org: int) -> UUID | None:
    """The uid of an object of the organization, in its namespace or in none; it stays until the transaction ends."""
    row = tx.execute(
        "select uid from controlplane.objects where api_group = %s and resource = %s and namespace in ('', %s) "
        "and name = %s and owner_org = %s and deletion_requested_at is null order by namespace desc limit 1 for share",
        (group, plural, namespace, name, owner_org),
    ).fetchone()
    return None if row is None else row[0]


def _commitment(row: tuple[Any, ...]) -> Commitment:
    uid, namespace, name, account, owner_org, currency, ends_on, body = row
    return Commitment(
        uid=uid,
        namespace=namespace,
        name=name,
        account=account,
        owner_org=owner_org,
        currency=currency,
        promise=parse_promise(body, ends_on=ends_on),
    )


# ------------------------------------------------------------------------------------------------ projections

_DECLARED: LiteralString = """
select 'commitments.commitments', uid::text, 'commitment ' || namespace || '/' || name, jsonb_build_object(
    'namespace', namespace, 'name', name, 'owner_org', owner_org, 'account', spec #>> '{billingAccountRef,name}',
    'from', (spec ->> 'startsOn')::date, 'until', (status ->> 'endsOn')::date, 'spec', spec,
    'accepted', status ? 'acceptance', 'stacks', spec ->> 'stacking' <> 'Refuse')
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'commitments'
union all
select 'commitments.discounts', uid::text, 'discount ' || namespace || '/' || name, jsonb_build_object(
    'namespace', namespace, 'name', name, 'owner_org', owner_org, 'account', spec #>> '{billingAccountRef,name}',
    'from', (spec ->> 'startsOn')::date, 'until', (spec ->> 'endsOn')::date, 'spec', spec)
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'discounts'
"""

_PROJECTED: LiteralString = """
select 'commitments.commitments', c.uid::text, 'commitment ' || c.namespace || '/' || c.name, jsonb_build_object(
    'namespace', c.namespace, 'name', c.name, 'owner_org', c.owner_org, 'account', a.name, 'from', c.starts_on,
    'until', c.ends_on, 'spec', c.body, 'accepted', c.accepted_at is not null, 'stacks', c.stacks)
from commitments.commitments c join accounts.accounts a on a.number = c.account
union all
select 'commitments.discounts', d.uid::text, 'discount ' || d.namespace || '/' || d.name, jsonb_build_object(
    'namespace', d.namespace, 'name', d.name, 'owner_org', d.owner_org, 'account', a.name, 'from', d.starts_on,
    'until', d.ends_on, 'spec', d.body)
from commitments.discounts d join accounts.accounts a on a.number = d.account
"""


def compare_projections(tx: Tx) -> tuple[ProjectionDifference, ...]:
    """Where the promises differ from their objects. Needs to reach everything; empty is right."""
    return compare_rows(tx, expected=_DECLARED, found=_PROJECTED)
