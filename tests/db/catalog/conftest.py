"""A provider with the organization acme, on a database of the test's own."""

from pathlib import Path

import pytest

from milo_billing.infra.database import Databases
from tests.accounts_world import World, make_world, open_world
from tests.standing import Stand, Standing


@pytest.fixture(scope="session")
def standing_world(stand: Stand) -> Standing:
    return stand(make_world)


@pytest.fixture
def world(standing_world: Standing, databases: Databases, tmp_path: Path) -> World:
    return open_world(databases, tmp_path)
