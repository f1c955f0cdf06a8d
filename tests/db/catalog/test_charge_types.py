"""Skus that recur or are sold once, and their prices, through the engine."""

from datetime import date
from typing import Any

import psycopg
import pytest

from milo_billing.catalog import reads
from milo_billing.catalog.resources.kinds import MeterDefinition, PriceBook, Sku
from milo_billing.infra.database import EVERYWHERE
from tests.accounts_world import World
from tests.db.catalog.test_catalog_kinds import book_spec, meter_spec, sku_spec

SEATS = {"chargeType": "Recurring", "pricingUnit": "{seat}"}
SETUP = {"chargeType": "OneTime", "pricingUnit": "{setup}"}


@pytest.fixture
def catalog(world: World) -> World:
    world.create(MeterDefinition, "tokens", meter_spec())
    world.create(Sku, "tokens", sku_spec())
    world.create(Sku, "seats", SEATS)
    world.create(Sku, "setup", SETUP)
    return world


def priced(sku: str, **price: Any) -> dict[str, Any]:
    return {"skuRef": {"name": sku}, "model": "PerUnit", "unitPrice": "12.50", **price}


def test_what_is_not_sold_by_usage_has_no_meter_and_is_counted_in_its_own_unit(catalog: World):
    with catalog.databases.app.transaction(reach=EVERYWHERE) as tx:
        seats, setup, tokens = reads.list_skus(tx, names=["seats", "setup", "tokens"])
    assert [sku.charge_type for sku in (seats, setup, tokens)] == ["Recurring", "OneTime", "Usage"]
    assert (seats.meter_name, seats.match, seats.unit_factor) == ("", {}, 1)
    assert catalog.status(Sku, "seats")["unitFactor"] == "1"
    assert catalog.status(Sku, "seats")["conditions"][0]["status"] == "True"


@pytest.mark.parametrize(
    ("spec", "refusals"),
    [
        (
            {"pricingUnit": "{seat}"},
            ["spec.meter: Required value: a Sku of chargeType Usage sells the usage of a meter"],
        ),
        (
            {**SEATS, "meter": {"meterName": "llm.example.com/tokens"}},
            ["spec.meter: Forbidden: a Sku of chargeType Recurring has none: no usage is metered"],
        ),
        (
            {**SETUP, "quantityRounding": {"mode": "Up"}},
            [
                "spec.quantityRounding: Forbidden: a Sku of chargeType OneTime has none: its quantity is declared"
            ],
        ),
    ],
)
def test_a_sku_says_what_its_charge_type_asks_for(world: World, spec: dict[str, Any], refusals: list[str]):
    assert world.refusals(Sku, "new", spec) == refusals


def test_a_unit_that_ucum_does_not_have_is_refused_without_a_meter_too(world: World):
    (refusal,) = world.refusals(Sku, "new", {**SEATS, "pricingUnit": "seats!"})
    assert refusal.startswith('spec.pricingUnit: Invalid value: "seats!"')


def test_the_database_wants_a_meter_of_usage_and_of_nothing_else(world: World):
    with (
        pytest.raises(psycopg.errors.CheckViolation),
        world.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute(
            "insert into catalog.skus (uid, name, charge_type, meter_name, pricing_unit, unit_factor, body) "
            "values (gen_random_uuid(), 'x', 'Recurring', 'm', '1', '1', '{}')"
        )


def test_a_book_prices_usage_what_recurs_and_what_is_sold_once(catalog: World):
    prices = (
        priced("tokens"),
        priced("seats", interval="Quarterly", billing="Arrears"),
        priced("setup", model="Flat"),
    )
    catalog.create(PriceBook, "list", book_spec(*prices))
    with catalog.databases.app.transaction(reach=EVERYWHERE) as tx:
        book = reads.find_list_book(tx, currency="USD", on=date(2026, 10, 1))
    assert book is not None
    assert {price.sku: (price.interval, price.billing) for price in book.prices} == {
        "tokens": (None, None),
        "seats": ("Quarterly", "Arrears"),
        "setup": (None, None),
    }


@pytest.mark.parametrize(
    ("price", "refusals"),
    [
        (
            priced("tokens", billing="Arrears"),
            ['billing: Forbidden: Sku "tokens" is sold by usage; only prices of recurring Skus have it'],
        ),
        (
            priced("setup", interval="Yearly"),
            ['interval: Forbidden: Sku "setup" is sold once; only prices of recurring Skus have it'],
        ),
        (
            priced("seats", model="Package", packageSize="5"),
            ['model: Invalid value: "Package": Sku "seats" is recurring: its price is PerUnit or Flat'],
        ),
        (
            priced("seats", includedQuantity="3", minimum="10", maximum="20"),
            [
                f'{field}: Forbidden: Sku "seats" is recurring; only prices of usage have it'
                for field in ("includedQuantity", "minimum", "maximum")
            ],
        ),
        (
            priced("seats", model="Flat", chargeAtZero=True),
            ['chargeAtZero: Forbidden: Sku "seats" is recurring; only prices of usage have it'],
        ),
    ],
)
def test_a_price_goes_with_how_its_sku_is_charged(catalog: World, price: dict[str, Any], refusals: list[str]):
    found = catalog.refusals(PriceBook, "list", book_spec(price))
    assert found == [f"spec.prices[0].{refusal}" for refusal in refusals]


def test_a_selector_that_means_a_recurring_sku_too_is_refused_with_its_name(catalog: World):
    price: dict[str, Any] = {"skuSelector": {}, "model": "Package", "unitPrice": "1", "packageSize": "5"}
    assert catalog.refusals(PriceBook, "list", book_spec(price)) == [
        'spec.prices[0].model: Invalid value: "Package": Sku "seats" is recurring: its price is PerUnit or Flat'
    ]


def test_a_percentage_is_of_what_is_sold_by_usage(catalog: World):
    support: dict[str, Any] = {
        "skuRef": {"name": "support"},
        "model": "Percentage",
        "percent": "10",
        "base": {},
    }
    catalog.create(MeterDefinition, "support", meter_spec("llm.example.com/support"))
    catalog.create(Sku, "support", sku_spec("llm.example.com/support"))
    book = catalog.create(PriceBook, "list", book_spec(priced("tokens"), priced("seats"), support))
    (selection,) = book.status["selections"]
    assert selection["base"] == ["support", "tokens"]


@pytest.mark.parametrize(
    ("base", "says"),
    [
        ({"cel": "name in ['tokens', 'seats']"}, 'Sku "seats" is recurring'),
        ({"cel": "name == 'setup'"}, 'Sku "setup" is sold once'),
    ],
)
def test_a_base_that_selects_what_is_not_sold_by_usage_is_refused(
    catalog: World, base: dict[str, Any], says: str
):
    catalog.create(MeterDefinition, "support", meter_spec("llm.example.com/support"))
    catalog.create(Sku, "support", sku_spec("llm.example.com/support"))
    support = {"skuRef": {"name": "support"}, "model": "Percentage", "percent": "10", "base": base}
    prices = (priced("tokens"), priced("seats"), priced("setup"), support)
    (refusal,) = catalog.refusals(PriceBook, "list", book_spec(*prices))
    assert refusal.startswith(f"spec.prices[3].base: Forbidden: {says}, and a percentage is of what")


def test_a_recurring_sku_claims_no_usage_of_another_one(catalog: World):
    catalog.create(Sku, "more-seats", SEATS)
    catalog.create(PriceBook, "list", book_spec(priced("seats"), priced("more-seats"), priced("setup")))
