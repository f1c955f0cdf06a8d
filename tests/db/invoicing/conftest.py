"""The provider of the invoicing tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from milo_billing.infra.database import Databases, connect
from tests.db.invoicing.ground import ISSUER, Ground, open_ground


@pytest.fixture
def bare_ground(databases: Databases, tmp_path: Path) -> Ground:
    """A catalog and a customer, but nobody who issues."""
    ground = open_ground(databases, tmp_path)
    ground.declare_world()
    return ground


@pytest.fixture
def as_owner(clean_database: str) -> Callable[[str], None]:
    """Run statements in one transaction as the role that no grant and no row-level security binds."""

    def execute(statements: str) -> None:
        with connect(clean_database, role="milo_owner") as tx:
            tx.execute(statements.encode())

    return execute


@pytest.fixture
def ground(bare_ground: Ground) -> Ground:
    """All that it takes to issue."""
    bare_ground.declare("issuerprofiles", "kestrel", ISSUER)
    return bare_ground
