"""A control plane of directory and access, with two organizations."""

from pathlib import Path

import pytest

from milo_billing.infra.database import Databases
from tests.db.access.ground import Ground, organization


@pytest.fixture
def ground(databases: Databases, tmp_path: Path) -> Ground:
    """A server that was just started: the administrator is logged in."""
    ground = Ground(databases, tmp_path / "keyfile")
    ground.bootstrap()
    return ground


@pytest.fixture
def two_organizations(ground: Ground) -> tuple[int, int]:
    """The numbers of the organizations acme and beta."""
    for name in ("acme", "beta"):
        ground.created(organization(name))
    with ground.transaction() as tx:
        rows = tx.execute("select number from directory.organizations order by name").fetchall()
    return rows[0][0], rows[1][0]
