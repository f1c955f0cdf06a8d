"""Which price of a Sku holds on which days of a rating period, and from which book (domain.md §5).

Of each Sku, the first source that prices it on a day does. A change of price inside the period, also one from a source
to another, acts on its day where both prices are plain per-unit, or percentages, over Sum or Count. Whatever counts
over the whole period (tiers, included quantity, minimum, maximum) keeps the price it began with until the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, TypeAlias

from milo_billing.catalog.types import Book, Price, Sku
from milo_billing.kernel.aggregation import ADDITIVE, Aggregation
from milo_billing.pricing.types import BookSource, RateCard, UnableToRate


class Offered(NamedTuple):
    """A price as a source offers it; `rank` counts the sources from 0 in order of precedence."""

    rank: int
    source: BookSource
    book: Book
    price: Price


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One price of one Sku over the days `[first_day, end_day)`. Compared by identity.

    `firm` says that the price counts over the whole period, so that nothing takes its usage before the end.
    """

    sku: Sku
    price: Price
    book: Book
    first_day: date
    end_day: date
    source: BookSource
    rank: int
    firm: bool


InForce: TypeAlias = tuple[int, BookSource, Book, dict[str, Price]]
"""A version of a book on a day: its rank, where it comes from, and its prices by Sku."""


def price_segments(card: RateCard, *, first_day: date, end_day: date) -> tuple[Segment, ...]:
    """Every Sku's segments within the days of a period, by Sku name, then day; those of one Sku do not overlap."""
    days = in_force(card.sources, first_day=first_day, end_day=end_day)
    segments: list[Segment] = []
    for name in sorted({name for _, books in days for *_, prices in books for name in prices}):
        sku = card.skus.get(name)
        if sku is None:
            book = next(book for _, books in days for _, _, book, prices in books if name in prices)
            raise UnableToRate(f"the price book {book.book_name} prices Sku {name}, which does not exist")
        meter = card.meters.get(sku.meter_name)
        aggregation = None if meter is None else meter.aggregation
        offers = [(day, _offered(name, books)) for day, books in days]
        segments += _sku_segments(sku, offers, aggregation=aggregation, end_day=end_day)
    return tuple(segments)


def in_force(
    sources: Sequence[BookSource], *, first_day: date, end_day: date
) -> list[tuple[date, list[InForce]]]:
    """The days on which something changes, each with the books that are in force from it on, by precedence."""
    changes = [_changes(source, first_day=first_day, end_day=end_day) for source in sources]
    prices = {
        id(book): {price.sku: price for price in book.prices}
        for each in changes
        for _, book in each
        if book is not None
    }
    days: list[tuple[date, list[InForce]]] = []
    for day in sorted({day for each in changes for day, _ in each}):
        standing: list[InForce] = []
        for rank, (source, each) in enumerate(zip(sources, changes, strict=True)):
            book = next((book for since, book in reversed(each) if since <= day), None)
            if book is not None:
                standing.append((rank, source, book, prices[id(book)]))
        days.append((day, standing))
    return days


def _changes(source: BookSource, *, first_day: date, end_day: date) -> list[tuple[date, Book | None]]:
    """(day it begins to act within the period, book): the one in force at first, each that follows, None at the end."""
    start = first_day if source.first_day is None else max(first_day, source.first_day)
    end = end_day if source.end_day is None else min(end_day, source.end_day)
    if start >= end:
        return []
    standing = [book for book in source.books if book.effective_from <= start]
    following = [book for book in source.books if start < book.effective_from < end]
    changes: list[tuple[date, Book | None]] = [(start, book) for book in standing[-1:]]
    changes += [(book.effective_from, book) for book in following]
    return [*changes, (end, None)] if end < end_day else changes


def _offered(name: str, books: Sequence[InForce]) -> Offered | None:
    for rank, source, book, prices in books:
        price = prices.get(name)
        if price is not None:
            return Offered(rank, source, book, price)
    return None


def _sku_segments(
    sku: Sku, offers: list[tuple[date, Offered | None]], *, aggregation: Aggregation | None, end_day: date
) -> list[Segment]:
    segments: list[Segment] = []
    current: tuple[date, Offered] | None = None

    def close(day: date) -> None:
        if current is not None:
            began, (rank, source, book, price) = current
            firm = not changes_on_the_day(price, aggregation=aggregation)
            segments.append(Segment(sku, price, book, began, day, source, rank, firm))

    for day, offered in offers:
        if current is not None:
            held = current[1]
            if not changes_on_the_day(held.price, aggregation=aggregation):
                continue
            if offered is not None:
                if (offered.rank, offered.price) == (held.rank, held.price):
                    continue
                if not changes_on_the_day(offered.price, aggregation=aggregation):
                    continue
            close(day)
        current = None if offered is None else (day, offered)
    close(end_day)
    return segments


def changes_on_the_day(price: Price, *, aggregation: Aggregation | None) -> bool:
    """Whether nothing about the price counts over the whole period, so that it may change within one."""
    return (
        price.model in ("PerUnit", "Percentage")
        and not price.included_quantity
        and price.minimum is None
        and price.maximum is None
        and aggregation in ADDITIVE
    )
