"""The gateway seen from outside: an independent CloudEvents client, floods, a database that is away, and /metrics."""

import gzip
import json
import os
import re
import signal
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
import yaml
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from demo.server import Running, start_server

from milo_billing.accounts.operations import hold_fence
from milo_billing.client.http import ApiClient
from milo_billing.client.manifests import read_manifests
from milo_billing.client.objects import Objects
from milo_billing.client.usage import get_usage
from milo_billing.infra.clock import random_bits
from milo_billing.infra.database import connect
from milo_billing.infra.postgres.server import PostgresServer, find_postmaster
from milo_billing.kernel.ids import ulid
from milo_billing.usage.types import BODY_BYTES_MAX, EVENT_BYTES_MAX
from tests.flow.conftest import CATALOG, CUSTOMER

ONE, MANY = "/v1/usage/events", "/v1/usage/events:batchIngest"
BATCH = "application/cloudevents-batch+json"
GROWTH_BYTES_MAX = 600 * 1024 * 1024
"""What the flood may add to the gateway: 64 MiB of bodies, 100,000 events that wait, and what Python keeps."""

SERVED_AGAIN_S_MAX = 60.0


def sdk_event(project: str, value: int, **data: Any) -> CloudEvent:
    """An event as the SDK makes one."""
    now = datetime.now(UTC)
    attributes = {
        "id": ulid(int(now.timestamp() * 1000), random_bits(80)),
        "source": "urn:flow/wire test",
        "type": "web.flow.example/bytes",
        "subject": f"projects/{project}",
        "time": now,
        "datacontenttype": "application/json",
        "note": "größer",  # an extension attribute, beyond ASCII
    }
    return CloudEvent(attributes, {"value": str(value), "dimensions": {"method": "GET"}, **data})


def gateway(server: Running) -> httpx.Client:
    """A plain HTTP client of the gateway, as the administrator."""
    connection = server.connection()
    return httpx.Client(
        base_url=connection.gateway_url,
        verify=ssl.create_default_context(cadata=connection.ca_pem),
        headers={"Authorization": f"Bearer {connection.token}"},
        timeout=60,
    )


def post(client: httpx.Client, message: HTTPMessage, path: str = ONE, **headers: str) -> httpx.Response:
    """Send what the SDK has written."""
    return client.post(path, content=message.body, headers={**message.headers, **headers})


def test_an_independent_client_is_understood_in_every_mode(server: Running, api: ApiClient, customer: Any):
    project = customer("wire", "2026-01-01T00:00:00Z")
    with gateway(server) as client:
        first = to_structured_event(sdk_event(project, 1))
        assert (post(client, first).status_code, post(client, first).json()) == (200, {"accepted": 1})
        assert post(client, to_binary_event(sdk_event(project, 2))).json() == {"accepted": 1}
        several = [json.loads(to_structured_event(sdk_event(project, n)).body) for n in (4, 8)]
        batch = HTTPMessage({"content-type": BATCH}, json.dumps(several).encode())
        assert post(client, batch).json() == {"accepted": 2}
        zipped = HTTPMessage(
            {"content-type": BATCH}, gzip.compress(json.dumps([*several, {**several[0], "id": 5}]).encode())
        )
        answer = post(client, zipped, MANY, **{"content-encoding": "gzip"})
        (refused,) = answer.json()["rejected"]
        assert (answer.status_code, answer.json()["accepted"]) == (207, 2)
        assert (refused["id"], refused["reason"]) == ("", "MISSING_REQUIRED_FIELD")
    used = get_usage(api, project=project, groupBy="meter")
    assert [(row["sum"], row["count"]) for row in used] == [("15", 4)]


