"""SQL that reads what may be used. All under the reach of the transaction; offers are everybody's."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

from milo_billing.controlplane.projections import ProjectionDifference, compare_rows
from milo_billing.entitlements.types import (
    AccountBook,
    HeldEntitlement,
    HeldSubscription,
    OfferEntry,
    Revision,
    Term,
)
from milo_billing.infra.database import Tx

_OFFER: LiteralString = (
    "select number, name, phase, tier, services, features, book, trial_days from entitlements.offers"
)


def find_offer(tx: Tx, *, name: str) -> OfferEntry | None:
    """The living offer of that name."""
    row = tx.execute(f"{_OFFER} where name = %s and deleted_at is null", (name,)).fetchone()
    return None if row is None else _offer(row)


def find_entitlement_of_offer(tx: Tx, *, offer: int) -> str | None:
    """A living entitlement to the offer as namespace/name, the first by number."""
    row = tx.execute(
        "select namespace || '/' || name from entitlements.entitlements where offer = %s and deleted_at is null "
        "order by number limit 1",
        (offer,),
    ).fetchone()
    return None if row is None else row[0]


def list_entitlements(tx: Tx, *, account: int) -> tuple[HeldEntitlement, ...]:
    """Everything that the account holds, will hold or held, deleted ones included, by the day it starts.

    What was deleted before it started is none of it.
    """
    rows = tx.execute(
        "select e.name, e.starts_on, e.ends_on, e.services || coalesce(o.services, '{}'), o.name, "
        "coalesce(o.tier, ''), e.quantity, coalesce(o.features, '{}'), e.limits "
        "from entitlements.entitlements e left join entitlements.offers o on o.number = e.offer "
        "where e.account = %s and (e.ends_on is null or e.ends_on > e.starts_on) order by e.starts_on, e.number",
        (account,),
    )
    return tuple(_held(row) for row in rows)


def list_account_books(tx: Tx, *, account: int, start: date, end: date) -> tuple[AccountBook, ...]:
    """The price books that entitlements give the account on any of the days [start, end), the first to ask first.

    A book negotiated for an entitlement goes before one that comes with its offer; among those, the entitlement that
    started later, then the one declared later.
    """
    rows = tx.execute(
        "select e.name, null, e.book, e.starts_on, e.ends_on, e.number, 0 as rank from entitlements.entitlements e "
        "where e.account = %(account)s and e.book is not null and e.starts_on < %(end)s "
        "and (e.ends_on is null or (e.ends_on > %(start)s and e.ends_on > e.starts_on)) "
        "union all select e.name, o.name, o.book, e.starts_on, e.ends_on, e.number, 1 "
        "from entitlements.entitlements e join entitlements.offers o on o.number = e.offer "
        "where e.account = %(account)s and o.book is not null and e.starts_on < %(end)s "
        "and (e.ends_on is null or (e.ends_on > %(start)s and e.ends_on > e.starts_on)) "
        "order by rank, starts_on desc, number desc",
        {"account": account, "start": start, "end": end},
    )
    return tuple(
        AccountBook(name, offer, book, Term(starts_on, ends_on))
        for name, offer, book, starts_on, ends_on, _, _ in rows
    )


_REVISIONS: LiteralString = (
    "join lateral (select array_agg(r.day order by r.day) as days, array_agg(r.quantity order by r.day) as quantities, "
    "array_agg(r.ends_on order by r.day) as ends, max(r.day) as last_day, bool_or(r.ends_on is null) as was_open, "
    "max(r.ends_on) as last_end from entitlements.revisions r where r.entitlement = e.number) known on true"
)


def list_subscriptions(tx: Tx, *, account: int, start: date, end: date) -> tuple[HeldSubscription, ...]:
    """What recurs for the account of which something can fall due on the days [start, end), by entitlement, then Sku.

    That is what starts before `end` and has not ended before `start`, or was revised since the day before it.
    """
    rows = tx.execute(
        "select e.name, coalesce(o.recurring, '[]') || e.recurring, e.starts_on, coalesce(o.trial_days, 0), "
        "known.days, known.quantities, known.ends "
        "from entitlements.entitlements e left join entitlements.offers o on o.number = e.offer "
        f"{_REVISIONS} where e.account = %(account)s and e.starts_on < %(end)s "
        "and (e.recurring <> '[]' or o.recurring <> '[]') "
        "and (e.ends_on is null or e.ends_on >= %(start)s or known.last_day >= %(before)s) order by e.number",
        {"account": account, "start": start, "end": end, "before": start - timedelta(days=1)},
    )
    return tuple(
        HeldSubscription(
            entitlement=name,
            sku=one["sku"],
            quantity=Decimal(one["quantity"]),
            per=one["per"],
            starts_on=starts_on,
            trial_ends_on=starts_on + timedelta(days=trial_days) if trial_days else None,
            revisions=tuple(map(Revision, days, quantities, ends)),
        )
        for name, recurring, starts_on, trial_days, days, quantities, ends in rows
        for one in recurring
    )


def list_known_books(tx: Tx, *, account: int, start: date, end: date) -> tuple[AccountBook, ...]:
    """As `list_account_books`, with the books that were once known to be given on these days, and since when."""
    rows = tx.execute(
        "select e.name, case when given.own then null else o.name end, given.book, e.starts_on, e.ends_on, "
        "known.days, known.quantities, known.ends "
        "from entitlements.entitlements e left join entitlements.offers o on o.number = e.offer "
        f"{_REVISIONS} cross join lateral (values (true, e.book), (false, o.book)) as given (own, book) "
        "where e.account = %(account)s and given.book is not null and e.starts_on < %(end)s "
        "and (known.was_open or known.last_end > %(start)s) "
        "order by given.own desc, e.starts_on desc, e.number desc",
        {"account": account, "start": start, "end": end},
    )
    return tuple(
        AccountBook(name, offer, book, Term(starts_on, ends_on), tuple(map(Revision, days, quantities, ends)))
        for name, offer, book, starts_on, ends_on, days, quantities, ends in rows
    )


def is_revised(tx: Tx, *, uid: UUID) -> bool:
    """Whether the last revision of the entitlement is what it says."""
    row = tx.execute(
        "select from entitlements.entitlements e join lateral (select r.quantity, r.ends_on "
        "from entitlements.revisions r where r.entitlement = e.number order by r.day desc limit 1) last "
        "on (last.quantity, last.ends_on) is not distinct from (e.quantity, e.ends_on) where e.uid = %s",
        (uid,),
    )
    return row.rowcount == 1


def get_account_of(tx: Tx, *, uid: UUID) -> int:
    """The number of the account that the entitlement is for. Raises LookupError where there is no such entitlement."""
    row = tx.execute("select account from entitlements.entitlements where uid = %s", (uid,)).fetchone()
    if row is None:
        raise LookupError(f"there is no entitlement {uid}")
    return row[0]


def find_time_zone(tx: Tx, *, uid: UUID) -> str | None:
    """The time zone of the account that the entitlement with this uid is for, also of one that was deleted."""
    row = tx.execute(
        "select a.time_zone from entitlements.entitlements e join accounts.accounts a on a.number = e.account "
        "where e.uid = %s",
        (uid,),
    ).fetchone()
    return None if row is None else row[0]


def list_due(tx: Tx, *, now: datetime, after: int, limit: int) -> tuple[tuple[int, str, str], ...]:
    """(number, namespace, name) of entitlements behind `after` whose phase is no longer what their days say."""
    rows = tx.execute(
        "select e.number, e.namespace, e.name from entitlements.entitlements e "
        "join accounts.accounts a on a.number = e.account "
        "where e.number > %(after)s and e.deleted_at is null and e.phase <> 'Ended' "
        "and least(e.starts_on, e.ends_on) <= (%(now)s at time zone 'UTC')::date + 1 "
        "and ((e.phase = 'Scheduled' and e.starts_on::timestamp at time zone a.time_zone <= %(now)s) "
        "or e.ends_on::timestamp at time zone a.time_zone <= %(now)s) order by e.number limit %(limit)s",
        {"now": now, "after": after, "limit": limit},
    )
    return tuple(rows.fetchall())


def _offer(row: tuple[Any, ...]) -> OfferEntry:
    number, name, phase, tier, services, features, book, trial_days = row
    return OfferEntry(number, name, phase, tier, tuple(services), features, book, trial_days)


def _held(row: tuple[Any, ...]) -> HeldEntitlement:
    name, starts_on, ends_on, services, offer, tier, quantity, features, limits = row
    known: Mapping[str, int] = {limit: int(most) for limit, most in limits.items()}
    return HeldEntitlement(
        name=name,
        term=Term(starts_on, ends_on),
        services=tuple(services),
        offer=offer,
        tier=tier,
        quantity=quantity,
        features=features,
        limits=known,
    )


# ------------------------------------------------------------------------------------------------ projections

_DECLARED: LiteralString = """
select 'entitlements.offers', uid::text, 'offer ' || name, jsonb_build_object(
    'name', name, 'phase', spec ->> 'phase', 'tier', spec ->> 'tier',
    'services', jsonb_path_query_array(spec, '$.services[*].name'), 'features', coalesce(spec -> 'features', '{}'),
    'book', spec #>> '{priceBookRef,name}', 'trial', (spec ->> 'trialDays')::integer,
    'recurring', jsonb_path_query_array(spec, '$.recurring[*].skuRef.name'),
    'quantities', jsonb_path_query_array(spec, '$.recurring[*].quantity'),
    'per', jsonb_path_query_array(spec, '$.recurring[*].per'))
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'offers'
union all
select 'entitlements.entitlements', o.uid::text, 'entitlement ' || o.namespace || '/' || o.name, jsonb_build_object(
    'namespace', o.namespace, 'name', o.name, 'owner_org', o.owner_org,
    'account', o.spec #>> '{billingAccountRef,name}', 'offer', o.spec #>> '{offerRef,name}',
    'services', jsonb_path_query_array(o.spec, '$.services[*].name'), 'book', o.spec #>> '{priceBookRef,name}',
    'from', (o.spec ->> 'startsAt')::date, 'to', (o.spec ->> 'endsAt')::date,
    'recurring', jsonb_path_query_array(o.spec, '$.recurring[*].skuRef.name'),
    'quantities', jsonb_path_query_array(o.spec, '$.recurring[*].quantity'),
    'per', jsonb_path_query_array(o.spec, '$.recurring[*].per'),
    'known', jsonb_build_array((o.spec ->> 'quantity')::bigint, (o.spec ->> 'endsAt')::date),
    'quantity', (o.spec ->> 'quantity')::bigint, 'limits', coalesce(o.spec -> 'limits', '{}'),
    'phase', o.status ->> 'phase')
