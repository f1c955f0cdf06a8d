"""A server's worker archives days by its own schedule; their events are found through the API, and can be voided."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from demo.server import Running, start_server

from milo_billing.client.http import ApiClient
from milo_billing.client.manifests import read_manifests
from milo_billing.client.objects import Objects
from milo_billing.client.usage import get_archive, new_event, send_events
from tests.flow.conftest import CATALOG, CUSTOMER, CommandLine

METER = "llm.flow.example/context-tokens"
AUGUST = datetime(2026, 8, 1, 10, tzinfo=UTC)
LIMIT_S = 60.0


def start(folder: Path, *, clock: str, **settings: str) -> Running:
    """The server on this folder, at a simulated time."""
    chosen = {"POSTGRES_FSYNC": "false", "SHUTDOWN_GRACE_S": "2", "CLOCK": clock, **settings}
    return start_server(folder / "data", log=folder / "log", settings=chosen)


def send(server: Running) -> list[dict[str, Any]]:
    """Declare a customer, and send what its project used: five events, one of them with an id of the sender's own."""
    with ApiClient(server.connection()) as api:
        objects = Objects(api)
        text = CATALOG + "---\n" + CUSTOMER.format(name="archived", since="2026-01-01T00:00:00Z")
        for manifest in read_manifests(text, where="here"):
            objects.apply(manifest)
        events = [
            new_event(
                meter=METER, project="archived-app", value=10**n, time=AUGUST, random80=n, source="urn:shop"
            )
            for n in range(5)
        ]
        events[4]["id"] = "order-4711"
        assert send_events(api, events).accepted == 5
    return events


def await_archived(server: Running, day: str) -> dict[str, Any]:
    """Wait until the worker has dropped the day; its file."""
    until = time.monotonic() + LIMIT_S
    with ApiClient(server.connection()) as api:
        while (found := get_archive(api, **{"from": day})[0])["state"] != "dropped":
            assert time.monotonic() < until, f"{day} was not archived within {LIMIT_S:.0f} s"
            time.sleep(0.2)
    return found["file"]


@pytest.mark.long
def test_a_worker_archives_by_its_schedule_and_disputes_go_on(open_folder: Path):
    server = start(open_folder, clock="2026-08-01T10:00:00Z")
    try:
        sent = send(server)
    finally:
        server.stop()

    server = start(open_folder, clock="2026-10-05T00:00:00Z", USAGE_ARCHIVE_SCHEDULE="* * * * * */2")
    try:
        file = await_archived(server, "2026-08-01")
        milo = CommandLine(server)
        assert file["events"] == 5

        listed = milo.json("usage", "events", "--account", "organization-archived/main", "--meter", METER)
        assert listed["unreadDays"] == []
        assert sorted(int(event["value"]) for event in listed["items"]) == [10**n for n in range(5)]
        assert {event["ulid"] for event in listed["items"]} > {event["id"] for event in sent[:4]}
        assert milo.json("usage", "events", sent[2]["id"])["value"] == "100"

        done = milo("usage", "void", "order-4711", "--source", "urn:shop", "--reason", "a load test")
        assert done.returncode == 0, done.stderr
        (used,) = milo.json(
            "usage", "show", "--account", "main", "--from", "2026-08-01", "--to", "2026-09-01"
        )["items"]
        assert (used["sum"], used["count"]) == ("1111", 4)
        shown = milo("usage", "events", "--account", "organization-archived/main", "--meter", METER)
        assert [line for line in shown.stdout.splitlines() if line.endswith("a load test")] != []

        Path(open_folder / "data" / "archive" / file["name"]).unlink()
        lost = milo("usage", "events", "--account", "organization-archived/main", "--meter", METER)
        assert lost.returncode == 1
        assert "Not read: 2026-08-01 to 2026-08-01" in lost.stderr
    finally:
        server.stop()
