"""What percentages are taken of: the settled amounts of other Skus in the same rating (domain.md §5).

A line of which a percentage is taken is rated before it. Of a line that reaches beyond the days of the percentage, the
part counts that was used on them; where nothing was used, or a value of the whole period was, days count alike.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from fractions import Fraction
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

from milo_billing.pricing.rules.segments import Segment
from milo_billing.pricing.rules.splits import OWN
from milo_billing.pricing.types import RatedLine, UnableToRate

ByDay: TypeAlias = Mapping[date, int]
"""What was metered on each day; days without usage are missing."""


def rating_order(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The segments, each percentage after all that it is taken of. Raises UnableToRate where they go in a circle.

    The catalog publishes no such book; books of different owners can still meet in one.
    """
    by_sku: dict[str, list[Segment]] = {}
    graph: dict[str, set[str]] = {}
    for segment in segments:
        by_sku.setdefault(segment.sku.name, []).append(segment)
        graph.setdefault(segment.sku.name, set()).update(_base_names(segment))
    if not any(graph.values()):
        return tuple(segments)
    try:
        names = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = " of ".join(reversed(error.args[1]))
        raise UnableToRate(
            f"percentages are taken of one another: {circle}; publish a book in which a base leaves one of them out"
        ) from None
    return tuple(segment for name in names for segment in by_sku.get(name, ()))


def divided_segments(segments: Sequence[Segment]) -> frozenset[Segment]:
    """Of which segments a percentage takes a part only, so that their usage has to be known by day."""
    return frozenset(
        base
        for percentage in segments
        for base in _base_segments(percentage, segments)
        if not (percentage.first_day <= base.first_day and base.end_day <= percentage.end_day)
    )


def base_amounts(
    percentage: Segment, rated: Mapping[Segment, RatedLine], *, metered: Mapping[Segment, ByDay]
) -> dict[int, Fraction]:
    """What the percentage is taken of, by project, exact, in minor units; OWN is what is the account's own.

    `metered` is what was used by day, of the segments that `divided_segments` named and whose usage adds up.
    """
    amounts: dict[int, Fraction] = {}
    for base in _base_segments(percentage, rated):
        part = _part(base, percentage, metered.get(base, {}))
        if not part:
            continue
        for project, amount_minor in _by_project(rated[base]):
            amounts[project] = amounts.get(project, Fraction(0)) + amount_minor * part
    return amounts


def _base_names(segment: Segment) -> frozenset[str]:
    if segment.price.model != "Percentage":
        return frozenset()
    return segment.price.base - {segment.sku.name}


def _base_segments(percentage: Segment, segments: Iterable[Segment]) -> Iterator[Segment]:
    names = _base_names(percentage)
    if not names:
        return
    for segment in segments:
        if segment.sku.name in names:
            yield segment


def _by_project(line: RatedLine) -> Iterator[tuple[int, int]]:
    for share in line.shares:
        yield share.project, share.amount_minor
    yield OWN, line.own_minor


def _part(base: Segment, percentage: Segment, metered: ByDay) -> Fraction:
    """How much of the base falls on the days of the percentage, from 0 to 1."""
    first_day = max(base.first_day, percentage.first_day)
    end_day = min(base.end_day, percentage.end_day)
    if first_day >= end_day:
        return Fraction(0)
    if (first_day, end_day) == (base.first_day, base.end_day):
        return Fraction(1)
    whole = sum(max(used, 0) for used in metered.values())
    if not whole:
        return Fraction((end_day - first_day).days, (base.end_day - base.first_day).days)
    within = sum(max(used, 0) for day, used in metered.items() if first_day <= day < end_day)
    return Fraction(within, whole)
