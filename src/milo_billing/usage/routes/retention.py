"""What happens to usage after it was taken: voids, changes of invoiced periods, the archive. At the API.

`POST /v1/usage/events/{id}/void`, `POST …/events:void`, `GET /v1/usage/changes`, `GET /v1/usage/archive`,
`POST …/archive:run`, `POST …/archive/{day}:verify`. Voids and the archive are the provider's: nobody writes his own
bill.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, cast, get_args
from uuid import UUID

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import tree as tree_reads
from milo_billing.catalog import reads as catalog
from milo_billing.controlplane.doors import Call, Door, repeated
from milo_billing.controlplane.edge import read_body
from milo_billing.controlplane.identity import reaches
from milo_billing.controlplane.kinds import PROVIDER_ORG
from milo_billing.directory import reads as directory
from milo_billing.kernel.errors import BadRequest, Forbidden, NotFound
from milo_billing.kernel.periods import billing_month, local_day, parse_month
from milo_billing.usage import operations, reads
from milo_billing.usage.engine import sealing
from milo_billing.usage.engine.archive import Archive, Archivist
from milo_billing.usage.routes.ingest import READ
from milo_billing.usage.routes.reading import json_answer, parse_body, parse_day, sent_id
from milo_billing.usage.rules import format_instant, parse_event_id
from milo_billing.usage.types import ChangeCause, DayReport, EventNotFound, RowKey, UsageChange, Void

VOID: Final = "billing.miloapis.com/usage.void"
ARCHIVE: Final = "billing.miloapis.com/usage.archive"

REASON_CHARACTERS_MAX: Final = 1_000
CHANGES_MAX: Final = 10_000
BODY_BYTES_MAX: Final = 64 * 1024

_CAUSES: Final = cast("tuple[str, ...]", get_args(ChangeCause))


class _Void(msgspec.Struct, forbid_unknown_fields=True):
    reason: str


class _VoidSent(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    reason: str
    source: str | None = None
    organization: str | None = None


class _Run(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    until: str | None = None
    dry_run: bool = False


def routes(door: Door, archive: Archive, archivist: Archivist) -> list[Route]:
    """The doors of voids, changes and the archive, for the API."""

    async def void(request: Request) -> Response:
        asked = parse_body(_Void, await read_body(request, bytes_max=BODY_BYTES_MAX))
        return json_answer(
            await run_in_threadpool(lambda: repeated(lambda: _void(door, archive, request, asked.reason)))
        )

    async def void_sent(request: Request) -> Response:
        asked = parse_body(_VoidSent, await read_body(request, bytes_max=BODY_BYTES_MAX))
        return json_answer(
            await run_in_threadpool(lambda: repeated(lambda: _void_sent(door, archive, request, asked)))
        )

    def list_changes(request: Request) -> Response:
        with door.open(request, permission=READ) as call:
            return json_answer({"items": _changes(call, request)})

    def list_days(request: Request) -> Response:
        query = request.query_params
        first = parse_day(query.get("from", "0001-01-01"), what="from")
        end = parse_day(query.get("to", "9999-12-31"), what="to")
        with door.open(request, permission=ARCHIVE) as call:
            _check_staff(call, ARCHIVE)
            return json_answer(
                {"items": [_shown_day(day) for day in sealing.list_days(call.tx, first=first, end=end)]}
            )

    async def run(request: Request) -> Response:
        asked = parse_body(_Run, await read_body(request, bytes_max=BODY_BYTES_MAX) or b"{}")
        return json_answer(await run_in_threadpool(_run, door, archivist, request, asked))

    def verify(request: Request) -> Response:
        day = parse_day(request.path_params["day"], what="day")
        with door.open(request, permission=ARCHIVE) as call:
            _check_staff(call, ARCHIVE)
            archived = sealing.find_archived(call.tx, day=day)
            if archived is None:
                raise NotFound(f"no file of the archive is of {day}")
            return json_answer({"day": str(day), "problem": archive.verify(call.tx, archived)})

    base = "/v1/usage/archive"
    return [
        Route("/v1/usage/events/{id}/void", void, methods=["POST"]),
        Route("/v1/usage/events:void", void_sent, methods=["POST"]),
        Route("/v1/usage/changes", list_changes, methods=["GET"]),
        Route(base, list_days, methods=["GET"]),
        Route(f"{base}:run", run, methods=["POST"]),
        Route(f"{base}/{{day}}:verify", verify, methods=["POST"]),
    ]


# -- what is done


def _void(door: Door, archive: Archive, request: Request, reason: str) -> dict[str, Any]:
    text: str = request.path_params["id"]
    id = parse_event_id(text)
    if id is None:
        raise EventNotFound(
            f"{text[:100]!r} is neither a ULID nor a UUID: POST /v1/usage/events:void takes others, with their source"
        )
    with _voiding(door, request, reason) as call:
        return _voided(call, archive, id, reason.strip())


def _void_sent(door: Door, archive: Archive, request: Request, asked: _VoidSent) -> dict[str, Any]:
    """By what the sender knows: an id that is a ULID or UUIDv7 alone, any other with its source."""
    with _voiding(door, request, asked.reason) as call:
        id = sent_id(call.tx, id=asked.id, source=asked.source, organization=asked.organization)
        return _voided(call, archive, id, asked.reason.strip())


@contextmanager
def _voiding(door: Door, request: Request, reason: str) -> Generator[Call]:
    if not 1 <= len(reason.strip()) <= REASON_CHARACTERS_MAX:
        raise BadRequest(
            f"reason: say in 1 to {REASON_CHARACTERS_MAX} characters why the event does not count"
        )
    with door.open(request, permission=VOID) as call:
        _check_staff(call, VOID)
        yield call


def _voided(call: Call, archive: Archive, id: UUID, reason: str) -> dict[str, Any]:
    voided = operations.void_event(
        call.tx,
        id=id,
        reason=reason,
        archive=archive,
        identity=call.identity,
        audit_id=call.audit_id,
        now=call.now,
    )
    if isinstance(voided, Void):
        return _shown_void(call, voided)
    return {
        "id": str(id),
        "state": "discarded",
        "reason": voided.reason,
        "by": voided.by,
        "at": format_instant(voided.at),
    }


def _run(door: Door, archivist: Archivist, request: Request, asked: _Run) -> dict[str, Any]:
    until = None if asked.until is None else parse_day(asked.until, what="until")
    with door.open(request, permission=ARCHIVE) as call:
        _check_staff(call, ARCHIVE)
        due = archivist.list_due(now=call.now, until=until)
        if due and not asked.dry_run:
            operations.defer_archiving(call.tx, until=until)
    return {"due": [str(day) for day in due], "dryRun": asked.dry_run}


def _check_staff(call: Call, permission: str) -> None:
    if not reaches(call.reach, PROVIDER_ORG):
        raise Forbidden(
            f'forbidden: User "{call.identity.user}" lacks the permission {permission} for the provider'
        )


# -- what is asked


def _changes(call: Call, request: Request) -> list[dict[str, Any]]:
    """Changes of one account in one rating period, which begins on the account's invoice day in that month."""
    query = request.query_params
    namespace, name, month = query.get("namespace"), query.get("account"), query.get("period")
    cause = query.get("cause")
    if not namespace or not name or not month:
        raise BadRequest("namespace, account and period (such as 2026-10) are needed")
    if cause is not None and cause not in _CAUSES:
        raise BadRequest(f"cause: {cause!r} is not one of {', '.join(_CAUSES)}")
    account = tree_reads.find_node(call.tx, namespace=namespace, name=name)
    if account is None:
        raise NotFound(f"no billing account {name!r} in {namespace}")
    try:
        year, number = parse_month(month)
    except ValueError as error:
        raise BadRequest(f"period: {error}") from error
    period = billing_month(year, number, zone=account.time_zone, invoice_day=account.invoice_day)
    found = reads.list_changes(
        call.tx,
        account=account.number,
        first=local_day(period.start, zone=account.time_zone),
        end=local_day(period.end, zone=account.time_zone),
        cause=cast("ChangeCause | None", cause),
        limit=CHANGES_MAX,
    )
    names = _Names(call, [change.key for change in found])
    return [{**names.shown(change.key), **_shown_change(change)} for change in found]


