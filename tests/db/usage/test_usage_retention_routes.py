"""The doors of voids, changes and the archive: who may, what they answer."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.database import EVERYWHERE
from milo_billing.usage.routes import retention
from milo_billing.usage.routes.ingest import READ
from milo_billing.usage.routes.retention import ARCHIVE, VOID
from tests.serving import client_of, serving
from tests.usage_life import RETENTION, Life
from tests.usage_world import CPU, UsageWorld


@pytest.fixture
def life(usage: UsageWorld, tmp_path: Path) -> Life:
    return Life(usage, tmp_path / "archive")


@pytest.fixture
def api(life: Life) -> Iterator[httpx.Client]:
    """A client of the provider's staff."""
    grants = life.usage.world.grants
    grants.granted |= {READ: EVERYWHERE, VOID: EVERYWHERE, ARCHIVE: EVERYWHERE}
    door = Door(life.usage.databases.app, grants, life.usage.world.clock)
    application = build_application(retention.routes(door, life.archive_reader, life.archivist()))
    with serving(application) as url, client_of(url) as client:
        client.headers["Authorization"] = "Bearer ann"
        yield client


def test_an_event_is_voided_by_its_id_in_either_spelling(life: Life, api: httpx.Client):
    (event,) = life.ingest(7)
    answer = api.post(f"/v1/usage/events/{event['id']}/void", json={"reason": " a test "}).json()
    wanted = {"state": "voided", "reason": "a test", "by": "ann", "namespace": "organization-acme"}
    wanted |= {"account": "main", "project": "web", "meter": CPU, "value": "7", "day": str(life.today)}
    assert {name: answer[name] for name in wanted} == wanted
    again = api.post(f"/v1/usage/events/{answer['id']}/void", json={"reason": "other"})
    assert (again.status_code, again.json()) == (200, answer)
    (waiting,) = life.ingest(1, meter="nobody.example/knows")
    discarded = api.post(f"/v1/usage/events/{waiting['id']}/void", json={"reason": "a test"}).json()
    assert (discarded["state"], discarded["reason"]) == ("discarded", "a test")


def test_what_a_void_needs(life: Life, api: httpx.Client):
    (event,) = life.ingest(7)
    path = f"/v1/usage/events/{event['id']}/void"
    for body in (b"{}", b'{"reason": ""}', b'{"reason": "x", "more": 1}', b"nonsense"):
        assert api.post(path, content=body).status_code == 400
    assert api.post("/v1/usage/events/order-1/void", json={"reason": "x"}).status_code == 404
    grants = life.usage.world.grants
    acme = life.usage.organization("acme")
    grants.granted[VOID] = frozenset({acme})
    assert api.post(path, json={"reason": "x"}).status_code == 403, "nobody writes his own bill"
    grants.granted[VOID] = frozenset({0, acme})
    assert api.post(path, json={"reason": "x"}).status_code == 200


@pytest.mark.parametrize("archived", [False, True], ids=["living", "archived"])
def test_an_event_is_voided_by_the_source_and_id_that_it_was_sent_with(
    life: Life, api: httpx.Client, archived: bool
):
    usage, path = life.usage, "/v1/usage/events:void"
    acme, rival = usage.organization("acme"), usage.organization("rival")
    mine, other = usage.event(value="3", id="order/1?"), usage.event(value="5", id="order/1?", source="shop")
    usage.ingest([mine, other, usage.event(value="7")], reach=frozenset({acme}))
    usage.ingest([usage.event(value="9", id="order/1?")])
    if archived:
        usage.world.clock.forward(days=RETENTION + 1)
        life.archive()
        assert usage.value("select count(*) from usage.events") == 0
    body = {"id": "order/1?", "source": "test", "reason": "a load test"}
    ambiguous = api.post(path, json=body)
    assert (ambiguous.status_code, "acme, provider" in ambiguous.text) == (409, True)
    answer = api.post(path, json={**body, "organization": "acme"}).json()
    assert (answer["state"], answer["value"], answer["reason"]) == ("voided", "3", "a load test")
    assert api.post(path, json={**body, "organization": "acme", "reason": "other"}).json() == answer
    assert api.post(path, json={**body, "source": "shop"}).json()["value"] == "5"
    ((figures,),) = [tuple(life.rolled_up().values())]
    assert figures == (16, 2, 7, 9, 9)
    for wrong, code in (
        ({"source": "nowhere"}, 404),
        ({"organization": "rival"}, 404),
        ({"organization": "nobody"}, 404),
        ({"id": "order-2"}, 404),
        ({"reason": " "}, 400),
    ):
        assert api.post(path, json={**body, **wrong}).status_code == code, wrong
    assert api.post(path, json={"id": "order/1?", "reason": "x"}).status_code == 400
    usage.world.grants.granted[VOID] = frozenset({0, rival})
    assert api.post(path, json=body).status_code == 404, "it belongs to an account out of reach"


