"""A provider with the organization acme, on a database of the test's own."""

from pathlib import Path

import pytest

from milo_billing.infra.database import Databases
from tests.accounts_world import World, make_world


@pytest.fixture
def world(databases: Databases, tmp_path: Path) -> World:
    return make_world(databases, tmp_path)
