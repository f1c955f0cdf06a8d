"""SQL that writes this slice's tables, and the locks that order a change of payer."""

from datetime import datetime
from uuid import UUID

from milo_billing.accounts.types import AccountPhase
from milo_billing.infra.database import Tx

FENCE = 4202
"""Advisory lock: shared while usage is attributed, exclusive while a payer changes."""

PROJECT_LOCKS = 4203
"""Class of advisory locks, one a project: two changes of one project's payer come one after the other."""


def lock_fence(tx: Tx, *, exclusive: bool) -> None:
    if exclusive:
        tx.execute("select pg_advisory_xact_lock(%s::bigint)", (FENCE,))
    else:
        tx.execute("select pg_advisory_xact_lock_shared(%s::bigint)", (FENCE,))


def lock_project(tx: Tx, *, project: int) -> None:
    tx.execute("select pg_advisory_xact_lock(%s::int, %s::int)", (PROJECT_LOCKS, project))


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
) -> None:
    """Write the projection of a BillingAccount; one that would not change keeps its version."""
    standing = tx.execute(
        "select currency, time_zone, phase, deleted_at from accounts.accounts where uid = %s", (uid,)
    ).fetchone()
    if standing == (currency, time_zone, phase, deleted_at):
        return
    tx.execute(
        "insert into accounts.accounts (uid, namespace, name, owner_org, currency, time_zone, phase, created_at, "
        "deleted_at, version) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "on conflict (uid) do update set currency = excluded.currency, time_zone = excluded.time_zone, "
        "phase = excluded.phase, deleted_at = excluded.deleted_at, version = excluded.version",
        (
            uid,
            namespace,
            name,
            owner_org,
            currency,
            time_zone,
            phase,
            created_at,
            deleted_at,
            next_version(tx),
        ),
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
    version = next_version(tx)
    tx.execute(
        "update accounts.payer_intervals set ends_at = %s, version = %s where project = %s and ends_at = 'infinity'",
        (starts_at, version, project),
    )
    tx.execute(
        "insert into accounts.payer_intervals (owner_org, project, account, binding, binding_name, project_name, "
        "starts_at, version) values (%s, %s, %s, %s, %s, %s, %s, %s)",
        (owner_org, project, account, binding, binding_name, project_name, starts_at, version),
    )


def end_interval(tx: Tx, *, binding: UUID, ends_at: datetime) -> None:
    """Nobody pays for the binding's project from `ends_at` on. The caller holds the fence exclusively."""
    tx.execute(
        "update accounts.payer_intervals set ends_at = %s, version = %s where binding = %s and ends_at = 'infinity'",
        (ends_at, next_version(tx), binding),
    )


def raise_billed(tx: Tx, *, account: int, until: datetime) -> None:
    """Note that the account has been invoiced up to `until`; an earlier instant than the standing one is ignored."""
    tx.execute(
        "insert into accounts.billed (account, billed_until) values (%s, %s) "
        "on conflict (account) do update set billed_until = greatest(billed.billed_until, excluded.billed_until)",
        (account, until),
    )


def lock_object(tx: Tx, *, uid: UUID) -> bool:
    """Keep an object of another slice from being deleted until the transaction ends; False where it has gone."""
    query = "select from controlplane.objects where uid = %s for key share"
    return tx.execute(query, (uid,)).rowcount == 1


def hold_object(tx: Tx, *, uid: UUID, reason: str, at: datetime) -> None:
    """Keep an object of another slice for longer than this transaction: its deletion answers 409 with the reason."""
    tx.execute(
        "insert into controlplane.holds (uid, slice, reason, held_at) values (%s, 'accounts', %s, %s) "
        "on conflict do nothing",
        (uid, reason, at),
    )


def release_object(tx: Tx, *, uid: UUID, reason: str) -> None:
    """Take a hold of this slice away; without one, nothing happens."""
    query = "delete from controlplane.holds where uid = %s and slice = 'accounts' and reason = %s"
    tx.execute(query, (uid, reason))
