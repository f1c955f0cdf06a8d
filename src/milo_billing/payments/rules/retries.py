"""When the money of an invoice is asked for again: day gaps after a soft decline, never after a hard one. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from milo_billing.payments.types import STANDING_STATES, Attempt

RETRY_DAYS: Final = (3, 5, 7, 7)
"""Days from each declined attempt to the next, where the settings say nothing else (domain.md §8)."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask now."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Somebody is being asked already."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Wait:
    """Not before this day."""

    until: date


@dataclass(frozen=True, slots=True)
class Stop:
    """Not with this method, unless somebody says so. `reason` is for people."""

    reason: str


Decision: TypeAlias = Ask | Standing | Wait | Stop


def attempt_days(failed_on: date, gaps: Sequence[int]) -> tuple[date, ...]:
    """The days of the attempts that follow one that failed on this day, each declined on its day [PY-001, PY-003]."""
    days: list[date] = []
    for gap in gaps:
        failed_on += timedelta(days=gap)
        days.append(failed_on)
    return tuple(days)


def next_attempt_on(of_method: Sequence[Attempt], gaps: Sequence[int]) -> date | None:
    """When to ask again after these attempts with one method, in order, the last of them declined; None for never.

    Each gap counts from the attempt before it, so an attempt that came late moves those behind it.
    """
    last = of_method[-1]
    if last.hard or len(of_method) > len(gaps):
        return None
    return last.day + timedelta(days=gaps[len(of_method) - 1])


def declined_with(attempts: Sequence[Attempt], *, method: UUID) -> tuple[Attempt, ...]:
    """The attempts at the end, in order, that were declined with this method and no other one in between; without those
    that were withdrawn.
    """
    found: list[Attempt] = []
    for one in reversed([each for each in attempts if not each.is_withdrawn]):
        if one.method != method or one.state != "Declined":
            break
        found.append(one)
    return tuple(reversed(found))


def decide(
    attempts: Sequence[Attempt], *, method: UUID, today: date, gaps: Sequence[int], again: bool = False
) -> Decision:
    """What to do about an invoice that is due, after these attempts of it, in order.

    A new method begins the schedule anew. `again` is somebody's word to ask now, whatever the schedule says; it never
    goes past an attempt that stands.
    """
    standing = next((one for one in attempts if one.state in STANDING_STATES), None)
    if standing is not None:
        return Standing(standing)
    of_method = declined_with(attempts, method=method)
    if not of_method:
        return Ask()
    on = next_attempt_on(of_method, gaps)
    if again:
        return Ask()
    if on is None:
        last = of_method[-1]
        why = (
            f"the method was declined for good ({last.code})"
            if last.hard
            else f"the method was declined {len(of_method)} times, the last time on {last.day} ({last.code})"
        )
        return Stop(f"{why}: another payment method, or `--again`, tries anew")
    return Wait(on) if today < on else Ask()
