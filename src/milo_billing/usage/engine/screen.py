"""The first look at a group: ids and times, and the events that cannot be kept at all.

Owns: what is rejected, apart from a reused id (write) and what no CloudEvent is (decode).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from milo_billing.usage.engine import identifiers
from milo_billing.usage.engine.days import to_date
from milo_billing.usage.engine.decode import Event
from milo_billing.usage.engine.groups import REJECTED, UNDECIDED, Fates, Group
from milo_billing.usage.engine.identifiers import Ids
from milo_billing.usage.engine.prepared import Limits, Rejected
from milo_billing.usage.engine.readings import SECOND_US, parse_times, to_instant
from milo_billing.usage.types import FUTURE_S_MAX, RejectReason

I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

DAY_MS: Final = 86_400_000
MS_US: Final = 1_000
YEAR_10000_US: Final = 253_402_300_800_000_000


@dataclass(frozen=True, slots=True)
class Screened:
    """Events that are not rejected: `number` is their place in the group, `part` the part they came with.

    `made_at` is when the id says it was made; of a foreign id, which does not say, the receipt. All times are
    microseconds since 1970; where `timed` is false, `event_at` is the receipt.
    """

    events: list[Event]
    number: NDArray[np.intp]
    part: I64
    ids: Ids
    event_at: I64
    timed: Mask
    made_at: I64
    received_at: I64


def screen(group: Group, limits: Limits) -> tuple[Screened, Fates, list[Rejected]]:
    """Read ids and times of all events, and reject what cannot be kept."""
    events = group.events()
    part = group.part_index()
    received_at = np.array([part.request.received_us for part in group.parts], np.int64)[part]
    ids = identifiers.parse_ids([event.id for event in events])
    event_at, timed = parse_times([event.time for event in events])
    event_at = np.where(timed, event_at, received_at)
    made_at = np.where(
        ids.kind == identifiers.NATIVE, identifiers.milliseconds(ids.high) * MS_US, received_at
    )
    read = Screened(events, np.arange(len(events)), part, ids, event_at, timed, made_at, received_at)
    fates = np.full(len(events), UNDECIDED, np.int8)
    rejected: list[Rejected] = []
    for mask, reason, detail in _refusals(read, limits):
        for number in np.flatnonzero(mask & (fates == UNDECIDED)).tolist():
            fates[number] = REJECTED
            rejected.append(Rejected(number, reason, detail(number)))
    return (_kept(read, np.flatnonzero(fates == UNDECIDED)) if rejected else read), fates, rejected


def _refusals(read: Screened, limits: Limits) -> tuple[tuple[Mask, RejectReason, Callable[[int], str]], ...]:
    latest = read.received_at + FUTURE_S_MAX * SECOND_US

    def made(number: int) -> str:
        us = int(read.made_at[number])
        return to_instant(us).isoformat() if us < YEAR_10000_US else "a time after the year 9999"

    return (
        (
            read.ids.kind == identifiers.MALFORMED,
            "INVALID_ULID",
            lambda _: (
                "an id of 26 characters must be a ULID: digits of Crockford's base 32, the first at most 7"
            ),
        ),
        (
            read.made_at // MS_US // DAY_MS < limits.first_day,
            "ID_EXPIRED",
            lambda i: (
                f"the id was made at {made(i)}; the oldest day still taken is {to_date(limits.first_day)}"
            ),
        ),
        (
            read.made_at > latest,
            "TIME_IN_FUTURE",
            lambda i: f"the id was made at {made(i)}, more than an hour ahead of its receipt",
        ),
        (
            read.event_at > latest,
            "TIME_IN_FUTURE",
            lambda i: f"time {read.events[i].time} is more than an hour ahead of its receipt",
        ),
    )


def _kept(read: Screened, chosen: NDArray[np.intp]) -> Screened:
    return Screened(
        events=[read.events[i] for i in chosen.tolist()],
        number=chosen,
        part=read.part[chosen],
        ids=read.ids.take(chosen),
        event_at=read.event_at[chosen],
        timed=read.timed[chosen],
        made_at=read.made_at[chosen],
        received_at=read.received_at[chosen],
    )
