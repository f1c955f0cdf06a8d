"""What should become of an event, written from domain.md §4 and kinds.md and not from the engine: one by one, slowly.

Extend here when a rule is added: `judge` says what one event comes to, given what had been declared.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from tests.simulation.usage_simulation.declared import (
    METERED,
    POISON,
    RESOURCE,
    AccountDeclared,
    Declared,
    Life,
    MeterDeclared,
)

LATE = timedelta(days=30)
AHEAD = timedelta(hours=1)
RETENTION = timedelta(days=45)

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE | re.ASCII)
_UUID7 = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)
_WHOLE = re.compile(r"-?[0-9]+", re.ASCII)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_JSON_TYPES = ("application/json", "text/json")


@dataclass(frozen=True)
class Offered:
    """An event in one request: its bytes, who sent it, when the door read the clock."""

    raw: bytes
    organizations: tuple[str, ...] | None
    received: datetime
    accept_late: bool


@dataclass(frozen=True)
class Refused:
    """Nothing is kept."""

    reason: str


@dataclass(frozen=True)
class Billed:
    """It counts for somebody on a day. `project` is a life of a name, by its creation."""

    key: "Key"
    meaning: str
    account: str
    project: tuple[str, datetime]
    meter: str
    day: date
    dimensions: str
    value: int
    event_at: datetime
    received: datetime
    resource: str | None
    late: bool
    owner: str
    counted: str | None

    @property
    def said(self) -> str:
        """Everything that the row says, but for its id."""
        return billed_text(
            self.account,
            self.project,
            self.meter,
            self.day,
            self.dimensions,
            self.value,
            self.event_at,
            self.received,
            self.resource,
        )

    @property
    def counted_as(self) -> str:
        """What a void of it must say."""
        return repr(
            (self.account, self.project, self.meter, self.day, self.dimensions, self.value, self.event_at)
        )


@dataclass(frozen=True)
class Aside:
    """It is kept with a reason."""

    key: "Key"
    meaning: str
    reason: str
    owner: str
    meter: str
    project: str
    event_at: datetime | None
    received: datetime
    raw: bytes
    unforeseen: bool = False

    @property
    def said(self) -> str:
        """Everything that the row says, but for its id."""
        return aside_text(
            self.reason, self.owner, self.meter, self.project, self.event_at, self.received, self.raw
        )


Key: TypeAlias = UUID | tuple[str, str, str]
"""The event's own id, or for a foreign one the sender's scope, source and id."""

Verdict: TypeAlias = Refused | Billed | Aside


def billed_text(*columns: object) -> str:
    """The columns of usage.events in the order of `Billed`, without the id."""
    return repr(columns)


def aside_text(*columns: object) -> str:
    """The columns of usage.quarantine in the order of `Aside`, without the id."""
    return repr(columns)


def scope(organizations: tuple[str, ...] | None) -> str:
    """In whose name a sender acts: the first organization it may send for, nobody's where it may everywhere."""
    return "" if organizations is None else organizations[0]  # acme's number is lower than rival's


def judge(offered: Offered, declared: Declared) -> Verdict:
    """What becomes of the event, if nobody has used its id before."""
    read: Any = json.loads(offered.raw)
    if not isinstance(read, dict):
        return Refused("MISSING_REQUIRED_FIELD")
    event = cast("dict[str, Any]", read)
    refused = _refused_by_form(event)
    if refused is not None:
        return refused
    made = native(event["id"])
    event_at = read_time(event["time"])
    refused = _refused_by_time(event["id"], made, event_at, offered.received)
    if refused is not None:
        return refused
    return _keep(offered, event, made, event_at, declared)


