"""What is done about an invoice that is past due: reminders, the announcement of a suspension, the suspension. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal, TypeAlias

DunningKind: TypeAlias = Literal["Reminder", "Announcement", "Suspension"]

REMINDER_DAYS: Final = (7, 14)
ANNOUNCED_AFTER_DAYS: Final = 21
NOTICE_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Schedule:
    """Days after the due date: of reminders, in order, and of the announcement of a suspension, 0 for none.

    The account is suspended `notice_days` after the announcement, which is never shortened, however late it was made.
    """

    reminders: tuple[int, ...] = REMINDER_DAYS
    announced_after: int = ANNOUNCED_AFTER_DAYS
    notice_days: int = NOTICE_DAYS


@dataclass(frozen=True, slots=True)
class DunningStep:
    """One thing that was done, or is to be, on a day in the issuer's zone; `number` counts reminders, else it is 1."""

    kind: DunningKind
    number: int
    on: date


def next_step(
    *, due_on: date, today: date, done: Sequence[DunningStep], schedule: Schedule
) -> DunningStep | None:
    """What is to be done today about an invoice that was due on that day; None for nothing.

    Who was away sends one reminder, not all that it missed. Nothing follows a suspension.
    """
    if any(step.kind == "Suspension" for step in done):
        return None
    announced = next((step for step in done if step.kind == "Announcement"), None)
    if announced is not None:
        over = today >= suspends_on(announced, schedule)
        return DunningStep("Suspension", 1, today) if over else None
    days = (today - due_on).days
    if schedule.announced_after and days >= schedule.announced_after:
        return DunningStep("Announcement", 1, today)
    reached = sum(days >= after for after in schedule.reminders)
    sent = max((step.number for step in done if step.kind == "Reminder"), default=0)
    return DunningStep("Reminder", reached, today) if reached > sent else None


def suspends_on(announced: DunningStep, schedule: Schedule) -> date:
    """When the account is suspended that was told so by this step."""
    return announced.on + timedelta(days=schedule.notice_days)
