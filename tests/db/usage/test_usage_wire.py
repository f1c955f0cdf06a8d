"""Connections of the gateway, byte by byte: usual requests, what hands a connection over, what clients do to them."""

import gzip
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import orjson
import pytest

from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import new_uid, random_bits
from milo_billing.infra.database import EVERYWHERE
from milo_billing.usage.engine.pipeline import UsageEngine
from milo_billing.usage.routes import ingest as routes
from milo_billing.usage.routes import wire
from milo_billing.usage.routes.gateway import INGEST, ShortWay
from milo_billing.usage.routes.wire import read_head
from tests.serving import serving
from tests.usage_world import UsageWorld

MANY = "/v1/usage/events:batchIngest"


@pytest.fixture
def address(usage: UsageWorld) -> Iterator[tuple[str, int]]:
    """Where the gateway listens."""
    usage.world.grants.granted |= {INGEST: EVERYWHERE}
    door = Door(usage.databases.app, usage.world.grants, usage.world.clock)
    engine = UsageEngine(usage.databases.ingest, process=new_uid(), random_bits=random_bits, late_days_max=30)
    engine.start()
    found, doors = routes.routes(door, engine)
    with serving(ShortWay(build_application(found), doors)) as url:
        place = urlsplit(url)
        assert place.hostname is not None and place.port is not None
        yield place.hostname, place.port
    engine.stop()


class Client:
    """One connection."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=20)
        self._read = self.socket.makefile("rb")

    def close(self) -> None:
        """Hang up."""
        self._read.close()
        self.socket.close()

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers, body; status 0 where the connection ended instead."""
        line = self._read.readline()
        if not line:
            return 0, {}, b""
        headers: dict[str, str] = {}
        while (header := self._read.readline().decode().rstrip("\r\n")) != "":
            name, _, value = header.partition(": ")
            headers[name.lower()] = value
        return int(line.split()[1]), headers, self._read.read(int(headers.get("content-length", "0")))


def request(
    body: bytes, *headers: str, path: str = MANY, length: int | None = None, token: str = "ann"
) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: gateway",
        "Content-Type: application/json",
        f"Authorization: Bearer {token}",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def events(usage: UsageWorld, count: int = 1) -> bytes:
    return orjson.dumps([usage.event() for _ in range(count)])


def test_a_request_may_come_in_pieces_of_any_size(usage: UsageWorld, address: tuple[str, int]):
    with closing(Client(address)) as client:
        for size in (1, 7, 150, 100_000):
            sent = request(events(usage, 2))
            for start in range(0, len(sent), size):
                client.socket.sendall(sent[start : start + size])
            status, headers, body = client.answer()
            assert (status, orjson.loads(body)) == (200, {"accepted": 2})
            assert {"audit-id", "date", "content-type", "content-length"} <= headers.keys()
    assert sum(row[1] for row in usage.rolled_up().values()) == 8


def test_requests_sent_ahead_are_answered_in_their_order(usage: UsageWorld, address: tuple[str, int]):
    with closing(Client(address)) as client:
        bodies = [events(usage, 1 + n % 3) for n in range(60)]
        bodies[10], bodies[11] = b"{", b"[]"
        ahead = b"".join(request(body) for body in bodies)
        client.socket.sendall(ahead + request(b"x" * 10, "Transfer-Encoding: identity"))
        found = [client.answer() for _ in bodies]
        assert [answer[0] for answer in found] == [400 if body == b"{" else 200 for body in bodies]
        counts = [orjson.loads(body).get("accepted") for _, _, body in found]
        assert counts == [None if n == 10 else 0 if n == 11 else 1 + n % 3 for n in range(60)]
        assert client.answer()[0] == 400  # by the general server, which knows what a request may not be


