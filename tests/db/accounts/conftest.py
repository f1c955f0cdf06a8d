"""A provider with the organization acme, on a database of the test's own."""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import psycopg
import psycopg.conninfo
import pytest

from milo_billing.infra.database import Databases, Tx, connect
from milo_billing.infra.postgres.folder import SUPERUSER
from tests.accounts_world import World, make_world, open_world
from tests.conftest import TestServer
from tests.standing import Stand, Standing

GONE_S_MAX = 10.0


@pytest.fixture(scope="session")
def standing_world(stand: Stand) -> Standing:
    return stand(make_world)


@pytest.fixture
def world(standing_world: Standing, databases: Databases, tmp_path: Path) -> World:
    return open_world(databases, tmp_path)


@pytest.fixture
def superuser_tx(postgres: TestServer, clean_database: str) -> Iterator[Tx]:
    """As everywhere, but its backend has gone when the test's database is dropped: nobody may end a superuser's."""
    name = psycopg.conninfo.conninfo_to_dict(clean_database)["dbname"]
    with connect(
        postgres.server.conninfo(user=SUPERUSER, database=str(name)), role=None, autocommit=True
    ) as tx:
        pid = tx.info.backend_pid
        yield tx
    until = monotonic() + GONE_S_MAX
    with psycopg.connect(postgres.conninfo("milo_billing"), autocommit=True) as watching:
        while watching.execute("select from pg_stat_activity where pid = %s", (pid,)).fetchone() is not None:
            assert monotonic() < until, "the superuser's backend does not end"
            sleep(0.005)
