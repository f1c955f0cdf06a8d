"""Each price model by itself: what a quantity costs, and in which parts."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import pytest

from milo_billing.catalog.types import Price
from tests.unit.pricing.builders import flat, package, rate_units, stairstep, tier, usd, volume

VOLUME = volume(tier("100", "2", flat="10"), tier("200", "1"), tier(None, "0.5", flat="50"))


@pytest.mark.parametrize(
    ("units", "amount", "parts"),
    [
        ("0", "0", []),
        ("1", "12", [("FlatFee", 1), ("Usage", 1)]),
        ("100", "210", [("FlatFee", 1), ("Usage", 1)]),  # the bound belongs to the first tier
        ("100.5", "100.50", [("Usage", 2)]),  # all of it at the price of tier 2, which has no fee
        ("200", "200", [("Usage", 2)]),
        ("201", "150.50", [("FlatFee", 3), ("Usage", 3)]),
    ],
)
def test_volume_charges_everything_at_the_tier_reached(
    units: str, amount: str, parts: list[tuple[str, int]]
) -> None:
    line = rate_units(units, VOLUME)
    assert line.amount == usd(amount)
    assert [(part.kind, part.tier) for part in line.parts] == parts


STEPS = stairstep(tier("5", flat="100"), tier("10", flat="150"), tier("20"), tier(None, flat="120"))


@pytest.mark.parametrize(
    ("units", "amount", "step"),
    [("1", "100", 1), ("5", "100", 1), ("5.001", "150", 2), ("20", "0", 3), ("21", "120", 4)],
)
def test_a_stairstep_is_the_fee_of_the_step_reached_alone(units: str, amount: str, step: int) -> None:
    line = rate_units(units, STEPS)
    assert line.amount == usd(amount)
    assert [(part.kind, part.tier) for part in line.parts] == [("FlatFee", step)]


@pytest.mark.parametrize("make", [volume, stairstep], ids=["Volume", "Stairstep"])
def test_the_first_tier_costs_its_fee_at_zero_only_if_it_says_so(make: Callable[..., Price]) -> None:
    for at_zero, amount in ((True, "7"), (False, "0")):
        price = make(tier("5", flat="7", charge_at_zero=at_zero), tier(None, flat="9"))
        assert rate_units(0, price).amount == usd(amount)


@pytest.mark.parametrize(
    ("units", "size", "included", "packages"),
    [
        ("0", "100", "0", None),
        ("0.001", "100", "0", 1),
        ("100", "100", "0", 1),
        ("100.001", "100", "0", 2),
        ("201", "100", "100", 2),  # what is included comes off before packages are counted
        ("100", "100", "100", None),
        ("1", "0.3", "0", 4),  # the size is in the pricing unit, and may be a fraction of it
    ],
)
def test_packages_are_whole_and_rounded_up(
    units: str, size: str, included: str, packages: int | None
) -> None:
    line = rate_units(units, package("5", size, included=included))
    if packages is None:
        assert (line.amount, line.parts) == (usd("0"), ())
        return
    (part,) = line.parts
    assert (part.kind, part.quantity, part.unit_price) == ("Package", packages, Decimal("5"))
    assert line.amount == usd(str(5 * packages))
    assert line.quantity == Fraction(Decimal(units))


@pytest.mark.parametrize(
    ("units", "price", "amount"),
    [
        (1, flat("20"), "20"),
        (10**9, flat("20"), "20"),
        (0, flat("20"), "0"),
        (0, flat("20", at_zero=True), "20"),
        (30, flat("20", included="30"), "0"),
        (31, flat("20", included="30"), "20"),
        (1, flat("20", maximum="15"), "15"),
        (0, flat("20", minimum="25"), "25"),
    ],
)
def test_a_flat_price_is_due_once_where_there_was_usage(units: int, price: Price, amount: str) -> None:
    assert rate_units(units, price).amount == usd(amount)


@pytest.mark.parametrize(
    "price",
    [
        volume(tier("100", "1"), tier(None, "0.1"), minimum="40", maximum="60"),
        package("10", "10", minimum="40", maximum="60"),
        stairstep(tier("50", flat="50"), tier(None, flat="100"), minimum="40", maximum="60"),
    ],
    ids=["Volume", "Package", "Stairstep"],
)
def test_every_model_stays_between_its_minimum_and_maximum(price: Price) -> None:
    assert rate_units(0, price).amount == usd("40")
    assert rate_units(50, price).amount == usd("50")
    assert rate_units(100, price).amount == usd("60")
