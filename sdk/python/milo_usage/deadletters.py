"""Events that the gateway refused for good, with the reason: kept beside the spool until somebody looks at them.

One JSON object a line. Appended and synced before the event leaves its segment; a kill in between writes it a
second time, so readers take the last line of an id.
"""

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from milo_usage.events import format_us
from milo_usage.folder import DEAD_LETTERS, Folder
from milo_usage.segments import sync_folder

UNREADABLE: Final = "UNREADABLE"
"""The reason of bytes in a segment that are no event."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`event` is the CloudEvent as it was recorded; `raw` what stood there instead, where it was no event."""

    reason: str
    detail: str
    event: dict[str, Any] | None
    raw: bytes = b""
    at: str = ""

    @property
    def id(self) -> str:
        """The event's id, empty where it is not known."""
        return str((self.event or {}).get("id", ""))


def of_payload(payload: bytes, *, reason: str, detail: str) -> DeadLetter:
    """The letter for an event as it lay in the spool."""
    return DeadLetter(reason, detail, cast("dict[str, Any]", json.loads(payload)))


def id_of(payload: bytes) -> str:
    """The id of an event as it lies in the spool."""
    return str(cast("dict[str, Any]", json.loads(payload)).get("id", ""))


def append(folder: Folder, letters: Sequence[DeadLetter], *, now_us: int) -> None:
    """Have the letters on disk when this returns. Raises OSError."""
    lines = b"".join(_line(letter, format_us(now_us)) for letter in letters)
    path = folder.path / DEAD_LETTERS
    with folder.alone():
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                lines = b"\n" + lines  # a kill has torn the last line
            view = memoryview(lines)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        if not size:
            sync_folder(folder.path)


def read(folder: Folder) -> list[DeadLetter]:
    """All letters in order, each id once. A torn line is left out: its event is still in a segment."""
    try:
        lines = (folder.path / DEAD_LETTERS).read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    found: dict[str, DeadLetter] = {}
    for number, line in enumerate(lines):
        letter = _letter(line)
        if letter is not None:
            found[letter.id or f"line {number}"] = letter
    return list(found.values())


def keep_only(folder: Folder, letters: Sequence[DeadLetter]) -> None:
    """Replace the file by these letters, in one step. Call it while alone in the folder."""
    path = folder.path / DEAD_LETTERS
    if not letters:
        path.unlink(missing_ok=True)
        return
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(b"".join(_line(letter, letter.at) for letter in letters))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(folder.path)


def _line(letter: DeadLetter, at: str) -> bytes:
    fields: dict[str, Any] = {"at": at, "reason": letter.reason, "detail": letter.detail}
    if letter.event is not None:
        fields["event"] = letter.event
    if letter.raw:
        fields["raw"] = base64.b64encode(letter.raw).decode()
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _letter(line: bytes) -> DeadLetter | None:
    try:
        read: object = json.loads(line)
    except ValueError:
        return None
    if not isinstance(read, dict):
        return None
    fields = cast("dict[str, Any]", read)
    event = fields.get("event")
    return DeadLetter(
        reason=str(fields.get("reason", "")),
        detail=str(fields.get("detail", "")),
        event=cast("dict[str, Any]", event) if isinstance(event, dict) else None,
        raw=base64.b64decode(str(fields.get("raw", ""))),
        at=str(fields.get("at", "")),
    )
