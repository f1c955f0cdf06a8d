"""The system user that runs PostgreSQL: ourselves, or `milo-billing` when we are root."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from milo_billing.infra.postgres.errors import FolderNotTraversable, NoSystemUser

SYSTEM_USER = "milo-billing"


class SpawnArguments(TypedDict, total=False):
    """What subprocess needs to start a program as another user."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Operator:
    """A system user by name and numbers. `dropped` says that we are root and become that user for PostgreSQL."""

    name: str
    uid: int
    gid: int
    dropped: bool

    def spawn_arguments(self) -> SpawnArguments:
        """What subprocess needs to start a program as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.dropped else {}

    def take(self, folder: Path) -> None:
        """Make `folder` where it is missing, private, owned by this user. Its parent must exist."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.dropped and folder.stat().st_uid != self.uid:
            os.chown(folder, self.uid, self.gid)


def find_operator() -> Operator:
    """The user that PostgreSQL runs as. As root it is created when it is missing; raises NoSystemUser."""
    if os.geteuid() != 0:
        return Operator(name=own_name(), uid=os.geteuid(), gid=os.getegid(), dropped=False)
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _create_system_user()
        entry = pwd.getpwnam(SYSTEM_USER)
    return Operator(name=SYSTEM_USER, uid=entry.pw_uid, gid=entry.pw_gid, dropped=True)


def own_name() -> str:
    """The name of the user that this process runs as; PostgreSQL's peer authentication needs one."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise NoSystemUser(
            f"user id {os.geteuid()} has no name in the system's user list, which PostgreSQL needs: add an entry for"
            " it, or use another PostgreSQL (DATABASE_URL)"
        ) from None


def _create_system_user() -> None:
    command = [
        "useradd",
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        "/var/lib/milo-billing",
    ]
    command += ["--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        failure = answer.stderr.strip() if answer.returncode else ""
    except FileNotFoundError:
        failure = "there is no useradd on this system"
    # two servers may start at once: the user counts, not who made it
    if failure and not _exists(SYSTEM_USER):
        raise NoSystemUser(
            f"PostgreSQL does not run as root, and user {SYSTEM_USER} could not be created ({failure}): create a"
            f" system user {SYSTEM_USER}, start as an ordinary user, or use another PostgreSQL (DATABASE_URL)"
        )


def _exists(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


def require_traversable(folder: Path, *, operator: Operator) -> None:
    """Raise FolderNotTraversable for the first folder above `folder` that the operator cannot pass through.

    The kernel is asked, as that user, so that access lists and mounts count; nothing is ever chmodded for it.
    """
    above = [str(parent) for parent in reversed(folder.parents) if parent.exists()]
    script = 'for folder; do [ -x "$folder" ] || { printf %s "$folder"; exit 1; }; done'
    answer = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *above],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        **operator.spawn_arguments(),
    )
    if answer.returncode:
        raise FolderNotTraversable(folder=folder, blocked=Path(answer.stdout), user=operator.name)
