"""Interest on what is overdue: which days, on what, and the same in whatever steps it is charged."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milo_billing.invoicing.rules.late_interest import Charged, Owed, Settling, decide, stretches
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.periods import Period

DUE = date(2026, 12, 2)
TOTAL = 100_000


def invoice() -> Invoice:
    """1,000.00 dollars at 8 % a year, to be paid by 2 December 2026."""
    month = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    issued = datetime(2026, 11, 2, tzinfo=UTC)
    return Invoice(
        uid=UUID(int=1),
        name="kc-1",
        namespace="organization-acme",
        owner_org=1,
        account=1,
        account_name="main",
        kind="Periodic",
        period=month,
        phase="PastDue",
        issuer="kestrel",
        series="KC-",
        sequence=1,
        number="KC-1",
        currency="USD",
        subtotal_minor=TOTAL,
        discounts_minor=0,
        tax_minor=0,
        total_minor=TOTAL,
        amount_paid_minor=0,
        issued_at=issued,
        issued_on=issued.date(),
        due_on=DUE,
        interest_percent=Decimal(8),
    )


@pytest.mark.parametrize(
    ("became", "until", "found"),
    [
        ([], 1, []),  # the last day to pay
        ([], 2, [(1, 2, TOTAL)]),  # the first day overdue
        ([Settling("Payment", TOTAL, DUE)], 30, []),
        ([Settling("Payment", TOTAL, DUE + timedelta(10))], 30, [(1, 11, TOTAL)]),  # ten days late
        (
            [Settling("Payment", 60_000, DUE + timedelta(10))],
            30,
            [(1, 11, TOTAL), (11, 30, 40_000)],
        ),
        ([Settling("CreditNote", 60_000, DUE + timedelta(10))], 30, [(1, 30, 40_000)]),  # never was owed
        (
            [
                Settling("Payment", TOTAL, DUE),
                Settling("PaymentReversal", -TOTAL, DUE + timedelta(5)),
            ],
            30,
            [(6, 30, TOTAL)],
        ),
        ([Settling("WriteOff", TOTAL, DUE + timedelta(20))], 30, [(1, 21, TOTAL)]),
        (
            [  # nobody owed what was off while it was
                Settling("Payment", TOTAL - 2000, DUE),
                Settling("EarlyPaymentDiscount", 2000, DUE),
                Settling("PaymentReversal", 2000 - TOTAL, DUE + timedelta(5)),
                Settling("DiscountReversal", -2000, DUE + timedelta(5)),
            ],
            30,
            [(6, 30, TOTAL)],
        ),
    ],
)
def test_what_is_due_when_a_day_begins_bears_interest_for_it(
    became: list[Settling], until: int, found: list[tuple[int, int, int]]
) -> None:
    """Days are counted from the last day to pay."""
    got = stretches(invoice(), became, until=DUE + timedelta(until))
    assert [((one.first - DUE).days, (one.end - DUE).days, one.owed_minor) for one in got] == found


@given(
    payments=st.lists(st.tuples(st.integers(-5, 90), st.integers(1, 25_000)), max_size=4),
    runs=st.sets(st.integers(1, 120), max_size=6),
)
def test_any_sequence_of_runs_charges_the_same_and_each_day_once(
    payments: list[tuple[int, int]], runs: set[int]
) -> None:
    became = [Settling("Payment", minor, DUE + timedelta(day)) for day, minor in payments]
    last = 130

    def charge(days: list[int]) -> tuple[int, date | None]:
        charged = Charged(None, 0)
        for day in days:
            owed = decide(invoice(), became, charged=charged, until=DUE + timedelta(day))
            if owed is None:
                continue
            assert isinstance(owed, Owed)
            assert owed.first == (charged.until or DUE + timedelta(1)), "no gap, and no day twice"
            charged = Charged(owed.end, charged.amount_minor + owed.amount_minor)
        return charged.amount_minor, charged.until

    assert charge([*sorted(runs), last]) == charge([last])
