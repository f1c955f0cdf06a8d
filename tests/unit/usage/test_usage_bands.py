"""Bands: the clock of a zone and the bounds of values, for many events at once, against one at a time."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from milo_billing.catalog.types import TimeOfDayBands, ValueBands
from milo_billing.usage.engine.bands import band_codes, band_labels, minutes_of_day
from milo_billing.usage.engine.readings import to_us

PEAK = TimeOfDayBands("hours", "Europe/Berlin", (0, 480, 1_200), ("off-peak", "peak", "off-peak"))
SIZE = ValueBands("size", (0, 1_000), ("none", "small", "large"))


def hours(*instants: datetime) -> list[str]:
    us = np.array([to_us(instant) for instant in instants], np.int64)
    codes = band_codes([PEAK], values=np.zeros(len(us), np.int64), instants=us)
    return [band_labels([PEAK])[code]["hours"] for code in codes.tolist()]


def at(*clock: int, zone: str = "Europe/Berlin") -> datetime:
    return datetime(2026, *clock, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def test_a_band_has_its_first_minute_and_not_the_minute_after_its_last():
    microsecond = timedelta(microseconds=1)
    day = [at(10, 5, 8), at(10, 5, 8) - microsecond, at(10, 5, 20) - microsecond, at(10, 5, 20), at(10, 6, 0)]
    assert hours(*day) == ["peak", "off-peak", "peak", "off-peak", "off-peak"]


def test_the_wall_clock_counts_on_both_sides_of_a_clock_change():
    # Berlin is two hours ahead of UTC until 25 October 2026, and one hour from then on
    assert hours(datetime(2026, 10, 24, 6, tzinfo=UTC), datetime(2026, 10, 26, 6, tzinfo=UTC)) == [
        "peak",
        "off-peak",
    ]


def test_a_value_at_a_bound_belongs_to_the_band_below():
    values = np.array([-(2**63), 0, 1, 1_000, 1_001, 2**63 - 1], np.int64)
    codes = band_codes([SIZE], values=values, instants=np.zeros(6, np.int64))
    places: list[int] = codes.tolist()
    assert [band_labels([SIZE])[place]["size"] for place in places] == [
        "none",
        "none",
        "small",
        "small",
        "large",
        "large",
    ]


def test_several_bands_are_decided_together():
    bands = [PEAK, SIZE]
    us = np.array([to_us(at(10, 5, 9)), to_us(at(10, 5, 21))], np.int64)
    codes = band_codes(bands, values=np.array([5, 2_000], np.int64), instants=us)
    assert [band_labels(bands)[code] for code in codes.tolist()] == [
        {"hours": "peak", "size": "small"},
        {"hours": "off-peak", "size": "large"},
    ]


@pytest.mark.parametrize(
    "zone",
    [
        "Etc/UTC",
        "Europe/Berlin",
        "America/St_Johns",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Africa/Monrovia",
    ],
)
def test_minutes_are_those_of_the_clock_through_every_change_of_it(zone: str):
    # 40 years in steps of a little more than 63 hours; Monrovia was 44 min 30 s behind until 1972
    instants = [
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=9, minutes=7, seconds=13) * n
        for n in range(0, 38_000, 7)
    ]
    shown = minutes_of_day(np.array([to_us(each) for each in instants], np.int64), zone=zone)
    local = [each.astimezone(ZoneInfo(zone)) for each in instants]
    assert shown.tolist() == [each.hour * 60 + each.minute for each in local]
