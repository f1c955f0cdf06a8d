"""HTTP doors of usage: imports at the gateway, totals at the API."""

import hashlib
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account
from milo_billing.catalog import reads as catalog
from milo_billing.controlplane.doors import Call, Door
from milo_billing.directory import reads as directory
from milo_billing.infra.clock import new_uid
from milo_billing.kernel.bodies import check_value
from milo_billing.kernel.errors import BadRequest, Forbidden, NotFound, TooLarge
from milo_billing.kernel.quantity import shown_decimal
from milo_billing.usage import operations, reads, rules
from milo_billing.usage.engine import decode, groups
from milo_billing.usage.engine.groups import Sender
from milo_billing.usage.engine.pipeline import UsageEngine
from milo_billing.usage.engine.readings import to_us
from milo_billing.usage.routes.bodies import Room, Visit, read_body
from milo_billing.usage.routes.gateway import INGEST, EventDoor, acknowledged, event_doors
from milo_billing.usage.routes.reading import json_answer, parse_body, parse_day
from milo_billing.usage.types import (
    CHUNK_ROWS_MAX,
    QUANTITY_PLACES_MAX,
    ChunkResult,
    Grouping,
    Import,
    ImportChunk,
    ImportNotFound,
    UsageTotal,
)

ACCEPT_LATE: Final = "billing.miloapis.com/usage.acceptLate"
READ: Final = "billing.miloapis.com/usage.read"


_USAGE_ROWS_MAX: Final = 100_000
CHUNK_NUMBER_MAX: Final = 2**31 - 1
_GROUPS: Final = frozenset({"project", "meter", "day"})
_DIMENSION: Final = "dimension:"


# -- file imports


def routes(door: Door, engine: UsageEngine) -> tuple[list[Route], dict[str, EventDoor]]:
    """The gateway: events, imports with their chunks; and which of them have a `ShortWay`."""
    room = Room()
    doors = event_doors(door, engine, room)

    async def open_import(request: Request) -> Response:
        with room.visit() as visit:
            wanted = parse_body(_ImportBody, await _read(request, visit))
        return json_answer(await run_in_threadpool(_open_import, door, request, wanted))

    async def send_chunk(request: Request) -> Response:
        with room.visit() as visit:
            body = await _read(request, visit)
            return json_answer(_shown_chunk(await _send_chunk(door, engine, request, body)))

    async def complete_import(request: Request) -> Response:
        return json_answer(await run_in_threadpool(_complete_import, door, request))

    one = "/v1/usage/imports/{id}"
    found = [
        *(Route(path, event_door, methods=["POST"]) for path, event_door in doors.items()),
        Route("/v1/usage/imports", open_import, methods=["POST"]),
        Route(one + "/chunks/{number}", send_chunk, methods=["POST"]),
        Route(one + "/complete", complete_import, methods=["POST"]),
    ]
    return found, doors


async def _read(request: Request, visit: Visit) -> bytes:
    return await read_body(dict(request.headers.raw), request.receive, visit)


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
    await acknowledged(engine.submit(before))
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
        for account in account_reads.load_accounts(call.tx)
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
