"""Who owns which files of a spool folder that many processes share.

Each writer has a lock file that it holds for as long as it lives; the kernel lets go of it when the process ends,
however it ends. Whoever gets hold of a writer's lock has its segments. Claims and sizes are decided under the folder's
own lock, so that two never decide at once.
"""

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from milo_usage import segments
from milo_usage.errors import UnreadableSpool

LOCK_SUFFIX: Final = ".lock"
FOLDER_LOCK: Final = "spool.lock"
DEAD_LETTERS: Final = "dead-letters.jsonl"

FORK_GATE: Final = threading.RLock()
"""Held while a file descriptor is on its way into an owner, and while the process forks: none is ever forgotten."""

_DETAILS_BYTES_MAX: Final = 4_096


@dataclass(slots=True)
class Claim:
    """The right to a writer's segments, for as long as the lock is held."""

    writer: str
    path: Path
    fd: int

    def describe(self, details: dict[str, Any]) -> None:
        """Leave a note about the owner for `status`: its pid, its last error."""
        text = json.dumps(details).encode()[:_DETAILS_BYTES_MAX]
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, text, 0)

    def close(self) -> None:
        """Let go. In a forked child this closes the copy; the parent goes on holding the lock."""
        os.close(self.fd)


class Folder:
    """A spool folder. Makes it, readable for its owner alone, if it is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError as error:
            raise UnreadableSpool(f"{self.path} is a file, not a folder: choose another spool") from error

    @contextlib.contextmanager
    def alone(self) -> Generator[None]:
        """No other process decides about this folder at the same time, and this one does not fork."""
        with FORK_GATE:
            fd = os.open(self.path / FOLDER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                yield
            finally:
                os.close(fd)

    def new_claim(self, writer: str) -> Claim:
        """A writer that nobody else is. Call it alone."""
        claim = self._try_claim(writer)
        if claim is None:
            raise UnreadableSpool(f"{self.path} already has a writer {writer}")
        return claim

    def claim_orphans(self, held: frozenset[str]) -> list[Claim]:
        """Claims on every writer whose process has ended, but for those `held` already. Call it alone."""
        claims = [self._try_claim(writer) for writer in sorted(self.writers() - held)]
        return [claim for claim in claims if claim is not None]

    def _try_claim(self, writer: str) -> Claim | None:
        path = self.path / (writer + LOCK_SUFFIX)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return Claim(writer, path, fd)

    def drop(self, claim: Claim) -> None:
        """Forget a writer whose segments are gone."""
        with self.alone():
            claim.path.unlink(missing_ok=True)
            claim.close()

    def writers(self) -> frozenset[str]:
        """Every writer that has left files here."""
        found: set[str] = set()
        for name in (path.name for path in self.path.iterdir()):
            if name.endswith(segments.SUFFIX):
                found.add(name.split(".")[0])
            elif name.endswith(LOCK_SUFFIX) and name != FOLDER_LOCK:
                found.add(name.removesuffix(LOCK_SUFFIX))
        return frozenset(found)

    def segment_path(self, writer: str, number: int) -> Path:
        """Where a writer's segment lies; names sort in order of writing."""
        return self.path / f"{writer}.{number:08}{segments.SUFFIX}"

    def segment_paths(self, writer: str) -> list[Path]:
        """A writer's segments in order of writing."""
        return sorted(self.path.glob(f"{writer}.*{segments.SUFFIX}"))

    def details(self, writer: str) -> dict[str, Any]:
        """The note that the writer left; empty if there is none."""
        try:
            found: object = json.loads((self.path / (writer + LOCK_SUFFIX)).read_bytes() or b"{}")
        except (FileNotFoundError, ValueError):  # it ended, or is just writing it
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def bytes_used(self) -> int:
        """Bytes of all files here, those of other processes and the dead letters included."""
        total = 0
        with os.scandir(self.path) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # acknowledged and deleted in the meantime
                    total += entry.stat().st_size
        return total
