"""Raw events whose day lies in the archive: found like the others, a page at a time; what cannot be read is named."""

from collections.abc import Iterator
from datetime import timedelta
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
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.ids import ulid_to_int
from milo_billing.usage import operations
from milo_billing.usage.engine import events as raw_events
from milo_billing.usage.engine import parquet
from milo_billing.usage.routes import events
from milo_billing.usage.routes.ingest import READ
from milo_billing.usage.types import EventFilter, EventPage
from tests.accounts_world import binding_spec
from tests.serving import client_of, serving
from tests.usage_life import RETENTION, Life
from tests.usage_world import BYTES, CPU, JSON, UsageWorld

PATH = "/v1/usage/events"


@pytest.fixture
def life(usage: UsageWorld, tmp_path: Path) -> Life:
    return Life(usage, tmp_path / "archive")


@pytest.fixture
def api(life: Life) -> Iterator[httpx.Client]:
    """A client who may read all usage."""
    life.usage.world.grants.granted[READ] = EVERYWHERE
    door = Door(life.usage.databases.app, life.usage.world.grants, life.usage.world.clock)
    with (
        serving(build_application(events.routes(door, FolderBlobs(life.folder)))) as url,
        client_of(url) as client,
    ):
        client.headers["Authorization"] = "Bearer ann"
        yield client


def pages(api: httpx.Client, **query: Any) -> list[JSON]:
    """All pages of a list."""
    found: list[JSON] = []
    while True:
        answer = api.get(PATH, params=query)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        if (more := found[-1]["metadata"].get("continue")) is None:
            return found
        query["continue"] = more


def listed(api: httpx.Client, **query: Any) -> list[JSON]:
    """What all pages of a list have; none of them left anything out."""
    found = pages(api, **query)
    assert [page for page in found if "unreadDays" in page["metadata"]] == []
    return [event for page in found for event in page["items"]]


def archived_days(life: Life, count: int) -> None:
    """Days with events of two meters each, all but the last two of them in the archive."""
    usage = life.usage
    for n in range(count):
        vm = {"kind": "VM", "uid": str(n)}
        usage.ingest([usage.event(value=str(10 * n + k), dimensions={"region": "eu"}) for k in range(3)])
        usage.ingest([usage.event(value=str(10 * n + 5), meter=BYTES, resource=vm)])
        usage.world.clock.forward(hours=4)
        usage.ingest([usage.event(value=str(10 * n + 7), id=f"order-{n}", dimensions={"region": "us"})])
        usage.world.clock.forward(hours=20)
    usage.world.clock.forward(days=RETENTION - 2)


def flip_a_bit(file: Path, column: str) -> None:
    """Damage the last value of a column, as a bad disk does."""
    content = bytearray(file.read_bytes())
    with parquet.open_file(file) as opened:
        group = opened.metadata.row_group(0)
        chunks = [group.column(i) for i in range(group.num_columns)]
    (chunk,) = (chunk for chunk in chunks if chunk.path_in_schema == column)
    start = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    content[start + chunk.total_compressed_size - 1] ^= 1
    file.write_bytes(content)


def test_events_are_found_the_same_before_and_after_their_days_went_to_the_archive(
    life: Life, api: httpx.Client
):
    archived_days(life, 4)
    asked: list[dict[str, Any]] = [
        {},
        {"account": "organization-acme/main", "meter": CPU},
        {"meter": BYTES},
        {"project": "web", "from": "2026-10-02", "to": "2026-10-04"},
        {"resource": ["kind=VM", "uid=1"]},
        {"resource": "uid=none"},
    ]
    before = [listed(api, **query) for query in asked]
    assert [len(found) for found in before] == [20, 16, 4, 10, 1, 0]
    life.archive()
    assert len(life.files()) == 2
    assert life.usage.value("select count(*) from usage.events") == 10
    for query, wanted in zip(asked, before, strict=True):
        for limit in (3, 1000):
            assert listed(api, limit=limit, **query) == wanted, query
    for event in (*before[0][:6], before[0][-1]):
        assert api.get(f"{PATH}/{event['id']}").json() == event
    assert api.get(f"{PATH}/{UUID(int=UUID(before[0][0]['id']).int + 1000)}").status_code == 404


def test_every_row_group_is_looked_through_and_memory_holds_a_page_of_them(
    life: Life, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 16)
    usage = life.usage
    for n in range(10):
        usage.ingest([usage.event(value=str(n), meter=(CPU, BYTES)[k % 2]) for k in range(14)])
        usage.world.clock.forward(minutes=7)
    wanted = listed(api)
    cpu = listed(api, account="main", meter=CPU)
    usage.world.clock.forward(days=RETENTION + 1)
    life.archive()
    for limit in (1000, 9, 1):
        assert listed(api, limit=limit)[:140] == wanted
    assert listed(api, limit=11, account="main", meter=CPU) == cpu
    assert len(cpu) == 70
    with usage.databases.app.transaction(reach=EVERYWHERE) as tx:
        page = operations.list_events(
            tx,
            wanted=EventFilter(),
            after=UUID(wanted[99]["id"]),
            limit=10,
            blobs=FolderBlobs(life.folder),
            now=usage.now,
        )
    assert [str(event.id) for event in page.events] == [event["id"] for event in wanted[100:110]]


