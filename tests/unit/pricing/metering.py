"""Events of one meter for tests of aggregation: rolled up in pieces as ingest does, and recounted naively."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import groupby
from uuid import UUID

from milo_billing.catalog.types import Meter
from milo_billing.kernel.aggregation import ADDITIVE, Figures, merged
from milo_billing.pricing.rules.series import tally_series
from milo_billing.pricing.types import Cell, UsageQuantity
from milo_billing.usage.types import AccountRow

START = datetime(2026, 10, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Used:
    """One event: `id` breaks ties of time, `user` is what UniqueCount counts."""

    id: int
    value: int
    hour: int = 0
    project: int = 1
    region: str | None = None
    user: str = "ann"

    @property
    def at(self) -> datetime:
        return START + timedelta(hours=self.hour)

    @property
    def day(self) -> date:
        return self.at.date()

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        return () if self.region is None else (("region", self.region),)

    @property
    def row(self) -> AccountRow:
        return AccountRow(self.day, self.project, 1, hash(self.labels))

    @property
    def figures(self) -> Figures:
        return Figures(self.value, 1, self.value, self.value, self.value, self.at, UUID(int=self.id))


def rolled_up(events: Iterable[Used], *, pieces: int = 1) -> list[UsageQuantity]:
    """The rows of the roll-up, each merged from that many pieces, which are merged in turn."""
    rows: dict[AccountRow, list[Used]] = {}
    for event in events:
        rows.setdefault(event.row, []).append(event)
    return [
        UsageQuantity(
            project=row.project,
            meter_name="meter",
            dimensions=found[0].labels,
            day=row.day,
            figures=merged(
                merged(event.figures for event in found[piece::pieces]) for piece in range(pieces)
            ),
            row=row,
        )
        for row, found in rows.items()
    ]


def charged(
    events: Sequence[Used],
    meter: Meter,
    *,
    pieces: int = 1,
    bound: Mapping[int, tuple[int, int]] | None = None,
) -> Mapping[tuple[int, tuple[tuple[str, str], ...]], int | Fraction]:
    """What was metered, by project and dimension set."""

    def distinct(cells: Sequence[Cell]) -> Sequence[int]:
        return [len({event.user for event in events if event.row in cell}) for cell in cells]

    rows = rolled_up(events, pieces=pieces)
    tally = tally_series(rows, meter=meter, bound=bound or {}, distinct=distinct)
    return {key: metered for key, (metered, _) in tally.items()}


def recounted(events: Sequence[Used], meter: Meter, *, bound: Mapping[int, tuple[int, int]]) -> Fraction:
    """The charged quantity from the raw events, as domain.md §4 says it: series, windows, value, sum."""

    def series(event: Used) -> tuple[object, ...]:
        split = tuple(dict(event.labels).get(name, "") for name in meter.series_by)
        return event.project, split, event.day if meter.window == "Day" else None

    total = Fraction(0)
    for (project, *_), found in groupby(sorted(events, key=lambda e: str(series(e))), key=series):
        of_series = sorted(found, key=lambda event: (event.at, event.id))
        values = [event.value for event in of_series]
        value = {
            "Sum": Fraction(sum(values)),
            "Count": Fraction(len(values)),
            "Max": Fraction(max(values)),
            "Min": Fraction(min(values)),
            "Latest": Fraction(values[-1]),
            "Average": Fraction(sum(values), len(values)),
            "UniqueCount": Fraction(len({event.user for event in of_series})),
        }[meter.aggregation]
        if meter.window == "Period" and meter.aggregation not in ADDITIVE:
            value *= Fraction(*bound.get(int(str(project)), (1, 1)))
        total += value
    return total
