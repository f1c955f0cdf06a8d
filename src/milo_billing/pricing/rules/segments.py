"""Which price of a Sku holds on which days of a rating period (domain.md §5).

A change of price inside the period acts on its day where both prices are plain per-unit, or percentages, over Sum or
Count.
Whatever counts over the whole period (tiers, included quantity, minimum, maximum) keeps the price it began
with until the end.
"""

from dataclasses import dataclass
from datetime import date

from milo_billing.catalog.types import Book, Price, Sku
from milo_billing.kernel.aggregation import ADDITIVE, Aggregation
from milo_billing.pricing.types import RateCard, UnableToRate


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One price of one Sku over the days `[first_day, end_day)`. Compared by identity."""

    sku: Sku
    price: Price
    book: Book
    first_day: date
    end_day: date


def price_segments(card: RateCard, *, first_day: date, end_day: date) -> tuple[Segment, ...]:
    """Every Sku's segments within the days of a period, by Sku name, then day; those of one Sku do not overlap."""
    changes = _changes(card.books, first_day=first_day, end_day=end_day)
    prices = [{price.sku: price for price in book.prices} for _, book in changes]
    names = sorted({name for offered in prices for name in offered})
    segments: list[Segment] = []
    for name in names:
        versions = [
            (day, book, offered.get(name)) for (day, book), offered in zip(changes, prices, strict=True)
        ]
        sku = card.skus.get(name)
        if sku is None:
            raise UnableToRate(
                f"the price book {changes[-1][1].book_name} prices Sku {name}, which does not exist"
            )
        meter = card.meters.get(sku.meter_name)
        aggregation = None if meter is None else meter.aggregation
        segments += _sku_segments(sku, versions, aggregation=aggregation, end_day=end_day)
    return tuple(segments)


def _changes(books: tuple[Book, ...], *, first_day: date, end_day: date) -> list[tuple[date, Book]]:
    """(day it begins to act within the period, book): the one in force at the start, then each that follows."""
    standing = [book for book in books if book.effective_from <= first_day]
    following = [book for book in books if first_day < book.effective_from < end_day]
    return [(first_day, book) for book in standing[-1:]] + [(book.effective_from, book) for book in following]


def _sku_segments(
    sku: Sku,
    versions: list[tuple[date, Book, Price | None]],
    *,
    aggregation: Aggregation | None,
    end_day: date,
) -> list[Segment]:
    segments: list[Segment] = []
    current: tuple[date, Book, Price] | None = None

    def close(day: date) -> None:
        if current is not None:
            began, book, price = current
            segments.append(Segment(sku, price, book, began, day))

    for day, book, offered in versions:
        if current is not None:
            held = current[2]
            if not changes_on_the_day(held, aggregation=aggregation) or offered == held:
                continue
            if offered is not None and not changes_on_the_day(offered, aggregation=aggregation):
                continue
            close(day)
        current = None if offered is None else (day, book, offered)
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
