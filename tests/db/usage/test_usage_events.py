"""Raw events for disputes: found by id, account, meter and resource, a page at a time, at a bounded cost."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.accounts.resources.bindings import BillingAccountBinding
from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import EVERYWHERE, Tx, connect, reach_text
from milo_billing.kernel.ids import ulid
from milo_billing.usage import operations
from milo_billing.usage.engine import events as raw_events
from milo_billing.usage.routes import events
from milo_billing.usage.routes.ingest import READ
from milo_billing.usage.types import EventFilter
from tests.accounts_world import binding_spec
from tests.serving import client_of, serving
from tests.usage_world import BYTES, CPU, HOUR, JSON, UsageWorld

PATH = "/v1/usage/events"


@pytest.fixture
def api(usage: UsageWorld, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client who may read all usage."""
    usage.world.grants.granted[READ] = EVERYWHERE
    door = Door(usage.databases.app, usage.world.grants, usage.world.clock)
    with (
        serving(build_application([*events.routes(door, FolderBlobs(tmp_path / "archive"))])) as url,
        client_of(url) as client,
    ):
        client.headers["Authorization"] = "Bearer ann"
        yield client


def listed(api: httpx.Client, **query: Any) -> list[JSON]:
    """All pages."""
    found: list[JSON] = []
    while True:
        answer = api.get(PATH, params=query)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if (more := answer.json()["metadata"].get("continue")) is None:
            return found
        query["continue"] = more


def test_an_event_is_shown_with_what_it_counts_for(usage: UsageWorld, api: httpx.Client):
    sent = usage.event(
        value="9007199254740993", dimensions={"region": "eu"}, resource={"kind": "VM", "uid": "7"}
    )
    usage.ingest([sent])
    shown = api.get(f"{PATH}/{sent['id']}").json()
    assert shown == {
        "id": str(UUID(shown["id"])),
        "ulid": sent["id"],
        "namespace": "organization-acme",
        "account": "main",
        "project": "web",
        "meter": CPU,
        "day": "2026-10-01",
        "value": "9007199254740993",
        "dimensions": {"region": "eu"},
        "resource": {"kind": "VM", "uid": "7"},
        "eventAt": sent["time"],
        "receivedAt": sent["time"],
    }
    assert api.get(f"{PATH}/{shown['id']}").json() == shown
    assert listed(api) == [shown]
    for path, code in ((f"{PATH}/{new_uid()}", 404), (f"{PATH}/order-1", 400)):
        assert api.get(path).status_code == code


def test_events_are_found_by_what_they_are_of(usage: UsageWorld, api: httpx.Client):
    vm = {"kind": "VM", "uid": "7"}
    usage.ingest(
        [
            usage.event(value="1"),
            usage.event(value="2", meter=BYTES, resource=vm),
            usage.event(value="3", resource=vm, at=usage.now - 30 * HOUR),
            usage.event(value="4", id="order-1"),
        ],
        accept_late=True,
    )
    usage.world.clock.forward(days=1)
    usage.ingest([usage.event(value="5")])

    def values(**query: Any) -> list[int]:
        return sorted(int(event["value"]) for event in listed(api, **query))

    assert values() == [1, 2, 4, 5]  # the event of the day before had no payer then
    assert values(meter=CPU) == [1, 4, 5]
    assert values(meter=BYTES, account="organization-acme/main") == [2]
    assert values(account="main", project="web", **{"from": "2026-10-02"}) == [5]
    assert values(namespace="organization-acme", to="2026-10-02") == [1, 2, 4]
    assert values(resource=["kind=VM", "uid=7"]) == [2]
    assert values(resource="uid=8") == []
    refused = {"colour": "red", "from": "soon", "limit": "0", "continue": "?", "resource": "uid"}
    for name, value in refused.items():
        assert api.get(PATH, params={name: value}).status_code == 400, name
    for name, value in {"account": "organization-acme/x", "project": "x", "meter": "x"}.items():
        assert api.get(PATH, params={name: value}).status_code == 404, name


@pytest.mark.parametrize("indexed", [False, True])
def test_pages_of_any_size_hold_every_event_once_in_order_of_id(
    usage: UsageWorld, api: httpx.Client, indexed: bool
):
    for _ in range(5):
        usage.ingest([usage.event() for _ in range(7)] + [usage.event(meter=BYTES)])
        usage.world.clock.forward(hours=17)
    if indexed:
        index(usage)
    stored = [str(id) for (id,) in usage.rows("select id from usage.events order by id")]
    cpu = [
        str(id)
        for (id,) in usage.rows(
            "select e.id from usage.events e join catalog.meters m on m.number = e.meter where m.meter_name = %s "
            "order by e.id",
            CPU,
        )
    ]
    for limit in (1, 6, 1000):
        assert [event["id"] for event in listed(api, limit=limit)] == stored
        assert [event["id"] for event in listed(api, limit=limit, account="main")] == stored
        assert [event["id"] for event in listed(api, limit=limit, account="main", meter=CPU)] == cpu


