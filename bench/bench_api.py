"""What the declarative engine costs over the API: one create, and one page of many, against the same SQL alone.

The create goes over TLS to a running server; the floor is the SQL of that very transaction, recorded from the engine
and replayed by psycopg. The page is 500 of 100,000 objects; the floor is a select of the same rows. Both in turn with
what they are compared to, on the same server and database.
"""

import contextlib
import copy
import ssl
import statistics
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
from demo.server import Running, start_server
from psycopg.types.json import Jsonb

from bench.figures import Figure
from milo_billing.access.operations import TokenAuthorizer
from milo_billing.app.wiring import build_registry
from milo_billing.controlplane.decoding import decode
from milo_billing.controlplane.doors import set_reach
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import EVERYWHERE, Identity
from milo_billing.controlplane.store import Store
from milo_billing.controlplane.work import Work
from milo_billing.directory.operations import OrganizationNamespaces
from milo_billing.infra.clock import SystemClock
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx, prepare_connection
from milo_billing.infra.postgres.server import PostgresServer, find_postmaster

NAME = "api"
CREATES = 300
OBJECTS = 100_000
PAGE = 500
PAGES = 40
WARM_UP = 20
ORGANIZATIONS = "/apis/resourcemanager.miloapis.com/v1alpha1/organizations"
ACCOUNTS = "/apis/billing.miloapis.com/v1alpha1/namespaces/organization-bench/billingaccounts"
PROJECTS = "/apis/resourcemanager.miloapis.com/v1alpha1/projects"


