"""A watcher's queue: bounded in changes and in bytes, in order, and fit for one large object."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from milo_billing.controlplane.feed import (
    PORTION_BYTES,
    QUEUE_BYTES_MAX,
    QUEUE_MAX,
    Event,
    Subscription,
    portions,
)
from milo_billing.controlplane.rows import Row
from tests.unit.controlplane.test_schemas import Sample

KIND = Sample()


def event(resource_version: int, *, size_bytes: int = 1_000) -> Event:
    row = Row(UUID(int=1), "", "one", 0, False, 1, datetime(2026, 10, 1, tzinfo=UTC), resource_version)
    return Event(resource_version, "MODIFIED", KIND, row, {}, {}, {}, size_bytes)


def versions(events: list[Event]) -> list[int]:
    return [each.resource_version for each in events]


def taken(subscription: Subscription) -> list[int]:
    return versions(asyncio.run(subscription.take(0.01)))


def test_small_changes_wait_up_to_their_number():
    subscription = Subscription(KIND)
    for number in range(QUEUE_MAX):
        subscription.offer(event(number))
    assert not subscription.overrun
    assert taken(subscription) == list(range(QUEUE_MAX))
    for number in range(QUEUE_MAX + 1):
        subscription.offer(event(number))
    assert subscription.overrun
    assert taken(subscription) == []


def test_large_changes_wait_up_to_their_size():
    subscription = Subscription(KIND)
    for number in range(8):
        subscription.offer(event(number, size_bytes=QUEUE_BYTES_MAX // 8))
    assert not subscription.overrun
    assert taken(subscription) == list(range(8))
    for number in range(8):  # what was taken counts no more
        subscription.offer(event(number, size_bytes=QUEUE_BYTES_MAX // 8))
    assert not subscription.overrun
    subscription.offer(event(8, size_bytes=1))
    assert subscription.overrun
    assert taken(subscription) == []


def test_a_change_that_is_larger_than_the_queue_waits_alone():
    subscription = Subscription(KIND)
    subscription.offer(event(1, size_bytes=2 * QUEUE_BYTES_MAX))
    assert taken(subscription) == [1]
    subscription.offer(event(2))
    subscription.offer(event(3, size_bytes=2 * QUEUE_BYTES_MAX))
    assert subscription.overrun


def test_what_comes_at_once_is_handed_out_in_portions_and_in_order():
    half = PORTION_BYTES // 2
    events = [event(number, size_bytes=half) for number in range(4)]
    large = event(4, size_bytes=10 * PORTION_BYTES)
    found = list(portions([*events, large, event(5)]))
    assert [versions(portion) for portion in found] == [[0, 1], [2, 3], [4], [5]]
    assert list(portions([])) == []
