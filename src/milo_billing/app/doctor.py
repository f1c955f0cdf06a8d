"""`milo-billing doctor`: look at everything the server stands on, and say what to do about what is wrong.

It changes nothing. With the embedded PostgreSQL stopped, it is started for a moment to look at the schema.
"""

import contextlib
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import psycopg

from milo_billing.app.kubeconfig import read_server_file
from milo_billing.app.ports import UnableToListen, listen
from milo_billing.app.processes import keyfile_path
from milo_billing.app.projections import compare_everything
from milo_billing.app.serve import SERVER_FILE
from milo_billing.app.storage import open_storage
from milo_billing.app.wiring import open_directory
from milo_billing.directory.ports import RESOURCES
from milo_billing.infra import places
from milo_billing.infra.certificates import Certificates, read_certificate
from milo_billing.infra.clock import SystemClock
from milo_billing.infra.database import connect
from milo_billing.infra.locks import FolderLock
from milo_billing.infra.migrations import find_applied, list_migrations, pending
from milo_billing.infra.postgres.binaries import find_binaries
from milo_billing.infra.postgres.errors import OtherVersion
from milo_billing.infra.postgres.folder import major_version
from milo_billing.infra.postgres.operator import find_operator, require_traversable
from milo_billing.infra.postgres.server import find_postmaster
from milo_billing.infra.settings import Settings, surroundings
from milo_billing.kernel.errors import MiloError, Unavailable

Said: TypeAlias = Iterator[tuple[bool, str]]
PYTHON_MIN = (3, 11)
FREE_BYTES_MIN = 512 * 1024 * 1024
HTTP_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look said; a problem's text ends with what to do."""

    check: str
    problem: bool
    text: str


def examine(settings: Settings, *, projections: bool = False) -> tuple[Finding, ...]:
    """Every finding, in the order in which things start; `projections` compares them with the objects besides."""
    holder = FolderLock(settings.data_dir).holder() if settings.data_dir.is_dir() else None
    looks: list[tuple[str, Callable[[], Said]]] = [
        ("python", _python),
        ("data folder", lambda: _data_folder(settings)),
        ("server", lambda: _server(settings, holder)),
        ("ports", lambda: _ports(settings, holder)),
        ("postgresql", lambda: _postgres(settings)),
        ("schema", lambda: _schema(settings, holder)),
        ("certificates", lambda: _certificates(settings)),
    ]
    if settings.directory_url is not None:
        looks.append(("directory", lambda: _directory(settings)))
    if projections:
        looks.append(("projections", lambda: _projections(settings, holder)))
    findings: list[Finding] = []
    for name, look in looks:
        try:
            findings += [Finding(name, problem, text) for problem, text in look()]
        except (MiloError, OSError, psycopg.Error, ValueError) as error:
            findings.append(Finding(name, True, str(error).strip()))
    return tuple(findings)


def render_table(findings: Iterable[Finding]) -> str:
    """One line a finding."""
    return "\n".join(f"{'WRONG' if f.problem else 'ok':5}  {f.check:12}  {f.text}" for f in findings)


def _python() -> Said:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < PYTHON_MIN:
        yield True, f"{version} is too old: run milo-billing with Python 3.11 or newer"
    else:
        yield False, version


def _data_folder(settings: Settings) -> Said:
    folder = settings.data_dir
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        yield (
            True,
            f"{existing} cannot be written by this user: choose another folder (MILO_BILLING_DATA_DIR)",
        )
        return
    free = shutil.disk_usage(existing).free
    if free < FREE_BYTES_MIN:
        yield True, f"{folder} has {free // 2**20} MiB of free disk left: make room, 512 MiB at least"
    elif folder.exists():
        yield False, f"{folder}, {free / 2**30:.1f} GiB free"
    else:
        yield False, f"{folder} will be made at the first start, {free / 2**30:.1f} GiB free"


def _server(settings: Settings, holder: int | None) -> Said:
    if holder is None:
        yield False, "not running"
        return
    found = read_server_file(settings.data_dir / SERVER_FILE)
    if found is None:
        yield False, f"pid {holder}, still starting"
        return
    try:
        with urllib.request.urlopen(f"{found['health']}/readyz", timeout=HTTP_LIMIT_S) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        yield True, f"pid {holder} is not ready: {error.read().decode().strip()}. Look at its log"
    except OSError as error:
        yield True, f"pid {holder} does not answer at {found['health']} ({error}): restart it"
    else:
        yield False, f"pid {holder} is ready at {found['api']}"


def _ports(settings: Settings, holder: int | None) -> Said:
    if holder is not None:
        yield False, "held by our server"
        return
    chosen = {
        "MILO_BILLING_API_PORT": (settings.host, settings.api_port),
        "MILO_BILLING_GATEWAY_PORT": (settings.host, settings.gateway_port),
        "MILO_BILLING_HEALTH_PORT": ("127.0.0.1", settings.health_port),
    }
    for setting, (host, port) in chosen.items():
        try:
            listen(host, port, setting=setting).close()
        except UnableToListen as error:
            yield True, str(error)
        else:
            yield False, f"{port} is free" if port else f"{setting}=0 takes any free one"


