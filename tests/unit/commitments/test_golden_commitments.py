"""Worked examples of commitments and discounts (area 4 of the golden cases), through the rules."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from milo_billing.commitments.rules.composing import Reduction, in_order, reduce_lines, reduction_of
from milo_billing.commitments.rules.intervals import prorated_minor
from milo_billing.commitments.rules.settling import draw_down, settle_interval
from milo_billing.commitments.types import PartOfSpan, Settlement, Spend
from milo_billing.kernel.money import settle as settle_money
from milo_billing.kernel.periods import DaySpan, add_months
from milo_billing.pricing.rules.charges import charge, prepare
from tests.golden import GoldenCase, golden_cases, require_golden_cases, unaccounted
from tests.unit.commitments.builders import discount, minimum, month, promise, settle
from tests.unit.invoicing.golden_credits import way_of_credit
from tests.unit.pricing.builders import per_unit

CASES = golden_cases("CM-")


def minor(text: str) -> int:
    return settle_money(Decimal(text), "USD").minor


def cost(units: str, unit_price: str, *, percents: tuple[Decimal, ...] = ()) -> int:
    """What so many units come to, through the price engine."""
    parts = charge(prepare(per_unit(unit_price), currency="USD"), Fraction(units), percents)
    return sum(part.amount_minor for part in parts)


def due(settled: Settlement, *, true_up: bool) -> int:
    """Everything that is owed for an interval: what was spent, the surcharge, and what is missing."""
    return settled.spent_minor + settled.surcharge_minor + (settled.shortfall_minor if true_up else 0)


def spent(name: str, amount: int) -> Spend:
    """What a month, named 2025-04, came to."""
    at = date.fromisoformat(f"{name}-01")
    return month(at.year, at.month, amount)


def windowed(unit: str, committed: str, factor: str, units: str) -> Settlement:
    return settle_interval(
        minimum_minor=cost(committed, unit), spent_minor=cost(units, unit), factor=Decimal(factor)
    )


def committed_quantity(case: GoldenCase) -> None:
    given = case.input
    settled = windowed(
        given["unit_price"], given["commitment_quantity"], given["overage_factor"], given["usage"]
    )
    within = min(settled.spent_minor, settled.minimum_minor)
    known = {
        "total": due(settled, true_up=given["true_up"]),
        "true_up": settled.shortfall_minor if given["true_up"] else 0,
        "usage": settled.spent_minor if settled.shortfall_minor else within,
        "overage": settled.over_minor + settled.surcharge_minor,
    }
    for name, amount in case.expected.items():
        assert known[name] == minor(amount), name


def committed_amount(case: GoldenCase) -> None:
    given = case.input
    settled = settle_interval(
        minimum_minor=minor(given["commitment_amount"]),
        spent_minor=cost(given["quantity"], given["unit_price"]),
        factor=Decimal(given["overage_factor"]),
    )
    assert due(settled, true_up=given["true_up"]) == minor(case.expected["amount"])


def committed_hours(case: GoldenCase) -> None:
    """A band of the day is a Sku of its own here; what falls outside it is priced by the line item."""
    bucket, item = case.input["bucket"], case.input["line_item"]
    first, last = map(int, bucket["hours"].split("-"))
    inside = [units for at, units in case.input["usage"] if first <= int(at.split(":")[0]) < last]
    outside = [units for at, units in case.input["usage"] if not first <= int(at.split(":")[0]) < last]
    settled = windowed(
        bucket["unit"], bucket["commitment_quantity"], bucket["factor"], str(sum(map(int, inside)))
    )
    rest = cost(str(sum(map(int, outside))), item["unit"])
    assert due(settled, true_up=False) + rest == minor(case.expected["total"])
    assert min(settled.spent_minor, settled.minimum_minor) + rest == minor(case.expected["utilized"])
    assert settled.over_minor + settled.surcharge_minor == minor(case.expected["overage"])
    assert settled.shortfall_minor == minor(case.expected["true_up"])


def committed_windows(case: GoldenCase) -> None:
    """Every window settles alone. The commitment is an amount, the usage units."""
    given = case.input
    settled = [
        settle_interval(
            minimum_minor=minor(given["commitment"]),
            spent_minor=cost(units, given["unit"]),
            factor=Decimal(given["factor"]),
        )
        for units in given["usage"]
    ]
    owed = [due(one, true_up=given["true_up"]) for one in settled]
    assert owed == [minor(amount) for amount in case.expected["per_window"]]
    assert sum(owed) == minor(case.expected["total"])


def prorated_minimum(case: GoldenCase) -> None:
    """Minimum and fee are prorated and settled each by itself, then netted (choice 13)."""
    start = date(2026, 1, 1)
    days, full = int(case.input["days"]), int(case.input["period_days"])
    part = PartOfSpan(*(DaySpan(start, date.fromordinal(start.toordinal() + n)) for n in (days, full)))
    settled = settle_interval(
        minimum_minor=prorated_minor(Decimal(case.input["minimum"]), part, currency="USD"),
        spent_minor=prorated_minor(Decimal(case.input["billed_fee"]), part, currency="USD"),
    )
    assert settled.shortfall_minor == minor(case.expected["true_up"])


def yearly_commitment(case: GoldenCase) -> None:
    """One true-up at the end of the term; spend counts after the negotiated discount."""
    given = case.input
    start, end = map(date.fromisoformat, given["term"])
    percent = (1 - Decimal(given["contract_unit"]) / Decimal(given["list_unit"])) * 100
    billed = [cost(hours, given["list_unit"], percents=(percent,)) for _, hours in given["usage_hours"]]
    assert billed == [minor(amount) for amount in case.expected["usage_billed"]]
    names = [name for name, _ in given["usage_hours"]]
    spends = [spent(name, amount) for name, amount in zip(names, billed, strict=True)]
    (settled,) = settle(
        promise(minimum(given["commitment"], "Term"), starts_on=start, ends_on=end), spends, until=end
    )
    assert settled.charged_minor == minor(case.expected["shortfall_final_month"])


FIRST = date(2025, 4, 1)


def _monthly(case: GoldenCase, used: str, *, yearly: str | None) -> tuple[dict[str, int], int]:
    """Shortfall of each month by name, and the term's, of a year from April 2025 on."""
    end = add_months(FIRST, 12)
    wanted = [minimum(case.input["monthly_minimum"], "Monthly")] if "monthly_minimum" in case.input else []
    if yearly is not None:
        wanted.append(minimum(yearly, "Term"))
    spends = [spent(name, minor(amount)) for name, amount in case.input[used]]
    settled = settle(promise(*wanted, starts_on=FIRST, ends_on=end), spends, until=end)
    months = {
        f"{one.part.days.start:%Y-%m}": one.charged_minor for one in settled if one.interval == "Monthly"
    }
    return months, sum(one.charged_minor for one in settled if one.interval == "Term")


