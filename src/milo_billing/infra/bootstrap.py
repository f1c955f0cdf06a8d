"""The database roles that everything else stands on: made where they are missing, in the embedded server and any other.

Roles belong to the whole cluster and may be there already, from another database of ours. Not: what the roles may do
(schema.sql says that).
"""

import psycopg
from psycopg import sql

from milo_billing.infra import advisory_locks
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import MiloError

OWNER = "milo_owner"
ROLES = (OWNER, "milo_app", "milo_job", "milo_ingest")
VERSION_MIN = 150000


class UnableToBootstrap(MiloError):
    """The database, or the rights that we have in it, do not do; the text says what to ask its administrator for."""


def bootstrap(tx: Tx) -> None:
    """Have the four roles, the login user of `tx` (in autocommit) a member of each; again, it changes nothing.

    `milo_owner` gets the right to create schemas in this database, and may hand tables to `milo_ingest`.
    Raises UnableToBootstrap.
    """
    if tx.info.server_version < VERSION_MIN:
        raise UnableToBootstrap(
            f"PostgreSQL 15 or newer is needed, this is {tx.info.server_version // 10000}"
        )
    with tx.transaction():
        # roles are one list for all databases: two servers that start at once must not both create them
        tx.execute("select pg_advisory_xact_lock(%s)", (advisory_locks.ROLES,))
        for role in ROLES:
            _ensure_role(tx, role)
        _ensure_member(tx, member=OWNER, role="milo_ingest")
        _ensure_create(tx)


def _ensure_role(tx: Tx, role: str) -> None:
    if tx.execute("select from pg_roles where rolname = %s", (role,)).fetchone() is None:
        try:
            tx.execute(sql.SQL("create role {} nologin").format(sql.Identifier(role)))
        except psycopg.errors.InsufficientPrivilege as error:
            raise UnableToBootstrap(
                f"user {tx.info.user} may not create roles: let an administrator run"
                f" 'alter role {tx.info.user} createrole', or create {', '.join(ROLES)} and grant them to it"
            ) from error
    _ensure_member(tx, member=tx.info.user, role=role)


def _ensure_member(tx: Tx, *, member: str, role: str) -> None:
    # superusers are members of everything, but SET from inside a role asks for the real grant only from others
    kind = "SET" if tx.info.server_version >= 160000 else "MEMBER"
    row = tx.execute("select pg_has_role(%s, %s, %s)", (member, role, kind)).fetchone()
    if row is not None and row[0]:
        return
    try:
        tx.execute(sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(member)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise UnableToBootstrap(
            f"user {tx.info.user} may not become {role}: let an administrator run 'grant {role} to {member}'"
        ) from error


def _ensure_create(tx: Tx) -> None:
    row = tx.execute("select has_database_privilege(%s, current_database(), 'create')", (OWNER,)).fetchone()
    if row is not None and row[0]:
        return
    database = sql.Identifier(tx.info.dbname)
    try:
        tx.execute(sql.SQL("grant create on database {} to {}").format(database, sql.Identifier(OWNER)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise UnableToBootstrap(
            f"user {tx.info.user} may not create schemas in database {tx.info.dbname}: let an administrator run"
            f" 'alter database {tx.info.dbname} owner to {tx.info.user}'"
        ) from error
    granted = tx.execute(
        "select has_database_privilege(%s, current_database(), 'create')", (OWNER,)
    ).fetchone()
    if granted is None or not granted[0]:  # without the right to grant, PostgreSQL only warns
        raise UnableToBootstrap(
            f"user {tx.info.user} does not own database {tx.info.dbname}: let an administrator run"
            f" 'grant create on database {tx.info.dbname} to {OWNER}'"
        )
