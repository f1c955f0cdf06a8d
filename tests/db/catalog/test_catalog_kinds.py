"""Services, meters, Skus and price books through the engine: what may be declared, changed, published, deleted."""

import threading
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import psycopg
import pytest

from milo_billing.catalog import reads
from milo_billing.catalog.resources.kinds import MeterDefinition, PriceBook, Service, Sku
from milo_billing.catalog.types import Meter, QuantityRounding
from milo_billing.directory import reads as directory
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.errors import Conflict, Invalid
from tests.accounts_world import World

TOKENS = "llm.example.com/tokens"


def meter_spec(meter_name: str = TOKENS, *, unit: str = "{token}", **spec: Any) -> dict[str, Any]:
    measurement = {"aggregation": "Sum", "unit": unit, "dimensions": ["model", "kind"]}
    return {"meterName": meter_name, "phase": "Published", "measurement": measurement, **spec}


def sku_spec(meter_name: str = TOKENS, *, unit: str = "10*6.{token}", **match: list[str]) -> dict[str, Any]:
    return {"meter": {"meterName": meter_name, "match": match}, "pricingUnit": unit}


def price(sku: str, unit_price: str = "2.50") -> dict[str, Any]:
    return {"skuRef": {"name": sku}, "model": "PerUnit", "unitPrice": unit_price}


def book_spec(*prices: dict[str, Any], effective_from: str = "2026-01-01", **spec: Any) -> dict[str, Any]:
    return {
        "bookName": "list-usd",
        "effectiveFrom": effective_from,
        "currencyCode": "USD",
        "phase": "Published",
        "prices": list(prices),
        **spec,
    }


@pytest.fixture
def catalog(world: World) -> World:
    """A meter of tokens, and a Sku each for input and output."""
    world.create(MeterDefinition, "tokens", meter_spec())
    for kind in ("input", "output"):
        world.create(Sku, kind, sku_spec(kind=[kind]))
    return world


def list_book(world: World, on: date, *, currency: str = "USD") -> str | None:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        book = reads.find_list_book(tx, currency=currency, on=on)
    return None if book is None else book.name


# ------------------------------------------------------------------------------------------------ services


def test_a_service_is_called_by_its_own_name_unless_said_otherwise(world: World):
    assert world.create(Service, "compute", {}).spec["serviceName"] == "compute"
    named = world.create(Service, "storage", {"serviceName": "storage.example.com"})
    assert named.spec["serviceName"] == "storage.example.com"
    assert world.changes_refused(Service, "storage", {"serviceName": "x"}) == [
        "spec.serviceName: Forbidden: serviceName is immutable"
    ]


def test_a_published_service_says_so(world: World):
    status = world.create(Service, "compute", {"phase": "Published"}).status
    assert status["publishedAt"] == "2026-10-01T12:00:00Z"
    assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [
        ("Published", "True", "Published")
    ]


def test_a_service_with_skus_stays(catalog: World):
    catalog.create(Service, "llm", {})
    catalog.create(Sku, "extra", {**sku_spec(kind=["cached"]), "serviceRef": {"name": "llm"}})
    with pytest.raises(Conflict, match='Sku "extra" belongs to service "llm"'):
        catalog.delete(Service, "llm")


# -------------------------------------------------------------------------------------------------- meters


def test_a_meter_is_projected(catalog: World):
    with catalog.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        (meter,) = reads.load_meters(tx)
    assert meter == Meter(meter.number, TOKENS, "Published", "Sum", "{token}", ("model", "kind"))


def test_a_change_of_a_meter_tells_the_caches(catalog: World):
    def version() -> int:
        with catalog.databases.app.transaction(reach=EVERYWHERE) as tx:
            row = tx.execute("select version from controlplane.versions where name = 'meters'").fetchone()
        assert row is not None
        return row[0]

    before = version()
    catalog.patch(MeterDefinition, "tokens", {"measurement": {"dimensions": ["model", "kind", "region"]}})
    assert version() > before


