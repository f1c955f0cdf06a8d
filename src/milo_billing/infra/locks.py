"""One supervisor a data folder: a lock file that names who holds it."""

import fcntl
import os
from pathlib import Path

from milo_billing.kernel.errors import MiloError


class FolderLocked(MiloError):
    """Another server holds the data folder."""

    def __init__(self, *, folder: Path, pid: int | None) -> None:
        self.pid = pid
        who = f"pid {pid}" if pid is not None else "an unknown process"
        super().__init__(
            f"a milo-billing server ({who}) uses {folder} already: stop it first, or choose another folder"
            " (MILO_BILLING_DATA_DIR)"
        )


class FolderLock:
    """Held from `acquire` until `release` or the end of the process, however that comes.

    A POSIX record lock: children that are forked while it is held do not hold it, so that it falls with the supervisor
    even when they live on. For that reason no process may open the file for anything else.
    """

    def __init__(self, folder: Path, *, name: str = "server") -> None:
        self._folder = folder
        self._path = folder / f"{name}.lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock at once, or raise FolderLocked with the holder's pid."""
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = _read_pid(descriptor)
            os.close(descriptor)
            raise FolderLocked(folder=self._folder, pid=pid) from error
        self._descriptor = descriptor
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError:  # a full disk
            self.release()
            raise

    def release(self) -> None:
        """Let it go; the file stays, for a file that goes away can be locked twice."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """The pid of the process that holds the lock now, or None. Not for the holder itself."""
        try:
            self.acquire()
        except FolderLocked as error:
            return error.pid
        self.release()
        return None


def _read_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdecimal() else None
