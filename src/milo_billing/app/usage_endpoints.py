"""The rows of usage in the OpenAPI document of the API: roll-ups, raw events, the quarantine, what comes after.

The rows of ingest, which the gateway serves, are in endpoints.
"""

from typing import Final

from milo_billing.controlplane.endpoints import (
    ANY,
    DAY,
    TEXT,
    TIME,
    Body,
    Endpoint,
    Follow,
    Parameter,
    closed,
    fields,
    many,
    number,
)
from milo_billing.controlplane.kinds import Json
from milo_billing.usage.routes.ingest import READ
from milo_billing.usage.routes.quarantine import DISCARD, GET, LIST, REPLAY
from milo_billing.usage.routes.reading import LIMIT_MAX
from milo_billing.usage.routes.retention import ARCHIVE, VOID

_LIMIT: Final = Parameter("limit", "Entries of one page.", number(minimum=1, maximum=LIMIT_MAX))
_CONTINUE: Final = Parameter("continue", "What the page before said.")
_FILTER: Final = (
    Parameter("reason", "Only what waits for this reason."),
    Parameter("meter", "Only this meter, as it was sent."),
    Parameter("project", "Only this project, as it was sent."),
    Parameter("from", "Received at or after this instant.", TIME),
    Parameter("to", "Received before this instant.", TIME),
)
_FILTER_BODY: Json = closed(fields({}, {each.name: TEXT for each in _FILTER}))
_PAGE: Json = fields({"metadata": ANY, "items": many(ANY)})
_ITEMS: Json = fields({"items": many(ANY)})

_ROLLED_UP: Final = (
    Endpoint(
        id="showUsage",
        method="get",
        path="/v1/usage",
        about="Usage by account and meter, and by project or day as asked. Sums are decimal strings.",
        permission=READ,
        parameters=(
            Parameter("from", "The first billing day; that of this month where none is said.", DAY),
            Parameter("to", "The day after the last one.", DAY),
            Parameter("groupBy", "Of project, meter, day and dimension:<name>, separated by commas."),
            *(Parameter(name, f"Only this {name}.") for name in ("project", "meter", "namespace", "account")),
        ),
        answer=fields({"items": many(ANY)}),
    ),
    Endpoint(
        id="showUsageStatistics",
        method="get",
        path="/v1/usage/statistics",
        about="What became of the events that came in.",
        permission=READ,
        answer=ANY,
    ),
)

_EVENTS: Final = (
    Endpoint(
        id="listUsageEvents",
        method="get",
        path="/v1/usage/events",
        about="Raw events in order of id, archived ones too; a page may be short and still have one behind it. "
        "`voided` says why one does not count; `metadata.unreadDays` which archived days could not be read, and why.",
        permission=READ,
        parameters=(
            *(Parameter(name, f"Only this {name}.") for name in ("namespace", "account", "project", "meter")),
            Parameter("from", "The first billing day.", DAY),
            Parameter("to", "The day after the last one.", DAY),
            Parameter("resource", "A part of the resource, such as uid=1f0c; repeatable."),
            _LIMIT,
            _CONTINUE,
        ),
        answer=_PAGE,
        follows=(Follow("showUsageEvent", {"path.id": "$response.body#/items/0/id"}),),
    ),
    Endpoint(
        id="showUsageEvent",
        method="get",
        path="/v1/usage/events/{id}",
        about="One raw event, by its ULID or UUID, also an archived one.",
        permission=READ,
        answer=ANY,
    ),
    Endpoint(
        id="voidUsageEvent",
        method="post",
        path="/v1/usage/events/{id}/void",
        about="Take an event out of what is billed, with a reason; it stays where it is.",
        permission=VOID,
        body=Body(closed(fields({"reason": TEXT}))),
        answer=ANY,
    ),
    Endpoint(
        id="voidSentUsageEvent",
        method="post",
        path="/v1/usage/events:void",
        about="Take an event out of what is billed, by what its sender knows: an id that is neither ULID nor UUIDv7 "
        "with its source, and the sender's organization where several have sent the same.",
        permission=VOID,
        body=Body(closed(fields({"id": TEXT, "reason": TEXT}, {"source": TEXT, "organization": TEXT}))),
        answer=ANY,
    ),
)

