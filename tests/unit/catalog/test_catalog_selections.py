"""What the selectors of a price book mean when it is published."""

from fractions import Fraction
from typing import Any

from milo_billing.catalog.rules import books
from milo_billing.catalog.rules.books import Selection
from milo_billing.catalog.types import Sku

SKUS = [
    Sku(1, name, name, {}, "1", Fraction(1), None, "standard", name, "", "", labels)
    for name, labels in {
        "gpu": {"family": "compute", "tier": "gold"},
        "cpu": {"family": "compute"},
        "disk": {"family": "storage"},
        "support": {},
    }.items()
]


def by_label(key: str, *values: str) -> dict[str, Any]:
    return {"matchLabels": [{"key": key, "op": "In", "values": list(values)}]}


def named(name: str) -> dict[str, Any]:
    return {"skuRef": {"name": name}, "model": "PerUnit", "unitPrice": "1", "includedQuantity": "0"}


def selected(selector: dict[str, Any]) -> dict[str, Any]:
    return {"skuSelector": selector, "model": "PerUnit", "unitPrice": "2", "includedQuantity": "0"}


def percentage(name: str, base: dict[str, Any]) -> dict[str, Any]:
    sku = {"skuRef": {"name": name}}
    return {**sku, "model": "Percentage", "percent": "10", "base": base, "includedQuantity": "0"}


def found(*prices: dict[str, Any], names_max: int = 100) -> list[str]:
    body = {"prices": prices}
    selections = books.selections_of(body, skus=SKUS)
    return [
        *map(str, books.selection_errors(body, selections, names_max=names_max)),
        *map(str, books.base_errors(books.parse_prices(body, selections))),
    ]


def test_a_selector_prices_the_skus_that_no_price_names() -> None:
    body = {"prices": [named("gpu"), selected(by_label("family", "compute", "storage"))]}
    selections = books.selections_of(body, skus=SKUS)
    assert selections == (Selection(1, ("cpu", "disk")),)
    prices = books.parse_prices(body, selections)
    assert [(price.sku, str(price.unit_price)) for price in prices] == [
        ("gpu", "1"),
        ("cpu", "2"),
        ("disk", "2"),
    ]


def test_a_base_means_skus_whatever_they_cost() -> None:
    body = {"prices": [named("gpu"), percentage("support", by_label("family", "compute"))]}
    selections = books.selections_of(body, skus=SKUS)
    assert selections == (Selection(1, (), ("cpu", "gpu")),)
    assert books.parse_prices(body, selections)[1].base == {"cpu", "gpu"}


def test_a_sku_has_one_price_in_a_book() -> None:
    assert found(selected(by_label("tier", "gold")), selected(by_label("family", "compute"))) == [
        'spec.prices[1].skuSelector: Forbidden: Sku "gpu" matches that of prices[0] too: a Sku has one price in a book'
    ]


def test_a_selector_that_means_nothing_is_a_slip() -> None:
    assert found(named("gpu"), selected(by_label("tier", "gold"))) == [
        "spec.prices[1].skuSelector: Forbidden: no Sku matches that has no price by name"
    ]


def test_what_selectors_mean_is_bounded() -> None:
    (error,) = found(selected({}), names_max=3)
    assert error.startswith("spec.prices: Forbidden: its selectors mean 4 Skus in all, of at most 3")


def test_percentages_of_one_another_are_refused() -> None:
    assert found(percentage("support", {})) == []
    everything = found(percentage("support", {}), percentage("disk", {}))
    assert len(everything) == 1
    assert "percentages are taken of one another" in everything[0]
    assert found(percentage("support", {}), percentage("disk", by_label("family", "compute"))) == []


def test_skus_that_a_selector_adds_must_not_claim_the_same_usage() -> None:
    twice = [
        Sku(number, name, "gpu", {}, "1", Fraction(1), None, "standard", name, "", "", {"new": name})
        for number, name in enumerate(("one", "two"))
    ]
    body = {"prices": [named("one"), selected(by_label("new", "two"))]}
    selections = books.selections_of(body, skus=twice)
    (error,) = books.reference_errors(body, selections, skus={sku.name: sku for sku in twice})
    assert (error.field, '"one" and "two" both match' in error.message) == (
        "spec.prices[1].skuSelector",
        True,
    )
