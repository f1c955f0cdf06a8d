"""A server with every kind, on a database of its own for each test, and clients of it."""

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from demo.server import Running

from milo_billing.access.operations import ensure_admin_token
from milo_billing.app import wiring
from milo_billing.controlplane.kinds import AnyKind, Registry
from milo_billing.infra.clock import SystemClock
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import EVERYWHERE, Databases, open_databases
from milo_billing.infra.runtime import Runtime
from milo_billing.infra.settings import Settings
from milo_billing.infra.telemetry import configure_logging
from tests import local_stripe as local_stripe_process
from tests.conftest import TestServer
from tests.contract.examples import EXAMPLES, Example, Manifest
from tests.contract.fuzzing import Arena, standing_arena
from tests.contract.invoiced import stand_invoice
from tests.flow.conftest import temporary_server
from tests.serving import client_of, serving
from tests.standing import Stand, Standing

TOKEN = "token"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass
class Cluster:
    """The running server and what a test says to it."""

    url: str
    registry: Registry
    http: httpx.Client
    token: str = ""
    clients: list[httpx.Client] = field(default_factory=list[httpx.Client])

    def client(self, token: str) -> httpx.Client:
        """Another client with another token."""
        client = client_of(self.url, token=token)
        self.clients.append(client)
        return client

    def kind(self, plural: str) -> AnyKind:
        return next(k for k in self.registry.kinds if k.plural == plural)

    def path(self, manifest: Manifest, *, name: bool = True) -> str:
        group_version, metadata = manifest["apiVersion"], manifest["metadata"]
        kind = next(
            k
            for k in self.registry.kinds
            if f"{k.group}/{k.version}" == group_version and k.kind == manifest["kind"]
        )
        scope = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
        tail = f"/{metadata['name']}" if name else ""
        return f"/apis/{group_version}{scope}/{kind.plural}{tail}"

    def create(self, manifest: Manifest, **query: str) -> httpx.Response:
        return self.http.post(self.path(manifest, name=False), json=manifest, params=query)

    def created(self, manifest: Manifest) -> dict[str, Any]:
        answer = self.create(manifest)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def merge(self, manifest: Manifest, patch: Manifest, *, below: str = "", **query: str) -> httpx.Response:
        headers = {"Content-Type": "application/merge-patch+json"}
        return self.http.patch(self.path(manifest) + below, json=patch, headers=headers, params=query)


@pytest.fixture
def runtime(databases: Databases, clean_database: str, tmp_path: Path) -> Runtime:
    return api_runtime(databases, clean_database, tmp_path)


def api_runtime(databases: Databases, conninfo: str, folder: Path) -> Runtime:
    """What the API's process is given."""
    return Runtime(
        role="api",
        settings=Settings(data_dir=folder),
        conninfo=conninfo,
        databases=databases,
        clock=SystemClock(),
        vault=Vault(folder / "keyfile"),
    )


@pytest.fixture(scope="session")
def standing_cluster(stand: Stand) -> Standing:
    def declare(databases: Databases, folder: Path) -> None:
        conninfo = databases.app.conninfo
        (folder / TOKEN).write_text(prepare(api_runtime(databases, conninfo, folder)))

    return stand(declare)


@pytest.fixture
def cluster(runtime: Runtime, standing_cluster: Standing) -> Iterator[Cluster]:
    """The API with every kind, and a client that may do everything."""
    with serving_cluster(runtime, token=(standing_cluster.folder / TOKEN).read_text()) as cluster:
        yield cluster


def prepare(runtime: Runtime) -> str:
    """Have what must stand in the database; the administrator's token."""
    wiring.prepare(runtime)
    with runtime.databases.app.transaction(reach=EVERYWHERE) as tx:
        token = ensure_admin_token(tx, now=datetime.now(UTC))
    assert token is not None
    return token


@contextlib.contextmanager
def serving_cluster(runtime: Runtime, *, token: str) -> Generator[Cluster]:
    """The API over this prepared runtime, until the block ends."""
    with serving(wiring.build_api(runtime)) as url, client_of(url, token=token) as http:
        cluster = Cluster(url, wiring.build_registry(), http, token)
        yield cluster
        for client in cluster.clients:
            client.close()


@pytest.fixture
def example(cluster: Cluster, plural: str, runtime: Runtime) -> Example:
    """The example of one kind, with everything it needs already standing."""
    found = EXAMPLES[plural]
    for needed in found.needs:
        cluster.created(needed)
    if found.invoiced:
        stand_invoice(runtime)
    return found


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """`milo-billing serve` with TLS, as clients that people use meet it; tests bring organizations of their own."""
    with temporary_server() as server:
        yield server


@pytest.fixture(scope="module")
def arena(postgres: TestServer, worker_id: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """A server to be abused, one for all tests of a file."""
    name = f"arena_{worker_id}"
    conninfo, folder = postgres.clone(name), tmp_path_factory.mktemp("arena")
    databases = open_databases(conninfo, pool_max=8)
    runtime = api_runtime(databases, conninfo, folder)
    # as the server logs: structlog's own tracebacks take seconds each
    before = structlog.get_config()
    configure_logging(level="error", process="arena")
    with (
        serving_cluster(runtime, token=prepare(runtime)) as cluster,
        standing_arena(cluster, runtime) as arena,
    ):
        yield arena
    structlog.configure(**before)
    databases.close()
    postgres.drop(name)


@pytest.fixture(scope="session")
def local_stripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_stripe_process.LocalStripe]:
    """A Stripe of somebody else's, for the adapter."""
    with local_stripe_process.running(tmp_path_factory.mktemp("localstripe")) as peer:
        yield peer
