"""What of a period's usage has to be read day by day, and over which stretches the rest may be added up first.

A price holds on whole stretches of days, so what is added up within one is priced as its days are.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

from milo_billing.catalog.types import Meter
from milo_billing.kernel.aggregation import ADDITIVE, Aggregation
from milo_billing.pricing.rules.bases import divided_segments
from milo_billing.pricing.rules.segments import price_segments
from milo_billing.pricing.types import RateCard

_BOUNDED: Final[frozenset[Aggregation]] = frozenset({"Max", "Min"})


@dataclass(frozen=True, slots=True)
class ReadingPlan:
    """`starts` are the days from which on other prices hold, the period's first day among them, in order.

    Meters are by number. Of the `bounded` the least and greatest of a stretch are enough; the `daily` are read as they
    were rolled up. Of all others, also of those that nothing defines any more, sums and counts of a stretch are enough.
    """

    starts: tuple[date, ...]
    bounded: tuple[int, ...]
    daily: tuple[int, ...]


def reading_plan(card: RateCard, *, first_day: date, end_day: date) -> ReadingPlan:
    """How to read the usage of the days `[first_day, end_day)` for `lines.rate` with this card.

    Raises UnableToRate where a book prices a Sku that does not exist.
    """
    segments = price_segments(card, first_day=first_day, end_day=end_day)
    starts = {day for segment in segments for day in (segment.first_day, segment.end_day)}
    divided = {segment.sku.meter_name for segment in divided_segments(segments)}
    bounded: list[int] = []
    daily: list[int] = []
    for meter in sorted(card.meters.values(), key=lambda meter: meter.number):
        if meter.meter_name in divided or not _may_be_summed(meter):
            daily.append(meter.number)
        elif meter.aggregation in _BOUNDED:
            bounded.append(meter.number)
    return ReadingPlan(
        starts=(first_day, *sorted(day for day in starts if first_day < day < end_day)),
        bounded=tuple(bounded),
        daily=tuple(daily),
    )


def _may_be_summed(meter: Meter) -> bool:
    """Whether the days of a stretch can be merged before its value is taken.

    Values of a day are each day's own. The keys of a UniqueCount are counted by row. What came last is rarely
    asked for, and ordered by instants.
    """
    if meter.aggregation in ADDITIVE:
        return True
    return meter.window == "Period" and meter.aggregation in (*_BOUNDED, "Average")
