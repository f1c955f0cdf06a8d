"""Roll-ups, counted one event at a time. Extend `RollUp` here, and its query in `found`, when roll-ups hold more."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from tests.simulation.usage_simulation.judging import Billed


@dataclass(frozen=True)
class RollUp:
    """The figures of one account, day, project, meter and dimension set."""

    sum: int
    count: int
    min: int
    max: int
    last: int
    last_at: datetime
    last_id: UUID

    def plus(self, other: "RollUp") -> "RollUp":
        """Both together."""
        later = max(self, other, key=lambda one: (one.last_at, one.last_id))
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


def add(rollups: RollUps, series: Series, figures: RollUp) -> None:
    """Merge figures into what there is of the series."""
    rollups[series] = figures if series not in rollups else rollups[series].plus(figures)


def roll_up(rows: Iterable[tuple[UUID, Billed]]) -> RollUps:
    """The roll-ups of these events."""
    found: RollUps = {}
    for id, row in rows:
        value = row.value
        figures = RollUp(value, 1, value, value, value, row.event_at, id)
        add(found, (row.account, row.project, row.meter, row.day, row.dimensions), figures)
    return found
