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
from tests.db.ledger.books import DECEMBER, Books, keep_books
from tests.serving import client_of, serving


@pytest.fixture
def ground(databases: Databases, tmp_path: Path) -> Ground:
    """All that it takes to issue."""
    found = open_ground(databases, tmp_path)
    found.declare_world()
    found.declare("issuerprofiles", "kestrel", ISSUER)
    return found


@pytest.fixture
def books(ground: Ground) -> Books:
    """Three months of two accounts."""
    return keep_books(ground)


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
