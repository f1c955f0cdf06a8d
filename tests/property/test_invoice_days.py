"""The days of an invoice's details sum to the share that they are of."""

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.invoicing.rules.details import split_to_days
from tests.unit.invoicing.test_details import share


@given(days=st.lists(st.integers(0, 10**12), min_size=1, max_size=31), minor=st.integers(-(10**9), 10**9))
def test_the_days_sum_to_the_share(days: list[int], minor: int) -> None:
    metered = {date.fromordinal(740_000 + index): value for index, value in enumerate(days)}
    asked = share(sum(days), str(Decimal(sum(days)) / 1000), minor)
    found = split_to_days(asked, metered)
    assert sum(one.amount_minor for one in found) == minor
    assert sum(one.metered for one in found) == asked.metered
    assert sum(one.quantity for one in found) == asked.quantity
