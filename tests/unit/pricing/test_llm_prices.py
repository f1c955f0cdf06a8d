"""Real API usage bodies, priced through the books that the import makes of the LLM price list.

Expected prices are in dollars with more digits than cents, and a line is settled to cents. What is compared, to the
last digit, is therefore each part's quantity × unit price as the engine charged it, before it was settled.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milo_billing.catalog.resources.books import PriceBookSpec
from milo_billing.catalog.resources.fields import body_of
from milo_billing.catalog.resources.meters import MeterDefinitionSpec
from milo_billing.catalog.resources.skus import SkuSpec
from milo_billing.catalog.rules import books, measurement, skus, units
from milo_billing.catalog.rules.importing.formats import read_price_list
from milo_billing.catalog.rules.importing.planning import Plan, Standing, plan
from milo_billing.catalog.types import Book, Meter, Sku
from milo_billing.kernel.aggregation import Figures
from milo_billing.pricing.rules.lines import rate
from milo_billing.pricing.types import RateCard, Rating, UsageQuantity
from milo_billing.usage.engine.bands import band_codes, band_labels
from tests.unit.pricing import llm_requests
from tests.unit.pricing.builders import nothing_distinct

NOON = datetime(2026, 7, 15, 12, tzinfo=UTC)
"""When the expected prices were computed, as far as it matters: before 2026-09-01, from which the list has other
prices, and not in the hours that it has reductions for.
"""
EFFECTIVE = date(2026, 7, 1)
REASONING = {"output_reasoning_tokens"}


class Imported:
    """The books, Skus and meters that an import of a list makes, read back as the engine reads them."""

    def __init__(self, content: bytes, *, effective_from: date = EFFECTIVE) -> None:
        listed = read_price_list(content, format="llm", source="llm", currency="USD")
        assert listed.problems == ()
        self.plan: Plan = plan(listed, standing=Standing(), book="llm", effective_from=effective_from)
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
            self.sold.setdefault((sku.match["provider"][0], sku.match["model"][0]), []).append(sku)

    def card(self, provider: str, model: str) -> RateCard:
        """What prices a model: of the books, only its Skus, so that a thousand ratings take seconds."""
        skus = {sku.name: sku for sku in self.sold[provider, model]}
        narrowed = [
            replace(book, prices=tuple(prices[name] for name in skus if name in prices))
            for book, prices in zip(self.books, self.prices, strict=True)
        ]
        return RateCard(currency="USD", books=tuple(narrowed), skus=skus, meters=self.meters)

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
    prices = tuple(books.parse_price(price) for price in body_of(spec)["prices"])
    assert [error for price in prices for error in books.price_errors(price, path="")] == []
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


@pytest.fixture(scope="module")
def price_list(shared_data: Path) -> bytes:
    return (shared_data / "price_lists" / "llm_genai_prices_data.json").read_bytes()


@pytest.fixture(scope="module")
def imported(price_list: bytes) -> Imported:
    return Imported(price_list)


@pytest.fixture(scope="module")
def providers(price_list: bytes) -> Any:
    return json.loads(price_list, parse_float=Decimal)


def read_bodies(shared_data: Path) -> list[Any]:
    """The cases, or other ones of the same form where MILO_LLM_USAGES names a file."""
    file = os.environ.get("MILO_LLM_USAGES") or shared_data / "llm" / "genai_prices_usages_part.json"
    return json.loads(Path(file).read_text())


@dataclass(frozen=True)
class Case:
    """One extractor's reading of one body: what came of it, why, and what was sent for which price."""

    body: int
    outcome: str
    reason: str = ""
    rows: tuple[UsageQuantity, ...] = ()
    dollars: Fraction = Fraction(0)


@pytest.fixture(scope="module")
def cases(imported: Imported, providers: Any, shared_data: Path) -> list[Case]:
    """The cases, or other ones of the same form where MILO_LLM_USAGES names a file."""
    file = os.environ.get("MILO_LLM_USAGES") or shared_data / "llm" / "genai_prices_usages_part.json"
    bodies = json.loads(Path(file).read_text())
    return [
        compare(imported, providers, number, body.get("model"), extracted["usage"], extractor)
        for number, body in enumerate(bodies)
        for extracted in body["extracted"]
        for extractor in extracted["extractors"]
    ]


def compare(
    imported: Imported,
    providers: Any,
    body: int,
    reference: str | None,
    usage: Mapping[str, int],
    extractor: Mapping[str, str],
) -> Case:
    """Whether a case is reproduced, ruled out or wrong, and why."""
    has_price = "input_price" in extractor
    found = reference and llm_requests.find_model(providers, extractor["provider_id"], reference)
    if not found and not has_price:
        why = "the provider does not offer the model" if reference else "the body names no model"
        return Case(body, "ruled out", f"{why}, and there is no expected price")
    case = f"body {body}, {reference} at {extractor['provider_id']} with {dict(usage)}"
    if not found or not has_price:
        return Case(body, "wrong", f"{case}: expected {dict(extractor)}, found {found and found[1]['id']}")
    provider, model = found
    prices = llm_requests.prices_on(model, NOON)
    rows = send(imported, provider=provider, model=model["id"], prices=prices, usage=usage, at=NOON)
    rating = rate_month(rows, imported.card(provider, model["id"]))
    expected = {key: Fraction(extractor[f"{key}_price"]) for key in ("input", "output")}
    charged = {key: exact(rating, direction=key) for key in expected}
    missing = sorted(kind for kind in usage if f"{kind.removesuffix('_tokens')}_mtok" not in prices)
    if charged != expected:
        # the list is made for readers that know fewer kinds of output than those who expect these prices
        own = [kind for kind in missing if kind.startswith("output") and kind not in REASONING]
        if charged["input"] == expected["input"] and own:
            return Case(
                body, "ruled out", f"{model['id']} has no price of its own for {', '.join(own)} in the list"
            )
        return Case(body, "wrong", f"{case}: expected {expected}, charged {charged}")
    total = Fraction(extractor.get("total_price", sum(expected.values())))
    if total != exact(rating) and all(kind.endswith("_tokens") for kind in missing):
        return Case(body, "wrong", f"{case}: expected {total} in total, charged {exact(rating)}")
    return Case(body, "reproduced", "", tuple(rows), sum(expected.values(), Fraction(0)))


