"""Area 5 of the golden cases: rounding, splitting, discounts, credits, tax and what credit notes take of it.

How a case runs is told by the shape of its input, never by its id.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from milo_billing.commitments.rules.composing import Reduction, reduce_lines
from milo_billing.kernel.money import allocate, exponent, half_up, settle
from tests.golden import GoldenCase, RuledOut, Way, account_for, golden_cases, require_golden_cases
from tests.unit.invoicing.golden_credits import way_of_credit
from tests.unit.invoicing.golden_taxes import way_of_tax

CASES = golden_cases("CR-")


# ------------------------------------------------------------------------------------------------ rounding


def settles(case: GoldenCase) -> None:
    settled = settle(Decimal(case.input["amount"]), case.input["currency"])
    assert settled.decimal() == Decimal(case.expected["rounded"])


def rounds_half_up(case: GoldenCase) -> None:
    scale = 10 ** case.input["decimals"]
    scaled = [Fraction(value) * scale for value in case.input["values"]]
    rounded = [Fraction(half_up(one.numerator, one.denominator), scale) for one in scaled]
    assert rounded == [Fraction(value) for value in case.expected["rounded"]]


def has_minor_units(case: GoldenCase) -> None:
    assert [exponent(code) for code in case.input["codes"]] == case.expected["minor_units"]


# ------------------------------------------------------------------------------------------------- splits


def splits(case: GoldenCase) -> None:
    given, expected = case.input, case.expected.get("shares") or case.expected["shares_minor"]
    scale = 10 ** given.get("decimals", 0)
    total = int(Decimal(given.get("amount") or given["amount_minor"]) * scale)
    for weights, shares in _weighted(given, expected):
        parts = allocate(total, weights)
        assert {key: Fraction(part, scale) for key, part in parts.items()} == shares


def _weighted(
    given: dict[str, Any], expected: Any
) -> list[tuple[list[tuple[Any, Decimal]], dict[Any, Fraction]]]:
    """(weights by key, share by key); without keys of its own a weight's position is its key."""
    if "items" in given:
        return [
            ([(key, Decimal(w)) for key, w in given["items"]], {k: Fraction(s) for k, s in expected.items()})
        ]
    if "parts" in given:
        rows, answers = [["1"] * given["parts"]], [expected]
    elif isinstance(given["weights"][0], list):
        rows, answers = given["weights"], expected
    else:
        rows, answers = [given["weights"]], [expected]
    return [
        (list(enumerate(map(Decimal, row))), dict(enumerate(map(Fraction, answer))))
        for row, answer in zip(rows, answers, strict=True)
    ]


# ---------------------------------------------------------------------------------------------- discounts


def spreads(case: GoldenCase) -> None:
    """A fixed amount off several lines; `case2_` is the same coupon over another invoice."""
    coupon = case.input["coupon"]
    for prefix in ("", "case2_"):
        if f"{prefix}fees" in case.input:
            found = _taken(case.input[f"{prefix}fees"], coupon)
            assert found == [_cents(share) for share in case.expected[f"{prefix}spread"]]


def leaves_taxable(case: GoldenCase) -> None:
    lines = case.input["lines"]
    taken = _taken(lines, case.input["discount"])
    left = [_cents(line) - off for line, off in zip(lines, taken, strict=True)]
    assert left == [_cents(amount) for amount in case.expected["taxable"]]


def _taken(lines: list[str], amount: str) -> list[int]:
    everywhere = dict.fromkeys(range(len(lines)), Fraction(1))
    off = Reduction(UUID(int=1), "coupon", None, _cents(amount), everywhere)
    return [
        -sum(one.amount_minor for one in taken)
        for taken in reduce_lines([_cents(line) for line in lines], [off])
    ]


def _cents(amount: str) -> int:
    return settle(Decimal(amount), "USD").minor


# ------------------------------------------------------------------------------------------------ sorting


def way_of(case: GoldenCase) -> Way | RuledOut | None:
    """How a case is run, told by what it contains, so that further cases of a kind run as well."""
    shape: dict[str, Any] = {**case.input, "expected": case.expected}
    match shape:
        case {"mode": str(mode)}:
            return (
                RuledOut(24, f"money is rounded half-up, away from zero, never {mode}")
                if mode != "half_up"
                else None
            )
        case {"currency": str(), "amount": str(), "expected": {"rounded": str()}}:
            return settles
        case {"codes": [*_], "expected": {"minor_units": [*_]}}:
            return has_minor_units
        case {"expected": {"shares": _}} | {"expected": {"shares_minor": _}}:
            return splits
        case {"fees": [*_], "coupon": str(), "expected": {"spread": [*_]}}:
            return spreads
        case {"lines": [*_], "discount": str(), "expected": {"taxable": [*_]}}:
            return leaves_taxable
        case _:
            return way_of_credit(case) or way_of_tax(case)


ACCOUNTED = account_for("area 5, credits, tax and rounding", CASES, way_of)


@pytest.mark.shared
@pytest.mark.parametrize("case", [case for case in CASES if case.id in ACCOUNTED.reproduced], ids=str)
def test_an_amount_comes_out_as_its_source_says(case: GoldenCase) -> None:
    ACCOUNTED.reproduced[case.id](case)


@pytest.mark.shared
def test_every_golden_amount_is_run_or_ruled_out() -> None:
    require_golden_cases()
    print(ACCOUNTED)
    assert ACCOUNTED.forgotten == []
    assert ACCOUNTED.later == {}
