"""When the money is asked for again: the schedule, and what stops it."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from milo_billing.payments.rules import retries
from milo_billing.payments.rules.retries import (
    RETRY_DAYS,
    Ask,
    Decision,
    Standing,
    Stop,
    Wait,
    attempt_days,
    decide,
    next_attempt_on,
)
from milo_billing.payments.types import Attempt, AttemptState

VISA, AMEX = UUID(int=1), UUID(int=2)
FIRST = date(2026, 11, 2)


def attempt(
    number: int,
    *,
    day: int = 0,
    state: AttemptState = "Declined",
    hard: bool = False,
    method: UUID = VISA,
    calls: int = 1,
) -> Attempt:
    """The attempt so many days after the first one."""
    at = datetime(2026, 11, 2, 23, 59, tzinfo=UTC) + timedelta(days=day)
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
        state=state,
        calls=calls,
        reference="",
        code="insufficient_funds",
        message="",
        hard=hard,
        at=at,
        called_at=at,
        answered_at=at,
    )


@pytest.mark.parametrize(
    ("attempts", "day", "expected"),
    [
        ([], 0, Ask()),
        ([attempt(1)], 2, Wait(FIRST + timedelta(days=3))),
        ([attempt(1)], 3, Ask()),
        ([attempt(1)], 90, Ask()),
        # nobody was asked: withdrawn, since less is due
        ([attempt(1, calls=0)], 0, Ask()),
        ([attempt(1), attempt(2, day=3, calls=0)], 2, Wait(FIRST + timedelta(days=3))),
        ([attempt(1), attempt(2, day=3, calls=0)], 3, Ask()),
        ([attempt(1), attempt(2, day=3, method=AMEX, calls=0)], 2, Wait(FIRST + timedelta(days=3))),
        ([attempt(1), attempt(2, day=4)], 8, Wait(FIRST + timedelta(days=9))),
        ([attempt(1), attempt(2, day=4)], 9, Ask()),
        ([attempt(1, hard=True, method=AMEX)], 0, Ask()),
        ([attempt(1, state="Succeeded")], 0, Ask()),
        ([attempt(1), attempt(2, method=AMEX), attempt(3, day=4)], 6, Wait(FIRST + timedelta(days=7))),
    ],
)
def test_what_is_done_on_a_day(attempts: list[Attempt], day: int, expected: Decision) -> None:
    assert decide(attempts, method=VISA, today=FIRST + timedelta(days=day), gaps=RETRY_DAYS) == expected


@pytest.mark.parametrize("state", ["Open", "Processing", "ActionRequired"])
def test_an_attempt_that_stands_is_never_passed(state: AttemptState) -> None:
    standing = attempt(1, state=state)
    found = decide([standing], method=AMEX, today=FIRST + timedelta(days=99), gaps=RETRY_DAYS, again=True)
    assert found == Standing(standing)


def test_a_hard_decline_is_never_repeated_by_itself() -> None:
    found = decide([attempt(1, hard=True)], method=VISA, today=date(2027, 11, 2), gaps=RETRY_DAYS)
    assert isinstance(found, Stop)
    assert "declined for good (insufficient_funds)" in found.reason
    assert next_attempt_on([attempt(1, hard=True)], RETRY_DAYS) is None


def test_the_schedule_ends() -> None:
    attempts = [attempt(1 + n, day=10 * n) for n in range(5)]
    assert next_attempt_on(attempts[:4], RETRY_DAYS) == FIRST + timedelta(days=37)
    assert next_attempt_on(attempts, RETRY_DAYS) is None
    found = decide(attempts, method=VISA, today=date(2027, 11, 2), gaps=RETRY_DAYS)
    assert isinstance(found, Stop)
    assert "declined 5 times, the last time on 2026-12-12" in found.reason


@pytest.mark.parametrize("last", [attempt(1), attempt(1, hard=True)])
def test_somebodys_word_goes_past_the_schedule(last: Attempt) -> None:
    assert decide([last], method=VISA, today=FIRST, gaps=RETRY_DAYS, again=True) == Ask()


def test_unless_the_settings_say_otherwise_the_gaps_are_those_of_the_domain() -> None:
    days = attempt_days(FIRST, retries.RETRY_DAYS)
    assert days == (date(2026, 11, 5), date(2026, 11, 10), date(2026, 11, 17), date(2026, 11, 24))


def test_without_gaps_one_attempt_is_all() -> None:
    assert isinstance(decide([attempt(1)], method=VISA, today=date(2027, 1, 1), gaps=()), Stop)
