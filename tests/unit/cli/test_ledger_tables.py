"""What the tables of the books say, for people who close them."""

import pytest

from milo_billing.cli.ledger import service_days


@pytest.mark.parametrize(
    ("first", "after", "says"),
    [
        ("2026-10-01", "2026-11-01", "2026-10-01 to 2026-10-31"),
        ("2026-10-31", "2026-11-01", "2026-10-31"),  # a shortfall is earned on one day
        ("2024-02-01", "2024-03-01", "2024-02-01 to 2024-02-29"),
    ],
)
def test_service_days_name_the_last_day_and_not_the_one_after_it(first: str, after: str, says: str) -> None:
    assert service_days(first, after) == says