@pytest.mark.shared
def test_every_expected_price_of_real_requests_is_reproduced_to_the_last_digit(
    cases: list[Case], capsys: pytest.CaptureFixture[str]
):
    outcomes = Counter(case.outcome for case in cases)
    bodies = {case.body for case in cases}
    reproduced = {case.body for case in cases if case.outcome == "reproduced"}
    with capsys.disabled():
        print(f"\n{len(bodies)} bodies, {len(reproduced)} of them with prices; cases: {dict(outcomes)}")
        for reason, count in Counter(c.reason for c in cases if c.outcome == "ruled out").most_common():
            print(f"  ruled out {count}: {reason}")
    assert [case.reason for case in cases if case.outcome == "wrong"] == []
    assert outcomes["reproduced"] > 0


@pytest.mark.shared
def test_all_real_requests_at_once_are_charged_by_the_whole_book(imported: Imported, cases: list[Case]):
    whole = RateCard(currency="USD", books=imported.books, skus=imported.skus, meters=imported.meters)
    rating = rate_month([row for case in cases for row in case.rows], whole)
    assert exact(rating) == sum(case.dollars for case in cases)


MODEL = {"id": "m", "match": {"equals": "m"}}
SIZED = {
    "input_mtok": {"base": 3, "tiers": [{"start": 200000, "price": 6}]},
    "cache_read_mtok": 0.3,
    "output_mtok": {"base": 15, "tiers": [{"start": 200000, "price": 22.5}]},
}


def import_model(prices: Any, *, effective_from: date = EFFECTIVE) -> Imported:
    entry = {"id": "p", "name": "P", "models": [{**MODEL, "prices": prices}]}
    return Imported(json.dumps([entry]).encode(), effective_from=effective_from)


def charge(imported: Imported, prices: Any, usage: Mapping[str, int], at: datetime = NOON) -> Decimal:
    """In dollars, what one request costs."""
    exactly = json.loads(json.dumps(prices), parse_float=Decimal)
    held = llm_requests.prices_on({"prices": exactly}, at)
    rows = send(imported, provider="p", model="m", prices=held, usage=usage, at=at)
    charged = exact(rate_month(rows, imported.card("p", "m"), at=at))
    return Decimal(charged.numerator) / Decimal(charged.denominator)


@pytest.mark.parametrize(
    ("input_tokens", "cached", "output", "dollars"),
    [
        (200_000, 0, 1_000, "0.615"),  # the bound belongs to the smaller size
        (200_001, 0, 1_000, "1.222506"),  # every token of the larger request costs more, output as well
        (200_001, 150_000, 1_000, "0.367506"),  # cached tokens count for the size, and cost the same in both
        (199_999, 150_000, 1_000, "0.209997"),
    ],
)
def test_the_size_of_the_whole_request_decides_what_each_kind_of_token_costs(
    input_tokens: int, cached: int, output: int, dollars: str
):
    usage = {"input_tokens": input_tokens, "cache_read_tokens": cached, "output_tokens": output}
    assert charge(import_model(SIZED), SIZED, usage) == Decimal(dollars)


HOURLY = [
    {"prices": {"input_mtok": 0.135}},
    {"constraint": {"start_time": "00:30:00Z", "end_time": "16:30:00Z"}, "prices": {"input_mtok": 0.27}},
]


@pytest.mark.parametrize(
    ("clock", "dollars"),
    [
        ("00:29:59", "0.135"),
        ("00:30:00", "0.27"),
        ("16:29:59", "0.27"),
        ("16:30:00", "0.135"),
        ("23:59", "0.135"),
    ],
)
def test_the_time_of_day_at_ingest_decides_which_price_holds(clock: str, dollars: str):
    at = datetime.fromisoformat(f"2026-07-15T{clock}+00:00")
    assert charge(import_model(HOURLY), HOURLY, {"input_tokens": 1_000_000}, at) == Decimal(dollars)


DATED = [
    {"prices": {"input_mtok": 2}},
    {"constraint": {"start_date": "2026-07-20"}, "prices": {"input_mtok": 3}},
]


def test_a_price_with_a_start_date_is_the_next_version_of_the_book():
    imported = import_model(DATED)
    assert [book.effective_from for book in imported.books] == [EFFECTIVE, date(2026, 7, 20)]
    for day, dollars in ((19, 2), (20, 3)):
        at = datetime(2026, 7, day, 23, tzinfo=UTC)
        assert charge(imported, DATED, {"input_tokens": 1_000_000}, at) == dollars


def test_a_start_date_before_the_import_is_no_version():
    imported = import_model(DATED, effective_from=date(2026, 8, 1))
    assert [book.effective_from for book in imported.books] == [date(2026, 8, 1)]
    assert charge(imported, DATED, {"input_tokens": 1_000_000}, datetime(2026, 8, 1, tzinfo=UTC)) == 3
