"""Which usage has to be read day by day, and over which stretches the rest may be added up."""

from dataclasses import replace
from datetime import date

import pytest

from milo_billing.catalog.types import Window
from milo_billing.kernel.aggregation import Aggregation
from milo_billing.pricing.rules.reading import ReadingPlan, reading_plan
from milo_billing.pricing.types import BookSource, RateCard
from tests.unit.pricing.builders import END_DAY, FIRST_DAY, book, card, meter, per_unit, percentage, sku

MIDDLE = date(2026, 10, 11)
SKUS = [sku("calls", meter="calls"), sku("fee", meter="")]


@pytest.mark.parametrize(
    ("aggregation", "window", "read"),
    [
        ("Sum", "Period", "stretch"),
        ("Sum", "Day", "stretch"),  # the sum of sums
        ("Count", "Period", "stretch"),
        ("Average", "Period", "stretch"),
        ("Average", "Day", "day"),
        ("Max", "Period", "bounded"),
        ("Min", "Period", "bounded"),
        ("Max", "Day", "day"),
        ("Latest", "Period", "day"),
        ("UniqueCount", "Period", "day"),
    ],
)
def test_what_days_come_to_decides_how_a_meter_is_read(
    aggregation: Aggregation, window: Window, read: str
) -> None:
    measured = replace(meter("calls", aggregation, window=window), number=7)
    plan = reading_plan(
        replace(card([book(per_unit("1", sku="calls"))], SKUS), meters={"calls": measured}),
        first_day=FIRST_DAY,
        end_day=END_DAY,
    )
    assert plan == ReadingPlan((FIRST_DAY,), (7,) if read == "bounded" else (), (7,) if read == "day" else ())


def test_stretches_begin_where_prices_change_and_what_a_percentage_divides_is_read_by_day() -> None:
    """The fee is taken of the calls of 21 days of October; the disk is none of its business."""
    known = [sku("calls", meter="calls"), sku("disk", meter="disk"), sku("fee", meter="")]
    listed = book(per_unit("1", sku="calls"), per_unit("1", sku="disk"))
    agreed = book(percentage("5", ["calls"], sku="fee"), number=2)
    sources = (
        BookSource("Entitlement", "agreed", (agreed,), first_day=MIDDLE),
        BookSource("List", "list", (listed,)),
    )
    meters = {name: replace(meter(name), number=number) for name, number in (("disk", 9), ("calls", 4))}
    given = RateCard("USD", sources, {one.name: one for one in known}, meters)
    plan = reading_plan(given, first_day=FIRST_DAY, end_day=END_DAY)
    assert plan == ReadingPlan((FIRST_DAY, MIDDLE), (), (4,))


def test_meters_are_told_by_number_in_order() -> None:
    numbers: list[tuple[Aggregation, int]] = [
        ("Max", 9),
        ("Latest", 8),
        ("Min", 3),
        ("Latest", 2),
        ("Sum", 1),
    ]
    meters = {str(number): replace(meter("calls", kind), number=number) for kind, number in numbers}
    plan = reading_plan(
        replace(card([book(per_unit("1", sku="calls"))], SKUS), meters=meters),
        first_day=FIRST_DAY,
        end_day=END_DAY,
    )
    assert plan == ReadingPlan((FIRST_DAY,), (3, 9), (2, 8))
