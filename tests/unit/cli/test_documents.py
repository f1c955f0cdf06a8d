"""Which invoices are of a month, as `invoices save --month` takes them."""

from typing import cast

import pytest

from milo_billing.cli.documents import period_month
from milo_billing.client.generated import Invoice


@pytest.mark.parametrize(
    ("end", "month"),
    [
        ("2026-11-01T00:00:00Z", (2026, 10)),  # UTC
        ("2026-10-31T10:00:00Z", (2026, 10)),  # Kiribati, 14 hours ahead
        ("2026-11-01T11:00:00Z", (2026, 10)),  # Niue, 11 hours behind
        ("2027-01-01T00:00:00Z", (2026, 12)),
        ("2026-11-28T00:00:00Z", (2026, 10)),  # invoice day 28
    ],
)
def test_an_invoice_is_of_the_month_in_which_its_last_rating_period_starts(
    end: str, month: tuple[int, int]
) -> None:
    assert period_month(cast("Invoice", {"spec": {"period": {"end": end}}})) == month
