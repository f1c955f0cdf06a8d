"""The provider of the invoicing tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from milo_billing.infra.database import Databases, connect
from tests.db.invoicing.ground import ISSUER, Ground, open_ground
from tests.standing import Stand, Standing


@pytest.fixture(scope="session")
def standing_bare(stand: Stand) -> Standing:
    return stand(lambda databases, folder: open_ground(databases, folder).declare_world())


@pytest.fixture(scope="session")
def standing_ground(stand: Stand, standing_bare: Standing) -> Standing:
    def declare(databases: Databases, folder: Path) -> None:
        open_ground(databases, folder).declare("issuerprofiles", "kestrel", ISSUER)

    return stand(declare, upon=standing_bare)


@pytest.fixture
def bare_ground(standing_bare: Standing, databases: Databases, tmp_path: Path) -> Ground:
    """A catalog and a customer, but nobody who issues."""
    return open_ground(databases, tmp_path)


@pytest.fixture
def as_owner(clean_database: str) -> Callable[[str], None]:
    """Run statements in one transaction as the role that no grant and no row-level security binds."""

    def execute(statements: str) -> None:
        with connect(clean_database, role="milo_owner") as tx:
            tx.execute(statements.encode())

    return execute


@pytest.fixture
def ground(standing_ground: Standing, bare_ground: Ground) -> Ground:
    """All that it takes to issue."""
    return bare_ground