def test_an_unusual_request_is_answered_by_the_general_server_on_the_same_connection(
    usage: UsageWorld, address: tuple[str, int]
):
    body = events(usage)
    chunked = request(b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    for unusual, status in (
        (chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), 200),
        (request(gzip.compress(body), "Content-Encoding: gzip"), 200),
        (request(b" " * 70_000 + body), 200),
        (request(body, "Content-Length: 3"), 400),
        (request(body, "bad header"), 400),
        (request(body, path="/v1/usage/nothing"), 404),
        (b"GET /openapi/v3 HTTP/1.1\r\nHost: gateway\r\n\r\n", 404),
        (b"\r\n\r\n" + b"\x16\x03\x01", 400),
    ):
        with closing(Client(address)) as client:
            client.socket.sendall(request(events(usage)))
            assert client.answer()[0] == 200
            client.socket.sendall(unusual)
            assert client.answer()[0] == status, unusual
            if status == 200:  # and it stays there
                client.socket.sendall(request(events(usage), "Connection: close"))
                assert client.answer()[0] == 200
                assert client.answer()[0] == 0


def test_what_goes_wrong_is_answered_and_the_connection_goes_on(
    usage: UsageWorld, address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
):
    with closing(Client(address)) as client:
        client.socket.sendall(request(events(usage)).replace(b"Bearer", b"Basic") * 2)
        for _ in range(2):
            status, headers, body = client.answer()
            assert (status, orjson.loads(body)["kind"]) == (401, "Status")
            assert headers["audit-id"]
        client.socket.sendall(request(events(usage)))
        assert client.answer()[0] == 200
    monkeypatch.setattr(wire, "READ_S_MAX", 0.1)
    with closing(Client(address)) as client:
        client.socket.sendall(request(b"[", length=10))
        assert client.answer()[0] == 408
        assert client.answer()[0] == 0
    with closing(Client(address)) as client:
        client.socket.sendall(b"POST /v1/us")
        assert client.answer()[0] == 0


def test_events_of_a_client_that_has_gone_are_stored(usage: UsageWorld, address: tuple[str, int]):
    with closing(Client(address)) as client:  # known from now on: the next one is given to the engine at once
        client.socket.sendall(request(events(usage)))
        assert client.answer()[0] == 200
        client.socket.sendall(request(events(usage, 5)))
    for _ in range(200):
        if sum(row[1] for row in usage.rolled_up().values()) == 6:
            return
        time.sleep(0.05)
    raise AssertionError("the events were not stored")


@pytest.mark.parametrize(
    "change",
    [
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"POST ", b"PUT "),
        (b"batchIngest ", b"batchIngest?x=1 "),
        (b"Host: gateway\r\n", b""),
        (b"Host: gateway", b"Host: gateway\r\nhost: other"),
        (b"Host: gateway", b"Host : gateway"),
        (b"Host: gateway", b"Host: gateway\r\n folded"),
        (b"Host: gateway", b"Host: gate\x00way"),
        (b"Host: gateway", b"Host: gateway\nX: y"),
        (b"Content-Length: 2", b"Content-Length: +2"),
        (b"Content-Length: 2", b"Content-Length: 2, 2"),
        (b"Content-Length: 2", b"Content-Length: 70000"),
        (b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 2"),
        (b"Content-Length: 2", b"Content-Length: 2\r\nTransfer-Encoding: chunked"),
        (b"Content-Length: 2", b"Content-Length: 2\r\nExpect: 100-continue"),
        (b"Content-Length: 2", b"Content-Length: 2\r\nUpgrade: h2c"),
        (b"Content-Length: 2", b"Content-Length: 2\r\nConnection: close"),
        (b"application/json", b"application/xml"),
        (b"Content-Type: application/json\r\n", b""),
        (b"Host", b"Ce-Id: 1\r\nHost"),
    ],
)
def test_only_a_head_that_leaves_nothing_open_is_usual(change: tuple[bytes, bytes]):
    usual = request(b"", length=2)
    head = read_head(usual)
    assert head is not None
    assert (head.path, head.length, head.batched) == (MANY, 2, False)
    assert (b"authorization", b"Bearer ann") in head.headers
    assert change[0] in usual
    assert read_head(usual.replace(*change)) is None
