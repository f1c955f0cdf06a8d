"""Bands: dimensions that a meter decides by an event's time of day or value, for many events at once.

Owns: which band holds a value or an instant. Not: which bands there may be (catalog), and where they are kept (labels).
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import product
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from milo_billing.catalog.types import Bands, TimeOfDayBands
from milo_billing.kernel.periods import time_zone
from milo_billing.usage.engine.readings import SECOND_US

I64: TypeAlias = NDArray[np.int64]

MINUTE_S: Final = 60


def band_codes(bands: Sequence[Bands], *, values: I64, instants: I64) -> I64:
    """For each event the place, in `band_labels`, of the bands that hold it. Instants are microseconds since 1970."""
    codes = np.zeros(len(values), np.int64)
    for each in bands:
        codes *= len(each.names)
        if isinstance(each, TimeOfDayBands):
            minutes = minutes_of_day(instants, zone=each.time_zone)
            codes += np.searchsorted(np.array(each.starts, np.int64), minutes, side="right") - 1
        else:
            codes += np.searchsorted(np.array(each.bounds, np.int64), values, side="left")
    return codes


def band_labels(bands: Sequence[Bands]) -> list[dict[str, str]]:
    """The labels behind each code."""
    dimensions = [each.dimension for each in bands]
    return [dict(zip(dimensions, names, strict=True)) for names in product(*(each.names for each in bands))]


def minutes_of_day(instants: I64, *, zone: str) -> I64:
    """What the wall clock of the zone shows at these instants, in minutes after midnight.

    Exact for every zone and time: the clock is asked once for each second that occurs.
    """
    distinct, place = np.unique(instants // SECOND_US, return_inverse=True)
    here = time_zone(zone)
    seconds: list[int] = distinct.tolist()
    shown = np.fromiter((_minute(second, here) for second in seconds), np.int64, len(seconds))
    return shown[place]


def _minute(second: int, here: ZoneInfo) -> int:
    clock = datetime.fromtimestamp(second, here)
    return clock.hour * MINUTE_S + clock.minute
