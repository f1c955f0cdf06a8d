"""Accounts that other books than the list of their currency price: negotiated, through an offer, by exchange rate."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from milo_billing.accounts.types import Account
from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.operations import issuing
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.rules.representations import line_body
from milo_billing.invoicing.types.drafts import LineConversion
from milo_billing.invoicing.types.invoices import InvoiceLine
from milo_billing.kernel.money import Money
from milo_billing.kernel.periods import billing_month
from milo_billing.pricing import operations
from milo_billing.pricing.rules.representations import explanation_body
from milo_billing.pricing.types import RatedUsage, SkuNotFound, UnableToRate
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground

OCTOBER = billing_month(2026, 10, zone="Etc/UTC")
RATES = b"Date,USD,CHF\n2026-10-30,1.25,1\n2026-10-29,1.2,1\n2026-11-02,2,1\n"
TOKENS = [(f"2026-10-{day:02}", "web", "tokens", 1_000_000) for day in (1, 15, 31)]


def publish(ground: Ground, name: str, unit_price: str, *, since: str = "2026-01-01", **spec: Any) -> None:
    wanted = {
        "bookName": name,
        "effectiveFrom": since,
        "currencyCode": "USD",
        "role": "Negotiated",
        "phase": "Published",
        "prices": [{"skuRef": {"name": "tokens"}, "model": "PerUnit", "unitPrice": unit_price}],
    }
    ground.declare("pricebooks", f"{name}-{since}", {**wanted, **spec})


def entitle(ground: Ground, name: str, *, book: str | None = None, **spec: Any) -> None:
    given: dict[str, Any] = {"billingAccountRef": {"name": "main"}, "startsAt": "2026-10-01", **spec}
    if book is not None:
        given["priceBookRef"] = {"name": book}
    if "offerRef" not in spec:
        given["services"] = [{"name": "llm"}]
    ground.declare("entitlements", name, given, namespace=ACME)


def rated(ground: Ground, account: Account) -> RatedUsage:
    with ground.databases.app.transaction(reach=frozenset({account.owner_org})) as tx:
        return operations.rate_account(tx, account=account.number, period=OCTOBER, now=NOVEMBER)


def explained(
    ground: Ground, account: Account, *, day: int = 15, units: int = 1_000_000, sku: str = "tokens"
) -> dict[str, Any]:
    at = datetime(2026, 10, day, tzinfo=UTC)
    with ground.databases.app.transaction(reach=frozenset({account.owner_org})) as tx:
        found = operations.explain_price(tx, payer=account, sku=sku, at=at, metered=Fraction(units))
    return explanation_body(found, account="organization-acme/main")


def bring_rates(ground: Ground, content: bytes = RATES) -> None:
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        operations.import_rates(tx, content=content, now=NOVEMBER)


@pytest.fixture
def ground(ground: Ground) -> Ground:
    """With a service, so that there is something to be entitled to."""
    ground.declare("services", "llm", {"phase": "Published"})
    return ground


@pytest.fixture
def swiss(ground: Ground) -> Account:
    """An account in a currency that has no list book; the provider's default book is in another one."""
    publish(ground, "world-usd", "3", role="List", currencyCode="USD", phase="Draft")  # a draft prices nobody
    account = ground.declare_account(currencyCode="CHF")
    ground.use(account, *TOKENS)
    return account


@pytest.fixture
def default_book(ground: Ground) -> None:
    """A new version of the list in USD says that it prices everybody else, too."""
    publish(ground, "list-usd", "2.50", since="2026-02-01", role="List", isDefault=True)


def test_negotiated_prices_go_before_an_offers_and_these_before_the_list(ground: Ground) -> None:
    publish(ground, "pro-usd", "2")
    publish(ground, "acme-usd", "1")
    offer = {
        "tier": "Pro",
        "phase": "Published",
        "services": [{"name": "llm"}],
        "priceBookRef": {"name": "pro-usd"},
    }
    ground.declare("offers", "pro", offer)
    account = ground.declare_account()
    ground.use(account, *TOKENS, ("2026-10-01", "web", "requests", 10))
    assert [(line.source, line.amount) for line in rated(ground, account).lines] == [
        ("List", Money(100, "USD")),
        ("List", Money(750, "USD")),
    ]
    entitle(ground, "pro", offerRef={"name": "pro"})
    entitle(ground, "acme", book="acme-usd", startsAt="2026-10-15", endsAt="2026-10-20")
    lines = rated(ground, account).lines
    assert [(line.sku.name, line.source, line.first_day.day, line.amount_minor) for line in lines] == [
        ("requests", "List", 1, 100),  # neither book prices it
        ("tokens", "Offer", 1, 200),
        ("tokens", "Entitlement", 15, 100),
        ("tokens", "Offer", 20, 200),
    ]


def test_a_new_version_of_a_negotiated_book_acts_on_its_day(ground: Ground) -> None:
    publish(ground, "acme-usd", "1")
    publish(ground, "acme-usd", "0.50", since="2026-10-16")
    account = ground.declare_account()
    entitle(ground, "acme", book="acme-usd")
    ground.use(account, *TOKENS)
    assert [line.amount_minor for line in rated(ground, account).lines] == [200, 50]
    invoice = ground.issued(account)
    assert invoice.total == Money(250, "USD")
    (first, second) = ground.reading(lambda tx: line_reads.list_lines(tx, invoice=invoice.uid, limit=9))
    assert [(line.book_name, line.book_effective_from) for line in (first, second)] == [
        ("acme-usd", date(2026, 1, 1)),
        ("acme-usd", date(2026, 10, 16)),
    ]


