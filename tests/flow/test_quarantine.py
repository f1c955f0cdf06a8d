"""What could not be billed, from the command line: seen, mended, replayed by a worker, given up; and the events."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from milo_billing.client.http import ApiClient
from milo_billing.client.manifests import read_manifests
from milo_billing.client.objects import Objects
from milo_billing.client.usage import get_usage, new_event, send_events
from tests.flow.conftest import CommandLine

METER = "later.flow.example/calls"
DECLARED = """\
apiVersion: billing.miloapis.com/v1alpha1
kind: MeterDefinition
metadata: {name: later-calls}
spec:
  meterName: later.flow.example/calls
  phase: Published
  measurement: {aggregation: Sum, unit: "{call}", dimensions: [region]}
"""


def event(project: str, n: int, **data: Any) -> dict[str, Any]:
    """A call that was metered before its meter was declared."""
    made = new_event(meter=METER, project=project, value=n, time=datetime.now(UTC), random80=n, source="flow")
    return {**made, "data": {**made["data"], **data}}


@pytest.mark.long
def test_events_that_came_before_their_meter_are_replayed_once_it_is_declared(
    milo: CommandLine, api: ApiClient, customer: Callable[[str, str], str]
):
    project = customer("quarantined", "2026-01-01T00:00:00Z")
    machine = {"kind": "Machine", "uid": "m-1"}
    sent = [event(project, n, resource=machine) for n in range(1, 11)]
    wrong = event(project, 11, value="1.5")
    assert send_events(api, [*sent, wrong]).accepted == 11

    (row,) = milo.json("usage", "quarantine", "list", "--meter", METER)["items"]
    assert (row["reason"], row["events"]) == ("unknown_meter", 11)
    shown = milo.json("usage", "quarantine", "show", sent[3]["id"])
    assert (shown["state"], shown["event"]) == ("quarantined", sent[3])
    dry = milo("usage", "quarantine", "replay", "--meter", METER, "--dry-run")
    assert dry.stdout.startswith("11 events would be replayed\n")

    for manifest in read_manifests(DECLARED, where="declared"):
        Objects(api).apply(manifest)
    done = milo("usage", "quarantine", "replay", "--meter", METER)
    assert done.returncode == 1, done.stderr  # one of them is still wrong
    assert "finished: 10 of 11 billed now, 1 wait on, 0 were billed already" in done.stdout
    assert "replay: 11 of 11 events" in done.stderr
    used = get_usage(api, project=project, groupBy="meter")
    assert [(row["sum"], row["count"]) for row in used] == [("55", 10)]
    assert send_events(api, [*sent, wrong]).accepted == 11  # known, all of them
    assert get_usage(api, project=project, groupBy="meter") == used

    listed = milo.json("usage", "events", "--project", project, "--resource", "uid=m-1", "--limit", "1000")
    assert [(item["ulid"], item["value"]) for item in listed["items"]] == [
        (one["id"], one["data"]["value"]) for one in sorted(sent, key=lambda one: one["id"])
    ]
    assert all("replayedAt" in item for item in listed["items"])
    table = milo("usage", "events", "--account", "organization-quarantined/main", "--limit", "3")
    assert len(table.stdout.splitlines()) == 4

    (left,) = milo.json("usage", "quarantine", "list", "--events", "--project", project)["items"]
    assert left["reason"] == "invalid_value"
    assert milo("usage", "quarantine", "discard", "--because", "none named").returncode == 1
    gone = milo("usage", "quarantine", "discard", wrong["id"], "--because", "half a call")
    assert (gone.returncode, gone.stdout) == (0, "discarded 1\n")
    again = milo("usage", "quarantine", "show", wrong["id"])
    assert "half a call" in again.stdout
    assert milo("usage", "quarantine", "list", "--project", project).stderr == "Nothing is quarantined.\n"
