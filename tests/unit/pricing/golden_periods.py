"""How worked examples of periods and proration are said here: dates of a source become spans of days.

Read by the shape of the input, never by the id of a case. Sources count ends in or out, and say which.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

from milo_billing.kernel.money import minor_to_decimal
from milo_billing.kernel.periods import INTERVAL_MONTHS, DaySpan, Interval, add_months
from milo_billing.pricing.rules.proration import change_legs

DAY = timedelta(days=1)

INTERVALS: Mapping[str, Interval] = {
    "month": "Monthly",
    "monthly": "Monthly",
    "quarter": "Quarterly",
    "quarterly": "Quarterly",
    "year": "Yearly",
    "yearly": "Yearly",
    "annual": "Yearly",
}
"""Words of sources, in small letters."""

_DURATION = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?"
)


def interval_named(word: str) -> Interval | None:
    """The interval that a source calls so; None for weeks, months of thirty days and the like."""
    return INTERVALS.get(word.lower())


def months_in(word: str) -> int | None:
    found = interval_named(word)
    return None if found is None else INTERVAL_MONTHS[found]


def span(pair: list[str], *, end: str = "exclusive") -> DaySpan:
    """Two dates of a source; `end` says whether the second one belongs to them."""
    first, last = (date.fromisoformat(text) for text in pair)
    return DaySpan(first, last + DAY if end == "inclusive" else last)


def later(start: datetime, duration: str) -> datetime | None:
    """An ISO 8601 duration after an instant: its months by the calendar, then the rest. None for other words."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        return None
    years, months, weeks, days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
    day = add_months(start.date(), years * 12 + months)
    rest = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return datetime.combine(day, start.timetz()) + rest


def nine_places(part: Fraction) -> Decimal:
    exact = Decimal(part.numerator) / Decimal(part.denominator)
    return exact.quantize(Decimal("1e-9"), ROUND_HALF_UP)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def assert_legs(old: str, new: str, part: Fraction, expected: Mapping[str, Any]) -> None:
    """Credit and charge of a change as the source has them; some write a credit without its sign."""
    credit, charge = change_legs(Decimal(old), Decimal(new), part, currency="USD")
    found = {"credit": abs(credit), "charge": charge, "net": credit + charge}
    for name, value in expected.items():
        amount = abs(Decimal(value)) if name == "credit" else Decimal(value)
        assert minor_to_decimal(found[name], "USD") == amount, name
