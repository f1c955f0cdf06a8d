"""SQL that writes this slice's tables, and the locks that order a change of payer."""

from collections.abc import Collection
from datetime import date, datetime
from typing import LiteralString
from uuid import UUID

from milo_billing.accounts.types import (
    BILLING_SHARES,
    AccountPhase,
    BillingMode,
    InvoiceFrequency,
    MethodPhase,
    MethodType,
    PaymentProfileType,
)
from milo_billing.infra import advisory_locks
from milo_billing.infra.database import Tx


def lock_fence(tx: Tx, *, exclusive: bool) -> None:
    if exclusive:
        tx.execute("select pg_advisory_xact_lock(%s::bigint)", (advisory_locks.FENCE,))
    else:
        tx.execute("select pg_advisory_xact_lock_shared(%s::bigint)", (advisory_locks.FENCE,))


def lock_project(tx: Tx, *, project: int) -> None:
    tx.execute("select pg_advisory_xact_lock(%s::int, %s::int)", (advisory_locks.PROJECTS, project))


def lock_tree(tx: Tx, *, owner_org: int, exclusive: bool) -> None:
    """Until the transaction ends no account of the organization gets another parent or billing mode.

    Exclusive, for whoever changes one: nobody else looks along the trees either. Take it before locks on objects.
    """
    query: LiteralString = (
        "select pg_advisory_xact_lock(%s::int, (%s::bigint %% 2147483647)::int)"
        if exclusive
        else "select pg_advisory_xact_lock_shared(%s::int, (%s::bigint %% 2147483647)::int)"
    )
    tx.execute(query, (advisory_locks.TREES, owner_org))


def lock_billing(tx: Tx, *, share: int) -> None:
    """Hold the billing lock of a share of the accounts exclusively until the transaction ends."""
    tx.execute("select pg_advisory_xact_lock(%s::int, %s::int)", (advisory_locks.BILLING, share))


def lock_billing_shared(tx: Tx, *, shares: Collection[int]) -> None:
    """Hold billing locks shared until the transaction ends; taken in order, so that two holders never cross."""
    tx.execute(
        "select pg_advisory_xact_lock_shared(%s::int, share) from unnest(%s::int[]) as share",
        (advisory_locks.BILLING, sorted(shares)),
        prepare=True,
    )


def lock_method_classes(tx: Tx) -> None:
    tx.execute("select pg_advisory_xact_lock(%s::bigint)", (advisory_locks.METHOD_CLASSES,))


def next_version(tx: Tx) -> int:
    """Raise the version that caches of payers compare; the row stays locked until the transaction ends."""
    row = tx.execute(
        "update controlplane.versions set version = version + 1 where name = 'payers' returning version"
    ).fetchone()
    if row is None:
        raise LookupError("controlplane.versions has no row 'payers': the schema is incomplete")
    return row[0]


def put_account(
    tx: Tx,
    *,
    uid: UUID,
    namespace: str,
    name: str,
    owner_org: int,
    currency: str,
    time_zone: str,
    phase: AccountPhase,
    created_at: datetime,
    deleted_at: datetime | None,
    parent: int | None,
    billing_mode: BillingMode,
    invoice_day: int,
    invoice_frequency: InvoiceFrequency,
    profile_type: PaymentProfileType | None,
    payment_method: str | None,
) -> None:
    """Write the projection of a BillingAccount; one that would not change keeps its version."""
    changing = (
        currency,
        time_zone,
        phase,
        deleted_at,
        parent,
        billing_mode,
        invoice_day,
        invoice_frequency,
        profile_type,
        payment_method,
    )
    standing = tx.execute(
        "select currency, time_zone, phase, deleted_at, parent, billing_mode, invoice_day, invoice_frequency, "
        "profile_type, payment_method from accounts.accounts where uid = %s",
        (uid,),
    ).fetchone()
    if standing == changing:
        return
    values = (*changing, next_version(tx), uid)
    if standing is None:
        tx.execute(
            "insert into accounts.accounts (currency, time_zone, phase, deleted_at, parent, billing_mode, invoice_day, "
            "invoice_frequency, profile_type, payment_method, version, uid, namespace, name, owner_org, created_at) "
            "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (*values, namespace, name, owner_org, created_at),
        )
        return
    tx.execute(
        "update accounts.accounts set currency = %s, time_zone = %s, phase = %s, deleted_at = %s, parent = %s, "
        "billing_mode = %s, invoice_day = %s, invoice_frequency = %s, profile_type = %s, payment_method = %s, "
        "version = %s where uid = %s",
        values,
    )


def put_invoice_day(tx: Tx, *, uid: UUID, today: date) -> None:
    """Keep the account's invoice day as the one that was written on this day of the account, where it is another one.

    The caller holds the account's billing lock shared. A day never goes back, and none is written that an invoice
    holds.
    """
    tx.execute(
        "insert into accounts.invoice_days (account, owner_org, day, invoice_day) "
        "select a.number, a.owner_org, greatest(last.day, %s, (b.billed_until at time zone a.time_zone)::date), "
        "a.invoice_day from accounts.accounts a left join accounts.billed b on b.account = a.number "
        "left join lateral (select d.day, d.invoice_day from accounts.invoice_days d where d.account = a.number "
        "order by d.day desc limit 1) last on true "
        "where a.uid = %s and last.invoice_day is distinct from a.invoice_day "
        "on conflict (account, day) do update set invoice_day = excluded.invoice_day",
        (today, uid),
    )


