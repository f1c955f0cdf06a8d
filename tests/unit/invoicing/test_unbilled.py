"""What was earned before a day: by whole service periods, and by days of those that go beyond it."""

from datetime import date

import pytest

from milo_billing.invoicing.rules.unbilled import earned_before, stretch
from milo_billing.kernel.periods import local_day
from milo_billing.ledger.types import Posting, deferred, revenue, tax_payable

NOVEMBER = date(2026, 11, 1)
USAGE = revenue("Usage")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ((USAGE, 3_100, (date(2026, 10, 1), NOVEMBER)), [(USAGE, 3_100, (date(2026, 10, 1), NOVEMBER))]),
        # 17 of 31 days
        ((USAGE, 3_100, (date(2026, 10, 15), date(2026, 11, 15))), [(USAGE, 1_700, (date(2026, 10, 15), NOVEMBER))]),
        ((USAGE, -3_100, (date(2026, 10, 15), date(2026, 11, 15))), [(USAGE, -1_700, (date(2026, 10, 15), NOVEMBER))]),
        # less than a cent a day is nothing
        ((USAGE, 1, (date(2026, 10, 31), date(2026, 11, 15))), []),
        ((USAGE, 3_100, (NOVEMBER, date(2026, 11, 15))), []),
        ((deferred("Recurring"), 3_100, (date(2026, 10, 1), NOVEMBER)), []),
        ((tax_payable("DE"), 590, None), []),
    ],
)  # fmt: skip
def test_what_was_earned_before_a_day(line: Posting, expected: list[Posting]) -> None:
    assert list(earned_before([line], until=NOVEMBER)) == expected


def test_the_last_rating_period_is_cut_where_the_month_ends() -> None:
    zone = "Pacific/Auckland"
    found = stretch(first=date(2026, 8, 15), until=NOVEMBER, zone=zone, invoice_day=15)
    days = [(local_day(one.start, zone=zone), local_day(one.end, zone=zone)) for one in found]
    assert days == [
        (date(2026, 8, 15), date(2026, 9, 15)),
        (date(2026, 9, 15), date(2026, 10, 15)),
        (date(2026, 10, 15), NOVEMBER),
    ]


def test_what_is_invoiced_beyond_the_month_leaves_nothing_to_rate() -> None:
    assert stretch(first=date(2026, 11, 15), until=NOVEMBER, zone="Etc/UTC", invoice_day=15) == ()
