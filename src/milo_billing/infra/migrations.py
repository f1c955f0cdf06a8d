"""Bring a database to the schema of this version: plain SQL files, each applied once, in order, under a lock.

A `pre` migration suits the code before it as well and is applied at start. A `post` migration does not: it waits until
no older process is alive. `db/schema.sql` is the whole truth; a test proves that the files reach it.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from milo_billing.infra import advisory_locks
from milo_billing.infra.bootstrap import bootstrap
from milo_billing.infra.database import Tx, connect
from milo_billing.kernel.errors import MiloError

Phase = Literal["pre", "post", "all"]

HEARTBEAT_LIMIT_S = 60
"""A process that has not renewed its heartbeat for so long counts as gone."""

_NAME = re.compile(r"\d{4}_(pre|post)_[a-z0-9_]+")


class UnableToMigrate(MiloError):
    """The database stays as it is; the text says why and what to do."""


class NewerSchema(UnableToMigrate):
    """A newer version of milo-billing has used the database."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `0002_pre_add_partners`."""

    name: str
    text: str

    @property
    def phase(self) -> str:
        """`pre` or `post`."""
        return self.name.split("_")[1]

    @property
    def sha256(self) -> str:
        """Of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def database_files() -> Path:
    """The folder with schema.sql and migrations/: inside the package when installed, beside src/ in a checkout."""
    packaged = Path(__file__).parents[1] / "db"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "db"


def list_migrations() -> tuple[Migration, ...]:
    """Every migration of this version, in order."""
    found = sorted((database_files() / "migrations").glob("*.sql"))
    if wrong := [path.name for path in found if not _NAME.fullmatch(path.stem)]:
        raise UnableToMigrate(
            f"not a migration's name: {', '.join(wrong)} (0002_pre_what.sql, 0003_post_what.sql)"
        )
    return tuple(Migration(name=path.stem, text=path.read_text()) for path in found)


def schema_version() -> str:
    """The name of the last migration of this version; names sort by age."""
    return list_migrations()[-1].name


def migrate(conninfo: str, *, now: datetime, phase: Phase) -> tuple[str, ...]:
    """Make roles where they are missing, apply what is pending of `phase`; return the names applied.

    An empty database gets everything, in order. Raises UnableToMigrate, NewerSchema, UnableToBootstrap.
    """
    with connect(conninfo, role=None, autocommit=True) as tx:
        bootstrap(tx)
    with connect(conninfo, role="milo_owner", autocommit=True) as tx:
        tx.execute("select pg_advisory_lock(%s)", (advisory_locks.MIGRATIONS,))  # falls with the connection
        return _apply(tx, now=now, phase=phase)


def find_applied(tx: Tx) -> dict[str, str]:
    """The sha256 of every migration that the database has had, by name; empty for a new database."""
    row = tx.execute("select to_regclass('infra.migrations') is not null").fetchone()
    if row is None or not row[0]:
        return {}
    return dict(tx.execute("select name, sha256 from infra.migrations order by name").fetchall())


def pending(applied: dict[str, str], migrations: tuple[Migration, ...]) -> tuple[Migration, ...]:
    """What the database still needs. Raises NewerSchema, or UnableToMigrate where an applied file was changed."""
    known = {migration.name: migration for migration in migrations}
    if newer := sorted(applied.keys() - known.keys()):
        raise NewerSchema(
            f"a newer milo-billing has used this database (it applied {newer[-1]}): install that version"
        )
    for name, sha256 in applied.items():
        if known[name].sha256 != sha256:
            raise UnableToMigrate(
                f"migration {name} is not the one that this database has had: it was made by an unreleased version."
                " Start with a new data folder or database"
            )
    return tuple(migration for migration in migrations if migration.name not in applied)


def _apply(tx: Tx, *, now: datetime, phase: Phase) -> tuple[str, ...]:
    applied = find_applied(tx)
    waiting = pending(applied, list_migrations())
    if applied and phase == "pre":
        chosen = tuple(migration for migration in waiting if migration.phase == "pre")
        late = next(
            (m.name for m in waiting if m.phase == "post" and chosen and m.name < chosen[-1].name), None
        )
        if late is not None:
            raise UnableToMigrate(
                f"{late} comes before {chosen[-1].name}: run 'milo-billing migrate --post' first"
            )
    else:
        chosen = waiting
    if applied and phase == "post":
        _refuse_older_processes(tx, chosen)
    for migration in chosen:
        with tx.transaction():
            tx.execute(migration.text.encode())
            tx.execute(
                "insert into infra.migrations (name, sha256, applied_at) values (%s, %s, %s)",
                (migration.name, migration.sha256, now),
            )
    return tuple(migration.name for migration in chosen)


def _refuse_older_processes(tx: Tx, chosen: tuple[Migration, ...]) -> None:
    if not chosen:
        return
    older = tx.execute(
        "select role, version from infra.heartbeats"
        " where schema_version < %s and seen_at > now() - make_interval(secs => %s)",
        (chosen[-1].name, HEARTBEAT_LIMIT_S),
    ).fetchall()
    if older:
        names = ", ".join(f"{role} {version}" for role, version in older)
        raise UnableToMigrate(
            f"older processes are alive ({names}): stop them, wait a minute, then run it again"
        )
