"""From bytes to events: CloudEvents 1.0 in JSON, structured, batched or binary.

The good case is one typed decode of the whole body. Only if that fails is each event looked at by itself, so that one
bad event among good ones is told apart with its reason. Owns: what a CloudEvent must have. Not: ids, meters,
projects, times (prepare).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias, cast
from urllib.parse import unquote

import msgspec

from milo_billing.kernel.errors import TooLarge
from milo_billing.usage.engine.answers import Rejection
from milo_billing.usage.engine.identifiers import is_native
from milo_billing.usage.types import EVENT_BYTES_MAX, EVENTS_MAX, RejectReason, UnreadableEvents

ID_SHOWN_MAX: Final = 100
"""Characters of a sender's id that an answer repeats."""

EVENT_BYTES_USUAL: Final = 2 * 1024
"""Larger on average, and a body is searched for an event over EVENT_BYTES_MAX."""

VALUES_MAX: Final = 1_000_000
"""Values (commas) a request, at most: looking at sixteen megabytes of `5,5,5` would take half a gigabyte."""
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for JSON that is none, or is nested more deeply than anybody means."""

_SPOTTED_WITHIN: Final = 32 * 1024
_NO_LABELS: Final = msgspec.Raw(b"{}")
_NO_RESOURCE: Final = msgspec.Raw(b"null")

Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]


class EventData(msgspec.Struct, gc=False):
    """`data`: an int64 as text (or as a JSON number), labels, and what it was measured on."""

    value: str | int | float
    dimensions: msgspec.Raw = _NO_LABELS
    resource: msgspec.Raw = _NO_RESOURCE


class Event(msgspec.Struct, gc=False):
    """A CloudEvent as far as metering reads it; extension attributes are kept only in the original bytes."""

    id: Text
    source: Text
    type: Text
    subject: Text
    time: Text
    specversion: Literal["1.0"]
    data: EventData
    datacontenttype: str | None = None


_decode_one = msgspec.json.Decoder(Event).decode
_decode_many = msgspec.json.Decoder(list[Event]).decode
_decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode
_REQUIRED: Final = ("id", "source", "specversion", "type", "subject", "time")


@dataclass(slots=True)
class Batch:
    """The readable events of one request. `positions[i]` is where event i stood in the request.

    `faults` names events that are kept but cannot be used at all (quarantined as malformed_data), by index.
    `original(i)` is the event as it was sent.
    """

    events: list[Event]
    rejected: list[Rejection]
    body: bytes
    single: bool = False
    positions: list[int] | None = None
    faults: dict[int, str] = field(default_factory=dict[int, str])
    _originals: list[msgspec.Raw] | None = None

    @property
    def size(self) -> int:
        """Events in the request, the rejected ones too."""
        return len(self.events) + len(self.rejected)

    def position(self, index: int) -> int:
        """Where event `index` stood in the request, from 0."""
        return index if self.positions is None else self.positions[index]

    def original(self, index: int) -> bytes:
        """The event's own JSON, byte for byte."""
        if self.single:
            return self.body
        if self._originals is None:
            found = self._spotted(index) if self.positions is None else None
            if found is not None:
                return found
            self._originals = _decode_raw(self.body)
        return bytes(self._originals[self.position(index)])

    def _spotted(self, index: int) -> bytes | None:
        """The original, if a look at the text finds it: then the other thousands need not be parsed again.

        An event usually begins at the last brace before its id. What lies between two such places is the original if
        it reads as the very event that was decoded; if it does not, nothing was lost but the look.
        """
        start = self._brace_before_id(index)
        if index + 1 < len(self.events):
            end = self._brace_before_id(index + 1)
        else:
            end = self.body.rfind(b"]")
        text = self.body[start:end].rstrip(b", \t\r\n") if 0 <= start < end else b""
        try:
            read = _decode_one(text)
        except UNREADABLE:
            return None
        return text if msgspec.json.encode(read) == msgspec.json.encode(self.events[index]) else None

    def _brace_before_id(self, index: int) -> int:
        # events of one sender are of about one length: it lies near where it would if they were all of the same
        near = len(self.body) * index // len(self.events)
        low, high = max(0, near - _SPOTTED_WITHIN), near + _SPOTTED_WITHIN
        place = self.body.find(f'"{self.events[index].id}"'.encode(), low, high)
        return self.body.rfind(b"{", low, place) if place >= 0 else -1


def decode_event(body: bytes) -> Batch:
    """One event in structured mode. Raises UnreadableEvents if it is no JSON object."""
    if not body.lstrip(b" \t\r\n").startswith(b"{"):
        raise UnreadableEvents(
            "the body is not one CloudEvent: send a JSON object, or many to events:batchIngest"
        )
    if len(body) > EVENT_BYTES_MAX:
        raise _too_large("the event", len(body))
    batch = Batch(events=[], rejected=[], body=body, single=True)
    try:
        event = _decode_one(body)
        if _is_json(event.datacontenttype):
            batch.events.append(event)
            return batch
    except UNREADABLE:
        _assert_json(body)
    batch.positions = []
    _diagnose(batch, 0, body)
    return batch


def decode_batch(body: bytes) -> Batch:
    """A JSON array of events. Raises UnreadableEvents if it is none.

    Raises TooLarge with more than EVENTS_MAX events or VALUES_MAX values, or an event over EVENT_BYTES_MAX, which is
    looked for only in bodies that are large for their number of events: cutting every body up would cost a third more.
    """
    if len(body) > VALUES_MAX and body.count(b",") > VALUES_MAX:
        raise TooLarge(f"more than {VALUES_MAX} values in one request: send fewer events")
    try:
        events = _decode_many(body)
    except UNREADABLE:
        return _decode_singly(body)
    if len(events) > EVENTS_MAX:
        raise _too_many(len(events))
    if len(body) > EVENT_BYTES_MAX + (len(events) - 1) * EVENT_BYTES_USUAL:
        _check_sizes(_decode_raw(body))
    if all(map(_is_json, {event.datacontenttype for event in events})):
        return Batch(events=events, rejected=[], body=body)
    return _decode_singly(body)


