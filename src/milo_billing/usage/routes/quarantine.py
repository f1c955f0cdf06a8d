"""The quarantine: what waits and why, the event as it was sent, giving events up, trying them again.

`GET /v1/usage/quarantine`, `…/summary`, `…/{id}`, `POST …:discard`, `POST …:replay`, `GET /v1/usage/replays`, `…/{id}`.
Every door shows and touches only what belongs to the organizations in which the caller holds its permission.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, cast, get_args
from uuid import UUID

import msgspec
import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milo_billing.controlplane.doors import Call, Door, repeated
from milo_billing.controlplane.edge import read_body
from milo_billing.infra.clock import new_uid
from milo_billing.kernel.errors import BadRequest, Forbidden
from milo_billing.usage import operations, reads
from milo_billing.usage.engine.readings import parse_time, to_instant
from milo_billing.usage.routes.ingest import ACCEPT_LATE
from milo_billing.usage.routes.reading import json_answer, parse_body, parse_continue, parse_limit
from milo_billing.usage.rules import format_instant, parse_event_id
from milo_billing.usage.types import (
    EventNotFound,
    QuarantinedOriginal,
    QuarantineEntry,
    QuarantineFilter,
    QuarantineReason,
    Replay,
    ReplayNotFound,
)

LIST: Final = "billing.miloapis.com/quarantinedevents.list"
GET: Final = "billing.miloapis.com/quarantinedevents.get"
DISCARD: Final = "billing.miloapis.com/quarantinedevents.discard"
REPLAY: Final = "billing.miloapis.com/quarantinedevents.replay"

SUMMARY_ROWS_MAX: Final = 1_000
REPLAYS_MAX: Final = 100
IDS_MAX: Final = 1_000
BODY_BYTES_MAX: Final = 256 * 1024
REASON_CHARACTERS_MAX: Final = 1_000

_REASONS: Final = frozenset(cast("tuple[str, ...]", get_args(QuarantineReason)))
_FILTERS: Final = ("reason", "meter", "project", "from", "to")


class _Filter(msgspec.Struct, forbid_unknown_fields=True):
    reason: str | None = None
    meter: str | None = None
    project: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None


class _Discard(msgspec.Struct, forbid_unknown_fields=True):
    reason: str
    ids: list[str] | None = None
    filter: _Filter | None = None


class _Replay(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    filter: _Filter = msgspec.field(default_factory=_Filter)
    accept_late: bool = False
    dry_run: bool = False


def routes(door: Door) -> list[Route]:
    """The doors of the quarantine, for the API."""

    def list_events(request: Request) -> Response:
        query = request.query_params
        limit, wanted = parse_limit(query), _filter({name: query.get(name) for name in _FILTERS})
        after = parse_continue(query)
        with door.open(request, permission=LIST) as call:
            found = reads.list_quarantined(call.tx, wanted=wanted, after=after, limit=limit + 1)
        more = {"continue": str(found[limit - 1].id)} if len(found) > limit else {}
        return json_answer({"metadata": more, "items": [_shown(entry) for entry in found[:limit]]})

    def summarize(request: Request) -> Response:
        query = request.query_params
        wanted = _filter({name: query.get(name) for name in _FILTERS})
        with door.open(request, permission=LIST) as call:
            return json_answer({"items": _summary(call, wanted)})

    def show_event(request: Request) -> Response:
        id = _uuid(request.path_params["id"], what="id")
        with door.open(request, permission=GET) as call:
            found = reads.find_quarantined(call.tx, id=id)
        if found is None:
            raise EventNotFound(f"no event {id} is quarantined")
        return json_answer(_shown_original(found))

    def show_replays(request: Request) -> Response:
        with door.open(request, permission=LIST) as call:
            found = reads.list_replays(call.tx, limit=REPLAYS_MAX)
        return json_answer({"items": [_shown_replay(replay) for replay in found]})

    def show_replay(request: Request) -> Response:
        id = _uuid(request.path_params["id"], what="id", error=ReplayNotFound)
        with door.open(request, permission=LIST) as call:
            return json_answer(_shown_replay(operations.get_replay(call.tx, id=id)))

    async def discard(request: Request) -> Response:
        asked = parse_body(_Discard, await read_body(request, bytes_max=BODY_BYTES_MAX))
        return json_answer(await run_in_threadpool(lambda: repeated(lambda: _discard(door, request, asked))))

    async def replay(request: Request) -> Response:
        asked = parse_body(_Replay, await read_body(request, bytes_max=BODY_BYTES_MAX))
        return json_answer(await run_in_threadpool(_open_replay, door, request, asked))

    base = "/v1/usage/quarantine"
    return [
        Route(base, list_events, methods=["GET"]),
        Route(f"{base}/summary", summarize, methods=["GET"]),
        Route(f"{base}:discard", discard, methods=["POST"]),
        Route(f"{base}:replay", replay, methods=["POST"]),
        Route(f"{base}/{{id}}", show_event, methods=["GET"]),
        Route("/v1/usage/replays", show_replays, methods=["GET"]),
        Route("/v1/usage/replays/{id}", show_replay, methods=["GET"]),
    ]


# -- what is done


def _discard(door: Door, request: Request, asked: _Discard) -> dict[str, Any]:
    reason = asked.reason.strip()
    if not 1 <= len(reason) <= REASON_CHARACTERS_MAX:
        raise BadRequest(
            f"reason: say in 1 to {REASON_CHARACTERS_MAX} characters why the events are given up"
        )
    if (asked.ids is None) == (asked.filter is None):
        raise BadRequest("say which events: either ids, or a filter")
    ids = None if asked.ids is None else [_uuid(id, what="ids") for id in asked.ids]
    if ids is not None and len(ids) > IDS_MAX:
        raise BadRequest(f"ids: {len(ids)} are given, at most {IDS_MAX} can be; a filter takes more")
    wanted = _read_filter(asked.filter or _Filter())
    if ids is None and wanted == QuarantineFilter():
        raise BadRequest(f"filter: name one of {', '.join(_FILTERS)}; all events at once are not given up")
    with door.open(request, permission=DISCARD) as call:
        discarded = operations.discard_quarantined(
            call.tx,
            ids=ids,
            wanted=wanted,
            reason=reason,
            identity=call.identity,
            audit_id=call.audit_id,
            now=call.now,
        )
    return {"discarded": discarded, "more": discarded == operations.DISCARDED_AT_ONCE_MAX}


def _open_replay(door: Door, request: Request, asked: _Replay) -> dict[str, Any]:
    wanted = _read_filter(asked.filter)
    with door.open(request, permission=REPLAY) as call:
        if asked.accept_late:
            _check_accept_late(door, call)
        if asked.dry_run:
            total = reads.count_quarantined(call.tx, wanted=wanted)
            return {"dryRun": True, "total": total, "items": _summary(call, wanted)}
        return _shown_replay(
            operations.open_replay(
                call.tx,
                id=new_uid(),
                wanted=wanted,
                accept_late=asked.accept_late,
                reach=call.reach,
                identity=call.identity,
                audit_id=call.audit_id,
                now=call.now,
            )
        )


def _check_accept_late(door: Door, call: Call) -> None:
    """Wherever events are replayed, late usage must be the caller's to accept."""
    late = door.authorizer.reach(call.tx, call.identity, ACCEPT_LATE)
    if late != "*" and (call.reach == "*" or not call.reach <= late):
        raise Forbidden(f'forbidden: User "{call.identity.user}" lacks the permission {ACCEPT_LATE}')