def run() -> Sequence[Figure]:
    """Start a server, measure creates, fill it, measure pages."""
    with tempfile.TemporaryDirectory(prefix="milo-billing-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user passes through it
        server = start_server(folder / "data", log=folder / "log", settings={})
        try:
            with _client(server) as http:
                return _measure(folder / "data", http)
        finally:
            server.stop()


@contextlib.contextmanager
def _client(server: Running) -> Generator[httpx.Client]:
    connection = server.connection()
    with httpx.Client(
        base_url=connection.api_url,
        headers={"Authorization": f"Bearer {connection.token}", "User-Agent": "bench/1"},
        verify=ssl.create_default_context(cadata=connection.ca_pem),
        timeout=60,
    ) as http:
        yield http


def _measure(data_dir: Path, http: httpx.Client) -> Sequence[Figure]:
    created = http.post(ORGANIZATIONS, json=_manifest("Organization", "bench", {}))
    created.raise_for_status()
    conninfo = _conninfo(data_dir)
    api_s, sql_s = _creates(data_dir, conninfo, http)
    list_s, select_s = _pages(conninfo, http)
    create, page = statistics.median(api_s), statistics.median(list_s)
    floor, select = statistics.median(sql_s), statistics.median(select_s)
    return (
        Figure("api/create", create / floor, "× its SQL replayed", bar=6, sense="<="),
        Figure("api/create_median", create * 1e3, "ms"),
        Figure("api/list_500", page / select, "× its rows by SQL", bar=5, sense="<="),
        Figure("api/list_500_median", page * 1e3, "ms"),
    )


def _conninfo(data_dir: Path) -> str:
    found = find_postmaster(data_dir / "postgres")
    if found is None:
        raise RuntimeError("the server's PostgreSQL is not running")
    return PostgresServer(
        folder=data_dir / "postgres", socket_dir=found.socket_dir, pid=found.pid, child=None
    ).conninfo()


def _manifest(kind: str, name: str, spec: dict[str, Any], **metadata: str) -> dict[str, Any]:
    group = "billing" if kind == "BillingAccount" else "resourcemanager"
    return {
        "apiVersion": f"{group}.miloapis.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def _account(name: str) -> dict[str, Any]:
    spec = {
        "currencyCode": "USD",
        "paymentProfile": {"type": "BankTransfer"},
        "contactInfo": {"email": "ap@bench.example", "name": "Ann Bench"},
    }
    return _manifest("BillingAccount", name, spec, namespace="organization-bench")


# -- create -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statement:
    """One statement of the recorded transaction."""

    query: Any
    parameters: Any


class Recording(psycopg.Connection[tuple[Any, ...]]):
    """A connection that remembers what was executed on it."""

    statements: list[Statement]

    def execute(self, query: Any, params: Any = None, **more: Any) -> Any:
        if hasattr(self, "statements"):
            self.statements.append(Statement(query, copy.deepcopy(params)))
        return super().execute(query, params, **more)


def _recorded(data_dir: Path, conninfo: str) -> tuple[list[Statement], str, UUID]:
    """The statements of one create, the object's name and its uid."""
    vault = Vault(data_dir / "keyfile")
    engine = Engine(
        build_registry(), Store(vault), OrganizationNamespaces(), TokenAuthorizer(), SystemClock()
    )
    kind = next(k for k in engine.registry.kinds if k.plural == "billingaccounts")
    tx = Recording.connect(conninfo, autocommit=True)
    prepare_connection(tx, role="milo_app")
    with tx:
        tx.statements = []
        tx.execute("begin")
        set_reach(tx, EVERYWHERE)
        work = Work(tx, Identity("bench"), EVERYWHERE, uuid4(), SystemClock().now(), "bench")
        draft = decode(kind, _account("recorded"), validation="Strict", duplicates=[])
        row = engine.create(work, kind, namespace="organization-bench", draft=draft)
        engine.commit(work)
        return tx.statements, "recorded", row.uid


def _renamed(value: Any, old: str, new: str, old_uid: UUID, new_uid: UUID) -> Any:
    match value:
        case UUID() if value == old_uid:
            return new_uid
        case str():
            return value.replace(old, new).replace(str(old_uid), str(new_uid))
        case Jsonb():
            return value
        case tuple() | list():
            items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
            return tuple(_renamed(item, old, new, old_uid, new_uid) for item in items)
        case _:
            return value


def _replay(tx: Tx, statements: Sequence[Statement], old: str, uid: UUID, new: str) -> None:
    fresh = uuid4()
    *body, last = [Statement(s.query, _renamed(s.parameters, old, new, uid, fresh)) for s in statements]
    for statement in body:
        tx.execute(statement.query, statement.parameters)
    with tx.pipeline():
        tx.execute(last.query, last.parameters)
        tx.commit()


def _creates(data_dir: Path, conninfo: str, http: httpx.Client) -> tuple[list[float], list[float]]:
    statements, old, uid = _recorded(data_dir, conninfo)
    api_s: list[float] = []
    sql_s: list[float] = []
    with psycopg.connect(conninfo, autocommit=True) as tx:
        prepare_connection(tx, role="milo_app")
        for n in range(WARM_UP + CREATES):
            began = time.perf_counter()
            answer = http.post(ACCOUNTS, json=_account(f"a-{n}"))
            middle = time.perf_counter()
            answer.raise_for_status()
            _replay(tx, statements, old, uid, f"b-{n}")
            ended = time.perf_counter()
            api_s.append(middle - began)
            sql_s.append(ended - middle)
    return api_s[WARM_UP:], sql_s[WARM_UP:]


# -- list ---------------------------------------------------------------------------------------------------------

FILL = """
insert into controlplane.objects (uid, api_group, resource, name, owner_org, resource_version, generation, created_at,
    labels, metadata, spec, status)
select gen_random_uuid(), o.api_group, 'projects', 'p-' || lpad(n::text, 6, '0'), o.owner_org, 1, 1, now(),
    '{"resourcemanager.miloapis.com/organization-name": "bench"}', '{}',
    '{"ownerRef": {"kind": "Organization", "name": "bench"}, "displayName": "A project"}', o.status
from controlplane.objects o, generate_series(1, %s) n where o.resource = 'organizations' and o.name = 'bench'
"""
SELECT = """
select uid, namespace, name, owner_org, generation, created_at, resource_version, labels, metadata, spec, status
from controlplane.objects where api_group = 'resourcemanager.miloapis.com' and resource = 'projects'
and (namespace, name) > ('', %s) order by namespace, name limit 501
"""


def _pages(conninfo: str, http: httpx.Client) -> tuple[list[float], list[float]]:
    list_s: list[float] = []
    select_s: list[float] = []
    with psycopg.connect(conninfo, autocommit=True) as tx:
        prepare_connection(tx, role="milo_owner")
        tx.execute(FILL, (OBJECTS,))
        tx.execute("vacuum analyze controlplane.objects")
        after, token = "", ""
        for n in range(WARM_UP + PAGES):
            began = time.perf_counter()
            answer = http.get(PROJECTS, params={"limit": PAGE, "continue": token})
            middle = time.perf_counter()
            answer.raise_for_status()
            tx.execute(SELECT, (after,)).fetchall()
            ended = time.perf_counter()
            page = answer.json()
            token, after = page["metadata"]["continue"], page["items"][-1]["metadata"]["name"]
            if n >= WARM_UP:
                list_s.append(middle - began)
                select_s.append(ended - middle)
    return list_s, select_s
