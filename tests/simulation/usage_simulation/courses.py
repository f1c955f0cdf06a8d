"""Which courses an event can have taken: stored, replayed, voided, in every order that the turns allow.

Each act took effect at one instant between the turns in which it began and ended. An order is possible if all that was
answered is true in it; where several are, the rows themselves say which it was. Extend here when a new act is added.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from tests.simulation.usage_simulation.declared import Log
from tests.simulation.usage_simulation.judging import Aside, Billed, Offered, Refused, judge


@dataclass(frozen=True)
class Attempt:
    """One event in one request. `began` and `ended` count turns; `known` and `known_by` declarations then.

    `fate` is what was answered for it; None where nothing was.
    """

    offered: Offered
    began: int
    ended: int
    known: int
    known_by: int
    fate: str | None


@dataclass(frozen=True)
class Voided:
    """Somebody who sees these organizations (None is all) voided an id.

    `told` is voided, discarded or unknown; None where nothing was answered.
    """

    id: UUID
    organizations: tuple[str, ...] | None
    began: int
    ended: int
    told: str | None


@dataclass(frozen=True)
class Replayed:
    """A replay that was brought to its end: of what, and what was declared while it went on. None stands for any."""

    organizations: tuple[str, ...] | None
    reason: str | None
    meter: str | None
    project: str | None
    accept_late: bool
    opened_at: datetime
    began: int
    ended: int
    known: int
    known_by: int


Act: TypeAlias = Voided | Replayed


@dataclass(frozen=True)
class State:
    """Where an event is. `gone`: it was voided, or given up in quarantine. `moved_from` is why it had to wait."""

    verdict: Billed | Aside
    gone: bool = False
    moved_from: Aside | None = None


@dataclass(frozen=True)
class Course:
    """The attempt that was stored, what it came to at first, and in the end."""

    attempt: Attempt
    first: Billed | Aside
    last: State


def list_courses(
    attempt: Attempt, first: Billed | Aside, acts: Sequence[Act], log: Log
) -> tuple[Course, ...]:
    """All courses of an event that was stored by this attempt; `acts` are those that may concern it."""
    found: dict[State, None] = {}
    for state in _orders(None, (attempt, *acts), first, log):
        if state is not None:
            found.setdefault(state)
    return tuple(Course(attempt, first, state) for state in found)


def _orders(
    state: State | None, left: tuple[Attempt | Act, ...], first: Billed | Aside, log: Log
) -> Iterator[State | None]:
    """The last states of every order of what is left, which may begin with what no other ended before."""
    if not left:
        yield state
        return
    soonest = min(one.ended for one in left)
    for place, one in enumerate(left):
        if one.began > soonest:
            continue
        rest = left[:place] + left[place + 1 :]
        for following in dict.fromkeys(_after(state, one, first, log)):
            yield from _orders(following, rest, first, log)


def _after(
    state: State | None, act: Attempt | Act, first: Billed | Aside, log: Log
) -> Iterator[State | None]:
    match act:
        case Attempt():
            yield State(first)
        case Voided():
            yield from _voided(state, act)
        case Replayed():
            yield from _replayed(state, act, log)


def _voided(state: State | None, act: Voided) -> Iterator[State | None]:
    if state is None or not _sees(act.organizations, state.verdict.owner):
        if act.told in (None, "unknown"):
            yield state
        return
    if act.told is None:
        yield state
    if act.told in (None, "voided" if isinstance(state.verdict, Billed) else "discarded"):
        yield replace(state, gone=True)


def _replayed(state: State | None, act: Replayed, log: Log) -> Iterator[State | None]:
    waiting = None if state is None or state.gone else state.verdict
    if not isinstance(waiting, Aside) or not _is_chosen(waiting, act):
        yield state
        return
    for changes in range(act.known, act.known_by + 1):
        offered = Offered(
            waiting.raw, (waiting.owner,) if waiting.owner else None, waiting.received, act.accept_late
        )
        verdict = judge(offered, log.after(changes))
        if isinstance(verdict, Billed):
            yield State(replace(verdict, key=waiting.key), moved_from=waiting)
        elif isinstance(verdict, Refused) or verdict.unforeseen:
            yield state  # it cannot be stored: why it waits is not said anew
        else:
            yield State(replace(verdict, key=waiting.key))


def _is_chosen(waiting: Aside, act: Replayed) -> bool:
    return (
        waiting.received <= act.opened_at
        and _sees(act.organizations, waiting.owner)
        and act.reason in (None, waiting.reason)
        and act.meter in (None, waiting.meter)
        and act.project in (None, waiting.project)
    )


def _sees(organizations: tuple[str, ...] | None, owner: str) -> bool:
    return organizations is None or owner in organizations
