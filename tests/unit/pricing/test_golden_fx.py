"""Worked examples of several currencies (area 6 of the golden cases), through conversion and rating."""

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from milo_billing.kernel.money import minor_to_decimal, settle
from milo_billing.kernel.quantity import finite_decimal
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import REVENUE, cash
from milo_billing.pricing.rules import fx
from milo_billing.pricing.types import ExchangeRate
from tests.golden import GoldenCase, golden_cases, require_golden_cases, unaccounted
from tests.unit.pricing.builders import per_unit, rate_units

CASES = golden_cases("FX-")

UNIT_PRICES_CONVERTED = "row 29: amounts are converted, not unit prices, and rounded once"


def _ruled_out(case: GoldenCase) -> str | None:
    """The choice that a source made differently, told by the shape of what goes in and comes out."""
    if "unit_price" in case.input and any(key.startswith("unit_") for key in case.expected):
        return UNIT_PRICES_CONVERTED
    return None


def exact_amount(case: GoldenCase) -> None:
    """Nothing is rounded while converting: the result has all its decimals."""
    exact = finite_decimal(fx.convert(Decimal(case.input["amount"]), Decimal(case.input["rate"])))
    assert exact is not None
    assert exact == Decimal(case.expected["amount_exact"])


def settled_amount(case: GoldenCase) -> None:
    """Rounded once, to the decimals of the target currency."""
    given = case.input
    rate = ExchangeRate("case", date(2026, 1, 1), "EUR", given["to"], Decimal(1), Decimal(given["rate"]))
    converted = settle(fx.convert(Decimal(given["amount"]), rate), rate.to_currency)
    assert str(converted.decimal()) == case.expected["amount"]


def tokens_used(case: GoldenCase) -> None:
    """A virtual currency is a pricing unit: so many tokens for each of what was used, at a price a token."""
    rows: Sequence[tuple[str, str, str]] = case.input["usage_qty_tokens_each"]
    lines = [
        rate_units(used, per_unit(case.input["token_price"]), unit_factor=Fraction(each))
        for _, used, each in rows
    ]
    assert [line.quantity for line in lines] == [Fraction(tokens) for tokens in case.expected["tokens"]]
    assert [str(line.amount.decimal()) for line in lines] == case.expected["cost"]


def tokens_bought(case: GoldenCase) -> None:
    price = per_unit(case.input["price"])
    costs = [str(rate_units(tokens, price).amount.decimal()) for tokens in case.input["purchases"]]
    assert costs == case.expected["cost"]


def tokens_prepaid(case: GoldenCase) -> None:
    """What is bought before it is used is billed at once, and nothing of it is earned until it is used."""
    bought = rate_units(case.input["tokens"], per_unit(case.input["price"])).amount
    assert str(bought.decimal()) == case.expected["billed"]
    posted = (*ledger.put_on_account(bought, into=cash("bank")), *ledger.credit_granted(bought))
    earned = sum(-one.amount.minor for one in posted if one.account.startswith(REVENUE))
    assert Decimal(case.expected["effective_at_purchase"]) == minor_to_decimal(earned, bought.currency)


def _way(case: GoldenCase) -> Callable[[GoldenCase], None] | None:
    """How a case is run, told by what it contains, so that further cases of a kind run as well."""
    shape: dict[str, Any] = {**case.input, "expected": case.expected}
    match shape:
        case {"amount": str(), "rate": str(), "to": str(), "expected": {"amount": str()}}:
            return settled_amount
        case {"amount": str(), "rate": str(), "expected": {"amount_exact": str()}}:
            return exact_amount
        case {"usage_qty_tokens_each": [*_], "token_price": str()}:
            return tokens_used
        case {"purchases": [*_], "price": str(), "expected": {"cost": [*_]}}:
            return tokens_bought
        case {"tokens": str(), "price": str(), "expected": {"effective_at_purchase": str()}}:
            return tokens_prepaid
        case _:
            return None


RULED_OUT = {case.id: why for case in CASES if (why := _ruled_out(case)) is not None}
RUN = {case.id: way for case in CASES if case.id not in RULED_OUT and (way := _way(case)) is not None}


@pytest.mark.shared
@pytest.mark.parametrize("case", [case for case in CASES if case.id in RUN], ids=str)
def test_a_golden_conversion_is_reproduced(case: GoldenCase) -> None:
    RUN[case.id](case)


@pytest.mark.shared
def test_every_golden_conversion_is_run_or_ruled_out_by_a_choice() -> None:
    require_golden_cases()
    print(f"FX: {len(RUN)} reproduced, {len(RULED_OUT)} ruled out, 0 later")
    for id, why in RULED_OUT.items():
        print(f"  {id}: {why}")
    assert unaccounted(CASES, RUN, RULED_OUT) == []
