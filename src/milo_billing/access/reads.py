"""What access reads: tokens and grants (whatever the reach of the transaction), and the audit chains (under it)."""

from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from psycopg.rows import class_row

from milo_billing.access.types import GROUP, AuditRecord, Grant, Position, TokenEntry
from milo_billing.controlplane.projections import ProjectionDifference, compare_rows
from milo_billing.infra.database import Tx

_SERVICE_ACCOUNT: LiteralString = (
    "select uid, owner_org from controlplane.objects "
    "where api_group = %s and resource = 'serviceaccounts' and namespace = %s and name = %s"
)


@dataclass(frozen=True, slots=True)
class ServiceAccountEntry:
    """A service account and the number of the organization that owns it."""

    uid: UUID
    owner_org: int


def get_access_version(tx: Tx) -> int:
    """A counter that every committed change of roles, bindings and revocations raises."""
    row = tx.execute("select version from controlplane.versions where name = 'access'").fetchone()
    assert row is not None, "schema.sql inserts it"
    return row[0]


def find_token(tx: Tx, *, sha256: bytes) -> TokenEntry | None:
    """The token with this hash, whoever it belongs to."""
    with tx.cursor(row_factory=class_row(TokenEntry)) as cursor:
        return cursor.execute("select * from access.find_token(%s)", (sha256,)).fetchone()


def list_grants(tx: Tx, *, subject: str, service_account: UUID | None) -> tuple[Grant, ...]:
    """Everything that policy bindings grant to a user or to this very service account."""
    rows = tx.execute(
        "select owner_org, permissions from access.find_grants(%s, %s::uuid)", (subject, service_account)
    ).fetchall()
    return tuple(Grant(owner_org, frozenset(permissions)) for owner_org, permissions in rows)


def find_role(tx: Tx, *, name: str) -> tuple[UUID, tuple[str, ...]] | None:
    """The uid of the role and the permissions that it includes."""
    row = tx.execute("select uid, permissions from access.roles where name = %s", (name,)).fetchone()
    return None if row is None else (row[0], tuple(row[1]))


def find_service_account(tx: Tx, *, namespace: str, name: str) -> ServiceAccountEntry | None:
    """The service account, if it is within reach."""
    with tx.cursor(row_factory=class_row(ServiceAccountEntry)) as cursor:
        return cursor.execute(_SERVICE_ACCOUNT, (GROUP, namespace, name)).fetchone()


def lock_service_account(tx: Tx, *, namespace: str, name: str) -> ServiceAccountEntry | None:
    """The same; it cannot be deleted before this transaction ends."""
    query: LiteralString = f"{_SERVICE_ACCOUNT} for share"
    with tx.cursor(row_factory=class_row(ServiceAccountEntry)) as cursor:
        return cursor.execute(query, (GROUP, namespace, name)).fetchone()


def list_bindings_of_role(tx: Tx, *, name: str, limit: int) -> tuple[str, ...]:
    """The names of the policy bindings within reach that grant the role, in order."""
    rows = tx.execute(
        "select name from controlplane.objects where api_group = %s and resource = 'policybindings' "
        "and fields @> jsonb_build_object('spec.roleRef.name', %s::text) order by name limit %s",
        (GROUP, name, limit),
    ).fetchall()
    return tuple(row[0] for row in rows)


def has_living_token(tx: Tx, *, user: str) -> bool:
    """Whether a user (no service account) has a token that was not revoked and does not expire."""
    row = tx.execute(
        "select exists (select from access.tokens where subject = %s and service_account is null "
        "and revoked_at is null and expires_at is null)",
        (user,),
    ).fetchone()
    return row is not None and row[0]


# -- audit


def list_audit_records(tx: Tx, *, after: Position | None, limit: int) -> tuple[AuditRecord, ...]:
    """Records within reach, chain after chain, each in its order, from behind `after`."""
    query: LiteralString = (
        "select chain, sequence, at, audit_id, actor, verb, target, target_uid, resource_version, detail, "
        "encode(hash, 'hex') as hash from access.audit_records where (chain, sequence) > (%s, %s) "
        "order by chain, sequence limit %s"
    )
    start = after or Position(-1, 0)
    with tx.cursor(row_factory=class_row(AuditRecord)) as cursor:
        return tuple(cursor.execute(query, (start.chain, start.sequence, limit)))


def list_chains(tx: Tx) -> tuple[int, ...]:
    """The chains within reach that have a head or at least one record."""
    # distinct over the records would read all of them; this steps from chain to chain through the index
    rows = tx.execute(
        "with recursive found (chain) as ("
        " (select chain from access.audit_records order by chain limit 1)"
        " union all"
        " select (select chain from access.audit_records r where r.chain > found.chain order by chain limit 1)"
        " from found where found.chain is not null"
        ") select chain from found where chain is not null union select chain from access.audit_heads "
        "order by chain"
    ).fetchall()
    return tuple(row[0] for row in rows)


