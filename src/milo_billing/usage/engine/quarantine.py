"""Rows of the quarantine: the event as it was sent, and a sentence on why it is not billed and what would mend it."""

from typing import Final
from uuid import UUID

from milo_billing.catalog.types import RESOURCE_KEY
from milo_billing.usage.engine.decode import Event
from milo_billing.usage.engine.labels import UNUSABLE, canonical_resource, read_labels, read_resource
from milo_billing.usage.engine.prepared import (
    ATTRIBUTION_FAILURE,
    INVALID_DIMENSIONS,
    INVALID_VALUE,
    REASONS,
    TOO_LATE,
    UNKNOWN_METER,
    Prepared,
    Rows,
)
from milo_billing.usage.engine.readings import to_instant
from milo_billing.usage.store import QuarantinedEvent

_SHOWN_MAX: Final = 200


def quarantined(prepared: Prepared, rows: Rows) -> list[QuarantinedEvent]:
    """What to store of these rows of the group, none of which is GOOD."""
    starts = prepared.group.starts()
    part_of = prepared.group.part_index()
    found: list[QuarantinedEvent] = []
    for i in range(len(rows)):
        number = int(rows.number[i])
        part = prepared.group.parts[int(part_of[number])]
        index = part.start + number - starts[int(part_of[number])]
        batch = part.request.batch
        event, reason = batch.events[index], int(rows.reason[i])
        detail = batch.faults.get(index) or _detail(prepared, event, reason)
        found.append(
            QuarantinedEvent(
                id=UUID(bytes=rows.id[i : i + 1].tobytes()),
                owner_org=int(rows.owner[i]),
                reason=REASONS[reason],
                detail=_stored(detail),
                meter=_stored(event.type),
                project=_stored(event.subject.removeprefix("projects/")),
                event_at=to_instant(int(rows.event_at[i])) if rows.timed[i] else None,
                received_at=to_instant(int(rows.received_at[i])),
                digest=int(rows.digest[i : i + 1].view("int64")[0]),
                event=batch.original(index),
            )
        )
    return found


def _stored(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:_SHOWN_MAX]  # PostgreSQL's text holds no NUL


def _detail(prepared: Prepared, event: Event, reason: int) -> str:
    if reason == UNKNOWN_METER:
        return f"no meter named {event.type!r} is published"
    if reason == INVALID_DIMENSIONS:
        return _dimensions_detail(prepared, event)
    if reason == INVALID_VALUE:
        return f"data.value {event.data.value!r} is not a 64-bit integer"
    if reason == TOO_LATE:
        return f"the event is older than {prepared.limits.late_days_max} days"
    if reason == ATTRIBUTION_FAILURE:
        return f"no billing account pays for {event.subject!r} at {event.time}"
    return _malformed_detail(event)


def _dimensions_detail(prepared: Prepared, event: Event) -> str:
    try:
        labels = read_labels(bytes(event.data.dimensions))
    except UNUSABLE as error:
        return f"data.dimensions: {error}"
    meters = prepared.knowledge.meters
    slot = meters.slot_of[event.type]
    key, dimensions = meters.unique_key[slot], meters.dimensions[slot]
    if labels.keys() - dimensions - {key}:
        declared = ", ".join(sorted(dimensions)) or "none"
        return f"data.dimensions has names that the meter does not declare; declared: {declared}"
    resource = read_resource(bytes(event.data.resource))
    if key == RESOURCE_KEY and resource.key is None:
        return "the meter counts resources, and data.resource has neither uid nor name"
    if key is not None and key != RESOURCE_KEY and key not in labels:
        return f"the meter counts {key}, which data.dimensions does not have"
    allowed = meters.resources[slot] or {}
    labels_of = allowed.get((resource.group, resource.kind))
    if labels_of is None:
        admitted = ", ".join(sorted(f"{group}/{kind}" for group, kind in allowed)) or "none"
        return f"data.resource is a {resource.group}/{resource.kind}; the meter is measured on {admitted}"
    declared = ", ".join(sorted(labels_of)) or "none"
    return f"data.resource.labels has names that its type does not declare, or no texts; declared: {declared}"


def _malformed_detail(event: Event) -> str:
    try:
        canonical_resource(bytes(event.data.resource))
    except UNUSABLE as error:
        return f"data.resource: {error}"
    return f"time {event.time!r} is not an RFC 3339 time"
