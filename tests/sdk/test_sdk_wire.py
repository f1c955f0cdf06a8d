"""The SDK and the real gateway: what each answer of the wire contract makes of an event."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from milo_usage import Recorder, deadletters
from milo_usage.clock import SystemClock
from milo_usage.folder import Folder

from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import new_uid, random_bits
from milo_billing.infra.database import EVERYWHERE, Databases
from milo_billing.kernel.ids import ulid_to_int
from milo_billing.usage.engine.pipeline import UsageEngine
from milo_billing.usage.engine.readings import to_us
from milo_billing.usage.routes import ingest as routes
from milo_billing.usage.routes.gateway import INGEST, ShortWay
from tests.serving import serving
from tests.usage_world import CPU, UsageWorld, make_usage_world

WAIT_S = 30.0


@dataclass
class WorldClock:
    """The clock of the world, so many seconds ahead of it."""

    world: UsageWorld
    ahead_s: int = 0

    def now_us(self) -> int:
        return to_us(self.world.now + timedelta(seconds=self.ahead_s))

    def monotonic_s(self) -> float:
        return SystemClock().monotonic_s()

    def random_bits(self, count: int) -> int:
        return SystemClock().random_bits(count)


@pytest.fixture
def world(databases: Databases, tmp_path: Path) -> UsageWorld:
    """Acme's project `web`, paid for by `main`."""
    return make_usage_world(databases, tmp_path)


@pytest.fixture
def clock(world: UsageWorld) -> WorldClock:
    return WorldClock(world)


@pytest.fixture
def recorder(world: UsageWorld, clock: WorldClock, tmp_path: Path) -> Iterator[Recorder]:
    """Sends to a gateway on the world's database, as one who may send for everybody."""
    world.world.grants.granted |= {INGEST: EVERYWHERE}
    door = Door(world.databases.app, world.world.grants, world.world.clock)
    engine = UsageEngine(world.databases.ingest, process=new_uid(), random_bits=random_bits, late_days_max=30)
    engine.start()
    found, doors = routes.routes(door, engine)
    try:
        with (
            serving(ShortWay(build_application(found), doors)) as url,
            Recorder(url=url, token="ann", spool=tmp_path / "spool", linger_s=0, clock=clock) as recorder,
        ):
            yield recorder
    finally:
        engine.stop()


def test_recorded_events_are_stored_under_their_ids_and_rolled_up(recorder: Recorder, world: UsageWorld):
    ids = [recorder.record(meter=CPU, project="web", quantity=n) for n in range(50)]
    assert recorder.flush(WAIT_S)
    assert [id.int for (id,) in world.rows("select id from usage.events order by id")] == [
        ulid_to_int(id) for id in ids
    ]
    assert world.value("select sum(sum) from usage.deltas") == sum(range(50))
    assert (recorder.metrics().acknowledged, recorder.metrics().rejected) == (50, 0)


def test_an_id_of_the_callers_own_counts_once_and_another_payload_is_a_conflict(
    recorder: Recorder, world: UsageWorld, tmp_path: Path
):
    at = world.now
    for quantity in (5, 5, 6):
        recorder.record(meter=CPU, project="web", quantity=quantity, occurred_at=at, event_id="order-17")
        assert recorder.flush(WAIT_S)
    assert world.rows("select value from usage.events") == [(5,)]
    metrics = recorder.metrics()
    assert (metrics.acknowledged, metrics.rejected, metrics.conflicts) == (2, 1, 1)
    (letter,) = deadletters.read(Folder(tmp_path / "spool"))
    assert (letter.id, letter.reason) == ("order-17", "ID_CONFLICT")


def test_ids_from_a_clock_that_is_ahead_are_rejected_one_by_one(
    recorder: Recorder, clock: WorldClock, world: UsageWorld
):
    recorder.record(meter=CPU, project="web", quantity=1)
    clock.ahead_s = 7_200
    recorder.record(meter=CPU, project="web", quantity=2)
    assert recorder.flush(WAIT_S)
    assert world.rows("select value from usage.events") == [(1,)]
    assert recorder.metrics().rejected == 1


def test_what_only_the_gateway_can_know_is_quarantined_there_and_needs_no_resend(
    recorder: Recorder, world: UsageWorld
):
    recorder.record(meter="no.example/meter", project="web", quantity=1)
    recorder.record(meter=CPU, project="nobodys", quantity=1)
    recorder.record(meter=CPU, project="web", quantity=1, dimensions={"undeclared": "x"})
    recorder.record(meter=CPU, project="web", quantity=1, occurred_at=world.now - timedelta(days=31))
    assert recorder.flush(WAIT_S)
    assert world.quarantined() == ["attribution_failure", "invalid_dimensions", "too_late", "unknown_meter"]
    assert recorder.metrics().acknowledged == 4


def test_without_the_right_to_send_events_wait_until_it_is_given(recorder: Recorder, world: UsageWorld):
    world.world.grants.granted.pop(INGEST)
    recorder.record(meter=CPU, project="web", quantity=1)
    assert not recorder.flush(1.0)
    assert "answered 403" in str(recorder.metrics().last_error)
    assert world.value("select count(*) from usage.events") == 0
    world.world.grants.granted[INGEST] = EVERYWHERE
    assert recorder.flush(WAIT_S)
    assert world.value("select count(*) from usage.events") == 1