def _refused_by_form(event: dict[str, Any]) -> Refused | None:
    id = event.get("id")
    if not isinstance(id, str) or not id:
        return Refused("MISSING_REQUIRED_FIELD")
    if not _is_text(event.get("source")) and native(id) is None:
        return Refused("INVALID_ULID")
    if not all(_is_text(event.get(name)) for name in ("source", "type", "subject", "time")):
        return Refused("MISSING_REQUIRED_FIELD")
    if event.get("specversion") != "1.0":
        return Refused("MISSING_REQUIRED_FIELD")
    content_type = event.get("datacontenttype")
    if content_type is not None:
        essence = str(content_type).partition(";")[0].strip()
        if essence not in _JSON_TYPES and not essence.endswith("+json"):
            return Refused("INVALID_DATACONTENTTYPE")
    data = event.get("data")
    if data is None or (isinstance(data, dict) and "value" not in data):
        return Refused("MISSING_REQUIRED_FIELD")
    if isinstance(data, dict):
        value = cast("dict[str, Any]", data)["value"]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return Refused("INVALID_VALUE_TYPE")
    return None


def _refused_by_time(
    id: str, made: UUID | None, event_at: datetime | None, received: datetime
) -> Refused | None:
    if len(id) == 26 and made is None:
        return Refused("INVALID_ULID")
    if made is not None:
        # a date after the year 9999 is no datetime, so milliseconds are compared
        at_ms, now_ms = made.int >> 80, _milliseconds(received)
        if at_ms // 86_400_000 < now_ms // 86_400_000 - RETENTION.days:
            return Refused("ID_EXPIRED")
        if timedelta(milliseconds=at_ms - now_ms) > AHEAD:
            return Refused("TIME_IN_FUTURE")
    if event_at is not None and event_at > received + AHEAD:
        return Refused("TIME_IN_FUTURE")
    return None


def _keep(
    offered: Offered, event: dict[str, Any], made: UUID | None, event_at: datetime | None, declared: Declared
) -> Billed | Aside:
    key: Key = made or (scope(offered.organizations), event["source"], event["id"])
    instant = min(event_at or offered.received, offered.received)
    name = event["subject"].removeprefix("projects/") if event["subject"].startswith("projects/") else None
    life = None if name is None else declared.bearer(name, instant)
    if (
        life is not None
        and offered.organizations is not None
        and life.organization not in offered.organizations
    ):
        life = None
    payer = None if life is None else declared.payer(life, instant)
    reason = _reason(offered, event, event_at, declared, payer)
    unforeseen = reason is None and event["data"].get("dimensions") == POISON
    meaning = _meaning(
        event, event_at, None if not unforeseen and isinstance(event["data"], dict) else offered.raw
    )
    if reason is None and not unforeseen:
        assert life is not None and payer is not None and event_at is not None
        meter = declared.meters[event["type"]]
        return _billed(offered, event, key, meaning, event_at, instant, life, payer, made, meter)
    return Aside(
        key=key,
        meaning=meaning,
        reason=reason or "malformed_data",
        owner=scope(offered.organizations) if life is None else life.organization,
        meter=event["type"][:200],
        project=event["subject"].removeprefix("projects/").replace("\0", "\N{REPLACEMENT CHARACTER}")[:200],
        event_at=event_at,
        received=offered.received,
        raw=offered.raw,
        unforeseen=unforeseen,
    )


def _reason(
    offered: Offered,
    event: dict[str, Any],
    event_at: datetime | None,
    declared: Declared,
    payer: AccountDeclared | None,
) -> str | None:
    """The first of the reasons not to bill it."""
    data: Any = event["data"]
    if event_at is None or not isinstance(data, dict) or not _good_resource(data.get("resource")):
        return "malformed_data"
    meter = declared.meters.get(event["type"])
    if meter is None or meter.phase not in METERED:
        return "unknown_meter"
    if not _good_dimensions(data.get("dimensions"), meter.taken):
        return "invalid_dimensions"
    if meter.counted is not None and _counted(meter, cast("dict[str, Any]", data)) is None:
        return "invalid_dimensions"
    if whole(data["value"]) is None:
        return "invalid_value"
    if event_at < offered.received - LATE and not offered.accept_late:
        return "too_late"
    return "attribution_failure" if payer is None else None


