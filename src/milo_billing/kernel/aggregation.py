"""How the events of a meter become one quantity: seven aggregations over parts that can be merged (domain.md §4).

Owns: the algebra of one series. What a series and a window are, and which events are in them, is the caller's business.
Values are exact: integers in, fractions out. Merging is associative and commutative, so neither the order of arrival
nor the way in which events were grouped can matter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final, Literal, TypeAlias, assert_never
from uuid import UUID

Aggregation: TypeAlias = Literal["Sum", "Max", "Min", "Count", "UniqueCount", "Latest", "Average"]
Window: TypeAlias = Literal["Period", "Day"]
"""How long a series gathers before its value is taken: a rating period, or a billing day."""

ADDITIVE: Final[frozenset[Aggregation]] = frozenset({"Sum", "Count"})
"""Aggregations whose parts add up to the whole, however it is divided. No window and no series changes their total."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What some events come to: a row of the roll-up, or several rows merged.

    `last` is the value of the latest event, by event time, then id. Without events (corrections add to `sum` alone, and
    voids can take the only event away) what `min`, `max` and `last` say does not count.
    """

    sum: int
    count: int
    min: int | None = None
    max: int | None = None
    last: int | None = None
    last_at: datetime | None = None
    last_id: UUID | None = None


NOTHING: Final = Figures(0, 0)


def merged(parts: Iterable[Figures]) -> Figures:
    """The figures of all the events behind these parts, each of which is in one part only."""
    total = count = 0
    low: int | None = None
    high: int | None = None
    last: int | None = None
    newest: tuple[datetime, UUID] | None = None
    for part in parts:
        total += part.sum
        count += part.count
        if part.count <= 0:
            continue
        if part.min is not None and (low is None or part.min < low):
            low = part.min
        if part.max is not None and (high is None or part.max > high):
            high = part.max
        if part.last_at is not None and part.last_id is not None:
            at = part.last_at, part.last_id
            if newest is None or at > newest:
                newest, last = at, part.last
    last_at, last_id = newest or (None, None)
    return Figures(total, count, low, high, last, last_at, last_id)


def value(aggregation: Aggregation, figures: Figures, *, distinct: int = 0) -> int | Fraction:
    """The value of one series in one window, exact. `distinct` is how many different keys its events had.

    A window without events is 0 in every aggregation: nothing is carried over from an earlier one.
    """
    match aggregation:
        case "Sum":
            return figures.sum
        case "Count":
            return figures.count
        case "Max":
            return figures.max or 0
        case "Min":
            return figures.min or 0
        case "Latest":
            return figures.last or 0
        case "Average":
            return Fraction(figures.sum, figures.count) if figures.count > 0 else 0
        case "UniqueCount":
            return distinct
        case _:
            assert_never(aggregation)


def is_prorated(aggregation: Aggregation, window: Window) -> bool:
    """Whether the value counts for a whole period, so that a payer of some of its days owes that part of it."""
    return window == "Period" and aggregation not in ADDITIVE
