"""Which discount of a commitment applies, and which commitments meet."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

import pytest

from milo_billing.catalog.rules.selectors import selects
from milo_billing.catalog.types import Sku, SkuSelector
from milo_billing.commitments.rules.specificity import (
    candidates,
    choose_percents,
    covers_everything,
    may_meet,
    may_overlap,
    ties,
)
from milo_billing.commitments.types import SkuDiscount
from tests.unit.commitments.builders import label, minimum, off, promise, selector

GPU, EU, US = label("family", "gpu"), label("region", "eu"), label("region", "us")


def sku(name: str, labels: Mapping[str, str]) -> Sku:
    return Sku(1, name, name, {}, "1", Fraction(1), None, "standard", name, "", "", labels)


SKUS = (
    sku("gpu-eu", {"family": "gpu", "region": "eu"}),
    sku("gpu-us", {"family": "gpu", "region": "us"}),
    sku("disk", {"family": "disk"}),
)


def chosen(*discounts: SkuDiscount) -> dict[str, Decimal]:
    return choose_percents(
        {
            one: frozenset(sku.name for sku in SKUS if selects([one.selects], sku))
            for one in candidates(discounts)
        }
    )


def test_the_selector_that_constrains_more_keys_goes_first_and_an_empty_one_last() -> None:
    found = chosen(off("5"), off("10", selector(GPU)), off("30", selector(GPU, EU)))
    assert found == {"gpu-eu": Decimal(30), "gpu-us": Decimal(10), "disk": Decimal(5)}


def test_a_sku_has_the_more_specific_discount_also_where_it_is_the_smaller_one() -> None:
    assert chosen(off("50", selector(GPU)), off("1", selector(GPU, EU)))["gpu-eu"] == Decimal(1)


def test_a_priority_goes_before_the_number_of_keys() -> None:
    found = chosen(
        off("30", selector(GPU, EU)),
        off("7", selector(cel="labels.family == 'gpu'"), priority=1),
        off("2", priority=9),  # an empty selector stays last
    )
    assert found == {"gpu-eu": Decimal(7), "gpu-us": Decimal(7), "disk": Decimal(2)}


@pytest.mark.parametrize(
    ("one", "other", "tied"),
    [
        (off("5", selector(EU)), off("6", selector(US)), False),  # no Sku is in both regions
        (off("5", selector(EU)), off("6", selector(GPU)), True),
        (off("5", selector(EU)), off("6", selector(GPU, EU)), False),
        (off("5", selector(EU), priority=1), off("6", selector(GPU)), False),
        (off("5"), off("6"), True),
        (off("5", selector(cel="true"), priority=1), off("6", selector(cel="false"), priority=1), True),
        (off("5", selector(cel="true"), priority=1), off("6", selector(cel="true"), priority=2), False),
    ],
)
def test_a_tie_is_two_discounts_of_one_rank_that_may_meet(
    one: SkuDiscount, other: SkuDiscount, tied: bool
) -> None:
    assert bool(list(ties([one, other]))) is tied


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        (selector(EU), selector(EU), True),
        (selector(EU), selector(label("region", "eu", op="NotIn")), False),
        (selector(EU), selector(label("region", "us", op="NotIn")), True),
        (selector(EU), selector(label("region", op="DoesNotExist")), False),
        (selector(EU), selector(label("region", op="Exists")), True),
        (selector(label("region", op="Exists")), selector(label("region", op="DoesNotExist")), False),
        (selector(label("region", "eu", op="NotIn")), selector(label("region", op="DoesNotExist")), True),
        (selector(EU, US), selector(), False),  # means nothing itself
        (selector(), selector(cel="false"), True),
    ],
)
def test_two_selectors_may_meet_unless_their_labels_exclude_each_other(
    one: SkuSelector, other: SkuSelector, meet: bool
) -> None:
    assert may_meet(one, other) is meet
    assert may_meet(other, one) is meet


def test_promises_overlap_by_everything_that_they_count_discount_or_prepay() -> None:
    eu = promise(minimum("1", "Monthly", selector(EU)))
    us = promise(discounts=(off("5", selector(US)),))
    prepaid = promise(prepayment=Decimal(1))
    assert not may_overlap(eu, us)
    assert may_overlap(eu, prepaid)
    assert may_overlap(us, promise(minimum("1", "Term")))
    assert [covers_everything(one) for one in (eu, us, prepaid)] == [False, False, True]
