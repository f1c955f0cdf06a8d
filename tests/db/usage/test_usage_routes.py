"""The doors over HTTP: every mode of CloudEvents, every answer of the wire contract, imports and reads."""

import gzip
import hashlib
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import new_uid, random_bits
from milo_billing.infra.database import EVERYWHERE
from milo_billing.usage import store
from milo_billing.usage.engine.pipeline import UsageEngine
from milo_billing.usage.routes import ingest as routes
from milo_billing.usage.routes.gateway import BATCHED, INGEST, STRUCTURED, ShortWay
from milo_billing.usage.routes.ingest import ACCEPT_LATE, READ
from milo_billing.usage.rules import text_hash
from milo_billing.usage.types import BODY_BYTES_MAX, EVENTS_MAX
from tests.serving import client_of, serving
from tests.usage_world import BYTES, CPU, JSON, UsageWorld

ONE = "/v1/usage/events"
MANY = "/v1/usage/events:batchIngest"
IMPORTS = "/v1/usage/imports"


@pytest.fixture
def api(usage: UsageWorld) -> Iterator[httpx.Client]:
    """A client of the doors, who may do everything with usage but accept late rows."""
    usage.world.grants.granted |= {INGEST: EVERYWHERE, READ: EVERYWHERE}
    door = Door(usage.databases.app, usage.world.grants, usage.world.clock)
    engine = UsageEngine(usage.databases.ingest, process=new_uid(), random_bits=random_bits, late_days_max=30)
    engine.start()
    found, doors = routes.routes(door, engine)
    application = ShortWay(build_application([*found, *routes.read_routes(door)]), doors)
    with serving(application) as url, client_of(url) as client:
        client.headers["Authorization"] = "Bearer ann"
        yield client
    engine.stop()


def send(api: httpx.Client, path: str, body: Any, content_type: str = "application/json") -> httpx.Response:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return api.post(path, content=content, headers={"Content-Type": content_type})


def test_one_event_in_every_mode_of_cloudevents(usage: UsageWorld, api: httpx.Client):
    events = [usage.event(value=str(n), dimensions={"region": "eü"}) for n in range(4)]
    assert send(api, ONE, events[0]).json() == {"accepted": 1}
    assert send(api, ONE, events[1], STRUCTURED + "; charset=utf-8").json() == {"accepted": 1}
    assert send(api, ONE, [events[2]], BATCHED).json() == {"accepted": 1}
    attributes = {f"ce-{name}": value for name, value in events[3].items() if name != "data"}
    attributes["ce-source"] = "test%20source"  # CloudEvents HTTP binding 3.1.3: percent-encoded
    binary = api.post(
        ONE,
        content=orjson.dumps(events[3]["data"]),
        headers={**attributes, "Content-Type": "application/json"},
    )
    assert (binary.status_code, binary.json()) == (200, {"accepted": 1})
    assert list(usage.rolled_up().values()) == [(6, 4, 0, 3, 3)]


REFUSED: list[tuple[JSON, str]] = [
    ({"id": None}, "MISSING_REQUIRED_FIELD"),
    ({"id": ""}, "MISSING_REQUIRED_FIELD"),
    ({"time": None}, "MISSING_REQUIRED_FIELD"),
    ({"type": 5}, "MISSING_REQUIRED_FIELD"),
    ({"subject": None}, "MISSING_REQUIRED_FIELD"),
    ({"source": None}, "MISSING_REQUIRED_FIELD"),
    ({"specversion": "0.3"}, "MISSING_REQUIRED_FIELD"),
    ({"data": None}, "MISSING_REQUIRED_FIELD"),
    ({"data": {}}, "MISSING_REQUIRED_FIELD"),
    ({"data": {"value": True}}, "INVALID_VALUE_TYPE"),
    ({"data": {"value": None}}, "INVALID_VALUE_TYPE"),
    ({"data": {"value": ["1"]}}, "INVALID_VALUE_TYPE"),
    ({"id": "01ARZ3NDEKTSV4RRFFQ69G5FAU"}, "INVALID_ULID"),
    ({"id": "81ARZ3NDEKTSV4RRFFQ69G5FAV"}, "INVALID_ULID"),
    ({"id": "order-1", "source": None}, "INVALID_ULID"),
    ({"datacontenttype": "application/xml"}, "INVALID_DATACONTENTTYPE"),
    ({"time": "2031-01-01T00:00:00Z"}, "TIME_IN_FUTURE"),
]


