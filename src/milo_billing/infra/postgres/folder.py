"""PostgreSQL's data folder: made, checked, configured."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from milo_billing.infra.postgres.binaries import Binaries
from milo_billing.infra.postgres.errors import (
    DiskFull,
    FolderNotOwned,
    OtherVersion,
    UnableToStartPostgres,
)
from milo_billing.infra.postgres.operator import Operator, own_name, require_traversable

SUPERUSER = "postgres"
LOGIN = "milo_billing"
"""Database users that the peer map lets in: the first sets up, the second is what the service logs in as."""

ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}
_MAP = "milo_billing"
_NO_SPACE = "No space left on device"


def settings(*, fsync: bool) -> dict[str, str]:
    """The server's parameters: a small machine, small transactions, some large ones, nothing lost in a crash."""
    chosen = {
        "listen_addresses": "",
        "max_connections": "64",
        "shared_buffers": "256MB",
        "effective_cache_size": "1GB",
        "work_mem": "16MB",
        "maintenance_work_mem": "128MB",
        "wal_buffers": "16MB",
        "min_wal_size": "256MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        "random_page_cost": "1.1",
        # compiling costs more than our short statements take
        "jit": "off",
        "fsync": "on",
        "synchronous_commit": "on",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "logging_collector": "on",
        "log_directory": "log",
        "log_filename": "postgresql-%a.log",
        "log_truncate_on_rotation": "on",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_line_prefix": "%m [%p] %q%a ",
        # a statement's parameters can hold personal data
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
    }
    if not fsync:
        # synchronous_commit stays on: what was acknowledged outlives a killed server in tests too, if not a power cut
        chosen |= {"fsync": "off", "full_page_writes": "off"}
    return chosen


def major_version(folder: Path) -> int | None:
    """The major version of the PostgreSQL that made `folder`; None where there is none yet."""
    try:
        return int((folder / "PG_VERSION").read_text().strip())
    except (FileNotFoundError, ValueError):
        return None


def prepare(folder: Path, *, binaries: Binaries, operator: Operator, fsync: bool) -> None:
    """Have a data folder of the right version and owner, made on first use, with our authentication rules.

    Raises FolderNotTraversable, FolderNotOwned, OtherVersion, DiskFull, UnableToStartPostgres.
    """
    folder.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    require_traversable(folder, operator=operator)
    found = major_version(folder)
    if found is None:
        _create(folder, binaries=binaries, operator=operator, fsync=fsync)
    elif found != binaries.major:
        raise OtherVersion(folder=folder, found=found, ours=binaries.major)
    _require_owner(folder, operator=operator)
    _write_authentication(folder, operator=operator)


def _create(folder: Path, *, binaries: Binaries, operator: Operator, fsync: bool) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        raise UnableToStartPostgres(
            f"{folder} has files in it but is no PostgreSQL data folder: choose another"
        )
    # made beside its place and renamed, so that a kill in the middle leaves nothing half made
    staging = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    operator.take(staging)
    command = [binaries.program("initdb"), "-D", staging, "-U", SUPERUSER, "--encoding=UTF8"]
    command += ["--auth-local=peer", "--auth-host=reject", "--data-checksums"]
    if binaries.major >= 17:
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    else:
        command += ["--locale=C.UTF-8"]
    if not fsync:
        command.append("--no-sync")
    answer = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=ENVIRONMENT,
        **operator.spawn_arguments(),
    )
    if answer.returncode:
        shutil.rmtree(staging, ignore_errors=True)
        raise explain(answer.stderr, folder=folder)
    if folder.is_dir():
        folder.rmdir()
    staging.rename(folder)


def explain(words: str, *, folder: Path) -> UnableToStartPostgres:
    """The named error for what PostgreSQL wrote before it gave up."""
    if _NO_SPACE in words:
        return DiskFull(folder=folder)
    return UnableToStartPostgres(f"PostgreSQL did not start on {folder}. It said: {words.strip()[-2000:]}")


def _require_owner(folder: Path, *, operator: Operator) -> None:
    owner = folder.stat().st_uid
    if owner != operator.uid:
        known = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()}
        raise FolderNotOwned(folder=folder, owner=known.get(owner, str(owner)), wanted=operator.name)


def _write_authentication(folder: Path, *, operator: Operator) -> None:
    """Only this user and the operator may connect, through the socket, as who the kernel says they are."""
    names = sorted({operator.name, own_name()})
    mapped = [f'{_MAP} "{system}" {login}' for system in names for login in (SUPERUSER, LOGIN)]
    _replace(folder / "pg_hba.conf", f"local all {SUPERUSER},{LOGIN} peer map={_MAP}\n", operator=operator)
    _replace(folder / "pg_ident.conf", "\n".join(mapped) + "\n", operator=operator)


def _replace(path: Path, text: str, *, operator: Operator) -> None:
    if path.exists() and path.read_text() == text:
        return
    staging = path.with_name(f"{path.name}.new")
    try:
        staging.write_text(text)
    except OSError as error:
        raise explain(str(error), folder=path.parent) from error
    staging.chmod(0o600)
    if operator.dropped:
        os.chown(staging, operator.uid, operator.gid)
    staging.rename(path)
