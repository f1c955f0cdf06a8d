"""Days of collection, and when a mandate is over."""

from datetime import date
from uuid import UUID

import pytest

from milo_billing.payments.rules.mandates import (
    History,
    Mandate,
    easter,
    first_collection_day,
    is_business_day,
    is_expired,
)


@pytest.mark.parametrize(
    ("year", "day"), [(2024, "2024-03-31"), (2025, "2025-04-20"), (2026, "2026-04-05"), (2038, "2038-04-25")]
)
def test_easter_is_where_it_is(year: int, day: str) -> None:
    assert easter(year).isoformat() == day


@pytest.mark.parametrize(
    ("day", "open_"),
    [
        ("2026-04-02", True),
        ("2026-04-03", False),  # Good Friday
        ("2026-04-06", False),  # Easter Monday
        ("2026-05-01", False),
        ("2026-12-24", True),
        ("2026-12-25", False),
        ("2026-11-21", False),  # a Saturday
    ],
)
def test_banks_settle_on_business_days(day: str, open_: bool) -> None:
    assert is_business_day(date.fromisoformat(day)) is open_


@pytest.mark.parametrize(
    ("today", "first"),
    [("2026-11-16", "2026-11-19"), ("2026-11-19", "2026-11-24"), ("2026-04-01", "2026-04-08")],
)
def test_the_bank_has_two_business_days_before_the_collection(today: str, first: str) -> None:
    assert first_collection_day(date.fromisoformat(today)).isoformat() == first


def test_a_mandate_is_over_36_months_after_its_last_use() -> None:
    mandate = Mandate(UUID(int=1), 1, 1, "M", date(2023, 11, 20), "CORE", "Zoé", "", "")
    assert not is_expired(mandate, History(), on=date(2026, 11, 19))
    assert is_expired(mandate, History(), on=date(2026, 11, 20))
    assert not is_expired(mandate, History(1, date(2025, 1, 1)), on=date(2026, 11, 20))