def test_what_a_meter_measures_is_immutable(catalog: World):
    change = {
        "meterName": "other",
        "measurement": {"aggregation": "Max", "unit": "By", "dimensions": ["kind"]},
        "phase": "Retired",
    }
    assert catalog.changes_refused(MeterDefinition, "tokens", change) == [
        'spec.phase: Forbidden: invalid phase transition from "Published" to "Retired"; allowed forward '
        "transitions are Draft→Published, Published→Deprecated, Deprecated→Retired",
        "spec.meterName: Forbidden: meterName is immutable",
        "spec.measurement.aggregation: Forbidden: measurement.aggregation is immutable",
        "spec.measurement.unit: Forbidden: measurement.unit is immutable",
        "spec.measurement.dimensions: Forbidden: measurement.dimensions is additive only; removing "
        '"model" is not allowed',
    ]


def test_a_meter_needs_a_unit_of_ucum_and_a_name_of_its_own(catalog: World):
    assert catalog.refusals(MeterDefinition, "again", meter_spec(unit="tokens")) == [
        'spec.measurement.unit: Invalid value: "tokens": "tokens" is not a unit of UCUM (ucum.org); examples are '
        '"By", "GiBy.h" and "{request}"',
        f'spec.meterName: Duplicate value: "{TOKENS}"',
    ]


def test_a_meter_with_skus_stays(catalog: World):
    with pytest.raises(Conflict, match='Sku "input" sells usage of meter'):
        catalog.delete(MeterDefinition, "tokens")


def test_a_meter_name_can_be_used_again_and_has_another_number(world: World):
    numbers: list[int] = []
    for unit in ("{token}", "By"):
        world.create(MeterDefinition, "tokens", meter_spec(unit=unit))
        with world.databases.app.transaction(reach=EVERYWHERE) as tx:
            numbers += [meter.number for meter in reads.load_meters(tx)]
        world.delete(MeterDefinition, "tokens")
    assert len(set(numbers)) == 2


# ---------------------------------------------------------------------------------------------------- Skus


def test_a_sku_carries_the_exact_factor_of_its_unit(catalog: World):
    rounding = {"mode": "Up", "decimals": 3}
    catalog.create(
        Sku,
        "cached",
        {
            **sku_spec(kind=["cached"]),
            "displayName": "Cached tokens",
            "quantityRounding": rounding,
            "invoiceGroup": "Models",
        },
    )
    assert catalog.status(Sku, "cached")["unitFactor"] == "1/1000000"
    with catalog.databases.app.transaction(reach=EVERYWHERE) as tx:
        (sku,) = reads.list_skus(tx, names=["cached", "nothing"])
    assert (sku.unit_factor, sku.match) == (Fraction(1, 10**6), {"kind": ("cached",)})
    assert (sku.quantity_rounding, sku.display_name) == (QuantityRounding("Up", 3), "Cached tokens")
    assert (sku.tax_category, sku.invoice_group, sku.service) == ("standard", "Models", "")


def test_a_sku_without_a_display_name_is_called_by_its_name(catalog: World):
    with catalog.databases.app.transaction(reach=EVERYWHERE) as tx:
        assert [sku.display_name for sku in reads.list_skus(tx, names=["output", "input"])] == [
            "input",
            "output",
        ]


def test_a_sku_needs_a_meter(world: World):
    assert world.refusals(Sku, "input", sku_spec()) == [f'spec.meter.meterName: Not found: "{TOKENS}"']


def test_what_is_wrong_with_a_sku_is_told_at_once(catalog: World):
    spec = {**sku_spec(unit="GBy", region=["eu"], kind=[], model=["a", "a"]), "serviceRef": {"name": "llm"}}
    assert catalog.refusals(Sku, "wrong", spec) == [
        'spec.serviceRef.name: Not found: "llm"',
        "spec.meter.match.kind: Required value: at least one value; leave the dimension out to match them all",
        'spec.meter.match.model[1]: Duplicate value: "a"',
        f'spec.meter.match.region: Invalid value: "region": meter {TOKENS} declares model, kind',
        'spec.pricingUnit: Invalid value: "GBy": a quantity in "{token}" cannot be converted to "GBy": one measures '
        "a plain number, the other bit",
    ]


