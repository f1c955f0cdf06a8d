"""Dimension sets and resources: from the bytes in an event to a 64-bit hash, by way of bounded caches.

The same labels come again and again, so the bytes as sent lead to the hash of their canonical JSON without parsing.
Owns: canonical form, bounds, what is known to be stored. Not: which dimensions a meter declares (knowledge).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final, TypeAlias, cast

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from milo_billing.usage.rules import distinct_key, resource_identity, text_hash

I64: TypeAlias = NDArray[np.int64]
U64: TypeAlias = NDArray[np.uint64]
Mask: TypeAlias = NDArray[np.bool_]

DIMENSIONS_MAX: Final = 32
DIMENSION_CHARACTERS_MAX: Final = 256
RESOURCE_BYTES_MAX: Final = 4_096
CACHED_MAX: Final = 200_000
"""Spellings that a cache holds; then it starts anew."""

CACHED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of spellings and of canonical labels that a cache holds: whoever sends long names or blanks fills no memory."""

STORED_MAX: Final = 500_000
"""Hashes that are remembered as stored; then they are offered to the database again, which ignores them."""

INVALID: Final = -1
UNUSABLE: Final = (ValueError, TypeError, RecursionError)
"""What reading labels raises that are none; msgspec's and Unicode's errors are ValueErrors."""

_ROOM_AT_FIRST: Final = 1_024

_decode_labels = msgspec.json.Decoder(dict[str, str]).decode
_decode_object = msgspec.json.Decoder(dict[str, object] | None).decode


def read_labels(raw: bytes) -> dict[str, str]:
    """The labels of a dimension set. Raises ValueError if they are no object of texts, or over the bounds."""
    labels = {} if raw == b"null" else _decode_labels(raw)
    if len(labels) > DIMENSIONS_MAX:
        raise ValueError(f"{len(labels)} dimensions, at most {DIMENSIONS_MAX} are allowed")
    for name, value in labels.items():
        if len(value) > DIMENSION_CHARACTERS_MAX or "\0" in value or "\0" in name:
            raise ValueError(
                f"dimension {name!r} is over {DIMENSION_CHARACTERS_MAX} characters, or holds a NUL"
            )
    return labels


def _written(value: object) -> bytes:
    """Canonical JSON, in no more memory than it needs: what orjson returns keeps its buffer of 4 KiB and more."""
    return bytes(memoryview(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)))


def canonical_dimensions(raw: bytes) -> bytes:
    """One spelling of a dimension set. Raises ValueError as `read_labels` does."""
    return _written(read_labels(raw))


def canonical_resource(raw: bytes) -> bytes:
    """One spelling of a resource; `null` where there is none. Raises ValueError if it is no object, or too large."""
    if len(raw) > RESOURCE_BYTES_MAX:
        raise ValueError(f"the resource is over {RESOURCE_BYTES_MAX} bytes")
    return _written(_decode_object(raw))


def split_labels(raw: bytes, name: str) -> tuple[bytes, bytes, bytes | None]:
    """Canonical JSON of the whole dimension set, of the set without that label, and the label's text if it is there.

    Raises ValueError as `read_labels` does.
    """
    labels = read_labels(raw)
    whole = _written(labels)
    taken = labels.pop(name, None)
    if taken is None:
        return whole, whole, None
    return whole, _written(labels), taken.encode()


def with_labels(raw: bytes, more: Mapping[str, str]) -> bytes:
    """Canonical JSON of a valid dimension set with further labels in it."""
    labels = {} if raw == b"null" else _decode_labels(raw)
    return _written({**labels, **more})


@dataclass(frozen=True, slots=True)
class Resource:
    """What meters look at in a resource. `labels` None is no map of texts; `key` None is nothing to tell it by."""

    group: str
    kind: str
    labels: frozenset[str] | None
    key: bytes | None


def read_resource(raw: bytes) -> Resource:
    """The resource behind valid bytes."""
    found: dict[str, object] = _decode_object(raw) or {}
    labels = found.get("labels")
    identity = resource_identity(found)
    named: frozenset[str] | None = frozenset()
    if labels is not None:
        texts = cast("dict[object, object]", labels) if isinstance(labels, dict) else {0: 0}
        named = frozenset(map(str, texts)) if all(isinstance(text, str) for text in texts.values()) else None
    return Resource(
        group=str(found.get("group") or ""),
        kind=str(found.get("kind") or ""),
        labels=named,
        key=None if identity is None else distinct_key(identity),
    )


