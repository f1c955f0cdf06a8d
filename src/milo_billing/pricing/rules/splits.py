"""Split a settled line: to projects, and each project's share to its dimension sets (domain.md §2).

Largest remainder at each step, in proportion to what was metered, ties to the lower project number or
dimension set [CR-013..029]. Splitting step by step makes every cross-total agree.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import groupby
from operator import itemgetter
from typing import Final, TypeAlias, TypeVar

from milo_billing.kernel.money import allocate
from milo_billing.pricing.types import Dimensions, DimensionShare, Metered, ProjectShare

Used: TypeAlias = Mapping[tuple[int, Dimensions], tuple[Metered, int]]
"""(project, dimension set) → (metered, events)."""

K = TypeVar("K", int, Dimensions)

OWN: Final = 0
"""Stands for the account itself among projects, whose numbers begin at 1."""


def split_line(
    amount_minor: int, metered: Used, *, weights: Mapping[int, Fraction] | None = None
) -> tuple[tuple[ProjectShare, ...], int]:
    """The projects' shares by project number, and what is the account's own because no project used anything.

    A project whose corrections outweigh its usage has weight zero, not less. `weights` stand in for what was metered,
    where they are not all zero: a percentage is divided as what it was taken of, by project and OWN.
    """
    weighted = weights is not None and any(weights.values())
    if weights is not None and weighted:
        missing = weights.keys() - {project for project, _ in metered} - {OWN}
        metered = {**metered, **{(project, ()): (0, 0) for project in missing}}
    projects = {
        project: [(dimensions, *counts) for (_, dimensions), counts in rows]
        for project, rows in groupby(sorted(metered.items()), key=lambda row: row[0][0])
    }
    if weights is not None and weighted:
        amounts = allocate(amount_minor, [(key, weights.get(key, Fraction(0))) for key in (*projects, OWN)])
        own_minor = amounts.pop(OWN)
    else:
        used = [(project, sum(m for _, m, _ in rows)) for project, rows in projects.items()]
        amounts = _allocate_used(amount_minor, used)
        own_minor = amount_minor - sum(amounts.values())
    return tuple(_project_share(key, rows, amounts[key]) for key, rows in projects.items()), own_minor


def _project_share(
    project: int, rows: list[tuple[Dimensions, Metered, int]], amount_minor: int
) -> ProjectShare:
    if amount_minor and not any(metered > 0 for _, metered, _ in rows):
        # its share is of what it used elsewhere: no dimension set has more to do with it than another
        amounts = allocate(amount_minor, [(dimensions, 1) for dimensions, _, _ in rows])
    else:
        amounts = _allocate_used(amount_minor, [(dimensions, metered) for dimensions, metered, _ in rows])
    return ProjectShare(
        project=project,
        metered=sum(map(itemgetter(1), rows)),
        events=sum(map(itemgetter(2), rows)),
        amount_minor=amount_minor,
        dimensions=tuple(
            DimensionShare(dimensions, metered, events, amounts[dimensions])
            for dimensions, metered, events in rows
        ),
    )


def _allocate_used(amount_minor: int, used: Iterable[tuple[K, Metered]]) -> dict[K, int]:
    """Allocate in proportion to usage; nobody gets anything where nobody used anything."""
    weights = [(key, max(metered, 0)) for key, metered in used]
    if not any(weight for _, weight in weights):
        return {key: 0 for key, _ in weights}
    if len(weights) == 1:
        return {weights[0][0]: amount_minor}
    return allocate(amount_minor, weights)
