"""The two doors of events at the gateway: `POST /v1/usage/events` and `…/events:batchIngest`.

With a hundred events a request, the way to the engine costs more than the engine, so it is kept short: `ShortWay`
stands before the routes and the layers of the application, and takes what goes wrong there, where errors are answered.
No door opens a transaction: who sends is remembered for two seconds a token. Owns: bodies, content types and answers of
the wire contract (kinds.md, "Not resources"). Not: what becomes of an event (engine).
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from milo_billing.controlplane.doors import AUDIT_ID, Door
from milo_billing.infra.clock import monotonic_s, new_uid
from milo_billing.kernel.errors import Unavailable
from milo_billing.usage import rules
from milo_billing.usage.engine import decode, groups
from milo_billing.usage.engine.answers import Acknowledged
from milo_billing.usage.engine.decode import Batch
from milo_billing.usage.engine.groups import Sender
from milo_billing.usage.engine.pipeline import ACKNOWLEDGEMENT_S_MAX, UsageEngine
from milo_billing.usage.engine.readings import to_us
from milo_billing.usage.routes.bodies import Room, Visit, read_body
from milo_billing.usage.routes.reading import JSON
from milo_billing.usage.types import UnreadableEvents

INGEST: Final = "billing.miloapis.com/usage.ingest"

STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"

SENDER_REMEMBERED_S: Final = 2.0
"""How long a revoked token may still send."""

_SENDERS_MAX: Final = 10_000
INLINE_BYTES_MAX: Final = 64 * 1024
"""Smaller bodies are decoded at once: handing them to a thread would take longer."""

FAILED: Final = "milo.failed"
"""Where the scope of a request has the error that it is to be answered with."""

_JSON_HEADER: Final = (b"content-type", JSON.encode())

# ----------------------------------------------------------------------------------------------- who sends


def sender_key(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """What tells senders apart: the token, and whom it speaks for. A hash, so that no token stays in memory.

    Names are in lower case, as ASGI gives them.
    """
    telling = [
        b"%s: %s" % header
        for header in headers
        if header[0] == b"authorization" or header[0].startswith(b"impersonate-")
    ]
    return hashlib.sha256(b"\n".join(sorted(telling))).digest()


class Senders:
    """Remembers who is behind a token, so that a request costs no transaction. Used on the event loop only."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._known: OrderedDict[bytes, tuple[float, Sender]] = OrderedDict()
        self._asked: dict[bytes, asyncio.Task[Sender]] = {}

    def remembered(self, headers: Sequence[tuple[bytes, bytes]]) -> Sender | None:
        """Who sends with these headers, if that was asked a moment ago."""
        known = self._known.get(sender_key(headers))
        return known[1] if known is not None and known[0] > monotonic_s() else None

    async def of(self, scope: Scope) -> Sender:
        """Who sends this request. Raises Unauthenticated or Forbidden."""
        headers = scope["headers"]
        known = self.remembered(headers)
        if known is not None:
            return known
        key = sender_key(headers)
        if key not in self._asked:  # of many requests with one token, one asks
            asked = asyncio.create_task(self._identify(key, Request(scope)))
            self._asked[key] = asked
            asked.add_done_callback(lambda _: self._asked.pop(key))
        return await asyncio.shield(self._asked[key])

    async def _identify(self, key: bytes, request: Request) -> Sender:
        until_s = monotonic_s() + SENDER_REMEMBERED_S
        _, reach = await run_in_threadpool(self._door.identify, request, permission=INGEST)
        sender = Sender(owner_org=rules.sender_organization(reach), reach=reach)
        self._known[key] = (until_s, sender)
        while len(self._known) > _SENDERS_MAX:
            self._known.popitem(last=False)
        return sender


# --------------------------------------------------------------------------------------------------- doors


