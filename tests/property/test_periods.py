"""Periods tile the time line, in every zone of the IANA database (domain.md §1)."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milo_billing.kernel.periods import (
    INTERVAL_MONTHS,
    INVOICE_DAY_MAX,
    DaySpan,
    Interval,
    Period,
    add_months,
    billing_month,
    days,
    interval_of,
    local_day,
    local_midnight,
    term_of,
)

ZONES = sorted(available_timezones() - {"localtime", "Factory"})
zones = st.sampled_from(ZONES)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
instants = st.timedeltas(timedelta(days=-25_000), timedelta(days=47_000)).map(lambda since: EPOCH + since)
INSTANT = timedelta(microseconds=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize("zone", ZONES)
def test_billing_months_tile_the_years_and_their_days_tile_them(zone: str) -> None:
    for year in (1993, 2011, 2025):
        months = [billing_month(year, month, zone=zone) for month in range(1, 13)]
        for earlier, later in pairwise(months):
            assert earlier.end == later.start
        edges = [local_midnight(day, zone=zone) for month in months for day in days(month, zone=zone)]
        assert edges == sorted(set(edges))
        assert edges[0] == months[0].start
        assert len(edges) in (364, 365, 366)


@given(zone=zones, instant=instants)
def test_every_instant_lies_in_exactly_its_own_local_day(zone: str, instant: datetime) -> None:
    day = local_day(instant, zone=zone)
    assert local_midnight(day, zone=zone) <= instant < local_midnight(day + DAY, zone=zone)


@given(zone=zones, instant=instants, later=st.timedeltas(timedelta(0), timedelta(days=3)))
def test_the_local_day_never_goes_back(zone: str, instant: datetime, later: timedelta) -> None:
    assert local_day(instant, zone=zone) <= local_day(instant + later, zone=zone)


@given(zone=zones, day=st.dates(date(1900, 1, 2), date(2100, 12, 30)))
def test_midnight_is_the_first_instant_of_its_day(zone: str, day: date) -> None:
    midnight = local_midnight(day, zone=zone)
    assert local_day(midnight, zone=zone) >= day
    assert local_day(midnight - INSTANT, zone=zone) < day


@given(
    zone=zones,
    year=st.integers(1900, 2100),
    month=st.integers(1, 12),
    invoice_day=st.integers(1, 28),
)
def test_months_on_any_invoice_day_touch(zone: str, year: int, month: int, invoice_day: int) -> None:
    period = billing_month(year, month, zone=zone, invoice_day=invoice_day)
    following = billing_month(year + month // 12, month % 12 + 1, zone=zone, invoice_day=invoice_day)
    assert period.end == following.start
    assert period.start in period
    assert period.end not in period
    assert 27 <= len(days(period, zone=zone)) <= 31


@given(zone=zones, start=instants, length=st.timedeltas(INSTANT, timedelta(days=40)))
def test_days_cover_a_period_without_gap_or_overlap(zone: str, start: datetime, length: timedelta) -> None:
    period = Period(start, start + length)
    found = days(period, zone=zone)
    assert local_midnight(found[0], zone=zone) <= period.start
    assert period.end <= local_midnight(found[-1] + DAY, zone=zone)
    for earlier, later in pairwise(found):
        assert local_midnight(earlier + DAY, zone=zone) == local_midnight(later, zone=zone)


dates = st.dates(date(1900, 1, 1), date(2200, 1, 1))
intervals = st.sampled_from(sorted(INTERVAL_MONTHS))


@given(day=dates, anchor=dates, months=st.integers(1, 36))
def test_every_day_lies_in_exactly_one_term_of_an_anchor(day: date, anchor: date, months: int) -> None:
    term = term_of(day, anchor=anchor, months=months)
    assert day in term
    assert term_of(term.start, anchor=anchor, months=months) == term
    assert term_of(term.end - DAY, anchor=anchor, months=months) == term
    assert term_of(term.end, anchor=anchor, months=months).start == term.end


@given(day=dates, interval=intervals, invoice_day=st.integers(1, INVOICE_DAY_MAX))
def test_longer_intervals_are_made_of_shorter_ones(day: date, interval: Interval, invoice_day: int) -> None:
    found = interval_of(day, interval=interval, invoice_day=invoice_day)
    assert day in found
    for shorter in sorted(INTERVAL_MONTHS):
        if INTERVAL_MONTHS[shorter] <= INTERVAL_MONTHS[interval]:
            assert interval_of(found.start, interval=shorter, invoice_day=invoice_day).start == found.start
            assert interval_of(found.end - DAY, interval=shorter, invoice_day=invoice_day).end == found.end


def test_a_month_after_a_month_end_is_clamped_and_the_anchor_is_kept() -> None:
    found = [add_months(date(2024, 1, 31), count) for count in range(-2, 4)]
    wanted = ("2023-11-30", "2023-12-31", "2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30")
    assert found == [date.fromisoformat(text) for text in wanted]


def test_a_span_of_no_days_is_refused() -> None:
    with pytest.raises(ValueError, match="ends after it starts"):
        DaySpan(date(2026, 1, 1), date(2026, 1, 1))
