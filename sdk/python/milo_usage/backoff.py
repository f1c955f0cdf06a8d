"""How long to wait before trying again. Pure."""

from typing import Final

FIRST_S: Final = 0.25
MOST_S: Final = 60.0
DENIED_S: Final = 30.0
"""After an answer that only a person can change."""

_DOUBLINGS_MAX: Final = 16


def wait_s(failures: int, *, chance: float) -> float:
    """Seconds before the next try after so many failures in a row, at least one.

    Doubles up to a minute; `chance` in 0..1 takes it from the upper half of that, so that many senders whose gateway
    comes back do not come back together.
    """
    most = min(MOST_S, FIRST_S * 2 ** min(failures - 1, _DOUBLINGS_MAX))
    return most * (0.5 + chance / 2)