def open_interval(
    tx: Tx,
    *,
    project: int,
    project_name: str,
    account: int,
    owner_org: int,
    binding: UUID,
    binding_name: str,
    starts_at: datetime,
) -> None:
    """From `starts_at` on `account` pays for `project`; whoever paid until now stops at that instant.

    The caller holds the fence exclusively.
    """
    written = tx.execute(
        "with next as (update controlplane.versions set version = version + 1 where name = 'payers' "
        "returning version), "
        "ended as (update accounts.payer_intervals set ends_at = %s, version = (select version from next) "
        "where project = %s and ends_at = 'infinity' returning id) "
        "insert into accounts.payer_intervals (owner_org, project, account, binding, binding_name, project_name, "
        # counting what was ended makes the new interval come after it: the two may touch, not overlap
        "starts_at, version) select %s, %s, %s, %s, %s, %s, %s, version from next "
        "where (select count(*) from ended) >= 0",
        (
            starts_at,
            project,
            owner_org,
            project,
            account,
            binding,
            binding_name,
            project_name,
            starts_at,
        ),
    )
    if written.rowcount != 1:
        raise LookupError("controlplane.versions has no row 'payers': the schema is incomplete")


def end_interval(tx: Tx, *, binding: UUID, ends_at: datetime) -> None:
    """Nobody pays for the binding's project from `ends_at` on. The caller holds the fence exclusively."""
    tx.execute(
        "update accounts.payer_intervals set ends_at = %s, version = %s where binding = %s and ends_at = 'infinity'",
        (ends_at, next_version(tx), binding),
    )


def raise_closed(tx: Tx, *, account: int, until: datetime) -> None:
    """Note that nothing was to be invoiced up to `until`, as `raise_billed`."""
    tx.execute(
        "with raised as (insert into accounts.billed as b (account, closed_until, version) "
        "select %(account)s, %(until)s, version + 1 from controlplane.versions where name = %(name)s "
        "on conflict (account) do update set closed_until = excluded.closed_until, version = excluded.version "
        "where greatest(b.closed_until, b.billed_until) < excluded.closed_until returning version) "
        "update controlplane.versions v set version = raised.version from raised where v.name = %(name)s",
        {"account": account, "until": until, "name": f"billed/{account % BILLING_SHARES}"},
    )


def raise_final(tx: Tx, *, account: int, until: datetime) -> None:
    """Note up to where the final invoice of the account is; an earlier instant than the standing one is ignored."""
    tx.execute(
        "update accounts.billed set final_until = greatest(final_until, %s) where account = %s",
        (until, account),
    )


def raise_billed(tx: Tx, *, account: int, until: datetime) -> None:
    """Note that the account has been invoiced up to `until`; an earlier instant than the standing one is ignored.

    The caller holds the billing lock of the account's share, so that versions of one share commit in their order.
    """
    share = account % BILLING_SHARES
    tx.execute(
        "with raised as (insert into accounts.billed as b (account, billed_until, version) "
        "select %(account)s, %(until)s, version + 1 from controlplane.versions where name = %(name)s "
        "on conflict (account) do update set billed_until = excluded.billed_until, version = excluded.version "
        "where b.billed_until is null or b.billed_until < excluded.billed_until returning version) "
        "update controlplane.versions v set version = raised.version from raised where v.name = %(name)s",
        {"account": account, "until": until, "name": f"billed/{share}"},
    )


def lock_object(tx: Tx, *, uid: UUID) -> bool:
    """Keep an object of another slice from being deleted until the transaction ends; False where it has gone."""
    query = "select from controlplane.objects where uid = %s for key share"
    return tx.execute(query, (uid,)).rowcount == 1


def put_method_class(tx: Tx, *, uid: UUID, name: str, provider: str, is_default: bool) -> None:
    """Write the projection of a PaymentMethodClass."""
    tx.execute(
        "insert into accounts.payment_method_classes (uid, name, provider, is_default) values (%s, %s, %s, %s) "
        "on conflict (uid) do update set provider = excluded.provider, is_default = excluded.is_default",
        (uid, name, provider, is_default),
    )


def lock_method_class(tx: Tx, *, uid: UUID) -> None:
    """Until the transaction ends no payment method of the class is created."""
    tx.execute("select from accounts.payment_method_classes where uid = %s for update", (uid,))


def delete_method_class(tx: Tx, *, uid: UUID) -> None:
    """Take the projection of a PaymentMethodClass away; the database refuses where methods use it."""
    tx.execute("delete from accounts.payment_method_classes where uid = %s", (uid,))


def insert_method(
    tx: Tx,
    *,
    uid: UUID,
    owner_org: int,
    namespace: str,
    name: str,
    account: UUID,
    method_class: UUID,
    phase: MethodPhase,
    type: MethodType | None,
) -> None:
    """Enter a new PaymentMethod, of that account and class for good."""
    tx.execute(
        "insert into accounts.payment_methods (uid, owner_org, namespace, name, account, class, phase, type) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s)",
        (uid, owner_org, namespace, name, account, method_class, phase, type),
    )


def update_method(
    tx: Tx, *, uid: UUID, phase: MethodPhase, type: MethodType | None, failure_reason: str | None
) -> None:
    """Note what became of a PaymentMethod."""
    tx.execute(
        "update accounts.payment_methods set phase = %s, type = %s, failure_reason = %s where uid = %s",
        (phase, type, failure_reason, uid),
    )


def delete_method(tx: Tx, *, uid: UUID) -> None:
    """Take the projection of a PaymentMethod away."""
    tx.execute("delete from accounts.payment_methods where uid = %s", (uid,))
