"""The provider of the payment tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milo_billing.app.projections import compare_projections
from milo_billing.infra.database import Databases
from tests.db.bank.bank_ground import BankGround
from tests.db.invoicing.ground import ISSUER, open_ground
from tests.standing import Stand, Standing


@pytest.fixture(scope="session")
def standing_bank(stand: Stand) -> Standing:
    def declare(databases: Databases, folder: Path) -> None:
        ground = open_ground(databases, folder)
        ground.declare_world()
        ground.publish("EUR")
        ground.declare("issuerprofiles", "kestrel", ISSUER)

    return stand(declare)


@pytest.fixture
def bank(standing_bank: Standing, databases: Databases, tmp_path: Path) -> Iterator[BankGround]:
    """All that it takes to issue in euro, and nothing issued yet. In the end its books are right, and so is what its
    invoices say.
    """
    found = BankGround(open_ground(databases, tmp_path))
    yield found
    assert found.differences() == []
    behind = found.ground.reading(lambda tx: compare_projections(tx, found.ground.engine.registry))
    # some tests write rows of issuers and payments by hand
    assert [one for one in behind if one.what.startswith("invoice ")] == []
