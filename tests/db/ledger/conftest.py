"""The doors of the books over a provider with invoices."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from milo_billing.app.ledger_ports import above_the_books
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import SimulatedClock
from milo_billing.infra.database import Databases
from milo_billing.ledger.routes import routes
from tests.db.invoicing.ground import ISSUER, Ground, open_ground
from tests.db.ledger.books import DECEMBER, Books, keep_books, kept_books
from tests.serving import client_of, serving
from tests.standing import Stand, Standing


@pytest.fixture(scope="session")
def standing_ground(stand: Stand) -> Standing:
    def declare(databases: Databases, folder: Path) -> None:
        found = open_ground(databases, folder)
        found.declare_world()
        found.declare("issuerprofiles", "kestrel", ISSUER)

    return stand(declare)


@pytest.fixture(scope="session")
def standing_books(stand: Stand, standing_ground: Standing) -> Standing:
    return stand(lambda databases, folder: keep_books(open_ground(databases, folder)), upon=standing_ground)


@pytest.fixture
def ground(standing_ground: Standing, databases: Databases, tmp_path: Path) -> Ground:
    """All that it takes to issue."""
    return open_ground(databases, tmp_path)


@pytest.fixture
def books(standing_books: Standing, ground: Ground) -> Books:
    """Three months of two accounts."""
    return kept_books(ground)


@pytest.fixture
def http(ground: Ground) -> Iterator[httpx.Client]:
    """The doors of the books, for Ann, who may do everything."""
    door = Door(ground.databases.app, ground.engine.authorizer, SimulatedClock(DECEMBER))
    application = build_application(routes(door, above_the_books()))
    with (
        serving(application) as url,
        client_of(url, token="ann") as client,
    ):
        yield client