def _billed(
    offered: Offered,
    event: dict[str, Any],
    key: Key,
    meaning: str,
    event_at: datetime,
    instant: datetime,
    life: Life,
    payer: AccountDeclared,
    made: UUID | None,
    meter: MeterDeclared,
) -> Billed:
    data = event["data"]
    value = whole(data["value"])
    assert value is not None
    made_us = _milliseconds(offered.received) * 1000 if made is None else (made.int >> 80) * 1000
    if made is None:
        made_us = whole_microseconds(offered.received)
    return Billed(
        key=key,
        meaning=meaning,
        account=payer.name,
        project=(life.name, life.created_at),
        meter=event["type"],
        day=instant.astimezone(ZoneInfo(payer.zone)).date(),
        dimensions=_sorted(_labels(meter, data.get("dimensions") or {}, value, instant)),
        value=value,
        event_at=event_at,
        received=offered.received,
        resource=None if data.get("resource") is None else _sorted(data["resource"]),
        late=whole_microseconds(event_at) < made_us - 3_600_000_000,
        owner=payer.organization,
        counted=_counted(meter, data),
    )


def _labels(meter: MeterDeclared, given: dict[str, str], value: int, instant: datetime) -> dict[str, str]:
    """The dimension set that the event belongs to: without what is counted, with its bands."""
    kept = {name: label for name, label in given.items() if name != meter.counted}
    return {**kept, **{bands.dimension: bands.name_of(value, instant) for bands in meter.bands}}


def _counted(meter: MeterDeclared, data: dict[str, Any]) -> str | None:
    """What tells one thing from another where things are counted; None where the event does not say it."""
    if meter.counted != RESOURCE:
        labels: dict[str, str] = data.get("dimensions") or {}
        return None if meter.counted is None else labels.get(meter.counted)
    resource: dict[str, Any] = data.get("resource") or {}
    if resource.get("uid"):
        return str(resource["uid"])
    parts = [str(resource.get(part) or "") for part in ("group", "kind", "namespace", "name")]
    return "/".join(parts) if parts[-1] else None


def native(id: str) -> UUID | None:
    """The 128 bits of a ULID or UUIDv7; None for any other id."""
    if _ULID.fullmatch(id) is not None:
        number = 0
        for digit in id.upper():
            number = number * 32 + _CROCKFORD.index(digit)
        return UUID(int=number)
    return UUID(id) if _UUID7.fullmatch(id) is not None else None


def read_time(text: str) -> datetime | None:
    """An RFC 3339 time in UTC, finer digits than microseconds cut off; None for anything else."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    fraction = ((match[3] or "") + "000000")[:6]
    zone = match[4].replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(f"{match[1]}T{match[2]}.{fraction}{zone}").astimezone(UTC)
    except ValueError:
        return None


def whole(value: Any) -> int | None:
    """A 64-bit integer, as text or as a JSON number without a fraction."""
    if isinstance(value, str):
        if _WHOLE.fullmatch(value) is None:
            return None
        value = int(value)
    return value if isinstance(value, int) and -(2**63) <= value < 2**63 else None


def _good_resource(resource: Any) -> bool:
    return resource is None or (isinstance(resource, dict) and len(json.dumps(resource)) <= 4_096)


def _good_dimensions(given: Any, declared: frozenset[str]) -> bool:
    if given is None:
        return True
    if not isinstance(given, dict):
        return False
    labels = cast("dict[str, Any]", given)
    texts = all(
        isinstance(value, str) and len(value) <= 256 and "\0" not in value for value in labels.values()
    )
    return texts and len(labels) <= 32 and set(labels) <= declared


def _meaning(event: dict[str, Any], event_at: datetime | None, original: bytes | None) -> str:
    """What tells a retry from another event with the same id."""
    said = [event["type"], event["subject"], event["time"] if event_at is None else event_at.isoformat()]
    if original is not None:
        return repr((*said, original))
    data = event["data"]
    value = whole(data["value"])
    return repr(
        (
            *said,
            data["value"] if value is None else value,
            _sorted(data.get("dimensions") or {}) if data.get("dimensions") != [] else "[]",
            _sorted(data.get("resource")),
        )
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _sorted(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def whole_microseconds(instant: datetime) -> int:
    """Since 1970."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _milliseconds(instant: datetime) -> int:
    return whole_microseconds(instant) // 1000
