"""The customer of the tests of promises."""

from pathlib import Path

import pytest

from milo_billing.infra.database import Databases
from tests.accounts_world import make_world, open_world
from tests.db.commitments.ground import Ground
from tests.standing import Stand, Standing


@pytest.fixture(scope="session")
def standing_ground(stand: Stand) -> Standing:
    return stand(lambda databases, folder: Ground(make_world(databases, folder)).declare())


@pytest.fixture
def ground(standing_ground: Standing, databases: Databases, tmp_path: Path) -> Ground:
    """Acme with an account, two Skus and a list book; nothing used, nothing promised."""
    return Ground(open_world(databases, tmp_path))
