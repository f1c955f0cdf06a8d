"""Requests that wait for their acknowledgement, and the groups that they are written in.

Owns: what a request carries through the engine and how its answer is put together. Not: deciding any event's fate.
"""

from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from milo_billing.infra.database import EVERYWHERE, Reach
from milo_billing.usage.engine.answers import Acknowledged, Rejection
from milo_billing.usage.engine.decode import ID_SHOWN_MAX, Batch, Event
from milo_billing.usage.types import ImportChunk, RejectReason

Fates: TypeAlias = NDArray[np.int8]

UNDECIDED: Final = -1
ACCEPTED: Final = 0
QUARANTINED: Final = 1
DUPLICATE: Final = 2
REJECTED: Final = 3


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: for which organizations, and in whose name (usage.rules.sender_organization)."""

    owner_org: int
    reach: Reach

    @property
    def everywhere(self) -> bool:
        """Whether the sender may send for any project."""
        return self.reach == EVERYWHERE


@dataclass(slots=True)
class Request:
    """One HTTP request, or one chunk of an import, on its way through the engine.

    `received_us` is when the door read the clock. `accept_late` lifts the late window. `future` is set once the
    events are durable.
    """

    batch: Batch
    sender: Sender
    received_us: int
    accept_late: bool = False
    chunk: ImportChunk | None = None
    future: "Future[Acknowledged]" = field(default_factory=lambda: Future[Acknowledged]())
    fates: Fates = field(init=False)
    rejected: list[Rejection] = field(init=False)

    def __post_init__(self) -> None:
        self.fates = np.full(len(self.batch.events), UNDECIDED, np.int8)
        self.rejected = list(self.batch.rejected)

    @property
    def durable(self) -> bool:
        """Whether the fates of all events are known to be durable, whatever became of the group afterwards.

        Never of a request without readable events: nothing shows that its refusals were counted.
        """
        return len(self.fates) > 0 and not bool((self.fates == UNDECIDED).any())

    def reject(self, index: int, reason: RejectReason, detail: str) -> None:
        """Note that event `index` of the batch was refused."""
        shown = self.batch.events[index].id[:ID_SHOWN_MAX]
        self.rejected.append(Rejection(self.batch.position(index), shown, reason, detail))

    def acknowledged(self) -> Acknowledged:
        """The answer, once every event has its fate."""
        counts = np.bincount(self.fates, minlength=4) if len(self.fates) else np.zeros(4, np.int64)
        return Acknowledged(
            accepted=int(counts[ACCEPTED]),
            quarantined=int(counts[QUARANTINED]),
            duplicate=int(counts[DUPLICATE]),
            rejected=tuple(sorted(self.rejected, key=lambda rejection: rejection.position)),
        )

    def answer(self) -> None:
        """Acknowledge; a sender who has gone away misses it."""
        with suppress(InvalidStateError):
            self.future.set_result(self.acknowledged())

    def fail(self, error: BaseException) -> None:
        """Say that nothing is known to be durable; sending again is safe."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)


@dataclass(frozen=True, slots=True)
class Part:
    """Events `start … stop` of a request; the whole request, unless a group is being searched for a bad event."""

    request: Request
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Events in it."""
        return self.stop - self.start

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole request."""
        return self.size == len(self.request.batch.events)

    @property
    def events(self) -> list[Event]:
        """The events themselves."""
        events = self.request.batch.events
        return events if self.is_whole else events[self.start : self.stop]

    def halves(self) -> tuple["Part", "Part"]:
        """The same events in two parts."""
        middle = (self.start + self.stop) // 2
        return Part(self.request, self.start, middle), Part(self.request, middle, self.stop)


@dataclass(frozen=True, slots=True)
class Group:
    """Parts that are written in one transaction, in order of arrival. Events are numbered through, from 0."""

    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Events in it."""
        return sum(part.size for part in self.parts)

    def events(self) -> list[Event]:
        """All events in order."""
        if len(self.parts) == 1:
            return self.parts[0].events
        return list(chain.from_iterable(part.events for part in self.parts))

    def part_index(self) -> NDArray[np.int64]:
        """For each event the part that it belongs to."""
        return np.repeat(np.arange(len(self.parts)), [part.size for part in self.parts])

    def starts(self) -> list[int]:
        """The number of each part's first event."""
        return [0, *accumulate(part.size for part in self.parts[:-1])]

    def halves(self) -> tuple["Group", "Group"]:
        """The same events in two groups, by requests as long as there are several. Needs two events."""
        if len(self.parts) > 1:
            middle = len(self.parts) // 2
            return Group(self.parts[:middle]), Group(self.parts[middle:])
        first, second = next(iter(self.parts)).halves()
        return Group((first,)), Group((second,))


def whole(requests: Sequence[Request]) -> Group:
    """One group of whole requests."""
    return Group(tuple(Part(request, 0, len(request.batch.events)) for request in requests))
