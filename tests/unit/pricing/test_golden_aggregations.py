"""Worked examples of other systems about aggregation (area 2 of the golden cases), through the real rules."""

from collections.abc import Mapping
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
from tests.golden import GoldenCase, Later, RuledOut, Way, account_for, golden_cases, require_golden_cases
from tests.unit.pricing.builders import meter
from tests.unit.pricing.metering import Used, charged

CASES = golden_cases("AG-")

FIRST_WINS = RuledOut(8, "of two events with one id the first one wins, and the other is reported")
NO_HOURS = RuledOut(10, "a window is a billing day or a rating period, never an hour")
NOT_WEIGHTED = RuledOut(
    11, "a sum is not weighted by time: what is kept for a time is metered as units × time"
)

FROM, UNTIL = datetime(2022, 7, 9, tzinfo=UTC), datetime(2022, 8, 9, tzinfo=UTC)
"""A period of 31 days."""


def sum_of_events(case: GoldenCase) -> None:
    events = [Used(number, int(value)) for number, (_, value) in enumerate(case.input["events"])]
    assert sum(charged(events, meter("meter", "Sum")).values()) == int(case.expected["value"])
    if "count" in case.expected:
        assert sum(charged(events, meter("meter", "Count")).values()) == case.expected["count"]


def prorated_unique_count(case: GoldenCase) -> None:
    """One key of a project that is bound for some days of the period."""
    counted, period_days = (int(case.input[name]) for name in ("days_counted", "period_days"))
    until = FROM + timedelta(days=period_days)
    stretches = [(FROM, FROM + timedelta(days=counted))] if counted else []
    bound = bound_on(stretches, until=until)
    assert bound.get(1, (0, period_days)) == (counted, period_days)
    found = sum(charged([Used(1, 1)], meter("meter", "UniqueCount"), bound=bound).values())
    places = int(case.input["rounding"].removeprefix("ceil ").removesuffix("dp"))
    shown = rounded(Fraction(found), QuantityRounding("Up", places))
    assert shown == Fraction(Decimal(case.expected["value"]))


def bound_on(
    stretches: list[tuple[datetime, datetime]], *, until: datetime = UNTIL
) -> Mapping[int, tuple[int, int]]:
    intervals = [PayerInterval(1, 1, 1, UUID(int=1), "b", "p", start, end, 1) for start, end in stretches]
    return bound_days(intervals, account=1, period=Period(FROM, until), zone="Etc/UTC")


@pytest.mark.parametrize(
    ("stretches", "days_counted"),
    [
        ([(FROM, datetime(2022, 7, 24, 23, 59, 59, tzinfo=UTC))], 16),  # AG-022
        ([(FROM + timedelta(days=15), UNTIL)], 16),  # AG-025
        (
            [(FROM + timedelta(hours=hour), FROM + timedelta(hours=hour + 1)) for hour in (1, 5, 9)],
            1,
        ),  # AG-026
    ],
)
def test_any_part_of_a_day_counts_as_the_day(
    stretches: list[tuple[datetime, datetime]], days_counted: int
) -> None:
    assert bound_on(stretches) == {1: (days_counted, 31)}


def daily_windows(case: GoldenCase) -> None:
    start, end = (datetime.fromisoformat(case.input[name]) for name in ("start", "end"))
    found = days(Period(start.astimezone(UTC), end.astimezone(UTC)), zone="Etc/UTC")
    assert [day.isoformat() for day in found] == case.expected["bucket_starts"]


def way_of(case: GoldenCase) -> Way | RuledOut | Later | None:
    """How a case is run, told by what it contains, so that further cases of a kind run as well."""
    match case.input:
        case {"events": [*events], "period_days": _}:
            return sum_of_events if _all_at_the_start(events) else NOT_WEIGHTED
        case {"events": [*events]} if _has_duplicates(events):
            return FIRST_WINS
        case {"days_counted": str(), "period_days": str(), "carried": "0", "rounding": str(rounding)}:
            return prorated_unique_count if rounding.startswith("ceil ") else None
        case {"start": str(), "end": str(), "window": "DAY"}:
            return daily_windows
        case {"window": str()}:
            return NO_HOURS
        case _:
            return None


def _all_at_the_start(events: list[list[str]]) -> bool:
    """Of the month: then what is weighted by time is the sum."""
    return all(time.endswith("-01T00:00:00") for time, _ in events)


def _has_duplicates(events: list[list[str]]) -> bool:
    """Events of (id, time, value), some with one id."""
    ids = [event[0] for event in events if len(event) == 3]
    return len(set(ids)) < len(ids)


ACCOUNTED = account_for("area 2, aggregations", CASES, way_of)


@pytest.mark.shared
@pytest.mark.parametrize("case", [case for case in CASES if case.id in ACCOUNTED.reproduced], ids=str)
def test_an_example_of_aggregation_comes_out_as_its_source_says(case: GoldenCase) -> None:
    ACCOUNTED.reproduced[case.id](case)


@pytest.mark.shared
def test_every_example_of_aggregation_runs_or_is_ruled_out() -> None:
    require_golden_cases()
    print(ACCOUNTED)
    assert ACCOUNTED.forgotten == []
