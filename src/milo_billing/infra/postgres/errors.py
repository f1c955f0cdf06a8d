"""What keeps the embedded PostgreSQL from running, each by name, each saying what to do."""

from pathlib import Path

from milo_billing.kernel.errors import MiloError


class UnableToStartPostgres(MiloError):
    """The base of the others, and the error for what none of them names; the text ends with PostgreSQL's own words."""


class NoBinaries(UnableToStartPostgres):
    """There are no PostgreSQL programs where they should be."""


class NoSystemUser(UnableToStartPostgres):
    """PostgreSQL refuses to run as root, and the user to run it as could not be made."""


class FolderNotTraversable(UnableToStartPostgres):
    """A folder above the data is closed to the user that runs PostgreSQL."""

    def __init__(self, *, folder: Path, blocked: Path, user: str) -> None:
        super().__init__(
            f"user {user} cannot pass through {blocked}, so PostgreSQL cannot use {folder}: choose another folder"
            f" (MILO_BILLING_DATA_DIR), or let others pass with chmod o+x {blocked}"
        )


class FolderNotOwned(UnableToStartPostgres):
    """The data folder belongs to somebody else."""

    def __init__(self, *, folder: Path, owner: str, wanted: str) -> None:
        super().__init__(
            f"{folder} belongs to {owner}, but PostgreSQL would run as {wanted}: start as the user that made it, or"
            f" choose another folder (MILO_BILLING_DATA_DIR)"
        )


class SocketPathTooLong(UnableToStartPostgres):
    """A Unix socket's path has a bound."""

    def __init__(self, *, path: Path, bytes_max: int) -> None:
        super().__init__(
            f"the socket path {path} has {len(str(path).encode())} bytes, at most {bytes_max} are possible:"
            f" set XDG_RUNTIME_DIR to a shorter folder"
        )


class OtherVersion(UnableToStartPostgres):
    """The data folder was made by another major version of PostgreSQL."""

    def __init__(self, *, folder: Path, found: int, ours: int) -> None:
        if found > ours:
            remedy = "install the milo-billing that it was last used with, or a newer one"
        else:
            remedy = "dump it with the milo-billing that it was last used with, and restore the dump into a new folder"
        super().__init__(
            f"{folder} was made by PostgreSQL {found}, which is {'newer' if found > ours else 'older'} than the"
            f" {ours} of this installation: {remedy}"
        )
        self.found = found
        self.ours = ours


class FolderInUse(UnableToStartPostgres):
    """A PostgreSQL that we may not take over runs on the data folder."""

    def __init__(self, *, folder: Path, pid: int, reason: str) -> None:
        super().__init__(
            f"PostgreSQL runs on {folder} already (pid {pid}) and {reason}: stop it with kill -INT {pid}"
        )
        self.pid = pid


class DiskFull(UnableToStartPostgres):
    """No space is left for PostgreSQL's files."""

    def __init__(self, *, folder: Path) -> None:
        super().__init__(f"the disk of {folder} is full: make room there, then start again; nothing is lost")
