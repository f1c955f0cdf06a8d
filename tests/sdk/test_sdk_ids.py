"""Ids of events: they increase within a process, are unique over processes, and follow the clock."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from milo_usage.clock import SystemClock
from milo_usage.identifiers import BACK_MS_MAX, Ulids, encode_ulid

from milo_billing.kernel.ids import id_ms, int_to_ulid, ulid_to_int

MAKE = "from milo_usage.clock import SystemClock; from milo_usage.identifiers import Ulids; " + (
    "print(*Ulids(SystemClock()).make(20_000), sep='\\n')"
)


class SetClock:
    """Says what it is told to."""

    def __init__(self, ms: int) -> None:
        self.ms = ms
        self.bits = SystemClock().random_bits

    def now_us(self) -> int:
        return self.ms * 1_000 + 999

    def monotonic_s(self) -> float:
        return 0.0

    def random_bits(self, count: int) -> int:
        return self.bits(count)


@given(st.integers(0, 2**128 - 1))
def test_an_id_is_written_as_the_platform_reads_it(value: int):
    assert encode_ulid(value) == int_to_ulid(value)
    assert ulid_to_int(encode_ulid(value)) == value


def test_more_than_128_bits_are_no_id():
    with pytest.raises(ValueError, match="does not fit"):
        encode_ulid(2**128)


@given(st.lists(st.tuples(st.integers(-BACK_MS_MAX // 10, 2), st.integers(1, 50)), max_size=10))
def test_ids_increase_whatever_small_steps_the_clock_takes(steps: list[tuple[int, int]]):
    clock = SetClock(1_790_000_000_000)
    ulids = Ulids(clock)
    made = ulids.make(3)
    for step, count in steps:
        clock.ms += step
        made += ulids.make(count)
    assert made == sorted(set(made))


def test_an_id_says_when_it_was_made():
    assert id_ms(ulid_to_int(Ulids(SetClock(1_790_000_000_123)).make()[0])) == 1_790_000_000_123


def test_after_a_large_step_back_ids_follow_the_clock():
    clock = SetClock(1_790_000_000_000)
    ulids = Ulids(clock)
    ulids.make()
    clock.ms -= BACK_MS_MAX + 1  # else the gateway would see ids from the future
    assert id_ms(ulid_to_int(ulids.make()[0])) == clock.ms


def test_ids_of_four_processes_are_all_different_and_sorted_in_each():
    processes = [
        subprocess.Popen([sys.executable, "-c", MAKE], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    made = [process.communicate(timeout=60)[0].split() for process in processes]
    assert all(ids == sorted(ids) and len(ids) == 20_000 for ids in made)
    assert len({id for ids in made for id in ids}) == 80_000
