"""Requests as bytes on the wire, spoilt at one level or more: JSON, attributes, headers, gzip, chunks."""

import gzip
import random
from dataclasses import dataclass
from typing import Final

import orjson

from milo_billing.usage.routes.gateway import BATCHED, STRUCTURED
from tests.fuzz.mutations import mutate
from tests.usage_world import CPU, JSON

ONE: Final = "/v1/usage/events"
MANY: Final = "/v1/usage/events:batchIngest"

_TYPES: Final = (
    "application/json",
    STRUCTURED,
    BATCHED,
    "text/plain",
    "",
    "application/json; charset=x",
    "\xff/\xfe",
)
_HEADERS: Final = (
    ("ce-id", "a%20b"),
    ("ce-id", "%ff%00"),
    ("ce-specversion", "1.0"),
    ("ce-type", CPU),
    ("ce-time", "2026-10-01T12:00:00Z"),
    ("ce-subject", "projects/web"),
    ("ce-source", "\xe4" * 200),
    ("Content-Encoding", "br"),
    ("Content-Encoding", "gzip, gzip"),
    ("Expect", "100-continue"),
)


@dataclass(frozen=True)
class Wire:
    """A request as bytes."""

    head: bytes
    body: bytes


def make_wire(chance: random.Random, events: list[JSON]) -> Wire:
    """A request that begins as a good one; one in five stays good in its body."""
    many = chance.random() < 0.7
    body = orjson.dumps(events if many else events[0])
    if chance.random() < 0.8:
        body = mutate(body, chance)
    headers = [("Content-Type", chance.choice(_TYPES) if chance.random() < 0.3 else "application/json")]
    if chance.random() < 0.3:
        headers += chance.sample(_HEADERS, chance.randrange(1, 5))
    if chance.random() < 0.3:
        body = gzip.compress(body, 1)
        headers.append(("Content-Encoding", "gzip"))
        if chance.random() < 0.4:
            body = body[: chance.randrange(len(body))] + bytes([chance.randrange(256)])
    body, framing = _framed(body, chance)
    path = MANY if many else ONE
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Authorization: Bearer fuzz", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (*headers, framing)]
    return Wire(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), body)


def _framed(body: bytes, chance: random.Random) -> tuple[bytes, tuple[str, str]]:
    """The body whole or in chunks of odd sizes; now and then it is not as long as it says."""
    if chance.random() < 0.6:
        length = len(body) if chance.random() < 0.9 else chance.choice((0, len(body) // 2, -1, 10**12))
        return body, ("Content-Length", str(length))
    chunks: list[bytes] = []
    while body:
        size = chance.choice((1, 7, 500, 5_000))
        part, body = body[:size], body[size:]
        stated = len(part) if chance.random() < 0.98 else len(part) + 1
        chunks.append(b"%x\r\n%s\r\n" % (stated, part))
    end = b"0\r\n\r\n" if chance.random() < 0.95 else b"zz\r\n\r\n"
    return b"".join(chunks) + end, ("Transfer-Encoding", "chunked")
