"""Seven aggregations, series and windows: what is charged, and whose it is."""

from fractions import Fraction
from typing import Any

import pytest

from milo_billing.catalog.types import Meter
from milo_billing.kernel.aggregation import Aggregation
from tests.unit.pricing.builders import book, card, meter, per_unit, rate_october, sku
from tests.unit.pricing.metering import Used, charged, rolled_up

EU, US = (("region", "eu"),), (("region", "us"),)

EVENTS = [
    Used(1, 10, hour=1, region="eu", user="ann"),
    Used(2, 40, hour=30, region="eu", user="bob"),
    Used(3, 25, hour=30, region="us", user="ann"),
    Used(4, 5, hour=40, region="us", user="cid"),
    Used(5, 7, hour=2, project=2, user="ann"),
]
"""Two projects; project 1 works in two regions, on two days."""


def total(aggregation: Aggregation, **measurement: Any) -> int | Fraction:
    return sum(charged(EVENTS, metered(aggregation, **measurement)).values())


def metered(aggregation: Aggregation, **measurement: Any) -> Meter:
    return meter("meter", aggregation, **measurement)


@pytest.mark.parametrize(
    ("aggregation", "period", "by_day", "by_region"),
    [
        ("Sum", 87, 87, 87),
        ("Count", 5, 5, 5),
        ("Max", 40 + 7, 10 + 40 + 7, 40 + 25 + 7),
        ("Min", 5 + 7, 10 + 5 + 7, 10 + 5 + 7),
        ("Latest", 5 + 7, 10 + 5 + 7, 40 + 5 + 7),
        ("Average", 20 + 7, 10 + Fraction(70, 3) + 7, 25 + 15 + 7),
        ("UniqueCount", 3 + 1, 1 + 3 + 1, 2 + 2 + 1),
    ],
)
def test_a_series_has_one_value_a_window_and_the_values_add_up(
    aggregation: Aggregation, period: int, by_day: int | Fraction, by_region: int
):
    assert total(aggregation) == period
    assert total(aggregation, window="Day") == by_day
    assert total(aggregation, series_by=("region",)) == by_region


def test_of_the_same_time_the_greater_id_is_the_latest():
    at_once = [Used(2, 20), Used(9, 90, region="eu"), Used(3, 30)]
    assert sum(charged(at_once, metered("Latest")).values()) == 90


def test_a_value_is_shared_by_what_each_dimension_set_would_come_to_alone():
    assert charged(EVENTS, metered("Max")) == {
        (1, EU): 40 * Fraction(40, 65),
        (1, US): 40 * Fraction(25, 65),
        (2, ()): 7,
    }


def test_what_lowers_the_value_bears_no_share_of_it():
    mixed = [Used(1, -4, region="eu"), Used(2, 6, region="us")]
    assert charged(mixed, metered("Max")) == {(1, EU): 0, (1, US): 6}
    assert charged(mixed, metered("Min")) == {(1, EU): -4, (1, US): 0}


@pytest.mark.parametrize("aggregation", ["Max", "Min", "Latest", "Average", "UniqueCount"])
def test_the_value_of_a_period_is_prorated_by_the_days_bound(aggregation: Aggregation):
    whole = charged(EVENTS, metered(aggregation))
    prorated = charged(EVENTS, metered(aggregation), bound={1: (16, 31)})
    assert prorated == {key: value * (Fraction(16, 31) if key[0] == 1 else 1) for key, value in whole.items()}


@pytest.mark.parametrize("window", ["Period", "Day"])
def test_sums_and_values_of_days_are_not_prorated(window: Any):
    few = {1: (1, 31), 2: (1, 31)}
    assert sum(charged(EVENTS, metered("Sum", window=window), bound=few).values()) == 87
    assert sum(charged(EVENTS, metered("Max", window="Day"), bound=few).values()) == 57


def test_sums_go_beyond_64_bits():
    large = [Used(n, 2**63 - 1) for n in range(3)]
    assert sum(charged(large, metered("Sum")).values()) == 3 * (2**63 - 1)
    assert sum(charged(large, metered("Average")).values()) == 2**63 - 1


def test_an_average_is_an_exact_fraction():
    assert sum(charged([Used(1, 1), Used(2, 0), Used(3, 0)], metered("Average")).values()) == Fraction(1, 3)


def test_a_line_of_a_maximum_says_what_was_metered_and_by_whom():
    rates = card([book(per_unit("2", sku="peak"))], [sku("peak", meter="meter")], {"meter": "Max"})
    (line,) = rate_october(rolled_up(EVENTS), rates, bound={2: (15, 31)}).lines
    assert (line.metered, line.events, line.amount_minor) == (40 + 7 * Fraction(15, 31), 5, 8_677)
    assert [(share.project, share.amount_minor) for share in line.shares] == [(1, 8_000), (2, 677)]