# -- what is asked


def _read_filter(asked: _Filter) -> QuarantineFilter:
    values = (asked.reason, asked.meter, asked.project, asked.from_, asked.to)
    return _filter(dict(zip(_FILTERS, values, strict=True)))


def _filter(asked: Mapping[str, str | None]) -> QuarantineFilter:
    """Raises BadRequest for a reason that there is not, or a time that is none."""
    reason = asked["reason"]
    if reason is not None and reason not in _REASONS:
        raise BadRequest(f"reason: {reason!r} is not one of {', '.join(sorted(_REASONS))}")
    return QuarantineFilter(
        reason=cast("QuarantineReason | None", reason),
        meter=asked["meter"],
        project=asked["project"],
        received_from=_instant(asked["from"], what="from"),
        received_to=_instant(asked["to"], what="to"),
    )


def _instant(text: str | None, *, what: str) -> datetime | None:
    if text is None:
        return None
    us = parse_time(text if "T" in text.upper() else f"{text}T00:00:00Z")
    if us is None:
        raise BadRequest(
            f"{what}: {text!r} is no time such as 2026-10-01T00:00:00Z, nor a day such as 2026-10-01"
        )
    return to_instant(us)


def _uuid(text: str, *, what: str, error: type[Exception] = BadRequest) -> UUID:
    id = parse_event_id(text)
    if id is None:
        raise error(f"{what}: {text[:100]!r} is neither a UUID nor a ULID")
    return id


# -- what is shown


def _summary(call: Call, wanted: QuarantineFilter) -> list[dict[str, Any]]:
    found = reads.summarize_quarantine(call.tx, wanted=wanted, limit=SUMMARY_ROWS_MAX)
    return [
        {
            "reason": depth.reason,
            "meter": depth.meter,
            "events": depth.events,
            "oldestReceivedAt": format_instant(depth.oldest),
        }
        for depth in found
    ]


def _shown(entry: QuarantineEntry) -> dict[str, Any]:
    return {
        "id": str(entry.id),
        "reason": entry.reason,
        "detail": entry.detail,
        "meter": entry.meter,
        "project": entry.project,
        "eventAt": None if entry.event_at is None else format_instant(entry.event_at),
        "receivedAt": format_instant(entry.received_at),
        "bytes": entry.size,
    }


def _shown_original(found: QuarantinedOriginal) -> dict[str, Any]:
    shown = {**_shown(found.entry), "state": "quarantined" if found.discarded is None else "discarded"}
    if found.discarded is not None:
        shown["discarded"] = {
            "by": found.discarded.by,
            "at": format_instant(found.discarded.at),
            "reason": found.discarded.reason,
        }
    shown["event"] = orjson.Fragment(found.event)  # byte for byte as it was sent
    return shown


def _shown_replay(replay: Replay) -> dict[str, Any]:
    wanted = replay.filter
    asked = {
        "reason": wanted.reason,
        "meter": wanted.meter,
        "project": wanted.project,
        "from": None if wanted.received_from is None else format_instant(wanted.received_from),
        "to": None if wanted.received_to is None else format_instant(wanted.received_to),
    }
    return {
        "id": str(replay.id),
        "state": replay.state,
        "filter": {name: value for name, value in asked.items() if value is not None},
        "acceptLate": replay.accept_late,
        "openedBy": replay.opened_by,
        "openedAt": format_instant(replay.opened_at),
        "total": replay.total,
        "replayed": replay.replayed,
        "kept": replay.kept,
        "duplicate": replay.duplicate,
        "updatedAt": format_instant(replay.updated_at),
        "finishedAt": None if replay.finished_at is None else format_instant(replay.finished_at),
    }
