"""What events say, as columns, and the 64-bit digest that tells a retry from another event with the same id.

The digest covers type, subject, time, value, dimensions and resource by meaning, not by spelling: `"5"` and `5`, or
another order of keys, are the same payload. It is part of the stored data and must not change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from milo_billing.usage.engine.decode import Event
from milo_billing.usage.engine.labels import LabelCache
from milo_billing.usage.engine.readings import parse_values
from milo_billing.usage.engine.screen import Screened
from milo_billing.usage.rules import text_hash

I64: TypeAlias = NDArray[np.int64]
U64: TypeAlias = NDArray[np.uint64]
Mask: TypeAlias = NDArray[np.bool_]

_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)
_NO_RESOURCE: Final = np.uint64(text_hash(b"null"))


@dataclass(frozen=True, slots=True)
class Payload:
    """`data` of each event. Slots are those of the caches (labels.INVALID where the labels cannot be used)."""

    value: I64
    integer: Mask
    dimensions: Sequence[bytes]
    dimension_slots: I64
    dimension_hashes: U64
    resources: Sequence[bytes]
    resource_slots: I64
    resource_hashes: U64
    has_resource: Mask


def read_payload(events: Sequence[Event], *, dimensions: LabelCache, resources: LabelCache) -> Payload:
    """Read `data` of all events."""
    data = [event.data for event in events]
    value, integer = parse_values([item.value for item in data])
    dimension_raws = [bytes(item.dimensions) for item in data]
    resource_raws = [bytes(item.resource) for item in data]
    dimension_slots = dimensions.slots(dimension_raws)
    resource_slots = resources.slots(resource_raws)
    resource_hashes = resources.hashes(resource_slots, resource_raws)
    resource_hashes = resources.hashes(resource_slots, resource_raws)
    return Payload(
        value=value,
        integer=integer,
        dimensions=dimension_raws,
        dimension_slots=dimension_slots,
        dimension_hashes=dimensions.hashes(dimension_slots, dimension_raws),
        resources=resource_raws,
        resource_slots=resource_slots,
        resource_hashes=resource_hashes,
        has_resource=resource_hashes != _NO_RESOURCE,
    )


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
        payload.dimension_hashes,
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
