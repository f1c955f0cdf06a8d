"""The ingest endpoint under requests that are wrong at every level, from the JSON to the chunks it is sent in.

Good events that others send at the same time are acknowledged and stored, whatever the bytes.
"""

import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import new_uid, random_bits
from milo_billing.infra.database import EVERYWHERE
from milo_billing.usage.engine.pipeline import UsageEngine
from milo_billing.usage.routes import ingest as routes
from milo_billing.usage.routes.gateway import INGEST, ShortWay
from tests.fuzz.requests import MANY, Wire, make_wire
from tests.serving import serving
from tests.usage_world import UsageWorld

EXAMPLES = 150
WIRES = 4
ANSWER_S_MAX = 20.0
NO_ANSWER = 0
"""The connection was closed without one: a head or a chunk was none, or the body shorter than it said."""

ANSWERS = {200, 207, 400, 413, 415, NO_ANSWER}


@dataclass
class Gateway:
    """The real doors over TCP, and a client that behaves."""

    usage: UsageWorld
    url: str
    good: httpx.Client

    def send(self, wire: Wire) -> int:
        """The status of the answer."""
        url = urlsplit(self.url)
        with socket.create_connection((url.hostname or "", url.port or 0), timeout=ANSWER_S_MAX) as line:
            try:
                line.sendall(wire.head + wire.body)
                line.shutdown(socket.SHUT_WR)  # a body that is shorter than it says ends here
                answer = b""
                while part := line.recv(4_096):
                    answer += part
            except ConnectionError:
                return NO_ANSWER
        answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else NO_ANSWER

    def send_good(self, count: int) -> None:
        """Good events, which are acknowledged."""
        events = [self.usage.event(value="1") for _ in range(count)]
        answer = self.good.post(MANY, json=events)
        assert (answer.status_code, answer.json()) == (200, {"accepted": count})

    def accepted(self) -> int:
        """Events that were accepted: at every instant as many are tallied as are stored."""
        query = (
            "select (select coalesce(sum(events), 0)::int from usage.tallies where fate = 'accepted'), "
            "(select count(*)::int from usage.events)"
        )
        tallied, stored = self.usage.rows(query)[0]
        assert tallied == stored
        return stored


@pytest.fixture
def gateway(usage: UsageWorld) -> Iterator[Gateway]:
    """Doors without TLS, before an engine with its threads."""
    usage.world.grants.granted |= {INGEST: EVERYWHERE}
    door = Door(usage.databases.app, usage.world.grants, usage.world.clock)
    engine = UsageEngine(usage.databases.ingest, process=new_uid(), random_bits=random_bits, late_days_max=30)
    engine.start()
    found, doors = routes.routes(door, engine)
    with (
        serving(ShortWay(build_application(found), doors)) as url,
        httpx.Client(base_url=url, timeout=ANSWER_S_MAX) as client,
    ):
        client.headers["Authorization"] = "Bearer good"
        yield Gateway(usage, url, client)
        assert engine.problem() is None
    engine.stop()


@given(seed=st.integers(0, 2**32))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_good_events_of_others_are_stored_whatever_is_sent_beside_them(gateway: Gateway, seed: int):
    chance, usage = random.Random(seed), gateway.usage
    events = [
        usage.event(value=str(n), dimensions={"region": "eu"}, resource={"kind": "I"}) for n in range(3)
    ]
    wires = [make_wire(chance, events) for _ in range(WIRES)]
    before = gateway.accepted()
    with ThreadPoolExecutor(WIRES) as pool:
        answers = [pool.submit(gateway.send, wire) for wire in wires]
        gateway.send_good(5)
    for wire, answer in zip(wires, answers, strict=True):
        assert answer.result() in ANSWERS, wire
    assert gateway.accepted() >= before + 5