def _expected_months(rows: dict[str, str]) -> dict[str, int]:
    """`2025-07..2026-02 each` as its months."""
    found: dict[str, int] = {}
    for name, amount in rows.items():
        first, _, last = name.removesuffix(" each").partition("..")
        at = date.fromisoformat(f"{first}-01")
        while f"{at:%Y-%m}" <= (last or first):
            found[f"{at:%Y-%m}"] = minor(amount)
            at = add_months(at, 1)
    return found


def nested_minimums(case: GoldenCase) -> None:
    """Months settle first; what they paid counts towards the year, and over-use of one offsets no other."""
    months, term = _monthly(case, "usage_billed", yearly=case.input["commitment"])
    final = f"{add_months(FIRST, 11):%Y-%m}"
    for name, amount in _expected_months(case.expected["monthly_shortfall"]).items():
        assert months[name] == amount, name
    assert months[final] + term == minor(case.expected["final_month_charge"])
    used = sum(minor(amount) for _, amount in case.input["usage_billed"])
    assert used + sum(months.values()) + term == minor(case.expected["total"])


def prepaid(case: GoldenCase) -> None:
    """Usage draws prepaid money down, what is missing of a monthly minimum is lost, and so is the rest at the end."""
    months, _ = _monthly(case, "usage_effective", yearly=None)
    used = dict(case.input["usage_effective"])
    names = [f"{add_months(FIRST, number):%Y-%m}" for number in range(12)]
    charges = [minor(used.get(name, "0")) + months.get(name, 0) for name in names]
    drawn = draw_down(minor(case.input["prepaid"]), charges)
    assert drawn == tuple(charges), "everything was paid for before"
    rest = minor(case.input["prepaid"]) - sum(drawn)
    if "unused_at_end" in case.expected:
        assert rest == minor(case.expected["unused_at_end"]["effective"])
        assert [c - d for c, d in zip(charges, drawn, strict=True)][: len(used)] == [
            minor(amount) for amount in case.expected["usage"]["billed"]
        ]
        assert [minor(a) for a in case.expected["usage"]["effective"]] == list(drawn[: len(used)])
        return
    unused = dict(case.expected["unused_effective"])
    assert rest + months[names[-1]] == minor(unused.pop("final"))
    for name, amount in _expected_months(unused).items():
        assert months[name] == amount, name
    assert sum(drawn) + rest == minor(case.expected["total_effective"])


def use_it_or_lose_it(case: GoldenCase) -> None:
    """Used, unused and over are what a settled interval says."""
    settled = settle_interval(
        minimum_minor=minor(case.input["hourly_commitment"]), spent_minor=minor(case.input["eligible_spend"])
    )
    amounts = {
        "Used": min(settled.spent_minor, settled.minimum_minor),
        "Unused": settled.shortfall_minor,
        None: settled.over_minor,
    }
    rows: list[dict[str, Any]] = case.expected["rows"]
    assert {row["status"]: minor(row["effective"]) for row in rows} == {
        status: amount for status, amount in amounts.items() if amount
    }
    for row in rows:
        if "billed" in row:
            assert minor(row["billed"]) == (amounts[None] if row["status"] is None else 0)


