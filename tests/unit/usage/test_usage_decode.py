"""What a CloudEvent must have, and that one bad event does not spoil the others."""

import msgspec
import pytest

from milo_billing.usage.engine.decode import Batch, decode_batch, decode_binary, decode_event
from milo_billing.usage.types import UnreadableEvents

GOOD = {
    "specversion": "1.0",
    "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "source": "test",
    "type": "compute.example/cpu",
    "subject": "projects/web",
    "time": "2026-10-01T00:00:00Z",
    "data": {"value": "5"},
}


def encode(*events: object) -> bytes:
    return msgspec.json.encode(list(events))


def outcome(batch: Batch) -> tuple[list[int], dict[int, str], dict[int, str]]:
    """Positions kept, positions rejected with their reason, faults by position."""
    return (
        [batch.position(i) for i in range(len(batch.events))],
        {item.position: item.reason for item in batch.rejected},
        {batch.position(i): fault for i, fault in batch.faults.items()},
    )


def test_a_batch_of_good_events_is_read_at_once_and_keeps_the_originals():
    events = [{**GOOD, "extension": n, "data": {"value": n}} for n in range(3)]
    batch = decode_batch(encode(*events))
    assert outcome(batch) == ([0, 1, 2], {}, {})
    assert [event.data.value for event in batch.events] == [0, 1, 2]
    assert [msgspec.json.decode(batch.original(i)) for i in range(3)] == events


def test_each_bad_event_has_its_own_reason_and_the_good_ones_stay():
    batch = decode_batch(
        encode(
            GOOD,
            {**GOOD, "id": 5},
            {**GOOD, "data": {"value": []}},
            7,
            {**GOOD, "data": "text"},
            {**GOOD, "datacontenttype": "application/octet-stream"},
            {**GOOD, "datacontenttype": "application/vnd.x+json"},
        )
    )
    rejected = {
        1: "MISSING_REQUIRED_FIELD",
        2: "INVALID_VALUE_TYPE",
        3: "MISSING_REQUIRED_FIELD",
        5: "INVALID_DATACONTENTTYPE",
    }
    assert outcome(batch) == ([0, 4, 6], rejected, {4: "data is not an object"})
    assert msgspec.json.decode(batch.original(1)) == {**GOOD, "data": "text"}


def test_text_that_is_no_utf8_spoils_its_own_event_only():
    broken = msgspec.json.encode(GOOD).replace(b"test", b"\xff\xfe")
    batch = decode_batch(b"[" + broken + b"," + msgspec.json.encode(GOOD) + b"]")
    assert outcome(batch) == ([1], {0: "MISSING_REQUIRED_FIELD"}, {})


@pytest.mark.parametrize("body", [b"", b"[", b"{}", b'"text"', b"[{]", b"null"])
def test_a_body_that_is_no_array_is_refused_whole(body: bytes):
    with pytest.raises(UnreadableEvents):
        decode_batch(body)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"1", b'{"id": 1,}'])
def test_a_body_that_is_no_object_is_no_event(body: bytes):
    with pytest.raises(UnreadableEvents):
        decode_event(body)


def test_one_event_in_binary_mode_is_the_same_event_in_structured_mode():
    headers = {f"ce-{name}": value for name, value in GOOD.items() if isinstance(value, str)}
    batch = decode_binary(
        {**headers, "ce-source": "te%C3%9Ft", "content-type": "application/json"}, b'{"value":"5"}'
    )
    assert batch.events[0].source == "teßt"
    original = msgspec.json.decode(batch.original(0))
    assert original == {**GOOD, "source": "teßt", "datacontenttype": "application/json"}


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("application/json", b"", "MISSING_REQUIRED_FIELD"),
        ("text/plain", b"5", "INVALID_DATACONTENTTYPE"),
    ],
)
def test_binary_data_that_is_no_json_is_refused(content_type: str, body: bytes, reason: str):
    headers = {f"ce-{name}": value for name, value in GOOD.items() if isinstance(value, str)}
    batch = decode_binary({**headers, "content-type": content_type}, body)
    assert [item.reason for item in batch.rejected] == [reason]


def test_originals_are_found_byte_for_byte_wherever_their_ids_stand():
    events: list[dict[str, object]] = []
    for n in range(500):
        id = f"order-{n // 2}"  # each twice
        quoting = {"value": "1", "resource": {"name": f'"{id}"', "other": {"id": id}}}
        event: dict[str, object] = {**GOOD, "id": id, "data": quoting, "extension": "x" * (n % 50 * 40)}
        events.append(dict(reversed(event.items())) if n % 3 else event)  # with the id at the end, or early
    spaced = b"[ " + b" ,\n ".join(map(msgspec.json.encode, events)) + b" ]\n"
    batch = decode_batch(spaced)
    for n in (0, 1, 2, 3, 250, 251, 498, 499):
        found = msgspec.json.decode(decode_batch(spaced).original(n))
        assert {**found, "extension": ""} == {**events[n], "extension": ""}
        assert batch.original(n) in spaced
    assert decode_batch(encode(GOOD, {**GOOD, "id": "other"})).original(1) == msgspec.json.encode(
        {**GOOD, "id": "other"}
    )


DEEP = b"[" * 5_000 + b"]" * 5_000


def test_nesting_beyond_all_sense_is_unreadable_like_other_nonsense():
    event = msgspec.json.encode(GOOD)
    deep = event[:-1] + b',"extension":' + DEEP + b"}"
    for body in (DEEP, b"[" + DEEP + b"]", b"[" + event + b"," + deep + b"]"):
        with pytest.raises(UnreadableEvents):
            decode_batch(body)
    for body in (deep, b'{"data":' + DEEP + b"}"):
        with pytest.raises(UnreadableEvents):
            decode_event(body)
    with pytest.raises(UnreadableEvents):
        decode_binary({"ce-id": "1"}, DEEP)