from controlplane.objects o where o.api_group = 'billing.miloapis.com' and o.resource = 'entitlements'
"""

_PROJECTED: LiteralString = """
select 'entitlements.offers', uid::text, 'offer ' || name, jsonb_build_object(
    'name', name, 'phase', phase, 'tier', tier, 'services', to_jsonb(services), 'features', features, 'book', book,
    'trial', trial_days, 'recurring', jsonb_path_query_array(recurring, '$[*].sku'),
    'quantities', jsonb_path_query_array(recurring, '$[*].quantity'),
    'per', jsonb_path_query_array(recurring, '$[*].per'))
from entitlements.offers where deleted_at is null
union all
select 'entitlements.entitlements', e.uid::text, 'entitlement ' || e.namespace || '/' || e.name, jsonb_build_object(
    'namespace', e.namespace, 'name', e.name, 'owner_org', e.owner_org, 'account', a.name, 'offer', o.name,
    'services', to_jsonb(e.services), 'book', e.book, 'from', e.starts_on, 'to', e.ends_on, 'quantity', e.quantity,
    'recurring', jsonb_path_query_array(e.recurring, '$[*].sku'),
    'quantities', jsonb_path_query_array(e.recurring, '$[*].quantity'),
    'per', jsonb_path_query_array(e.recurring, '$[*].per'),
    'known', (select jsonb_build_array(r.quantity, r.ends_on) from entitlements.revisions r
              where r.entitlement = e.number order by r.day desc limit 1),
    'limits', e.limits, 'phase', e.phase)
from entitlements.entitlements e join accounts.accounts a on a.number = e.account
left join entitlements.offers o on o.number = e.offer where e.deleted_at is null
"""


def compare_projections(tx: Tx) -> tuple[ProjectionDifference, ...]:
    """Where offers and entitlements differ from their objects. Needs to reach everything; empty is right."""
    return compare_rows(tx, expected=_DECLARED, found=_PROJECTED)
