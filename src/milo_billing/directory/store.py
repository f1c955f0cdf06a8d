"""SQL that writes the directory's projections and draws its numbers."""

from datetime import datetime
from typing import LiteralString
from uuid import UUID

from milo_billing.infra.database import Tx

_BUMP: LiteralString = "update controlplane.versions set version = version + 1 where name = 'projects'"
"""Tells the caches of projects, at commit, that they are old."""


def draw_organization_number(tx: Tx) -> int:
    """A number that no organization has had."""
    row = tx.execute("select nextval('directory.organization_numbers')").fetchone()
    assert row is not None, "a sequence always answers"
    return row[0]


def insert_organization(tx: Tx, *, number: int, uid: UUID, name: str, at: datetime) -> None:
    """Enter a new organization."""
    tx.execute(
        "insert into directory.organizations (number, uid, name, created_at) values (%s, %s, %s, %s)",
        (number, uid, name, at),
    )


def lock_organization(tx: Tx, *, uid: UUID) -> None:
    """Until the transaction ends nothing is created in the organization: see `operations.hold_namespace`."""
    tx.execute("select from directory.organizations where uid = %s for update", (uid,))


def end_organization(tx: Tx, *, uid: UUID, at: datetime) -> None:
    """Mark the organization deleted; its number stays taken."""
    tx.execute("update directory.organizations set deleted_at = %s where uid = %s", (at, uid))


def insert_project(tx: Tx, *, uid: UUID, name: str, owner_org: int, at: datetime) -> None:
    """Enter a new project; the database draws its number. Tells the caches of projects."""
    # whoever gave the name up may have read the clock after us, or it was set back since: two never bear it at once
    tx.execute(
        f"with told as ({_BUMP}) insert into directory.projects (uid, name, owner_org, created_at) "
        "values (%s, %s, %s, greatest(%s, directory.name_given_up(%s)))",
        (uid, name, owner_org, at, name),
    )


def end_project(tx: Tx, *, uid: UUID, at: datetime) -> None:
    """Mark the project deleted; its number stays taken, and the name was its own until `at`. Tells the caches."""
    # the clock may stand, or have been set back, since it was created: it bore its name for an instant at least
    tx.execute(
        f"with told as ({_BUMP}) update directory.projects "
        "set deleted_at = greatest(%s, created_at + interval '1 microsecond') where uid = %s",
        (at, uid),
    )
