"""ULIDs: 48 bits of milliseconds and 80 random ones, 26 characters that sort by time (github.com/ulid/spec).

Owns: ids that increase within a process and are unique over processes. Not: ids that callers bring (events).
"""

import threading
from typing import Final

from milo_usage.clock import Clock

BACK_MS_MAX: Final = 60_000
"""How far the clock may step back before ids follow it.

Up to here ids go on from the last one, so that they increase. Beyond it they start anew at the clock: an id that
is more than an hour ahead of the gateway's clock would be refused.
"""

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_RANDOM_BITS: Final = 80


def encode_ulid(value: int) -> str:
    """The 26 capital digits of 128 bits. Raises ValueError outside 0..2**128 - 1."""
    if not 0 <= value < 2**128:
        raise ValueError(f"{value} does not fit in 128 bits")
    return "".join(_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10))


class Ulids:
    """Ids of one process, each greater than the one before. Thread-safe; after a fork the child makes its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last_ms = -1
        self._last = 0

    def make(self, count: int = 1) -> list[str]:
        """`count` new ids in order."""
        now_ms = self._clock.now_us() // 1_000
        with self._lock:
            if not self._last_ms - BACK_MS_MAX <= now_ms <= self._last_ms:
                self._last_ms = now_ms
                # the highest bit is left free, so that counting up never reaches into the milliseconds
                self._last = now_ms << _RANDOM_BITS | self._clock.random_bits(_RANDOM_BITS - 1)
            first = self._last + 1
            self._last += count
        return [encode_ulid(value) for value in range(first, first + count)]
