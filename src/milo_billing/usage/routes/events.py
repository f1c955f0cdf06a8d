"""Raw events, for disputes: `GET /v1/usage/events` and `GET /v1/usage/events/{id}`, at the API."""

from collections.abc import Mapping
from datetime import date
from typing import Final

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.catalog import reads as catalog
from milo_billing.controlplane.doors import Call, Door
from milo_billing.directory import reads as directory
from milo_billing.kernel.errors import BadRequest, NotFound
from milo_billing.usage import operations
from milo_billing.usage.engine import events
from milo_billing.usage.engine.archive import Archive
from milo_billing.usage.ports import BlobStore
from milo_billing.usage.routes.ingest import READ
from milo_billing.usage.routes.reading import json_answer, parse_continue, parse_day, parse_limit, sent_id
from milo_billing.usage.rules import parse_event_id
from milo_billing.usage.types import EventFilter, EventNotFound, EventPage

_KNOWN: Final = frozenset(
    {"namespace", "account", "project", "meter", "from", "to", "resource", "limit", "continue"}
)


_SENT: Final = frozenset({"id", "source", "organization"})


def routes(door: Door, blobs: BlobStore) -> list[Route]:
    """The doors of raw events; both need READ."""

    def list_events(request: Request) -> Response:
        query = request.query_params
        if unknown := sorted(set(query) - _KNOWN - _SENT):
            raise BadRequest(f"{unknown[0]!r} is not one of {', '.join(sorted(_KNOWN | _SENT))}")
        if "id" in query:
            return json_answer(_sent(door, blobs, request).body())
        if lonely := sorted(set(query) & _SENT):
            raise BadRequest(f"{lonely[0]!r} goes with id: both name one event")
        limit, after = parse_limit(query), parse_continue(query)
        first, end, resource = _day(query, "from"), _day(query, "to"), _resource(query)
        with door.open(request, permission=READ) as call:
            wanted = EventFilter(
                accounts=_accounts(call, query),
                projects=_projects(call, query),
                meters=_meters(call, query),
                first=first,
                end=end,
                resource=resource,
            )
            page = operations.list_events(
                call.tx, wanted=wanted, after=after, limit=limit, blobs=blobs, now=call.now
            )
        return json_answer(page.body())

    def show_event(request: Request) -> Response:
        text: str = request.path_params["id"]
        id = parse_event_id(text)
        if id is None:
            raise BadRequest(f"id: {text[:100]!r} is neither a UUID nor a ULID; lists of events show the id")
        with door.open(request, permission=READ) as call:
            found = events.find_event(call.tx, id=id, archive=Archive(blobs))
        if found is None:
            raise EventNotFound(f"there is no stored event {text}; it may wait in quarantine")
        return json_answer(found.body())

    return [
        Route("/v1/usage/events", list_events, methods=["GET"]),
        Route("/v1/usage/events/{id}", show_event, methods=["GET"]),
    ]


def _sent(door: Door, blobs: BlobStore, request: Request) -> EventPage:
    """The one event that its sender knows by `id`, and by `source` where that is neither a ULID nor a UUIDv7."""
    query = request.query_params
    if others := sorted(set(query) - _SENT):
        raise BadRequest(f"{others[0]!r} does not go with id, which names one event")
    with door.open(request, permission=READ) as call:
        id = sent_id(
            call.tx, id=query["id"], source=query.get("source"), organization=query.get("organization")
        )
        found = events.find_event(call.tx, id=id, archive=Archive(blobs))
    if found is None:
        raise EventNotFound(f"there is no stored event {query['id'][:100]!r}; it may wait in quarantine")
    return EventPage((found,), None)


def _accounts(call: Call, query: QueryParams) -> tuple[int, ...] | None:
    """Numbers of the accounts that bear the name, deleted ones too; None where none is named."""
    namespace, slash, name = query.get("account", "").rpartition("/")
    if not name:
        if "namespace" not in query:
            return None
        namespace = query["namespace"]
    elif not slash:
        namespace = query.get("namespace", "")
    found = account_reads.find_account(call.tx, namespace=namespace, name=name)
    if found is not None:
        return (found.number,)
    chosen = tuple(
        one.number
        for one in account_reads.load_accounts(call.tx)
        if namespace in ("", one.namespace) and name in ("", one.name)
    )
    if not chosen:
        raise NotFound(f"no billing account {name!r} in {namespace or 'any namespace within reach'}")
    return chosen


def _projects(call: Call, query: QueryParams) -> tuple[int, ...] | None:
    name = query.get("project")
    if name is None:
        return None
    found = directory.find_project(call.tx, name=name, at=call.now)
    if found is None:
        raise NotFound(f"project {name!r} not found")
    return (found.number,)


def _meters(call: Call, query: QueryParams) -> tuple[int, ...] | None:
    name = query.get("meter")
    if name is None:
        return None
    found = catalog.find_meter(call.tx, meter_name=name)
    if found is None:
        raise NotFound(f"meter {name!r} not found")
    return (found.number,)


def _resource(query: QueryParams) -> dict[str, str]:
    """`resource=uid=…`, repeatable: each part that is named must be so."""
    found: dict[str, str] = {}
    for text in query.getlist("resource"):
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise BadRequest(f"resource: {text!r} is no pair such as uid=1f0c… or kind=Instance")
        found[key] = value
    return found


def _day(query: Mapping[str, str], name: str) -> date | None:
    return parse_day(query[name], what=name) if name in query else None