def coupons(case: GoldenCase) -> None:
    """Coupons on a subtotal are discounts of invoice scope: percentages first, whatever the order they came in."""
    given = [
        discount(
            number, scope="Invoice", **{"pct": {"percent": Decimal(v)}, "fixed": {"amount": Decimal(v)}}[kind]
        )
        for number, (kind, v) in enumerate(case.input["coupons"], start=1)
    ]
    whole = {0: Fraction(1)}
    steps: list[Reduction] = [reduction_of(one, whole, currency="USD") for one in in_order(given)]
    subtotal = minor(case.input["subtotal"])
    (taken,) = reduce_lines([subtotal], steps)
    left: list[int] = []
    for one in taken:
        left.append((left[-1] if left else subtotal) + one.amount_minor)
    known = {
        "discount": subtotal - left[-1],
        "total": left[-1],
        "after_first": left[0],
        "after_second": left[-1],
    }
    for name, amount in case.expected.items():
        assert known[name] == minor(amount), name


def _way(case: GoldenCase) -> Callable[[GoldenCase], None] | None:
    """How a case is run, told by what it contains, so that further cases of a kind run as well."""
    match case.input:
        case {"commitment_quantity": _, "usage": str()}:
            return committed_quantity
        case {"commitment_amount": _, "quantity": _}:
            return committed_amount
        case {"bucket": {"hours": _}, "line_item": _}:
            return committed_hours
        case {"commitment": _, "factor": _, "usage": [*_]}:
            return committed_windows
        case {"minimum": _, "billed_fee": _, "days": _}:
            return prorated_minimum
        case {"commitment": _, "term": _, "contract_unit": _}:
            return yearly_commitment
        case {"commitment": _, "monthly_minimum": _, "usage_billed": _}:
            return nested_minimums
        case {"prepaid": _, "usage_effective": _}:
            return prepaid
        case {"hourly_commitment": _, "eligible_spend": _}:
            return use_it_or_lose_it
        case {"subtotal": _, "coupons": [*_]}:
            return coupons
        case _:
            return None


_PLANS = {"sp", "ri", "csp", "plan", "plans", "reservation", "reservations"}
"""Words in the names of inputs that are about plans which cover usage at other rates."""


def _ruled_out(case: GoldenCase) -> str | None:
    """The choice that another answer was given to here, by its row number in the golden README."""
    if any(word in _PLANS for key in case.input for word in key.split("_")):
        # a Savings Plan buys hours at other rates and covers the dearest first. Here a discount is a percentage of
        # every Sku that its selector means, whatever was spent: there is no order in which cover could run out
        return "19: commitments discount Skus by percentage and are not shared out over usage"
    return None


RULED_OUT = {case.id: reason for case in CASES if (reason := _ruled_out(case)) is not None}
RUN = {
    case.id: way
    for case in CASES
    if case.id not in RULED_OUT and (way := way_of_credit(case) or _way(case)) is not None
}


@pytest.mark.parametrize("case", [case for case in CASES if case.id in RUN], ids=str)
def test_a_golden_case_comes_out_as_its_source_says(case: GoldenCase) -> None:
    RUN[case.id](case)


def test_every_golden_commitment_is_run_or_ruled_out() -> None:
    require_golden_cases()
    print(f"area 4: {len(RUN)} reproduced, {len(RULED_OUT)} ruled out, 0 later")
    for id, reason in RULED_OUT.items():
        print(f"{id} ruled out by choice {reason}")
    assert unaccounted(CASES, RUN, RULED_OUT) == []


def test_the_discounts_of_a_case_that_needs_tax_come_out_as_its_source_says() -> None:
    """Line coupon, then invoice coupon, each by itself [CM-055]."""
    lines = [8000, 2000]
    steps = [
        Reduction(UUID(int=1), "api", Decimal(25), 0, {0: Fraction(1)}),
        Reduction(UUID(int=2), "all", None, 1000, {0: Fraction(1), 1: Fraction(1)}),
    ]
    taken = reduce_lines(lines, steps)
    after = [amount + sum(one.amount_minor for one in off) for amount, off in zip(lines, taken, strict=True)]
    assert [[one.amount_minor for one in off] for off in taken] == [[-2000, -750], [-250]]
    assert sum(after) == 7000


def test_a_fixed_amount_is_spread_over_lines_in_proportion_and_capped() -> None:
    """0.12 over 2.00 and 1.00, then over 0.04 and 0.02 [CR-004]."""
    both = {0: Fraction(1), 1: Fraction(1)}
    coupon = Reduction(UUID(int=1), "coupon", None, 12, both)
    assert [[one.amount_minor for one in off] for off in reduce_lines([200, 100], [coupon])] == [[-8], [-4]]
    assert [[one.amount_minor for one in off] for off in reduce_lines([4, 2], [coupon])] == [[-4], [-2]]