# -- what is shown


class _Names:
    """What the numbers in roll-up rows are called."""

    def __init__(self, call: Call, keys: list[RowKey]) -> None:
        self._meters = {meter.number: meter.meter_name for meter in catalog.load_meters(call.tx)}
        found = directory.list_projects(call.tx, numbers={key.project for key in keys})
        self._projects = {project.number: project.name for project in found}
        numbers = {key.account for key in keys}
        self._accounts = {number: account_reads.get_account(call.tx, number=number) for number in numbers}

    def shown(self, key: RowKey) -> dict[str, Any]:
        """The row by its names."""
        account = self._accounts[key.account]
        return {
            "namespace": account.namespace,
            "account": account.name,
            "project": self._projects.get(key.project, ""),
            "meter": self._meters.get(key.meter, ""),
            "day": str(key.day),
        }


def _shown_void(call: Call, voided: Void) -> dict[str, Any]:
    return {
        "id": str(voided.id),
        "state": "voided",
        "reason": voided.reason,
        "by": voided.voided_by,
        "at": format_instant(voided.voided_at),
        **_Names(call, [voided.key]).shown(voided.key),
        "value": str(voided.value),
        "time": format_instant(voided.event_at),
    }


def _shown_change(change: UsageChange) -> dict[str, Any]:
    return {
        "dimensions": change.dimensions,
        "cause": change.cause,
        "events": change.events,
        "quantity": str(change.quantity),
        "firstEventAt": format_instant(change.first_at),
        "lastEventAt": format_instant(change.last_at),
        "firstChangedAt": format_instant(change.first_changed_at),
        "lastChangedAt": format_instant(change.last_changed_at),
    }


def _shown_day(report: DayReport) -> dict[str, Any]:
    shown: dict[str, Any] = {"day": str(report.day), "state": report.state}
    if (file := report.archived) is not None:
        shown["file"] = {
            "name": file.name,
            "bytes": file.size_bytes,
            "sha256": file.sha256.hex(),
            "events": file.events,
            "firstBillingDay": str(file.first_day),
            "lastBillingDay": str(file.last_day),
            "writtenAt": format_instant(file.written_at),
            "expiredAt": None if file.expired_at is None else format_instant(file.expired_at),
        }
    return shown
