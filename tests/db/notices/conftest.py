"""A world with an organization, and somebody who receives."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milo_billing.adapters.webhooks import Webhooks
from milo_billing.infra.database import Databases
from tests.db.notices.ground import Ground, open_ground
from tests.db.notices.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def ground(databases: Databases, tmp_path: Path) -> Ground:
    over_http = Webhooks(loopback=True)
    ground = open_ground(databases, tmp_path, {"Webhook": over_http, "Chat": over_http})
    ground.declare("organizations", "acme", {})
    return ground
