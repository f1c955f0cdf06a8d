"""One usage rated twice: as everything stands, and as it would be; and whose every amount is."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import chain
from typing import Protocol, TypeVar
from uuid import UUID

from milo_billing.commitments.types import (
    Compared,
    ComposedPeriod,
    Simulation,
    WhatIf,
)
from milo_billing.pricing.types import Unpriced, UnpricedSku


class _Identified(Protocol):
    @property
    def uid(self) -> UUID: ...


T = TypeVar("T", bound=_Identified)
K = TypeVar("K", bound=Hashable)


def changed(own: Iterable[T], added: Iterable[T], what_if: WhatIf) -> tuple[T, ...]:
    """The account's own without those left out, then what is added: it is accepted last."""
    return (*(one for one in own if one.uid not in what_if.without), *added)


def compare(today: Sequence[ComposedPeriod], simulated: Sequence[ComposedPeriod]) -> Simulation:
    """Both ratings of the same consecutive periods, side by side. The largest differences come first, then by name."""
    first = today[0]
    sides = today, simulated
    return Simulation(
        account=first.account,
        currency=first.currency,
        closed=all(period.closed for period in today),
        periods=tuple(
            Compared(one.period, one.total.minor, other.total.minor)
            for one, other in zip(today, simulated, strict=True)
        ),
        skus=_side_by_side([_by_sku(side) for side in sides], name=str),
        projects=_side_by_side([_by_project(side) for side in sides], name=_project_order),
        charges=_side_by_side([_by_charge(side) for side in sides], name="/".join),
        total=Compared(None, *(sum(period.total.minor for period in side) for side in sides)),
        unpriced=(_unpriced(today), _unpriced(simulated)),
        unpriced_skus=(_unpriced_skus(today), _unpriced_skus(simulated)),
    )


def _project_order(project: int | None) -> str:
    return "" if project is None else f"{project:020d}"


def _by_sku(periods: Iterable[ComposedPeriod]) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in chain.from_iterable(period.lines for period in periods):
        found[line.line.sku.name] += line.net_minor
    return found


def _by_project(periods: Iterable[ComposedPeriod]) -> Counter[int | None]:
    found: Counter[int | None] = Counter()
    for line in chain.from_iterable(period.lines for period in periods):
        found.update(line.net_shares)
    return found


def _by_charge(periods: Iterable[ComposedPeriod]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for charge in chain.from_iterable(period.charges for period in periods):
        found[charge.kind, charge.name] += charge.amount_minor
    return found


def _side_by_side(sides: Sequence[Counter[K]], *, name: Callable[[K], str]) -> tuple[Compared[K], ...]:
    before, after = sides
    rows = [Compared(key, before[key], after[key]) for key in before.keys() | after.keys()]
    return tuple(sorted(rows, key=lambda row: (-abs(row.difference_minor), name(row.of))))


def _unpriced(periods: Iterable[ComposedPeriod]) -> tuple[Unpriced, ...]:
    return tuple(chain.from_iterable(period.unpriced for period in periods))


def _unpriced_skus(periods: Iterable[ComposedPeriod]) -> tuple[UnpricedSku, ...]:
    return tuple(chain.from_iterable(period.unpriced_skus for period in periods))
