"""Keeps files in a folder of this machine, or one that several machines mount.

Owns: that a file is there whole or not at all, and that it survives a crash of the machine. Not: what is in it.
"""

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from milo_billing.usage.ports import BlobMissing

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")
_UNFINISHED: Final = ".part"


class FolderBlobs:
    """A BlobStore. `folder` is made when the first file is written. One writer of a name at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def writing(self, name: str) -> Generator[Path]:
        """See BlobStore: written beside its place, fsynced, renamed, and the rename fsynced too."""
        path = self._path(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + _UNFINISHED)
        unfinished.unlink(missing_ok=True)
        try:
            yield unfinished
            _sync(unfinished)
            unfinished.rename(path)
        finally:
            unfinished.unlink(missing_ok=True)
        folder = path.parent
        while True:  # folders that were just made are entries of those above them
            _sync(folder)
            if folder == self._folder:
                break
            folder = folder.parent

    @contextmanager
    def reading(self, name: str) -> Generator[Path]:
        """See BlobStore: the file itself."""
        path = self._path(name)
        if not path.is_file():
            raise BlobMissing(f"{name} is not in {self._folder}")
        yield path

    def delete(self, name: str) -> None:
        """See BlobStore."""
        path = self._path(name)
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            _sync(path.parent)

    def _path(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise ValueError(
                f"{name!r} is no name of a file here: small letters, digits, . _ - and / between"
            )
        return self._folder / name


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