@dataclass(frozen=True, slots=True)
class EventDoor:
    """One of the two doors; as an ASGI application it is the long way, through all layers."""

    door: Door
    engine: UsageEngine
    senders: Senders
    room: Room
    many: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if FAILED in scope:  # it came the short way, and is here to be answered
            raise scope[FAILED]
        status, body = await self.answer(scope, receive)
        await Response(body, status, media_type=JSON)(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        """Status and JSON body, once every event of the request is durable or refused."""
        with self.room.visit() as visit:
            return await self._ingest(scope, receive, visit)

    async def _ingest(self, scope: Scope, receive: Receive, visit: Visit) -> tuple[int, bytes]:
        sender = await self.senders.of(scope)
        self.engine.check_room()  # before the body is read: what cannot be taken in need not be held
        headers: dict[bytes, bytes] = dict(scope["headers"])
        content_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
        binary = not self.many and any(name.startswith(b"ce-") for name in headers)
        many = self.many or content_type == BATCHED
        if not binary and content_type not in (JSON, STRUCTURED, BATCHED):
            known = f"{JSON}, {STRUCTURED} or {BATCHED}"
            return _error(415, "UNSUPPORTED_MEDIA_TYPE", f"send {known}, not {content_type!r}")
        body = await read_body(headers, receive, visit)
        context = Request(scope).headers if binary else None
        try:
            if len(body) <= INLINE_BYTES_MAX:
                batch = _decode(body, context, many=many)
            else:
                batch = await run_in_threadpool(_decode, body, context, many=many)
        except UnreadableEvents as error:
            return unreadable(error)
        answered = self.submit(batch, sender)
        visit.leave()  # the line counts it from here on
        return answer_of(await acknowledged(answered), many=many)

    def submit(self, batch: Batch, sender: Sender) -> "Future[Acknowledged]":
        """Give events to the engine. Raises TooMany, Unavailable."""
        received_us = to_us(self.door.clock.now())
        return self.engine.submit(groups.Request(batch=batch, sender=sender, received_us=received_us))


@dataclass(frozen=True, slots=True)
class ShortWay:
    """The gateway's application, with a way around its layers for events; everything else goes through them."""

    application: ASGIApp
    doors: Mapping[str, EventDoor]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self._door(scope)
        if door is None:
            await self.application(scope, receive, send)
            return
        audit_id = scope[AUDIT_ID] = new_uid()
        try:
            status, body = await door.answer(scope, receive)
        except Exception as error:
            scope[FAILED] = error
            await self.application(scope, receive, send)
            return
        length = (b"content-length", b"%d" % len(body))
        headers = [_JSON_HEADER, length, (b"audit-id", str(audit_id).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _door(self, scope: Scope) -> EventDoor | None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
            return None
        return self.doors.get(scope["path"])


def event_doors(door: Door, engine: UsageEngine, room: Room) -> dict[str, EventDoor]:
    """The doors of events, by path."""
    senders = Senders(door)
    return {
        "/v1/usage/events": EventDoor(door, engine, senders, room, many=False),
        "/v1/usage/events:batchIngest": EventDoor(door, engine, senders, room, many=True),
    }


async def acknowledged(future: "Future[Acknowledged]") -> Acknowledged:
    """What the engine answers. Raises Unavailable when it takes too long, and what the engine raises."""
    try:
        async with asyncio.timeout(ACKNOWLEDGEMENT_S_MAX):
            return await asyncio.wrap_future(future)
    except TimeoutError as error:
        raise not_durable() from error


def not_durable() -> Unavailable:
    """The engine took longer than a sender waits."""
    return Unavailable(
        f"not durable within {ACKNOWLEDGEMENT_S_MAX:.0f} s; send the same request again, it counts once"
    )


def _decode(body: bytes, context: Mapping[str, str] | None, *, many: bool) -> Batch:
    if context is not None:
        return decode.decode_binary(dict(context), body)
    return decode.decode_batch(body) if many else decode.decode_event(body)


def answer_of(answer: Acknowledged, *, many: bool) -> tuple[int, bytes]:
    """Status and JSON body of what the engine answered."""
    if not answer.rejected:
        return 200, b'{"accepted":%d}' % answer.taken
    if not many:
        (refused,) = answer.rejected
        return _error(400, refused.reason, refused.detail)
    rejected = [{"id": item.id, "reason": item.reason, "detail": item.detail} for item in answer.rejected]
    return 207, orjson.dumps({"accepted": answer.taken, "rejected": rejected})


def unreadable(error: UnreadableEvents) -> tuple[int, bytes]:
    """Status and JSON body for a request that is no JSON of events."""
    return _error(400, "MALFORMED_JSON", str(error))


def _error(status: int, code: str, message: str) -> tuple[int, bytes]:
    return status, orjson.dumps({"code": code, "message": message})
