"""What each discount takes off each line, as the invoice explains it, and how slices share a period."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest

from milo_billing.commitments.rules.composing import (
    Effect,
    Percentage,
    Reduction,
    Slice,
    composed_lines,
    cuts,
    effect,
    reduce_lines,
    reduction_of,
    slices,
    spends,
)
from milo_billing.commitments.types import DaySpan, Spend, TakenOff
from milo_billing.pricing.rules.percentages import discount_line
from tests.unit.commitments.builders import discount
from tests.unit.pricing.builders import per_unit, rate_units

JANUARY = DaySpan(date(2026, 1, 1), date(2026, 2, 1))
THIRDS = cuts(JANUARY, [date(2026, 1, 11), date(2026, 1, 21)])
UID = UUID(int=7)


def percentage(*percents: str | None, sku: str = "requests") -> Percentage:
    return Percentage(UID, "plan", tuple({} if one is None else {sku: Decimal(one)} for one in percents))


def evenly(count: int) -> list[Slice]:
    return [Slice(span, {"requests": Fraction(1, count)}) for span in THIRDS[:count]]


def test_a_border_at_the_end_of_the_period_cuts_nothing() -> None:
    assert cuts(JANUARY, [date(2026, 2, 1)]) == (JANUARY,)


def test_slices_share_what_arose_in_them_and_days_where_it_cost_nothing() -> None:
    until = [{"a": 1}, {"a": 1, "late": 30}, {"a": 1, "late": 120, "free": 0}]
    assert slices(THIRDS, until) == (
        Slice(THIRDS[0], {"a": Fraction(1), "late": Fraction(0), "free": Fraction(10, 31)}),
        Slice(THIRDS[1], {"a": Fraction(0), "late": Fraction(1, 4), "free": Fraction(10, 31)}),
        Slice(THIRDS[2], {"a": Fraction(0), "late": Fraction(3, 4), "free": Fraction(11, 31)}),
    )


def test_a_percentage_off_nothing_takes_nothing() -> None:
    everything, more = percentage("100"), percentage("50")
    assert effect([everything, more], evenly(1), "requests") == Effect(
        off=((everything, Fraction(100)), (more, Fraction(0))), weights=(Fraction(0),)
    )


def test_percentages_off_other_skus_are_passed_over() -> None:
    others, mine = percentage("50", sku="disk"), percentage("10")
    assert effect([others, mine], evenly(1), "requests").off == ((mine, Fraction(10)),)


def test_a_reduction_says_what_it_took_of_which_part_of_each_line() -> None:
    half = Reduction(UID, "spring", Decimal(10), 0, {0: Fraction(1, 2), 1: Fraction(1)})
    fixed = Reduction(UUID(int=8), "credit", None, 90, {1: Fraction(1)})
    assert reduce_lines([1000, 100], [half, fixed]) == (
        (TakenOff(UID, "spring", Decimal(10), Fraction(1, 2), -50, scope="Invoice"),),
        (
            TakenOff(UID, "spring", Decimal(10), Fraction(1), -10, scope="Invoice"),
            TakenOff(UUID(int=8), "credit", None, Fraction(1), -90, scope="Invoice"),
        ),
    )


def test_a_fixed_amount_acts_on_whole_lines_and_a_percentage_on_their_days() -> None:
    shares = {0: Fraction(1, 3)}
    fixed = discount(7, amount=Decimal("12.50"), description="Welcome")
    assert reduction_of(fixed, shares, currency="USD") == Reduction(
        UID, "discount-7", None, 1250, {0: Fraction(1)}, scope="Line", title="Welcome"
    )
    part = discount(7, percent=Decimal(10), scope="Invoice", description="Welcome")
    assert reduction_of(part, shares, currency="USD") == Reduction(
        UID, "discount-7", Decimal(10), 0, shares, title="Welcome"
    )


@pytest.mark.parametrize(
    ("percents", "stated", "share", "amount_minor"),
    [
        (("20", "20"), Decimal(20), Fraction(1), -2000),
        ((None, "20"), Decimal(20), Fraction(1, 2), -1000),
        (("10", "30"), None, Fraction(1), -2000),  # no one percentage could be stated
    ],
)
def test_a_percentage_inside_a_line_is_explained_by_what_it_is_and_of_how_much(
    percents: tuple[str | None, ...], stated: Decimal | None, share: Fraction, amount_minor: int
) -> None:
    found = effect([percentage(*percents)], evenly(2), "requests")
    line = discount_line(rate_units(100, per_unit("1")), [off for _, off in found.off])
    (composed,) = composed_lines([line], {"requests": found}, [()])
    assert composed.inside == (TakenOff(UID, "plan", stated, share, amount_minor),)


def test_spend_of_several_lines_of_a_sku_adds_up_in_each_slice() -> None:
    line = rate_units(100, per_unit("1"))
    found = effect([], evenly(2), "requests")
    composed = composed_lines(
        [line, replace(line, first_day=date(2026, 10, 11))], {"requests": found}, [(), ()]
    )
    assert spends(composed, evenly(2), {"requests": found}) == (
        Spend(THIRDS[0], {"requests": 10000}),
        Spend(THIRDS[1], {"requests": 10000}),
    )


def test_what_line_scope_takes_off_is_inside_the_line_and_what_invoice_scope_does_stands_beside_it() -> None:
    """The share of a line discount that came to nothing is no part of the line."""
    line = rate_units(100, per_unit("1"))
    whole, on_line = (TakenOff(UID, name, None, Fraction(1), -30) for name in ("whole", "line"))
    inside, nothing = (replace(on_line, scope="Line", amount_minor=minor) for minor in (-40, 0))
    beside = replace(whole, scope="Invoice")
    (composed,) = composed_lines([line], {}, [(inside, beside, nothing)])
    assert composed.inside == (inside,)
    assert composed.taken == (beside,)


def test_what_was_taken_off_says_by_whom_and_under_which_title() -> None:
    plan = replace(percentage("10"), by="Commitment", title="Partner rebate")
    line = discount_line(rate_units(100, per_unit("1")), [Fraction(10)])
    (composed,) = composed_lines([line], {"requests": Effect(((plan, Fraction(10)),), (Fraction(90),))}, [()])
    assert [(one.by, one.title, one.amount_minor) for one in composed.inside] == [
        ("Commitment", "Partner rebate", -1000)
    ]
    spring = Reduction(UID, "spring", Decimal(10), 0, {0: Fraction(1)}, title="Spring sale")
    assert [one.title for one in reduce_lines([1000], [spring])[0]] == ["Spring sale"]
