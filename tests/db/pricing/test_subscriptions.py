"""What recurs, from Offers and Entitlements through the engine to rated lines: each leg on one invoice, once."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from milo_billing.accounts import operations as accounts_operations
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.app.projections import compare_projections
from milo_billing.catalog.resources.kinds import PriceBook, Service, Sku
from milo_billing.entitlements.resources.entitlements import GRANT, Entitlement
from milo_billing.entitlements.resources.offers import Offer
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.periods import Period, billing_month, local_midnight
from milo_billing.pricing.operations import import_rates, rate_account
from milo_billing.pricing.types import RatedUsage
from tests.accounts_world import ACME, World

ZONE = "America/New_York"

PRICES: list[dict[str, Any]] = [
    {"skuRef": {"name": "seats"}, "model": "PerUnit", "unitPrice": "31"},
    {"skuRef": {"name": "platform"}, "model": "Flat", "unitPrice": "50", "billing": "Arrears"},
    {"skuRef": {"name": "support"}, "model": "PerUnit", "unitPrice": "365", "interval": "Yearly"},
]
TEAM: dict[str, Any] = {
    "tier": "Team",
    "phase": "Published",
    "services": [{"name": "llm"}],
    "recurring": [{"skuRef": {"name": "seats"}}],
}


@pytest.fixture
def shop(world: World) -> World:
    """An account in New York, and what it can have again and again."""
    world.account(timeZone=ZONE)
    world.create(Service, "llm", {"phase": "Published"})
    for sku in ("seats", "platform", "support"):
        world.create(Sku, sku, {"chargeType": "Recurring", "pricingUnit": "{seat}"})
    world.create(Sku, "setup", {"chargeType": "OneTime", "pricingUnit": "h"})
    publish(world, "list-usd", PRICES)
    world.create(Offer, "team", TEAM)
    return world


def publish(world: World, name: str, prices: list[dict[str, Any]], **spec: Any) -> None:
    wanted = {"effectiveFrom": "2025-01-01", "currencyCode": "USD", "phase": "Published", "prices": prices}
    world.create(PriceBook, f"{name}-{spec.get('effectiveFrom', 1)}", {"bookName": name, **wanted, **spec})


def at(world: World, day: str, hour: int = 12) -> World:
    """Let it be that hour of the day in New York."""
    world.clock.instant = local_midnight(date.fromisoformat(day), zone=ZONE) + timedelta(hours=hour)
    return world


def take(world: World, name: str = "main-team", **spec: Any) -> None:
    wanted = {"billingAccountRef": {"name": "main"}, "offerRef": {"name": "team"}, **spec}
    world.create(Entitlement, name, wanted, namespace=ACME)


def change(world: World, name: str = "main-team", **spec: Any) -> None:
    world.patch(Entitlement, name, spec, namespace=ACME)


def number_of(world: World) -> int:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
    assert account is not None
    return account.number


def rated(world: World, period: Period) -> RatedUsage:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        return rate_account(tx, account=number_of(world), period=period, now=period.end)


def month(text: str, invoice_day: int = 1) -> Period:
    year, number = map(int, text.split("-"))
    return billing_month(year, number, zone=ZONE, invoice_day=invoice_day)


def shown(usage: RatedUsage) -> list[str]:
    assert usage.unpriced_skus == ()
    return [
        f"{line.sku.name} {line.first_day:%m-%d} {line.end_day:%m-%d} {line.amount.decimal()}"
        for line in usage.lines
    ]


def invoice(world: World, text: str) -> list[str]:
    return shown(rated(world, month(text)))


def issue(world: World, text: str) -> list[str]:
    """Rate the month and mark it as invoiced, as whoever issues does."""
    lines = invoice(world, text)
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        accounts_operations.mark_billed(tx, account=number_of(world), until=month(text).end)
    return lines


def test_seats_are_charged_in_advance_and_a_change_acts_on_its_day(shop: World) -> None:
    """The worked example of docs/recurring-charges.md, left column."""
    take(at(shop, "2026-12-20"), startsAt="2027-01-01", quantity=10)
    assert issue(at(shop, "2027-01-01"), "2026-12") == ["seats 01-01 02-01 310.00"]
    assert issue(at(shop, "2027-02-01"), "2027-01") == ["seats 02-01 03-01 310.00"]
    change(at(shop, "2027-02-15"), quantity=11)
    change(at(shop, "2027-02-15", 23), quantity=12)  # the last of a day counts
    assert invoice(shop, "2027-02") == [
        "seats 02-15 03-01 -155.00",
        "seats 02-15 03-01 186.00",
        "seats 03-01 04-01 372.00",
    ]
    assert invoice(shop, "2027-01") == ["seats 02-01 03-01 310.00"]


def test_what_is_written_on_the_day_of_an_invoice_is_on_the_next_one(shop: World) -> None:
    take(at(shop, "2026-12-20"), startsAt="2027-01-01", quantity=10)
    before = invoice(shop, "2027-01")
    change(at(shop, "2027-02-01", 1), quantity=12)  # before the invoice of January was issued
    assert issue(shop, "2027-01") == before == ["seats 02-01 03-01 310.00"]
    assert invoice(shop, "2027-02") == [
        "seats 02-01 03-01 -310.00",
        "seats 02-01 03-01 372.00",
        "seats 03-01 04-01 372.00",
    ]


def test_an_offer_taken_after_the_invoice_of_the_day_loses_no_interval(shop: World) -> None:
    assert issue(at(shop, "2027-02-01", 6), "2027-01") == []
    take(at(shop, "2027-02-01"), startsAt="2027-02-01")
    assert invoice(shop, "2027-01") == []
    assert invoice(shop, "2027-02") == ["seats 02-01 03-01 31.00", "seats 03-01 04-01 31.00"]


def test_a_cancellation_gives_back_at_the_price_that_was_charged(shop: World) -> None:
    publish(
        shop,
        "team-usd",
        [{"skuRef": {"name": "seats"}, "model": "PerUnit", "unitPrice": "28"}],
        role="Negotiated",
    )
    shop.create(Offer, "cheap", {**TEAM, "priceBookRef": {"name": "team-usd"}})
    take(at(shop, "2026-12-20"), startsAt="2027-01-01", offerRef={"name": "cheap"})
    assert issue(at(shop, "2027-02-01", 6), "2027-01") == ["seats 02-01 03-01 28.00"]
    shop.delete(Entitlement, "main-team", namespace=ACME)
    assert invoice(shop, "2027-01") == ["seats 02-01 03-01 28.00"]
    assert invoice(shop, "2027-02") == ["seats 02-01 03-01 -28.00"]
    assert invoice(shop, "2027-03") == []


def test_an_end_that_is_known_in_time_is_not_charged_at_all(shop: World) -> None:
    take(at(shop, "2026-12-20"), startsAt="2027-01-01")
    change(at(shop, "2027-01-31", 23), endsAt="2027-02-01")
    assert invoice(shop, "2027-01") == invoice(shop, "2027-02") == []
    take(at(shop, "2027-01-31", 23), "short", startsAt="2027-02-01", endsAt="2027-02-15")
    assert invoice(shop, "2027-01") == ["seats 02-01 03-01 31.00"]
    assert invoice(shop, "2027-02") == ["seats 02-15 03-01 -15.50"]


def test_a_trial_costs_nothing_and_a_fee_is_for_the_entitlement(shop: World) -> None:
    spec = {
        **TEAM,
        "trialDays": 14,
        "recurring": [
            {"skuRef": {"name": "seats"}, "quantity": "0.5"},
            {"skuRef": {"name": "platform"}, "per": "Entitlement"},
        ],
    }
    shop.create(Offer, "tried", spec)
    take(at(shop, "2027-02-01"), offerRef={"name": "tried"}, startsAt="2027-02-01", quantity=4)
    assert invoice(shop, "2027-02") == [
        "platform 02-15 03-01 25.00",
        "seats 02-15 03-01 31.00",
        "seats 03-01 04-01 62.00",
    ]
    shop.delete(Entitlement, "main-team", namespace=ACME)
    assert invoice(shop, "2027-02") == []


def test_a_year_in_advance_is_on_one_of_twelve_invoices(shop: World) -> None:
    shop.create(Offer, "yearly", {**TEAM, "recurring": [{"skuRef": {"name": "support"}}]})
    take(at(shop, "2026-12-20"), offerRef={"name": "yearly"}, startsAt="2026-12-22")
    assert issue(at(shop, "2027-01-01"), "2026-12") == [
        "support 12-22 01-01 10.00",
        "support 01-01 01-01 365.00",
    ]
    for number in range(1, 6):
        at(shop, f"2027-{number + 1:02}-01")
        assert issue(shop, f"2027-{number:02}") == []
    change(at(shop, "2027-06-03"), quantity=2)
    assert issue(at(shop, "2027-07-01"), "2027-06") == [
        "support 06-03 01-01 -212.00",
        "support 06-03 01-01 424.00",
    ]
    change(at(shop, "2027-10-20"), endsAt="2027-10-20")
    assert [invoice(shop, f"2027-{number:02}") for number in (7, 8, 9, 11, 12)] == [[]] * 5
    assert invoice(shop, "2027-10") == ["support 10-20 01-01 -146.00"]
    everything = [line for n in range(1, 13) for line in rated(shop, month(f"2027-{n:02}")).lines]
    # a seat for 153 days to 3 June, two for 139 days to 20 October; the year itself stands on December's invoice
    assert 36_500 + sum(line.amount_minor for line in everything) == (153 + 2 * 139) * 100


def test_what_staff_declare_late_falls_due_the_day_after(shop: World) -> None:
    shop.grants.granted[GRANT] = EVERYWHERE
    take(
        at(shop, "2027-03-10"),
        offerRef=None,
        services=[{"name": "llm"}],
        recurring=[{"skuRef": {"name": "seats"}}],
        startsAt="2027-01-15",
    )
    assert invoice(shop, "2027-01") == invoice(shop, "2027-02") == []
    assert invoice(shop, "2027-03") == [
        "seats 01-15 02-01 17.00",
        "seats 02-01 03-01 31.00",
        "seats 03-01 04-01 31.00",
        "seats 04-01 05-01 31.00",
    ]


def test_another_entitlement_ending_does_not_change_what_was_charged(shop: World) -> None:
    """A negotiated book prices the seats of another entitlement, and goes on the day of the invoice."""
    shop.grants.granted[GRANT] = EVERYWHERE
    publish(
        shop,
        "acme-usd",
        [{"skuRef": {"name": "seats"}, "model": "PerUnit", "unitPrice": "20"}],
        role="Negotiated",
    )
    take(at(shop, "2026-12-20"), startsAt="2027-01-01")
    take(
        shop,
        "deal",
        offerRef=None,
        services=[{"name": "llm"}],
        priceBookRef={"name": "acme-usd"},
        startsAt="2027-01-01",
    )
    assert issue(at(shop, "2027-02-01", 6), "2027-01") == ["seats 02-01 03-01 20.00"]
    shop.delete(Entitlement, "deal", namespace=ACME)
    change(at(shop, "2027-02-15"), quantity=2)
    assert invoice(shop, "2027-01") == ["seats 02-01 03-01 20.00"]
    assert invoice(shop, "2027-02") == [
        "seats 02-15 03-01 -10.00",
        "seats 02-15 03-01 20.00",
        "seats 03-01 04-01 62.00",
    ]


def test_a_book_in_another_currency_is_converted_at_the_rate_of_the_rating_period(shop: World) -> None:
    content = b"Date, USD, CHF, \n29 January 2027, 1.25, 1.00, \n26 February 2027, 1.25, 0.75, \n"
    with shop.databases.app.transaction(reach=EVERYWHERE) as tx:
        import_rates(tx, content=content, now=shop.clock.now())
    publish(shop, "list-usd", PRICES, effectiveFrom="2026-12-01", isDefault=True)
    shop.create(BillingAccount, "swiss", {"currencyCode": "CHF", "timeZone": ZONE}, namespace=ACME)
    take(at(shop, "2026-12-20"), billingAccountRef={"name": "swiss"}, startsAt="2027-01-01")
    with shop.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="swiss")
        assert account is not None
        months = [
            rate_account(tx, account=account.number, period=month(text), now=month(text).end)
            for text in ("2027-01", "2027-02")
        ]
    assert [str(one.total) for one in months] == ["24.80 CHF", "18.60 CHF"]
    assert months[0].lines[0].conversion is not None


def test_what_has_no_price_is_reported(shop: World) -> None:
    shop.create(Sku, "new", {"chargeType": "Recurring", "pricingUnit": "{seat}"})
    shop.create(Offer, "unpriced", {**TEAM, "recurring": [{"skuRef": {"name": "new"}}]})
    take(at(shop, "2027-02-10"), offerRef={"name": "unpriced"}, startsAt="2027-02-10")
    found = rated(shop, month("2027-02")).unpriced_skus
    assert [(one.sku, one.day) for one in found] == [("new", date(2027, 2, 10)), ("new", date(2027, 3, 1))]


def test_a_change_of_invoice_day_charges_no_day_twice(shop: World) -> None:
    take(at(shop, "2026-12-20"), startsAt="2027-01-01")
    assert issue(at(shop, "2027-02-01"), "2027-01") == ["seats 02-01 03-01 31.00"]
    at(shop, "2027-02-10")
    shop.patch(BillingAccount, "main", {"paymentTerms": {"invoiceDayOfMonth": 15}}, namespace=ACME)
    stub = Period(month("2027-01").end, month("2027-02", 15).start)
    assert shown(rated(shop, stub)) == []  # February was charged as a whole
    assert shown(rated(shop, month("2027-02", 15))) == [
        "seats 03-01 03-15 15.50",  # 14 of the 28 days from 15 February to 15 March
        "seats 03-15 04-15 31.00",
    ]
    assert invoice(shop, "2027-01") == ["seats 02-01 03-01 31.00"]


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([{"skuRef": {"name": "none"}}], 'spec.recurring[0].skuRef.name: Not found: "none"'),
        ([{"skuRef": {"name": "setup"}}], "is of chargeType OneTime; what recurs is a Sku of chargeType Recurring"),
        ([{"skuRef": {"name": "seats"}}] * 2, "spec.recurring[1].skuRef.name: Invalid value"),
        ([{"skuRef": {"name": "seats"}, "quantity": "0.0"}], 'spec.recurring[0].quantity: Invalid value: "0.0"'),
    ],
)  # fmt: skip
def test_what_does_not_recur_is_refused(shop: World, items: list[dict[str, Any]], said: str) -> None:
    refused = shop.refusals(Offer, "odd", {**TEAM, "recurring": items})
    assert len(refused) == 1 and said in refused[0], refused


def test_only_staff_declare_what_recurs_outside_of_offers(shop: World) -> None:
    wanted = {"billingAccountRef": {"name": "main"}, "offerRef": {"name": "team"}, "startsAt": "2026-10-01"}
    recurring = [{"skuRef": {"name": "support"}}]
    refused = shop.refusals(Entitlement, "own", {**wanted, "recurring": recurring}, namespace=ACME)
    assert refused == [f"spec.recurring: Forbidden: only the provider gives it: it needs {GRANT}"]
    shop.grants.granted[GRANT] = EVERYWHERE
    take(shop, startsAt="2026-10-01", recurring=recurring)
    assert invoice(shop, "2026-10") == [
        "seats 10-01 11-01 31.00",
        "seats 11-01 12-01 31.00",
        "support 10-01 01-01 92.00",
    ]
    refused = shop.changes_refused(Entitlement, "main-team", {"recurring": []}, namespace=ACME)
    assert refused == ["spec.recurring: Forbidden: recurring is immutable; end this one and declare another"]


def test_the_database_keeps_what_was_known(shop: World) -> None:
    take(at(shop, "2026-12-20"), startsAt="2027-01-01")
    change(at(shop, "2027-01-10"), quantity=3)
    shop.patch(BillingAccount, "main", {"paymentTerms": {"invoiceDayOfMonth": 5}}, namespace=ACME)
    issue(at(shop, "2027-02-01"), "2027-01")
    for statement in (
        "delete from entitlements.revisions",
        "update entitlements.revisions set quantity = 9",
        "update entitlements.revisions set day = day + 40",
        "insert into entitlements.revisions select entitlement, owner_org, '2027-01-20', 9, null "
        "from entitlements.revisions limit 1",
        "delete from accounts.invoice_days",
        "update accounts.invoice_days set invoice_day = 9",
        "insert into accounts.invoice_days select account, owner_org, '2027-01-20', 9 "
        "from accounts.invoice_days limit 1",
    ):
        with (
            pytest.raises((psycopg.errors.RestrictViolation, psycopg.errors.InsufficientPrivilege)),
            shop.databases.app.transaction(reach=EVERYWHERE) as tx,
        ):
            tx.execute(statement.encode())


def test_the_last_that_was_known_is_what_the_object_says(shop: World) -> None:
    take(at(shop, "2026-12-20"), startsAt="2027-01-01", endsAt="2028-01-01")
    change(at(shop, "2027-01-10"), quantity=3, endsAt="2027-06-01")
    with shop.databases.app.transaction(reach=EVERYWHERE) as tx:
        assert compare_projections(tx, shop.engine.registry) == ()
        tx.execute("update entitlements.revisions set quantity = 4 where day = '2027-01-10'")
        found = compare_projections(tx, shop.engine.registry)
    assert [one.projection for one in found] == ["entitlements.entitlements"]


def test_a_write_that_waited_for_an_invoice_is_known_after_it(shop: World) -> None:
    """Its clock was read before midnight; the invoice of that midnight is there when it writes."""
    take(at(shop, "2026-12-20"), startsAt="2027-01-01")
    issue(at(shop, "2027-02-01"), "2027-01")
    change(at(shop, "2027-01-31", 23), quantity=2)
    assert invoice(shop, "2027-01") == ["seats 02-01 03-01 31.00"]
    assert invoice(shop, "2027-02") == [
        "seats 02-01 03-01 -31.00",
        "seats 02-01 03-01 62.00",
        "seats 03-01 04-01 62.00",
    ]
    assert shop.clock.now() < datetime(2027, 2, 1, 5, tzinfo=UTC)
