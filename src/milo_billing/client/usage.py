"""Send usage events, and read usage back.

Owns: building events and the two ingest calls. Not: files (imports), randomness or the clock (the caller's).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote

from milo_billing.client.http import JSON, ApiClient
from milo_billing.client.timestamps import format_instant
from milo_billing.kernel.ids import ulid

BATCH_MAX = 5_000


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that the gateway did not take, with a reason code and what is wrong with it."""

    id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of events that were sent: accepted ones are durable, rejected ones are the sender's to
    mend.
    """

    accepted: int
    rejected: tuple[Rejected, ...]


def new_event(
    *,
    meter: str,
    project: str,
    value: int,
    time: datetime,
    random80: int,
    source: str,
    dimensions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A CloudEvent whose id is a ULID of `time` (milliseconds) and 80 random bits."""
    return {
        "specversion": "1.0",
        "id": ulid(int(time.timestamp() * 1000), random80),
        "source": source,
        "type": meter,
        "subject": f"projects/{project}",
        "time": format_instant(time),
        "datacontenttype": "application/json",
        "data": {"value": str(value), "dimensions": dict(dimensions or {})},
    }


def send_events(api: ApiClient, events: Sequence[Mapping[str, Any]]) -> Sent:
    """Send any number of events, BATCH_MAX a request. Sending them again changes nothing: ids make them
    unique.
    """
    accepted = 0
    rejected: list[Rejected] = []
    for start in range(0, len(events), BATCH_MAX):
        batch = list(events[start : start + BATCH_MAX])
        answer = api.repeat("POST", "/v1/usage/events:batchIngest", door="gateway", body=batch)
        accepted += int(answer.get("accepted", 0))
        rejected += [
            Rejected(str(item.get("id", "")), str(item.get("reason", "")), str(item.get("detail", "")))
            for item in cast("list[JSON]", answer.get("rejected") or [])
        ]
    return Sent(accepted=accepted, rejected=tuple(rejected))


def get_usage(api: ApiClient, **filters: str) -> list[JSON]:
    """Usage by the aggregation of each meter; filters as the server names them: namespace, account, project, meter,
    from, to, groupBy (project, meter, day, dimension:NAME).
    """
    answer = api.json("GET", "/v1/usage", params=filters)
    return cast("list[JSON]", answer.get("items") or [])


def get_statistics(api: ApiClient) -> JSON:
    """What became of everything sent: `{accepted, late, duplicate, conflicts, quarantined: {reason:
    events}}`.
    """
    return api.json("GET", "/v1/usage/statistics")


def void_event(api: ApiClient, id: str, *, reason: str) -> JSON:
    """Take an event out of what is billed; again, the same answer: `{id, state: voided|discarded, reason, by, at}`."""
    path = f"/v1/usage/events/{quote(id, safe='')}/void"
    return api.repeat("POST", path, door="api", body={"reason": reason})


def void_sent_event(
    api: ApiClient, id: str, *, reason: str, source: str, organization: str | None = None
) -> JSON:
    """The same by what the sender knows; `organization` is the sender's, needed where several have sent the same."""
    body = {"id": id, "source": source, "reason": reason}
    if organization is not None:
        body["organization"] = organization
    return api.repeat("POST", "/v1/usage/events:void", door="api", body=body)


def get_changes(api: ApiClient, **filters: str) -> list[JSON]:
    """What reached an invoiced period afterwards; filters: namespace, account, period, cause."""
    return cast("list[JSON]", api.json("GET", "/v1/usage/changes", params=filters).get("items") or [])


def get_archive(api: ApiClient, **filters: str) -> list[JSON]:
    """Days of raw events in order, each with its state and file; filters: from, to."""
    return cast("list[JSON]", api.json("GET", "/v1/usage/archive", params=filters).get("items") or [])


def run_archive(api: ApiClient, *, until: str | None, dry_run: bool) -> list[str]:
    """Have a worker archive the days whose time is over; which ones those are."""
    body = {"until": until, "dryRun": dry_run}
    return cast(
        "list[str]", api.repeat("POST", "/v1/usage/archive:run", door="api", body=body).get("due") or []
    )


def verify_archive(api: ApiClient, day: str) -> str | None:
    """Have the file of a day read again; what is wrong with it, or None."""
    answer = api.repeat("POST", f"/v1/usage/archive/{day}:verify", door="api", body={})
    return cast("str | None", answer.get("problem"))
