"""The result of preparing a group: rows that could be stored, and what was rejected. Values only."""

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from milo_billing.usage.engine.groups import Fates, Group
from milo_billing.usage.engine.knowledge import Knowledge
from milo_billing.usage.types import QuarantineReason, RejectReason

I64: TypeAlias = NDArray[np.int64]
I32: TypeAlias = NDArray[np.int32]
U64: TypeAlias = NDArray[np.uint64]
Mask: TypeAlias = NDArray[np.bool_]
Keys: TypeAlias = NDArray[np.bytes_]

GOOD: Final = 0
MALFORMED_DATA: Final = 1
UNKNOWN_METER: Final = 2
INVALID_DIMENSIONS: Final = 3
INVALID_VALUE: Final = 4
TOO_LATE: Final = 5
ATTRIBUTION_FAILURE: Final = 6

REASONS: Final[dict[int, QuarantineReason]] = {
    MALFORMED_DATA: "malformed_data",
    UNKNOWN_METER: "unknown_meter",
    INVALID_DIMENSIONS: "invalid_dimensions",
    INVALID_VALUE: "invalid_value",
    TOO_LATE: "too_late",
    ATTRIBUTION_FAILURE: "attribution_failure",
}


class Limits(NamedTuple):
    """`late_days_max`: usage older than so many days is too late. `first_day`: the oldest id day still taken.

    Days are numbers since 1970-01-01.
    """

    late_days_max: int
    first_day: int


@dataclass(slots=True)
class Rows:
    """Events, each array with one entry an event.

    `key` is the native id, or the hash of a foreign one; `id` is what the event is stored under. `number` is the
    event's place in the group. `reason` is GOOD or why the event is quarantined; then account, project, meter and day
    may be 0. `owner` is the organization that a quarantined event belongs to. `series` is the same number for rows of
    one roll-up, within this group only; a `keyed` event counts towards the key in `distinct`. `timed` tells a time that
    could be read, `late` one that was reported late.
    """

    key: Keys
    foreign: Mask
    id: Keys
    number: I64
    reason: NDArray[np.int8]
    event_at: I64
    received_at: I64
    account: I32
    project: I32
    meter: I32
    day: I64
    dimensions: U64
    value: I64
    resource: U64
    digest: U64
    series: I64
    keyed: Mask
    distinct: Keys
    owner: I64
    timed: Mask
    late: Mask

    def take(self, chosen: Mask | NDArray[np.intp]) -> "Rows":
        """The chosen events only."""
        return Rows(*(getattr(self, name)[chosen] for name in Rows.__slots__))

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True, slots=True)
class Followers:
    """Events with the key of an earlier event of the group: their numbers, digests, and the rows they follow."""

    number: I64
    digest: U64
    leader: I64


@dataclass(frozen=True, slots=True)
class Rejected:
    """Event `number` of the group was refused."""

    number: int
    reason: RejectReason
    detail: str


@dataclass(slots=True)
class Prepared:
    """A group ready to be written, as long as the versions in `knowledge` hold.

    `rows` are sorted by (foreign, key), each key once. `fates` says UNDECIDED or REJECTED for every event of the group.
    `new_dimensions` and `new_resources` lead from hash to canonical JSON.
    """

    group: Group
    knowledge: Knowledge
    limits: Limits
    fates: Fates
    rejected: list[Rejected]
    rows: Rows
    followers: Followers
    new_dimensions: dict[int, bytes]
    new_resources: dict[int, bytes]

    @property
    def sets_aside(self) -> bool:
        """Whether some event is quarantined: a newer list of projects may find its payer, or whose it is."""
        return bool((self.rows.reason != GOOD).any())
