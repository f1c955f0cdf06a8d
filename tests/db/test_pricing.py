"""Rating one account from the database: its roll-ups, at the versions of the list book that its period touches."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from milo_billing.accounts.types import AccountNotFound
from milo_billing.infra.database import EVERYWHERE, Databases
from milo_billing.kernel.money import Money
from milo_billing.kernel.periods import Period, billing_month
from milo_billing.pricing import operations
from milo_billing.pricing.operations import rate_account
from milo_billing.pricing.types import RatedUsage

NOW = datetime(2026, 11, 2, tzinfo=UTC)
ZONE = "America/New_York"
OCTOBER = billing_month(2026, 10, zone=ZONE)


def price(sku: str, unit_price: str) -> dict[str, Any]:
    return {"skuRef": {"name": sku}, "model": "PerUnit", "unitPrice": unit_price, "includedQuantity": "0"}


@pytest.fixture
def provider(databases: Databases) -> Databases:
    """One account, two projects, meters in tokens and requests, and a price per million tokens."""
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute(
            "insert into directory.organizations (number, uid, name, created_at) values (1, %s, 'acme', %s)",
            (UUID(int=1), NOW),
        )
        tx.execute(
            "insert into accounts.accounts (uid, namespace, name, owner_org, currency, time_zone, phase, created_at, "
            "version) values (%s, 'organization-acme', 'main', 1, 'USD', %s, 'Ready', %s, 1)",
            (UUID(int=1), ZONE, NOW),
        )
        for number, (meter, aggregation, factor) in enumerate(
            [("tokens", "Sum", "1/1000000"), ("requests", "Count", "1")], start=1
        ):
            tx.execute(
                "insert into catalog.meters (uid, meter_name, phase, aggregation, unit, dimensions) "
                "values (%s, %s, 'Published', %s, '1', '{}')",
                (UUID(int=number), meter, aggregation),
            )
            tx.execute(
                "insert into catalog.skus (uid, name, charge_type, meter_name, pricing_unit, unit_factor, body) "
                "values (%s, %s, 'Usage', %s, '1', %s, %s)",
                (UUID(int=number), meter, meter, factor, Jsonb({"taxCategory": "standard"})),
            )
    publish(databases, "2026-01-01", price("tokens", "2.50"))
    return databases


def publish(
    databases: Databases, effective_from: str, *prices: dict[str, Any], currency: str = "USD"
) -> None:
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute(
            "insert into catalog.price_books (uid, owner_org, name, book_name, effective_from, phase, role, "
            "is_default, currency, body) values (gen_random_uuid(), 0, %s, %s, %s, 'Published', 'List', false, %s, %s)",
            (f"{currency}-{effective_from}", currency, effective_from, currency, Jsonb({"prices": prices})),
        )


def use(databases: Databases, rows: Iterable[tuple[str, int, int, int, int]]) -> None:
    """Rolled-up usage: (day, project, meter, sum, count)."""
    with databases.ingest.transaction(reach=EVERYWHERE) as tx:
        for day, project, meter, total, count in rows:
            tx.execute(
                "insert into usage.rollups (account, day, project, meter, dimensions, sum, count, min, max, last, "
                "last_at, last_id) values (1, %s, %s, %s, 0, %s, %s, 0, 0, 0, %s, %s)",
                (day, project, meter, total, count, NOW, UUID(int=1)),
            )


def rate_october(databases: Databases, *, now: datetime = NOW, period: Period = OCTOBER) -> RatedUsage:
    with databases.app.transaction(reach=frozenset({1})) as tx:
        return rate_account(tx, account=1, period=period, now=now)


def test_an_account_pays_the_list_price_of_its_currency_for_the_days_of_its_month(
    provider: Databases,
) -> None:
    publish(provider, "2026-01-01", price("tokens", "999"), currency="EUR")
    use(
        provider,
        [
            ("2026-09-30", 1, 1, 7_000_000, 1),
            ("2026-10-01", 1, 1, 10_000_000, 3),
            ("2026-10-31", 2, 1, 8_059_974, 4),
            ("2026-11-01", 1, 1, 9_000_000, 1),
        ],
    )
    rated = rate_october(provider)
    (line,) = rated.lines
    assert (line.metered, line.events, line.amount) == (18_059_974, 7, Money(4515, "USD"))
    assert [(share.project, share.amount_minor) for share in line.shares] == [(1, 2500), (2, 2015)]
    assert (rated.total, rated.unpriced, rated.closed) == (Money(4515, "USD"), (), True)


def test_a_version_that_begins_within_the_month_acts_on_its_day(provider: Databases) -> None:
    publish(provider, "2026-10-16", price("tokens", "5"), price("requests", "0.01"))
    use(
        provider,
        [(day, 1, meter, 2_000_000, 100) for day in ("2026-10-15", "2026-10-16") for meter in (1, 2)],
    )
    rated = rate_october(provider)
    assert [(line.sku.name, line.first_day, line.amount.minor) for line in rated.lines] == [
        ("requests", date(2026, 10, 16), 100),
        ("tokens", date(2026, 10, 1), 500),
        ("tokens", date(2026, 10, 16), 1000),
    ]
    assert [(row.meter_name, row.count) for row in rated.unpriced] == [("requests", 100)]


def test_usage_in_a_currency_without_a_list_book_is_unpriced(provider: Databases) -> None:
    with provider.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute("update accounts.accounts set currency = 'JPY'")
    use(provider, [("2026-10-01", 1, 1, 5, 1)])
    rated = rate_october(provider)
    assert (rated.lines, rated.currency) == ((), "JPY")
    assert [row.sum for row in rated.unpriced] == [5]


def test_many_rows_are_read_in_stretches_of_whole_days(
    provider: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "ROWS_MAX", 2)
    use(
        provider,
        [(f"2026-10-{day:02}", project, 1, 1_000_000, 1) for day in (1, 2, 3, 9) for project in range(1, 6)],
    )
    (line,) = rate_october(provider).lines
    assert (line.metered, line.events, len(line.shares)) == (20_000_000, 20, 5)


def test_figures_are_provisional_until_the_period_is_over(provider: Databases) -> None:
    assert not rate_october(provider, now=datetime(2026, 11, 1, 3, 59, tzinfo=UTC)).closed
    assert rate_october(provider, now=datetime(2026, 11, 1, 4, 0, tzinfo=UTC)).closed


def test_a_period_that_cuts_days_of_the_account_in_two_is_refused(provider: Databases) -> None:
    with pytest.raises(ValueError, match="midnight in America/New_York"):
        rate_october(provider, period=billing_month(2026, 10, zone="Etc/UTC"))


def test_another_organizations_account_is_not_found(provider: Databases) -> None:
    with pytest.raises(AccountNotFound), provider.app.transaction(reach=frozenset({2})) as tx:
        rate_account(tx, account=1, period=OCTOBER, now=NOW)
