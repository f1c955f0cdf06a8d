"""Commands on what is accepted and not billed, and on raw events: list, show, discard, replay; events of a dispute."""

import sys
import time
from typing import Annotated, Any, cast

from cyclopts import App, Parameter

from milo_billing.cli.output import write, write_table
from milo_billing.cli.progress import Bars
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Target
from milo_billing.client.errors import ClientError
from milo_billing.client.http import JSON, ApiClient
from milo_billing.client.quarantine import (
    Events,
    discard_quarantined,
    get_quarantined,
    get_replay,
    get_sent_event,
    list_events,
    list_quarantined,
    open_replay,
    summarize_quarantine,
)

ASK_AGAIN_S = 0.5
LIMIT = 100

quarantine = App(
    name="quarantine", help="What is accepted and not billed: see it, mend it, replay it, or give it up."
)

_Reason = Annotated[
    str | None,
    Parameter(
        help="unknown_meter, invalid_dimensions, invalid_value, malformed_data, attribution_failure or too_late."
    ),
]
_Meter = Annotated[str | None, Parameter(help="Name of the meter, as it was sent.")]
_Project = Annotated[str | None, Parameter(help="Name of the project, as it was sent.")]
_From = Annotated[
    str | None, Parameter(name="--from", help="Received at or after; a day or an RFC 3339 time.")
]
_To = Annotated[str | None, Parameter(name="--to", help="Received before; a day or an RFC 3339 time.")]
_Limit = Annotated[int, Parameter(help="At most so many.")]


@quarantine.command(
    name="list",
    help_epilogue="Examples:\n\n"
    "  milo-billing usage quarantine list\n\n"
    "  milo-billing usage quarantine list --events --reason unknown_meter --from 2026-10-01",
)
def list_(
    *,
    events: Annotated[
        bool, Parameter(negative=(), help="Each event, instead of how many there are.")
    ] = False,
    reason: _Reason = None,
    meter: _Meter = None,
    project: _Project = None,
    from_: _From = None,
    to: _To = None,
    limit: _Limit = LIMIT,
    target: Target = DEFAULT,
) -> None:
    """Show how many events wait, by reason and meter; with --events each of them."""
    filters = _filters(reason=reason, meter=meter, project=project, **{"from": from_, "to": to})
    with target.open() as api:
        if events:
            items = list(list_quarantined(api, limit=limit, **filters))
        else:
            items = summarize_quarantine(api, **filters)
    if target.structured:
        target.write({"items": items})
    elif not items:
        sys.stderr.write("Nothing is quarantined.\n")
    elif events:
        columns = ["id", "reason", "meter", "project", "receivedAt", "detail"]
        write_table(
            ["Id", "Reason", "Meter", "Project", "Received", "Detail"],
            [[item[column] for column in columns] for item in items],
        )
    else:
        write_table(
            ["Reason", "Meter", "Events", "Oldest"],
            [[item["reason"], item["meter"], item["events"], item["oldestReceivedAt"]] for item in items],
            right=["Events"],
        )


@quarantine.command(
    help_epilogue="Example:\n\n  milo-billing usage quarantine show 01K6C3W9ZV5E3T0Q8R7M2N4P6X"
)
def show(
    id: Annotated[str, Parameter(help="The event's ULID or UUID.")], /, *, target: Target = DEFAULT
) -> None:
    """Show an event as it was sent, and why it is not billed."""
    with target.open() as api:
        found = get_quarantined(api, id)
    if target.structured:
        target.write(found)
        return
    event = found.pop("event")
    for name in ("id", "state", "reason", "detail", "receivedAt"):
        write(f"{name + ':':<12}{found[name]}")
    if "discarded" in found:
        gone = cast("JSON", found["discarded"])
        write(f"{'discarded:':<12}{gone['at']} by {gone['by']}: {gone['reason']}")
    write("")
    target.write(event)


@quarantine.command(
    help_epilogue="Examples:\n\n"
    "  milo-billing usage quarantine discard 01K6C3W9ZV5E3T0Q8R7M2N4P6X --because 'sent by a test'\n\n"
    "  milo-billing usage quarantine discard --meter old.example/tokens --because 'the meter was retired'"
)
def discard(
    *ids: Annotated[str, Parameter(help="ULIDs or UUIDs of events; or say with options which.")],
    because: Annotated[str, Parameter(help="Why; it is kept, and stands in the audit log.")],
    reason: _Reason = None,
    meter: _Meter = None,
    project: _Project = None,
    from_: _From = None,
    to: _To = None,
    target: Target = DEFAULT,
) -> None:
    """Give events up for good. They stay known: sent again, they are duplicates."""
    filters = _filters(reason=reason, meter=meter, project=project, **{"from": from_, "to": to})
    gone = 0
    with target.open() as api:
        if bool(ids) == bool(filters):
            raise ClientError(
                "Say which events: ids, or at least one of --reason, --meter, --project, --from, --to.",
                next_step="`milo-billing usage quarantine list` shows what there is.",
            )
        with Bars() as bars:
            for gone in discard_quarantined(api, ids=ids, filters=filters, reason=because):
                bars.show("discard", gone, 0, unit="events")
    if target.structured:
        target.write({"discarded": gone})
    else:
        write(f"discarded {gone:,}")