def _postgres(settings: Settings) -> Said:
    if settings.database_url is not None:
        with connect(settings.database_url, role=None, autocommit=True) as tx:
            row = tx.execute("show server_version").fetchone()
            old = tx.info.server_version < 150000
        version = str(row[0]) if row else "unknown"
        yield old, f"DATABASE_URL has PostgreSQL {version}" + (": 15 or newer is needed" if old else "")
        return
    operator = find_operator()
    folder = settings.data_dir / "postgres"
    copies = places.cache_dir(surroundings()) if operator.dropped else None
    binaries = find_binaries(settings.bindir, copies=copies)
    require_traversable(folder, operator=operator)
    found = major_version(folder) if folder.is_dir() else None
    if found is not None and found != binaries.major:
        raise OtherVersion(folder=folder, found=found, ours=binaries.major)
    running = find_postmaster(folder)
    state = f"runs as pid {running.pid}" if running else "not running"
    yield False, f"{binaries.version} as user {operator.name}, {state}"


def _schema(settings: Settings, holder: int | None) -> Said:
    with _database(settings, holder) as conninfo:
        if conninfo is None:
            yield False, "made at the first start"
        else:
            yield from _schema_of(conninfo, settings)


def _projections(settings: Settings, holder: int | None) -> Said:
    with _database(settings, holder) as conninfo:
        if conninfo is None:
            yield False, "there is nothing yet"
            return
        compared = compare_everything(conninfo)
    for one in compared.differences:
        yield (
            True,
            f"{one.projection}, {one.what}: expected {one.expected}, found {one.found}; {one.remedy}",
        )
    if not compared.differences:
        yield False, f"{compared.objects} objects of {compared.kinds} kinds compared"


@contextlib.contextmanager
def _database(settings: Settings, holder: int | None) -> Generator[str | None]:
    """How to connect to the database, which is started for a moment where it does not run; None: there is none yet."""
    if settings.database_url is not None:
        yield settings.database_url
    elif not (settings.data_dir / "postgres" / "PG_VERSION").exists():
        yield None
    elif holder is not None:
        running = find_postmaster(settings.data_dir / "postgres")
        if running is None:
            raise Unavailable("PostgreSQL does not run though the server does: look at the server's log")
        yield f"host={running.socket_dir} user=milo_billing dbname=milo_billing"
    else:
        with open_storage(settings) as storage:
            yield storage.conninfo


def _schema_of(conninfo: str, settings: Settings) -> Said:
    with connect(conninfo, role=None, autocommit=True) as tx:
        # before the first migration nobody has granted us the owner's role
        exists = tx.execute("select to_regnamespace('infra') is not null").fetchone()
        if exists is None or not exists[0]:
            yield False, "made at the first start"
            return
        tx.execute("set role milo_owner")
        waiting = pending(find_applied(tx), list_migrations())
        sealed = tx.execute(
            "select exists (select from infra.subject_keys where destroyed_at is null)"
        ).fetchone()
    if sealed is not None and sealed[0] and not keyfile_path(settings).exists():
        yield (
            True,
            f"personal data is sealed with {keyfile_path(settings)}, which is gone: restore it from a backup",
        )
    if not waiting:
        yield False, "up to date"
    elif any(migration.phase == "post" for migration in waiting):
        yield False, f"{len(waiting)} migrations wait; those named post need milo-billing migrate --post"
    else:
        yield False, f"{len(waiting)} migrations are applied at the next start"


def _directory(settings: Settings) -> Said:
    source = open_directory(settings)
    try:
        for resource in RESOURCES:
            source.find_any(resource)
    finally:
        source.close()
    yield False, f"organizations and projects can be read at {settings.directory_url}"


def _certificates(settings: Settings) -> Said:
    certificates = Certificates(settings.data_dir / "certificates")
    if not certificates.authority.exists():
        yield False, "made at the first start"
        return
    now = SystemClock().now()
    for title, path in (("authority", certificates.authority), ("leaf", certificates.leaf)):
        yield _validity(title, path, now=now.timestamp())


def _validity(title: str, path: Path, *, now: float) -> tuple[bool, str]:
    if not path.exists():
        return False, f"{title} is made at the next start"
    days = int((read_certificate(path).not_valid_after_utc.timestamp() - now) // 86400)
    if days < 0:
        remedy = (
            "delete its folder, start, and give clients the new authority"
            if title == "authority"
            else "restart"
        )
        return True, f"{title} ran out {-days} days ago: {remedy}"
    return False, f"{title} is good for {days} days"
