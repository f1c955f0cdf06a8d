"""The end of the order inside a line: percentages off, then maximum, then minimum (domain.md §5) [PM-121..127].

Each step is a settled part of its own. `discount_line` does it to a line that was rated without percentages: what a
commitment or a discount takes off is known to those who chose it, above pricing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from milo_billing.kernel.money import Exact, half_up, settle
from milo_billing.pricing.rules.fx import settle_converted
from milo_billing.pricing.rules.splits import OWN, split_line
from milo_billing.pricing.types import Dimensions, Metered, RatedLine, SubLine

_BOUNDS = ("Maximum", "Minimum")


def take_off(parts: Sequence[SubLine], percents: Sequence[Exact]) -> tuple[SubLine, ...]:
    """The parts with one Discount for each percentage, in order, each of what the one before it left.

    Percentages are within 0..100, in any exact number; a part that takes off nothing is there all the same.
    """
    left = sum(part.amount_minor for part in parts)
    taken: list[SubLine] = []
    for percent in percents:
        numerator, denominator = percent.as_integer_ratio()
        if not 0 <= numerator <= 100 * denominator:
            raise ValueError(f"{percent} percent is not within 0..100")
        off = half_up(left * numerator, 100 * denominator)
        taken.append(SubLine("Discount", -off))
        left -= off
    return (*parts, *taken)


def bound(
    parts: Sequence[SubLine], *, maximum_minor: int | None, minimum_minor: int | None
) -> tuple[SubLine, ...]:
    """The parts with what the cap takes off and what the floor adds."""
    parts = tuple(parts)
    amount = sum(part.amount_minor for part in parts)
    if maximum_minor is not None and amount > maximum_minor:
        parts = (*parts, SubLine("Maximum", maximum_minor - amount))
        amount = maximum_minor
    if minimum_minor is not None and amount < minimum_minor:
        parts = (*parts, SubLine("Minimum", minimum_minor - amount))
    return parts


def discount_line(line: RatedLine, percents: Sequence[Exact]) -> RatedLine:
    """The line as it would have been rated with these percentages off; its shares are split anew.

    Of a line that was converted they come off what it was converted to, and the price's bounds are converted.
    """
    if not percents:
        return line
    parts = bound(
        take_off([part for part in line.parts if part.kind not in _BOUNDS], percents),
        maximum_minor=_cap(line),
        minimum_minor=_floor(line),
    )
    return _with_parts(line, parts)


def reduce_line(line: RatedLine, amounts_minor: Sequence[int]) -> RatedLine:
    """The line with fixed amounts off, each a Discount behind the bounds; its shares are split anew.

    Amounts are zero or negative and leave the line at zero or above; they are whoever's who chose them.
    """
    if not amounts_minor:
        return line
    return _with_parts(line, (*line.parts, *(SubLine("Discount", minor) for minor in amounts_minor)))


def _with_parts(line: RatedLine, parts: tuple[SubLine, ...]) -> RatedLine:
    amount_minor = sum(part.amount_minor for part in parts)
    shares, own_minor = split_line(amount_minor, _metered(line), weights=_weights(line))
    return replace(line, parts=parts, amount_minor=amount_minor, shares=shares, own_minor=own_minor)


def _weights(line: RatedLine) -> Mapping[int, Fraction] | None:
    """A percentage of other lines stays divided as its base was; every other line is by what was metered."""
    if line.price.model != "Percentage":
        return None
    weights = {share.project: Fraction(max(share.amount_minor, 0)) for share in line.shares}
    return {**weights, OWN: Fraction(max(line.own_minor, 0))}


def _cap(line: RatedLine) -> int | None:
    """What the maximum has held the line to; one that did not hold it before cannot hold what is less."""
    if all(part.kind != "Maximum" for part in line.parts):
        return None
    return sum(part.amount_minor for part in line.parts if part.kind != "Minimum")


def _floor(line: RatedLine) -> int | None:
    """The price's minimum in the line's currency; it was said in the book's."""
    minimum = line.price.minimum
    if minimum is None:
        return None
    if line.conversion is None:
        return settle(minimum, line.currency).minor
    return settle_converted(minimum, line.conversion.rate)


def _metered(line: RatedLine) -> Mapping[tuple[int, Dimensions], tuple[Metered, int]]:
    return {
        (share.project, part.dimensions): (part.metered, part.events)
        for share in line.shares
        for part in share.dimensions
    }
