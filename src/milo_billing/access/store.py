"""SQL that writes tokens, the projections of roles and bindings, and audit records."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict


def insert_token(
    tx: Tx,
    *,
    sha256: bytes,
    subject: str,
    service_account: UUID | None,
    owner_org: int,
    created_at: datetime,
    expires_at: datetime | None,
) -> None:
    """A new token, by its hash."""
    tx.execute(
        "insert into access.tokens (sha256, subject, service_account, owner_org, created_at, expires_at) "
        "values (%s, %s, %s, %s, %s, %s)",
        (sha256, subject, service_account, owner_org, created_at, expires_at),
    )


def revoke_tokens_of_service_account(tx: Tx, *, service_account: UUID, at: datetime) -> int:
    """How many living tokens this ended."""
    return tx.execute(
        "update access.tokens set revoked_at = %s where service_account = %s and revoked_at is null",
        (at, service_account),
    ).rowcount


def revoke_tokens_of_user(tx: Tx, *, user: str, at: datetime) -> int:
    """How many living tokens this ended."""
    return tx.execute(
        "update access.tokens set revoked_at = %s "
        "where subject = %s and service_account is null and revoked_at is null",
        (at, user),
    ).rowcount


def upsert_role(tx: Tx, *, uid: UUID, name: str, permissions: Sequence[str]) -> None:
    """The role as it is now."""
    tx.execute(
        "insert into access.roles (uid, name, permissions) values (%s, %s, %s) "
        "on conflict (uid) do update set permissions = excluded.permissions",
        (uid, name, list(permissions)),
    )


def delete_role(tx: Tx, *, uid: UUID, name: str) -> None:
    """Raises Conflict if a policy binding grants it, also one that the caller cannot see."""
    try:
        tx.execute("delete from access.roles where uid = %s", (uid,))
    except psycopg.errors.ForeignKeyViolation as error:
        raise Conflict(f'role "{name}" is granted by policy bindings; delete these first') from error


def insert_bindings(
    tx: Tx, *, uid: UUID, role: UUID, owner_org: int, subjects: Sequence[tuple[str, UUID | None]]
) -> None:
    """What a policy binding grants, a row a subject: (user name, uid of the service account or None)."""
    with tx.cursor() as cursor:
        cursor.executemany(
            "insert into access.bindings (uid, subject, service_account, role, owner_org) "
            "values (%s, %s, %s, %s, %s)",
            [(uid, subject, account, role, owner_org) for subject, account in subjects],
        )


def delete_bindings(tx: Tx, *, uid: UUID) -> None:
    """Take back everything that a policy binding granted."""
    tx.execute("delete from access.bindings where uid = %s", (uid,))


def bump_access_version(tx: Tx) -> None:
    """Tell every authorizer, at commit, that what it remembers is old."""
    tx.execute("update controlplane.versions set version = version + 1 where name = 'access'")


def append_audit(
    tx: Tx,
    *,
    chain: int,
    at: datetime,
    audit_id: UUID,
    actor: str,
    verb: str,
    target: str,
    target_uid: UUID | None,
    detail: dict[str, Any],
) -> None:
    """The next link of the chain. It stays locked until the transaction ends."""
    tx.execute(
        "select access.append_audit(%s, %s, %s, %s, %s, %s, %s, null, %s)",
        (chain, at, audit_id, actor, verb, target, target_uid, Jsonb(detail)),
    )
