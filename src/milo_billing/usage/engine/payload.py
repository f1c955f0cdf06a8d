"""What events say, as columns, and the 64-bit digest that tells a retry from another event with the same id.

The digest covers type, subject, time, value, dimensions and resource by meaning, not by spelling: `"5"` and `5`, or
another order of keys, are the same payload. It is part of the stored data and must not change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from milo_billing.catalog.types import RESOURCE_KEY
from milo_billing.usage.engine.decode import Event
from milo_billing.usage.engine.knowledge import Meters
from milo_billing.usage.engine.labels import INVALID, LabelCache, split_labels
from milo_billing.usage.engine.readings import parse_values
from milo_billing.usage.engine.screen import Screened
from milo_billing.usage.rules import distinct_key, text_hash

I64: TypeAlias = NDArray[np.int64]
U64: TypeAlias = NDArray[np.uint64]
Mask: TypeAlias = NDArray[np.bool_]
Keys: TypeAlias = NDArray[np.bytes_]

_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)
_NO_RESOURCE: Final = np.uint64(text_hash(b"null"))


@dataclass(frozen=True, slots=True)
class Payload:
    """`data` of each event. Slots are those of the caches (labels.INVALID where the labels cannot be used).

    `dimensions` are the labels that usage is told apart by: of a meter that counts a label, without that one.
    `sent_hashes` are of the labels as they were sent. `keyed` events count towards the distinct key in `key`.
    """

    value: I64
    integer: Mask
    dimensions: list[bytes]
    dimension_slots: I64
    sent_hashes: U64
    keyed: Mask
    key: Keys
    resources: Sequence[bytes]
    resource_slots: I64
    resource_hashes: U64
    has_resource: Mask


def read_payload(
    events: Sequence[Event], *, meters: Meters, slots: I64, dimensions: LabelCache, resources: LabelCache
) -> Payload:
    """Read `data` of all events; `slots` are those of their meters."""
    data = [event.data for event in events]
    value, integer = parse_values([item.value for item in data])
    dimension_raws = [bytes(item.dimensions) for item in data]
    resource_raws = [bytes(item.resource) for item in data]
    keyed = np.zeros(len(data), np.bool_)
    key = np.zeros(len(data), "S16")
    whole = _take_keys(dimension_raws, meters, slots, keyed, key) if meters.keyed[slots].any() else {}
    dimension_slots = dimensions.slots(dimension_raws)
    sent_hashes = dimensions.hashes(dimension_slots, dimension_raws)
    for i, hash in whole.items():
        sent_hashes[i] = hash
    resource_slots = resources.slots(resource_raws)
    resource_hashes = resources.hashes(resource_slots, resource_raws)
    has_resource = resource_hashes != _NO_RESOURCE
    payload = Payload(
        value=value,
        integer=integer,
        dimensions=dimension_raws,
        dimension_slots=dimension_slots,
        sent_hashes=sent_hashes,
        keyed=keyed,
        key=key,
        resources=resource_raws,
        resource_slots=resource_slots,
        resource_hashes=resource_hashes,
        has_resource=has_resource,
    )
    if meters.keyed[slots].any():
        _take_resources(payload, meters, slots, resources)
    return payload


def _take_keys(raws: list[bytes], meters: Meters, slots: I64, keyed: Mask, key: Keys) -> dict[int, int]:
    """Take out of the labels what their meters count; the hashes of the whole labels, by event.

    Such labels seldom come again: they are read one by one, and only what is left of them is worth caching.
    """
    whole: dict[int, int] = {}
    places: list[int] = np.flatnonzero(meters.keyed[slots]).tolist()
    for i in places:
        name = meters.unique_key[int(slots[i])]
        if name is None or name == RESOURCE_KEY:
            continue
        try:
            sent, left, text = split_labels(raws[i], name)
        except (ValueError, TypeError, UnicodeDecodeError):
            continue  # the labels are INVALID as they are, and quarantined as such
        if text is not None:
            whole[i] = text_hash(sent)
            raws[i] = left
            keyed[i], key[i] = True, distinct_key(text)
    return whole


def _take_resources(payload: Payload, meters: Meters, slots: I64, resources: LabelCache) -> None:
    """The resources of meters that count them, as keys."""
    counts = np.array([name == RESOURCE_KEY for name in meters.unique_key], np.bool_)[slots]
    readable = counts & payload.has_resource & (payload.resource_slots != INVALID)
    places: list[int] = np.flatnonzero(readable).tolist()
    for i in places:
        found = resources.resource(int(payload.resource_slots[i]), payload.resources[i])
        if found.key is not None:
            payload.keyed[i], payload.key[i] = True, found.key


def digests(
    screened: Screened,
    payload: Payload,
    *,
    type_hashes: U64,
    subject_hashes: U64,
    faulty: Mapping[int, bytes],
) -> U64:
    """One digest an event; `faulty` are the originals of events whose data could not be read, by index."""
    times = screened.event_at.astype(np.uint64)
    for i in np.flatnonzero(~screened.timed).tolist():
        times[i] = text_hash(screened.events[i].time.encode())
    values = payload.value.astype(np.uint64)
    for i in np.flatnonzero(~payload.integer).tolist():
        values[i] = text_hash(str(screened.events[i].data.value).encode())
    for i, original in faulty.items():
        values[i] = text_hash(original)
    digest = np.zeros(len(values), np.uint64)
    for part in (
        type_hashes,
        subject_hashes,
        times,
        values,
        payload.sent_hashes,
        payload.resource_hashes,
    ):
        digest = (digest ^ part) * _MULTIPLIER
        digest ^= digest >> _HALF
    return digest


def text_hashes(known: U64, slots: I64, texts: Sequence[str]) -> U64:
    """The hash of each text: from `known` by slot, computed where the slot is 0."""
    hashes = known[slots]
    for i in np.flatnonzero(slots == 0).tolist():
        hashes[i] = text_hash(texts[i].encode())
    return hashes
