"""From rated lines to what is owed: commitment discounts and Discounts in one order (domain.md §6, §7).

Percentages of line scope come first, inside the line; then fixed amounts of line scope, then percentages and at last
fixed amounts of the whole invoice. Each takes from what the one before it left, never below zero, and what falls on
several lines is spread in proportion. A rating period in which something begins or ends is cut into slices of days, and
a percentage acts on the usage of its slices.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from uuid import UUID

from milo_billing.commitments.types import ComposedLine, Discount, Giver, Scope, Spend, TakenOff
from milo_billing.kernel.money import Currency, allocate, half_up, settle
from milo_billing.kernel.periods import DaySpan
from milo_billing.pricing.types import RatedLine


@dataclass(frozen=True, slots=True)
class Slice:
    """Days of a rating period, and what part of each Sku's price arose in them; over all slices the parts sum to 1."""

    days: DaySpan
    shares: Mapping[str, Fraction]


@dataclass(frozen=True, slots=True)
class Percentage:
    """What one source takes off: for each slice, the percentage of every Sku that it discounts there."""

    source: UUID
    name: str
    percents: tuple[Mapping[str, Decimal], ...]
    by: Giver = "Discount"
    title: str = ""


@dataclass(frozen=True, slots=True)
class Effect:
    """What percentages come to on one Sku over the whole period.

    `off` has a percentage of the line for each source, one after the other; `weights` says how what is left is
    distributed over the slices.
    """

    off: tuple[tuple[Percentage, Fraction], ...]
    weights: tuple[Fraction, ...]


def cuts(days: DaySpan, borders: Iterable[date | None]) -> tuple[DaySpan, ...]:
    """The days, cut at every border that lies within them."""
    inner = {border for border in borders if border is not None and days.start < border < days.end}
    return tuple(DaySpan(start, end) for start, end in pairwise([days.start, *sorted(inner), days.end]))


def slices(spans: Sequence[DaySpan], until: Sequence[Mapping[str, int]]) -> tuple[Slice, ...]:
    """`until` says what each Sku came to from the period's start to the end of each span, before discounts.

    A price whose total falls while usage grows (volume) gives everything to the slices in which it rose. What costs
    nothing is shared out by days.
    """
    total = until[-1]
    whole = DaySpan(spans[0].start, spans[-1].end).count
    shares: list[dict[str, Fraction]] = [{} for _ in spans]
    for sku, minor in total.items():
        reached = Fraction(0)
        for index, span in enumerate(spans):
            if minor > 0:
                cumulated = min(max(Fraction(until[index].get(sku, 0), minor), reached), Fraction(1))
            else:
                cumulated = reached + Fraction(span.count, whole)
            shares[index][sku] = cumulated - reached
            reached = cumulated
    return tuple(Slice(span, share) for span, share in zip(spans, shares, strict=True))


def effect(percentages: Sequence[Percentage], slices: Sequence[Slice], sku: str) -> Effect:
    """What the percentages come to on the Sku; those that do not touch it are left out."""
    weights = tuple(slice_.shares[sku] for slice_ in slices)
    left = sum(weights, Fraction(0))
    off: list[tuple[Percentage, Fraction]] = []
    for percentage in percentages:
        if not any(sku in percents for percents in percentage.percents):
            continue
        weights = tuple(
            weight * (1 - Fraction(percents.get(sku, Decimal(0))) / 100)
            for weight, percents in zip(weights, percentage.percents, strict=True)
        )
        now_left = sum(weights, Fraction(0))
        off.append((percentage, (1 - now_left / left) * 100 if left else Fraction(0)))
        left = now_left
    return Effect(tuple(off), weights)


# ------------------------------------------------------------------------------------------------- amounts


@dataclass(frozen=True, slots=True)
class Reduction:
    """An amount off several lines: `percent` of what they come to, or `amount_minor` at most.

    `shares` says which part of each line it acts on, by the line's position.
    """

    source: UUID
    name: str
    percent: Decimal | None
    amount_minor: int
    shares: Mapping[int, Fraction]
    scope: Scope = "Invoice"
    title: str = ""


