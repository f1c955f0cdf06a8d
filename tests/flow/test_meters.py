"""A meter's life over a real server: gateway and API are processes of their own."""

from collections.abc import Callable
from datetime import UTC, datetime
from secrets import randbits

from milo_billing.client.http import ApiClient
from milo_billing.client.usage import get_usage, new_event, send_events
from tests.flow.conftest import CommandLine

METER = "life.flow.example/users"
MANIFEST = """\
apiVersion: billing.miloapis.com/v1alpha1
kind: MeterDefinition
metadata: {name: life-users}
spec:
  meterName: life.flow.example/users
  phase: Draft
  measurement:
    aggregation: UniqueCount
    uniqueKey: user
    unit: "{user}"
    bands:
    - {dimension: size, by: Value, ranges: [{name: small, upTo: "10"}, {name: large}]}
"""


def test_the_next_event_after_a_change_of_a_meter_is_taken_as_the_meter_is_now(
    milo: CommandLine, customer: Callable[[str, str], str], api: ApiClient
):
    project = customer("meter-life", "2026-01-01T00:00:00Z")

    def send(user: str, value: int = 1) -> int:
        """How many events of the project are counted after one more was sent; no pause, so well within a second."""
        now = datetime.now(UTC)
        dimensions = {"user": user}
        event = new_event(
            meter=METER,
            project=project,
            value=value,
            time=now,
            random80=randbits(80),
            source="test",
            dimensions=dimensions,
        )
        assert send_events(api, [event]).accepted == 1
        days = {"from": f"{now:%Y}-01-01", "to": f"{now.year + 2}-01-01"}
        return sum(int(item["count"]) for item in get_usage(api, project=project, **days))

    def become(phase: str) -> None:
        changed = milo("apply", "-f", "-", stdin=MANIFEST.replace("Draft", phase))
        assert changed.returncode == 0, changed.stderr

    become("Draft")
    assert send("ann") == 0
    become("Published")
    assert [send("ann"), send("ann", 11), send("bob")] == [1, 2, 3]
    become("Deprecated")
    assert send("cid") == 4
    become("Retired")
    assert send("dan") == 4
    shown = milo("usage", "show", "--project", project, "--group-by", "dimension:size")
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert [row[3:6] for row in rows[1:]] == [["large", "UniqueCount", "1"], ["small", "UniqueCount", "3"]]
