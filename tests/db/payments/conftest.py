"""The till of the payments tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milo_billing.app.projections import compare_projections
from milo_billing.infra.database import Databases
from tests.db.payments.ground import Till, declare_till, open_till
from tests.standing import Stand, Standing


@pytest.fixture(scope="session")
def standing_till(stand: Stand) -> Standing:
    return stand(declare_till)


@pytest.fixture
def till(standing_till: Standing, databases: Databases, tmp_path: Path) -> Iterator[Till]:
    """Cards are accepted, nothing is owed yet. Whatever a test does, its books are right in the end, and
    what its objects say is."""
    found = open_till(databases, tmp_path)
    yield found
    assert found.differences() == []
    assert found.ground.reading(lambda tx: compare_projections(tx, found.ground.engine.registry)) == ()
