"""The waiting line: groups of bounded size, in order, and back-pressure."""

import pytest

from milo_billing.kernel.errors import TooMany, Unavailable
from milo_billing.usage.engine.decode import Batch, Event, EventData
from milo_billing.usage.engine.groups import ACCEPTED, Request, Sender
from milo_billing.usage.engine.line import GROUP_EVENTS_MAX, WAITING_BYTES_MAX, WAITING_EVENTS_MAX, Line

EVENT = Event("id", "source", "type", "subject", "time", "1.0", EventData("1"))


def request(events: int, *, size: int = 0) -> Request:
    batch = Batch(events=[EVENT] * events, rejected=[], body=b" " * size)
    return Request(batch=batch, sender=Sender(0, "*"), received_us=0)


def sizes(line: Line) -> list[int]:
    group = line.take()
    return [] if group is None else [part.size for part in group.parts]


def test_requests_are_grouped_in_order_up_to_the_bound():
    line = Line()
    for events in (4_000, 6_000, 1, GROUP_EVENTS_MAX, 2, 3):
        line.join(request(events))
    assert [sizes(line) for _ in range(4)] == [[4_000, 6_000], [1], [GROUP_EVENTS_MAX], [2, 3]]


def test_too_much_waiting_is_refused_until_some_of_it_is_answered():
    line = Line()
    for _ in range(WAITING_EVENTS_MAX // GROUP_EVENTS_MAX):
        line.join(request(GROUP_EVENTS_MAX))
    with pytest.raises(TooMany):
        line.join(request(1))
    group = line.take()
    assert group is not None
    with pytest.raises(TooMany):  # taken, but not answered
        line.join(request(1))
    line.leave(group)
    line.join(request(1))


def test_bytes_are_bounded_but_a_single_request_is_always_taken():
    line = Line()
    line.join(request(1, size=WAITING_BYTES_MAX + 1))
    with pytest.raises(TooMany):
        line.join(request(1))


def test_a_closed_line_serves_those_in_it_and_takes_nobody():
    line = Line()
    line.join(request(5))
    line.close()
    with pytest.raises(Unavailable):
        line.join(request(1))
    assert [sizes(line), sizes(line)] == [[5], []]


def test_everybody_who_waits_can_be_told_of_a_failure():
    line = Line()
    waiting = [request(1) for _ in range(3)]
    for one in waiting:
        line.join(one)
    line.fail_all(Unavailable("away"))
    assert [type(one.future.exception(timeout=0)) for one in waiting] == [Unavailable] * 3
    line.join(request(1))
    assert sizes(line) == [1]


def test_a_sender_who_has_gone_away_misses_the_answer_and_breaks_nothing():
    gone = request(1)
    gone.future.cancel()
    gone.fates[:] = ACCEPTED
    gone.answer()
    gone.fail(Unavailable("away"))
    assert gone.future.cancelled()
