"""HTTP doors of usage: events and imports at the gateway, reads at the API.

Owns: bodies, content types and answers of the wire contract (kinds.md, "Not resources"). Not: what becomes of an event
(engine). The two event doors open no transaction: who sends is remembered for two seconds a token.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from milo_billing.accounts import reads as accounts
from milo_billing.accounts.types import Account
from milo_billing.catalog import reads as catalog
from milo_billing.controlplane.doors import Call, Door
from milo_billing.directory import reads as directory
from milo_billing.infra.clock import monotonic_s, new_uid
from milo_billing.kernel.bodies import check_value
from milo_billing.kernel.errors import BadRequest, Forbidden, NotFound, TooLarge, Unavailable
from milo_billing.kernel.quantity import shown_decimal
from milo_billing.usage import operations, reads, rules
from milo_billing.usage.engine import decode, groups
from milo_billing.usage.engine.decode import Batch
from milo_billing.usage.engine.groups import Sender
from milo_billing.usage.engine.pipeline import ACKNOWLEDGEMENT_S_MAX, UsageEngine
from milo_billing.usage.engine.readings import to_us
from milo_billing.usage.routes.bodies import Room, Visit, read_body
from milo_billing.usage.routes.reading import JSON, json_answer, parse_body, parse_day
from milo_billing.usage.types import (
    CHUNK_ROWS_MAX,
    QUANTITY_PLACES_MAX,
    Acknowledged,
    ChunkResult,
    Grouping,
    Import,
    ImportChunk,
    ImportNotFound,
    UnreadableEvents,
    UsageTotal,
)

INGEST: Final = "billing.miloapis.com/usage.ingest"
ACCEPT_LATE: Final = "billing.miloapis.com/usage.acceptLate"
READ: Final = "billing.miloapis.com/usage.read"

STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"

SENDER_REMEMBERED_S: Final = 2.0
"""How long a revoked token may still send."""

_SENDERS_MAX: Final = 10_000
_INLINE_BYTES_MAX: Final = 64 * 1024
"""Smaller bodies are decoded at once: handing them to a thread would take longer."""

_USAGE_ROWS_MAX: Final = 100_000
CHUNK_NUMBER_MAX: Final = 2**31 - 1
_GROUPS: Final = frozenset({"project", "meter", "day"})
_DIMENSION: Final = "dimension:"


# -- who sends


def sender_key(headers: Mapping[str, str]) -> bytes:
    """What tells senders apart: the token, and whom it speaks for. A hash, so that no token stays in memory."""
    spoken_for = sorted(
        f"{name.lower()}: {value}"
        for name, value in headers.items()
        if name.lower().startswith("impersonate-")
    )
    return hashlib.sha256("\n".join([headers.get("authorization", ""), *spoken_for]).encode()).digest()


class _Senders:
    """Remembers who is behind a token, so that a request costs no transaction. Used on the event loop only."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._known: OrderedDict[bytes, tuple[float, Sender]] = OrderedDict()
        self._asked: dict[bytes, asyncio.Task[Sender]] = {}

    async def of(self, request: Request) -> Sender:
        """Who sends this request. Raises Unauthenticated or Forbidden."""
        key = sender_key(request.headers)
        known = self._known.get(key)
        if known is not None and known[0] > monotonic_s():
            return known[1]
        if key not in self._asked:  # of many requests with one token, one asks
            asked = asyncio.create_task(self._identify(key, request))
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


# -- events