def test_a_ulid_needs_no_source_and_a_foreign_event_in_quarantine_is_discarded(life: Life, api: httpx.Client):
    (event,) = life.ingest(7)
    path = "/v1/usage/events:void"
    assert api.post(path, json={"id": event["id"], "reason": "x"}).json()["value"] == "7"
    life.ingest(1, meter="nobody.example/knows", id="order-9")
    asked = {"id": "order-9", "source": "test", "reason": "x"}
    assert api.post(path, json=asked).json()["state"] == "discarded"


def test_changes_of_a_period_are_listed_by_cause(life: Life, api: httpx.Client):
    usage = life.usage
    start = usage.now
    early, _ = life.ingest(5, 6)
    usage.world.clock.forward(days=31)
    life.bill(usage.now.replace(day=1, hour=0, minute=0))
    life.void(early)
    life.ingest(8, at=start + timedelta(days=20), dimensions={"region": "eu"})
    query = {"namespace": "organization-acme", "account": "main", "period": "2026-10"}
    first, second = api.get("/v1/usage/changes", params=query).json()["items"]
    assert (first["cause"], first["events"], first["quantity"], first["day"]) == (
        "void",
        -1,
        "-5",
        "2026-10-01",
    )
    assert (second["cause"], second["quantity"], second["dimensions"]) == ("late", "8", {"region": "eu"})
    only = api.get("/v1/usage/changes", params={**query, "cause": "late"}).json()["items"]
    assert only == [second]
    assert api.get("/v1/usage/changes", params={**query, "period": "2026-11"}).json() == {"items": []}
    for wrong in ({"period": "soon"}, {"cause": "moon"}, {"period": ""}):
        assert api.get("/v1/usage/changes", params={**query, **wrong}).status_code == 400
    assert api.get("/v1/usage/changes", params={**query, "account": "nobody"}).status_code == 404


def test_the_archive_is_listed_run_and_verified(life: Life, api: httpx.Client):
    day = life.today
    life.ingest(5)
    life.usage.world.clock.forward(days=RETENTION + 1)
    life.forget_empty_days()
    dry = api.post("/v1/usage/archive:run", json={"dryRun": True, "until": str(day)}).json()
    assert dry["due"][-1] == str(day)
    jobs = "select args->>'until' from jobs.procrastinate_jobs where task_name = 'usage.archive_now'"

    def deferred() -> list[tuple[str | None]]:
        with life.usage.databases.job.transaction(reach=EVERYWHERE) as tx:
            return tx.execute(jobs.encode()).fetchall()

    assert deferred() == []
    assert api.post("/v1/usage/archive:run", json={"until": str(day)}).json()["due"] == dry["due"]
    assert deferred() == [(str(day),)]
    life.archive()
    span = {"from": str(day), "to": str(day + timedelta(days=1))}
    (shown,) = api.get("/v1/usage/archive", params=span).json()["items"]
    assert (shown["state"], shown["file"]["events"]) == ("dropped", 1)
    verified = api.post(f"/v1/usage/archive/{day}:verify")
    assert verified.json() == {"day": str(day), "problem": None}
    life.files()[0].write_bytes(b"PAR1")
    assert "backup" in api.post(f"/v1/usage/archive/{day}:verify").json()["problem"]
    assert api.post("/v1/usage/archive/2020-01-01:verify").status_code == 404
    life.usage.world.grants.granted[ARCHIVE] = frozenset({life.usage.organization("acme")})
    assert api.get("/v1/usage/archive").status_code == 403
