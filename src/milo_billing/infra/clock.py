"""The only place that reads a clock or makes randomness; doors call it once and pass the values down."""

import secrets
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What time it is, for a door."""

    def now(self) -> datetime:
        """The instant, aware, UTC, microseconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The machine's instant in UTC."""
        return datetime.now(UTC)


class SimulatedClock:
    """Starts at `start` when it is made and goes on at the pace of real time.

    For demos and tests of months that are over. The server makes one before it starts its processes, so that all of
    them read the same time, also after one was restarted.
    """

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a simulated clock needs an aware instant, such as 2026-10-01T00:00:00Z")
        self._start = start.astimezone(UTC)
        self._origin_s = time.monotonic()

    def now(self) -> datetime:
        """`start` plus the time that has passed since."""
        return self._start + timedelta(seconds=time.monotonic() - self._origin_s)


def new_uid() -> uuid.UUID:
    """A random uid, for an object or an audit id."""
    return uuid.uuid4()


def random_bits(n: int) -> int:
    """`n` bits from the system's secure source, as a non-negative integer; fit for tokens."""
    return secrets.randbits(n)


def monotonic_s() -> float:
    """Seconds on a clock that never goes back: for measuring and for time limits, never for facts."""
    return time.monotonic()
