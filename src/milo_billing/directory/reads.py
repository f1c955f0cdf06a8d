"""What others may ask of the directory. All under the reach of the transaction, where not said otherwise."""

from collections.abc import Collection
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg.rows import class_row

from milo_billing.controlplane.projections import KEEP, ProjectionDifference, compare_rows
from milo_billing.directory.types import (
    OrganizationEntry,
    OrganizationNotFound,
    ProjectEntry,
    organization_of,
)
from milo_billing.infra.database import Tx

_ORGANIZATIONS: LiteralString = (
    "select number, uid, name, created_at, deleted_at from directory.organizations"
)
_PROJECTS: LiteralString = (
    "select number, uid, name, owner_org, created_at, deleted_at from directory.projects"
)


def get_organization(tx: Tx, number: int) -> OrganizationEntry:
    """The organization of this number, also after its deletion. Raises OrganizationNotFound."""
    with tx.cursor(row_factory=class_row(OrganizationEntry)) as cursor:
        found = cursor.execute(f"{_ORGANIZATIONS} where number = %s", (number,)).fetchone()
    if found is None:
        raise OrganizationNotFound(f"no organization has the number {number}")
    return found


def find_organization(tx: Tx, *, name: str) -> OrganizationEntry | None:
    """The living organization of this name."""
    with tx.cursor(row_factory=class_row(OrganizationEntry)) as cursor:
        query: LiteralString = f"{_ORGANIZATIONS} where name = %s and deleted_at is null"
        return cursor.execute(query, (name,)).fetchone()


def list_organizations(tx: Tx, *, after: int = 0, limit: int) -> tuple[OrganizationEntry, ...]:
    """Organizations by number from behind `after`, the deleted ones too."""
    with tx.cursor(row_factory=class_row(OrganizationEntry)) as cursor:
        query: LiteralString = f"{_ORGANIZATIONS} where number > %s order by number limit %s"
        return tuple(cursor.execute(query, (after, limit)))


def find_owner_of_namespace(tx: Tx, namespace: str) -> int | None:
    """The number of the living organization that owns the namespace, whatever the transaction's reach."""
    name = organization_of(namespace)
    if name is None:
        return None
    row = tx.execute("select directory.find_organization(%s)", (name,)).fetchone()
    return None if row is None else row[0]


def load_projects(tx: Tx) -> tuple[ProjectEntry, ...]:
    """Every project that ever was, by number: for caches, which compare controlplane.versions 'projects'."""
    with tx.cursor(row_factory=class_row(ProjectEntry)) as cursor:
        return tuple(cursor.execute(f"{_PROJECTS} order by number"))


def find_project(tx: Tx, *, name: str, at: datetime) -> ProjectEntry | None:
    """The project that bore the name at that instant.

    Before the first one was created, the first one: usage of a project may be older than its declaration here
    (`effectiveFrom` of its first binding). None after a deletion, until the name is used again.
    """
    # the last one created until then comes first, else the first one after; a name has few bearers
    query: LiteralString = (
        f"{_PROJECTS} where name = %(name)s order by created_at <= %(at)s desc, "
        "greatest(created_at - %(at)s, %(at)s - created_at) limit 1"
    )
    with tx.cursor(row_factory=class_row(ProjectEntry)) as cursor:
        found = cursor.execute(query, {"name": name, "at": at}).fetchone()
    if found is None or (found.deleted_at is not None and found.deleted_at <= at):
        return None
    return found


def list_projects(tx: Tx, *, numbers: Collection[int]) -> tuple[ProjectEntry, ...]:
    """The projects with these numbers, by number; one that does not exist is missing."""
    with tx.cursor(row_factory=class_row(ProjectEntry)) as cursor:
        query: LiteralString = f"{_PROJECTS} where number = any(%s) order by number"
        return tuple(cursor.execute(query, (list(numbers),)))


def find_number_of_organization(tx: Tx, *, uid: UUID) -> int | None:
    """The number that was drawn for the organization object with this uid."""
    row = tx.execute("select number from directory.organizations where uid = %s", (uid,)).fetchone()
    return None if row is None else row[0]


def list_owned_objects(tx: Tx, *, owner_org: int, but: UUID, limit: int) -> tuple[str, ...]:
    """What the organization owns besides `but`, as `resource name` or `resource namespace/name`."""
    rows = tx.execute(
        "select resource, namespace, name from controlplane.objects where owner_org = %s and uid <> %s "
        "order by resource, namespace, name limit %s",
        (owner_org, but, limit),
    ).fetchall()
    return tuple(
        f"{resource} {namespace}/{name}" if namespace else f"{resource} {name}"
        for resource, namespace, name in rows
    )


# ------------------------------------------------------------------------------------------------ projections

_DECLARED: LiteralString = """
select 'directory.organizations', uid::text, 'organization ' || name,
    jsonb_build_object('name', name, 'number', owner_org, 'since', created_at, 'gone', false)
from controlplane.objects where api_group = 'resourcemanager.miloapis.com' and resource = 'organizations'
union all
select 'directory.projects', o.uid::text, 'project ' || o.name, jsonb_build_object(
    'name', o.name, 'owner_org', o.owner_org, 'organization', o.spec #>> '{ownerRef,name}',
    'since', greatest(o.created_at, (select max(b.deleted_at) from directory.projects b
                                     where b.name = o.name and b.uid <> o.uid)), 'gone', false)
from controlplane.objects o where o.api_group = 'resourcemanager.miloapis.com' and o.resource = 'projects'
"""

# what was deleted stays, and differs only where its object still stands
_PROJECTED: LiteralString = """
select 'directory.organizations', d.uid::text, 'organization ' || d.name,
    jsonb_build_object('name', d.name, 'number', d.number, 'since', d.created_at, 'gone', d.deleted_at is not null)
from directory.organizations d
where d.deleted_at is null or exists (select from controlplane.objects o where o.uid = d.uid)
union all
select 'directory.projects', p.uid::text, 'project ' || p.name, jsonb_build_object(
    'name', p.name, 'owner_org', p.owner_org, 'organization', d.name, 'since', p.created_at,
    'gone', p.deleted_at is not null)
from directory.projects p left join directory.organizations d on d.number = p.owner_org
where p.deleted_at is null or exists (select from controlplane.objects o where o.uid = p.uid)
"""


def compare_projections(tx: Tx) -> tuple[ProjectionDifference, ...]:
    """Where organizations and projects differ from their objects. Needs to reach everything; empty is right."""
    return compare_rows(tx, expected=_DECLARED, found=_PROJECTED, remedy=KEEP)