def test_a_sku_is_immutable_once_it_stands_in_a_published_book(catalog: World):
    catalog.create(PriceBook, "draft", book_spec(price("input"), phase="Draft"))
    catalog.patch(Sku, "input", {"displayName": "Input"})
    catalog.patch(PriceBook, "draft", {"phase": "Published"})
    assert catalog.changes_refused(Sku, "input", {"displayName": "Input tokens"}) == [
        'spec: Forbidden: the spec is immutable once the Sku stands in a published price book ("draft")'
    ]
    catalog.patch(Sku, "output", {"displayName": "Output"})
    with pytest.raises(Conflict, match='Sku "input" stands in published price book "draft"'):
        catalog.delete(Sku, "input")
    catalog.delete(Sku, "output")


def test_a_sku_changes_before_its_book_is_published_or_not_at_all(catalog: World):
    """The book holds the Sku while it is being published: a change waits, sees the book, and is refused."""
    catalog.create(PriceBook, "v1", book_spec(price("input"), phase="Draft"))
    barrier = threading.Barrier(2)
    refused: list[Exception] = []

    def change() -> None:
        barrier.wait(10)
        try:
            catalog.patch(Sku, "input", {"pricingUnit": "10*3.{token}"})
        except Invalid as error:
            refused.append(error)

    thread = threading.Thread(target=change)
    thread.start()
    barrier.wait(10)
    catalog.patch(PriceBook, "v1", {"phase": "Published"})
    thread.join(20)
    assert not thread.is_alive()
    with catalog.databases.app.transaction(reach=EVERYWHERE) as tx:
        (sku,) = reads.list_skus(tx, names=["input"])
        rows = tx.execute(
            "select verb from access.audit_records where verb = 'patch' order by resource_version"
        ).fetchall()
    assert len(rows) == 2 - len(refused)
    assert sku.pricing_unit == ("10*6.{token}" if refused else "10*3.{token}")


# --------------------------------------------------------------------------------------------------- books


def test_a_published_book_is_read_in_exact_numbers(catalog: World):
    tiers = [
        {"upTo": "1000", "unitPrice": "0.000000000001", "flatFee": "1.5", "chargeAtZero": True},
        {"unitPrice": "0"},
    ]
    graduated = {
        "skuRef": {"name": "output"},
        "model": "Graduated",
        "tiers": tiers,
        "includedQuantity": "0.25",
        "minimum": "5",
    }
    catalog.create(PriceBook, "v1", book_spec(price("input"), graduated))
    with catalog.databases.app.transaction(reach=EVERYWHERE) as tx:
        book = reads.find_list_book(tx, currency="USD", on=date(2026, 1, 1))
    assert book is not None
    assert (book.name, book.book_name, book.effective_from) == ("v1", "list-usd", date(2026, 1, 1))
    one, other = book.prices
    assert (one.sku, one.unit_price, one.tiers, one.included_quantity) == ("input", Decimal("2.50"), (), 0)
    first, last = other.tiers
    assert (first.up_to, first.unit_price) == (Decimal(1000), Decimal("0.000000000001"))
    assert (first.flat_fee, first.charge_at_zero, last.up_to, last.flat_fee) == (
        Decimal("1.5"),
        True,
        None,
        0,
    )
    assert (other.included_quantity, other.minimum, other.maximum) == (Decimal("0.25"), Decimal(5), None)


@pytest.mark.parametrize(
    ("on", "name"),
    [
        (date(2025, 12, 31), None),
        (date(2026, 1, 1), "v1"),
        (date(2026, 5, 31), "v1"),
        (date(2026, 6, 1), "v2"),
        (date(2030, 1, 1), "v2"),
    ],
)
def test_the_version_in_force_is_the_last_one_that_began(catalog: World, on: date, name: str | None):
    catalog.create(PriceBook, "v1", book_spec(price("input")))
    catalog.create(PriceBook, "v2", book_spec(price("input", "3"), effective_from="2026-06-01"))
    catalog.create(
        PriceBook, "v3", book_spec(price("input", "4"), effective_from="2026-07-01", phase="Draft")
    )
    assert list_book(catalog, on) == name
    assert list_book(catalog, on, currency="EUR") is None


