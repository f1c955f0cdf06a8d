"""Percentages of what other Skus came to: order, days, whose they are."""

from datetime import date, timedelta
from fractions import Fraction

import pytest

from milo_billing.catalog.types import Price, Sku
from milo_billing.pricing.rules.percentages import discount_line, reduce_line
from milo_billing.pricing.types import RatedLine, UnableToRate, UsageQuantity
from tests.unit.pricing.builders import (
    FIRST_DAY,
    book,
    card,
    flat,
    graduated,
    per_unit,
    percentage,
    rate_october,
    sku,
    tier,
    usage,
    usd,
)

SKUS = [sku(name, meter=name) for name in ("compute", "storage", "support", "fee")]


def rated(rows: list[UsageQuantity], *prices: Price, skus: list[Sku] = SKUS) -> dict[str, RatedLine]:
    return {line.sku.name: line for line in rate_october(rows, card([book(*prices)], skus)).lines}


def used(units: int, name: str, *, project: int = 1, day: date = FIRST_DAY) -> UsageQuantity:
    return usage(units, meter=name, project=project, day=day)


COMPUTE, STORAGE = per_unit("2", sku="compute"), per_unit("0.10", sku="storage")
USAGE = [used(100, "compute"), used(500, "storage"), used(1, "support")]


def support(percent: str = "10", base: str = "compute storage", **more: str | bool) -> Price:
    return percentage(percent, base.split(), sku="support", **more)


def test_a_percentage_is_of_the_settled_amounts_of_its_base() -> None:
    line = rated(USAGE, COMPUTE, STORAGE, support())["support"]
    assert line.amount == usd("25")
    (part,) = line.parts
    assert (part.kind, part.quantity, str(part.unit_price)) == ("Percentage", 250, "0.10")


def test_what_is_not_of_the_base_does_not_count() -> None:
    assert rated(USAGE, COMPUTE, STORAGE, support(base="storage"))["support"].amount == usd("5")


def test_a_percentage_is_of_what_is_left_after_the_minimum_and_maximum_of_its_base() -> None:
    capped = per_unit("2", sku="compute", maximum="120")
    assert rated(USAGE, capped, STORAGE, support())["support"].amount == usd("17")


def test_a_percentage_has_its_own_minimum_and_maximum() -> None:
    assert rated(USAGE, COMPUTE, STORAGE, support(minimum="29"))["support"].amount == usd("29")
    assert rated(USAGE, COMPUTE, STORAGE, support(maximum="20"))["support"].amount == usd("20")


def test_percentages_of_percentages_are_rated_one_after_the_other() -> None:
    fee = percentage("50", ["support"], sku="fee", at_zero=True)
    lines = rated(USAGE, fee, COMPUTE, STORAGE, support())
    assert lines["fee"].amount == usd("12.50")
    assert list(lines) == ["compute", "fee", "storage", "support"]


def test_percentages_of_one_another_cannot_be_rated() -> None:
    fee = percentage("50", ["support"], sku="fee", at_zero=True)
    with pytest.raises(UnableToRate, match="percentages are taken of one another"):
        rated(USAGE, fee, COMPUTE, support(base="compute fee"))


def test_a_percentage_is_never_of_itself() -> None:
    assert rated(USAGE, COMPUTE, support(base="compute support"))["support"].amount == usd("20")


def test_a_sku_that_was_not_used_has_no_percentage_unless_it_charges_at_zero() -> None:
    without = USAGE[:2]
    assert "support" not in rated(without, COMPUTE, STORAGE, support())
    assert rated(without, COMPUTE, STORAGE, support(at_zero=True))["support"].amount == usd("25")


def test_a_percentage_of_nothing_is_no_line() -> None:
    assert rated([], COMPUTE, STORAGE, support(at_zero=True)) == {}
    assert rated([], COMPUTE, STORAGE, support(at_zero=True, minimum="5"))["support"].amount == usd("5")


def test_a_percentage_falls_to_the_projects_whose_amounts_it_is_of() -> None:
    rows = [used(100, "compute", project=1), used(300, "compute", project=2), used(7, "support", project=3)]
    line = rated(rows, COMPUTE, support(base="compute"))["support"]
    assert [(share.project, share.amount_minor, share.metered) for share in line.shares] == [
        (1, 2000, 0),
        (2, 6000, 0),
        (3, 0, 7),
    ]
    assert all(
        share.amount_minor == sum(one.amount_minor for one in share.dimensions) for share in line.shares
    )
    assert line.own_minor == 0


def test_a_percentage_that_is_discounted_stays_divided_as_its_base_is() -> None:
    rows = [used(100, "compute", project=1), used(300, "compute", project=2), used(7, "support", project=3)]
    line = reduce_line(
        discount_line(rated(rows, COMPUTE, support(base="compute"))["support"], [Fraction(50)]), [-400]
    )
    assert [(share.project, share.amount_minor) for share in line.shares] == [(1, 900), (2, 2700), (3, 0)]
    assert line.own_minor == 0


def test_a_percentage_of_the_accounts_own_is_the_accounts_own() -> None:
    fee = flat("100", sku="fee", at_zero=True)
    line = rated([used(100, "compute")], COMPUTE, fee, support(base="compute fee", at_zero=True))["support"]
    assert (line.amount, line.own_minor) == (usd("30"), 1000)


def test_a_percentage_of_which_nobody_has_a_part_is_shared_by_who_used_the_sku() -> None:
    line = rated([used(1, "support", project=4)], COMPUTE, support(minimum="9"))["support"]
    assert [(share.project, share.amount_minor) for share in line.shares] == [(4, 900)]


MIDDLE = FIRST_DAY + timedelta(days=15)


def test_percents_change_on_their_day_and_each_is_of_what_its_days_came_to() -> None:
    """300 used in the first half and 100 in the second, whose price did not change: its line is one."""
    rows = [used(300, "compute"), used(100, "compute", day=MIDDLE), used(1, "support")]
    books = [
        book(COMPUTE, support("10", "compute")),
        book(COMPUTE, support("20", "compute"), number=2, since=MIDDLE),
    ]
    lines = rate_october(rows, card(books, SKUS)).lines
    assert [(line.sku.name, line.first_day, line.amount) for line in lines] == [
        ("compute", FIRST_DAY, usd("800")),
        ("support", FIRST_DAY, usd("60")),
        ("support", MIDDLE, usd("40")),
    ]


def test_a_percentage_that_begins_in_mid_period_is_of_the_days_since() -> None:
    tiered = graduated(tier("100", "2"), tier(None, "1"), sku="compute")
    rows = [used(300, "compute"), used(100, "compute", day=MIDDLE)]
    books = [book(tiered), book(tiered, support("10", "compute", at_zero=True), number=2, since=MIDDLE)]
    lines = {line.sku.name: line for line in rate_october(rows, card(books, SKUS)).lines}
    assert lines["compute"].amount == usd("500")
    assert lines["support"].amount == usd("12.50")  # a quarter of what was used: 125


def test_a_base_without_usage_is_divided_by_days() -> None:
    fee = flat("31", sku="fee", at_zero=True)
    books = [book(fee), book(fee, support("10", "fee", at_zero=True), number=2, since=MIDDLE)]
    lines = {line.sku.name: line for line in rate_october([], card(books, SKUS)).lines}
    assert lines["support"].amount == usd("1.60")  # 16 of 31 days
