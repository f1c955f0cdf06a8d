"""The quarantine and raw events: list, show, discard, replay.

Owns: those calls, and following their pages. Not: waiting (the caller asks for a replay again).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urlencode

from milo_billing.client.billing import BILLING
from milo_billing.client.http import JSON, ApiClient, next_page

BASE = "/v1/usage/quarantine"
PAGE_MAX = 1_000


def list_quarantined(api: ApiClient, *, limit: int, **filters: str) -> Iterator[JSON]:
    """Quarantined events by id, at most `limit`; filters: reason, meter, project, from, to (of receipt)."""
    return _paged(api, BASE, filters, limit=limit)


def summarize_quarantine(api: ApiClient, **filters: str) -> list[JSON]:
    """How many events wait, by reason and meter: `{reason, meter, events, oldestReceivedAt}`."""
    return cast("list[JSON]", api.json("GET", f"{BASE}/summary", params=filters).get("items") or [])


def get_quarantined(api: ApiClient, id: str) -> JSON:
    """One event with its `event` as it was sent; also one that was discarded."""
    return api.json("GET", f"{BASE}/{quote(id)}")


def discard_quarantined(
    api: ApiClient, *, ids: Sequence[str], filters: Mapping[str, str], reason: str
) -> Iterator[int]:
    """Give events up, group by group; yields how many have gone so far."""
    body: dict[str, Any] = {"reason": reason, **({"ids": list(ids)} if ids else {"filter": dict(filters)})}
    total = 0
    while True:
        answer = api.json("POST", f"{BASE}:discard", body=body)
        total += int(answer["discarded"])
        yield total
        if not answer["more"]:
            return


def open_replay(
    api: ApiClient, *, filters: Mapping[str, str], accept_late: bool = False, dry_run: bool = False
) -> JSON:
    """Have matching events tried again; with `dry_run` only how many that would be: `{total, items}`."""
    body = {"filter": dict(filters), "acceptLate": accept_late, "dryRun": dry_run}
    return api.json("POST", f"{BASE}:replay", body=body)


def get_replay(api: ApiClient, id: str) -> JSON:
    """How far a replay has come: `{state, total, replayed, kept, duplicate}`."""
    return api.json("GET", f"/v1/usage/replays/{quote(id)}")


@dataclass(frozen=True, slots=True)
class Events:
    """Stored events by id. `unread` are archived days that may hold more, and why: `{first, last, reason}`."""

    items: list[JSON]
    unread: list[JSON]


def list_events(api: ApiClient, *, limit: int, resource: Sequence[str] = (), **filters: str) -> Events:
    """Stored events by id, at most `limit`; filters: namespace, account, project, meter, from, to (billing days).

    `resource` are pairs such as `uid=1f0c`.
    """
    return _events(api, "/v1/usage/events", filters, limit=limit, resource=resource)


def list_line_events(
    api: ApiClient, *, namespace: str, name: str, line: int, limit: int, later: bool = False
) -> Events:
    """The events that make up an invoice line, by id; with `later` those that came after the issue."""
    path = f"{BILLING}/namespaces/{quote(namespace)}/invoices/{quote(name)}/lines/{line}/events"
    return _events(api, path, {"later": "true"} if later else {}, limit=limit)


def _events(
    api: ApiClient, path: str, filters: Mapping[str, str], *, limit: int, resource: Sequence[str] = ()
) -> Events:
    unread: list[JSON] = []
    items = list(_paged(api, path, filters, limit=limit, resource=resource, unread=unread))
    return Events(items, unread)


def _paged(
    api: ApiClient,
    path: str,
    filters: Mapping[str, str],
    *,
    limit: int,
    resource: Sequence[str] = (),
    unread: list[JSON] | None = None,
) -> Iterator[JSON]:
    """Follow the pages; `unread` takes up the days that they say could not be read."""
    after = ""
    while limit > 0:
        query = [*filters.items(), *(("resource", pair) for pair in resource)]
        query += [("limit", str(min(limit, PAGE_MAX))), *([("continue", after)] if after else [])]
        page = api.json("GET", f"{path}?{urlencode(query)}")
        items = cast("list[JSON]", page.get("items") or [])
        if unread is not None:
            unread += page.get("metadata", {}).get("unreadDays", [])
        yield from items
        limit -= len(items)
        after = next_page(page)
        if not after:
            return
