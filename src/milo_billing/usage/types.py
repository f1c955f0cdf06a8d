"""What the usage slice says to others: rolled-up usage, what became of events, imports, and the reason codes.

Values only. The words follow `docs/glossary.md`; the reason codes are part of the wire contract (kinds.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

from milo_billing.catalog.types import Aggregation, Meter
from milo_billing.kernel.aggregation import Figures
from milo_billing.kernel.errors import BadRequest, Conflict, NotFound
from milo_billing.kernel.ids import int_to_ulid

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

EVENT_BYTES_MAX: Final = 64 * 1024
"""Bytes an event, at most, in its JSON; CloudEvents asks for at least as much of whoever passes events on."""

CHUNK_ROWS_MAX: Final = 5_000
"""Rows a chunk of an import, at most."""

ChangeCause: TypeAlias = Literal["late", "void", "correction"]
"""What reached a day that had been invoiced: an event that came late, a void, a correction."""
QUANTITY_PLACES_MAX: Final = 12
"""Decimals of a quantity that has no end, where it is shown."""

FUTURE_S_MAX: Final = 3_600
"""How far an event's time, or its id's, may lie ahead of the receipt, in seconds: clocks of senders differ."""

RETENTION_DAYS: Final = 45
"""For how many days an event can still come in, reckoned from the time in its id (domain.md §4)."""


INDEXED_AFTER_DAYS: Final = 1
"""Days of id time that lie so far back get an index for disputes: little is written to them any more, so that ingest
does not pay for it."""


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


class EventNotFound(NotFound):
    """No event has this id, or none within reach."""


class EventAmbiguous(Conflict):
    """Several senders have sent an event of this source and id."""


class ReplayNotFound(NotFound):
    """No replay has this id, or none within reach."""


class AccountRow(NamedTuple):
    """A row among those of an account's roll-up: billing day, project, meter, and the hash of the dimension set."""

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
    def key(self) -> AccountRow:
        """Which row it is, among those of its account."""
        return AccountRow(self.day, self.project, self.meter, self.dimensions_hash)


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


@dataclass(frozen=True, slots=True)
class NewChange:
    """What is added to one roll-up row of a day that has been invoiced: to its count and to its sum.

    `first_at` and `last_at` are the times of the events; `dimensions` is the hash of the set.
    """

    account: int
    day: date
    project: int
    meter: int
    dimensions: int
    cause: ChangeCause
    events: int
    quantity: int
    first_at: datetime
    last_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class RowKey:
    """What a roll-up row is about; `day` is a day of the account's zone, `dimensions` the hash of the set."""

    account: int
    day: date
    project: int
    meter: int
    dimensions: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """The figures of a stored event, from the database or from the archive. `distinct_key` is of UniqueCount meters."""

    id: UUID
    event_at: datetime
    received_at: datetime
    key: RowKey
    value: int
    distinct_key: UUID | None


@dataclass(frozen=True, slots=True)
class Archived:
    """A day of id time that lies in the archive: the file's name, size and sha256, and which billing days are in it."""

    day: date
    name: str
    size_bytes: int
    sha256: bytes
    events: int
    first_day: date
    last_day: date
    written_at: datetime
    expired_at: datetime | None


DayState: TypeAlias = Literal["open", "sealed", "archived", "dropped"]


@dataclass(frozen=True, slots=True)
class DayReport:
    """Where a day of id time stands: it takes events, takes none any more, is archived as well, or lies there only.

    `archived` is None until it is written, and for a day without events.
    """

    day: date
    state: DayState
    archived: Archived | None


@dataclass(frozen=True, slots=True)
class Void:
    """An event that does not count any more; who said so, when and why."""

    id: UUID
    key: RowKey
    value: int
    event_at: datetime
    reason: str
    voided_by: str
    voided_at: datetime


@dataclass(frozen=True, slots=True)
class UsageChange:
    """What reached one roll-up row of an invoiced day by one cause.

    `events` and `quantity` were added to count and sum, negative where something was taken away. `first_at` and
    `last_at` are the times of the events, the other two when they came. `last_id` grows with every change.
    """

    key: RowKey
    dimensions: Mapping[str, str]
    cause: ChangeCause
    events: int
    quantity: int
    first_at: datetime
    last_at: datetime
    first_changed_at: datetime
    last_changed_at: datetime
    last_id: int


@dataclass(frozen=True, slots=True)
class OpenChanges:
    """The invoiced days of an account that usage reached since its invoices last took changes up, in order.

    `last_id` is the newest change among them.
    """

    days: tuple[date, ...]
    last_id: int


class ArchiveDamaged(Conflict):
    """A file of the archive is not what was written."""


@dataclass(frozen=True, slots=True)
class QuarantineFilter:
    """Some of the quarantine; None stands for any. The period is of receipt, `received_to` is not in it."""

    reason: QuarantineReason | None = None
    meter: str | None = None
    project: str | None = None
    received_from: datetime | None = None
    received_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """An event that is accepted and not billed. `meter` and `project` as they were sent, cut short.

    `event_at` is None where the time could not be read. `size` is the original's, in bytes.
    """

    id: UUID
    reason: QuarantineReason
    detail: str
    meter: str
    project: str
    event_at: datetime | None
    received_at: datetime
    size: int


