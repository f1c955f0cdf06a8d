"""The provider of the payment tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milo_billing.infra.database import Databases
from tests.db.bank.bank_ground import BankGround
from tests.db.invoicing.ground import ISSUER, open_ground


@pytest.fixture
def bank(databases: Databases, tmp_path: Path) -> Iterator[BankGround]:
    """All that it takes to issue in euro, and nothing issued yet. In the end its books are right."""
    ground = open_ground(databases, tmp_path)
    ground.declare_world()
    ground.publish("EUR")
    ground.declare("issuerprofiles", "kestrel", ISSUER)
    found = BankGround(ground)
    yield found
    assert found.differences() == []