def test_what_is_too_large_is_refused_with_413_whichever_way_it_comes(server: Running):
    note = "x" * EVENT_BYTES_MAX
    event = json.loads(to_structured_event(sdk_event("nobody", 1)).body)
    large = json.dumps({**event, "note": note}).encode()
    ticking = b"[" + b"5," * (BODY_BYTES_MAX // 2 - 1) + b"5]"
    huge = b"[" + b" " * BODY_BYTES_MAX + b"]"
    typed = {"content-type": "application/json"}
    bodies: list[tuple[str, bytes, dict[str, str]]] = [
        (ONE, large, typed),
        (MANY, b"[" + large + b"]", typed),
        (MANY, b"[5," + large + b"]", typed),
        (MANY, ticking, typed),
        (MANY, huge, typed),
        (MANY, gzip.compress(huge), {**typed, "content-encoding": "gzip"}),
    ]
    with gateway(server) as client:
        for path, body, headers in bodies:
            answer = client.post(path, content=body, headers=headers)
            assert answer.status_code == 413, (path, body[:20], answer.text)
        assert f"at most {EVENT_BYTES_MAX} are allowed" in client.post(ONE, content=large, headers=typed).text


def test_every_metric_that_an_alert_names_is_there_on_a_running_server(server: Running):
    files = (Path(__file__).parents[2] / "deploy" / "alerts").glob("*.yaml")
    rules = [
        rule
        for file in files
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]
    named = {
        name for rule in rules for name in re.findall(r"\b(?:milo_billing|billing)_[a-z_]+", rule["expr"])
    }
    shown = httpx.get(f"{server.health_url}/metrics").text
    there = set(re.findall(r"^# TYPE ([a-z_]+) ", shown, re.MULTILINE))
    there |= {f"{name}_bucket" for name in there}
    assert len(named) > 10
    assert named <= there | {name.removesuffix("_total") for name in there}, named - there
    assert 'billing_quarantine_depth{process="gateway",reason="unknown_meter"}' in shown


@pytest.fixture
def lonely(open_folder: Path) -> Iterator[Running]:
    """A server of this test alone, which may be flooded and crippled."""
    server = start_server(open_folder / "data", log=open_folder / "log", settings={"POSTGRES_FSYNC": "false"})
    with ApiClient(server.connection()) as api:
        declared = CATALOG + "---\n" + CUSTOMER.format(name="lonely", since="2026-01-01T00:00:00Z")
        for manifest in read_manifests(declared, where="wire"):
            Objects(api).apply(manifest)
    yield server
    server.stop()


def postgres_of(folder: Path) -> PostgresServer:
    """The server's own PostgreSQL."""
    data = folder / "data" / "postgres"
    found = find_postmaster(data)
    assert found is not None
    return PostgresServer(folder=data, socket_dir=found.socket_dir, pid=found.pid, child=None)


def gateway_pid(folder: Path) -> int:
    """The process that takes usage in."""
    lines = (line for line in (folder / "log").read_text().splitlines() if line.startswith("{"))
    started = [
        line["child"] for line in map(json.loads, lines) if line.get("name") == "gateway" and "child" in line
    ]
    return started[-1]


def resident_bytes(pid: int) -> int:
    """Memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.long
@pytest.mark.alone
def test_a_flood_on_a_stopped_writer_is_told_to_come_back_and_memory_stays_bounded(
    lonely: Running, open_folder: Path
):
    events = [json.loads(to_structured_event(sdk_event("lonely-app", 1)).body) for _ in range(2_000)]
    padded = json.dumps([{**event, "note": "x" * 1_500} for event in events]).encode()
    zipped = gzip.compress(padded, 1)
    pid = gateway_pid(open_folder)
    answers: Counter[int] = Counter()
    retry: set[str | None] = set()
    ended = threading.Event()

    def flood() -> None:
        with gateway(lonely) as client:
            while not ended.is_set():
                headers = {"content-type": BATCH, "content-encoding": "gzip"}
                answer = client.post(MANY, content=zipped, headers=headers)
                answers[answer.status_code] += 1
                if answer.status_code == 429:
                    retry.add(answer.headers.get("retry-after"))

    with gateway(lonely) as client:
        assert client.post(MANY, content=padded, headers={"content-type": BATCH}).json() == {
            "accepted": 2_000
        }
    before = resident_bytes(pid)
    peak = before
    threads = [threading.Thread(target=flood) for _ in range(40)]
    with connect(postgres_of(open_folder).conninfo(), role="milo_app") as tx:
        hold_fence(tx, exclusive=True)  # the writer waits for a change of payer that does not end
        for thread in threads:
            thread.start()
        until = monotonic() + 8
        while monotonic() < until:
            peak = max(peak, resident_bytes(pid))
            sleep(0.05)
        tx.rollback()
    ended.set()
    for thread in threads:
        thread.join()
    assert retry == {"1"}
    assert answers[429] > 40
    assert answers.keys() <= {200, 429}
    assert peak - before < GROWTH_BYTES_MAX, f"{(peak - before) / 2**20:.0f} MiB"
    with ApiClient(lonely.connection()) as api:
        assert [row["count"] for row in get_usage(api, project="lonely-app")] == [2_000]


@pytest.mark.long
def test_while_the_database_is_away_senders_get_503_and_then_are_served_again(
    lonely: Running, open_folder: Path
):
    message = to_structured_event(sdk_event("lonely-app", 7))
    with gateway(lonely) as client:
        assert post(client, to_structured_event(sdk_event("lonely-app", 1))).status_code == 200
        os.kill(lonely.process.pid, signal.SIGSTOP)  # nobody starts it again
        try:
            os.kill(postgres_of(open_folder).pid, signal.SIGKILL)
            answer = post(client, message)
            assert (answer.status_code, answer.headers["retry-after"].isdecimal()) == (503, True), answer.text
        finally:
            os.kill(lonely.process.pid, signal.SIGCONT)
        until = monotonic() + SERVED_AGAIN_S_MAX
        while (answer := post(client, message)).status_code != 200:
            assert answer.status_code == 503, answer.text
            assert monotonic() < until, "the gateway does not recover"
            sleep(0.2)
    with ApiClient(lonely.connection()) as api:
        assert [(row["sum"], row["count"]) for row in get_usage(api, project="lonely-app")] == [("8", 2)]
