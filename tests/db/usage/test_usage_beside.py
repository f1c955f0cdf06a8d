"""Groups that another process prepares come out as they would here, and nothing depends on that process."""

import os
import signal
import time
from collections.abc import Generator
from dataclasses import fields

import numpy as np
import pytest

from milo_billing.catalog.resources import kinds as catalog
from milo_billing.infra.clock import new_uid, random_bits
from milo_billing.infra.database import EVERYWHERE
from milo_billing.usage import store
from milo_billing.usage.engine import beside as module
from milo_billing.usage.engine import groups
from milo_billing.usage.engine.beside import EVENTS_MIN, Beside
from milo_billing.usage.engine.commit import Committer
from milo_billing.usage.engine.groups import Group
from milo_billing.usage.engine.knowledge import Knowledge, Versions, nothing, refreshed
from milo_billing.usage.engine.prepare import Preparer
from milo_billing.usage.engine.prepared import Followers, Limits, Prepared, Rows
from tests.usage_world import UsageWorld, meter_spec

LIMITS = Limits(late_days_max=30, first_day=0)
UP_S = 30


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Generator[Beside]:
    """A process that is there again at once, and hears at once what is known."""
    monkeypatch.setattr(module, "KNOWLEDGE_S_MIN", 0.0)
    monkeypatch.setattr(module, "RESTART_S_MIN", 0.0)
    made = Beside()
    yield made
    made.stop()


def known(usage: UsageWorld) -> Knowledge:
    """Everything that the database says at present."""
    with usage.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        found = store.read_versions(tx)
        versions = Versions(found["payers"], found["meters"], found["projects"])
        return refreshed(tx, nothing(), versions, projects=True)


def prepared_over_there(beside: Beside, group: Group, knowledge: Knowledge) -> Prepared:
    """What the other process makes of the group, once it is up."""
    until = time.monotonic() + UP_S
    while time.monotonic() < until:
        prepared = beside.prepare(group, knowledge, LIMITS)
        if prepared is not None:
            return prepared
        time.sleep(0.02)
    raise AssertionError(f"the process did not answer within {UP_S} s")


def everything(usage: UsageWorld) -> Group:
    """A large group of everything that can happen to an event before the database is asked."""
    good = [usage.event(value=str(i), dimensions={"region": f"r-{i % 7}"}) for i in range(EVENTS_MIN)]
    bad = [
        usage.event(meter="compute.example/none"),
        usage.event(project="gone"),
        usage.event(value="half"),
        usage.event(dimensions={"undeclared": "yes"}),
        usage.event(resource={"kind": "Instance", "name": "i-1"}),
        usage.event(id="order-1"),
        usage.event(id="8" * 26),
        {**usage.event(), "data": "none"},
        {**usage.event(), "specversion": "0.3"},
        {**good[0], "data": {"value": "9"}},
        good[1],
    ]
    organization = frozenset({usage.organization("acme")})
    return groups.whole(
        [usage.request(good), usage.request(bad), usage.request([usage.event()], reach=organization)]
    )


def columns(part: Rows | Followers, *, but: frozenset[str] = frozenset()) -> dict[str, list[object]]:
    """Every column as a list."""
    return {f.name: np.asarray(getattr(part, f.name)).tolist() for f in fields(part) if f.name not in but}


def test_a_group_comes_out_as_it_would_here(usage: UsageWorld, beside: Beside):
    usage.world.create(catalog.MeterDefinition, "seen", meter_spec("compute.example/seen", "region"))
    group, knowledge = everything(usage), known(usage)
    there = prepared_over_there(beside, group, knowledge)
    here = Preparer(random_bits=random_bits).prepare(group, knowledge, LIMITS)
    made_up = frozenset({"id"})  # what a foreign event is stored under is made anew each time
    assert columns(there.rows, but=made_up) == columns(here.rows, but=made_up)
    assert columns(there.followers) == columns(here.followers)
    assert there.fates.tolist() == here.fates.tolist()
    assert there.rejected == here.rejected
    assert len(there.rejected) == 1
    assert there.new_dimensions == here.new_dimensions
    assert there.new_resources == here.new_resources
    assert len(there.new_dimensions) == 8
    assert (there.group, there.knowledge, there.limits) == (group, knowledge, LIMITS)
    assert len(set(here.rows.reason.tolist())) == 6