@dataclass(frozen=True, slots=True)
class Discarded:
    """Who gave an event up, when and why."""

    by: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class QuarantinedOriginal:
    """A quarantined event with its JSON, byte for byte as it was sent; `discarded` if somebody gave it up."""

    entry: QuarantineEntry
    event: bytes
    discarded: Discarded | None


@dataclass(frozen=True, slots=True)
class QuarantineDepth:
    """How many events wait with this reason and meter; `oldest` is the first receipt among them."""

    reason: QuarantineReason
    meter: str
    events: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Replay:
    """A part of the quarantine that is tried again; `organizations` None is everybody's.

    Of `total` events that matched when it was opened, `replayed` are billed now, `kept` failed again and wait on with
    what is wrong now, `duplicate` were billed already. Fewer may come together: others were discarded or replayed
    meanwhile. `cursor` is the last id that was looked at.
    """

    id: UUID
    organizations: tuple[int, ...] | None
    filter: QuarantineFilter
    accept_late: bool
    opened_by: str
    opened_at: datetime
    state: Literal["running", "finished"]
    cursor: UUID
    total: int
    replayed: int
    kept: int
    duplicate: int
    updated_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewCorrection:
    """Usage that is declared for a row, by staff. `labels` leads from the hash of the dimension set to its JSON.

    `at` is the instant that it counts at: the end of the billing day. `quantity` may be negative.
    """

    uid: UUID
    key: RowKey
    aggregation: Aggregation
    quantity: int
    at: datetime
    labels: Mapping[int, bytes]
    reason: str
    now: datetime


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Some of the stored events; None stands for any. Billing days in [first, end).

    `match` constrains dimensions as a Sku does, `resource` what was measured: each named part has this value. Events
    that began to count until `counted_until`, or after `counted_after`: by their receipt, or their replay. What was
    voided until `counted_until` did not count then.
    """

    accounts: tuple[int, ...] | None = None
    projects: tuple[int, ...] | None = None
    meters: tuple[int, ...] | None = None
    first: date | None = None
    end: date | None = None
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    resource: Mapping[str, str] = field(default_factory=dict[str, str])
    counted_until: datetime | None = None
    counted_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Voided:
    """Who took an event out of what is billed, when and why."""

    at: datetime
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """A stored event and what it counts for. Numbers as in UsageRow; names as they are now, empty out of reach.

    `day` is the billing day in the account's zone. `replayed_at` is when it began to count, if it came from quarantine;
    `voided` why it does not count any more.
    """

    id: UUID
    event_at: datetime
    received_at: datetime
    replayed_at: datetime | None
    account: int
    project: int
    meter: int
    day: date
    value: int
    dimensions: Mapping[str, str]
    resource: Mapping[str, object] | None
    namespace: str = ""
    account_name: str = ""
    project_name: str = ""
    meter_name: str = ""
    voided: Voided | None = None

    def body(self) -> dict[str, Any]:
        """The event as every door shows it; `value` is a text, since JSON readers lose digits of an int64."""
        shown: dict[str, Any] = {
            "id": str(self.id),
            "ulid": int_to_ulid(self.id.int),
            "namespace": self.namespace,
            "account": self.account_name,
            "project": self.project_name,
            "meter": self.meter_name,
            "day": self.day.isoformat(),
            "value": str(self.value),
            "dimensions": dict(self.dimensions),
            "resource": None if self.resource is None else dict(self.resource),
            "eventAt": _shown(self.event_at),
            "receivedAt": _shown(self.received_at),
        }
        if self.replayed_at is not None:
            shown["replayedAt"] = _shown(self.replayed_at)
        if (voided := self.voided) is not None:
            shown["voided"] = {"at": _shown(voided.at), "reason": voided.reason, "by": voided.by}
        return shown


def _shown(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class UnreadDays:
    """Days of id time, both included, whose archived events a page could not look through, and why."""

    first: date
    last: date
    reason: str

    def body(self) -> dict[str, str]:
        """The days as every door shows them."""
        return {"first": self.first.isoformat(), "last": self.last.isoformat(), "reason": self.reason}


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events by id. `after` continues the list, None at the end; a page may be short, or empty, and not the last.

    `unread` are days that may hold more of what was asked for.
    """

    events: tuple[UsageEvent, ...]
    after: UUID | None
    unread: tuple[UnreadDays, ...] = ()

    def body(self) -> dict[str, Any]:
        """The page as every door shows it."""
        metadata: dict[str, Any] = {} if self.after is None else {"continue": str(self.after)}
        if self.unread:
            metadata["unreadDays"] = [days.body() for days in self.unread]
        return {"metadata": metadata, "items": [event.body() for event in self.events]}
