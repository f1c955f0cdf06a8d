"""HTTP doors of usage: events and imports at the gateway, reads at the API.

Owns: bodies, content types and answers of the wire contract (kinds.md, "Not resources"). Not: what becomes of an event
(engine). The two event doors open no transaction: who sends is remembered for two seconds a token.
"""

import asyncio
import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milo_billing.accounts import reads as accounts
from milo_billing.catalog import reads as catalog
from milo_billing.controlplane.doors import Call, Door
from milo_billing.controlplane.edge import read_body
from milo_billing.directory import reads as directory
from milo_billing.infra.clock import monotonic_s, new_uid
from milo_billing.kernel.errors import BadRequest, Forbidden, NotFound, TooLarge, Unavailable
from milo_billing.usage import operations, reads, rules
from milo_billing.usage.engine import decode, groups
from milo_billing.usage.engine.decode import Batch
from milo_billing.usage.engine.groups import Sender
from milo_billing.usage.engine.pipeline import ACKNOWLEDGEMENT_S_MAX, UsageEngine
from milo_billing.usage.engine.readings import to_us
from milo_billing.usage.types import (
    BODY_BYTES_MAX,
    CHUNK_ROWS_MAX,
    Acknowledged,
    ChunkResult,
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
JSON: Final = "application/json"

SENDER_REMEMBERED_S: Final = 2.0
"""How long a revoked token may still send."""

_SENDERS_MAX: Final = 10_000
_INLINE_BYTES_MAX: Final = 64 * 1024
"""Smaller bodies are decoded at once: handing them to a thread would take longer."""

_USAGE_ROWS_MAX: Final = 100_000
_GROUPS: Final = frozenset({"project", "meter", "day"})


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

    async def ingest_event(request: Request) -> Response:
        return await _ingest(door, engine, senders, request, many=False)

    async def ingest_batch(request: Request) -> Response:
        return await _ingest(door, engine, senders, request, many=True)

    async def open_import(request: Request) -> Response:
        wanted = _parse(_ImportBody, await _read(request))
        return _json(await run_in_threadpool(_open_import, door, request, wanted))

    async def send_chunk(request: Request) -> Response:
        return _json(_shown_chunk(await _send_chunk(door, engine, request, await _read(request))))

    async def complete_import(request: Request) -> Response:
        return _json(await run_in_threadpool(_complete_import, door, request))

    one = "/v1/usage/imports/{id}"
    return [
        Route("/v1/usage/events", ingest_event, methods=["POST"]),
        Route("/v1/usage/events:batchIngest", ingest_batch, methods=["POST"]),
        Route("/v1/usage/imports", open_import, methods=["POST"]),
        Route(one + "/chunks/{number:int}", send_chunk, methods=["POST"]),
        Route(one + "/complete", complete_import, methods=["POST"]),
    ]


async def _ingest(
    door: Door, engine: UsageEngine, senders: _Senders, request: Request, *, many: bool
) -> Response:
    sender = await senders.of(request)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    binary = not many and any(name.startswith(b"ce-") for name, _ in request.headers.raw)
    many = many or content_type == BATCHED
    if not binary and content_type not in (STRUCTURED, BATCHED, JSON):
        known = f"{JSON}, {STRUCTURED} or {BATCHED}"
        return _json(
            {"code": "UNSUPPORTED_MEDIA_TYPE", "message": f"send {known}, not {content_type!r}"}, 415
        )
    body = await _read(request)
    headers = dict(request.headers) if binary else {}
    try:
        if len(body) <= _INLINE_BYTES_MAX:
            batch = _decode(body, headers, many=many)
        else:
            batch = await run_in_threadpool(_decode, body, headers, many=many)
    except UnreadableEvents as error:
        return _json({"code": "MALFORMED_JSON", "message": str(error)}, 400)
    submitted = groups.Request(batch=batch, sender=sender, received_us=to_us(door.clock.now()))
    answer = await _acknowledged(engine.submit(submitted))
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
        return _json({"accepted": answer.taken})
    if not many:
        (refused,) = answer.rejected
        return _json({"code": refused.reason, "message": refused.detail}, 400)
    rejected = [{"id": item.id, "reason": item.reason, "detail": item.detail} for item in answer.rejected]
    return _json({"accepted": answer.taken, "rejected": rejected}, 207)


async def _read(request: Request) -> bytes:
    """The body, decompressed. Raises TooLarge beyond BODY_BYTES_MAX, before or after."""
    body = await read_body(request, bytes_max=BODY_BYTES_MAX)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        return body
    if encoding != "gzip":
        raise BadRequest(f"content-encoding {encoding!r} is not known here: send gzip, or none")
    return await run_in_threadpool(decompress, body)


def decompress(body: bytes) -> bytes:
    """A gzip body, up to BODY_BYTES_MAX. Raises BadRequest if it is none, TooLarge beyond the bound."""
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = stream.decompress(body, BODY_BYTES_MAX + 1)
    except zlib.error as error:
        raise BadRequest(f"the body is not gzip, though content-encoding says so: {error}") from error
    if len(plain) > BODY_BYTES_MAX:
        raise TooLarge(f"the decompressed body is over {BODY_BYTES_MAX} bytes")
    if not stream.eof:
        raise BadRequest("the body's gzip stream ends too early")
    return plain


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


def _parse(kind: type[Any], body: bytes) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except decode.UNREADABLE as error:
        raise BadRequest(f"the body is not what it should be: {error}") from error


def _open_import(door: Door, request: Request, wanted: _ImportBody) -> dict[str, Any]:
    try:
        digest = bytes.fromhex(wanted.digest)
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise BadRequest("digest: 64 hexadecimal digits are expected, the sha256 of the file")
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
    rows: list[_Row] = _parse(_ChunkBody, body).events
    if len(rows) > CHUNK_ROWS_MAX:
        raise TooLarge(f"{len(rows)} rows in one chunk: send at most {CHUNK_ROWS_MAX}")
    chunk = ImportChunk(
        import_id=_import_id(request),
        number=request.path_params["number"],
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
            return _json({"items": _list_usage(call, request, grouping)})

    def show_statistics(request: Request) -> Response:
        with door.open(request, permission=READ) as call:
            found = reads.get_statistics(call.tx)
        return _json({name: getattr(found, name) for name in type(found).__slots__})

    return [
        Route("/v1/usage", show_usage, methods=["GET"]),
        Route("/v1/usage/statistics", show_statistics, methods=["GET"]),
    ]


def _grouping(request: Request) -> frozenset[str]:
    """What to keep apart. Meters always are: their quantities have no unit in common."""
    text = request.query_params.get("groupBy", "project,meter")
    wanted = frozenset(part for part in text.split(",") if part)
    if unknown := sorted(wanted - _GROUPS):
        raise BadRequest(f"groupBy: {unknown[0]!r} is not one of {', '.join(sorted(_GROUPS))}")
    return wanted | {"meter"}


def _list_usage(call: Call, request: Request, grouping: frozenset[str]) -> list[dict[str, Any]]:
    wanted = request.query_params
    first, end = _days(request, call.now)
    projects = _project_numbers(call, wanted.get("project"))
    meter = catalog.find_meter(call.tx, meter_name=wanted["meter"]) if "meter" in wanted else None
    if "meter" in wanted and meter is None:
        raise NotFound(f"meter {wanted['meter']!r} not found")
    totals = reads.list_totals(
        call.tx,
        accounts=_account_numbers(call, wanted.get("namespace"), wanted.get("account")),
        projects=projects,
        meter=None if meter is None else meter.number,
        first=first,
        end=end,
        by_day="day" in grouping,
        limit=_USAGE_ROWS_MAX,
    )
    if len(totals) == _USAGE_ROWS_MAX:
        raise TooLarge(f"more than {_USAGE_ROWS_MAX} rows: ask for fewer days, or for one account or project")
    return _shown_usage(call, totals, grouping)


def _days(request: Request, now: datetime) -> tuple[date, date]:
    """The billing days asked for, `from` included and `to` not; this month until today where nothing is said."""
    today = now.astimezone(UTC).date()
    found: list[date] = []
    for name, default in (("from", today.replace(day=1)), ("to", today + timedelta(days=2))):
        text = request.query_params.get(name)
        try:
            found.append(default if text is None else date.fromisoformat(text))
        except ValueError as error:
            raise BadRequest(f"{name}: {text!r} is not a day such as 2026-10-01") from error
    return found[0], found[1]


def _account_numbers(call: Call, namespace: str | None, name: str | None) -> list[int] | None:
    if namespace is None and name is None:
        return None
    chosen = [
        account.number
        for account in accounts.load_accounts(call.tx)
        if namespace in (None, account.namespace) and name in (None, account.name)
    ]
    if not chosen:
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
    call: Call, totals: tuple[UsageTotal, ...], grouping: frozenset[str]
) -> list[dict[str, Any]]:
    names = {account.number: account for account in accounts.load_accounts(call.tx)}
    numbers = {total.project for total in totals}
    projects = {project.number: project.name for project in directory.list_projects(call.tx, numbers=numbers)}
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for total in totals:
        account = names[total.account]
        shown: dict[str, Any] = {"namespace": account.namespace, "account": account.name}
        if "project" in grouping:
            shown["project"] = projects.get(total.project, "")
        shown["meter"] = total.meter_name
        if total.day is not None:
            shown["day"] = total.day.isoformat()
        key = tuple(shown.values())
        entry = merged.setdefault(key, {**shown, "sum": 0, "count": 0, "min": total.min, "max": total.max})
        entry["sum"] += total.sum
        entry["count"] += total.count
        entry["min"], entry["max"] = min(entry["min"], total.min), max(entry["max"], total.max)
    for entry in merged.values():
        # int64 and more: JSON numbers would lose digits in many readers
        entry |= {name: str(entry[name]) for name in ("sum", "min", "max")}
    return list(merged.values())


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type=JSON)
