"""Worked examples of other systems about aggregation (area 2 of the golden cases), through the real rules."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest

from milo_billing.accounts.rules.bound_days import bound_days
from milo_billing.accounts.types import PayerInterval
from milo_billing.catalog.types import QuantityRounding
from milo_billing.kernel.periods import Period, days
from milo_billing.pricing.rules.quantities import rounded
from tests.golden import GoldenCase, golden_cases, require_golden_cases, unaccounted
from tests.unit.pricing.builders import meter
from tests.unit.pricing.metering import Used, charged

CASES = golden_cases("AG-")

RULED_OUT = {
    "AG-012": "of two events with one id the first one wins, and the other is reported (domain.md §4)",
    "AG-032": "a window is a billing day or a rating period, never an hour (domain.md §4)",
}

FROM, UNTIL = datetime(2022, 7, 9, tzinfo=UTC), datetime(2022, 8, 9, tzinfo=UTC)
"""The period of the prorated counts, 9 July to 8 August, and who was bound in it when."""
BOUND = {
    "AG-022": [(FROM, datetime(2022, 7, 24, 23, 59, 59, tzinfo=UTC))],
    "AG-025": [(FROM + timedelta(days=15), UNTIL)],
    "AG-026": [(FROM + timedelta(hours=hour), FROM + timedelta(hours=hour + 1)) for hour in (1, 5, 9)],
}


def sum_of_events(case: GoldenCase) -> None:
    events = [Used(number, int(value)) for number, (_, value) in enumerate(case.input["events"])]
    assert sum(charged(events, meter("meter", "Sum")).values()) == int(case.expected["value"])
    if "count" in case.expected:
        assert sum(charged(events, meter("meter", "Count")).values()) == case.expected["count"]


def prorated_unique_count(case: GoldenCase) -> None:
    intervals = [
        PayerInterval(1, 1, 1, UUID(int=1), "b", "p", start, end, 1) for start, end in BOUND[case.id]
    ]
    bound = bound_days(intervals, account=1, period=Period(FROM, UNTIL), zone="Etc/UTC")
    assert bound == {1: (int(case.input["days_counted"]), int(case.input["period_days"]))}
    found = sum(charged([Used(1, 1)], meter("meter", "UniqueCount"), bound=bound).values())
    shown = rounded(Fraction(found), QuantityRounding("Up", 5))
    assert shown == Fraction(Decimal(case.expected["value"]))


def daily_windows(case: GoldenCase) -> None:
    start, end = (datetime.fromisoformat(case.input[name]) for name in ("start", "end"))
    found = days(Period(start.astimezone(UTC), end.astimezone(UTC)), zone="Etc/UTC")
    assert [day.isoformat() for day in found] == case.expected["bucket_starts"]


CHECKS: dict[str, Callable[[GoldenCase], None]] = {
    "AG-003": sum_of_events,
    "AG-004": sum_of_events,
    "AG-006": sum_of_events,
    "AG-022": prorated_unique_count,
    "AG-025": prorated_unique_count,
    "AG-026": prorated_unique_count,
    "AG-031": daily_windows,
}


@pytest.mark.parametrize("case", [case for case in CASES if case.id in CHECKS], ids=str)
def test_an_example_of_aggregation_comes_out_as_its_source_says(case: GoldenCase) -> None:
    CHECKS[case.id](case)


def test_every_example_of_aggregation_runs_or_is_ruled_out() -> None:
    require_golden_cases()
    assert unaccounted(CASES, CHECKS, RULED_OUT) == []
