"""What the API says was used is what is billed, by each of the seven aggregations; docs/meters.md has the numbers."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.catalog.resources.kinds import MeterDefinition, PriceBook, Sku
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.operations.issuing import draft
from milo_billing.kernel.periods import billing_month
from milo_billing.usage import store
from milo_billing.usage.routes import ingest as routes
from milo_billing.usage.routes.ingest import READ
from tests.serving import client_of, serving
from tests.usage_world import JSON, UsageWorld, meter_spec

PAGE = (Path(__file__).parents[3] / "docs" / "meters.md").read_text()
AGGREGATIONS = ("Sum", "Count", "Max", "Min", "Average", "Latest", "UniqueCount")
WAYS: dict[str, JSON] = {"period": {}, "day": {"window": "Day"}, "series": {"seriesBy": ["region"]}}
OCTOBER = {"from": "2026-10-01", "to": "2026-11-01"}
CHANGE = datetime(2026, 10, 16, 15, tzinfo=UTC)


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the page's table whose first heading this is."""
    table = re.search(rf"^\| {heading} .*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[1].splitlines()]


@pytest.fixture
def sold(usage: UsageWorld) -> UsageWorld:
    """A meter for each aggregation in each way, all of them sold; `chat` is bound since September."""
    usage.world.project("chat")
    usage.world.bind("chat", project="chat", effectiveFrom="2026-09-01T00:00:00Z")
    prices: list[JSON] = []
    for aggregation in AGGREGATIONS:
        for way, measurement in WAYS.items():
            name = f"{aggregation}-{way}"
            unique = {"uniqueKey": "user"} if aggregation == "UniqueCount" else {}
            dimensions = ["region"] if unique else ["region", "user"]
            spec = meter_spec(name, *dimensions, aggregation=aggregation, **measurement, **unique)
            usage.world.create(MeterDefinition, name.lower(), spec)
            usage.world.create(Sku, name.lower(), {"meter": {"meterName": name}, "pricingUnit": "1"})
            prices.append({"skuRef": {"name": name.lower()}, "model": "PerUnit", "unitPrice": "1"})
    book = {"bookName": "list", "effectiveFrom": "2026-01-01", "currencyCode": "USD", "phase": "Published"}
    usage.world.create(PriceBook, "list", {**book, "prices": prices})
    return usage


@pytest.fixture
def api(usage: UsageWorld) -> Iterator[httpx.Client]:
    usage.world.grants.granted |= {READ: EVERYWHERE}
    door = Door(usage.databases.app, usage.world.grants, usage.world.clock)
    with (
        serving(build_application(routes.read_routes(door))) as url,
        client_of(url, token="ann") as client,
    ):
        yield client


def send_example(usage: UsageWorld) -> None:
    """The page's events for every meter, those of one instant in the order in which they stand."""
    events = [
        usage.event(
            project="chat",
            meter=f"{aggregation}-{way}",
            value=value,
            at=datetime.fromisoformat(time).replace(tzinfo=UTC),
            dimensions={"region": region, "user": user},
        )
        for time, region, user, value in rows_of("time")
        for aggregation in AGGREGATIONS
        for way in WAYS
    ]
    usage.ingest(events[::2], events[1::2])
    with usage.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        store.compact(tx)
    assert usage.quarantined() == []


def billed(usage: UsageWorld, account: str = "main") -> dict[str, Decimal]:
    """Quantities of the lines of October's draft, by Sku."""
    with usage.databases.app.transaction(reach=EVERYWHERE) as tx:
        found = account_reads.find_account(tx, namespace="organization-acme", name=account)
        assert found is not None
        drafted = draft(tx, account=found, stretch=[billing_month(2026, 10, zone="Etc/UTC")], now=usage.now)
    return {line.sku: line.quantity for line in drafted.lines if line.sku is not None}


def read(api: httpx.Client, **query: str) -> list[dict[str, Any]]:
    answer = api.get("/v1/usage", params={**OCTOBER, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def shown(api: httpx.Client, account: str = "main") -> dict[str, Decimal]:
    items = read(api, account=account, groupBy="meter")
    return {item["meter"].lower(): Decimal(item["quantity"]) for item in items}


def test_the_page_the_api_and_the_invoice_say_the_same(sold: UsageWorld, api: httpx.Client):
    sold.world.clock.forward(days=25)
    send_example(sold)
    page = {
        f"{aggregation}-{way}".lower(): Decimal(cell)
        for aggregation, *cells in rows_of("aggregation")
        for way, cell in zip(WAYS, cells, strict=True)
    }
    assert len(page) == 21
    assert shown(api) == page
    assert billed(sold) == page


def test_the_api_and_the_invoices_of_two_payers_say_the_same(sold: UsageWorld, api: httpx.Client):
    sold.world.account("second")
    sold.world.clock.forward(days=(CHANGE - sold.now) / timedelta(days=1))
    sold.world.bind("chat-2", project="chat", account="second")
    sold.world.clock.forward(days=10)
    send_example(sold)
    for account in ("main", "second"):
        assert shown(api, account) == {sku: pytest.approx(of) for sku, of in billed(sold, account).items()}
    exact = Decimal(10) ** -12
    assert shown(api)["max-period"] == (Decimal(40) * 15 / 31).quantize(exact)
    assert shown(api, "second")["max-period"] == (Decimal(7) * 16 / 31).quantize(exact)
    assert (shown(api)["max-day"], shown(api, "second")["max-day"]) == (65, 7)


def test_values_are_taken_of_what_is_asked_for(sold: UsageWorld, api: httpx.Client):
    sold.world.clock.forward(days=25)
    send_example(sold)
    regions = read(api, meter="Max-period", groupBy="dimension:region")
    assert [(item["dimensions"], item["quantity"]) for item in regions] == [
        ({"region": "eu"}, "25"),
        ({"region": "us"}, "40"),
    ]
    days = read(api, meter="UniqueCount-period", groupBy="day")
    assert [(item["day"], item["quantity"], item["count"]) for item in days] == [
        ("2026-10-01", "2", 2),
        ("2026-10-02", "2", 2),
        ("2026-10-20", "1", 1),
    ]
    (early,) = read(api, meter="UniqueCount-period", to="2026-10-02")
    assert (early["quantity"], early["aggregation"], early["unit"]) == ("2", "UniqueCount", "1")
    (unknown,) = read(api, meter="Sum-period", groupBy="project,dimension:colour")
    assert (unknown["project"], unknown["dimensions"]) == ("chat", {"colour": None})


def test_usage_of_several_periods_is_the_sum_of_their_values(sold: UsageWorld, api: httpx.Client):
    sold.world.clock.forward(days=25)
    send_example(sold)
    late = sold.event(project="chat", meter="Max-period", value="3", at=datetime(2026, 9, 30, 23, tzinfo=UTC))
    sold.ingest([late])
    (both,) = read(api, meter="Max-period", **{"from": "2026-09-01"})
    assert (both["quantity"], both["max"], both["sum"]) == ("43", "40", "90")


def test_usage_of_a_deleted_meter_can_still_be_read(usage: UsageWorld, api: httpx.Client):
    usage.ingest([usage.event(value="7")])
    usage.world.delete(MeterDefinition, "cpu")
    (item,) = read(api)
    assert (item["meter"], item["quantity"]) == ("compute.example/cpu", "7")
