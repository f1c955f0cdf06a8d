"""How events lie in a spool file: framed, so that every torn or damaged one is found out. Pure.

A record is a mark, the length of its payload, a CRC-32, the event's time, and the payload. The mark lets a reader find
the next good record behind a damaged one. Space that was never written is zero.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PAYLOAD_BYTES_MAX: Final = 64 * 1024

_MARK: Final = b"\xa5MU1"
_FRAME: Final = struct.Struct("<4sIIq")  # mark, payload bytes, CRC-32, microseconds since 1970
_CHECKED: Final = struct.Struct("<Iq")

FRAME_BYTES: Final = _FRAME.size
RECORD_BYTES_MAX: Final = FRAME_BYTES + PAYLOAD_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Record:
    """A whole record: its payload, the event's time in microseconds since 1970, and where the record ends."""

    payload: bytes
    occurred_us: int
    end: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no record and not zero: a write that a kill or a power cut tore, or a disk that forgot."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What stands at the beginning of a window: records, or one damage; `end` is where the next reading begins.

    With neither records nor damage there is nothing but zeros in the window.
    """

    records: tuple[Record, ...]
    damage: Damage | None
    end: int


def pack(payload: bytes, occurred_us: int) -> bytes:
    """The record of this payload. Raises ValueError when it is empty, or over PAYLOAD_BYTES_MAX."""
    if not 0 < len(payload) <= PAYLOAD_BYTES_MAX:
        raise ValueError(f"a payload of {len(payload)} bytes: 1 to {PAYLOAD_BYTES_MAX} fit in a record")
    crc = zlib.crc32(payload, zlib.crc32(_CHECKED.pack(len(payload), occurred_us)))
    return _FRAME.pack(_MARK, len(payload), crc, occurred_us) + payload


def read(window: bytes, *, offset: int, final: bool, records_max: int, payload_bytes_max: int) -> Reading:
    """Whole records from the start of the window, up to the bounds, but at least one if one is there.

    `offset` is where the window begins in the file, `final` whether the file ends with it. A window that is not final
    must hold two RECORD_BYTES_MAX. A record that the window's end cuts is left for the next reading.
    """
    found: list[Record] = []
    place, size = 0, 0
    while place < len(window) and len(found) < records_max:
        record = _record_at(window, place, offset)
        if record is None:
            break
        size += len(record.payload)
        if found and size > payload_bytes_max:
            break
        found.append(record)
        place = record.end - offset
    if found or place >= len(window):
        return Reading(tuple(found), None, offset + place)
    return _read_damage(window, offset=offset, final=final)


def peek_time(head: bytes) -> int | None:
    """The event time of the record that begins with these FRAME_BYTES; None if none does."""
    if len(head) < FRAME_BYTES or not head.startswith(_MARK):
        return None
    return int(_FRAME.unpack_from(head)[3])


def _record_at(window: bytes, place: int, offset: int) -> Record | None:
    if len(window) - place < FRAME_BYTES:
        return None
    mark, length, crc, occurred_us = _FRAME.unpack_from(window, place)
    start = place + FRAME_BYTES
    if mark != _MARK or not 0 < length <= PAYLOAD_BYTES_MAX or start + length > len(window):
        return None
    payload = window[start : start + length]
    if zlib.crc32(payload, zlib.crc32(_CHECKED.pack(length, occurred_us))) != crc:
        return None
    return Record(payload, occurred_us, offset + start + length)


def _read_damage(window: bytes, *, offset: int, final: bool) -> Reading:
    """The window does not begin with a record: how far the zeros or the damage go."""
    place = window.find(_MARK, 1)
    while place >= 0 and _record_at(window, place, offset) is None:
        place = window.find(_MARK, place + 1)
    if place < 0:
        # what a later window may still complete is not judged here
        place = len(window) if final else max(1, len(window) - RECORD_BYTES_MAX)
    stretch = window[:place]
    written = stretch.rstrip(b"\0")
    if not written:
        return Reading((), None, offset + place)
    start = len(stretch) - len(stretch.lstrip(b"\0"))
    return Reading((), Damage(offset + start, offset + len(written)), offset + place)


def join(records: Sequence[bytes]) -> bytes:
    """Records one behind the other, as they are written."""
    return b"".join(records)
