"""Where things are on this machine: data, binaries and sockets, as root and as an ordinary user.

Pure: what the process is and what the XDG variables say comes in, paths go out. Nothing is created here.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

SOCKET_PATH_BYTES_MAX = 107
"""Of a Unix socket's whole path; sun_path has 108 bytes with its closing zero."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Who this process is, and what the environment says about its folders."""

    root: bool
    uid: int
    home: Path
    data_home: Path | None = None
    cache_home: Path | None = None
    runtime_dir: Path | None = None
    temporary: Path = Path("/tmp")


def default_data_dir(around: Surroundings) -> Path:
    """The data folder where no setting names another."""
    if around.root:
        return Path("/var/lib/milo-billing")
    return (around.data_home or around.home / ".local" / "share") / "milo-billing"


def cache_dir(around: Surroundings) -> Path:
    """The folder for copies of the PostgreSQL binaries."""
    if around.root:
        return Path("/var/cache/milo-billing")
    return (around.cache_home or around.home / ".cache") / "milo-billing"


def socket_dir(around: Surroundings, *, data_dir: Path) -> Path:
    """The folder for the sockets of the server on `data_dir`: short, and another one for each data folder.

    Without XDG_RUNTIME_DIR an ordinary user gets a folder named by uid in the temporary folder; who creates it must
    check that it belongs to that user.
    """
    digest = hashlib.sha256(str(data_dir.absolute()).encode()).hexdigest()[:12]
    if around.root:
        return Path("/run/milo-billing") / digest
    if around.runtime_dir is not None:
        return around.runtime_dir / "milo-billing" / digest
    return around.temporary / f"milo-billing-{around.uid}" / digest
