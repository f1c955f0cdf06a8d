"""What clients may ask of notices, read from bodies and parameters; and what they are shown."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast, get_args
from uuid import UUID

import orjson

from milo_billing.kernel.bodies import check_text, check_value
from milo_billing.kernel.errors import BadRequest
from milo_billing.notices.rules.catalogue import EVENTS
from milo_billing.notices.types import Attempt, Delivery, DeliveryFilter, DeliveryNotFound, State

LIMIT_MAX: Final = 500
LIMIT: Final = 100
SECRET_PREFIX: Final = "whsec_"
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64
"""What Standard Webhooks asks of a secret."""

OVERLAP: Final = timedelta(hours=24)
OVERLAP_HOURS_MAX: Final = 168

_FILTERS: Final = ("namespace", "channel", "state", "type", "from", "to")
_STATES: Final[tuple[State, ...]] = get_args(State)


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A page of the log: behind `after`, which is the last delivery of the page before."""

    wanted: DeliveryFilter
    after: tuple[datetime, UUID] | None
    limit: int


@dataclass(frozen=True, slots=True)
class SecretRequest:
    """A secret given, or None for one made here; how long the one before it signs as well."""

    given: str | None
    overlap: timedelta


def parse_list(query: Mapping[str, str]) -> ListRequest:
    """`?namespace=&channel=&state=Dead&type=&from=&to=&limit=&continue=`. Raises BadRequest."""
    if unknown := sorted(query.keys() - {*_FILTERS, "limit", "continue"}):
        raise BadRequest(
            f"unknown parameter {unknown[0]!r}: there are {', '.join(_FILTERS)}, limit and continue"
        )
    limit = query.get("limit") or str(LIMIT)
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 10 and int(limit) > 0):
        raise BadRequest(f'parameter "limit": {limit!r} is not a whole number from 1 up')
    return ListRequest(
        wanted=_filter({name: query.get(name) for name in _FILTERS}),
        after=_parse_position(query.get("continue", "")),
        limit=min(int(limit), LIMIT_MAX),
    )


def parse_replay(body: bytes) -> DeliveryFilter:
    """`{"namespace", "channel", "state", "type", "from", "to", "endedBefore"}`; Dead ones where no state is named.

    Raises BadRequest, also for a body that names neither a channel nor a time: nobody replays everything by mistake.
    """
    asked = _parse_object(body, fields=(*_FILTERS, "endedBefore"))
    for name, value in asked.items():
        if not isinstance(value, str):
            raise BadRequest(f'"{name}" must be a text')
    wanted = _filter({"state": "Dead", **cast("dict[str, str]", asked)})
    if wanted.since is None and wanted.channel is None:
        raise BadRequest('say what to replay: "channel" with "namespace", or "from", or both')
    return wanted


def parse_secret(body: bytes) -> SecretRequest:
    """`{"secret": "whsec_…", "overlapHours": 24}`, each optional; an empty body asks for a new one.

    Raises BadRequest.
    """
    asked = _parse_object(body, fields=("secret", "overlapHours")) if body.strip() else {}
    hours = asked.get("overlapHours", int(OVERLAP / timedelta(hours=1)))
    if not isinstance(hours, int) or isinstance(hours, bool) or not 0 <= hours <= OVERLAP_HOURS_MAX:
        raise BadRequest(f'"overlapHours" must be a whole number from 0 to {OVERLAP_HOURS_MAX}')
    given = asked.get("secret")
    if given is not None and not (isinstance(given, str) and _is_secret(given)):
        raise BadRequest(
            f'"secret" must be {SECRET_PREFIX} and the base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes'
        )
    return SecretRequest(given, timedelta(hours=hours))


def parse_delivery(text: str) -> UUID:
    """The id of a delivery. Raises DeliveryNotFound for what is none."""
    try:
        return UUID(text)
    except ValueError:
        raise DeliveryNotFound(f"there is no delivery {text[:100]!r}") from None


def _is_secret(text: str) -> bool:
    if not text.startswith(SECRET_PREFIX) or not text.isascii():
        return False
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        return False
    return SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX


def _parse_object(body: bytes, *, fields: Iterable[str]) -> dict[str, Any]:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    check_value(asked)
    if not isinstance(asked, dict):
        raise BadRequest("the body must be an object")
    found = cast("dict[str, Any]", asked)
    if unknown := sorted(found.keys() - set(fields)):
        raise BadRequest(f"unknown field {unknown[0]!r}: there are {', '.join(fields)}")
    return found


def _filter(asked: Mapping[str, str | None]) -> DeliveryFilter:
    for text in asked.values():
        check_text(text or "")
    state, type = asked.get("state") or None, asked.get("type") or None
    if state is not None and state not in _STATES:
        raise BadRequest(f"state: {state!r} is not one of {', '.join(_STATES)}")
    if type is not None and type not in {event.type for event in EVENTS}:
        raise BadRequest(f"type: {type!r} is no event: GET /v1/notices/events lists them")
    return DeliveryFilter(
        namespace=asked.get("namespace") or None,
        channel=asked.get("channel") or None,
        state=state,
        type=type,
        since=_instant(asked.get("from"), what="from"),
        until=_instant(asked.get("to"), what="to"),
        ended_before=_instant(asked.get("endedBefore"), what="endedBefore"),
    )


def _instant(text: str | None, *, what: str) -> datetime | None:
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text if "T" in text else f"{text}T00:00:00Z")
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None or not 1970 <= instant.year <= 9000:
        raise BadRequest(
            f"{what}: {text!r} is no time such as 2026-10-01T00:00:00Z, nor a day such as 2026-10-01"
        )
    return instant.astimezone(UTC)


def _parse_position(text: str) -> tuple[datetime, UUID] | None:
    if not text:
        return None
    at, _, id = text.partition("_")
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(at)), UUID(id)
    except (ValueError, OverflowError):
        raise BadRequest(f'parameter "continue": {text[:100]!r} is not what the page before said') from None


def position_of(delivery: Delivery) -> str:
    """What `continue` says behind a page that ends with this delivery."""
    us = (delivery.occurred_at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    return f"{us}_{delivery.id}"


# -- what is shown


def shown(instant: datetime) -> str:
    """An instant to the microsecond."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _shown(instant: datetime | None) -> str | None:
    return None if instant is None else shown(instant)


def delivery_body(delivery: Delivery) -> dict[str, Any]:
    """A delivery as the log shows it; what was sent is not repeated."""
    return {
        "id": str(delivery.id),
        "messageId": f"msg_{delivery.message.hex}",
        "namespace": delivery.namespace,
        "channel": delivery.channel,
        "channelType": delivery.channel_type,
        "type": delivery.type,
        "account": delivery.account,
        "occurredAt": _shown(delivery.occurred_at),
        "state": delivery.state,
        "attempts": delivery.attempts,
        "nextAttemptAt": _shown(delivery.next_at),
        "endedAt": _shown(delivery.ended_at),
    }


def attempt_body(attempt: Attempt) -> dict[str, Any]:
    """One call: `outcome` is null where it was cut short."""
    return {
        "number": attempt.number,
        "begunAt": _shown(attempt.begun_at),
        "outcome": attempt.outcome,
        "status": attempt.status,
        "latencyMs": attempt.latency_ms,
        "answer": attempt.said,
    }


def catalogue_body() -> list[dict[str, Any]]:
    """Every event with the JSON schema of its data."""
    return [{"type": event.type, "about": event.about, "schema": event.schema} for event in EVENTS]