_QUARANTINE: Final = (
    Endpoint(
        id="listQuarantine",
        method="get",
        path="/v1/usage/quarantine",
        about="Events that wait, with the reason of each.",
        permission=LIST,
        parameters=(*_FILTER, _LIMIT, _CONTINUE),
        answer=_PAGE,
        follows=(Follow("showQuarantined", {"path.id": "$response.body#/items/0/id"}),),
    ),
    Endpoint(
        id="summarizeQuarantine",
        method="get",
        path="/v1/usage/quarantine/summary",
        about="How many events wait and since when, by reason and meter.",
        permission=LIST,
        parameters=_FILTER,
        answer=_ITEMS,
    ),
    Endpoint(
        id="showQuarantined",
        method="get",
        path="/v1/usage/quarantine/{id}",
        about="One event that waits, as it was sent.",
        permission=GET,
        answer=ANY,
    ),
    Endpoint(
        id="discardQuarantined",
        method="post",
        path="/v1/usage/quarantine:discard",
        about="Give events up, by id or by filter, with a reason.",
        permission=DISCARD,
        body=Body(closed(fields({"reason": TEXT}, {"ids": many(TEXT), "filter": _FILTER_BODY}))),
        answer=fields({"discarded": number(), "more": {"type": "boolean"}}),
    ),
    Endpoint(
        id="replayQuarantined",
        method="post",
        path="/v1/usage/quarantine:replay",
        about="Try events again, in a job of its own.",
        permission=REPLAY,
        body=Body(
            closed(
                fields(
                    {},
                    {
                        "filter": _FILTER_BODY,
                        "acceptLate": {"type": "boolean"},
                        "dryRun": {"type": "boolean"},
                    },
                )
            )
        ),
        answer=ANY,
        follows=(Follow("showReplay", {"path.id": "$response.body#/id"}),),
    ),
    Endpoint(
        id="listReplays",
        method="get",
        path="/v1/usage/replays",
        about="The replays that were opened last.",
        permission=LIST,
        answer=_ITEMS,
    ),
    Endpoint(
        id="showReplay",
        method="get",
        path="/v1/usage/replays/{id}",
        about="How far a replay has come.",
        permission=LIST,
        answer=ANY,
    ),
)

_AFTERWARDS: Final = (
    Endpoint(
        id="listUsageChanges",
        method="get",
        path="/v1/usage/changes",
        about="What reached an invoiced period of an account afterwards.",
        permission=READ,
        parameters=(
            Parameter("namespace", "Of the account; required."),
            Parameter("account", "The account; required."),
            Parameter("period", "The month in which the period begins, such as 2026-10; required."),
            Parameter("cause", "Of late, void and correction."),
        ),
        answer=_ITEMS,
    ),
    Endpoint(
        id="listArchivedDays",
        method="get",
        path="/v1/usage/archive",
        about="Days of raw events, and where they are.",
        permission=ARCHIVE,
        parameters=(
            Parameter("from", "The first day.", DAY),
            Parameter("to", "The day after the last one.", DAY),
        ),
        answer=_ITEMS,
    ),
    Endpoint(
        id="archiveDays",
        method="post",
        path="/v1/usage/archive:run",
        about="Archive the days whose time is over, in a job of its own.",
        permission=ARCHIVE,
        body=Body(closed(fields({}, {"until": DAY, "dryRun": {"type": "boolean"}})), required=False),
        answer=fields({"due": many(TEXT), "dryRun": {"type": "boolean"}}),
    ),
    Endpoint(
        id="verifyArchivedDay",
        method="post",
        path="/v1/usage/archive/{day}:verify",
        about="Compute checksum and counts of a day's file again.",
        permission=ARCHIVE,
        answer=fields({"day": TEXT, "problem": {**TEXT, "nullable": True}}),
    ),
)

USAGE: Final = (*_ROLLED_UP, *_EVENTS, *_QUARANTINE, *_AFTERWARDS)
"""Everything that the API serves below /v1/usage."""
