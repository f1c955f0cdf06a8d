"""Δ of a period after its invoice: the cases by which late usage changes more than its own line."""

from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest

from milo_billing.invoicing.rules.adjusting import (
    Additional,
    Charged,
    GivenBack,
    carrier_of,
    change_of,
    charged,
)
from milo_billing.invoicing.types.invoices import InvoiceLine
from tests.unit.invoicing.builders import line

PROMISE = UUID(int=7)


def lines(**amounts: int) -> list[InvoiceLine]:
    """Lines by what they charge for; `shortfall` is a commitment's."""
    made: list[InvoiceLine] = []
    for name, minor in amounts.items():
        one = replace(line(name), sku=name, amount_minor=minor, parts=())
        if name == "shortfall":
            one = replace(one, kind="Shortfall", sku=None, commitment=PROMISE)
        made.append(one)
    return made


def key(name: str) -> Charged:
    (one,) = lines(**{name: 0})
    return charged(one)


@pytest.mark.parametrize(
    ("issued", "now", "expected"),
    [
        # a higher tier is reached: 1,000 at 0.10; 1,200 with 200 at 0.05 and the tier's fee of 3.00
        ({"requests": 10_000}, {"requests": 11_300}, {"requests": 1_300}),
        # the minimum of 50.00 had been charged; 60.00 of usage is 10.00 more, and 45.00 would have been nothing
        ({"requests": 5_000}, {"requests": 6_000}, {"requests": 1_000}),
        ({"requests": 5_000}, {"requests": 5_000}, {}),
        # late usage of 300.00 makes a shortfall of 400.00 one of 100.00: nothing is owed in addition
        ({"requests": 60_000, "shortfall": 40_000}, {"requests": 90_000, "shortfall": 10_000}, {}),
        # it covers all of the shortfall and 20.00 more
        (
            {"requests": 60_000, "shortfall": 40_000},
            {"requests": 102_000},
            {"requests": 42_000, "shortfall": -40_000},
        ),
        # what nobody had used before
        ({"requests": 100}, {"requests": 100, "storage": 250}, {"storage": 250}),
    ],
)
def test_late_usage_charges_what_the_whole_period_comes_to_more(
    issued: dict[str, int], now: dict[str, int], expected: dict[str, int]
) -> None:
    found = change_of(issued=lines(**issued), earlier=(), now=lines(**now))
    if not expected or not sum(expected.values()):
        assert found is None
    else:
        assert found == Additional(
            {key(name): minor for name, minor in expected.items()}, sum(expected.values())
        )


@pytest.mark.parametrize(
    ("issued", "now", "expected"),
    [
        # events were voided
        ({"requests": 10_000}, {"requests": 9_000}, {"requests": 1_000}),
        # all of them
        ({"requests": 10_000}, {}, {"requests": 10_000}),
        # one Sku came to more, another to less: the difference is given back, of the latter
        ({"requests": 10_000, "storage": 500}, {"requests": 9_000, "storage": 700}, {"requests": 800}),
        # two came to less, in proportion
        (
            {"requests": 10_000, "storage": 500, "tokens": 0},
            {"requests": 9_000, "storage": 0, "tokens": 300},
            {"requests": 800, "storage": 400},
        ),
    ],
)
def test_less_is_given_back_by_a_credit_note(
    issued: dict[str, int], now: dict[str, int], expected: dict[str, int]
) -> None:
    found = change_of(issued=lines(**issued), earlier=(), now=lines(**now))
    assert found == GivenBack({key(name): minor for name, minor in expected.items()}, sum(expected.values()))


def test_an_account_that_closes_is_charged_by_an_invoice_of_its_own() -> None:
    assert (carrier_of(follows=True), carrier_of(follows=False)) == ("NextInvoice", "AdjustmentInvoice")


def test_lines_of_other_days_are_other_lines() -> None:
    (one,) = lines(requests=100)
    later = replace(one, first_day=date(2026, 10, 15))
    assert charged(one) != charged(later)
