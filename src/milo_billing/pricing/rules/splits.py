"""Split a settled line: to projects, and each project's share to its dimension sets (domain.md §2).

Largest remainder at each step, in proportion to what was metered, ties to the lower project number or
dimension set [CR-013..029]. Splitting step by step makes every cross-total agree.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias, TypeVar

from milo_billing.kernel.money import allocate
from milo_billing.pricing.types import Dimensions, DimensionShare, Metered, ProjectShare

Used: TypeAlias = Mapping[tuple[int, Dimensions], tuple[Metered, int]]
"""(project, dimension set) → (metered, events)."""

K = TypeVar("K", int, Dimensions)


def split_line(amount_minor: int, metered: Used) -> tuple[tuple[ProjectShare, ...], int]:
    """The projects' shares by project number, and what is the account's own because no project used anything.

    A project whose corrections outweigh its usage has weight zero, not less.
    """
    projects = {
        project: [(dimensions, *counts) for (_, dimensions), counts in rows]
        for project, rows in groupby(sorted(metered.items()), key=lambda row: row[0][0])
    }
    amounts = _allocate_used(
        amount_minor, [(project, sum(m for _, m, _ in rows)) for project, rows in projects.items()]
    )
    shares = tuple(_project_share(project, rows, amounts[project]) for project, rows in projects.items())
    return shares, amount_minor - sum(amounts.values())


def _project_share(
    project: int, rows: list[tuple[Dimensions, Metered, int]], amount_minor: int
) -> ProjectShare:
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
