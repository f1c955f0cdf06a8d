"""Requests that no generator thinks of, written by hand: none may crash or hang the server, or show another customer.

Where it matters which refusal is right, the request says so; otherwise any answer below 500 will do.
"""

import json

import httpx
import pytest

from tests.contract.fuzzing import FUZZER, Arena, problems
from tests.contract.nasty import numbers, patches, protocol, shapes, texts
from tests.contract.nasty.requests import ACCOUNT_PATH, BOOK, JSON, MERGE, encoded

ALL = {
    "texts in objects": texts.in_objects,
    "texts in requests": texts.in_requests,
    "texts in addresses": texts.in_addresses,
    "texts in headers": texts.in_headers,
    "numbers in addresses": numbers.in_addresses,
    "numbers in bodies": numbers.in_bodies,
    "times": numbers.in_times,
    "json": shapes.in_json,
    "yaml": shapes.in_yaml,
    "json patches": patches.json_patches,
    "merges": patches.merges,
    "protobuf": protocol.protobuf,
    "media types": protocol.media_types,
    "addresses": protocol.addresses,
}


@pytest.mark.long
@pytest.mark.parametrize("who", ["customer", "provider"])
@pytest.mark.parametrize("what", ALL)
def test_no_request_breaks_the_server_or_shows_another_customer(arena: Arena, what: str, who: str) -> None:
    token = FUZZER if who == "customer" else arena.admin
    wrong: list[str] = []
    sent = 0
    for one in ALL[what]():
        sent += 1
        try:
            reply = arena.send(
                one.method, one.path, one.body, content_type=one.type, token=token, headers=one.headers
            )
        except OSError as error:
            wrong.append(f"{one.what}: no answer: {error!r}")
            continue
        told = None if who == "provider" else f"{one.path} {one.body!r} {one.headers}".lower()
        found = problems(reply, path=one.path, method=one.method, sent=told)
        if one.codes and reply.code not in one.codes:
            found.append(f"status {reply.code}, expected one of {one.codes}")
        wrong += [f"{one.what}: {problem}: {reply.text[:200]}" for problem in found]
    assert sent > 0
    assert wrong == [], f"{len(wrong)} of {sent} requests"


@pytest.mark.parametrize(
    ("method", "body", "media"),
    [("PATCH", b'{"metadata": {"labels": {"a": "b"}}}', MERGE), ("DELETE", b"", JSON)],
)
def test_what_everybody_may_read_only_its_owner_may_write(
    arena: Arena, method: str, body: bytes, media: str
) -> None:
    assert arena.send("GET", BOOK).code == 200
    refused = arena.send(method, f"{BOOK}?dryRun=All", body, content_type=media)
    said = json.loads(refused.body)["message"]
    assert (refused.code, 'forbidden: User "fuzzer" cannot ' in said) == (403, True)
    assert arena.send(method, f"{BOOK}?dryRun=All", body, content_type=media, token=arena.admin).code == 200


def test_a_warning_quotes_any_field_and_ends_no_header(arena: Arena) -> None:
    odd = {"a\r\nX-Sent: b": 1, 'Zoë 💶"\\': 1}
    body = {"spec": {**odd, **{f"field{number}": 1 for number in range(500)}}}
    path, headers = f"{ACCOUNT_PATH}?dryRun=All", {"Content-Type": MERGE, "Authorization": f"Bearer {FUZZER}"}
    answer = httpx.patch(arena.url(path) + path, content=encoded(body), headers=headers, timeout=30)
    assert answer.status_code == 200
    assert "x-sent" not in answer.headers
    warnings = [value.decode() for name, value in answer.headers.raw if name.lower() == b"warning"]
    assert 10 < len(warnings) <= 32
    assert r'299 - "unknown field \"spec.a  X-Sent: b\""' in warnings
    assert r'299 - "unknown field \"spec.Zoë 💶\"\\\""' in warnings
