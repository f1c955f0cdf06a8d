"""The details of an invoice: shares by day that sum to the share, as rows that no spreadsheet computes with."""

from datetime import date
from decimal import Decimal

from milo_billing.invoicing.rules.details import Detail, Share, split_to_days
from milo_billing.kernel.csv_text import csv_rows

FIRST, SECOND, THIRD = (date(2026, 10, day) for day in (1, 2, 3))


def share(metered: int, quantity: str, minor: int) -> Share:
    return Share(1, 7, "web", {"model": "swift"}, Decimal(metered), Decimal(quantity), minor)


def test_a_share_is_split_in_proportion_and_the_larger_remainder_takes_the_cent() -> None:
    found = split_to_days(share(3, "0.000003", 100), {THIRD: 1, FIRST: 1, SECOND: 1})
    assert [(one.day, one.amount_minor) for one in found] == [(FIRST, 34), (SECOND, 33), (THIRD, 33)]
    assert sum(one.quantity for one in found) == Decimal("0.000003")


def test_days_that_are_not_what_was_invoiced_are_not_told() -> None:
    asked = share(3, "3", 100)
    whole = (Detail(asked, None, Decimal(3), Decimal(3), 100),)
    for metered in ({}, {FIRST: 4}, {FIRST: 5, SECOND: -2}, {FIRST: 0}):
        assert split_to_days(asked, metered) == whole


def test_text_that_begins_like_a_formula_is_text_and_numbers_are_numbers() -> None:
    row = ["=1+1", "@SUM(A1)", "-2", Decimal("-2.50"), Decimal("1E+3"), FIRST, 'say "so"\nhere']
    assert csv_rows([row]) == ('\'=1+1,\'@SUM(A1),\'-2,-2.50,1000,2026-10-01,"say ""so""\nhere"\n')