def routes(door: Door, engine: UsageEngine) -> list[Route]:
    """The gateway: `POST /v1/usage/events`, `…/events:batchIngest`, and imports with their chunks."""
    senders = _Senders(door)
    room = Room()

    async def open_import(request: Request) -> Response:
        with room.visit() as visit:
            wanted = parse_body(_ImportBody, await read_body(request, visit))
        return json_answer(await run_in_threadpool(_open_import, door, request, wanted))

    async def send_chunk(request: Request) -> Response:
        with room.visit() as visit:
            body = await read_body(request, visit)
            return json_answer(_shown_chunk(await _send_chunk(door, engine, request, body)))

    async def complete_import(request: Request) -> Response:
        return json_answer(await run_in_threadpool(_complete_import, door, request))

    one = "/v1/usage/imports/{id}"
    return [
        Route("/v1/usage/events", _Ingest(door, engine, senders, room, many=False), methods=["POST"]),
        Route(
            "/v1/usage/events:batchIngest", _Ingest(door, engine, senders, room, many=True), methods=["POST"]
        ),
        Route("/v1/usage/imports", open_import, methods=["POST"]),
        Route(one + "/chunks/{number}", send_chunk, methods=["POST"]),
        Route(one + "/complete", complete_import, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Ingest:
    """One of the two doors of events, as an ASGI application.

    With a hundred events a request, the way to the handler costs more than the handler; so it is kept short.
    """

    door: Door
    engine: UsageEngine
    senders: _Senders
    room: Room
    many: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        with self.room.visit() as visit:
            answer = await _ingest(self.door, self.engine, self.senders, request, visit, many=self.many)
        await answer(scope, receive, send)


async def _ingest(
    door: Door, engine: UsageEngine, senders: _Senders, request: Request, visit: Visit, *, many: bool
) -> Response:
    sender = await senders.of(request)
    engine.check_room()  # before the body is read: what cannot be taken in need not be held
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    binary = not many and any(name.startswith(b"ce-") for name, _ in request.headers.raw)
    many = many or content_type == BATCHED
    if not binary and content_type not in (STRUCTURED, BATCHED, JSON):
        known = f"{JSON}, {STRUCTURED} or {BATCHED}"
        return json_answer(
            {"code": "UNSUPPORTED_MEDIA_TYPE", "message": f"send {known}, not {content_type!r}"}, 415
        )
    body = await read_body(request, visit)
    headers = dict(request.headers) if binary else {}
    try:
        if len(body) <= _INLINE_BYTES_MAX:
            batch = _decode(body, headers, many=many)
        else:
            batch = await run_in_threadpool(_decode, body, headers, many=many)
    except UnreadableEvents as error:
        return json_answer({"code": "MALFORMED_JSON", "message": str(error)}, 400)
    submitted = groups.Request(batch=batch, sender=sender, received_us=to_us(door.clock.now()))
    answered = engine.submit(submitted)
    visit.leave()  # the line counts it from here on
    answer = await _acknowledged(answered)
    return _answer(answer, many=many)


def _decode(body: bytes, headers: Mapping[str, str], *, many: bool) -> Batch:
    if headers:
        return decode.decode_binary(headers, body)
    return decode.decode_batch(body) if many else decode.decode_event(body)


async def _acknowledged(future: "Future[Acknowledged]") -> Acknowledged:
    try:
        async with asyncio.timeout(ACKNOWLEDGEMENT_S_MAX):
            return await asyncio.wrap_future(future)
    except TimeoutError as error:
        raise Unavailable(
            f"not durable within {ACKNOWLEDGEMENT_S_MAX:.0f} s; send the same request again, it counts once"
        ) from error


def _answer(answer: Acknowledged, *, many: bool) -> Response:
    if not answer.rejected:
        return json_answer({"accepted": answer.taken})
    if not many:
        (refused,) = answer.rejected
        return json_answer({"code": refused.reason, "message": refused.detail}, 400)
    rejected = [{"id": item.id, "reason": item.reason, "detail": item.detail} for item in answer.rejected]
    return json_answer({"accepted": answer.taken, "rejected": rejected}, 207)


# -- file imports


class _ImportBody(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    digest: str
    mapping: dict[str, Any]
    rows: int
    accept_late: bool = False


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    row: int
    project: str
    meter: str
    time: str
    value: str | int | float
    dimensions: dict[str, str] = {}


class _ChunkBody(msgspec.Struct, forbid_unknown_fields=True):
    events: list[_Row]


def _open_import(door: Door, request: Request, wanted: _ImportBody) -> dict[str, Any]:
    try:
        digest = bytes.fromhex(wanted.digest)
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise BadRequest("digest: 64 hexadecimal digits are expected, the sha256 of the file")
    check_value(wanted.mapping)
    if not 0 <= wanted.rows < 2**63:
        raise BadRequest("rows: the number of rows in the file is expected")
    with door.open(request, permission=INGEST) as call:
        owner_org = rules.sender_organization(call.reach)
        if wanted.accept_late:
            _check_accept_late(door, call, owner_org)
        found = operations.open_import(
            call.tx,
            id=new_uid(),
            owner_org=owner_org,
            digest=digest,
            mapping=wanted.mapping,
            rows=wanted.rows,
            accept_late=wanted.accept_late,
            identity=call.identity,
            audit_id=call.audit_id,
            now=call.now,
        )
    return _shown_import(found)


def _check_accept_late(door: Door, call: Call, owner_org: int) -> None:
    reach = door.authorizer.reach(call.tx, call.identity, ACCEPT_LATE)
    if reach != "*" and owner_org not in reach:
        raise Forbidden(f'forbidden: User "{call.identity.user}" lacks the permission {ACCEPT_LATE}')


async def _send_chunk(door: Door, engine: UsageEngine, request: Request, body: bytes) -> ChunkResult:
    rows: list[_Row] = parse_body(_ChunkBody, body).events
    if len(rows) > CHUNK_ROWS_MAX:
        raise TooLarge(f"{len(rows)} rows in one chunk: send at most {CHUNK_ROWS_MAX}")
    number: str = request.path_params["number"]
    if not (number.isascii() and number.isdecimal() and len(number) < 11 and int(number) <= CHUNK_NUMBER_MAX):
        raise BadRequest(f"chunk {number[:20]!r}: a number from 0 to {CHUNK_NUMBER_MAX} is expected")
    chunk = ImportChunk(
        import_id=_import_id(request),
        number=int(number),
        digest=hashlib.sha256(msgspec.json.encode(rows)).digest(),
        row_numbers=tuple(row.row for row in rows),
    )
    before = await run_in_threadpool(_look_up_chunk, door, request, chunk, rows)
    if isinstance(before, ChunkResult):
        return before
    await _acknowledged(engine.submit(before))
    after = await run_in_threadpool(_look_up_chunk, door, request, chunk, rows)
    assert isinstance(after, ChunkResult), "it was stored with the chunk's events"
    return after


def _look_up_chunk(
    door: Door, request: Request, chunk: ImportChunk, rows: list[_Row]
) -> ChunkResult | groups.Request:
    """What became of the chunk if it was here before, else what the engine is to store."""
    with door.open(request, permission=INGEST) as call:
        found = operations.get_import(call.tx, id=chunk.import_id)
        result = operations.find_chunk_result(call.tx, found, chunk)
    if result is not None:
        return result
    return groups.Request(
        batch=decode.decode_batch(decode.encode_batch([_event(found, row) for row in rows])),
        sender=Sender(owner_org=found.owner_org, reach=call.reach),
        received_us=to_us(call.now),
        accept_late=found.accept_late,
        chunk=chunk,
    )


def _event(found: Import, row: _Row) -> dict[str, object]:
    """The row as a CloudEvent, whose id is the row's in the import's own source."""
    return {
        "specversion": "1.0",
        "id": rules.import_row_id(row=row.row, meter=row.meter),
        "source": rules.import_source(str(found.id)),
        "type": row.meter,
        "subject": f"projects/{row.project}",
        "time": row.time,
        "data": {"value": row.value, "dimensions": row.dimensions},
    }


def _complete_import(door: Door, request: Request) -> dict[str, Any]:
    id = _import_id(request)
    with door.open(request, permission=INGEST) as call:
        return _shown_import(operations.complete_import(call.tx, id=id, now=call.now))


def _import_id(request: Request) -> UUID:
    text: str = request.path_params["id"]
    try:
        return UUID(text)
    except ValueError as error:
        raise ImportNotFound(f"there is no import {text}") from error


def _shown_import(found: Import) -> dict[str, Any]:
    return {
        "id": str(found.id),
        "state": found.state,
        "rows": found.rows,
        "accepted": found.accepted,
        "quarantined": found.quarantined,
        "duplicate": found.duplicate,
        "rejected": found.rejected,
        "nextChunk": found.next_chunk,
    }


def _shown_chunk(result: ChunkResult) -> dict[str, Any]:
    return {
        "accepted": result.accepted,
        "quarantined": result.quarantined,
        "duplicate": result.duplicate,
        "rejected": [{"row": row.row, "reason": row.reason, "detail": row.detail} for row in result.rejected],
    }


# -- reads


def read_routes(door: Door) -> list[Route]:
    """The API: `GET /v1/usage` and `GET /v1/usage/statistics`."""

    def show_usage(request: Request) -> Response:
        grouping = _grouping(request)
        with door.open(request, permission=READ) as call:
            return json_answer({"items": _list_usage(call, request, grouping)})

    def show_statistics(request: Request) -> Response:
        with door.open(request, permission=READ) as call:
            found = reads.get_statistics(call.tx)
        return json_answer({name: getattr(found, name) for name in type(found).__slots__})

    return [
        Route("/v1/usage", show_usage, methods=["GET"]),
        Route("/v1/usage/statistics", show_statistics, methods=["GET"]),
    ]


def _grouping(request: Request) -> Grouping:
    """What to keep apart. Accounts and meters always are: their quantities have no unit in common."""
    text = request.query_params.get("groupBy", "project,meter")
    wanted = list(dict.fromkeys(part for part in text.split(",") if part))
    dimensions = [part.removeprefix(_DIMENSION) for part in wanted if part.startswith(_DIMENSION)]
    if unknown := sorted(set(wanted) - _GROUPS - {f"{_DIMENSION}{name}" for name in dimensions}):
        groups = ", ".join(sorted(_GROUPS))
        raise BadRequest(f"groupBy: {unknown[0]!r} is not one of {groups}, or {_DIMENSION}<name>")
    return Grouping(project="project" in wanted, day="day" in wanted, dimensions=tuple(dimensions))


def _list_usage(call: Call, request: Request, grouping: Grouping) -> list[dict[str, Any]]:
    wanted = request.query_params
    first, end = _days(request, call.now)
    meter = catalog.find_meter(call.tx, meter_name=wanted["meter"]) if "meter" in wanted else None
    if "meter" in wanted and meter is None:
        raise NotFound(f"meter {wanted['meter']!r} not found")
    payers = _payers(call, wanted.get("namespace"), wanted.get("account"))
    totals = reads.list_totals(
        call.tx,
        accounts=payers,
        projects=_project_numbers(call, wanted.get("project")),
        meter=None if meter is None else meter.number,
        first=first,
        end=end,
        grouping=grouping,
        limit=_USAGE_ROWS_MAX,
    )
    if totals is None:
        raise TooLarge(
            f"more than {_USAGE_ROWS_MAX} series and windows: ask for fewer days, or for one account or project"
        )
    return _shown_usage(call, totals, grouping, payers=payers)


def _days(request: Request, now: datetime) -> tuple[date, date]:
    """The billing days asked for, `from` included and `to` not; this month until today where nothing is said."""
    today = now.astimezone(UTC).date()
    found: list[date] = []
    for name, default in (("from", today.replace(day=1)), ("to", today + timedelta(days=2))):
        text = request.query_params.get(name)
        found.append(default if text is None else parse_day(text, what=name))
    return found[0], found[1]


def _payers(call: Call, namespace: str | None, name: str | None) -> list[Account]:
    chosen = [
        account
        for account in accounts.load_accounts(call.tx)
        if namespace in (None, account.namespace) and name in (None, account.name)
    ]
    if not chosen and (namespace, name) != (None, None):
        raise NotFound(f"no billing account {name or ''!r} in {namespace or 'any namespace within reach'}")
    return chosen


def _project_numbers(call: Call, name: str | None) -> list[int] | None:
    if name is None:
        return None
    found = directory.find_project(call.tx, name=name, at=call.now)
    if found is None:
        raise NotFound(f"project {name!r} not found")
    return [found.number]


def _shown_usage(
    call: Call, totals: tuple[UsageTotal, ...], grouping: Grouping, *, payers: list[Account]
) -> list[dict[str, Any]]:
    """Quantities as texts, since they go beyond 64 bits and JSON numbers would lose digits in many readers."""
    names = {account.number: account for account in payers}
    numbers = {total.project for total in totals if total.project is not None}
    projects = {project.number: project.name for project in directory.list_projects(call.tx, numbers=numbers)}
    items: list[dict[str, Any]] = []
    for total in totals:
        account, figures = names[total.account], total.figures
        shown: dict[str, Any] = {"namespace": account.namespace, "account": account.name}
        if total.project is not None:
            shown["project"] = projects.get(total.project, "")
        shown["meter"] = total.meter.meter_name
        if grouping.dimensions:
            shown["dimensions"] = total.dimensions
        if total.day is not None:
            shown["day"] = total.day.isoformat()
        shown["aggregation"] = total.meter.aggregation
        shown["quantity"] = f"{shown_decimal(Fraction(total.quantity), places_max=QUANTITY_PLACES_MAX):f}"
        shown["unit"] = total.meter.unit
        shown |= {"sum": str(figures.sum), "count": figures.count}
        shown |= {"min": str(figures.min or 0), "max": str(figures.max or 0)}
        items.append(shown)
    return items
