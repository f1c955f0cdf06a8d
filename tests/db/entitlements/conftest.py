"""A provider with something to sell and an account to take it."""

from pathlib import Path

import pytest

from milo_billing.infra.database import Databases
from tests.accounts_world import World, make_world
from tests.db.entitlements.ground import stock


@pytest.fixture
def world(databases: Databases, tmp_path: Path) -> World:
    """It is noon in New York, 1 October; acme's account is there and pays for the project web."""
    world = make_world(databases, tmp_path)
    stock(world)
    return world
