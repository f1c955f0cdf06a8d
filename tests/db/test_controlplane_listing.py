"""Lists go through indexes at 100,000 projects and 100,000 bindings: every query as the store sends it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from milo_billing.accounts.resources.bindings import BillingAccountBinding
from milo_billing.controlplane.kinds import AnyKind
from milo_billing.controlplane.selectors import parse_selector
from milo_billing.controlplane.store import Store
from milo_billing.directory.resources import Project
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx, prepare_connection
from tests.conftest import TestServer

OBJECTS = 100_000
PAGE = 500

READ_MAX = 6_000
"""A page of 500 counts up to 5,000 that remain; a filter that throws nineteen of twenty away still reads no more."""

FILL = """
insert into controlplane.objects (uid, api_group, resource, namespace, name, owner_org, resource_version, generation,
    created_at, labels, fields)
select gen_random_uuid(), 'resourcemanager.miloapis.com', 'projects', '', 'p-' || lpad(n::text, 6, '0'), n / 1000 + 1,
    1, 1, now(),
    jsonb_build_object('tier', case when n %% 100 = 0 then 'gold' else 'free' end, 'number', n::text)
        || case when n %% 1000 = 0 then '{"watched": "yes"}'::jsonb else '{}' end,
    jsonb_build_object('spec.ownerRef.name', 'org-' || (n / 1000))
from generate_series(1, %(objects)s) n
union all
select gen_random_uuid(), 'billing.miloapis.com', 'billingaccountbindings', 'organization-org-' || (n / 1000),
    'p-' || lpad(n::text, 6, '0'), n / 1000 + 1, 1, 1, now(), '{"tier": "free"}',
    jsonb_build_object('spec.projectRef.name', 'p-' || lpad(n::text, 6, '0'), 'spec.billingAccountRef.name',
        'a-' || (n / 100), 'status.phase', case when n %% 200 = 0 then 'Superseded' else 'Active' end)
from generate_series(1, %(objects)s) n
"""


def shown(query: object) -> str:
    """The text of a query, whatever it was written as."""
    match query:
        case sql.Composable():
            return query.as_string(None)
        case bytes():
            return query.decode()
        case _:
            return str(query)


class Explaining(psycopg.Connection[tuple[Any, ...]]):
    """A connection that has every query on the objects explained before it runs it."""

    plans: list[dict[str, Any]]

    def execute(self, query: Any, params: Any = None, **more: Any) -> Any:
        text = shown(query)
        if hasattr(self, "plans") and "from controlplane.objects" in text:
            explained = super().execute(f"explain (analyze, format json) {text}".encode(), params)
            self.plans.append(explained.fetchall()[0][0][0]["Plan"])
        return super().execute(query, params, **more)


@pytest.fixture(scope="module")
def filled(postgres: TestServer, worker_id: str) -> Iterator[str]:
    """A database with the objects in it, for the tests of this file."""
    name = f"listing_{worker_id}"
    conninfo = postgres.clone(name)
    with psycopg.connect(conninfo, autocommit=True) as tx:
        prepare_connection(tx, role="milo_owner")
        tx.execute(FILL.encode(), {"objects": OBJECTS})
        tx.execute("vacuum analyze controlplane.objects")
    yield conninfo
    postgres.drop(name)


@pytest.fixture
def tx(filled: str, request: pytest.FixtureRequest) -> Iterator[Explaining]:
    """A transaction of a door, under row-level security: of staff, or of one organization."""
    with Explaining.connect(filled, autocommit=True) as tx:
        prepare_connection(tx, role="milo_app")
        tx.execute("begin")
        yield tx


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def scans(tx: Explaining) -> list[dict[str, Any]]:
    return [node for plan in tx.plans for node in nodes(plan) if node.get("Relation Name") == "objects"]


def list_page(
    tx: Explaining,
    tmp_path: Path,
    kind: AnyKind,
    *,
    reach: str = "*",
    labels: str = "",
    fields: str = "",
    namespace: str | None = None,
    after: tuple[str, str] | None = None,
) -> int:
    """How many objects a page has, as the API asks for it."""
    tx.execute("select set_config('milo.reach', %s, true)", (reach,))
    tx.plans = []
    selector = parse_selector(kind, labels=labels, fields=fields)
    store = Store(Vault(tmp_path / "keyfile"))
    door: Tx = tx
    page = store.list_page(door, kind, namespace=namespace, selector=selector, after=after, limit=PAGE)
    return len(page.rows)


MIDDLE = ("", "p-050000")
BOUND_MIDDLE = ("organization-org-50", "p-050500")


@pytest.mark.parametrize(
    ("kind", "asked", "found"),
    [
        (Project(), {}, PAGE),
        (Project(), {"after": MIDDLE}, PAGE),
        (Project(), {"fields": "metadata.name=p-050000"}, 1),
        (Project(), {"labels": "number=77"}, 1),
        (Project(), {"labels": "watched=yes"}, 100),
        (Project(), {"labels": "tier=gold"}, PAGE),
        (Project(), {"labels": "tier=gold", "after": MIDDLE}, PAGE),
        (Project(), {"labels": "tier in (gold,silver)"}, PAGE),
        (Project(), {"labels": "tier=silver"}, 0),
        (Project(), {"fields": "spec.ownerRef.name=org-7"}, PAGE),
        (Project(), {"fields": "spec.ownerRef.name=nobody"}, 0),
        (BillingAccountBinding(), {"after": BOUND_MIDDLE}, PAGE),
        (BillingAccountBinding(), {"namespace": "organization-org-7"}, PAGE),
        (BillingAccountBinding(), {"namespace": "organization-org-7", "fields": "metadata.name=p-007003"}, 1),
        (BillingAccountBinding(), {"fields": "metadata.name=p-007003"}, 1),
        (BillingAccountBinding(), {"fields": "spec.projectRef.name=p-007003"}, 1),
        (BillingAccountBinding(), {"fields": "spec.billingAccountRef.name=a-7"}, 100),
        (BillingAccountBinding(), {"fields": "status.phase=Superseded"}, PAGE),
        (
            BillingAccountBinding(),
            {"fields": "status.phase=Active,spec.billingAccountRef.name=a-8"},
            99,
        ),
    ],
    ids=lambda value: getattr(value, "plural", str(value)),
)
@pytest.mark.parametrize("reach", ["*", "8"], ids=["staff", "one organization"])
def test_a_page_reads_an_index_and_little_more_than_it_answers(
    tx: Explaining, tmp_path: Path, kind: AnyKind, asked: dict[str, Any], found: int, reach: str
) -> None:
    rows = list_page(tx, tmp_path, kind, reach=reach, **asked)
    used = scans(tx)
    assert used
    assert [scan for scan in used if scan["Node Type"] == "Seq Scan"] == []
    # what runs inside of functions is in no plan, but it is counted
    sequential = tx.execute(
        "select coalesce(seq_tup_read, 0) from pg_stat_xact_user_tables where relname = 'objects'"
    ).fetchone()
    assert sequential == (0,)
    if reach == "*":
        assert rows == found
        read = max((scan["Actual Rows"] + removed(scan)) * scan["Actual Loops"] for scan in used)
        assert read <= READ_MAX, [(s["Node Type"], s.get("Index Name"), removed(s)) for s in used]


def removed(scan: dict[str, Any]) -> float:
    """Rows that were read and thrown away."""
    return scan.get("Rows Removed by Filter", 0) + scan.get("Rows Removed by Index Recheck", 0)
