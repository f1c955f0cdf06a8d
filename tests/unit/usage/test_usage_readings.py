"""Ids, times, values, days and labels, thousands at a time: the same as one by one."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import available_timezones

import numpy as np
import pytest

from milo_billing.kernel.ids import int_to_ulid, ulid_to_int
from milo_billing.kernel.periods import local_day
from milo_billing.kernel.quantity import INT64_MAX, INT64_MIN
from milo_billing.usage.engine.days import BillingDays, to_date
from milo_billing.usage.engine.identifiers import FOREIGN, MALFORMED, NATIVE, halves, parse_ids, to_bytes
from milo_billing.usage.engine.labels import INVALID, dimension_cache, resource_cache
from milo_billing.usage.engine.prepare import pack_series
from milo_billing.usage.engine.readings import parse_times, parse_values, to_instant, to_us

RNG = random.Random(2)


def test_ulids_of_any_case_are_the_same_integers_as_in_the_kernel():
    values = [0, 2**128 - 1, *(RNG.getrandbits(128) for _ in range(500))]
    texts = [int_to_ulid(value) for value in values]
    for spelled in (texts, [text.lower() for text in texts]):
        ids = parse_ids(spelled)
        assert set(ids.kind.tolist()) == {NATIVE}
        found = [int(h) << 64 | int(low) for h, low in zip(ids.high, ids.low, strict=True)]
        assert found == values == [ulid_to_int(text) for text in spelled]


def test_ids_of_all_kinds_are_told_apart_within_one_group():
    seven = "0199d2c5-8a00-7abc-9def-0123456789ab"
    cases = [
        (int_to_ulid(5), NATIVE),
        (seven, NATIVE),
        (seven.upper(), NATIVE),
        (str(uuid4()), FOREIGN),
        (seven.replace("-7", "-4"), FOREIGN),
        (seven.replace("-9def", "-cdef"), FOREIGN),
        (seven.replace("-", "_"), FOREIGN),
        ("8" + "0" * 25, MALFORMED),
        ("0" * 25 + "I", MALFORMED),
        ("ü" + "0" * 25, MALFORMED),
        ("0" * 25, FOREIGN),
        ("ü" * 36, FOREIGN),
        ("order-1", FOREIGN),
    ]
    ids = parse_ids([text for text, _ in cases])
    assert ids.kind.tolist() == [kind for _, kind in cases]
    assert UUID(int=int(ids.high[1]) << 64 | int(ids.low[1])) == UUID(seven)


def test_ids_survive_the_way_to_bytes_and_back_also_with_zeros_at_the_end():
    high = np.array([0, 2**64 - 1, 256], np.uint64)
    low = np.array([0, 0, 65_536], np.uint64)
    again = halves(to_bytes(high, low))
    assert (again[0].tolist(), again[1].tolist()) == (high.tolist(), low.tolist())


TIMES = [
    ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
    ("0000-12-31T23:59:59Z", None),
    ("0001-01-01T00:00:00+23:59", None),  # in UTC it is the year before
    ("0000-01-01T00:00:00+00:00", None),
    ("2026-10-01T12:34:56Z", "2026-10-01T12:34:56+00:00"),
    ("2026-10-01T12:34:56.7Z", "2026-10-01T12:34:56.700000+00:00"),
    ("2026-10-01T12:34:56.789Z", "2026-10-01T12:34:56.789000+00:00"),
    ("2026-10-01T12:34:56.789012Z", "2026-10-01T12:34:56.789012+00:00"),
    ("2026-10-01T12:34:56.7890129Z", "2026-10-01T12:34:56.789012+00:00"),
    ("2026-10-01T12:34:56.789012999Z", "2026-10-01T12:34:56.789012+00:00"),
    ("2026-10-01t12:34:56z", "2026-10-01T12:34:56+00:00"),
    ("2026-10-01T14:34:56+02:00", "2026-10-01T12:34:56+00:00"),
    ("2026-10-01T12:34:56.5-00:30", "2026-10-01T13:04:56.500000+00:00"),
    ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
    ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
    ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999+00:00"),
    ("2026-02-29T00:00:00Z", None),
    ("2026-13-01T00:00:00Z", None),
    ("2026-10-01T24:00:00Z", None),
    ("2026-10-01T12:34:56.Z", None),
    ("2026-10-01 12:34:56Z", None),
    ("2026-10-01T12:34:56", None),
    ("2026-10-01T12:34Z", None),
    ("20261001T123456Z", None),
    ("2026-W40-4T12:34:56Z", None),
    ("٢٠٢٦-10-01T12:34:56Z", None),
    ("2026-10-01T12:34:5½Z", None),
    ("yesterday", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "expected"), TIMES)
def test_times_are_read_to_the_microsecond_or_not_at_all(text: str, expected: str | None):
    (instant,), (good,) = parse_times([text])
    assert (to_instant(int(instant)).isoformat() if good else None) == expected


def test_times_of_all_spellings_in_one_group_are_the_same_as_alone():
    texts = [text for text, _ in TIMES] * 3
    RNG.shuffle(texts)
    instants, good = parse_times(texts)
    alone = [parse_times([text]) for text in texts]
    assert instants.tolist() == [int(one[0][0]) for one in alone]
    assert good.tolist() == [bool(one[1][0]) for one in alone]


def test_values_are_exact_over_the_whole_range_and_nothing_else_is_one():
    good: list[str | int | float] = ["0", "-1", "007", str(INT64_MAX), str(INT64_MIN), 5, INT64_MIN]
    bad: list[str | int | float] = [
        "",
        "-",
        "1.0",
        "1e3",
        "+1",
        " 1",
        "1_000",
        "٣",
        str(INT64_MAX + 1),
        1.0,
        2**63,
    ]
    values, integer = parse_values(good)
    assert (values.tolist(), integer.all()) == ([int(value) for value in good], True)
    assert not parse_values(bad)[1].any()
    mixed = parse_values([*good, *bad, *good])
    assert mixed[0][mixed[1]].tolist() == [*values.tolist(), *values.tolist()]
    for value in bad:
        assert parse_values(["1", value])[1].tolist() == [True, False]


@pytest.mark.parametrize(
    "zone",
    [
        "Etc/UTC",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "Pacific/Apia",
        "America/St_Johns",
    ],
)
def test_billing_days_are_those_of_the_kernel(zone: str):
    days = BillingDays()
    start = datetime(2004, 1, 1, tzinfo=UTC)
    instants = [start + timedelta(hours=31 * n, microseconds=n) for n in range(2_700)]
    found = days.days(np.array([to_us(instant) for instant in instants], np.int64), zone=zone)
    assert [to_date(day) for day in found.tolist()] == [local_day(instant, zone=zone) for instant in instants]


def test_billing_days_of_many_zones_change_at_the_microsecond():
    days = BillingDays()
    year = datetime(2026, 1, 1, tzinfo=UTC)
    for zone in RNG.sample(sorted(available_timezones()), 80):
        instant = year + timedelta(minutes=15 * RNG.randrange(35_040))
        pair = [instant - timedelta(microseconds=1), instant]
        found = days.days(np.array([to_us(one) for one in pair], np.int64), zone=zone)
        assert [to_date(day) for day in found.tolist()] == [local_day(one, zone=zone) for one in pair]


def test_the_same_labels_in_any_spelling_have_one_hash():
    cache = dimension_cache()
    raws = [b'{"a":"1","b":"2"}', b'{ "b" : "2", "a":"1" }', b"{}", b"null", b'{"a":"2"}']
    slots = cache.slots(raws)
    hashes = cache.hashes(slots, raws).tolist()
    assert hashes[0] == hashes[1] != hashes[4]
    assert hashes[2] == hashes[3]
    assert cache.names(int(slots[0])) == {"a", "b"}
    new = cache.unstored(slots, raws, among=np.arange(5))
    assert sorted(new.values()) == [b'{"a":"1","b":"2"}', b'{"a":"2"}', b"{}"]
    cache.mark_stored(new)
    assert cache.unstored(cache.slots(raws), raws, among=np.arange(5)) == {}


@pytest.mark.parametrize(
    "raw",
    [
        b"5",
        b"[]",
        b'{"a":1}',
        b'{"a":null}',
        b'{"a":"' + b"x" * 257 + b'"}',
        b'{"a":"\\u0000"}',
        b'{"a":"\xff"}',
    ],
)
def test_labels_that_are_none_have_no_slot_but_a_hash(raw: bytes):
    cache = dimension_cache()
    slots = cache.slots([raw, b"{}"])
    assert slots.tolist() == [INVALID, 0]
    assert len(set(cache.hashes(slots, [raw, b"{}"]).tolist())) == 2


def test_a_resource_is_an_object_or_nothing():
    raws = [b"null", b'{"kind":"Instance","count":1}', b'"i-1"', b"[]", b'{"a":"' + b"x" * 4_096 + b'"}']
    assert (resource_cache().slots(raws) == INVALID).tolist() == [False, False, True, True, True]


def test_series_stay_apart_also_where_their_numbers_would_overflow():
    columns = [np.array([RNG.choice((0, 1, 2**40, 2**50)) for _ in range(300)], np.int64) for _ in range(4)]
    packed = pack_series(*columns).tolist()
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    assert len(set(packed)) == len(set(rows))
    assert len(set(zip(packed, rows, strict=True))) == len(set(rows))
