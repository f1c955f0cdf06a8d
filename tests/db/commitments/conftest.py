"""The customer of the tests of promises."""

from pathlib import Path

import pytest

from milo_billing.infra.database import Databases
from tests.accounts_world import make_world
from tests.db.commitments.ground import Ground


@pytest.fixture
def ground(databases: Databases, tmp_path: Path) -> Ground:
    """Acme with an account, two Skus and a list book; nothing used, nothing promised."""
    made = Ground(make_world(databases, tmp_path))
    made.declare()
    return made