def test_it_hears_what_is_known_now_and_what_is_stored_by_now(usage: UsageWorld, beside: Beside):
    group = groups.whole([usage.request([usage.event(meter="compute.example/new")] * EVENTS_MIN)])
    first = prepared_over_there(beside, group, known(usage))
    assert first.sets_aside
    usage.world.create(catalog.MeterDefinition, "new", meter_spec("compute.example/new"))
    second = prepared_over_there(beside, group, known(usage))
    assert not second.sets_aside
    assert len(second.new_dimensions) == 1
    beside.mark_stored(dimensions=second.new_dimensions, resources=())
    assert prepared_over_there(beside, group, second.knowledge).new_dimensions == {}


def test_what_it_was_not_told_yet_is_prepared_here(usage: UsageWorld, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "KNOWLEDGE_S_MIN", 3_600.0)
    group = groups.whole([usage.request([usage.event()] * EVENTS_MIN)])
    beside, knowledge = Beside(), known(usage)
    try:
        prepared_over_there(beside, group, knowledge)
        assert beside.prepare(group, known(usage), LIMITS) is None
        assert beside.prepare(group, knowledge, LIMITS) is not None
    finally:
        beside.stop()


def test_a_small_group_or_a_part_of_a_request_starts_nothing(usage: UsageWorld, beside: Beside):
    small = groups.whole([usage.request([usage.event()])])
    half, _ = groups.whole([usage.request([usage.event()] * 2 * EVENTS_MIN)]).halves()
    assert half.size == EVENTS_MIN
    assert [beside.prepare(group, known(usage), LIMITS) for group in (small, half)] == [None, None]
    assert beside.process is None


def test_killed_it_is_missed_by_nobody_and_comes_back(usage: UsageWorld, beside: Beside):
    committer = Committer(
        usage.databases.ingest, process=new_uid(), random_bits=random_bits, late_days_max=30, beside=beside
    )
    stored = 0
    for _ in range(3):
        group = groups.whole([usage.request([usage.event() for _ in range(EVENTS_MIN)])])
        prepared_over_there(beside, group, known(usage))
        process = beside.process
        assert process is not None
        os.kill(process, signal.SIGKILL)
        committer.commit(group, committer.prepare_ahead(group))
        stored += EVENTS_MIN
        assert usage.value("select count(*) from usage.events") == stored
        assert beside.process is None
    assert usage.rolled_up() == usage.recounted()


def test_a_stopped_process_is_given_up(usage: UsageWorld, beside: Beside, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "ANSWER_S_MAX", 0.2)
    group = groups.whole([usage.request([usage.event()] * EVENTS_MIN)])
    knowledge = known(usage)
    prepared_over_there(beside, group, knowledge)
    assert beside.process is not None
    os.kill(beside.process, signal.SIGSTOP)
    assert beside.prepare(group, knowledge, LIMITS) is None
    assert beside.process is None


def test_it_ends_with_the_gateway(usage: UsageWorld, beside: Beside):
    group = groups.whole([usage.request([usage.event()] * EVENTS_MIN)])
    prepared_over_there(beside, group, known(usage))
    process = beside.process
    assert process is not None
    os.kill(
        process, signal.SIGTERM
    )  # what a terminal or a supervisor sends to all of a group: not its concern
    prepared_over_there(beside, group, known(usage))
    assert beside.process == process
    beside.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert beside.prepare(group, known(usage), LIMITS) is None
    assert beside.process is None


def test_what_it_cannot_prepare_is_prepared_here(
    usage: UsageWorld, beside: Beside, monkeypatch: pytest.MonkeyPatch
):
    group = groups.whole([usage.request([usage.event()] * EVENTS_MIN)])
    knowledge = known(usage)
    prepared_over_there(beside, group, knowledge)
    (part,) = group.parts
    monkeypatch.setattr(
        part.request.batch, "body", b"["
    )  # what nobody sends: it would not have been decoded here
    assert beside.prepare(group, knowledge, LIMITS) is None
    monkeypatch.setattr(part.request.batch, "body", b"[]")
    assert beside.prepare(group, knowledge, LIMITS) is None
    assert beside.process is not None
