"""The only place that reads clocks and randomness; everything else is handed what it needs."""

import os
import time
from typing import Protocol


class Clock(Protocol):
    """What time it is, and bits that nobody can guess."""

    def now_us(self) -> int:
        """Microseconds since 1970, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since whenever; never goes back."""
        ...

    def random_bits(self, count: int) -> int:
        """That many random bits; never the same ones in two processes, a fork included."""
        ...


class SystemClock:
    """The machine's own."""

    def now_us(self) -> int:
        """Microseconds since 1970, UTC."""
        return time.time_ns() // 1_000

    def monotonic_s(self) -> float:
        """Seconds since the machine started, or so."""
        return time.monotonic()

    def random_bits(self, count: int) -> int:
        """From the operating system, so that a fork cannot repeat them."""
        return int.from_bytes(os.urandom((count + 7) // 8), "big") >> (-count % 8)
