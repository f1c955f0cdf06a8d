"""Event ids as 128-bit integers, thousands at a time: ULID, UUIDv7, foreign, malformed.

Not: whether an id was seen before (write), or what a foreign id is stored under (prepare).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from milo_billing.kernel.ids import ULID

U64: TypeAlias = NDArray[np.uint64]
Mask: TypeAlias = NDArray[np.bool_]

NATIVE: Final = 0
FOREIGN: Final = 1
MALFORMED: Final = 2

ULID_LENGTH: Final = 26
UUID_LENGTH: Final = 36
UUID7: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.I | re.ASCII
)

_BAD: Final = 255


def _digits(alphabet: str) -> NDArray[np.uint8]:
    table = np.full(256, _BAD, np.uint8)
    for value, character in enumerate(alphabet):
        table[ord(character)] = value
        table[ord(character.lower())] = value
    return table


_CROCKFORD: Final = _digits("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
_HEX: Final = _digits("0123456789ABCDEF")
_UUID_DASHES: Final = (8, 13, 18, 23)
_UUID_DIGITS: Final = tuple(i for i in range(UUID_LENGTH) if i not in _UUID_DASHES)


@dataclass(slots=True)
class Ids:
    """`high` and `low` hold the 128 bits where `kind` is NATIVE, and 0 elsewhere."""

    high: U64
    low: U64
    kind: NDArray[np.uint8]

    def take(self, chosen: NDArray[np.intp]) -> "Ids":
        """The chosen ids only."""
        return Ids(self.high[chosen], self.low[chosen], self.kind[chosen])


def is_native(id: str) -> bool:
    """Whether the id is a ULID or a UUIDv7: it is the event's key as it is, and says when it was made."""
    return ULID.fullmatch(id) is not None or UUID7.fullmatch(id) is not None


def parse_ids(ids: Sequence[str]) -> Ids:
    """All ids at once. Of 26 characters and no ULID is MALFORMED; whatever else is not native is FOREIGN."""
    n = len(ids)
    found = Ids(np.zeros(n, np.uint64), np.zeros(n, np.uint64), np.full(n, FOREIGN, np.uint8))
    lengths = np.fromiter(map(len, ids), np.int64, n)
    for length, read in ((ULID_LENGTH, _read_ulids), (UUID_LENGTH, _read_uuids)):
        where = np.flatnonzero(lengths == length)
        if not len(where):
            continue
        texts = ids if len(where) == n else [ids[i] for i in where.tolist()]
        joined = "".join(texts).encode("ascii", "replace")  # '?' is no digit of either
        characters = np.frombuffer(joined, np.uint8).reshape(-1, length)
        high, low, good = read(characters)
        found.kind[where[good]] = NATIVE
        if length == ULID_LENGTH:
            found.kind[where[~good]] = MALFORMED
        found.high[where[good]] = high[good]
        found.low[where[good]] = low[good]
    return found


def _read_ulids(characters: NDArray[np.uint8]) -> tuple[U64, U64, Mask]:
    digits = _CROCKFORD[characters]
    good = (digits.max(axis=1) < 32) & (digits[:, 0] < 8)
    columns = np.ascontiguousarray(digits.T).astype(np.uint64)
    five = np.uint64(5)
    high = columns[0]
    for column in columns[1:13]:
        high = (high << five) | column
    high = (high << np.uint64(1)) | (columns[13] >> np.uint64(4))  # 3 + 12·5 + 1 = 64 bits
    low = columns[13] & np.uint64(15)
    for column in columns[14:]:
        low = (low << five) | column
    return high, low, good


def _read_uuids(characters: NDArray[np.uint8]) -> tuple[U64, U64, Mask]:
    digits = _HEX[characters]
    good = (digits[:, _UUID_DIGITS].max(axis=1) < 16) & (characters[:, _UUID_DASHES] == ord("-")).all(axis=1)
    good &= (digits[:, 14] == 7) & ((digits[:, 19] & 0b1100) == 0b1000)  # version 7, variant 10
    columns = np.ascontiguousarray(digits[:, _UUID_DIGITS].T).astype(np.uint64)
    four = np.uint64(4)
    halves: list[U64] = []
    for part in (columns[:16], columns[16:]):
        half = part[0]
        for column in part[1:]:
            half = (half << four) | column
        halves.append(half)
    return halves[0], halves[1], good


def milliseconds(high: U64) -> NDArray[np.int64]:
    """Unix milliseconds at which native ids were made: their first 48 bits."""
    return (high >> np.uint64(16)).astype(np.int64)


def to_bytes(high: U64, low: U64) -> NDArray[np.bytes_]:
    """Ids as 16 bytes each, which sort as the ids do."""
    halves = np.empty((len(high), 2), ">u8")
    halves[:, 0] = high
    halves[:, 1] = low
    return halves.view("S16").ravel()


def halves(keys: NDArray[np.bytes_]) -> tuple[U64, U64]:
    """The two halves of 16-byte keys."""
    both = np.ascontiguousarray(keys).view(">u8").reshape(-1, 2).astype(np.uint64)
    return np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])
