"""The command line's own door to the clock and to randomness.

A command is a process of its own that speaks HTTP only, so it may not import the server's clock. It reads the
time here, once, and passes it on.
"""

import secrets
import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    """The instant, in UTC, to the microsecond."""
    return _EPOCH + timedelta(microseconds=time.time_ns() // 1000)


def random_bits(count: int) -> int:
    """That many random bits, for ids."""
    return secrets.randbits(count)