def test_a_file_that_was_lost_damaged_or_deleted_after_its_time_is_named_and_the_others_are_read(
    life: Life, api: httpx.Client
):
    archived_days(life, 5)
    life.usage.world.clock.forward(days=3)
    wanted = listed(api)
    life.archive()
    first, second, third, *_ = life.files()
    first.unlink()
    flip_a_bit(second, "id")
    third.write_bytes(third.read_bytes()[:-1])
    found = pages(api)
    unread = [days for page in found for days in page["metadata"].get("unreadDays", ())]
    assert [(days["first"], days["last"]) for days in unread] == [
        (f"2026-10-0{n}", f"2026-10-0{n}") for n in (1, 2, 3)
    ]
    for days, problem in zip(unread, ("is not in", "is damaged", "another size"), strict=True):
        assert problem in days["reason"] and "backup" in days["reason"]
    assert [event for page in found for event in page["items"]] == wanted[15:]
    assert [page for page in pages(api, **{"from": "2026-10-04"}) if "unreadDays" in page["metadata"]] == []
    assert api.get(f"{PATH}/{wanted[0]['id']}").status_code == 409

    life.usage.world.clock.forward(days=365 * 8)
    life.archive()
    (page,) = pages(api)
    assert page["items"] == []
    (days,) = page["metadata"]["unreadDays"]
    assert (days["first"], days["last"], days["reason"]) == ("2026-10-01", "2026-10-05", raw_events.EXPIRED)
    assert api.get(f"{PATH}/{wanted[0]['id']}").status_code == 409


def test_an_organization_finds_its_own_archived_events_only(life: Life, api: httpx.Client):
    usage, rival = life.usage, "organization-rival"
    account = {"currencyCode": "USD", "paymentProfile": {"type": "BankTransfer"}}
    usage.world.create(BillingAccount, "theirs", account, namespace=rival)
    usage.world.create(BillingAccountBinding, "rivals", binding_spec("rivals", "theirs"), namespace=rival)
    usage.world.clock.forward(hours=1)
    usage.ingest([usage.event(value="1"), usage.event("rivals", value="2")])
    (own, foreign) = listed(api)
    usage.world.clock.forward(days=RETENTION + 1)
    life.archive()
    assert listed(api) == [own, foreign]
    usage.world.grants.granted[READ] = frozenset({usage.organization("acme")})
    assert listed(api) == [own]
    assert api.get(f"{PATH}/{foreign['id']}").status_code == 404


@pytest.mark.parametrize("archived", [False, True], ids=["living", "archived"])
def test_a_voided_event_says_so_and_did_not_count_after_that(life: Life, api: httpx.Client, archived: bool):
    usage = life.usage
    kept, gone, later = life.ingest(1, 2, 3)
    usage.world.clock.forward(hours=1)
    life.void(gone, "a load test")
    usage.world.clock.forward(hours=1)
    issued = usage.now
    usage.world.clock.forward(hours=1)
    life.void(later, "twice")
    if archived:
        usage.world.clock.forward(days=RETENTION + 1)
        life.archive()
    shown = {event["ulid"]: event.get("voided") for event in listed(api)}
    at = (issued - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    assert shown[kept["id"]] is None
    assert shown[gone["id"]] == {"at": at, "reason": "a load test", "by": "ann"}
    assert (shown[later["id"]] or {})["reason"] == "twice"
    assert api.get(f"{PATH}/{gone['id']}").json()["voided"] == shown[gone["id"]]
    counted: set[int] = set()
    page = EventPage((), UUID(int=0))
    while page.after is not None:
        with usage.databases.app.transaction(reach=EVERYWHERE) as tx:
            page = operations.list_events(
                tx,
                wanted=EventFilter(counted_until=issued),
                after=page.after,
                limit=10,
                blobs=FolderBlobs(life.folder),
                now=usage.now,
            )
        counted |= {event.id.int for event in page.events}
    assert counted == {ulid_to_int(one["id"]) for one in (kept, later)}


def test_what_a_page_reads_of_the_archive_is_bounded(
    life: Life, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
):
    archived_days(life, 4)
    life.usage.world.clock.forward(days=2)
    wanted = listed(api)
    life.archive()
    monkeypatch.setattr(raw_events, "FILES_MAX", 2)
    found = pages(api)
    assert [len(page["items"]) for page in found[:2]] == [10, 5]
    assert [event for page in found for event in page["items"]] == wanted


def test_an_event_is_found_by_the_source_and_id_that_it_was_sent_with(life: Life, api: httpx.Client):
    usage = life.usage
    archived_days(life, 2)
    usage.world.clock.forward(days=2)
    life.archive()
    (shown,) = api.get(PATH, params={"id": "order-1", "source": "test"}).json()["items"]
    assert (shown["value"], shown["dimensions"]) == ("17", {"region": "us"})
    assert api.get(PATH, params={"id": shown["ulid"]}).json()["items"] == [shown]
    for query, code in (
        ({"id": "order-1"}, 400),
        ({"source": "test"}, 400),
        ({"id": "order-1", "source": "test", "meter": CPU}, 400),
        ({"id": "order-1", "source": "shop"}, 404),
        ({"id": "order-1", "source": "test", "organization": "acme"}, 404),
    ):
        assert api.get(PATH, params=query).status_code == code, query
    usage.world.grants.granted[READ] = frozenset({0, usage.organization("rival")})
    assert api.get(PATH, params={"id": "order-1", "source": "test"}).status_code == 404


def test_an_event_that_nobody_stored_is_not_found_in_the_archive_either(life: Life, api: httpx.Client):
    life.ingest(1)
    life.usage.world.clock.forward(days=RETENTION + 1)
    life.archive()
    assert api.get(f"{PATH}/{new_uid()}").status_code == 404
    assert api.get(f"{PATH}/{UUID(int=2**128 - 1)}").status_code == 404
