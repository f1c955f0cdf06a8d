"""When money is asked for again, and when who does not pay is reminded, warned and suspended: whatever the schedule."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.payments.rules.dunning import DunningStep, Schedule, next_step
from milo_billing.payments.rules.retries import Ask, Standing, Stop, Wait, decide
from milo_billing.payments.types import Attempt

DUE = date(2026, 12, 2)
METHODS = (UUID(int=1), UUID(int=2))
OUTCOMES = st.sampled_from(("soft", "soft", "soft", "hard", "processing"))
GAPS = st.lists(st.integers(1, 10), max_size=5).map(tuple)


def attempt(number: int, *, method: UUID, on: date, outcome: str) -> Attempt:
    at = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
    standing = outcome == "processing"
    return Attempt(
        invoice=UUID(int=9),
        number=number,
        payment=UUID(int=8),
        owner_org=1,
        key=f"invoice/9/attempt/{number}",
        class_uid=UUID(int=7),
        method=method,
        amount_minor=100,
        currency="USD",
        state="Processing" if standing else "Declined",
        calls=1,
        reference="r",
        code="",
        message="",
        hard=outcome == "hard",
        at=at,
        called_at=at,
        answered_at=None if standing else at,
    )


@given(gaps=GAPS, outcomes=st.lists(OUTCOMES, min_size=1, max_size=12), looks=st.lists(st.integers(0, 3)))
def test_one_method_is_asked_as_the_schedule_says_and_never_after_it(
    gaps: tuple[int, ...], outcomes: list[str], looks: list[int]
) -> None:
    """Somebody looks every few days; every try comes to what the outcomes say."""
    attempts: list[Attempt] = []
    today, later = DUE, iter([*looks, *([1] * 200)])
    for _ in range(100):
        decision = decide(attempts, method=METHODS[0], today=today, gaps=gaps)
        again = decide(attempts, method=METHODS[0], today=today, gaps=gaps, again=True)
        match decision:
            case Ask():
                outcome = outcomes[len(attempts) % len(outcomes)]
                attempts.append(attempt(len(attempts) + 1, method=METHODS[0], on=today, outcome=outcome))
            case Wait(until):
                assert today < until
                assert isinstance(again, Ask)
            case Stop():
                assert attempts[-1].hard or len(attempts) == len(gaps) + 1
                assert isinstance(again, Ask)
            case Standing(standing):
                assert standing == attempts[-1] == (again.attempt if isinstance(again, Standing) else None)
        today += timedelta(days=next(later))
    assert 1 <= len(attempts) <= len(gaps) + 1
    assert not any(one.hard or one.state == "Processing" for one in attempts[:-1])
    for (one, other), gap in zip(pairwise(attempts), gaps, strict=False):
        assert (other.day - one.day).days >= gap


@given(gaps=GAPS, outcomes=st.lists(st.sampled_from(("soft", "hard")), min_size=1, max_size=6))
def test_another_method_begins_anew_whatever_the_one_before_came_to(
    gaps: tuple[int, ...], outcomes: list[str]
) -> None:
    attempts = [
        attempt(number, method=METHODS[0], on=DUE, outcome=outcome)
        for number, outcome in enumerate(outcomes, start=1)
    ]
    assert decide(attempts, method=METHODS[1], today=DUE, gaps=gaps) == Ask()
    standing = [*attempts, replace(attempts[-1], state="ActionRequired", answered_at=None)]
    assert isinstance(decide(standing, method=METHODS[1], today=DUE, gaps=gaps, again=True), Standing)


SCHEDULES = st.builds(
    Schedule,
    reminders=st.lists(st.integers(1, 40), max_size=4, unique=True).map(sorted).map(tuple),
    announced_after=st.integers(0, 40),
    notice_days=st.integers(1, 20),
)


def dunned(schedule: Schedule, days: Iterable[int]) -> list[DunningStep]:
    """What is done if somebody looks on these days after the due date, twice on each."""
    done: list[DunningStep] = []
    for day in days:
        for _ in range(2):
            step = next_step(
                due_on=DUE, today=DUE + timedelta(days=day), done=tuple(reversed(done)), schedule=schedule
            )
            done += [] if step is None else [step]
    return done


@given(schedule=SCHEDULES, days=st.lists(st.integers(-5, 90), unique=True).map(sorted))
def test_each_thing_is_done_once_in_its_order_and_notice_is_never_shortened(
    schedule: Schedule, days: list[int]
) -> None:
    done = dunned(schedule, days)
    assert len({(step.kind, step.number) for step in done}) == len(done)
    assert all(step.on > DUE for step in done)
    kinds = [step.kind for step in done]
    assert kinds == sorted(kinds, key=("Reminder", "Announcement", "Suspension").index)
    numbers = [step.number for step in done if step.kind == "Reminder"]
    assert numbers == sorted(numbers)
    for step in done:
        if step.kind == "Reminder":
            assert (step.on - DUE).days >= schedule.reminders[step.number - 1]
        if step.kind == "Suspension":
            (announced,) = [one for one in done if one.kind == "Announcement"]
            assert (step.on - announced.on).days >= schedule.notice_days


@given(schedule=SCHEDULES)
def test_who_looks_every_day_does_everything_on_its_day(schedule: Schedule) -> None:
    done = [(step.kind, (step.on - DUE).days) for step in dunned(schedule, range(100))]
    announced = schedule.announced_after
    reminded = [day for day in schedule.reminders if not announced or day < announced]
    expected = [("Reminder", day) for day in reminded]
    if announced:
        expected += [("Announcement", announced), ("Suspension", announced + schedule.notice_days)]
    assert done == expected