class LabelCache:
    """Leads from bytes as sent to a slot; slots lead to hashes. Not thread-safe: one preparer at a time.

    Slots hold until the next call of `slots`; results that live longer keep hashes.
    """

    def __init__(self, canonical: Callable[[bytes], bytes], *, names: bool) -> None:
        self._canonical = canonical
        self._with_names = names
        self._stored: set[int] = set()
        self._fresh: dict[int, bytes] = {}
        self._clear()

    @property
    def cached_bytes(self) -> int:
        """Bytes of the spellings that are held, and of their canonical labels."""
        return self._bytes

    def _clear(self) -> None:
        self._bytes = 0
        self._fresh.clear()  # labels that stand in quarantined events only are never stored
        self._slot_of: dict[bytes, int] = {}
        self._names: list[frozenset[str]] = []
        self._resources: dict[int, Resource] = {}
        self._count = 0
        self._hashes: U64 = np.zeros(_ROOM_AT_FIRST, np.uint64)
        self._offered: Mask = np.ones(_ROOM_AT_FIRST, np.bool_)

    def slots(self, raws: Sequence[bytes]) -> I64:
        """A slot for each; INVALID where the bytes are not what they should be."""
        if self._count > CACHED_MAX or self._bytes > CACHED_BYTES_MAX:
            self._clear()
        # slots count from 1 in the dictionary, so that 0 says "not there"
        found = np.fromiter(map(self._slot_of.get, raws, repeat(0)), np.int64, len(raws))
        missed: list[int] = np.flatnonzero(found == 0).tolist()
        for i in missed:
            found[i] = self._slot_of.get(raws[i]) or self._add(raws[i])
        return np.where(found > 0, found - 1, INVALID)

    def more_slots(self, raws: Sequence[bytes]) -> list[int]:
        """Slots of further labels of the same group, all valid; the slots that it has already hold."""
        return [(self._slot_of.get(raw) or self._add(raw)) - 1 for raw in raws]

    def resource(self, slot: int, raw: bytes) -> Resource:
        """What meters look at in the resource in this slot; read once a slot, and only for meters that look."""
        found = self._resources.get(slot)
        if found is None:
            found = self._resources[slot] = read_resource(raw)
        return found

    def _add(self, raw: bytes) -> int:
        try:
            canonical = self._canonical(raw)
        except UNUSABLE:
            return INVALID
        hash = text_hash(canonical)
        if hash not in self._stored:
            self._fresh[hash] = canonical
        if self._with_names:
            self._names.append(frozenset(cast("dict[str, str]", orjson.loads(canonical))))
        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
            self._offered = np.concatenate([self._offered, np.ones_like(self._offered)])
        self._hashes[self._count] = hash
        self._count += 1
        self._slot_of[raw] = self._count
        self._bytes += len(raw) + len(canonical)
        return self._count

    def hashes(self, slots: I64, raws: Sequence[bytes]) -> U64:
        """The 64-bit hash of each label's canonical JSON, or of its bytes where they are INVALID."""
        hashes = self._hashes[slots]  # INVALID reads the last one, which is replaced
        invalid: list[int] = np.flatnonzero(slots == INVALID).tolist()
        for i in invalid:
            hashes[i] = text_hash(raws[i])
        return hashes

    def names(self, slot: int) -> frozenset[str]:
        """The keys of the labels in this slot."""
        return self._names[slot]

    def unstored(self, slots: I64, raws: Sequence[bytes], *, among: NDArray[np.intp]) -> dict[int, bytes]:
        """Labels of the events `among`, all valid, that may not be in the database yet: hash → canonical JSON."""
        among = among[self._offered[slots[among]]]
        distinct, first = np.unique(slots[among], return_index=True)
        labels: list[int] = distinct.tolist()
        places: list[int] = among[first].tolist()
        found: dict[int, bytes] = {}
        for slot, i in zip(labels, places, strict=True):
            hash = int(self._hashes[slot])
            if hash in self._stored:
                self._offered[slot] = False
            else:
                found[hash] = self._fresh.get(hash) or self._canonical(raws[i])
        return found

    def mark_stored(self, hashes: Collection[int]) -> None:
        """Remember, after the commit, that these are in the database."""
        if len(self._stored) > STORED_MAX:
            self._stored.clear()
        self._stored.update(hashes)
        for hash in hashes:
            self._fresh.pop(hash, None)


def dimension_cache() -> LabelCache:
    """For `data.dimensions`."""
    return LabelCache(canonical_dimensions, names=True)


def resource_cache() -> LabelCache:
    """For `data.resource`."""
    return LabelCache(canonical_resource, names=False)
