"""Which months an invoice holds, at the ends of months and years and in a leap year; and what no invoice covers."""

from datetime import UTC, date, datetime

import pytest

from milo_billing.accounts.types import InvoiceFrequency
from milo_billing.invoicing.rules.periods import invoice_holding, months_between, running_month, uncovered
from milo_billing.kernel.periods import Period, billing_month


@pytest.mark.parametrize(
    ("frequency", "month", "first", "last"),
    [
        ("Monthly", 2, 2, 2),
        ("Quarterly", 1, 1, 3),
        ("Quarterly", 2, 1, 3),
        ("Quarterly", 3, 1, 3),
        ("Quarterly", 4, 4, 6),
        ("Quarterly", 12, 10, 12),
        ("Annual", 1, 1, 12),
        ("Annual", 12, 1, 12),
    ],
)
def test_the_invoice_that_holds_a_month(
    frequency: InvoiceFrequency, month: int, first: int, last: int
) -> None:
    found = invoice_holding(2028, month, frequency=frequency, zone="Asia/Kathmandu", invoice_day=15)
    assert found == tuple(
        billing_month(2028, n, zone="Asia/Kathmandu", invoice_day=15) for n in range(first, last + 1)
    )


@pytest.mark.parametrize(
    ("day", "invoice_day", "month"),
    [
        ("2026-11-01", 1, (2026, 11)),
        ("2026-11-30", 1, (2026, 11)),
        ("2026-11-14", 15, (2026, 10)),
        ("2026-11-15", 15, (2026, 11)),
        ("2026-12-31", 28, (2026, 12)),
        ("2027-01-01", 28, (2026, 12)),
        ("2027-01-01", 1, (2027, 1)),
        ("2028-02-29", 28, (2028, 2)),
        ("2028-03-01", 28, (2028, 2)),
        ("2028-03-01", 2, (2028, 2)),
        ("2028-03-31", 28, (2028, 3)),
    ],
)
def test_the_month_that_runs_began_on_the_last_invoice_day(
    day: str, invoice_day: int, month: tuple[int, int]
) -> None:
    assert running_month(date.fromisoformat(day), invoice_day=invoice_day) == month


def days(first: int, end: int) -> Period:
    return Period(datetime(2026, 10, first, tzinfo=UTC), datetime(2026, 10, end, tzinfo=UTC))


@pytest.mark.parametrize(
    ("invoiced", "left"),
    [
        ((days(2, 5),), (days(5, 11),)),  # began before
        ((days(9, 15),), (days(5, 9),)),  # ends after
        ((days(2, 5), days(11, 15)), (days(5, 11),)),  # neighbours on both sides
        ((days(6, 8), days(5, 6)), (days(8, 11),)),  # in any order
        ((days(1, 20),), ()),
    ],
)
def test_what_an_invoice_covers_beyond_the_period_does_not_matter(
    invoiced: tuple[Period, ...], left: tuple[Period, ...]
) -> None:
    assert uncovered((days(5, 11),), invoiced=invoiced) == left


@pytest.mark.parametrize(
    ("first", "last", "months"),
    [
        (date(2026, 11, 15), date(2026, 11, 15), ((2026, 11),)),
        (date(2026, 11, 14), date(2026, 11, 15), ((2026, 10), (2026, 11))),
        (date(2026, 11, 20), date(2027, 1, 14), ((2026, 11), (2026, 12))),
        (date(2026, 11, 20), date(2027, 2, 15), ((2026, 11), (2026, 12), (2027, 1), (2027, 2))),
        (date(2026, 11, 20), date(2026, 10, 1), ()),
    ],
)
def test_the_rating_periods_between_two_days_are_in_order(
    first: date, last: date, months: tuple[tuple[int, int], ...]
) -> None:
    assert months_between(first, last, invoice_day=15) == months
