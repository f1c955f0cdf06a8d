"""Prices by selector, through the engine: what they mean is decided and kept when the book is published."""

from datetime import date
from typing import Any

import pytest

from milo_billing.app.projections import compare_projections
from milo_billing.catalog import reads
from milo_billing.catalog.resources.kinds import MeterDefinition, PriceBook, Sku
from milo_billing.catalog.types import Book
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.errors import Conflict
from tests.accounts_world import World
from tests.db.catalog.test_catalog_kinds import TOKENS, book_spec, meter_spec, price, sku_spec


def selected(family: str, unit_price: str = "1") -> dict[str, Any]:
    selector = {"matchLabels": [{"key": "family", "op": "In", "values": [family]}]}
    return {"skuSelector": selector, "model": "PerUnit", "unitPrice": unit_price}


@pytest.fixture
def catalog(world: World) -> World:
    """A meter of tokens and a Sku for each kind of them, all of the family text."""
    world.create(MeterDefinition, "tokens", meter_spec(TOKENS))
    for kind in ("input", "output", "cached"):
        world.create(Sku, kind, {**sku_spec(kind=[kind]), "labels": {"family": "text"}})
    return world


def list_book(world: World) -> Book:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        book = reads.find_list_book(tx, currency="USD", on=date(2026, 10, 1))
    assert book is not None
    return book


def prices_of(world: World) -> list[tuple[str, str]]:
    return [(price.sku, str(price.unit_price)) for price in list_book(world).prices]


def test_a_selector_prices_what_was_there_when_the_book_was_published(catalog: World) -> None:
    row = catalog.create(PriceBook, "v1", book_spec(price("input"), selected("text")))
    assert row.status["selections"] == [{"price": 1, "skus": ["cached", "output"], "base": []}]
    assert prices_of(catalog) == [("input", "2.50"), ("cached", "1"), ("output", "1")]
    catalog.create(Sku, "audio", {**sku_spec(kind=["audio"]), "labels": {"family": "text"}})
    catalog.patch(PriceBook, "v1", {"phase": "Retired"})
    catalog.create(PriceBook, "v2", book_spec(selected("text", "3"), effective_from="2026-02-01"))
    assert [name for name, _ in prices_of(catalog)] == ["audio", "cached", "input", "output"]
    with catalog.databases.app.transaction(reach=EVERYWHERE) as tx:
        assert compare_projections(tx, catalog.engine.registry) == ()


def test_a_draft_means_nothing_yet(catalog: World) -> None:
    row = catalog.create(PriceBook, "v1", book_spec(selected("text"), phase="Draft"))
    assert row.status["selections"] == []
    row = catalog.patch(PriceBook, "v1", {"phase": "Published"})
    assert row.status["selections"][0]["skus"] == ["cached", "input", "output"]


def test_a_sku_that_a_selector_meant_is_immutable(catalog: World) -> None:
    catalog.create(PriceBook, "v1", book_spec(selected("text")))
    (error,) = catalog.changes_refused(Sku, "output", {"labels": {"family": "speech"}})
    assert "immutable" in error
    with pytest.raises(Conflict, match='stands in published price book "v1"'):
        catalog.delete(Sku, "output")


def test_a_base_keeps_what_it_meant_and_leaves_the_skus_free(catalog: World) -> None:
    support: dict[str, Any] = {**price("cached"), "model": "Percentage", "percent": "10", "base": {}}
    del support["unitPrice"]
    row = catalog.create(PriceBook, "v1", book_spec(price("input"), support))
    assert row.status["selections"] == [{"price": 1, "skus": [], "base": ["cached", "input", "output"]}]
    assert list_book(catalog).prices[1].base == {"cached", "input", "output"}
    catalog.patch(Sku, "output", {"displayName": "Output"})


def test_selectors_that_would_price_twice_or_nothing_are_refused_on_publishing(catalog: World) -> None:
    refused = catalog.refusals(PriceBook, "v1", book_spec(selected("text"), selected("text"), selected("x")))
    assert refused == [
        'spec.prices[1].skuSelector: Forbidden: Sku "cached" matches that of prices[0] too: a Sku has one price in '
        "a book",
        "spec.prices[2].skuSelector: Forbidden: no Sku matches that has no price by name",
    ]
