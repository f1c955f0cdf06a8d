"""The calendar of a time zone, where the clock misbehaves."""

from datetime import UTC, date, datetime, timedelta

import pytest

from milo_billing.kernel.periods import (
    Period,
    UnknownTimeZone,
    billing_day,
    billing_month,
    days,
    local_day,
    parse_month,
    time_zone,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_a_period_holds_its_start_and_not_its_end() -> None:
    period = Period(at("2026-10-01T00:00Z"), at("2026-11-01T00:00Z"))
    assert period.start in period
    assert period.end not in period
    assert period.end - timedelta(microseconds=1) in period
    assert period.duration == timedelta(days=31)


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        ("2026-10-01T00:00:00", "2026-11-01T00:00:00", "need"),
        ("2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00", "UTC"),
        ("2026-10-01T00:00:00+00:00", "2026-10-01T00:00:00+00:00", "ends after it starts"),
        ("2026-10-02T00:00:00+00:00", "2026-10-01T00:00:00+00:00", "ends after it starts"),
    ],
)
def test_a_period_refuses_what_is_no_stretch_of_utc(start: str, end: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Period(datetime.fromisoformat(start), datetime.fromisoformat(end))


def test_periods_sort_by_start_then_end() -> None:
    march, april = billing_month(2026, 3, zone="Etc/UTC"), billing_month(2026, 4, zone="Etc/UTC")
    assert sorted([april, march]) == [march, april]


@pytest.mark.parametrize(
    ("zone", "day", "midnight", "hours"),
    [
        ("Etc/UTC", "2026-10-01", "2026-10-01T00:00Z", 24),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00Z", 23),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00Z", 25),
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00Z", 24.5),
        (
            "America/Havana",
            "2026-03-08",
            "2026-03-08T05:00Z",
            23,
        ),  # midnight is skipped: the day begins at 01:00
        ("America/Havana", "2026-11-01", "2026-11-01T04:00Z", 25),  # midnight comes twice: the first counts
        (
            "America/St_Johns",
            "1987-10-25",
            "1987-10-25T02:30Z",
            25,
        ),  # clocks went back over midnight at 00:01
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00Z", 23),
        ("Asia/Kathmandu", "2026-10-01", "2026-09-30T18:15Z", 24),
    ],
)
def test_a_day_begins_at_the_first_instant_of_its_date(
    zone: str, day: str, midnight: str, hours: float
) -> None:
    period = billing_day(date.fromisoformat(day), zone=zone)
    assert period.start == at(midnight)
    assert period.duration == timedelta(hours=hours)


def test_a_clock_put_back_over_midnight_does_not_put_the_day_back() -> None:
    assert local_day(at("1987-10-25T02:31:30Z"), zone="America/St_Johns") == date(
        1987, 10, 25
    )  # wall: 24th, 23:01:30


def test_a_date_that_a_zone_never_had_is_no_day() -> None:
    december = billing_month(2011, 12, zone="Pacific/Apia")
    assert date(2011, 12, 30) not in days(december, zone="Pacific/Apia")
    assert len(days(december, zone="Pacific/Apia")) == 30
    with pytest.raises(ValueError, match="ends after it starts"):
        billing_day(date(2011, 12, 30), zone="Pacific/Apia")


def test_a_month_runs_from_invoice_day_to_invoice_day() -> None:
    assert billing_month(2026, 12, zone="Asia/Tokyo", invoice_day=15) == Period(
        at("2026-12-14T15:00Z"), at("2027-01-14T15:00Z")
    )


@pytest.mark.parametrize("invoice_day", [0, 29, 31])
def test_an_invoice_day_that_some_months_lack_is_refused(invoice_day: int) -> None:
    with pytest.raises(ValueError, match=r"within 1\.\.28"):
        billing_month(2026, 10, zone="Etc/UTC", invoice_day=invoice_day)


def test_days_of_part_of_a_month_are_those_it_touches() -> None:
    period = Period(at("2026-10-03T21:00Z"), at("2026-10-05T22:00Z"))
    assert days(period, zone="Europe/Berlin") == (date(2026, 10, 3), date(2026, 10, 4), date(2026, 10, 5))


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe", "Europe/Berlin\0"])
def test_an_unknown_zone_is_named(name: str) -> None:
    with pytest.raises(UnknownTimeZone):
        time_zone(name)


def test_a_month_is_written_with_a_year_and_two_digits() -> None:
    assert parse_month("2026-10") == (2026, 10)


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "2026-1", "26-10", "2026-10-01", "", "2026/10", "0000-01"]
)
def test_anything_else_is_no_month(text: str) -> None:
    with pytest.raises(ValueError, match="YYYY-MM"):
        parse_month(text)
