"""Whose every amount is: shares sum to the net and the tables of a simulation to its total, whatever was discounted."""

from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.commitments.rules.comparing import compare
from milo_billing.commitments.rules.composing import Reduction, reduce_lines
from milo_billing.commitments.types import CommitmentCharge, ComposedLine, ComposedPeriod
from milo_billing.kernel.periods import DaySpan, billing_month
from milo_billing.pricing.types import RatedLine
from tests.property.test_pricing import prices, usage_rows
from tests.unit.pricing.builders import FIRST_DAY, book, card, rate_october

PERIOD = billing_month(FIRST_DAY.year, FIRST_DAY.month, zone="UTC")
DAYS = DaySpan(FIRST_DAY, FIRST_DAY.replace(month=FIRST_DAY.month + 1))
reductions = st.lists(st.tuples(st.none() | st.decimals(0, 100, places=2), st.integers(0, 10**6)), max_size=3)


@st.composite
def rated(draw: st.DrawFn) -> tuple[RatedLine, ...]:
    """October at any price of one Sku."""
    return rate_october(draw(usage_rows), card([book(draw(prices()))])).lines


def composed(
    lines: tuple[RatedLine, ...], off: list[tuple[Decimal | None, int]], charge: int
) -> ComposedPeriod:
    """The lines less discounts on the whole invoice, and what a commitment charges."""
    wanted = [
        Reduction(
            UUID(int=number), "off", percent, minor, {index: Fraction(1) for index, _ in enumerate(lines)}
        )
        for number, (percent, minor) in enumerate(off)
    ]
    taken = reduce_lines([line.amount_minor for line in lines], wanted)
    return ComposedPeriod(
        account=1,
        period=PERIOD,
        closed=True,
        currency="USD",
        lines=tuple(ComposedLine(line, (), one) for line, one in zip(lines, taken, strict=True)),
        charges=(CommitmentCharge("Shortfall", UUID(int=9), "yearly", DAYS, charge, "standard"),),
        unpriced=(),
    )


@given(lines=rated(), off=reductions)
def test_what_projects_owe_sums_to_the_line(
    lines: tuple[RatedLine, ...], off: list[tuple[Decimal | None, int]]
) -> None:
    for line in composed(lines, off, 0).lines:
        assert sum(line.net_shares.values()) == line.net_minor
        assert all(minor >= 0 for minor in line.net_shares.values())


@given(before=rated(), after=rated(), off=reductions, charge=st.integers(0, 10**9))
def test_every_table_of_a_simulation_sums_to_its_total(
    before: tuple[RatedLine, ...],
    after: tuple[RatedLine, ...],
    off: list[tuple[Decimal | None, int]],
    charge: int,
) -> None:
    today, other = composed(before, [], charge), composed(after, off, 0)
    found = compare([today], [other])
    for table in (found.skus, found.projects):
        rows = (*table, *found.charges)
        assert sum(row.today_minor for row in rows) == found.total.today_minor == today.total.minor
        assert sum(row.simulated_minor for row in rows) == found.total.simulated_minor == other.total.minor
    same = compare([other], [other])
    assert not any(row.difference_minor for row in (*same.skus, *same.projects, *same.charges))
    assert not same.total.difference_minor
