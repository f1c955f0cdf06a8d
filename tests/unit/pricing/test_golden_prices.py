"""Worked price examples of other systems (area 1 of the golden cases), through `rate`."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

import pytest

from milo_billing.pricing.rules.quantities import rounded
from tests.golden import (
    GoldenCase,
    Later,
    RuledOut,
    Way,
    account_for,
    golden_cases,
    require_golden_cases,
)
from tests.unit.pricing.builders import graduated, per_unit, price_of, rate_units, tier
from tests.unit.pricing.golden_composed import percentage_of_events
from tests.unit.pricing.golden_prices import (
    Reading,
    assert_answer,
    assert_bill,
    currency_of,
    read_price,
    read_rounding,
    read_tiers,
    rounds_once,
)

CASES = golden_cases("PM-")

LOWER_BOUNDS = RuledOut(1, "an upper bound belongs to the tier below it, and a bound is what is asked for")
BLOCKS = RuledOut(2, "tiers have cumulative bounds and count units; blocks that differ by tier are no model")
PACKAGES_DOWN = RuledOut(4, "packages round up, and free units come off before they are counted")
ROUNDED_PARTS = RuledOut(
    25, "each tier is a part that is settled on its own, and a line is the sum of its parts"
)
BY_EVENT = RuledOut(
    7, "what is free counts on the aggregate of a period: no bill depends on which event came first"
)


def priced(case: GoldenCase) -> None:
    reading = read_price(case.input)
    assert reading is not None
    assert_bill(reading, given=case.input, expected=case.expected)


def tiers_by_width(case: GoldenCase) -> None:
    """All tiers, and the top tier alone, at the same widths: graduated and volume."""
    tiers = read_tiers(case.input)
    assert tiers is not None
    for policy, expected in case.expected.items():
        reading = Reading(price_of("Graduated" if policy == "ALL_TIERS" else "Volume", tiers=tiers))
        assert_bill(reading, given=case.input, expected=expected)


def blocks_of_one_size(case: GoldenCase) -> None:
    """Blocks of one size in all tiers are a pricing unit of a block, rounded up."""
    tiers = read_tiers(case.input)
    assert tiers is not None
    reading = Reading(
        price_of("Graduated" if case.input["policy"] == "ALL_TIERS" else "Volume", tiers=tiers),
        size=Decimal(case.input["tiers"][0]["block_size"]),
        rounding=read_rounding("up", 0),
    )
    assert_bill(reading, given=case.input, expected=case.expected)


def graduated_percentage(case: GoldenCase) -> None:
    """A graduated price for a meter of amounts: a percent is a hundredth for each unit of the currency."""
    tiers = [
        tier(
            row["up_to"],
            str(Decimal(row.get("rate_percent") or 0) / 100),
            flat=row.get("flat") or "0",
            charge_at_zero=True,
        )
        for row in case.input["tiers"]
    ]
    price, currency = graduated(*tiers), currency_of(case.expected)
    if "amount_total" in case.input:
        line = rate_units(case.input["amount_total"], price, currency=currency)
        for name, value in case.expected.items():
            assert_answer(name, value, now=line, before=None)
        return
    totals = [*accumulate(map(Decimal, case.input["transactions"]))]
    amounts = [rate_units(total, price, currency=currency).amount.decimal() for total in totals]
    added = [later - earlier for earlier, later in pairwise([Decimal(0), *amounts])]
    assert added == [Decimal(amount) for amount in case.expected["incremental"]]


def percentage(case: GoldenCase) -> None:
    percentage_of_events(case.input, case.expected)


def converted_quantity(case: GoldenCase) -> None:
    given, factor = case.input, Fraction(Decimal(case.input["factor"]))
    factor = 1 / factor if given["operation"] == "divide" else factor
    rounding = read_rounding(given.get("rounding"), given.get("precision"))
    _assert_quantity(given["raw_quantity"], case.expected["invoiced_quantity"], factor, rounding)
    if "converted_precise" in case.expected:
        _assert_quantity(given["raw_quantity"], case.expected["converted_precise"], factor, None)


def rounded_quantity(case: GoldenCase) -> None:
    rounding = read_rounding(case.input["function"], case.input.get("precision"))
    _assert_quantity(case.input["units"], case.expected["units"], Fraction(1), rounding)


def _assert_quantity(raw: str, expected: str, factor: Fraction, rounding: Any) -> None:
    """Corrections below nothing are charged nothing, so that what they round to is asked of the rule itself."""
    if Decimal(raw) >= 0:
        found = rate_units(raw, per_unit("1"), unit_factor=factor, rounding=rounding).quantity
    else:
        exact = Fraction(Decimal(raw)) * factor
        found = exact if rounding is None else rounded(exact, rounding)
    assert found == Fraction(Decimal(expected))


def price_of_base_quantity(case: GoldenCase) -> None:
    """A price for 12 of something is a pricing unit of 12."""
    for row, net in zip(case.input["lines"], case.expected["net"], strict=True):
        line = rate_units(row["qty"], per_unit(row["price"]), unit_factor=1 / Fraction(row["base_qty"]))
        assert line.amount.decimal() == Decimal(net)


def sustained_use(case: GoldenCase) -> None:
    """A month of a million hours, so that cents do not blur the percentages."""
    month = 1_000_000
    bands = case.input["bands"]
    ends = [str(month * int(band["upto_pct"]) // 100) for band in bands[:-1]]
    tiers = [tier(end, band["rate"]) for band, end in zip(bands, [*ends, None], strict=True)]
    for percent, discount in zip(
        case.input["usage_pct"], case.expected["effective_discount_pct"], strict=True
    ):
        hours = month * int(percent) // 100
        undiscounted = Decimal(case.input["base_rate_per_hour"]) * hours
        charged = rate_units(hours, graduated(*tiers)).amount.decimal()
        assert (1 - charged / undiscounted) * 100 == Decimal(discount)


def limited_over_two_bills(case: GoldenCase) -> None:
    """160 billed, then 15 and 7 under a maximum of 170: of the 22 more, 12 are taken off."""
    lines = [Decimal(amount) for amount in case.input["lines"]]
    billed = Decimal(case.input.get("previously_billed") or 0)
    price = per_unit("1", maximum=case.input["maximum"])
    before, now = rate_units(billed, price), rate_units(billed + sum(lines), price)
    assert (now.amount - before.amount).decimal() == sum(map(Decimal, case.expected["totals"]))
    assert_answer("discount", str(sum(map(Decimal, case.expected["discounts"]))), now=now, before=before)


def included_over_two_bills(case: GoldenCase) -> None:
    price, billed = per_unit("1", included=case.input["included_quantity"]), Decimal(0)
    billed = Decimal(case.input.get("previous_quantity") or 0)
    before, now = rate_units(billed, price), rate_units(billed + Decimal(case.input["quantity"]), price)
    assert (now.amount - before.amount).decimal() == Decimal(case.expected["billable"])
    if "discounted_now" in case.expected:
        assert now.included - before.included == Fraction(case.expected["discounted_now"])


def way_of(case: GoldenCase) -> Way | RuledOut | Later | None:
    """How a case is run or why it is not, told by what it contains, so that further cases of a kind run as well."""
    given = case.input
    match given:
        case {"model": "percentage"} if _is_by_event(given):
            return BY_EVENT
        case {"model": "percentage", "rate_percent": _}:
            return percentage
        case {"model": "graduated_percentage", "tiers": [{"up_to": _}, *_]}:
            return graduated_percentage
        case {"tiers": [{"block_size": _}, *_] as rows}:
            return blocks_of_one_size if len({row["block_size"] for row in rows}) == 1 else BLOCKS
        case {"tiers_by_first_unit": _, "model": "volume"} if _is_at_a_first_unit(given):
            return LOWER_BOUNDS
        case {"package_size": _, "rounding": "down"} if Decimal(given.get("free_units") or 0):
            return PACKAGES_DOWN
        case {"tiers": [{"max": _}, *_]}:
            return tiers_by_width
        case {"raw_quantity": _, "operation": _}:
            return converted_quantity
        case {"units": _, "function": _}:
            return rounded_quantity
        case {"lines": [{"base_qty": _}, *_]}:
            return price_of_base_quantity
        case {"bands": _, "usage_pct": _}:
            return sustained_use
        case {"maximum": _, "lines": _}:
            return limited_over_two_bills
        case {"included_quantity": _, "quantity": _} if "model" not in given:
            return included_over_two_bills
        case _:
            reading = read_price(given)
            if reading is not None and rounds_once(reading, given=given, expected=case.expected):
                return ROUNDED_PARTS
            return None if reading is None else priced


def _is_by_event(given: Mapping[str, Any]) -> bool:
    """Free events, or a free amount beside a fee for each event, end with the event that uses them up."""
    free_events = Decimal(given.get("free_events") or 0)
    free_amount = Decimal(given.get("free_amount") or 0)
    return bool(free_events or (free_amount and Decimal(given.get("fixed_per_event") or 0)))


def _is_at_a_first_unit(given: Mapping[str, Any]) -> bool:
    quantity = Decimal(given["quantity"])
    return any(quantity == Decimal(row[0]) != 0 for row in given["tiers_by_first_unit"])


ACCOUNTED = account_for("area 1, price models", CASES, way_of)


@pytest.mark.parametrize("case", [case for case in CASES if case.id in ACCOUNTED.reproduced], ids=str)
def test_a_golden_case_comes_out_as_its_source_says(case: GoldenCase) -> None:
    ACCOUNTED.reproduced[case.id](case)


def test_every_golden_price_is_run_or_ruled_out() -> None:
    require_golden_cases()
    print(ACCOUNTED)
    assert ACCOUNTED.forgotten == []


def test_tiers_with_bounds_that_touch_lose_nothing_between_them() -> None:
    tiers = graduated(tier("10", "1"), tier("20", "2"), tier(None, "3"))
    amounts = [rate_units(units, tiers).amount_minor for units in range(31)]
    steps = [later - earlier for earlier, later in pairwise(amounts)]
    assert steps == [100] * 10 + [200] * 10 + [300] * 10