def test_an_account_without_a_list_book_is_priced_by_the_default_book_at_the_rate_of_the_last_day(
    ground: Ground, swiss: Account, default_book: None
) -> None:
    bring_rates(ground)
    (line,) = rated(ground, swiss).lines
    assert (line.source, line.amount) == ("Default", Money(600, "CHF"))  # 7.50 USD at 0.8, of Friday the 30th
    invoice = ground.issued(swiss)
    assert invoice.total == Money(600, "CHF")
    (frozen,) = ground.reading(lambda tx: line_reads.list_lines(tx, invoice=invoice.uid, limit=9))
    assert isinstance(frozen, InvoiceLine)
    assert frozen.conversion == LineConversion(
        "USD", 750, Decimal("0.8"), date(2026, 10, 30), "ECB", Decimal("1.25"), Decimal(1)
    )
    assert line_body(frozen, currency="CHF", taxes=invoice.taxes)["conversion"] == {
        "currencyCode": "USD",
        "amount": "7.50",
        "rate": "0.8",
        "day": "2026-10-30",
        "source": "ECB",
        "perEuro": {"from": "1.25", "to": "1"},
    }


def test_without_an_exchange_rate_nothing_is_rated_nor_issued(
    ground: Ground, swiss: Account, default_book: None
) -> None:
    with pytest.raises(UnableToRate, match="no exchange rate to CHF"):
        rated(ground, swiss)
    with pytest.raises(UnableToRate, match="milo-billing rates import"):
        ground.issue(swiss)
    bring_rates(ground)
    assert ground.issued(swiss).total == Money(600, "CHF")


def test_without_a_default_book_the_usage_is_unpriced(ground: Ground, swiss: Account) -> None:
    assert [row.meter_name for row in rated(ground, swiss).unpriced] == ["example.com/tokens"]
    assert explained(ground, swiss)["price"] is None


def test_a_price_is_explained_step_by_step(ground: Ground, swiss: Account, default_book: None) -> None:
    bring_rates(ground)
    publish(ground, "acme-chf", "1", currencyCode="CHF")
    entitle(ground, "acme", book="acme-chf", startsAt="2026-10-20")
    found = explained(ground, swiss, units=18_059_974)
    assert [(c["source"], c["priceBook"], c["chosen"], c["reason"]) for c in found["candidates"]] == [
        ("Entitlement", "acme-chf", False, "it is given from 2026-10-20 on"),
        ("Default", "list-usd", True, "the first that prices the Sku on this day"),
    ]
    assert found["quantity"] == {
        "metered": "18059974",
        "meterUnit": "{token}",
        "unitFactor": "1/1000000",
        "converted": "18.059974",
        "pricingUnit": "10*6.{token}",
        "rounding": None,
        "charged": "18.059974",
        "included": "0",
        "billable": "18.059974",
    }
    assert found["parts"] == [
        {
            "kind": "Usage",
            "tier": None,
            "quantity": "18.059974",
            "unitPrice": "2.50",
            "exact": "45.149935",
            "amount": "45.15",
            "converted": "36.12",  # 45.149935 × 0.8 = 36.119948
        }
    ]
    assert (found["conversion"]["amount"], found["conversion"]["day"]) == ("45.15", "2026-10-30")
    assert (found["amount"], found["currencyCode"]) == ("36.12", "CHF")
    assert found["price"]["endDay"] == "2026-10-20"
    later = explained(ground, swiss, day=20, units=18_059_974)
    assert [(c["chosen"], c["reason"]) for c in later["candidates"]] == [
        (True, "the first that prices the Sku on this day"),
        (False, "one before it prices the Sku"),
    ]
    assert (later["amount"], later["conversion"]) == ("18.06", None)


def test_what_is_explained_is_what_is_drafted(ground: Ground, swiss: Account, default_book: None) -> None:
    bring_rates(ground)
    total = sum(row[3] for row in TOKENS)
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        drafted = issuing.draft(tx, account=swiss, stretch=[OCTOBER], now=NOVEMBER)
    assert explained(ground, swiss, units=total)["amount"] == str(drafted.total.decimal())


def test_a_tiered_price_that_is_held_over_says_so(ground: Ground) -> None:
    publish(ground, "acme-usd", "1")
    account = ground.declare_account()
    book = {"skuRef": {"name": "requests"}, "model": "PerUnit", "unitPrice": "9"}
    publish(ground, "requests-usd", "1", prices=[book])
    entitle(ground, "acme", book="requests-usd", startsAt="2026-10-10")
    found = explained(ground, account, units=1500, sku="requests")
    assert [c["reason"] for c in found["candidates"]] == [
        "a price that counts over the whole rating period began on 2026-10-01 and is kept to the end",
        "the first that prices the Sku on this day",
    ]
    assert [(part["kind"], part["tier"], part["amount"]) for part in found["parts"]] == [
        ("Usage", 1, "100.00"),
        ("FlatFee", 2, "3.00"),
        ("Usage", 2, "25.00"),
    ]
    with pytest.raises(SkuNotFound):
        explained(ground, account, sku="nothing")
