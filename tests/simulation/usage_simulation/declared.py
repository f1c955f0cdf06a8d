"""What was declared, as the API acknowledged it: all that an auditor may know of meters, projects and payers.

A change is known by its number in the log, so that the auditor can ask what had been declared before a request began
and by the time it was answered.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo

RESOURCE = "resource"
POISON = {"region": "poison"}
"""Labels whose hash another set has taken: an event that nobody foresaw, and that no transaction can store."""

METERED = frozenset({"Published", "Deprecated"})


@dataclass(frozen=True)
class ValueBands:
    """A dimension by the event's value: the first bound that is not below it, else `above`."""

    dimension: str
    bounds: tuple[tuple[int, str], ...]
    above: str

    def name_of(self, value: int, instant: datetime) -> str:
        """The band of an event."""
        return next((name for bound, name in self.bounds if value <= bound), self.above)


@dataclass(frozen=True)
class ClockBands:
    """A dimension by the hour of the clock in a zone: `inside` from the first to before the second, else `outside`."""

    dimension: str
    zone: str
    hours: tuple[int, int]
    inside: str
    outside: str

    def name_of(self, value: int, instant: datetime) -> str:
        """The band of an event."""
        hour = instant.astimezone(ZoneInfo(self.zone)).hour
        return self.inside if self.hours[0] <= hour < self.hours[1] else self.outside


@dataclass(frozen=True)
class MeterDeclared:
    """A meter in a phase, with the dimensions it declares, and how its events become a quantity.

    `counted` is the label that a UniqueCount meter counts, `resource` for what events were measured on.
    """

    name: str
    phase: str
    dimensions: frozenset[str]
    aggregation: str = "Sum"
    series_by: tuple[str, ...] = ()
    daily: bool = False
    counted: str | None = None
    bands: tuple[ValueBands | ClockBands, ...] = ()

    @property
    def taken(self) -> frozenset[str]:
        """The labels that an event may have."""
        if self.counted is None or self.counted == RESOURCE:
            return self.dimensions
        return self.dimensions | {self.counted}


@dataclass(frozen=True)
class AccountDeclared:
    """An account: its zone, and whether it takes usage."""

    name: str
    zone: str
    organization: str = "acme"
    archived: bool = False


@dataclass(frozen=True)
class ProjectDeclared:
    """One life of a project's name."""

    name: str
    organization: str
    created_at: datetime


@dataclass(frozen=True)
class ProjectGone:
    """The life of a name that ended."""

    name: str
    deleted_at: datetime


@dataclass(frozen=True)
class Bound:
    """A binding, with the instant that the API answered as `establishedAt`; whoever paid before stopped then."""

    project: str
    account: str
    established_at: datetime


@dataclass(frozen=True)
class Unbound:
    """The project's binding was deleted; the API answered `endedAt`."""

    project: str
    ended_at: datetime


Change: TypeAlias = MeterDeclared | AccountDeclared | ProjectDeclared | ProjectGone | Bound | Unbound


@dataclass
class Paid:
    """Who paid for a life of a project from an instant on, and until when."""

    account: str
    since: datetime
    until: datetime | None = None

    def holds(self, instant: datetime) -> bool:
        """Whether the instant lies in [since, until)."""
        return self.since <= instant and (self.until is None or instant < self.until)


@dataclass
class Life:
    """One life of a project's name, with its payers in order."""

    name: str
    organization: str
    created_at: datetime
    deleted_at: datetime | None = None
    payers: list[Paid] = field(default_factory=list[Paid])


@dataclass
class Declared:
    """Everything that stood after some changes."""

    meters: dict[str, MeterDeclared] = field(default_factory=dict[str, MeterDeclared])
    accounts: dict[str, AccountDeclared] = field(default_factory=dict[str, AccountDeclared])
    lives: dict[str, list[Life]] = field(default_factory=dict[str, list[Life]])

    def bearer(self, name: str, instant: datetime) -> Life | None:
        """The project that bore the name at the instant: the last that began by then, else the first of all."""
        lives = self.lives.get(name, [])
        if not lives:
            return None
        begun = [life for life in lives if life.created_at <= instant]
        life = begun[-1] if begun else lives[0]
        return None if life.deleted_at is not None and life.deleted_at <= instant else life

    def payer(self, life: Life, instant: datetime) -> AccountDeclared | None:
        """The account whose interval holds the instant, unless it is archived."""
        for paid in life.payers:
            if paid.holds(instant):
                account = self.accounts[paid.account]
                return None if account.archived else account
        return None


class Log:
    """Changes in the order in which they were acknowledged."""

    def __init__(self) -> None:
        self._changes: list[Change] = []
        self._stood: dict[int, Declared] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self._changes)

    def add(self, change: Change) -> None:
        """The API has acknowledged it."""
        self._changes.append(change)

    def after(self, changes: int) -> Declared:
        """What stood after so many changes."""
        if changes not in self._stood:
            self._stood[changes] = declared(self._changes[:changes])
        return self._stood[changes]


def declared(changes: Iterable[Change]) -> Declared:
    """What stands after these changes."""
    now = Declared()
    for change in changes:
        match change:
            case MeterDeclared():
                now.meters[change.name] = change
            case AccountDeclared():
                now.accounts[change.name] = change
            case ProjectDeclared():
                life = Life(change.name, change.organization, change.created_at)
                now.lives.setdefault(change.name, []).append(life)
            case ProjectGone():
                now.lives[change.name][-1].deleted_at = change.deleted_at
            case Bound():
                payers = now.lives[change.project][-1].payers
                if payers and payers[-1].until is None:
                    payers[-1].until = change.established_at
                payers.append(Paid(change.account, change.established_at))
            case Unbound():
                now.lives[change.project][-1].payers[-1].until = change.ended_at
    return now