def test_one_bad_event_is_refused_with_a_code_and_among_good_ones_by_its_id(
    usage: UsageWorld, api: httpx.Client
):
    for change, code in REFUSED:
        event = {name: value for name, value in {**usage.event(), **change}.items() if value is not None}
        alone = send(api, ONE, event)
        assert (alone.status_code, alone.json()["code"]) == (400, code)
        assert alone.json()["message"]
        among = send(api, MANY, [usage.event(), event, usage.event()])
        assert among.status_code == 207
        (rejected,) = among.json()["rejected"]
        assert (among.json()["accepted"], rejected["reason"]) == (2, code)
        assert rejected["id"] == event.get("id", "")


def test_bodies_that_cannot_be_read_are_refused_whole(usage: UsageWorld, api: httpx.Client):
    event = usage.event()
    bodies: tuple[tuple[str, Any, str, int], ...] = (
        (ONE, b"{", "application/json", 400),
        (ONE, [event], "application/json", 400),
        (MANY, event, "application/json", 400),
        (MANY, b'[{"id": "\xff"}', "application/json", 400),
        (MANY, b"", "application/json", 400),
        (MANY, [event], "text/plain", 415),
        (MANY, [event] * (EVENTS_MAX + 1), "application/json", 413),
        (MANY, b"[" + b" " * BODY_BYTES_MAX + b"]", "application/json", 413),
    )
    for path, body, content_type, status in bodies:
        answer = send(api, path, body, content_type)
        assert (answer.status_code, bool(answer.json()["message"])) == (status, True)
    assert send(api, MANY, []).json() == {"accepted": 0}
    assert usage.value("select count(*) from usage.events") == 0


def test_bodies_may_be_compressed_within_bounds(usage: UsageWorld, api: httpx.Client):
    body = gzip.compress(orjson.dumps([usage.event()]))
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert api.post(MANY, content=body, headers=packed).json() == {"accepted": 1}
    bomb = gzip.compress(b"[" + b" " * (BODY_BYTES_MAX + 1) + b"]")
    assert api.post(MANY, content=bomb, headers=packed).status_code == 413
    for broken in (b"plain", body[:-4]):
        assert api.post(MANY, content=broken, headers=packed).status_code == 400
    other = {**packed, "Content-Encoding": "br"}
    assert api.post(MANY, content=body, headers=other).status_code == 400


def test_the_short_way_and_the_way_through_all_layers_answer_alike(usage: UsageWorld, api: httpx.Client):
    refused: dict[str, Any] = {**usage.event(), "data": {}}
    sent: list[tuple[Any, dict[str, str]]] = [
        (usage.event(), {}),
        (refused, {}),
        (b"{", {}),
        (b"", {"Content-Type": "text/plain"}),
        (usage.event(), {"Content-Encoding": "br"}),
        (b"no gzip", {"Content-Encoding": "gzip"}),
        (b" " * (BODY_BYTES_MAX + 1), {}),
        (usage.event(), {"Authorization": "Basic x"}),
    ]
    for body, headers in sent:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"Content-Type": "application/json", **headers}
        # a parameter, which no door of events knows, keeps a request from the short way
        short, long = (api.post(ONE + query, content=content, headers=headers) for query in ("", "?x=1"))
        assert (short.status_code, short.content) == (long.status_code, long.content)
        assert {*short.headers} == {*long.headers}
        assert short.headers["audit-id"] != long.headers["audit-id"]


