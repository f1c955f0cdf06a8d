"""Billing days of many instants at once, in the zones of their accounts.

The same local midnights as `kernel.periods`, kept as arrays; a test compares the two in every zone.
"""

from datetime import date, timedelta
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from milo_billing.kernel.periods import local_midnight
from milo_billing.usage.engine.readings import to_us

I64: TypeAlias = NDArray[np.int64]

DAY_US: Final = 86_400_000_000
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_UTC: Final = frozenset(
    {"UTC", "Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu"}
)
_MARGIN_DAYS: Final = 40


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - _EPOCH_ORDINAL


def to_date(number: int) -> date:
    """The day that many days after 1970-01-01."""
    return date.fromordinal(_EPOCH_ORDINAL + number)


class BillingDays:
    """Local midnights of zones, computed as they are needed. Not thread-safe: one preparer at a time."""

    def __init__(self) -> None:
        self._midnights: dict[
            str, tuple[int, I64]
        ] = {}  # zone → first day, its midnight and those that follow

    def days(self, instants: I64, *, zone: str) -> I64:
        """The billing day that holds each instant (microseconds since 1970), as days since 1970."""
        if zone in _UTC:
            return instants // DAY_US
        first, midnights = self._covering(zone, int(instants.min()), int(instants.max()))
        # the last of equal midnights: the day before a date that the zone never had is the one that counts
        return first + np.searchsorted(midnights, instants, side="right") - 1

    def _covering(self, zone: str, low_us: int, high_us: int) -> tuple[int, I64]:
        low, high = low_us // DAY_US - 1, high_us // DAY_US + 2
        first, midnights = self._midnights.get(zone, (low, np.zeros(0, np.int64)))
        last = first + len(midnights) - 1
        if low < first or high > last:
            first, last = min(low - _MARGIN_DAYS, first), max(high + _MARGIN_DAYS, last)
            day = to_date(first)
            midnights = np.fromiter(
                (to_us(local_midnight(day + timedelta(days=n), zone=zone)) for n in range(last - first + 1)),
                np.int64,
            )
            self._midnights[zone] = first, midnights
        return first, midnights
