"""Whatever sequence of bindings and deletions a project goes through: never two payers, never a gap at a change."""

from datetime import datetime, timedelta
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.types import PayerInterval
from milo_billing.directory import reads as directory
from milo_billing.infra.database import EVERYWHERE, Databases
from tests.accounts_world import World, make_world

ACCOUNTS = ("one", "two", "three")
MICROSECOND = timedelta(microseconds=1)

steps = st.lists(
    st.tuples(
        st.sampled_from(["delete", *ACCOUNTS]),
        st.sampled_from(
            [timedelta(0), MICROSECOND, timedelta(seconds=1), timedelta(days=40), timedelta(hours=-1)]
        ),
    ),
    min_size=1,
    max_size=7,
)
"""What is done (the active binding deleted, or another account bound) and how far the clock moves before it."""


@pytest.fixture
def world(databases: Databases, tmp_path: Path) -> World:
    world = make_world(databases, tmp_path)
    for account in ACCOUNTS:
        world.account(account)
    return world


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_a_project_has_one_payer_from_its_first_binding_until_a_deletion(
    world: World, steps: list[tuple[str, timedelta]]
):
    project = f"project-{next(PROJECTS)}"
    world.project(project)
    earlier = world.clock.now()
    active: str | None = None
    touching: set[str] = set()
    for place, (action, later) in enumerate(steps):
        world.clock.instant += later
        if action != "delete":
            name = f"{project}-{place}"
            world.bind(name, project=project, account=action)
            if active is not None:
                touching.add(name)
            active = name
        elif active is not None:
            world.unbind(active)
            active = None
    found = intervals(world, project)
    assert all(i.ends_at is None or i.starts_at < i.ends_at for i in found)
    for before, after in pairwise(found):
        assert before.ends_at is not None and before.ends_at <= after.starts_at
        assert (before.ends_at == after.starts_at) or after.binding_name not in touching
    assert [i.binding_name for i in found if i.ends_at is None] == ([] if active is None else [active])
    assert_lookup_agrees(world, project, found, earlier)


def intervals(world: World, project: str) -> list[PayerInterval]:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        return [i for i in payer_reads.load_intervals(tx) if i.project_name == project]


def assert_lookup_agrees(world: World, project: str, found: list[PayerInterval], earlier: datetime) -> None:
    """The indexed lookup says what reading through all intervals says, on both sides of every edge."""
    edges = {earlier, *(i.starts_at for i in found), *(i.ends_at for i in found if i.ends_at is not None)}
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        entry = directory.find_project(tx, name=project, at=earlier)
        assert entry is not None
        for at in (edge + shift for edge in edges for shift in (-MICROSECOND, timedelta(0), MICROSECOND)):
            expected = [
                i.account for i in found if i.starts_at <= at and (i.ends_at is None or at < i.ends_at)
            ]
            payer = payer_reads.find_payer(tx, project=entry.number, at=at)
            assert ([] if payer is None else [payer.account]) == expected


PROJECTS = count(1)