def test_only_who_may_ingest_can_send(usage: UsageWorld, api: httpx.Client):
    usage.world.grants.granted[INGEST] = frozenset()
    assert send(api, ONE, usage.event()).status_code == 403
    usage.world.grants.granted[INGEST] = frozenset({usage.organization("rival")})
    answer = api.post(ONE, json=usage.event(), headers={"Authorization": "Bearer bob"})
    assert (answer.status_code, usage.quarantined()) == (200, ["attribution_failure"])


def chunk(first: int, count: int) -> JSON:
    rows: list[JSON] = [
        {
            "row": row,
            "project": "web",
            "meter": CPU,
            "time": "2026-10-01T12:30:00.1234567Z",
            "value": str(row),
            "dimensions": {"region": "eu"} if row % 2 else {},
        }
        for row in range(first, first + count)
    ]
    return {"events": rows}


def opening(rows: int, **more: Any) -> JSON:
    return {"digest": hashlib.sha256(b"file").hexdigest(), "mapping": {"value": "a"}, "rows": rows, **more}


def test_an_import_bills_once_whatever_is_sent_again(usage: UsageWorld, api: httpx.Client):
    opened = api.post(IMPORTS, json=opening(25)).json()
    assert (opened["state"], opened["nextChunk"], opened["accepted"]) == ("open", 0, 0)
    chunks = f"{IMPORTS}/{opened['id']}/chunks"
    assert api.post(f"{chunks}/1", json=chunk(10, 10)).status_code == 409  # 0 comes first
    expected: JSON = {"accepted": 10, "quarantined": 0, "duplicate": 0, "rejected": []}
    for _ in range(2):
        assert api.post(f"{chunks}/0", json=chunk(0, 10)).json() == expected
    assert api.post(f"{chunks}/0", json=chunk(1, 10)).status_code == 409  # other rows
    assert api.post(f"{chunks}/1", json=chunk(5, 10)).json() == {**expected, "accepted": 5, "duplicate": 5}
    incomplete = api.post(f"{IMPORTS}/{opened['id']}/complete", json={})
    assert (incomplete.status_code, "20 of 25 rows" in incomplete.json()["message"]) == (409, True)
    again = api.post(IMPORTS, json=opening(25)).json()
    assert (again["id"], again["nextChunk"]) == (opened["id"], 2)
    last = chunk(20, 5)
    last["events"][0]["value"] = "1.5"
    last["events"][1]["time"] = "2031-01-01T00:00:00Z"
    answer = api.post(f"{chunks}/2", json=last).json()
    assert (answer["accepted"], answer["quarantined"]) == (3, 1)
    assert [(row["row"], row["reason"]) for row in answer["rejected"]] == [(21, "TIME_IN_FUTURE")]
    for _ in range(2):
        done = api.post(f"{IMPORTS}/{opened['id']}/complete", json={}).json()
        assert {
            name: done[name] for name in ("state", "accepted", "quarantined", "duplicate", "rejected")
        } == {
            "state": "complete",
            "accepted": 18,
            "quarantined": 1,
            "duplicate": 5,
            "rejected": 1,
        }
    assert api.post(f"{chunks}/3", json=chunk(25, 1)).status_code == 409
    other = api.post(IMPORTS, json={**opening(25), "mapping": {"value": "b"}}).json()
    assert other["id"] != opened["id"]
    assert sum(row[0] for row in usage.rolled_up().values()) == sum(range(15)) + 22 + 23 + 24
    assert usage.rolled_up() == usage.recounted()