def decode_binary(headers: Mapping[str, str], body: bytes) -> Batch:
    """One event in binary mode: attributes in `ce-` headers, data in the body (CloudEvents HTTP binding §3.1).

    Its original is the same event in structured form. Raises UnreadableEvents if the body is no JSON.
    """
    attributes: dict[str, object] = {
        name.removeprefix("ce-"): unquote(value) for name, value in headers.items() if name.startswith("ce-")
    }
    attributes["datacontenttype"] = headers.get("content-type", "application/json")
    if _is_json(str(attributes["datacontenttype"])):
        if body.strip():
            _assert_json(body)
            attributes["data"] = msgspec.Raw(body)
    else:
        attributes["data"] = {}
    return decode_event(msgspec.json.encode(attributes))


def encode_batch(events: list[dict[str, object]]) -> bytes:
    """Events as the body of a batch, for rows of an import, which then take the same way as everything else."""
    return msgspec.json.encode(events)


def _decode_singly(body: bytes) -> Batch:
    try:
        originals = _decode_raw(body)
    except UNREADABLE as error:
        raise UnreadableEvents(f"the body is not a JSON array of CloudEvents: {error}") from error
    if len(originals) > EVENTS_MAX:
        raise _too_many(len(originals))
    _check_sizes(originals)
    batch = Batch(events=[], rejected=[], body=body, positions=[], _originals=originals)
    for position, original in enumerate(originals):
        try:
            event = _decode_one(original)
        except UNREADABLE:
            _diagnose(batch, position, bytes(original))
            continue
        if _is_json(event.datacontenttype):
            _keep(batch, position, event)
        else:
            _diagnose(batch, position, bytes(original))
    return batch


def _check_sizes(originals: Sequence[msgspec.Raw]) -> None:
    for position, original in enumerate(originals):
        if (size := memoryview(original).nbytes) > EVENT_BYTES_MAX:
            raise _too_large(f"event {position} of the request, counted from 0,", size)


def _too_large(what: str, size: int) -> TooLarge:
    return TooLarge(f"{what} has {size} bytes, at most {EVENT_BYTES_MAX} are allowed; nothing was taken")


def _too_many(count: int) -> TooLarge:
    return TooLarge(f"{count} events in one request: send at most {EVENTS_MAX}")


def _assert_json(body: bytes) -> None:
    try:
        msgspec.json.decode(body)
    except UNREADABLE as error:
        raise UnreadableEvents(f"the body is not JSON: {error}") from error


def _is_json(content_type: str | None) -> bool:
    if content_type is None or content_type == "application/json":
        return True
    essence = content_type.partition(";")[0].strip().lower()
    return essence in ("application/json", "text/json") or essence.endswith("+json")


def _keep(batch: Batch, position: int, event: Event) -> None:
    assert batch.positions is not None
    batch.positions.append(position)
    batch.events.append(event)


def _diagnose(batch: Batch, position: int, original: bytes) -> None:
    """Say what is wrong with an event that the typed decode refused: rejected, or kept with a fault."""
    try:
        value: Any = msgspec.json.decode(original)
    except UNREADABLE as error:
        detail = f"the event is not valid JSON: {error}"
        batch.rejected.append(Rejection(position, "", "MISSING_REQUIRED_FIELD", detail))
        return
    if not isinstance(value, dict):
        detail = "the event is not a JSON object"
        batch.rejected.append(Rejection(position, "", "MISSING_REQUIRED_FIELD", detail))
        return
    found = cast("dict[str, Any]", value)
    refused = _refusal(found)
    if refused is not None:
        shown = found.get("id")
        shown = shown[:ID_SHOWN_MAX] if isinstance(shown, str) else ""
        batch.rejected.append(Rejection(position, shown, *refused))
        return
    batch.faults[len(batch.events)] = "data is not an object"
    attributes = {name: found[name] for name in _REQUIRED}
    _keep(batch, position, Event(**attributes, data=EventData(value="")))


def _refusal(event: dict[str, Any]) -> tuple[RejectReason, str] | None:
    """The reason to reject the event; None if it may be kept although its data cannot be used."""
    id = event.get("id")
    if not isinstance(id, str) or not id:
        return "MISSING_REQUIRED_FIELD", "id is missing: a ULID, a UUIDv7, or any text unique within source"
    if not _is_text(event.get("source")) and not is_native(id):
        return "INVALID_ULID", "id is neither a ULID nor a UUIDv7, and without source no other id is unique"
    for name in _REQUIRED:
        if not _is_text(event.get(name)):
            return "MISSING_REQUIRED_FIELD", f"{name} is missing, or not a text"
    if event["specversion"] != "1.0":
        return (
            "MISSING_REQUIRED_FIELD",
            'specversion is not "1.0", the only version of CloudEvents spoken here',
        )
    content_type = event.get("datacontenttype")
    if content_type is not None and not (isinstance(content_type, str) and _is_json(content_type)):
        return "INVALID_DATACONTENTTYPE", f"datacontenttype is {content_type!r}, not application/json"
    data = event.get("data")
    if data is None:
        return "MISSING_REQUIRED_FIELD", "data is missing"
    if not isinstance(data, dict):
        return None
    if "value" not in data:
        return "MISSING_REQUIRED_FIELD", "data.value is missing"
    return "INVALID_VALUE_TYPE", "data.value is neither a text nor a number"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
