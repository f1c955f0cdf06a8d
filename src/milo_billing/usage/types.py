"""What the usage slice says to others: rolled-up usage, what became of events, imports, and the reason codes.

Values only. The words follow `docs/glossary.md`; the reason codes are part of the wire contract (kinds.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

from milo_billing.catalog.types import Meter
from milo_billing.kernel.aggregation import Figures
from milo_billing.kernel.errors import BadRequest, Conflict, NotFound

RejectReason: TypeAlias = Literal[
    "INVALID_ULID",
    "MISSING_REQUIRED_FIELD",
    "INVALID_VALUE_TYPE",
    "INVALID_DATACONTENTTYPE",
    "TIME_IN_FUTURE",
    "ID_EXPIRED",
    "ID_CONFLICT",
]
"""Why an event was not taken. Nothing of it is kept; the sender has to mend it."""

QuarantineReason: TypeAlias = Literal[
    "unknown_meter",
    "invalid_dimensions",
    "invalid_value",
    "malformed_data",
    "attribution_failure",
    "too_late",
]
"""Why an event that was accepted is not billed (yet). It is kept as it was sent, and can be replayed."""

EVENTS_MAX: Final = 10_000
"""Events a request, at most."""

BODY_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bytes a request, at most, after decompression."""

CHUNK_ROWS_MAX: Final = 5_000
"""Rows a chunk of an import, at most."""

QUANTITY_PLACES_MAX: Final = 12
"""Decimals of a quantity that has no end, where it is shown."""

FUTURE_S_MAX: Final = 3_600
"""How far an event's time, or its id's, may lie ahead of the receipt, in seconds: clocks of senders differ."""

RETENTION_DAYS: Final = 45
"""For how many days an event can still come in, reckoned from the time in its id (domain.md §4)."""


class UnreadableEvents(BadRequest):
    """The body is no JSON, or no event or list of events; nothing of it was taken."""


class ImportNotFound(NotFound):
    """No import has this id, or none within reach."""


class ImportRowsChanged(Conflict):
    """The same file and mapping was announced with another number of rows."""


class ImportChunkChanged(Conflict):
    """The chunk of that number was sent before with other rows."""


class ImportChunkOutOfOrder(Conflict):
    """Chunks come in order; another one is next."""


class ImportComplete(Conflict):
    """Nothing can be added to an import that was completed."""


class ImportIncomplete(Conflict):
    """Rows are missing, so the import cannot be completed."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """One event that was not taken. `position` counts from 0 in the request; `id` as it was sent, cut short."""

    position: int
    id: str
    reason: RejectReason
    detail: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What became of one request, all of it durable.

    `accepted` + `quarantined` + `duplicate` + len(rejected) is the number of events in the request: `accepted` are
    stored and rolled up, `quarantined` are stored with a reason, `duplicate` were here before.
    """

    accepted: int
    quarantined: int
    duplicate: int
    rejected: tuple[Rejection, ...]

    @property
    def taken(self) -> int:
        """How many the sender need not send again: the `accepted` of the wire answer, where a retry counts as well."""
        return self.accepted + self.quarantined + self.duplicate


class RowKey(NamedTuple):
    """A row of an account's roll-up: billing day, project, meter, and the hash of the dimension set."""

    day: date
    project: int
    meter: int
    dimensions: int


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Rolled-up usage of one (account, project, meter, dimension set, billing day).

    `day` is a day of the account's zone. `figures.sum` may exceed int64.
    """

    account: int
    project: int
    meter: int
    meter_name: str
    dimensions: Mapping[str, str]
    dimensions_hash: int
    day: date
    figures: Figures

    @property
    def key(self) -> RowKey:
        """Which row it is, among those of its account."""
        return RowKey(self.day, self.project, self.meter, self.dimensions_hash)


@dataclass(frozen=True, slots=True)
class Grouping:
    """What totals of usage are told apart by, beside account and meter."""

    project: bool = True
    day: bool = False
    dimensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UsageCell:
    """One series in one window, as far as it belongs to one total: what a value is taken of.

    `shown` are the values of the dimensions that totals are told apart by, `split` those of the meter's `seriesBy`.
    `window` is its first day: a billing day, or the day on which a rating period begins.
    """

    account: int
    project: int
    meter: int
    shown: tuple[str | None, ...]
    split: tuple[str | None, ...]
    window: date
    figures: Figures
    distinct: int = 0


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """Usage of a meter by what was asked for. `quantity` is by the meter's own aggregation, in its unit, exact: over a
    rating period what is billed. By day it is the value of the day alone.

    `project` and `day` are None where they are summed up; a dimension is None where events did not have it. `figures`
    are of all the events.
    """

    account: int
    project: int | None
    meter: Meter
    day: date | None
    dimensions: Mapping[str, str | None]
    quantity: int | Fraction
    figures: Figures


@dataclass(frozen=True, slots=True)
class IngestStatistics:
    """What became of everything that was sent, and what waits in quarantine, within the caller's reach.

    `accepted` are stored events. Of them, `late` happened more than an hour before their id was made. `duplicate`
    were sent again, `conflicts` reused an id. `quarantined` counts what waits now, by reason; `rejected` what was
    refused, by reason.
    """

    accepted: int
    late: int
    duplicate: int
    conflicts: int
    quarantined: Mapping[str, int]
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Import:
    """A file import. `rows` is what was announced, `rows_received` what has come; chunks count from 0."""

    id: UUID
    owner_org: int
    rows: int
    accept_late: bool
    state: Literal["open", "complete"]
    next_chunk: int
    rows_received: int
    accepted: int
    quarantined: int
    duplicate: int
    rejected: int


@dataclass(frozen=True, slots=True)
class ImportChunk:
    """A chunk on its way in: the import, its number, the sha256 of its rows, and the rows' numbers in the file."""

    import_id: UUID
    number: int
    digest: bytes
    row_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row of an import that was not taken."""

    row: int
    reason: RejectReason
    detail: str


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What became of a chunk's rows; the same whenever it is sent again."""

    accepted: int
    quarantined: int
    duplicate: int
    rejected: tuple[RejectedRow, ...]
