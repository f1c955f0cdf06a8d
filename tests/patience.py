"""Waiting in a test for what another thread brings about, and for how long at most."""

import time
from collections.abc import Callable

PATIENCE_S = 20.0


def until(holds: Callable[[], bool]) -> None:
    """Return as soon as it holds; fail where it does not in time."""
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends, "it did not come to hold"
        time.sleep(0.02)
