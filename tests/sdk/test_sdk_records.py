"""The format of the spool: what was synced is read again, whatever was torn or damaged behind it."""

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from milo_usage import records
from milo_usage.records import FRAME_BYTES, PAYLOAD_BYTES_MAX, Damage, Record
from milo_usage.segments import HEAD_BYTES, Segment

payloads = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=20)


def pack(chosen: list[bytes]) -> bytes:
    return b"".join(records.pack(payload, n) for n, payload in enumerate(chosen))


def read_all(data: bytes, *, records_max: int = 7) -> tuple[list[Record], list[Damage]]:
    """Everything in a file, as a sender meets it: window after window."""
    found: list[Record] = []
    damages: list[Damage] = []
    place = 0
    while place < len(data):
        reading = records.read(
            data[place:], offset=place, final=True, records_max=records_max, payload_bytes_max=1_000
        )
        assert reading.end > place
        found += reading.records
        damages += [] if reading.damage is None else [reading.damage]
        place = reading.end
    return found, damages


@given(payloads, st.integers(0, 5_000))
def test_records_are_read_as_they_were_written(chosen: list[bytes], zeros: int):
    found, damages = read_all(pack(chosen) + bytes(zeros))
    assert [record.payload for record in found] == chosen
    assert [record.occurred_us for record in found] == list(range(len(chosen)))
    assert damages == []


def test_a_torn_record_whose_missing_bytes_are_zero_is_whole():
    last = records.pack(bytes(1), 0)
    found, damages = read_all(last[:12] + bytes(9))
    assert ([record.payload for record in found], damages) == ([bytes(1)], [])


@given(payloads, st.data())
def test_a_torn_tail_loses_nothing_that_was_written_before(chosen: list[bytes], data: st.DataObject):
    synced = pack(chosen)
    last = records.pack(data.draw(st.binary(min_size=1, max_size=300)), 0)
    torn = last[: data.draw(st.integers(0, len(last) - 1))]
    zeros = data.draw(st.integers(0, 500))
    # a record that ends in zeros is whole again where space that was never written stands in for what was torn off
    assume(len(torn) + zeros < len(last) or last[len(torn) :].strip(b"\0"))
    found, damages = read_all(synced + torn + bytes(zeros))
    assert [record.payload for record in found] == chosen
    assert len(damages) <= 1
    assert all(damage.start == len(synced) for damage in damages)
    assert bool(damages) == bool(torn)


@given(payloads, st.data())
def test_a_flipped_bit_costs_the_record_it_is_in_and_no_other(chosen: list[bytes], data: st.DataObject):
    whole = bytearray(pack(chosen))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    ends: list[int] = []
    for payload in chosen:
        ends.append((ends[-1] if ends else 0) + FRAME_BYTES + len(payload))
    hit = next(i for i, end in enumerate(ends) if bit // 8 < end)
    found, damages = read_all(bytes(whole))
    assert [record.payload for record in found] == chosen[:hit] + chosen[hit + 1 :]
    (damage,) = damages
    start = ends[hit] - FRAME_BYTES - len(chosen[hit])
    # zeros at the edges of a damage are taken for space that was never written
    assert start <= damage.start < damage.end <= ends[hit]


@given(st.binary(max_size=2_000))
def test_any_bytes_can_be_read_to_their_end(junk: bytes):
    read_all(junk)


@given(payloads, st.integers(1, 25), st.integers(1, 400))
def test_a_reading_keeps_to_its_bounds_but_brings_at_least_one(chosen: list[bytes], count: int, size: int):
    reading = records.read(pack(chosen), offset=0, final=True, records_max=count, payload_bytes_max=size)
    assert 1 <= len(reading.records) <= count
    assert len(reading.records) == 1 or sum(len(record.payload) for record in reading.records) <= size


@pytest.mark.parametrize("size", [0, PAYLOAD_BYTES_MAX + 1])
def test_an_empty_or_oversized_payload_is_refused(size: int):
    with pytest.raises(ValueError, match="fit in a record"):
        records.pack(bytes(size), 0)


@given(payloads, st.data())
def test_a_segment_cut_anywhere_gives_back_every_record_before_the_cut(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[bytes], data: st.DataObject
):
    path = tmp_path_factory.mktemp("cut") / "w.00000001.segment"
    segment = Segment.create(path, capacity=20_000)
    ends = [segment.durable]
    for n, payload in enumerate(chosen):
        segment.append(records.pack(payload, n))
        ends.append(segment.durable)
    segment.close()
    cut = data.draw(st.integers(0, ends[-1] + 100))
    with path.open("r+b") as file:
        file.truncate(cut)
    whole = max((n for n, end in enumerate(ends) if end <= cut), default=0)
    assert read_segment(path) == chosen[:whole]


def read_segment(path: Path) -> list[bytes]:
    segment = Segment.open(path)
    found: list[bytes] = []
    while not segment.done:
        reading = segment.read(records_max=3, payload_bytes_max=500)
        found += [record.payload for record in reading.records]
        segment.acknowledge(reading.end)
    segment.close()
    return found


def test_a_segment_goes_on_where_it_was_acknowledged_unless_the_mark_is_damaged(tmp_path: Path):
    path = tmp_path / "w.00000001.segment"
    segment = Segment.create(path, capacity=1_000)
    for payload in (b"one", b"two"):
        segment.append(records.pack(payload, 0))
    segment.acknowledge(HEAD_BYTES + FRAME_BYTES + 3)
    segment.close()
    again = Segment.open(path)
    reading = again.read(records_max=10, payload_bytes_max=1_000)
    assert [record.payload for record in reading.records] == [b"two"]
    again.close()
    with path.open("r+b") as file:
        file.seek(16)
        file.write(b"\xff")
    assert read_segment(path) == [b"one", b"two"]