def test_a_chunk_with_a_row_that_cannot_be_stored_is_answered_whole_and_once(
    usage: UsageWorld, api: httpx.Client
):
    taken = text_hash(b'{"region":"eu"}')
    with usage.databases.ingest.transaction(reach=EVERYWHERE) as tx:  # another set has the same hash
        store.insert_dimension_sets(tx, {taken: b'{"region":"us"}'})
    opened = api.post(IMPORTS, json=opening(5)).json()
    for _ in range(2):
        answer = api.post(f"{IMPORTS}/{opened['id']}/chunks/0", json=chunk(0, 5)).json()
        assert answer == {"accepted": 3, "quarantined": 2, "duplicate": 0, "rejected": []}
    assert api.post(f"{IMPORTS}/{opened['id']}/complete", json={}).json()["state"] == "complete"


def test_the_late_window_is_lifted_only_by_those_who_may_and_it_is_audited(
    usage: UsageWorld, api: httpx.Client
):
    usage.world.project("old")
    usage.world.bind("old", project="old", effectiveFrom="2023-11-01T00:00:00Z")
    wanted = opening(1, acceptLate=True)
    assert api.post(IMPORTS, json=wanted).status_code == 403
    usage.world.grants.granted[ACCEPT_LATE] = EVERYWHERE
    opened = api.post(IMPORTS, json=wanted).json()
    row = {"row": 0, "project": "old", "meter": CPU, "time": "2023-11-16T18:17:03.9799600Z", "value": "7"}
    answer = api.post(f"{IMPORTS}/{opened['id']}/chunks/0", json={"events": [row]}).json()
    assert answer["accepted"] == 1
    records = usage.databases.app.transaction(reach=EVERYWHERE)
    with records as tx:
        found = tx.execute(
            "select actor, target_uid::text from access.audit_records where verb = 'acceptLate'"
        )
        assert found.fetchall() == [("ann", opened["id"])]


def test_an_import_that_is_not_described_as_it_should_be_is_refused(api: httpx.Client):
    good: JSON = {"digest": "0" * 64, "mapping": {}, "rows": 1}
    for change in ({"digest": "abc"}, {"rows": -1}, {"rows": None}, {"acceptlate": True}):
        answer = api.post(IMPORTS, json={**good, **change})
        assert (answer.status_code, bool(answer.json()["message"])) == (400, True)


def test_imports_of_others_and_unknown_ones_are_not_found(usage: UsageWorld, api: httpx.Client):
    opened = api.post(IMPORTS, json=opening(1)).json()
    usage.world.grants.granted[INGEST] = frozenset({usage.organization("rival")})
    for id in (opened["id"], str(new_uid()), "nonsense"):
        assert api.post(f"{IMPORTS}/{id}/complete", json={}).status_code == 404
        assert api.post(f"{IMPORTS}/{id}/chunks/0", json=chunk(0, 1)).status_code == 404


def test_usage_is_read_by_project_meter_and_day(usage: UsageWorld, api: httpx.Client):
    usage.ingest([usage.event(value="5"), usage.event(value="7"), usage.event(meter=BYTES, value="9" * 19)])
    main = {"namespace": "organization-acme", "account": "main"}
    answer = api.get("/v1/usage", params={"project": "web"}).json()
    figures = {
        "aggregation": "Sum",
        "quantity": "12",
        "unit": "1",
        "sum": "12",
        "count": 2,
        "min": "5",
        "max": "7",
    }
    assert answer["items"] == [{**main, "project": "web", "meter": CPU, **figures}]
    by_day = api.get("/v1/usage", params={"meter": CPU, "groupBy": "day", "account": "main"}).json()
    assert by_day["items"] == [{**main, "meter": CPU, "day": "2026-10-01", **figures}]
    later = {"from": "2026-10-02", "to": "2026-10-03"}
    assert api.get("/v1/usage", params=later).json() == {"items": []}
    assert api.get("/v1/usage", params={"project": "nobody"}).status_code == 404
    assert api.get("/v1/usage", params={"groupBy": "colour"}).status_code == 400
    assert api.get("/v1/usage", params={"from": "soon"}).status_code == 400
    statistics = api.get("/v1/usage/statistics").json()
    assert (statistics["accepted"], statistics["quarantined"]) == (2, {"invalid_value": 1})
