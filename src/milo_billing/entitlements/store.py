"""SQL that writes this slice's own tables."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from milo_billing.entitlements.types import EntitlementPhase, OfferPhase, RecurringSku, Term
from milo_billing.infra.database import Tx


def put_offer(
    tx: Tx,
    *,
    uid: UUID,
    name: str,
    phase: OfferPhase,
    tier: str,
    services: Sequence[str],
    features: Mapping[str, str],
    book: str | None,
    recurring: Sequence[RecurringSku],
    trial_days: int,
    deleted_at: datetime | None,
) -> None:
    tx.execute(
        "insert into entitlements.offers (uid, name, phase, tier, services, features, book, recurring, trial_days, "
        "deleted_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (uid) do update set "
        "phase = excluded.phase, tier = excluded.tier, services = excluded.services, features = excluded.features, "
        "book = excluded.book, recurring = excluded.recurring, trial_days = excluded.trial_days, "
        "deleted_at = excluded.deleted_at",
        (
            uid,
            name,
            phase,
            tier,
            list(services),
            Jsonb(dict(features)),
            book,
            _recurring(recurring),
            trial_days,
            deleted_at,
        ),
    )


def _recurring(items: Sequence[RecurringSku]) -> Jsonb:
    return Jsonb([{"sku": one.sku, "quantity": str(one.quantity), "per": one.per} for one in items])


def hold_offer(tx: Tx, *, name: str) -> None:
    """Keep the offer of that name as it is until the transaction ends: an entitlement to it is being made."""
    tx.execute("select from entitlements.offers where name = %s and deleted_at is null for share", (name,))


def lock_offer(tx: Tx, *, uid: UUID) -> None:
    """Wait for whatever entitlement to the offer is being made; it is seen afterwards."""
    tx.execute("select from entitlements.offers where uid = %s for update", (uid,))


def insert_entitlement(
    tx: Tx,
    *,
    uid: UUID,
    owner_org: int,
    namespace: str,
    name: str,
    account: int,
    offer: int | None,
    services: Sequence[str],
    book: str | None,
    recurring: Sequence[RecurringSku],
    term: Term,
    quantity: int,
    limits: Mapping[str, str],
    phase: EntitlementPhase,
) -> None:
    tx.execute(
        "insert into entitlements.entitlements (uid, owner_org, namespace, name, account, offer, services, book, "
        "recurring, starts_on, ends_on, quantity, limits, phase) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            uid,
            owner_org,
            namespace,
            name,
            account,
            offer,
            list(services),
            book,
            _recurring(recurring),
            term.starts_on,
            term.ends_on,
            quantity,
            Jsonb(dict(limits)),
            phase,
        ),
    )


def update_entitlement(
    tx: Tx,
    *,
    uid: UUID,
    ends_on: date | None,
    quantity: int,
    limits: Mapping[str, str],
    phase: EntitlementPhase,
    deleted_at: datetime | None,
) -> None:
    """What may change of an entitlement; everything else stays as it was declared."""
    tx.execute(
        "update entitlements.entitlements set ends_on = %s, quantity = %s, limits = %s, phase = %s, deleted_at = %s "
        "where uid = %s",
        (ends_on, quantity, Jsonb(dict(limits)), phase, deleted_at, uid),
    )


def put_revision(tx: Tx, *, uid: UUID, today: date) -> None:
    """Keep what the entitlement says now as what it says when this day of its account ends, where that is new.

    The caller holds the account's billing lock shared. A day never goes back, also where the zone of an account changes
    that has not been activated, and none is written that an invoice holds: one that was issued while the writer waited
    for it closed at a midnight that has passed since.
    """
    tx.execute(
        "insert into entitlements.revisions (entitlement, owner_org, day, quantity, ends_on) "
        "select e.number, e.owner_org, greatest(last.day, %s, (b.billed_until at time zone a.time_zone)::date), "
        "e.quantity, e.ends_on from entitlements.entitlements e "
        "join accounts.accounts a on a.number = e.account left join accounts.billed b on b.account = e.account "
        "left join lateral (select r.day, r.quantity, r.ends_on "
        "from entitlements.revisions r where r.entitlement = e.number order by r.day desc limit 1) last on true "
        "where e.uid = %s and (last.day is null or (last.quantity, last.ends_on) is distinct from "
        "(e.quantity, e.ends_on)) "
        "on conflict (entitlement, day) do update set quantity = excluded.quantity, ends_on = excluded.ends_on",
        (today, uid),
    )
