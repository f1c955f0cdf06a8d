"""The price engine on one core: graduated prices of four tiers against a bar, and every other model beside them.

A line here is a charged quantity turned into its settled parts, at a price that was made ready before, as it
is in a run over many accounts. Rating whole lines (match, sum up thirty days of two projects, convert,
charge, split) is told beside it without a bar: it depends on how much usage stands behind a line.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from bench.figures import Figure
from milo_billing.catalog.types import Book, Meter, Price, Sku, Tier
from milo_billing.kernel.aggregation import Figures
from milo_billing.pricing.rules.charges import charge, prepare
from milo_billing.pricing.rules.lines import rate
from milo_billing.pricing.types import Cell, RateCard, UsageQuantity, list_card

NAME = "pricing"
SKUS = 200
QUANTITIES = 20_000
ROUNDS = 7
FIRST_DAY, END_DAY = date(2026, 10, 1), date(2026, 10, 31)
PER_THOUSAND = Fraction(1, 1000)


def run() -> Sequence[Figure]:
    """Charge many quantities, then rate an account with many Skus."""
    randomness = random.Random(2026)
    card, usage = _card(), _usage(randomness)
    price = prepare(card.sources[0].books[0].prices[0], currency=card.currency)
    # metered in units and priced by the thousand, over all four tiers
    quantities = [randomness.randrange(1, 200_000_000) * PER_THOUSAND for _ in range(QUANTITIES)]
    charged_s = _seconds(lambda: [charge(price, quantity) for quantity in quantities])
    others = [_charged(model, quantities) for model in _other_models()]
    rated_s = _seconds(
        lambda: rate(usage, card, first_day=FIRST_DAY, end_day=END_DAY, bound={}, distinct=_no_keys)
    )
    return (
        Figure("pricing/graduated_lines", QUANTITIES / charged_s, "lines/s", bar=100_000, sense=">="),
        *others,
        Figure("pricing/rated_lines", SKUS / rated_s, "lines/s"),
        Figure("pricing/rated_rollups", len(usage) / rated_s, "rows/s"),
    )


def _charged(price: Price, quantities: Sequence[Fraction]) -> Figure:
    """Lines of another model a second; a percentage is of the quantities as amounts in minor units."""
    ready = prepare(price, currency="USD")
    seconds = _seconds(lambda: [charge(ready, quantity, base_minor=quantity) for quantity in quantities])
    return Figure(f"pricing/{price.model.lower()}_lines", len(quantities) / seconds, "lines/s")


def _other_models() -> Iterator[Price]:
    graduated = _price("sku-0")
    bare = replace(graduated, tiers=(), unit_price=Decimal("0.0225"))
    yield replace(bare, model="PerUnit")
    yield replace(graduated, model="Volume")
    yield replace(bare, model="Package", package_size=Decimal("12.5"))
    yield replace(graduated, model="Stairstep")
    yield replace(bare, model="Percentage", unit_price=None, percent=Decimal("2.5"))
    yield replace(bare, model="Flat")


def _no_keys(cells: Sequence[Cell]) -> Sequence[int]:
    raise AssertionError(f"no meter here counts distinct keys: {cells}")


def _seconds(work: Callable[[], object]) -> float:
    """The median over some rounds; the first one warms up."""
    work()
    rounds: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        rounds.append(time.perf_counter() - began)
    return statistics.median(rounds)


def _card() -> RateCard:
    names = [f"sku-{number}" for number in range(SKUS)]
    skus = {name: _sku(number, name) for number, name in enumerate(names)}
    book = Book(1, "list", "list", date(2026, 1, 1), "USD", tuple(map(_price, names)))
    meters = {
        sku.meter_name: Meter(sku.number, sku.meter_name, "Published", "Sum", "{request}", ("region",))
        for sku in skus.values()
    }
    return list_card("USD", (book,), skus, meters)


def _sku(number: int, name: str) -> Sku:
    return Sku(
        number=number,
        name=name,
        meter_name=f"meter-{number}",
        match={},
        pricing_unit="10*3.{request}",
        unit_factor=PER_THOUSAND,
        quantity_rounding=None,
        tax_category="standard",
        display_name=name,
        invoice_group="",
        service="",
    )


def _price(sku: str) -> Price:
    tiers = [("1000", "0.10"), ("10000", "0.08"), ("100000", "0.05"), (None, "0.0225")]
    return Price(
        sku=sku,
        model="Graduated",
        unit_price=None,
        tiers=tuple(
            Tier(None if up_to is None else Decimal(up_to), Decimal(unit_price), Decimal(0), False)
            for up_to, unit_price in tiers
        ),
        included_quantity=Decimal(0),
        minimum=None,
        maximum=None,
    )


def _usage(randomness: random.Random) -> list[UsageQuantity]:
    days = [FIRST_DAY + timedelta(days=number) for number in range((END_DAY - FIRST_DAY).days)]
    return [
        UsageQuantity(
            project, f"meter-{number}", (("region", "eu"),), day, Figures(randomness.randrange(5_000_000), 10)
        )
        for number in range(SKUS)
        for project in (1, 2)
        for day in days
    ]
