"""One file of the spool: written at its end, read and acknowledged at its beginning.

A file is made at its full size, filled with zeros: so the room is really there, and an append changes no metadata that
fdatasync would have to write as well. Its head holds how far it was acknowledged; that mark is not synced, since
what is sent twice counts once. Thread-safe: the writer appends while the sender reads.
"""

import os
import struct
import threading
import zlib
from pathlib import Path
from typing import Final

from milo_usage import records
from milo_usage.records import Reading

SUFFIX: Final = ".segment"
HEAD_BYTES: Final = 32

_MAGIC: Final = b"MILOSPL1"
_MARK_AT: Final = 16
_MARK: Final = struct.Struct("<QI")
_ZEROS_BYTES: Final = 256 * 1024
_FILE_MODE: Final = 0o600


def _crc(offset: int) -> int:
    return zlib.crc32(offset.to_bytes(8, "little"))


class Segment:
    """An open segment. `durable` is where the synced records end, `acknowledged` where the sender goes on."""

    def __init__(
        self, path: Path, fd: int, *, capacity: int, durable: int, acknowledged: int, sealed: bool
    ) -> None:
        self.path = path
        self.capacity = capacity
        self.durable = durable
        self.acknowledged = acknowledged
        self.sealed = sealed
        self._fd = fd
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def create(cls, path: Path, *, capacity: int) -> "Segment":
        """A new file with room for `capacity` bytes of records, on disk before this returns.

        Raises OSError when the disk has no room; nothing is left behind then.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        try:
            _write_all(fd, _MAGIC.ljust(HEAD_BYTES, b"\0"), 0)
            for start in range(0, capacity, _ZEROS_BYTES):
                _write_all(fd, bytes(min(_ZEROS_BYTES, capacity - start)), HEAD_BYTES + start)
            os.fsync(fd)
            sync_folder(path.parent)
        except BaseException:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        return cls(path, fd, capacity=capacity, durable=HEAD_BYTES, acknowledged=HEAD_BYTES, sealed=False)

    @classmethod
    def open(cls, path: Path) -> "Segment":
        """A segment that a process left behind; it is not appended to."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        size = os.fstat(fd).st_size
        offset, crc = _MARK.unpack(os.pread(fd, _MARK.size, _MARK_AT).ljust(_MARK.size, b"\0"))
        # a mark that cannot be true is none: then everything is sent again, and counts once
        good = crc == _crc(offset) and HEAD_BYTES <= offset <= size
        end = max(size, HEAD_BYTES)
        return cls(
            path, fd, capacity=end - HEAD_BYTES, durable=end,
            acknowledged=offset if good else HEAD_BYTES, sealed=True,
        )  # fmt: skip

    @property
    def done(self) -> bool:
        """Whether nothing is left to send."""
        return self.acknowledged >= self.durable

    @property
    def room(self) -> int:
        """Bytes that still fit."""
        return HEAD_BYTES + self.capacity - self.durable

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.durable if self.sealed else HEAD_BYTES + self.capacity

    def append(self, data: bytes) -> None:
        """Write records and sync them. Raises OSError; then they are cut off again, as far as the disk allows."""
        try:
            _write_all(self._fd, data, self.durable)
            _fdatasync(self._fd)
        except BaseException:
            self.sealed = True
            os.ftruncate(self._fd, self.durable)
            raise
        self.durable += len(data)

    def seal(self) -> None:
        """Give back the room that was not used; nothing is appended any more."""
        self.sealed = True
        os.ftruncate(self._fd, self.durable)

    def read(self, *, records_max: int, payload_bytes_max: int, start: int | None = None) -> Reading:
        """The next unacknowledged records, or those from `start`, or what stands in their way (records.read)."""
        with self._lock:
            if self._closed:
                return Reading((), None, self.acknowledged)
            window_bytes = (
                payload_bytes_max + (records_max + 2) * records.FRAME_BYTES + 2 * records.RECORD_BYTES_MAX
            )
            start, until = self.acknowledged if start is None else start, self.durable
            window = os.pread(self._fd, min(window_bytes, until - start), start)
        final = start + len(window) >= until
        return records.read(
            window, offset=start, final=final, records_max=records_max, payload_bytes_max=payload_bytes_max
        )

    def bytes_at(self, start: int, end: int) -> bytes:
        """What stands there."""
        with self._lock:
            return b"" if self._closed else os.pread(self._fd, end - start, start)

    def acknowledge(self, offset: int) -> None:
        """Everything before the offset need not be sent again."""
        with self._lock:
            self.acknowledged = offset
            if not self._closed:
                os.pwrite(self._fd, _MARK.pack(offset, _crc(offset)), _MARK_AT)

    def head_us(self) -> int | None:
        """When the oldest unacknowledged event happened, in microseconds since 1970."""
        with self._lock:
            if self._closed or self.done:
                return None
            return records.peek_time(os.pread(self._fd, records.FRAME_BYTES, self.acknowledged))

    def close(self) -> None:
        """Release the file; it stays where it is."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._fd)

    def abandon(self) -> None:
        """In a forked child: close the copy of the descriptor. A thread that is gone may hold the lock."""
        if not self._closed:
            os.close(self._fd)

    def delete(self) -> None:
        """Release the file and its room."""
        self.close()
        self.path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Have the names in the folder on disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def _fdatasync(fd: int) -> None:
    if hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:  # macOS
        os.fsync(fd)
