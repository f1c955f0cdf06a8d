"""Promises: charged once whatever is repeated, late usage lowers what was missing, parts sum, order does not matter."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.commitments.rules.composing import Reduction, reduce_lines
from milo_billing.commitments.rules.intervals import intervals, prorated_minor, terms
from milo_billing.commitments.rules.settling import draw_down
from milo_billing.commitments.types import Interval, MinimumSpend, Promise, Spend
from milo_billing.kernel.periods import add_months
from tests.unit.commitments.builders import promise, settle, spend

DAYS = st.dates(date(2024, 1, 1), date(2030, 12, 31))
INTERVALS: st.SearchStrategy[Interval] = st.sampled_from(["Monthly", "Quarterly", "Yearly", "Term"])
AMOUNTS = st.integers(0, 10**7)


@st.composite
def promises(draw: st.DrawFn) -> Promise:
    """Terms of up to two years with one to three minimums; some end early."""
    start, months = draw(DAYS), draw(st.integers(1, 24))
    full = add_months(start, months)
    end = draw(st.just(full) | st.dates(date.fromordinal(start.toordinal() + 1), full))
    minimums = draw(st.lists(st.tuples(AMOUNTS, INTERVALS), min_size=1, max_size=3))
    return promise(
        *(MinimumSpend(Decimal(amount) / 100, interval) for amount, interval in minimums),
        starts_on=start,
        term_months=months,
        ends_on=end,
    )


def daily(wanted: Promise, amounts: list[int]) -> list[Spend]:
    """The amounts on days of the term, spread over it."""
    assert wanted.ends_on is not None
    first, count = wanted.starts_on.toordinal(), (wanted.ends_on - wanted.starts_on).days
    days = [first + index * count // max(len(amounts), 1) for index in range(len(amounts))]
    return [
        spend(date.fromordinal(day), date.fromordinal(day + 1), amount)
        for day, amount in zip(days, amounts, strict=True)
    ]


@given(wanted=promises(), interval=INTERVALS, invoice_day=st.integers(1, 28))
def test_intervals_tile_the_term_and_their_minimums_sum_to_whole_ones(
    wanted: Promise, interval: Interval, invoice_day: int
) -> None:
    assert wanted.ends_on is not None
    (term,) = terms(wanted, until=wanted.ends_on)
    parts = intervals(term, interval, invoice_day=invoice_day)
    assert parts[0].days.start == term.days.start
    assert parts[-1].days.end == term.days.end
    assert all(one.days.end == other.days.start for one, other in pairwise(parts))
    assert all(one.full.holds(one.days) for one in parts)
    for one in parts:
        whole = prorated_minor(Decimal(1000), one, currency="USD")
        assert whole == 100_000 if one.days == one.full else 0 <= whole < 100_000


@given(
    wanted=promises(), amounts=st.lists(AMOUNTS, max_size=8), invoice_day=st.integers(1, 28), data=st.data()
)
def test_settling_is_a_function_of_the_spend_whatever_its_order(
    wanted: Promise, amounts: list[int], invoice_day: int, data: st.DataObject
) -> None:
    assert wanted.ends_on is not None
    spends = daily(wanted, amounts)
    once = settle(wanted, spends, until=wanted.ends_on, invoice_day=invoice_day)
    again = settle(wanted, data.draw(st.permutations(spends)), until=wanted.ends_on, invoice_day=invoice_day)
    assert once == again
    keys = [(one.minimum, one.part.days) for one in once]
    assert len(keys) == len(set(keys)), "one shortfall an interval"


@given(
    wanted=promises(),
    amounts=st.lists(AMOUNTS, min_size=1, max_size=8),
    late=AMOUNTS,
    invoice_day=st.integers(1, 28),
)
def test_late_usage_lowers_the_shortfall_by_what_it_costs_and_never_below_nothing(
    wanted: Promise, amounts: list[int], late: int, invoice_day: int
) -> None:
    """What is owed in all, usage and shortfalls, is the larger of both: it changes by f(total) - f(billed)."""
    assert wanted.ends_on is not None
    single = promise(
        wanted.minimums[0],
        starts_on=wanted.starts_on,
        term_months=wanted.term_months,
        ends_on=wanted.ends_on,
    )
    before = daily(single, amounts)
    after = [*before, Spend(before[0].days, {"requests": late})]
    was, now = (
        settle(single, given, until=wanted.ends_on, invoice_day=invoice_day) for given in (before, after)
    )
    for one, other in zip(was, now, strict=True):
        reached = late if one.part.days.holds(before[0].days) else 0
        lowered = min(reached, one.settlement.shortfall_minor)
        assert other.settlement.shortfall_minor == one.settlement.shortfall_minor - lowered
        assert other.settlement.spent_minor + other.settlement.shortfall_minor == max(
            other.settlement.minimum_minor, other.settlement.spent_minor
        )


@given(wanted=promises(), amounts=st.lists(AMOUNTS, max_size=8), invoice_day=st.integers(1, 28))
def test_every_minimum_is_met_by_usage_and_shortfalls_together(
    wanted: Promise, amounts: list[int], invoice_day: int
) -> None:
    """Nested minimums never make anybody pay twice: what is charged in all is within the sum of the shortfalls."""
    assert wanted.ends_on is not None
    spends = daily(wanted, amounts)
    settled = settle(wanted, spends, until=wanted.ends_on, invoice_day=invoice_day)
    for one in settled:
        inside = sum(s.on(None) for s in spends if one.part.days.holds(s.days))
        assert one.settlement.spent_minor == inside + one.paid_minor
        assert one.settlement.spent_minor + one.charged_minor >= one.settlement.minimum_minor
        shorter = sum(other.charged_minor for other in settled if one.part.days.holds(other.part.days))
        assert one.paid_minor <= shorter


@given(balance=AMOUNTS, charges=st.lists(AMOUNTS, max_size=20))
def test_prepaid_money_is_drawn_once_and_never_more_than_there_is(balance: int, charges: list[int]) -> None:
    drawn = draw_down(balance, charges)
    assert sum(drawn) == min(balance, sum(charges))
    assert all(0 <= taken <= charge for taken, charge in zip(drawn, charges, strict=True))


@given(balance=AMOUNTS, charges=st.lists(st.integers(-(10**6), 10**6), max_size=20))
def test_of_prepaid_money_no_more_comes_back_than_was_drawn(balance: int, charges: list[int]) -> None:
    drawn = draw_down(balance, charges)
    for end in range(len(charges) + 1):
        assert 0 <= sum(drawn[:end]) <= min(balance, sum(max(one, 0) for one in charges[:end]))
    assert all(
        min(charge, 0) <= taken <= max(charge, 0) for taken, charge in zip(drawn, charges, strict=True)
    )


@given(
    nets=st.lists(st.integers(0, 10**9), min_size=1, max_size=8),
    steps=st.lists(st.decimals(0, 100, places=3) | st.integers(0, 10**9), max_size=5),
    data=st.data(),
)
def test_discounts_leave_no_line_below_nothing_and_their_parts_sum(
    nets: list[int], steps: list[Decimal | int], data: st.DataObject
) -> None:
    whole = {
        index: data.draw(st.fractions(0, 1, max_denominator=100)) if data.draw(st.booleans()) else Fraction(1)
        for index in range(len(nets))
    }
    reductions = [
        Reduction(UUID(int=1), "off", step, 0, whole)
        if isinstance(step, Decimal)
        else Reduction(UUID(int=1), "off", None, step, whole)
        for step in steps
    ]
    taken = reduce_lines(nets, reductions)
    left = [net + sum(one.amount_minor for one in off) for net, off in zip(nets, taken, strict=True)]
    assert all(0 <= after <= before for after, before in zip(left, nets, strict=True))
    for index, step in enumerate(steps):
        if not isinstance(step, Decimal):
            assert -sum(off[index].amount_minor for off in taken) <= step
