"""The till of the payments tests."""

from pathlib import Path

import pytest
from tests.db.payments.ground import Till, open_till

from milo_billing.infra.database import Databases


@pytest.fixture
def till(databases: Databases, tmp_path: Path) -> Till:
    """Cards are accepted, nothing is owed yet."""
    return open_till(databases, tmp_path)
