"""What may be recorded: the same that the gateway would bill, as far as the shape of an event says it."""

import enum
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from milo_usage import InvalidEvent, Usage, events

from milo_billing.usage.engine.decode import decode_batch
from milo_billing.usage.engine.labels import canonical_dimensions, canonical_resource
from milo_billing.usage.engine.readings import parse_time, parse_value

NOW_US = 1_790_000_000_123_456
NOW = events.to_instant(NOW_US)


def usage(**changes: Any) -> Usage:
    given: dict[str, Any] = {"meter": "a.example/cpu", "project": "web", "quantity": 1, **changes}
    return Usage(**given)


def problems(**changes: Any) -> list[str]:
    return events.problems(usage(**changes), now_us=NOW_US)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"meter": ""}, "meter: ''"),
        ({"meter": 5}, "meter: 5 is not a text"),
        ({"meter": "a b"}, "meter: 'a b'"),
        ({"meter": "m" * 254}, "meter: 254 characters, at most 253"),
        ({"project": "Web"}, "project: 'Web'"),
        ({"project": "p" * 64}, "project: 64 characters, at most 63"),
        ({"project": "projects/web"}, "project: 'projects/web'"),
        ({"quantity": 1.5}, "quantity: 1.5 is not an integer"),
        ({"quantity": True}, "quantity: True is not an integer"),
        ({"quantity": "1"}, "quantity: '1' is not an integer"),
        ({"quantity": 2**63}, "does not fit in 64 bits"),
        ({"quantity": -(2**63) - 1}, "does not fit in 64 bits"),
        ({"dimensions": ["a"]}, "dimensions: ['a'] is not a mapping"),
        ({"dimensions": {"a": 1}}, "dimensions['a']: 1 is not a text"),
        ({"dimensions": {"a": "x" * 257}}, "dimensions['a']: 257 characters"),
        ({"dimensions": {"a": "\0"}}, "is not a text"),
        ({"dimensions": {"a": "\ud800"}}, "is not a text"),
        ({"dimensions": {"1st": "x"}}, "'1st' is no name of a dimension"),
        ({"dimensions": {f"d{n}": "x" for n in range(33)}}, "33 of them, at most 32"),
        ({"resource": "vm"}, "resource: 'vm' is not a mapping"),
        ({"resource": {"name": None}}, "resource['name']: None is not a text"),
        ({"resource": {"name": "x" * 5_000}}, "bytes as JSON, at most 4096"),
        ({"occurred_at": NOW.replace(tzinfo=None)}, "is not a datetime with a time zone"),
        ({"occurred_at": NOW + timedelta(hours=1, seconds=1)}, "more than an hour ahead"),
        ({"event_id": ""}, "event_id: ''"),
        ({"event_id": "x" * 101}, "is not a text of 1 to 100"),
        ({"event_id": "U" * 26}, "is no ULID"),
    ],
)
def test_what_the_gateway_would_not_bill_is_refused_with_the_place_and_the_reason(
    changes: dict[str, Any], words: str
):
    (found,) = problems(**changes)
    assert words in found


def test_all_that_is_wrong_is_said_at_once():
    found = problems(meter="", project="", quantity=0.5, dimensions={"a": 1, "b": 2}, resource=3, event_id=4)
    assert [text.split(":")[0] for text in found] == [
        "meter",
        "project",
        "quantity",
        "dimensions['a']",
        "dimensions['b']",
        "resource",
        "event_id",
    ]
    assert str(InvalidEvent(found)) == "; ".join(found)


def test_an_hour_ahead_and_the_bounds_of_64_bits_are_taken():
    assert problems(occurred_at=NOW + timedelta(hours=1)) == []
    assert problems(quantity=2**63 - 1) == problems(quantity=-(2**63)) == []


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=256)
names = st.from_regex(r"\A[A-Za-z][A-Za-z0-9_./-]{0,8}[A-Za-z0-9]\Z")
usages = st.builds(
    Usage,
    meter=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._/-]{0,40}[A-Za-z0-9]\Z"),
    project=st.from_regex(r"\A[a-z0-9][-a-z0-9]{0,40}[a-z0-9]\Z"),
    quantity=st.integers(-(2**63), 2**63 - 1),
    dimensions=st.none() | st.dictionaries(names, texts, max_size=32),
    resource=st.none() | st.dictionaries(st.sampled_from(["group", "kind", "name", "uid"]), texts),
    # since 1990, and not after now
    occurred_at=st.none()
    | st.integers(631_152_000_000_000, NOW_US).map(events.to_instant)
    | st.timezones().map(NOW.astimezone),
    event_id=st.none()
    | st.text("abcXYZ09-_:/", min_size=1, max_size=100).filter(lambda text: len(text) != 26),
)


@given(usages)
def test_whatever_may_be_recorded_is_good_to_the_gateway_and_means_the_same(usage: Usage):
    found = events.problems(usage, now_us=NOW_US)
    if found:  # of these bounds only the resource's bytes can be met by chance
        assert [text.split(":")[0] for text in found] == ["resource"]
        return
    id = usage.event_id or "01JABCDEFGHJKMNPQRSTVWXYZ0"
    payload, occurred_us = events.encode(usage, id=id, source="test", now_us=NOW_US)
    batch = decode_batch(b"[" + payload + b"]")
    assert batch.rejected == []
    assert batch.faults == {}
    (event,) = batch.events
    assert (event.id, event.source, event.type) == (id, "test", usage.meter)
    assert event.subject == f"projects/{usage.project}"
    assert parse_value(event.data.value) == usage.quantity
    assert parse_time(event.time) == occurred_us
    assert msgspec.json.decode(canonical_dimensions(bytes(event.data.dimensions))) == dict(
        usage.dimensions or {}
    )
    assert (msgspec.json.decode(canonical_resource(bytes(event.data.resource))) or {}) == dict(
        usage.resource or {}
    )


def test_the_time_is_exact_to_the_microsecond_in_any_zone():
    at = datetime(2026, 7, 1, 1, 2, 3, 456_789, timezone(timedelta(hours=5, minutes=45)))
    payload, occurred_us = events.encode(usage(occurred_at=at), id="x", source="s", now_us=NOW_US)
    assert b'"time":"2026-06-30T19:17:03.456789Z"' in payload
    assert events.to_instant(occurred_us) == at


def test_members_of_enumerations_are_taken_for_their_values():
    class Size(enum.IntEnum):
        LARGE = 7

    class Names(enum.StrEnum):
        WEB = "web"

    payload, _ = events.encode(
        usage(quantity=Size.LARGE, project=Names.WEB, dimensions={"a": Names.WEB}),
        id="x",
        source="s",
        now_us=NOW_US,
    )
    event = json.loads(payload)
    assert event["data"] == {"value": "7", "dimensions": {"a": "web"}}
    assert event["subject"] == "projects/web"


def test_an_event_that_no_record_holds_is_refused():
    labels = {f"d{n}": "\x01" * 256 for n in range(32)}  # six bytes each as JSON
    with pytest.raises(InvalidEvent, match="bytes as JSON, at most 65536"):
        events.encode(usage(dimensions=labels, resource={"a": "\x01" * 600}, meter="m" * 253, event_id="\x01" * 100),
                      id="\x01" * 100, source="\x01" * 2_000, now_us=NOW_US)  # fmt: skip
