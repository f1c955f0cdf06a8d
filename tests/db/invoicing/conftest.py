"""The provider of the invoicing tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from milo_billing.app.wiring import build_registry
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import Authorizer, Identity
from milo_billing.controlplane.store import Store
from milo_billing.directory.operations import OrganizationNamespaces
from milo_billing.infra.clock import SimulatedClock
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import EVERYWHERE, Databases, Reach, Tx, connect
from milo_billing.invoicing.operations import Office
from tests.db.invoicing.ground import DECLARED, ISSUER, Ground


class Staff(Authorizer):
    """Everybody is staff: who may do what is not what these tests are about."""

    def authenticate(self, tx: Tx, token: str, now: object) -> Identity:
        return Identity(token)

    def reach(self, tx: Tx, identity: Identity, permission: str) -> Reach:
        return EVERYWHERE


@pytest.fixture
def bare_ground(databases: Databases, tmp_path: Path) -> Ground:
    """A catalog and a customer, but nobody who issues."""
    vault = Vault(tmp_path / "keyfile")
    engine = Engine(
        registry=build_registry(),
        store=Store(vault),
        namespaces=OrganizationNamespaces(),
        authorizer=Staff(),
        clock=SimulatedClock(DECLARED),
    )
    ground = Ground(databases, engine, Office(engine, vault))
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
