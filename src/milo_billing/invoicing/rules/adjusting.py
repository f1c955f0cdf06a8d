"""What late usage, voids of events and corrections change of an invoice that stands (domain.md §4). Pure.

The whole period is rated again at the versions that the invoice froze, over all of its lines with discounts, minimums
and shortfalls; what comes out is compared with what was charged and adjusted before. More is charged by an adjustment,
less is given back by a credit note; the change of a period is one amount, not one a line.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias
from uuid import UUID

from milo_billing.invoicing.types import DraftLine, InvoiceLine, LineKind
from milo_billing.kernel.money import allocate


@dataclass(frozen=True, slots=True, order=True)
class Charged:
    """What a line charges for: it is the same line where it has the same, whatever it comes to.

    `of` is the Sku's name or the commitment's uid as text.
    """

    kind: LineKind
    of: str
    first_day: date
    end_day: date


@dataclass(frozen=True, slots=True)
class Additional:
    """Δ > 0: what is charged in addition, by line, some of them perhaps less; before tax, in minor units."""

    lines: Mapping[Charged, int]
    total_minor: int


@dataclass(frozen=True, slots=True)
class GivenBack:
    """Δ < 0: what a credit note takes back, by line, each positive for a charge; before tax, in minor units.

    Only lines that came to less are in it, each with its part of what the period came to less.
    """

    lines: Mapping[Charged, int]
    total_minor: int


Change: TypeAlias = Additional | GivenBack | None
Carrier: TypeAlias = Literal["NextInvoice", "AdjustmentInvoice"]


def charged(line: DraftLine | InvoiceLine) -> Charged:
    """What the line charges for."""
    return Charged(line.kind, line.sku or _text(line.commitment), line.first_day, line.end_day)


def change_of(
    *,
    issued: Iterable[InvoiceLine],
    earlier: Iterable[Mapping[Charged, int]],
    now: Iterable[DraftLine | InvoiceLine],
) -> Change:
    """Δ = settled(now) − settled(issued + earlier Δ), over the whole period; None where it is zero.

    `earlier` are the changes that were charged or given back before, each by line with its sign: so asking again, or
    after another event, never charges one twice.
    """
    changes: dict[Charged, int] = {}
    for line in now:
        _add(changes, charged(line), line.net_minor)
    for line in issued:
        _add(changes, charged(line), -line.net_minor)
    for change in earlier:
        for key, minor in change.items():
            _add(changes, key, -minor)
    by_line = {key: minor for key, minor in sorted(changes.items()) if minor}
    total = sum(by_line.values())
    if total > 0:
        return Additional(by_line, total)
    if total < 0:
        return GivenBack(_less(by_line, -total), -total)
    return None


def signed(change: Change) -> Mapping[Charged, int]:
    """The change as one of `earlier`, once it was charged or given back."""
    match change:
        case Additional(lines=lines):
            return lines
        case GivenBack(lines=lines):
            return {key: -minor for key, minor in lines.items()}
        case None:
            return {}


def carrier_of(*, follows: bool) -> Carrier:
    """Where what is charged in addition stands: on the next periodic invoice, or alone where none follows, because
    the account was closed or pays by another one.
    """
    return "NextInvoice" if follows else "AdjustmentInvoice"


def _less(by_line: Mapping[Charged, int], total: int) -> dict[Charged, int]:
    """The total over the lines that came to less, in proportion: what others came to more is taken off it first."""
    weights = [(key, -minor) for key, minor in by_line.items() if minor < 0]
    return {key: minor for key, minor in allocate(total, weights).items() if minor}


def _add(changes: dict[Charged, int], key: Charged, minor: int) -> None:
    changes[key] = changes.get(key, 0) + minor


def _text(commitment: UUID | None) -> str:
    return "" if commitment is None else str(commitment)
