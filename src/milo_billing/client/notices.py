"""Notices: which events there are, the log of deliveries, replays, secrets and tests of channels."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from milo_billing.client.billing import BILLING
from milo_billing.client.http import JSON, ApiClient

PAGE = 500


def list_events(api: ApiClient) -> list[JSON]:
    """Every event that channels can hear of: `{type, about, schema}`."""
    return api.json("GET", "/v1/notices/events")["items"]


def list_deliveries(api: ApiClient, *, limit: int, wanted: Mapping[str, str | None]) -> Iterator[JSON]:
    """Up to `limit` deliveries, the latest event first. `wanted` names namespace, channel, state, type, from, to."""
    asked = {name: value for name, value in wanted.items() if value}
    after = ""
    while limit > 0:
        page = api.json(
            "GET",
            "/v1/notices/deliveries",
            params={**asked, "limit": str(min(limit, PAGE)), "continue": after},
        )
        yield from page["items"]
        limit -= len(page["items"])
        after = page["continue"]
        if not after:
            return


def get_delivery(api: ApiClient, *, id: str) -> JSON:
    """One delivery with its attempts."""
    return api.json("GET", f"/v1/notices/deliveries/{quote(id, safe='')}")


def replay_delivery(api: ApiClient, *, id: str) -> JSON:
    """Send it again; the delivery as it stands then."""
    return api.json("POST", f"/v1/notices/deliveries/{quote(id, safe='')}/replay")


def replay_deliveries(api: ApiClient, wanted: dict[str, str]) -> JSON:
    """Send again what the filter finds, a part of it at a time: `{replayed, more}`."""
    return api.json("POST", "/v1/notices/replays", body=wanted)


def rotate_secret(api: ApiClient, *, namespace: str, name: str, body: dict[str, Any]) -> JSON:
    """A new secret for the channel: `{secret, overlapHours}`, without `secret` where the caller gave one."""
    return api.json("POST", f"{_path(namespace, name)}/secret", body=body)


def send_test(api: ApiClient, *, namespace: str, name: str) -> JSON:
    """Send a test event; the channel, whose status.lastTest.delivery says which delivery it is."""
    return api.json("POST", f"{_path(namespace, name)}/test", body={})


def _path(namespace: str, name: str) -> str:
    return f"{BILLING}/namespaces/{quote(namespace)}/notificationchannels/{quote(name)}"
