"""Instants as files and people write them.

Owns: reading RFC 3339, and the "2023-11-16 18:17:03.9799600" style of exports, and writing RFC 3339. Not: any
clock.
"""

import re
from datetime import UTC, datetime, timedelta

EXPECTED = 'an RFC 3339 time ("2023-11-16T18:17:03Z"), or "2023-11-16 18:17:03.9799600", which is read as UTC'

_INSTANT = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?\s*(Z|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE | re.ASCII,
)


def parse_instant(text: str) -> datetime:
    """The instant in UTC; without an offset it is UTC. Up to nine fraction digits, truncated to microseconds.

    Raises ValueError when the text is of neither form or names no real date and time.
    """
    match = _INSTANT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected {EXPECTED}")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, zone = match.group(7) or "", (match.group(8) or "Z").upper()
    microsecond = int(fraction[:6].ljust(6, "0"))
    local = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)
    if zone == "Z":
        return local
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise ValueError(f"{zone} is no offset from UTC")
    offset = timedelta(hours=hours, minutes=minutes)
    return local - offset if zone[0] == "+" else local + offset


def format_instant(instant: datetime) -> str:
    """RFC 3339 in UTC, with microseconds only where there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
