"""What is added up in the database is priced as if every day had been read."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from milo_billing.infra.database import EVERYWHERE, Databases
from milo_billing.kernel.periods import billing_month
from milo_billing.pricing import operations
from milo_billing.pricing.types import RatedUsage

NOW = datetime(2026, 11, 2, tzinfo=UTC)
METERS = [
    (aggregation, window)
    for aggregation in ("Sum", "Count", "Max", "Min", "Average", "Latest", "UniqueCount")
    for window in ("Period", "Day")
]
PLAIN = {"model": "PerUnit", "includedQuantity": "0"}
FEE = {
    **PLAIN,
    "skuRef": {"name": "fee"},
    "model": "Percentage",
    "percent": "3",
    "base": {"skus": ["sum-period"]},
}


def name_of(aggregation: str, window: str) -> str:
    return f"{aggregation}-{window}".lower()


@pytest.fixture
def month(databases: Databases) -> Databases:
    """A meter of each aggregation and window, another price from the 16th on, and a month of three projects on each."""
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute(
            "insert into directory.organizations (number, uid, name, created_at) values (1, %s, 'acme', %s)",
            (UUID(int=1), NOW),
        )
        tx.execute(
            "insert into accounts.accounts (uid, namespace, name, owner_org, currency, time_zone, phase, created_at, "
            "version) values (%s, 'organization-acme', 'main', 1, 'USD', 'Etc/UTC', 'Ready', %s, 1)",
            (UUID(int=1), NOW),
        )
        for number, (aggregation, window) in enumerate(METERS, start=1):
            name = name_of(aggregation, window)
            tx.execute(
                "insert into catalog.meters (uid, meter_name, phase, aggregation, unit, dimensions, series_by, "
                "value_window, unique_key) values (%s, %s, 'Published', %s, '1', '{zone}', %s, %s, %s)",
                (
                    UUID(int=number),
                    name,
                    aggregation,
                    ["zone"] if number % 3 else [],
                    window,
                    "user" if aggregation == "UniqueCount" else None,
                ),
            )
            tx.execute(
                "insert into catalog.skus (uid, name, charge_type, meter_name, pricing_unit, unit_factor, body) "
                "values (%s, %s, 'Usage', %s, '1', '1', %s)",
                (UUID(int=number), name, name, Jsonb({"taxCategory": "standard"})),
            )
        for since, unit_price in (("2026-01-01", "0.37"), ("2026-10-16", "0.51")):
            prices = [
                {**PLAIN, "skuRef": {"name": name_of(*meter)}, "unitPrice": unit_price}
                for meter in METERS[:-1]
            ]
            publish(tx, since, prices)
    return databases


def publish(tx: Any, since: str, prices: list[dict[str, Any]]) -> None:
    tx.execute(
        "insert into catalog.price_books (uid, owner_org, name, book_name, effective_from, phase, role, is_default, "
        "currency, body) values (gen_random_uuid(), 0, %s, 'usd', %s, 'Published', 'List', false, 'USD', %s)",
        (since, since, Jsonb({"prices": prices})),
    )


def use(databases: Databases, *, seed: int) -> None:
    """A month of roll-ups and of what is not folded into them yet: also corrections, and days that were voided."""
    chance = random.Random(seed)
    row = "(account, project, meter, dimensions, day, sum, count, min, max, last, last_at, last_id)"
    with databases.ingest.transaction(reach=EVERYWHERE) as tx:
        for number, zone in enumerate(("a", "b"), start=1):
            tx.execute("insert into usage.dimension_sets values (%s, %s)", (number, Jsonb({"zone": zone})))
        for meter in range(1, len(METERS) + 1):
            for offset in range(31):
                for project in (1, 2, 3):
                    if chance.random() < 0.4:
                        continue
                    table = "deltas" if chance.random() < 0.2 else "rollups"
                    figures = _figures(chance, negative=table == "deltas")
                    tx.execute(
                        f"insert into usage.{table} {row} values (1, {', '.join(['%s'] * 11)})".encode(),
                        (
                            project,
                            meter,
                            chance.randrange(3),
                            date(2026, 10, 1) + timedelta(offset),
                            *figures,
                            NOW - timedelta(seconds=chance.randrange(10**6)),
                            UUID(int=chance.getrandbits(64)),
                        ),
                    )


def _figures(chance: random.Random, *, negative: bool) -> tuple[int, int, int, int, int]:
    low, high = sorted((chance.randrange(1000), chance.randrange(1000)))
    if chance.random() < 0.1:  # the only event of the day was voided
        return 0, 0, low, high, high
    if negative and chance.random() < 0.5:  # a correction has no event
        return chance.randrange(-50, 50), 0, 2**63 - 1, -(2**63), 0
    count = chance.randrange(1, 9)
    return chance.randrange(low * count, high * count + 1), count, low, high, chance.randrange(low, high + 1)


def rate(databases: Databases) -> RatedUsage:
    with databases.app.transaction(reach=frozenset({1})) as tx:
        return operations.rate_account(tx, account=1, period=billing_month(2026, 10, zone="Etc/UTC"), now=NOW)


@pytest.mark.parametrize("seed", range(3))
def test_sums_over_stretches_are_priced_as_the_days_in_them(
    month: Databases, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    use(month, seed=seed)
    summed = rate(month)
    # so few rows that everything is read day by day
    monkeypatch.setattr(operations, "ROWS_MAX", 1)
    by_day = rate(month)
    assert {line.sku.name for line in summed.lines} == {name_of(*meter) for meter in METERS[:-1]}
    assert summed.lines == by_day.lines
    assert summed.unpriced == by_day.unpriced
    assert {one.meter_name for one in summed.unpriced} == {name_of(*METERS[-1])}


def test_usage_that_a_percentage_takes_a_part_of_is_read_by_day(
    month: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    with month.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute(
            "insert into catalog.skus (uid, name, charge_type, meter_name, pricing_unit, unit_factor, body) "
            "values (%s, 'fee', 'Usage', 'count-day', '1', '1', %s)",
            (UUID(int=99), Jsonb({"taxCategory": "standard"})),
        )
        tx.execute("update catalog.price_books set deleted_at = now()")
        base = {**PLAIN, "skuRef": {"name": "sum-period"}, "unitPrice": "0.37", "minimum": "1"}
        publish(tx, "2026-01-01", [base])
        publish(tx, "2026-10-16", [base, FEE])
        tx.execute(
            "update catalog.price_books set selections = %s where effective_from > '2026-10-01' and deleted_at is null",
            (Jsonb([{"price": 1, "skus": ["fee"], "base": ["sum-period"]}]),),
        )
    use(month, seed=7)
    summed = rate(month)
    monkeypatch.setattr(operations, "ROWS_MAX", 1)
    assert [line.sku.name for line in summed.lines] == ["fee", "sum-period"]
    assert summed == rate(month)
