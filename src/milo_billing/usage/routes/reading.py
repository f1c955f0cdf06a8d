"""How the doors of usage read a query or a body, and how they answer. Errors say what was wrong, and where."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
import orjson
from starlette.responses import Response

from milo_billing.kernel.errors import BadRequest
from milo_billing.usage.engine import decode
from milo_billing.usage.rules import parse_event_id

JSON: Final = "application/json"
LIMIT_DEFAULT, LIMIT_MAX = 100, 1000
"""Entries of one page: unless the client says so, and at most."""

_Body = TypeVar("_Body")


def parse_body(kind: type[_Body], body: bytes) -> _Body:
    """The JSON body as a `kind`. Raises BadRequest."""
    try:
        return msgspec.json.decode(body, type=kind)
    except decode.UNREADABLE as error:
        raise BadRequest(f"the body is not what it should be: {error}") from error


def parse_day(text: str, *, what: str) -> date:
    """A day such as 2026-10-01. Raises BadRequest, which names `what`."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(f"{what}: {text[:100]!r} is not a day such as 2026-10-01") from error


def parse_limit(query: Mapping[str, str]) -> int:
    """How many entries a page may have, 1 to LIMIT_MAX. Raises BadRequest."""
    text = query.get("limit", str(LIMIT_DEFAULT))
    if not (text.isdecimal() and text.isascii() and len(text) < 20 and 1 <= int(text) <= LIMIT_MAX):
        raise BadRequest(f"limit: {text[:100]!r} is not a whole number from 1 to {LIMIT_MAX}")
    return int(text)


def parse_continue(query: Mapping[str, str]) -> UUID | None:
    """The id that the page before ended with; None for the first page. Raises BadRequest."""
    text = query.get("continue")
    if not text:
        return None
    id = parse_event_id(text)
    if id is None:
        raise BadRequest(f"continue: {text[:100]!r} is not what a page gave")
    return id


def json_answer(value: Any, status: int = 200) -> Response:
    """An answer of JSON."""
    return Response(orjson.dumps(value), status, media_type=JSON)