@quarantine.command(
    help_epilogue="Examples:\n\n"
    "  milo-billing usage quarantine replay --meter new.example/tokens --dry-run\n\n"
    "  milo-billing usage quarantine replay --reason too_late --project chat --accept-late\n\n"
    "  milo-billing usage quarantine replay --resume 0b0f6b3e-7c1e-4f55-9a52-0d0c9f1f9d11"
)
def replay(
    *,
    reason: _Reason = None,
    meter: _Meter = None,
    project: _Project = None,
    from_: _From = None,
    to: _To = None,
    accept_late: Annotated[bool, Parameter(negative=(), help="Also older than the late window.")] = False,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Count what would be replayed, and do nothing.")
    ] = False,
    wait: Annotated[bool, Parameter(help="Show how far it is until it is finished.")] = True,
    resume: Annotated[str | None, Parameter(help="Watch this replay, which was opened before.")] = None,
    target: Target = DEFAULT,
) -> int:
    """Try quarantined events again, once their cause is mended; all of them when nothing else is said.

    Each keeps its id and its time, and is billed to whoever paid then. What fails again waits on, with what is
    wrong with it now; replaying twice bills nothing twice. The server does the work: interrupting this command does
    not stop it.
    """
    filters = _filters(reason=reason, meter=meter, project=project, **{"from": from_, "to": to})
    with target.open() as api:
        if resume is not None:
            found = get_replay(api, resume)
        else:
            found = open_replay(api, filters=filters, accept_late=accept_late, dry_run=dry_run)
        if not dry_run or resume is not None:
            found = _watched(api, found) if wait else found
    if target.structured:
        target.write(found)
    elif "dryRun" in found:
        write(f"{found['total']:,} events would be replayed")
        rows = [[row["reason"], row["meter"], row["events"]] for row in cast("list[JSON]", found["items"])]
        if rows:
            write_table(["Reason", "Meter", "Events"], rows, right=["Events"])
    else:
        write(
            f"replay {found['id']} {found['state']}: {found['replayed']:,} of {found['total']:,} billed now, "
            f"{found['kept']:,} wait on, {found['duplicate']:,} were billed already"
        )
    return EXIT_FAILED if found.get("kept") else 0


def events(
    id: Annotated[
        str | None,
        Parameter(help="One event, by its ULID or UUID; with --source by any id that it was sent with."),
    ] = None,
    /,
    *,
    source: Annotated[str | None, Parameter(help="The source that the one event was sent with.")] = None,
    organization: Annotated[
        str | None, Parameter(help="In whose name it was sent, where several have sent the same.")
    ] = None,
    account: Annotated[str | None, Parameter(help="Who paid, as namespace/name.")] = None,
    project: Annotated[str | None, Parameter(help="Name of the project.")] = None,
    meter: Annotated[str | None, Parameter(help="Name of the meter.")] = None,
    from_: Annotated[str | None, Parameter(name="--from", help="First billing day, YYYY-MM-DD.")] = None,
    to: Annotated[str | None, Parameter(help="Day after the last, YYYY-MM-DD.")] = None,
    resource: Annotated[
        list[str] | None,
        Parameter(negative=(), help="What was measured, such as uid=1f0c; repeatable.", metavar="KEY=VALUE"),
    ] = None,
    limit: _Limit = LIMIT,
    target: Target = DEFAULT,
) -> int:
    """Show stored events, for disputes: by id, or by what they count for; archived ones too.

    Days of the archive that cannot be read are named, and the exit code says that something may be missing.
    """
    with target.open() as api:
        if id is not None:
            if source is None:
                target.write(api.json("GET", f"/v1/usage/events/{id}"))
            else:
                target.write(get_sent_event(api, id, source=source, organization=organization))
            return 0
        if source is not None or organization is not None:
            raise ClientError("--source and --organization go with one id.", next_step="Give the event's id.")
        filters = _filters(account=account, project=project, meter=meter, **{"from": from_, "to": to})
        found = list_events(api, limit=limit, resource=resource or (), **filters)
    return write_events(found, target=target)


def write_events(events: Events, *, target: Target) -> int:
    """Events as a table, or whole; EXIT_FAILED where days of the archive could not be read, which it names."""
    if target.structured:
        target.write({"items": events.items, "unreadDays": events.unread})
    elif not events.items:
        sys.stderr.write("No events found.\n")
    else:
        rows: list[list[Any]] = []
        for item in events.items:
            labels = ",".join(f"{key}={value}" for key, value in sorted(item["dimensions"].items()))
            account = f"{item['namespace']}/{item['account']}"
            rows.append(
                [
                    item["ulid"],
                    item["day"],
                    account,
                    item["project"],
                    item["meter"],
                    item["value"],
                    labels,
                    item.get("voided", {}).get("reason", ""),
                ]
            )
        columns = ["Event", "Day", "Account", "Project", "Meter", "Value", "Dimensions", "Voided"]
        write_table(columns, rows, right=["Value"])
    for days in events.unread:
        sys.stderr.write(f"Not read: {days['first']} to {days['last']}: {days['reason']}\n")
    return EXIT_FAILED if events.unread else 0


def _watched(api: ApiClient, found: JSON) -> JSON:
    """The replay once it is finished; shows how far it is."""
    with Bars() as bars:
        while True:
            done = found["replayed"] + found["kept"] + found["duplicate"]
            finished = found["state"] == "finished"
            bars.show("replay", found["total"] if finished else done, found["total"], unit="events")
            if finished:
                return found
            time.sleep(ASK_AGAIN_S)
            found = get_replay(api, found["id"])


def _filters(**given: str | None) -> dict[str, str]:
    return {name: value for name, value in given.items() if value is not None}
