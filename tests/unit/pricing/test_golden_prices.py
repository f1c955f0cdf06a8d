"""Worked price examples of other systems (area 1 of the golden cases), through `rate`."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

import pytest

from milo_billing.catalog.types import Price, QuantityRounding, Tier
from tests.golden import GoldenCase, golden_cases, require_golden_cases, unaccounted
from tests.unit.pricing.builders import graduated, per_unit, rate_units, tier

CASES = golden_cases("PM-")

MODELS_LATER = {
    "dynamic",
    "flat",
    "graduated_percentage",
    "package",
    "percentage",
    "stairstep",
    "tiered_block",
    "volume",
}
"""Price models that the catalog refuses so far; each comes with a rules module of its own."""


def _comes_later(case: GoldenCase) -> bool:
    return case.input.get("model") in MODELS_LATER or "package_size" in case.input


def _tiers(case: GoldenCase) -> Price:
    return graduated(*(_tier(row) for row in case.input["tiers"]))


def _tier(row: dict[str, Any]) -> Tier:
    # in these sources a first tier's flat fee is owed at zero usage: here that is said with chargeAtZero
    return tier(row["up_to"], row.get("unit", "0"), flat=row.get("flat", "0"), charge_at_zero=True)


def per_unit_price(case: GoldenCase) -> None:
    line = rate_units(case.input["quantity"], per_unit(case.input["unit_price"]))
    assert line.amount.decimal() == Decimal(case.expected["amount"])


def graduated_price(case: GoldenCase) -> None:
    line = rate_units(case.input["quantity"], _tiers(case))
    assert line.amount.decimal() == Decimal(case.expected["amount"])
    if "lines" in case.expected:
        assert [Decimal(part.amount_minor) / 100 for part in line.parts] == [
            Decimal(a) for a in case.expected["lines"]
        ]


def graduated_price_continued(case: GoldenCase) -> None:
    """A second bill of the same period is the whole period less what was billed (domain.md §4)."""
    before = rate_units(case.input["previous_quantity"], _tiers(case))
    now = rate_units(Decimal(case.input["previous_quantity"]) + Decimal(case.input["quantity"]), _tiers(case))
    assert (now.amount - before.amount).decimal() == Decimal(case.expected["amount"])
    for row in case.expected["lines"]:
        billed = [sum(p.amount_minor for p in line.parts if p.tier == row["tier"]) for line in (before, now)]
        assert Decimal(billed[1] - billed[0]) / 100 == Decimal(row["amount"])


def tiers_by_first_unit(case: GoldenCase) -> None:
    rows = case.input["tiers_by_first_unit"]
    starts = [start for start, _ in rows]
    tiers = [tier(end, price) for (_, price), end in zip(rows, [*starts[1:], None], strict=True)]
    line = rate_units(case.input["quantity"], graduated(*tiers))
    assert line.amount.decimal() == Decimal(case.expected["amount"])


def tiers_by_width(case: GoldenCase) -> None:
    """Widths become cumulative bounds (choice 2); the volume half of the case comes with that model."""
    rows = case.input["tiers"]
    bounds = [str(bound) for bound in accumulate(int(row["max"]) for row in rows)]
    tiers = [tier(bound, row["price"]) for bound, row in zip([*bounds[:-1], None], rows, strict=True)]
    line = rate_units(case.input["quantity"], graduated(*tiers))
    expected = case.expected["ALL_TIERS"]
    assert line.amount.decimal() == Decimal(expected["amount"])
    assert [Decimal(part.amount_minor) / 100 for part in line.parts] == [
        Decimal(a) for a in expected["by_tier"]
    ]


ROUNDING = {
    "none": None, "ceiling": "Up", "ceil": "Up", "floor": "Down", "half_up": "HalfUp", "round": "HalfUp"
}  # fmt: skip


def _rounding(name: str, precision: int | str | None) -> QuantityRounding | None:
    mode = ROUNDING[name]
    assert mode is None or mode in ("Up", "Down", "HalfUp")
    return None if mode is None else QuantityRounding(mode, int(precision or 0))


def converted_quantity(case: GoldenCase) -> None:
    factor = Fraction(Decimal(case.input["factor"]))
    line = rate_units(
        case.input["raw_quantity"],
        per_unit("1"),
        unit_factor=1 / factor if case.input["operation"] == "divide" else factor,
        rounding=_rounding(case.input["rounding"], case.input["precision"]),
    )
    assert line.quantity == Fraction(case.expected["invoiced_quantity"])


def rounded_quantity(case: GoldenCase) -> None:
    rounding = _rounding(case.input["function"], case.input["precision"])
    assert rate_units(case.input["units"], per_unit("1"), rounding=rounding).quantity == Fraction(
        case.expected["units"]
    )


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


def maximum_over_two_bills(case: GoldenCase) -> None:
    """160 billed, then 15 and 7 under a maximum of 170: of the 22 more, 12 are taken off."""
    lines = [Decimal(amount) for amount in case.input["lines"]]
    billed, maximum = Decimal(case.input["previously_billed"]), case.input["maximum"]
    before = rate_units(billed, per_unit("1", maximum=maximum))
    now = rate_units(billed + sum(lines), per_unit("1", maximum=maximum))
    assert (now.amount - before.amount).decimal() == sum(map(Decimal, case.expected["totals"]))
    taken_off = sum(part.amount_minor for part in now.parts if part.kind == "Maximum")
    assert Decimal(-taken_off) / 100 == sum(map(Decimal, case.expected["discounts"]))


def included_over_two_bills(case: GoldenCase) -> None:
    price = per_unit("1", included=case.input["included_quantity"])
    before = rate_units(case.input["previous_quantity"], price)
    now = rate_units(Decimal(case.input["previous_quantity"]) + Decimal(case.input["quantity"]), price)
    assert (now.amount - before.amount).decimal() == Decimal(case.expected["billable"])
    assert now.included - before.included == Fraction(case.expected["discounted_now"])


def _way(case: GoldenCase) -> Callable[[GoldenCase], None] | None:
    """How a case is run, told by what it contains, so that further cases of a kind run as well."""
    given = case.input
    match given:
        case {"model": "per_unit"}:
            return per_unit_price
        case {"model": "graduated", "tiers_by_first_unit": _}:
            return tiers_by_first_unit
        case {"model": "graduated", "previous_quantity": _}:
            return graduated_price_continued
        case {"model": "graduated"}:
            return graduated_price
        case {"tiers": [{"max": _}, *_]}:
            return tiers_by_width
        case {"raw_quantity": _}:
            return converted_quantity
        case {"units": _, "function": _}:
            return rounded_quantity
        case {"lines": [{"base_qty": _}, *_]}:
            return price_of_base_quantity
        case {"bands": _}:
            return sustained_use
        case {"previously_billed": _, "maximum": _}:
            return maximum_over_two_bills
        case {"included_quantity": _, "previous_quantity": _}:
            return included_over_two_bills
        case _:
            return None


LATER = [case.id for case in CASES if _comes_later(case)]
RUN = {case.id: way for case in CASES if not _comes_later(case) and (way := _way(case)) is not None}


@pytest.mark.parametrize("case", [case for case in CASES if case.id in RUN], ids=str)
def test_a_golden_case_comes_out_as_its_source_says(case: GoldenCase) -> None:
    RUN[case.id](case)


def test_every_golden_price_is_run_or_awaits_its_model() -> None:
    require_golden_cases()
    print(f"{len(RUN)} golden prices run, {len(LATER)} await their price model: {' '.join(LATER)}")
    assert unaccounted(CASES, RUN, LATER) == []


def test_tiers_with_bounds_that_touch_lose_nothing_between_them() -> None:
    tiers = graduated(tier("10", "1"), tier("20", "2"), tier(None, "3"))
    amounts = [rate_units(units, tiers).amount_minor for units in range(31)]
    steps = [later - earlier for earlier, later in pairwise(amounts)]
    assert steps == [100] * 10 + [200] * 10 + [300] * 10
