"""Charges through the engine: what may be declared, until when it changes, and what rating reads of it."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from milo_billing.accounts import operations as accounts_operations
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.app.projections import compare_projections
from milo_billing.catalog import reads as catalog
from milo_billing.catalog.resources.kinds import PriceBook, Sku
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.errors import Conflict
from milo_billing.pricing import reads
from milo_billing.pricing.resources import Charge
from milo_billing.pricing.rules.one_time import rate_charges
from milo_billing.pricing.rules.quotes import quotes_of
from milo_billing.pricing.types import OneTimeCharge, list_card
from tests.accounts_world import ACME, World

# the world's clock stands at noon of 1 October 2026


def spec(day: str = "2026-10-05", **more: Any) -> dict[str, Any]:
    return {"billingAccountRef": {"name": "main"}, "skuRef": {"name": "setup"}, "date": day, **more}


@pytest.fixture
def shop(world: World) -> World:
    """An account in New York, and something that is sold once."""
    world.account(timeZone="America/New_York")
    world.create(Sku, "setup", {"chargeType": "OneTime", "pricingUnit": "h"})
    world.create(Sku, "seats", {"chargeType": "Recurring", "pricingUnit": "{seat}"})
    return world


def bill(world: World, until: datetime) -> None:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
        assert account is not None
        accounts_operations.mark_billed(tx, account=account.number, until=until)


def listed(world: World) -> tuple[OneTimeCharge, ...]:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
        assert account is not None
        return reads.list_charges(
            tx, account=account.number, first=date(2026, 10, 1), end=date(2026, 11, 1), limit=10
        )


def test_a_charge_is_read_with_the_days_that_hold_it(shop: World):
    made = shop.create(Charge, "late", spec("2026-10-31", quantity="2.5", description="Help"), namespace=ACME)
    shop.create(Charge, "early", spec("2026-10-01"), namespace=ACME)
    shop.create(Charge, "november", spec("2026-11-01"), namespace=ACME)
    assert made.status["conditions"][0]["reason"] == "ChargeReady"
    assert listed(shop) == (
        OneTimeCharge("early", "setup", date(2026, 10, 1), Decimal(1)),
        OneTimeCharge("late", "setup", date(2026, 10, 31), Decimal("2.5"), "Help"),
    )


def test_a_charge_costs_what_the_book_of_its_day_says(shop: World):
    price = {"skuRef": {"name": "setup"}, "model": "PerUnit", "unitPrice": "80"}
    book = {
        "bookName": "list-usd",
        "effectiveFrom": "2026-10-03",
        "currencyCode": "USD",
        "phase": "Published",
        "prices": [price],
    }
    shop.create(PriceBook, "list", book)
    shop.create(Charge, "help", spec(quantity="2.5"), namespace=ACME)
    shop.create(Charge, "before", spec("2026-10-02"), namespace=ACME)
    with shop.databases.app.transaction(reach=EVERYWHERE) as tx:
        books = catalog.list_books(tx, currency="USD", start=date(2026, 10, 1), end=date(2026, 11, 1))
        skus = {sku.name: sku for sku in catalog.list_skus(tx, names=["setup"])}
    rating = rate_charges(listed(shop), quotes_of(list_card("USD", books, skus, {})))
    assert [str(line.amount) for line in rating.lines] == ["200.00 USD"]
    assert [one.day for one in rating.unpriced] == [date(2026, 10, 2)]


@pytest.mark.parametrize(
    ("wanted", "refusals"),
    [
        (spec(quantity="0.00"), ['spec.quantity: Invalid value: "0.00": must be above 0']),
        (spec("2026-02-30"), ['spec.date: Invalid value: "2026-02-30": is not a date of the calendar']),
        (spec(skuRef={"name": "nothing"}), ['spec.skuRef.name: Not found: "nothing"']),
        (
            spec(skuRef={"name": "seats"}),
            [
                'spec.skuRef.name: Invalid value: "seats": is of chargeType Recurring; a Charge is of a Sku of '
                "chargeType OneTime"
            ],
        ),
        (
            spec(billingAccountRef={"name": "other"}),
            ['spec.billingAccountRef.name: Not found: "other"'],
        ),
    ],
)
def test_what_cannot_be_charged_is_refused(shop: World, wanted: dict[str, Any], refusals: list[str]):
    assert shop.refusals(Charge, "help", wanted, namespace=ACME) == refusals


def test_a_day_that_was_invoiced_takes_no_charge(shop: World):
    bill(shop, datetime(2026, 9, 1, 4, tzinfo=UTC))  # midnight in New York
    assert shop.refusals(Charge, "help", spec("2026-08-31"), namespace=ACME) == [
        'spec.date: Invalid value: "2026-08-31": lies in an invoiced period; the first day that no invoice holds is '
        "2026-09-01"
    ]
    shop.create(Charge, "help", spec("2026-09-01"), namespace=ACME)


def test_a_charge_changes_to_the_end_of_its_day_in_the_zone_of_the_account(shop: World):
    shop.create(Charge, "help", spec("2026-10-01"), namespace=ACME)
    shop.clock.instant = datetime(2026, 10, 2, 3, 59, tzinfo=UTC)  # still the 1st in New York
    shop.patch(Charge, "help", {"quantity": "2"}, namespace=ACME)
    shop.clock.forward(minutes=1)
    assert shop.changes_refused(Charge, "help", {"quantity": "3"}, namespace=ACME) == [
        "spec: Forbidden: a charge is immutable once its date has passed: its date, 2026-10-01, has passed"
    ]
    with pytest.raises(
        Conflict, match='charge "help" stays: its date, 2026-10-01, has passed; credit it instead'
    ):
        shop.delete(Charge, "help", namespace=ACME)
    shop.patch(Charge, "help", {"quantity": "2"}, namespace=ACME)
    assert [charge.quantity for charge in listed(shop)] == [2]


def test_a_charge_that_is_still_to_come_can_be_taken_back(shop: World):
    shop.create(Charge, "help", spec(), namespace=ACME)
    shop.delete(Charge, "help", namespace=ACME)
    assert listed(shop) == ()


def test_what_an_invoice_holds_does_not_change_in_the_database_either(shop: World):
    shop.create(Charge, "help", spec("2026-10-31"), namespace=ACME)
    bill(shop, datetime(2026, 11, 1, 4, tzinfo=UTC))
    with pytest.raises(Conflict, match=r"2026-10-31 lies in an invoiced period \(until 2026-11-01\)"):
        shop.delete(Charge, "help", namespace=ACME)
    for statement in ("delete from pricing.charges", "update pricing.charges set quantity = 2"):
        with (
            pytest.raises(psycopg.errors.RestrictViolation, match="charge help lies in an invoiced period"),
            shop.databases.app.transaction(reach=EVERYWHERE) as tx,
        ):
            tx.execute(statement.encode())


def test_an_archived_account_takes_no_charge(shop: World):
    with shop.databases.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute("update accounts.accounts set phase = 'Archived'")
    assert shop.refusals(Charge, "help", spec(), namespace=ACME) == [
        'spec.billingAccountRef.name: Forbidden: billing account "main" is archived and read-only'
    ]


def test_the_projection_agrees_with_its_objects(shop: World):
    shop.create(Charge, "help", spec(quantity="2.50"), namespace=ACME)
    with shop.databases.app.transaction(reach=EVERYWHERE) as tx:
        found = compare_projections(tx, shop.engine.registry)
    assert [one for one in found if one.projection == "pricing.charges"] == []