@pytest.mark.parametrize(
    ("start", "end", "names"),
    [
        (date(2025, 1, 1), date(2026, 1, 1), []),
        (date(2025, 12, 1), date(2026, 1, 2), ["v1"]),
        (date(2026, 3, 1), date(2026, 4, 1), ["v1"]),
        (date(2026, 5, 1), date(2026, 6, 1), ["v1"]),
        (date(2026, 5, 2), date(2026, 6, 2), ["v1", "v2"]),
        (date(2026, 6, 1), date(2026, 7, 1), ["v2"]),
    ],
)
def test_a_period_has_the_versions_that_are_in_force_on_its_days(
    catalog: World, start: date, end: date, names: list[str]
):
    catalog.create(PriceBook, "v1", book_spec(price("input")))
    catalog.create(PriceBook, "v2", book_spec(price("input", "3"), effective_from="2026-06-01"))
    with catalog.databases.app.transaction(reach=EVERYWHERE) as tx:
        found = reads.list_books(tx, currency="USD", start=start, end=end)
    assert [book.name for book in found] == names


def test_publishing_looks_at_every_sku(catalog: World):
    catalog.create(Sku, "all", sku_spec())
    spec = book_spec(price("input"), price("nothing"), price("all"), phase="Draft")
    catalog.create(PriceBook, "v1", spec)
    (missing, both) = catalog.changes_refused(PriceBook, "v1", {"phase": "Published"})
    assert missing == 'spec.prices[1].skuRef.name: Not found: "nothing"'
    assert 'Skus "input" and "all" both match some usage' in both


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"currencyCode": "XTS"}, "spec.currencyCode"),
        ({"effectiveFrom": "2026-02-30"}, "spec.effectiveFrom"),
        ({"organizationRef": {"name": "nobody"}}, "spec.organizationRef.name"),
        ({"phase": "Retired"}, "spec.phase"),
    ],
)
def test_a_book_is_refused_at_its_field(catalog: World, spec: dict[str, Any], field: str):
    (error,) = catalog.refusals(PriceBook, "v1", book_spec(price("input"), **spec))
    assert error.startswith(f"{field}: ")


@pytest.mark.parametrize("amount", ["-1", "1e3", "1,5", ".5", "NaN", "", "1." + "0" * 31, "1" * 16])
def test_an_amount_is_a_decimal_string(catalog: World, amount: str):
    (error,) = catalog.refusals(PriceBook, "v1", book_spec(price("input", amount)))
    assert error.startswith("spec.prices[0].unitPrice: Invalid value: ")


@pytest.mark.parametrize("amount", [2.5, 1])
def test_a_number_is_no_amount(catalog: World, amount: float):
    wrong = {**price("input"), "unitPrice": amount}
    (error,) = catalog.refusals(PriceBook, "v1", book_spec(wrong))
    assert "must be of type string" in error


def test_models_that_nothing_computes_are_refused_by_name(catalog: World):
    (error,) = catalog.refusals(PriceBook, "v1", book_spec({**price("input"), "model": "Dynamic"}))
    assert error.startswith(
        'spec.prices[0].model: Unsupported value: "Dynamic": supported values: "PerUnit", '
    )


def test_a_published_book_only_retires(catalog: World):
    catalog.create(PriceBook, "v1", book_spec(price("input")))
    change = {"prices": [price("input", "3")]}
    assert catalog.changes_refused(PriceBook, "v1", change) == [
        "spec: Forbidden: a published price book is immutable; publish a new version of it from a later date"
    ]
    with pytest.raises(Conflict, match='price book "v1" is published; retire it first'):
        catalog.delete(PriceBook, "v1")
    catalog.patch(PriceBook, "v1", {"phase": "Retired"})
    assert list_book(catalog, date(2026, 10, 1)) is None
    catalog.delete(PriceBook, "v1")
    (error,) = catalog.changes_refused(Sku, "input", {"displayName": "Input"})
    assert "immutable" in error


