"""What a later card may price of usage that had no price: other Skus of the meters asked for, and nothing twice."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

from milo_billing.pricing.rules.later_prices import with_later
from milo_billing.pricing.types import BookSource, ExchangeRate
from tests.unit.pricing.builders import book, card, meter, per_unit, sku

REQUESTS = per_unit("1", sku="requests")
FIRST = card([book(REQUESTS)], skus=[sku("requests"), sku("idle", meter="idle")])
GPU, DISK = per_unit("3", sku="gpu", minimum="5"), per_unit("4", sku="disk")
LATER = replace(
    card(
        [
            book(per_unit("2", sku="requests"), DISK, number=2),
            book(GPU, DISK, number=3, since=date(2026, 11, 1)),
        ],
        skus=[sku("requests"), sku("gpu", meter="gpu"), sku("disk", meter="disk"), sku("idle", meter="idle")],
    ),
    currency="EUR",
    meters={"requests": meter("requests", "Max"), "gpu": meter("gpu"), "disk": meter("disk")},
)


def rate(currency: str, per_euro: str) -> ExchangeRate:
    return ExchangeRate("ECB", date(2026, 11, 2), currency, "USD", Decimal(per_euro), Decimal("1.1"))


def test_only_skus_that_nothing_priced_and_that_are_asked_for_are_priced_later() -> None:
    found = with_later(FIRST, LATER, meters=["gpu", "requests", "idle"])
    assert found.sources == (
        *FIRST.sources,
        # the version without such a price stays: it says from when there was none
        BookSource("List", "list", (book(number=2), book(GPU, number=3, since=date(2026, 11, 1)))),
    )
    assert set(found.skus) == {"requests", "idle", "gpu"}
    assert found.skus["requests"] == FIRST.skus["requests"]
    assert found.currency == "USD"


def test_a_book_that_prices_nothing_of_it_is_left_out() -> None:
    only_disk = BookSource("Entitlement", "deal", (book(DISK, number=9),), by="deal")
    later = replace(LATER, sources=(only_disk, *LATER.sources))
    assert with_later(FIRST, later, meters=["gpu"]).sources[1:] == (
        BookSource("List", "list", (book(number=2), book(GPU, number=3, since=date(2026, 11, 1)))),
    )
    assert with_later(FIRST, later, meters=["disk"]).sources[1] == only_disk
    assert with_later(FIRST, later, meters=["requests", "nobody"]) == replace(
        FIRST, meters={**later.meters, **FIRST.meters}
    )


def test_how_usage_adds_up_and_what_money_is_worth_stay_as_they_were() -> None:
    first = replace(FIRST, rates={"EUR": rate("EUR", "1")})
    later = replace(LATER, rates={"EUR": rate("EUR", "1.5"), "GBP": rate("GBP", "0.9")})
    found = with_later(first, later, meters=["gpu"])
    assert found.rates == {"EUR": rate("EUR", "1"), "GBP": rate("GBP", "0.9")}
    assert found.meters["requests"].aggregation == "Sum"
    assert set(found.meters) == {"requests", "idle", "gpu", "disk"}
