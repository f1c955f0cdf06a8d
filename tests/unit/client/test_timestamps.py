"""Instants as files write them."""

from datetime import UTC, datetime

import pytest

from milo_billing.client.timestamps import format_instant, parse_instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2023-11-16T18:17:03Z", "2023-11-16T18:17:03Z"),
        ("2023-11-16 18:17:03.9799600", "2023-11-16T18:17:03.979960Z"),  # 100 ns, no zone: UTC
        ("2023-11-16 18:17:03.999999999", "2023-11-16T18:17:03.999999Z"),  # truncated, never rounded up
        ("2023-11-16T18:17:03.5+02:00", "2023-11-16T16:17:03.500000Z"),
        ("2023-11-16T18:17:03-0530", "2023-11-16T23:47:03Z"),
        ("2024-02-29t00:00:00z", "2024-02-29T00:00:00Z"),
        ("  2023-11-16T18:17:03Z ", "2023-11-16T18:17:03Z"),
    ],
)
def test_an_instant_is_read_as_utc_microseconds(text: str, instant: str):
    assert format_instant(parse_instant(text)) == instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2023-11-16",
        "16/11/2023 18:17:03",
        "2023-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2023-11-16T24:00:01Z",
        "2023-11-16T18:17:03.1234567890Z",
        "2023-11-16T18:17:03+25:00",
        "1700158623",
    ],
)
def test_anything_else_is_refused(text: str):
    with pytest.raises(ValueError):
        parse_instant(text)


def test_whole_seconds_are_written_without_a_fraction():
    assert format_instant(datetime(2026, 10, 1, tzinfo=UTC)) == "2026-10-01T00:00:00Z"