def index(usage: UsageWorld) -> tuple[date, ...]:
    """What the hourly job does."""
    ingest = usage.databases.ingest
    with connect(ingest.conninfo, role=ingest.role, autocommit=True) as tx:
        return operations.index_events(tx, now=usage.now)


def test_days_that_are_over_are_indexed_once_also_after_a_build_that_broke(
    usage: UsageWorld, superuser_tx: Tx
):
    usage.ingest([usage.event()])
    assert index(usage) == ()  # days before the first event have it from the beginning
    usage.world.clock.forward(days=3)
    superuser_tx.execute("create index events_20261001_by_account on usage.events_20261001 (account)")
    superuser_tx.execute(
        "update pg_index set indisvalid = false where indexrelid = 'usage.events_20261001_by_account'::regclass"
    )
    superuser_tx.execute("alter index usage.events_20261001_by_account owner to milo_ingest")
    assert [str(day) for day in index(usage)] == ["2026-09-30", "2026-10-01", "2026-10-02"]
    assert index(usage) == ()
    assert usage.value("select bool_and(indisvalid) from pg_index") is True


def test_an_organization_finds_its_own_events_only(usage: UsageWorld, api: httpx.Client):
    rival = "organization-rival"
    account = {"currencyCode": "USD", "paymentProfile": {"type": "BankTransfer"}}
    usage.world.create(BillingAccount, "theirs", account, namespace=rival)
    usage.world.create(BillingAccountBinding, "rivals", binding_spec("rivals", "theirs"), namespace=rival)
    usage.world.clock.forward(hours=1)
    usage.ingest([usage.event(value="1"), usage.event("rivals", value="2")])
    (own, foreign) = listed(api)
    usage.world.grants.granted[READ] = frozenset({usage.organization("acme")})
    assert listed(api) == [own]
    assert api.get(f"{PATH}/{foreign['id']}").status_code == 404
    assert api.get(PATH, params={"account": "organization-rival/theirs"}).status_code == 404
    usage.world.grants.granted[READ] = frozenset()
    assert api.get(PATH).status_code == api.get(f"{PATH}/{own['id']}").status_code == 403


def explained(usage: UsageWorld, wanted: EventFilter, *, day: date) -> str:
    """The plan of one day's statement, as a door would run it."""
    low = UUID(ulid_of(day))
    query, values = raw_events.event_query(
        wanted, after=low, below=UUID(ulid_of(day + timedelta(days=1))), limit=101
    )
    with usage.databases.app.transaction(reach=EVERYWHERE) as tx:
        acme = frozenset({usage.organization("acme")})
        tx.execute("select set_config('milo.reach', %s, true)", (reach_text(acme),))
        tx.execute("set local enable_seqscan = off")
        return "\n".join(line for (line,) in tx.execute(b"explain " + query.encode(), values))


def ulid_of(day: date) -> str:
    """The first id of a day, as a UUID."""
    return str(UUID(int=((day - date(1970, 1, 1)).days * 86_400_000) << 80))


def test_every_statement_on_events_uses_an_index(usage: UsageWorld):
    usage.ingest([usage.event() for _ in range(500)] + [usage.event(meter=BYTES, value="5")])
    ((account, meter),) = usage.rows("select account, meter from usage.events where value = 5")
    usage.world.clock.forward(days=3)
    usage.ingest([usage.event() for _ in range(500)])
    index(usage)
    wanted = EventFilter(accounts=(account,), meters=(meter,))
    past = explained(usage, wanted, day=date(2026, 10, 1))
    assert "using events_20261001_by_account" in past
    assert "(account = ANY" in past and "(meter = ANY" in past and "(id > " in past
    today = explained(usage, EventFilter(), day=date(2026, 10, 4))
    assert "using events_20261004_pkey" in today and "(id > " in today
    assert "Seq Scan on events" not in past + today


def test_what_a_page_looks_through_is_bounded(
    usage: UsageWorld, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
):
    usage.ingest([usage.event(value="1")])
    usage.world.clock.forward(hours=30)
    usage.ingest([usage.event(value="2")])
    monkeypatch.setattr(raw_events, "SLICES_MAX", 4)
    first = api.get(PATH).json()
    assert first["items"] == []
    assert "continue" in first["metadata"]
    assert [event["value"] for event in listed(api)] == ["1", "2"]


def test_the_latest_ids_that_are_taken_are_found(usage: UsageWorld, api: httpx.Client):
    ms = int(usage.now.timestamp() * 1000)
    usage.ingest([usage.event(id=ulid(ms + 3_599_000, 1)), usage.event(id=ulid(ms - 44 * 86_400_000, 1))])
    assert len(listed(api)) == 2
    assert len(listed(api, account="main", meter=CPU, **{"from": "2026-10-01", "to": "2026-10-02"})) == 2
