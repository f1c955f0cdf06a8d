"""A provider with something to sell and an account to take it."""

from pathlib import Path

import pytest

from milo_billing.infra.database import Databases
from tests.accounts_world import World, make_world, open_world
from tests.db.entitlements.ground import stock
from tests.standing import Stand, Standing


@pytest.fixture(scope="session")
def standing_world(stand: Stand) -> Standing:
    return stand(lambda databases, folder: stock(make_world(databases, folder)))


@pytest.fixture
def world(standing_world: Standing, databases: Databases, tmp_path: Path) -> World:
    """It is noon in New York, 1 October; acme's account is there and pays for the project web."""
    return open_world(databases, tmp_path)
