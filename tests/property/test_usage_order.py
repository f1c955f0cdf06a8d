"""Order and grouping of arrivals change nothing: an auditor who knows only the rules predicts the totals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milo_billing.infra.database import Databases
from milo_billing.usage import store
from tests.usage_world import JSON, UsageWorld, make_usage_world

START = datetime(2026, 10, 1, 13, tzinfo=UTC)
HOURS = 60
ZONES = {"main": ZoneInfo("Etc/UTC"), "second": ZoneInfo("Pacific/Apia")}
Totals = dict[tuple[str, str, str, date], tuple[int, ...]]


@dataclass(frozen=True)
class Used:
    """What a customer did: everything an auditor has to know of it."""

    minute: int
    value: int
    region: str | None

    @property
    def at(self) -> datetime:
        return START + timedelta(minutes=self.minute)


USED = st.builds(
    Used,
    minute=st.integers(0, HOURS * 60 - 1),
    value=st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5),
    region=st.sampled_from([None, "eu"]),
)


@pytest.fixture
def usage(databases: Databases, tmp_path: Path) -> tuple[UsageWorld, datetime]:
    """`web` is paid for by main, and by second from half-way on; now is the end."""
    usage = make_usage_world(databases, tmp_path)
    usage.world.account("second", timeZone="Pacific/Apia")
    rebound = usage.world.clock.forward(hours=HOURS / 2)
    usage.world.bind("web-2", project="web", account="second")
    usage.world.clock.forward(hours=HOURS / 2)
    return usage, rebound


def audited(used: Sequence[Used], rebound: datetime) -> Totals:
    """The totals by domain.md §4: whoever was bound pays, on the day of his own zone."""
    found: dict[tuple[str, str, str, date], list[int]] = {}
    for one in sorted(used, key=lambda one: one.minute):
        payer = "main" if one.at < rebound else "second"
        labels = '{"region": "eu"}' if one.region else "{}"
        found.setdefault((payer, "web", labels, one.at.astimezone(ZONES[payer]).date()), []).append(one.value)
    return {key: (sum(values), len(values), min(values), max(values)) for key, values in found.items()}


@given(data=st.data(), used=st.lists(USED, min_size=1, max_size=40))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_totals_are_the_auditors_whatever_the_order_and_the_groups(
    usage: tuple[UsageWorld, datetime], data: st.DataObject, used: list[Used]
):
    world, rebound = usage
    with world.databases.ingest.transaction(reach="*") as tx:
        tx.execute("truncate usage.events, usage.deltas, usage.rollups")
    events: list[JSON] = [
        world.event(value=str(one.value), at=one.at, dimensions={"region": "eu"} if one.region else {})
        for one in used
    ]
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=10))
    arrivals: list[JSON] = data.draw(st.permutations([*events, *repeated]))
    cut = data.draw(st.integers(0, len(arrivals)))
    first, second = world.ingest(arrivals[:cut], arrivals[cut : cut + 5])
    if data.draw(st.booleans()):
        with world.databases.ingest.transaction(reach="*") as tx:
            store.compact(tx)
    (third,) = world.ingest(arrivals[cut + 5 :])
    assert first.accepted + second.accepted + third.accepted == len(events)
    assert first.duplicate + second.duplicate + third.duplicate == len(repeated)
    rolled_up = world.rolled_up()
    assert {key: figures[:4] for key, figures in rolled_up.items()} == audited(used, rebound)
    assert rolled_up == world.recounted()
