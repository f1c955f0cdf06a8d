"""Prices that came after an invoice, for usage that had none when it was issued. Pure."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from milo_billing.pricing.types import BookSource, RateCard


def with_later(card: RateCard, later: RateCard, *, meters: Collection[str]) -> RateCard:
    """The card with what a later one prices of these meters, behind its own sources.

    Only by Skus that the card does not price: what it priced stays as it is, and nothing is priced twice.
    """
    names = {
        sku.name for sku in later.skus.values() if sku.meter_name in meters and sku.name not in card.skus
    }
    sources = tuple(_priced(later.sources, names))
    return replace(
        card,
        sources=(*card.sources, *sources),
        skus={**card.skus, **{name: later.skus[name] for name in names}},
        meters={**later.meters, **card.meters},
        rates={**later.rates, **card.rates},
    )


def _priced(sources: tuple[BookSource, ...], names: Collection[str]) -> Iterator[BookSource]:
    """The sources with no other prices than those of the Skus; without those that have none."""
    for source in sources:
        books = tuple(
            replace(book, prices=tuple(price for price in book.prices if price.sku in names))
            for book in source.books
        )
        if any(book.prices for book in books):
            yield replace(source, books=books)
