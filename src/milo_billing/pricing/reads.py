"""SQL that reads what was declared to be charged once. Public."""

from datetime import date
from typing import LiteralString

from milo_billing.controlplane.projections import ProjectionDifference, compare_rows
from milo_billing.infra.database import Tx
from milo_billing.pricing.types import OneTimeCharge


def list_charges(tx: Tx, *, account: int, first: date, end: date, limit: int) -> tuple[OneTimeCharge, ...]:
    """The account's charges on the days `[first, end)`, by day, then name; at most `limit` of them."""
    found = tx.execute(
        "select name, sku, day, quantity, description from pricing.charges "
        "where account = %s and day >= %s and day < %s order by day, name limit %s",
        (account, first, end, limit),
    )
    return tuple(OneTimeCharge(*row) for row in found)


_DECLARED: LiteralString = """
select 'pricing.charges', uid::text, 'charge ' || namespace || '/' || name, jsonb_build_object(
    'name', name, 'namespace', namespace, 'owner_org', owner_org, 'account', spec #>> '{billingAccountRef,name}',
    'sku', spec #>> '{skuRef,name}', 'day', (spec ->> 'date')::date, 'quantity', (spec ->> 'quantity')::numeric,
    'description', coalesce(spec ->> 'description', ''))
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'charges'
"""

_PROJECTED: LiteralString = """
select 'pricing.charges', c.uid::text, 'charge ' || c.namespace || '/' || c.name, jsonb_build_object(
    'name', c.name, 'namespace', c.namespace, 'owner_org', c.owner_org, 'account', a.name, 'sku', c.sku, 'day', c.day,
    'quantity', c.quantity, 'description', c.description)
from pricing.charges c join accounts.accounts a on a.number = c.account
"""


def compare_projections(tx: Tx) -> tuple[ProjectionDifference, ...]:
    """Where the slice's tables differ from its objects. Needs to reach everything; empty is right."""
    return compare_rows(tx, expected=_DECLARED, found=_PROJECTED)
