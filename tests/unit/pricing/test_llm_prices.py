"""What the price of a model may depend on: the size of a request, the time of day, the day."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests import llm_requests
from tests.imported_prices import EFFECTIVE, NOON, Imported, exact, rate_month, send

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
