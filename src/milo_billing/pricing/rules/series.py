"""From rows of the roll-up to what was metered: series, windows, the value of each, and whose it is (domain.md §4).

A series is a project, split further by the meter's `seriesBy` dimensions. Its value is taken once a period or once a
day, over all of its other dimensions; the charged quantity is the sum. Sum and Count need none of this: their parts add
up however they are divided, and `lines` adds them as they come.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import TypeAlias

from milo_billing.catalog.types import Meter
from milo_billing.kernel.aggregation import is_prorated, merged, value
from milo_billing.pricing.types import Cell, CountDistinct, Dimensions, Metered, UsageQuantity

Tally: TypeAlias = dict[tuple[int, Dimensions], tuple[Metered, int]]
"""(project, dimension set) → (metered, events)."""

Series: TypeAlias = tuple[int, tuple[str | None, ...], date | None]
"""Project, values of the `seriesBy` dimensions (None where an event has none), and the day of a daily window."""

Rows: TypeAlias = list[UsageQuantity]


def tally_series(
    rows: Iterable[UsageQuantity],
    *,
    meter: Meter,
    bound: Mapping[int, tuple[int, int]],
    distinct: CountDistinct,
) -> Tally:
    """What these rows of one meter come to, by project and dimension set; the sum is the charged quantity, exact.

    A series' value is spread over its dimension sets in proportion to what each would have come to alone: that is the
    share by which a line is split. `bound` prorates values of a whole period by the days on which the account pays for
    the project; a project that it does not name is the account's on all of them.
    """
    windows = _windows(rows, meter)
    values = _values(windows, meter=meter, distinct=distinct)
    tally: Tally = {}
    for ((project, _, _), sets), (whole, alone) in zip(windows.items(), values, strict=True):
        if is_prorated(meter.aggregation, meter.window):
            days, of_days = bound.get(project, (1, 1))
            whole *= Fraction(days, of_days)
        for (dimensions, rows_of), part in zip(sets.items(), _spread(whole, alone), strict=True):
            metered, events = tally.get((project, dimensions), (0, 0))
            tally[project, dimensions] = (metered + part, events + sum(row.figures.count for row in rows_of))
    return tally


def _windows(rows: Iterable[UsageQuantity], meter: Meter) -> dict[Series, dict[Dimensions, Rows]]:
    """Rows by series and window, and within these by dimension set."""
    windows: dict[Series, dict[Dimensions, Rows]] = {}
    for row in rows:
        labels = dict(row.dimensions)
        split = tuple(labels.get(name) for name in meter.series_by)
        series = (row.project, split, row.day if meter.window == "Day" else None)
        windows.setdefault(series, {}).setdefault(row.dimensions, []).append(row)
    return windows


def _values(
    windows: Mapping[Series, Mapping[Dimensions, Rows]], *, meter: Meter, distinct: CountDistinct
) -> list[tuple[Metered, list[Metered]]]:
    """Of each window its value, and what each of its dimension sets would come to alone."""
    groups = [
        [[row for rows in sets.values() for row in rows], *(list(rows) for rows in sets.values())]
        for sets in windows.values()
    ]
    if meter.aggregation == "UniqueCount":
        counts = iter(distinct([_cell(rows) for group in groups for rows in group]))
        found: list[list[Metered]] = [[next(counts) for _ in group] for group in groups]
    else:
        found = [
            [value(meter.aggregation, merged(row.figures for row in rows)) for rows in group]
            for group in groups
        ]
    return [(whole, alone) for whole, *alone in found]


def _cell(rows: Sequence[UsageQuantity]) -> Cell:
    if not all(row.row for row in rows):
        raise ValueError("the distinct keys of usage are counted by the rows of the roll-up: name them")
    return tuple(row.row for row in rows if row.row is not None)


def _spread(whole: Metered, alone: Sequence[Metered]) -> list[Metered]:
    """The value divided in proportion to these, of which those count that have its sign; it adds up exactly.

    Where the whole is not zero, one of them has its sign, in every aggregation.
    """
    if len(alone) == 1:
        return [whole]
    weights = [max(part, 0) if whole > 0 else max(-part, 0) for part in alone]
    total = sum(weights)
    if not total:
        return [0] * len(alone)
    return [whole * Fraction(weight) / total for weight in weights]
