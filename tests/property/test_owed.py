"""Whatever was used and given: parts and shares sum to their line, discounts leave nothing below zero."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.commitments.rules.composing import (
    Effect,
    Percentage,
    Reduction,
    composed_lines,
    inside_line,
    reduce_lines,
)
from milo_billing.commitments.types import ComposedLine, Scope
from milo_billing.invoicing.rules.drafts import draft
from milo_billing.invoicing.rules.postings import postings
from milo_billing.invoicing.types.drafts import Draft
from milo_billing.pricing.rules.percentages import discount_line, reduce_line
from milo_billing.pricing.types import RatedLine, SubLine
from tests.unit.invoicing.builders import rated, rated_line

NAMES = ("cpu", "disk", "gpu")
PERCENTS = st.decimals("0.01", "100", places=2)
SHARES = st.fractions(0, 1, max_denominator=31)


@st.composite
def lines(draw: st.DrawFn) -> tuple[RatedLine, ...]:
    """Up to three lines that projects share by what they used, or that are the account's own; some give back."""
    made: list[RatedLine] = []
    for name in NAMES[: draw(st.integers(1, 3))]:
        used = draw(st.dictionaries(st.integers(1, 4), st.integers(1, 10**6), max_size=4))
        if used:
            # a cent a unit: the shares are what was metered
            parts = SubLine("Usage", sum(used.values()), Fraction(1))
            made.append(rated_line(name, parts, shares={key: (one, one) for key, one in used.items()}))
        else:
            own = draw(st.integers(-(10**5), 10**6))
            made.append(rated_line(name, SubLine("Usage", own), own_minor=own))
    return tuple(made)


@st.composite
def reductions(draw: st.DrawFn) -> tuple[Reduction, ...]:
    """Discounts in the order in which they act: line scope first, percentages first."""
    found: list[Reduction] = []
    kinds: tuple[tuple[Scope, bool], ...] = (("Line", True), ("Invoice", False), ("Invoice", True))
    for number, (scope, fixed) in enumerate(kinds):
        for _ in range(draw(st.integers(0, 2))):
            shares: Mapping[int, Fraction] = (
                dict.fromkeys(draw(st.sets(st.integers(0, 2))), Fraction(1))
                if fixed
                else draw(st.dictionaries(st.integers(0, 2), SHARES))
            )
            percent = None if fixed else draw(PERCENTS)
            amount = draw(st.integers(1, 10**6)) if fixed else 0
            found.append(Reduction(UUID(int=number + 1), "off", percent, amount, shares, scope=scope))
    return tuple(found)


def composed(
    given: tuple[RatedLine, ...], percents: list[Decimal], off: tuple[Reduction, ...]
) -> tuple[ComposedLine, ...]:
    """As commitments compose them: percentages, fixed amounts inside the line, then what is off the invoice."""
    steps = tuple(
        (Percentage(UUID(int=9), "all", (dict.fromkeys(NAMES, one),)), Fraction(one)) for one in percents
    )
    effects = {line.sku.name: Effect(steps, (Fraction(1),)) for line in given}
    discounted = [discount_line(line, percents) for line in given]
    reached = [
        Reduction(
            one.source,
            one.name,
            one.percent,
            one.amount_minor,
            {index: share for index, share in one.shares.items() if index < len(given)},
            scope=one.scope,
        )
        for one in off
    ]
    taken = reduce_lines([line.amount_minor for line in discounted], reached)
    reduced = [
        reduce_line(line, [one.amount_minor for one in inside_line(found)])
        for line, found in zip(discounted, taken, strict=True)
    ]
    return composed_lines(reduced, effects, taken)


def assert_sums(whole: Draft) -> None:
    for line in whole.lines:
        assert sum(part.amount_minor for part in line.parts) == line.amount_minor
        assert sum(share.amount_minor for share in line.shares) == line.amount_minor
        inside = sum(one.amount_minor for one in line.discounts if one.scope == "Line")
        assert inside == sum(part.amount_minor for part in line.parts if part.kind == "Discount")
        before = line.amount_minor - inside
        assert 0 <= line.net_minor <= before or before <= line.net_minor <= 0
    assert whole.total_minor == sum(line.net_minor for line in whole.lines)
    assert whole.total_minor == whole.subtotal_minor + whole.discounts_minor
    assert whole.total_minor == sum(minor for _, minor, _ in postings(whole))


@given(found=lines(), percents=st.lists(PERCENTS, max_size=2), off=reductions())
def test_parts_shares_and_discounts_sum_and_no_line_goes_below_zero(
    found: tuple[RatedLine, ...], percents: list[Decimal], off: tuple[Reduction, ...]
) -> None:
    kept = composed(found, percents, off)
    # what gives back more than everything else comes to is refused, which is tested elsewhere
    floor = rated_line("zero", SubLine("Usage", 10**6), own_minor=10**6)
    whole = draft([rated(*kept, floor)])
    assert whole.total_minor >= 0
    assert_sums(whole)
