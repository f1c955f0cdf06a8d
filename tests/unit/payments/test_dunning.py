"""When what is done about an invoice that nobody pays."""

from datetime import date, timedelta

import pytest

from milo_billing.payments.rules import dunning
from milo_billing.payments.rules.dunning import DunningStep, Schedule, next_step

DUE = date(2026, 12, 1)


def days_of(schedule: Schedule, *, looked_at: range) -> list[tuple[str, int, int]]:
    """(kind, number, days after the due date) of all that is done when somebody looks on these days."""
    done: list[DunningStep] = []
    for day in looked_at:
        step = next_step(due_on=DUE, today=DUE + timedelta(days=day), done=done, schedule=schedule)
        if step is not None:
            done.append(step)
    return [(step.kind, step.number, (step.on - DUE).days) for step in done]


@pytest.mark.parametrize(
    ("schedule", "looked_at", "expected"),
    [
        (
            Schedule(),
            range(60),
            [("Reminder", 1, 7), ("Reminder", 2, 14), ("Announcement", 1, 21), ("Suspension", 1, 28)],
        ),
        (Schedule(), range(16, 60), [("Reminder", 2, 16), ("Announcement", 1, 21), ("Suspension", 1, 28)]),
        (Schedule(), range(40, 60), [("Announcement", 1, 40), ("Suspension", 1, 47)]),
        (Schedule(announced_after=0), range(90), [("Reminder", 1, 7), ("Reminder", 2, 14)]),
        (Schedule(reminders=(), announced_after=0), range(90), []),
        (
            Schedule(reminders=(3,), announced_after=3, notice_days=1),
            range(9),
            [("Announcement", 1, 3), ("Suspension", 1, 4)],
        ),
    ],
)
def test_each_thing_is_done_once_on_its_day(
    schedule: Schedule, looked_at: range, expected: list[tuple[str, int, int]]
) -> None:
    assert days_of(schedule, looked_at=looked_at) == expected


def test_the_days_are_those_that_are_documented() -> None:
    named = (dunning.REMINDER_DAYS, dunning.ANNOUNCED_AFTER_DAYS, dunning.NOTICE_DAYS)
    assert named == ((7, 14), 21, 7)
    assert Schedule() == Schedule(*named)