@dataclass(frozen=True, slots=True)
class ChainFindings:
    """What one pass over a chain found, all from one snapshot. None where there is nothing of the kind.

    `missing` is the first sequence with no record, `changed` the first record whose hash is not that of its
    content, `unlinked` the first that does not name the hash before it.
    """

    records: int
    missing: int | None
    changed: int | None
    unlinked: int | None
    last_hash: bytes | None
    head_sequence: int | None
    head_hash: bytes | None


def inspect_chain(tx: Tx, *, chain: int) -> ChainFindings:
    """Recompute every hash of the chain, in the database and in constant memory."""
    query = """
        with links as (
            select sequence, previous_hash, hash, row_number() over in_order as place,
                   coalesce(lag(hash) over in_order, access.audit_genesis(chain)) as hash_before,
                   access.audit_hash(previous_hash, chain, sequence, at, audit_id, actor, verb, target, target_uid,
                                     resource_version, detail) as hash_now
            from access.audit_records where chain = %(chain)s
            window in_order as (order by sequence)
        )
        select count(*) as records,
               min(place) filter (where sequence <> place) as missing,
               min(sequence) filter (where hash <> hash_now) as changed,
               min(sequence) filter (where previous_hash <> hash_before) as unlinked,
               (select hash from access.audit_records where chain = %(chain)s order by sequence desc limit 1)
                   as last_hash,
               (select sequence from access.audit_heads where chain = %(chain)s) as head_sequence,
               (select hash from access.audit_heads where chain = %(chain)s) as head_hash
        from links
    """
    with tx.cursor(row_factory=class_row(ChainFindings)) as cursor:
        found = cursor.execute(query, {"chain": chain}).fetchone()
    assert found is not None, "an aggregate without groups is always one row"
    return found


# -- projections

_DECLARED: LiteralString = """
select 'access.roles', uid::text, 'role ' || name,
    jsonb_build_object('name', name, 'permissions', spec -> 'includedPermissions')
from controlplane.objects where api_group = 'iam.miloapis.com' and resource = 'roles'
"""
_PROJECTED: LiteralString = """
select 'access.roles', uid::text, 'role ' || name,
    jsonb_build_object('name', name, 'permissions', to_jsonb(permissions))
from access.roles
"""

# A service account is meant as it stood when the binding was written. One that went then, or has gone since, cannot be
# found again by its name; so its row may be missing, and one that stands must belong to a subject of that name.
_GRANTS_DECLARED: LiteralString = """
select 'access.bindings', b.uid || ' ' || s.subject, 'policy binding ' || b.name || ' for ' || s.subject,
    jsonb_build_object('role', b.spec #>> '{roleRef,name}', 'owner_org', b.owner_org, 'program', s.program)
from controlplane.objects b
cross join lateral (
    select x ->> 'name', false, null, null from jsonb_array_elements(b.spec -> 'subjects') x
    where x ->> 'kind' = 'User' or x ->> 'namespace' is null
    union all
    select 'system:serviceaccount:' || (x ->> 'namespace') || ':' || (x ->> 'name'), true, x ->> 'namespace',
        x ->> 'name' from jsonb_array_elements(b.spec -> 'subjects') x
    where x ->> 'kind' <> 'User' and x ->> 'namespace' is not null
) s (subject, program, namespace, name)
where b.api_group = 'iam.miloapis.com' and b.resource = 'policybindings' and (
    not s.program
    or exists (select from access.bindings r where r.uid = b.uid and r.subject = s.subject)
    or exists (select from controlplane.objects a where a.api_group = 'iam.miloapis.com'
               and a.resource = 'serviceaccounts' and a.namespace = s.namespace and a.name = s.name
               and a.created_at <= b.created_at))
"""
_GRANTS_PROJECTED: LiteralString = """
select 'access.bindings', b.uid || ' ' || b.subject,
    'policy binding ' || coalesce(o.name, b.uid::text) || ' for ' || b.subject,
    jsonb_build_object('role', r.name, 'owner_org', b.owner_org, 'program', b.service_account is not null)
from access.bindings b join access.roles r on r.uid = b.role left join controlplane.objects o on o.uid = b.uid
"""

_TOKENS_DECLARED: LiteralString = "select null::text, null::text, null::text, null::jsonb where false"
_TOKENS_FOUND: LiteralString = """
select 'access.tokens', encode(t.sha256, 'hex'), 'token of ' || t.subject, jsonb_build_object('revoked', false)
from access.tokens t where t.service_account is not null and t.revoked_at is null
    and not exists (select from controlplane.objects o where o.uid = t.service_account)
"""


def compare_projections(tx: Tx) -> tuple[ProjectionDifference, ...]:
    """Where roles and grants differ from their objects, and living tokens of service accounts that have gone.

    Needs to reach everything; empty is right.
    """
    return (
        *compare_rows(tx, expected=_DECLARED, found=_PROJECTED),
        *compare_rows(tx, expected=_GRANTS_DECLARED, found=_GRANTS_PROJECTED),
        *compare_rows(tx, expected=_TOKENS_DECLARED, found=_TOKENS_FOUND, remedy=_TOKENS_REMEDY),
    )


_TOKENS_REMEDY = "its service account has gone: set revoked_at of the token as milo_owner"
