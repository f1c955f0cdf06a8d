"""A provider with meters, projects and payers on a database of its own."""

from pathlib import Path

import pytest

from milo_billing.infra.database import Databases
from tests.standing import Stand, Standing
from tests.usage_world import UsageWorld, make_usage_world, open_usage_world


@pytest.fixture(scope="session")
def standing_usage(stand: Stand) -> Standing:
    return stand(make_usage_world)


@pytest.fixture
def usage(standing_usage: Standing, databases: Databases, tmp_path: Path) -> UsageWorld:
    """Acme's project `web`, paid for by `main`, an hour after it was bound."""
    return open_usage_world(databases, tmp_path)
