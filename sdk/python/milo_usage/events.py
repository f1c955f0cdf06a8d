"""From what a caller measured to the bytes of a CloudEvent, or a list of all that is wrong with it. Pure.

Owns: every bound that the gateway would reject or quarantine an event for by its shape alone. Not: whether the meter,
its dimensions or the project exist, which only the gateway knows.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final, cast

from milo_usage.errors import InvalidEvent
from milo_usage.records import PAYLOAD_BYTES_MAX

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
DIMENSIONS_MAX: Final = 32
DIMENSION_CHARACTERS_MAX: Final = 256
RESOURCE_BYTES_MAX: Final = 4_096
TEXT_CHARACTERS_MAX: Final = 253
"""Of a meter's name and of a source."""

PROJECT_CHARACTERS_MAX: Final = 63
EVENT_ID_CHARACTERS_MAX: Final = 100
FUTURE_S_MAX: Final = 3_600
"""How far ahead of now an event may have happened: beyond that the gateway rejects it."""

_METER: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?", re.ASCII)
_PROJECT: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_DIMENSION: Final = re.compile(r"[A-Za-z]([A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?", re.ASCII)
_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE | re.ASCII)
_ULID_LENGTH: Final = 26
_BYTES_A_CHARACTER_MAX: Final = 6
"""Of a control character in JSON; fewer characters need not be encoded to see that they fit."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_US: Final = timedelta(microseconds=1)
_dump: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Usage:
    """One measurement, for `record_many`.

    `quantity` is an int64 in the meter's unit. `dimensions` are the meter's labels, `resource` names what was measured
    (group, kind, namespace, name, uid). `occurred_at` has a time zone; without it the event happened when it was
    recorded. `event_id` makes a repeated call the same event: a ULID, or any text unique within the source.
    """

    meter: str
    project: str
    quantity: int
    dimensions: Mapping[str, str] | None = None
    resource: Mapping[str, str] | None = None
    occurred_at: datetime | None = None
    event_id: str | None = None


def to_us(instant: datetime) -> int:
    """Microseconds since 1970, exact. The instant needs a time zone."""
    return (instant - _EPOCH) // _US


def to_instant(us: int) -> datetime:
    """The instant of these microseconds since 1970, in UTC."""
    return _EPOCH + us * _US


def format_us(us: int) -> str:
    """As RFC 3339 with microseconds."""
    return to_instant(us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def problems(usage: Usage, *, now_us: int) -> list[str]:
    """Everything that stands against recording this."""
    # callers without a type checker pass what they like
    given: dict[str, object] = {name: getattr(usage, name) for name in Usage.__slots__}
    return [
        *_name_problems(
            "meter", given["meter"], _METER, TEXT_CHARACTERS_MAX, "compute.example.com/cpu-seconds"
        ),
        *_name_problems("project", given["project"], _PROJECT, PROJECT_CHARACTERS_MAX, "my-project"),
        *_quantity_problems(given["quantity"]),
        *_dimension_problems(given["dimensions"]),
        *_resource_problems(given["resource"]),
        *_time_problems(given["occurred_at"], now_us),
        *_id_problems(given["event_id"]),
    ]


def source_problems(source: object) -> list[str]:
    """What is wrong with the name of a source."""
    if not isinstance(source, str) or not 0 < len(source) <= TEXT_CHARACTERS_MAX or not _is_text(source):
        return [f"source: {_shown(source)} is not a text of 1 to {TEXT_CHARACTERS_MAX} characters"]
    return []


def encode(usage: Usage, *, id: str, source: str, now_us: int) -> tuple[bytes, int]:
    """The CloudEvent as JSON, and when it happened in microseconds since 1970.

    The usage must have no `problems`. Raises InvalidEvent if it is too large all the same.
    """
    occurred_us = now_us if usage.occurred_at is None else to_us(usage.occurred_at)
    # int() and + take the value of an enumeration's member, str() and f-strings its name
    data: dict[str, object] = {"value": str(int(usage.quantity))}
    if usage.dimensions:
        data["dimensions"] = dict(usage.dimensions)
    if usage.resource:
        data["resource"] = dict(usage.resource)
    event = {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": usage.meter,
        "subject": "projects/" + usage.project,
        "time": format_us(occurred_us),
        "datacontenttype": "application/json",
        "data": data,
    }
    payload = _dump(event).encode()
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise InvalidEvent(
            [f"the event has {len(payload)} bytes as JSON, at most {PAYLOAD_BYTES_MAX} are allowed"]
        )
    return payload, occurred_us


def _name_problems(
    what: str, value: object, pattern: "re.Pattern[str]", length_max: int, example: str
) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{what}: {_shown(value)} is not a text such as {example!r}"
    elif len(value) > length_max:
        yield f"{what}: {len(value)} characters, at most {length_max} are allowed"
    elif pattern.fullmatch(value) is None:
        yield f"{what}: {value!r} matches no name such as {example!r} ({pattern.pattern})"


def _quantity_problems(value: object) -> Iterator[str]:
    if not isinstance(value, int) or isinstance(value, bool):
        yield f"quantity: {_shown(value)} is not an integer; count in a smaller unit rather than in fractions"
    elif not INT64_MIN <= value <= INT64_MAX:
        yield f"quantity: {value} does not fit in 64 bits"


def _dimension_problems(value: object) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, Mapping):
        yield f"dimensions: {_shown(value)} is not a mapping of names to texts"
        return
    labels = cast("Mapping[object, object]", value)
    if len(labels) > DIMENSIONS_MAX:
        yield f"dimensions: {len(labels)} of them, at most {DIMENSIONS_MAX} are allowed"
    for name, label in labels.items():
        if not isinstance(name, str) or _DIMENSION.fullmatch(name) is None:
            yield f"dimensions: {_shown(name)} is no name of a dimension ({_DIMENSION.pattern})"
        if not isinstance(label, str) or not _is_text(label):
            yield f"dimensions[{_shown(name)}]: {_shown(label)} is not a text (write numbers and booleans as texts)"
        elif len(label) > DIMENSION_CHARACTERS_MAX:
            yield f"dimensions[{_shown(name)}]: {len(label)} characters, at most {DIMENSION_CHARACTERS_MAX} are allowed"


def _resource_problems(value: object) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, Mapping):
        yield f"resource: {_shown(value)} is not a mapping of names to texts"
        return
    fields = dict(cast("Mapping[object, object]", value))
    wrong = [
        f"resource[{_shown(name)}]: {_shown(text)} is not a text"
        for name, text in fields.items()
        if not (isinstance(name, str) and isinstance(text, str) and _is_text(name) and _is_text(text))
    ]
    if wrong:
        yield from wrong
        return
    most = _BYTES_A_CHARACTER_MAX * sum(len(str(name)) + len(str(text)) + 6 for name, text in fields.items())
    if most > RESOURCE_BYTES_MAX and (size := len(_dump(fields).encode())) > RESOURCE_BYTES_MAX:
        yield f"resource: {size} bytes as JSON, at most {RESOURCE_BYTES_MAX} are allowed"


def _time_problems(value: object, now_us: int) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, datetime) or value.utcoffset() is None:
        yield f"occurred_at: {_shown(value)} is not a datetime with a time zone"
    elif to_us(value) > now_us + FUTURE_S_MAX * 1_000_000:
        yield f"occurred_at: {value.isoformat()} is more than an hour ahead of now, {format_us(now_us)}"


def _id_problems(value: object) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, str) or not 0 < len(value) <= EVENT_ID_CHARACTERS_MAX or not _is_text(value):
        yield f"event_id: {_shown(value)} is not a text of 1 to {EVENT_ID_CHARACTERS_MAX} characters"
    elif len(value) == _ULID_LENGTH and _ULID.fullmatch(value) is None:
        yield f"event_id: {value!r} has 26 characters and is no ULID; the gateway takes it for a damaged one"


def _is_text(value: str) -> bool:
    """Whether it can be stored: no NUL, and no half of a surrogate pair, which is no Unicode."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
