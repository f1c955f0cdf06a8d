"""What a price book may hold."""

from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any

import pytest

from milo_billing.catalog.rules import books
from milo_billing.catalog.types import BookHead, Sku


def sku(name: str, match: Mapping[str, tuple[str, ...]], *, meter: str = "tokens") -> Sku:
    return Sku(1, name, meter, match, "1", Fraction(1), None, "standard", name, "", "")


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ({}, {}, True),
        ({}, {"region": ("eu",)}, True),
        ({"region": ("eu",)}, {"region": ("us",)}, False),
        ({"region": ("eu", "us")}, {"region": ("us", "ap")}, True),
        ({"region": ("eu",)}, {"tier": ("gold",)}, True),
        ({"region": ("eu",), "tier": ("gold",)}, {"region": ("eu",), "tier": ("base",)}, False),
        ({"region": ("eu",), "tier": ("gold",)}, {"region": ("us",)}, False),
    ],
)
def test_two_skus_overlap_when_some_usage_belongs_to_both(
    one: dict[str, tuple[str, ...]], other: dict[str, tuple[str, ...]], both: bool
):
    first, second = sku("one", one), sku("other", other)
    assert books.overlap(first, second) is books.overlap(second, first) is both
    assert [(a.name, b.name) for a, b in books.overlaps([first, second])] == [("one", "other")] * both


def test_skus_on_two_meters_never_overlap():
    assert not books.overlap(sku("one", {}), sku("other", {}, meter="bytes"))


def test_thousands_of_skus_on_one_meter_are_compared_without_every_pair():
    many = [sku(f"model-{n}", {"model": (f"m{n}",), "kind": ("input",)}) for n in range(5000)]
    assert list(books.overlaps(many)) == []
    again = sku("again", {"model": ("m42", "other"), "kind": ("input", "output")})
    assert [(a.name, b.name) for a, b in books.overlaps([*many, again])] == [("model-42", "again")]


def priced(*names: str) -> dict[str, Any]:
    """The spec of a book that prices these Skus by name."""
    price = {"model": "PerUnit", "unitPrice": "1", "includedQuantity": "0"}
    return {"prices": [{"skuRef": {"name": name}, **price} for name in names]}


def test_a_book_that_is_published_names_each_sku_once_and_only_skus_that_are():
    skus = {name: sku(name, {"region": (name,)}) for name in ("eu", "us")}
    found = [str(error) for error in books.reference_errors(priced("eu", "ap", "us", "eu"), (), skus=skus)]
    assert found == [
        'spec.prices[1].skuRef.name: Not found: "ap"',
        'spec.prices[3].skuRef.name: Duplicate value: "eu"',
    ]


def test_a_book_that_would_charge_twice_says_which_skus_and_where():
    skus = {"all": sku("all", {}), "eu": sku("eu", {"region": ("eu",)})}
    (error,) = books.reference_errors(priced("all", "eu"), (), skus=skus)
    assert error.field == "spec.prices[1].skuRef.name"
    assert '"all" and "eu" both match some usage of meter tokens' in error.message


def head(name: str, book_name: str, effective_from: str, **other: Any) -> BookHead:
    spec: dict[str, Any] = {"phase": "Published", "role": "List", "owner_org": 0, "currency": "USD", **other}
    return BookHead(name, book_name, date.fromisoformat(effective_from), **spec)


def test_versions_of_a_book_differ_in_their_day():
    standing = head("v1", "list-usd", "2026-01-01")
    assert list(books.version_errors(head("v2", "list-usd", "2026-02-01"), others=[standing])) == []
    (error,) = books.version_errors(head("v2", "list-usd", "2026-01-01"), others=[standing])
    assert (error.field, '"v1"' in error.message) == ("spec.effectiveFrom", True)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"currency": "EUR"}, "spec.currencyCode"),
        ({"role": "Partner"}, "spec.role"),
        ({"owner_org": 3}, "spec.organizationRef"),
    ],
)
def test_versions_of_a_book_share_the_rest(change: dict[str, Any], field: str):
    standing = head("v1", "list-usd", "2026-01-01")
    found = books.version_errors(head("v2", "list-usd", "2026-02-01", **change), others=[standing])
    assert [error.field for error in found] == [field]


@pytest.mark.parametrize(
    ("standing", "stands"),
    [
        (head("v1", "other", "2026-01-01"), False),
        (head("v1", "list-usd", "2026-01-01"), True),
        (head("v1", "other", "2026-01-01", currency="EUR"), True),
        (head("v1", "other", "2026-01-01", phase="Retired"), True),
        (head("v1", "other", "2026-01-01", owner_org=3), True),
        (head("v1", "other", "2026-01-01", role="Negotiated"), True),
    ],
)
def test_a_currency_has_one_list_book_of_the_provider(standing: BookHead, stands: bool):
    found = list(books.list_book_errors(head("v2", "list-usd", "2026-02-01"), others=[standing]))
    assert (found == []) is stands