def test_a_currency_has_one_list_book(catalog: World):
    catalog.create(PriceBook, "v1", book_spec(price("input")))
    (error,) = catalog.refusals(PriceBook, "other", book_spec(price("input"), bookName="other"))
    assert error.startswith('spec.bookName: Invalid value: "other": "list-usd" is the list book for USD')
    catalog.create(PriceBook, "euro", book_spec(price("input"), bookName="list-eur", currencyCode="EUR"))


def test_the_database_refuses_two_list_books_of_a_currency(catalog: World):
    catalog.create(PriceBook, "v1", book_spec(price("input")))
    with (
        pytest.raises(psycopg.errors.ExclusionViolation),
        catalog.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute(
            "insert into catalog.price_books (uid, owner_org, name, book_name, effective_from, phase, role, "
            "is_default, currency, body) select gen_random_uuid(), 0, 'raw', 'raw', effective_from, phase, role, "
            "false, currency, body from catalog.price_books"
        )


def test_one_book_prices_the_currencies_that_have_no_list_book(catalog: World):
    catalog.create(PriceBook, "v1", book_spec(price("input"), isDefault=True))
    euro = book_spec(price("input"), bookName="list-eur", currencyCode="EUR", isDefault=True)
    (error,) = catalog.refusals(PriceBook, "euro", euro)
    assert error.startswith('spec.isDefault: Invalid value: "true": "list-usd" is the default book; retire')
    later = book_spec(price("input", "3"), effectiveFrom="2026-09-01", isDefault=True)
    catalog.create(PriceBook, "v2", later)
    catalog.create(PriceBook, "euro", {**euro, "isDefault": False})
    with (
        pytest.raises(psycopg.errors.ExclusionViolation),
        catalog.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute("update catalog.price_books set is_default = true where name = 'euro'")


def test_the_book_of_an_organization_is_its_own_and_the_providers_matter(catalog: World):
    own: dict[str, Any] = {"bookName": "acme", "organizationRef": {"name": "acme"}, "role": "Negotiated"}
    row = catalog.create(PriceBook, "acme-2026", book_spec(price("input", "1"), **own))
    assert list_book(catalog, date(2026, 10, 1)) is None
    with catalog.databases.app.transaction(reach=EVERYWHERE) as tx:
        acme, rival = (directory.find_organization(tx, name=name) for name in ("acme", "rival"))
    assert acme is not None and rival is not None and row.owner_org == acme.number
    for reach, visible in ((frozenset({acme.number}), 1), (frozenset({rival.number}), 0)):
        with catalog.databases.app.transaction(reach=reach) as tx:
            served = catalog.engine.registry.instance(PriceBook)
            found = catalog.engine.store.find(tx, served, namespace="", name="acme-2026")
            assert (found is not None) == bool(visible)
            rows = tx.execute("select from catalog.price_books where name = 'acme-2026'").fetchall()
            assert len(rows) == visible
    assert catalog.changes_refused(PriceBook, "acme-2026", {"phase": "Retired", "organizationRef": None}) == [
        "spec: Forbidden: a published price book is immutable; publish a new version of it from a later date"
    ]


def test_a_draft_stays_in_its_organization(catalog: World):
    catalog.create(PriceBook, "v1", book_spec(price("input"), phase="Draft"))
    assert catalog.changes_refused(PriceBook, "v1", {"organizationRef": {"name": "acme"}}) == [
        "spec.organizationRef: Forbidden: organizationRef is immutable"
    ]


def test_versions_of_a_book_have_a_day_each(catalog: World):
    catalog.create(PriceBook, "v1", book_spec(price("input")))
    assert catalog.refusals(PriceBook, "again", book_spec(price("input", "3"))) == [
        'spec.effectiveFrom: Invalid value: "2026-01-01": price book "v1" is the version of "list-usd" from that day'
    ]
