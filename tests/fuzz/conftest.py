"""A provider with meters, projects and payers on a database of its own."""

from pathlib import Path

import pytest

from milo_billing.infra.database import Databases
from tests.usage_world import UsageWorld, make_usage_world


@pytest.fixture
def usage(databases: Databases, tmp_path: Path) -> UsageWorld:
    """Acme's project `web`, paid for by `main`, an hour after it was bound."""
    return make_usage_world(databases, tmp_path)