def reduce_lines(nets: Sequence[int], reductions: Sequence[Reduction]) -> tuple[tuple[TakenOff, ...], ...]:
    """What is taken off each line, in the order of the reductions; a line never goes below zero [CM-050..056].

    A line that gives money back stands below zero from the start: a percentage makes it smaller too, as it did when the
    line was charged, and a fixed amount leaves it alone.
    """
    left = list(nets)
    taken: list[list[TakenOff]] = [[] for _ in nets]
    for reduction in reductions:
        base = {
            index: half_up(left[index] * share.numerator, share.denominator)
            for index, share in reduction.shares.items()
        }
        charged = {index: minor for index, minor in base.items() if minor >= 0}
        returned = {index: -minor for index, minor in base.items() if minor < 0}
        off = allocate(_off_minor(reduction, sum(charged.values())), list(charged.items()))
        if reduction.percent is not None:
            off |= allocate(-_off_minor(reduction, sum(returned.values())), list(returned.items()))
        for index, part_minor in off.items():
            left[index] -= part_minor
            taken[index].append(_taken_off(reduction, reduction.shares[index], -part_minor))
    return tuple(map(tuple, taken))


def _off_minor(reduction: Reduction, total_minor: int) -> int:
    if reduction.percent is None:
        return min(reduction.amount_minor, total_minor)
    numerator, denominator = reduction.percent.as_integer_ratio()
    return half_up(total_minor * numerator, 100 * denominator)


def _taken_off(reduction: Reduction, share: Fraction, amount_minor: int) -> TakenOff:
    return TakenOff(
        source=reduction.source,
        name=reduction.name,
        percent=reduction.percent,
        share=share,
        amount_minor=amount_minor,
        scope=reduction.scope,
        title=reduction.title,
    )


def in_order(discounts: Iterable[Discount]) -> tuple[Discount, ...]:
    """Line scope before invoice scope, percentages before fixed amounts, then by start and uid."""
    return tuple(
        sorted(
            discounts,
            key=lambda one: (one.scope == "Invoice", one.percent is None, one.starts_on, one.uid),
        )
    )


def reduction_of(discount: Discount, shares: Mapping[int, Fraction], *, currency: Currency) -> Reduction:
    """A discount that acts on settled lines. A fixed amount acts on whole lines, in each period it touches."""
    fixed = discount.percent is None
    return Reduction(
        source=discount.uid,
        name=discount.name,
        percent=discount.percent,
        amount_minor=0 if discount.amount is None else settle(discount.amount, currency).minor,
        shares=dict.fromkeys(shares, Fraction(1)) if fixed else shares,
        scope=discount.scope,
        title=discount.description,
    )


# ---------------------------------------------------------------------------------------------- composition


def composed_lines(
    lines: Sequence[RatedLine], effects: Mapping[str, Effect], taken: Sequence[Sequence[TakenOff]]
) -> tuple[ComposedLine, ...]:
    """The lines with who gave what: they hold the effects, and what line scope takes off, among their parts already."""
    return tuple(
        ComposedLine(
            line=line,
            inside=(*_explained(line, effects.get(line.sku.name)), *inside_line(off)),
            taken=tuple(one for one in off if one.scope == "Invoice"),
        )
        for line, off in zip(lines, taken, strict=True)
    )


def inside_line(taken: Sequence[TakenOff]) -> tuple[TakenOff, ...]:
    """What of it becomes a part of the line."""
    return tuple(one for one in taken if one.scope == "Line" and one.amount_minor)


def _explained(line: RatedLine, found: Effect | None) -> tuple[TakenOff, ...]:
    if found is None:
        return ()
    minors = [part.amount_minor for part in line.parts if part.kind == "Discount"]
    explained: list[TakenOff] = []
    # fixed amounts follow behind the percentages
    for (percentage, off), minor in zip(found.off, minors[: len(found.off)], strict=True):
        stated = _only(percentage, line.sku.name)
        explained.append(
            TakenOff(
                source=percentage.source,
                name=percentage.name,
                percent=stated,
                share=off / Fraction(stated) if stated else Fraction(1),
                amount_minor=minor,
                by=percentage.by,
                title=percentage.title,
            )
        )
    return tuple(explained)


def _only(percentage: Percentage, sku: str) -> Decimal | None:
    """The percentage, where it is the same in all slices in which there is one."""
    found = {percents[sku] for percents in percentage.percents if sku in percents}
    return next(iter(found)) if len(found) == 1 else None


def spends(
    lines: Sequence[ComposedLine], slices: Sequence[Slice], effects: Mapping[str, Effect]
) -> tuple[Spend, ...]:
    """What was spent on each Sku in each slice; over the slices it sums to what the lines come to."""
    by_slice: list[dict[str, int]] = [{} for _ in slices]
    for line in lines:
        sku = line.line.sku.name
        weights = effects[sku].weights
        if not any(weights):
            weights = tuple(slice_.shares[sku] for slice_ in slices)
        for index, minor in allocate(line.net_minor, list(enumerate(weights))).items():
            by_slice[index][sku] = by_slice[index].get(sku, 0) + minor
    return tuple(Spend(one.days, found) for one, found in zip(slices, by_slice, strict=True))
