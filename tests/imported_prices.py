"""A price list as the engine prices by it: imported, read back as the server reads objects, and charged exactly.

Lists have prices with more digits than cents, and a line is settled to cents. What is compared with expected prices is
therefore each part's quantity × unit price as the engine charged it, before it was settled (`exact`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np

from milo_billing.catalog.resources.books import PriceBookSpec
from milo_billing.catalog.resources.fields import body_of
from milo_billing.catalog.resources.meters import MeterDefinitionSpec
from milo_billing.catalog.resources.skus import SkuSpec
from milo_billing.catalog.rules import measurement, skus, units
from milo_billing.catalog.rules.importing.formats import Format, read_price_list
from milo_billing.catalog.rules.importing.planning import Plan, Standing, plan
from milo_billing.catalog.rules.prices import parse_price, price_errors
from milo_billing.catalog.types import Book, Meter, Sku
from milo_billing.kernel.aggregation import Figures
from milo_billing.pricing.rules.lines import rate
from milo_billing.pricing.types import RateCard, Rating, UsageQuantity, list_card
from milo_billing.usage.engine.bands import band_codes, band_labels
from tests import llm_requests
from tests.unit.pricing.builders import nothing_distinct

EFFECTIVE = date(2026, 7, 1)
NOON = datetime(2026, 7, 15, 12, tzinfo=UTC)


class Imported:
    """The books, Skus and meters that an import of a list makes, read back as the engine reads them."""

    def __init__(
        self,
        content: bytes,
        *,
        format: Format = "llm",
        currency: str = "USD",
        effective_from: date = EFFECTIVE,
    ) -> None:
        self.listed = read_price_list(content, format=format, source=format, currency=currency)
        assert self.listed.problems == ()
        self.plan: Plan = plan(self.listed, standing=Standing(), book="list", effective_from=effective_from)
        specs: dict[str, list[tuple[str, Any]]] = {"MeterDefinition": [], "Sku": [], "PriceBook": []}
        for each in self.plan.manifests:
            specs[each["kind"]].append((each["metadata"]["name"], each["spec"]))
        self.meters = {meter.meter_name: meter for meter in map(read_meter, specs["MeterDefinition"])}
        self.skus = {name: read_sku(name, spec, self.meters) for name, spec in specs["Sku"]}
        self.books = tuple(
            read_book(number, *each) for number, each in enumerate(specs["PriceBook"], start=1)
        )
        self.prices = [{price.sku: price for price in book.prices} for book in self.books]
        self.sold: dict[tuple[str, str], list[Sku]] = {}
        for sku in self.skus.values():
            said = (sku.match.get("provider", ("",))[0], sku.match.get("model", ("",))[0])
            self.sold.setdefault(said, []).append(sku)

    def card(self, provider: str, model: str) -> RateCard:
        """What prices a model: of the books, only its Skus, so that a thousand ratings take seconds."""
        skus = {sku.name: sku for sku in self.sold[provider, model]}
        narrowed = [
            replace(book, prices=tuple(prices[name] for name in skus if name in prices))
            for book, prices in zip(self.books, self.prices, strict=True)
        ]
        return list_card("USD", narrowed, skus, self.meters)

    def meter(self, provider: str, model: str, usage: str) -> Meter:
        """The meter to which usage of the model is sent."""
        names = {sku.meter_name for sku in self.sold[provider, model] if sku.labels["usage"] == usage}
        (name,) = names
        return self.meters[name]


def read_meter(named: tuple[str, Any]) -> Meter:
    spec = MeterDefinitionSpec.model_validate(named[1])
    measured = spec.measurement
    bodies = [body_of(bands) for bands in measured.bands]
    assert [error for body in bodies for error in measurement.band_errors(body, path="")] == []
    return Meter(
        number=1,
        meter_name=spec.meter_name,
        phase=spec.phase,
        aggregation=measured.aggregation,
        unit=measured.unit,
        dimensions=tuple(measured.dimensions),
        bands=tuple(measurement.parse_bands(body) for body in bodies),
    )


def read_sku(name: str, body: Any, meters: Mapping[str, Meter]) -> Sku:
    spec = SkuSpec.model_validate(body)
    assert spec.meter is not None, "lists price usage"
    meter = meters[spec.meter.meter_name]
    assert list(skus.sku_errors(meter, match=spec.meter.match, pricing_unit=spec.pricing_unit)) == []
    return Sku(
        number=1,
        name=name,
        meter_name=spec.meter.meter_name,
        match={key: tuple(values) for key, values in spec.meter.match.items()},
        pricing_unit=spec.pricing_unit,
        unit_factor=units.conversion_factor(from_unit=meter.unit, to_unit=spec.pricing_unit),
        quantity_rounding=None,
        tax_category=spec.tax_category,
        display_name=spec.display_name or name,
        invoice_group=spec.invoice_group or "",
        service="",
        labels=spec.labels,
    )


def read_book(number: int, name: str, body: Any) -> Book:
    spec = PriceBookSpec.model_validate(body)
    bodies = body_of(spec)["prices"]
    prices = tuple(parse_price(price, sku=price["skuRef"]["name"]) for price in bodies)
    assert [error for price in bodies for error in price_errors(price, path="")] == []
    return Book(
        number, name, spec.book_name, date.fromisoformat(spec.effective_from), spec.currency_code, prices
    )


def send(
    imported: Imported,
    *,
    provider: str,
    model: str,
    prices: Mapping[str, Any],
    usage: Mapping[str, int],
    at: datetime,
) -> list[UsageQuantity]:
    """What one request leaves in the roll-up, bands decided as ingest decides them."""
    size = llm_requests.size_of(prices, usage)
    sent = {"provider": provider, "model": model} | ({} if size is None else {"requestSize": size})
    rows: list[UsageQuantity] = []
    for field, count in llm_requests.tokens_by_price(usage, prices):
        kind = field.removesuffix("_mtok").replace("_", "-")
        meter = imported.meter(provider, model, f"{kind}-tokens")
        code = band_codes(
            meter.bands,
            values=np.array([count], np.int64),
            instants=np.array(
                [(at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)], np.int64
            ),
        )[0]
        labels = sent | band_labels(meter.bands)[int(code)]
        rows.append(
            UsageQuantity(1, meter.meter_name, tuple(sorted(labels.items())), at.date(), Figures(count, 1))
        )
    return rows


def rate_month(rows: Iterable[UsageQuantity], card: RateCard, *, at: datetime = NOON) -> Rating:
    first = at.date().replace(day=1)
    end = (first + timedelta(days=32)).replace(day=1)
    rating = rate(rows, card, first_day=first, end_day=end, bound={}, distinct=nothing_distinct)
    assert rating.unpriced == ()
    return rating


def exact(rating: Rating, *, direction: str | None = None) -> Fraction:
    """What the engine charged before it settled: quantity × unit price of each part."""
    total = Fraction(0)
    for line in rating.lines:
        output = line.sku.labels["usage"].startswith("output")
        if direction is None or (direction == "output") == output:
            for part in line.parts:
                assert part.unit_price is not None
                total += part.quantity * Fraction(part.unit_price)
    return total
