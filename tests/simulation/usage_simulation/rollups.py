"""Roll-ups, counted one event at a time. Extend `RollUp` here, and its query in `found`, when roll-ups hold more."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias
from uuid import UUID

from tests.simulation.usage_simulation.judging import Billed


@dataclass(frozen=True)
class Fact:
    """Something that counts: an event, or a correction. `value` None only adds to sum and count."""

    account: str
    project: tuple[str, datetime]
    meter: str
    day: date
    dimensions: str
    sum: int
    count: int
    value: int | None
    at: datetime
    id: UUID
    counted: str | None = None

    @property
    def series(self) -> "Series":
        """The row that it is part of."""
        return (self.account, self.project, self.meter, self.day, self.dimensions)


@dataclass(frozen=True)
class RollUp:
    """The figures of one account, day, project, meter and dimension set; None where there was nothing to compare."""

    sum: int
    count: int
    min: int | None
    max: int | None
    last: int | None
    last_at: datetime | None
    last_id: UUID | None

    def plus(self, other: "RollUp") -> "RollUp":
        """Both together."""
        if self.last_at is None or other.last_at is None:
            valued = self if other.last_at is None else other
            return RollUp(
                self.sum + other.sum,
                self.count + other.count,
                valued.min,
                valued.max,
                valued.last,
                valued.last_at,
                valued.last_id,
            )
        assert self.min is not None and self.max is not None and self.last_id is not None
        assert other.min is not None and other.max is not None and other.last_id is not None
        later = self if (self.last_at, self.last_id) > (other.last_at, other.last_id) else other
        return RollUp(
            sum=self.sum + other.sum,
            count=self.count + other.count,
            min=min(self.min, other.min),
            max=max(self.max, other.max),
            last=later.last,
            last_at=later.last_at,
            last_id=later.last_id,
        )


Series: TypeAlias = tuple[object, ...]
"""Account, project, meter, day, dimensions."""

RollUps: TypeAlias = dict[Series, RollUp]

Distinct: TypeAlias = dict[Series, tuple[int, ...]]
"""How many events each different thing had that a UniqueCount meter counted, in ascending order."""


def fact_of(id: UUID, row: Billed) -> Fact:
    """What an event counts."""
    return Fact(
        account=row.account,
        project=row.project,
        meter=row.meter,
        day=row.day,
        dimensions=row.dimensions,
        sum=row.value,
        count=1,
        value=row.value,
        at=row.event_at,
        id=id,
        counted=row.counted,
    )


def add(rollups: RollUps, series: Series, figures: RollUp) -> None:
    """Merge figures into what there is of the series."""
    rollups[series] = figures if series not in rollups else rollups[series].plus(figures)


def roll_up(facts: Iterable[Fact]) -> RollUps:
    """The roll-ups of these facts."""
    found: RollUps = {}
    for fact in facts:
        value = fact.value
        valued = (None, None) if value is None else (fact.at, fact.id)
        add(found, fact.series, RollUp(fact.sum, fact.count, value, value, value, *valued))
    return found


def count_distinct(facts: Iterable[Fact]) -> Distinct:
    """What was counted of each series."""
    found: dict[Series, Counter[str]] = {}
    for fact in facts:
        if fact.counted is not None:
            found.setdefault(fact.series, Counter())[fact.counted] += 1
    return {series: tuple(sorted(counts.values())) for series, counts in found.items()}
