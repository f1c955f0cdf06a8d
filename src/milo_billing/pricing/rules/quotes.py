"""The price that an account has for a Sku on a day, from a rate card.

For what is charged by declared quantities: its price holds from a day for a whole interval, so there are no segments.
"""

from collections.abc import Iterator
from datetime import date

from milo_billing.catalog.types import Book
from milo_billing.pricing.types import PriceOn, Quote, RateCard, UnableToRate


def quotes_of(card: RateCard) -> PriceOn:
    """How the card prices Skus by day. It knows the days for which it was read, and no others.

    The first source that prices the Sku on the day does. Raises UnableToRate, when asked, where a book prices a Sku
    that does not exist.
    """
    offered = {book.number: {price.sku: price for price in book.prices} for book in _books(card)}

    def price_on(sku: str, day: date, *, known: date | None = None) -> Quote | None:
        for source in card.sources:
            book = source.version_on(day) if source.is_given(day, known=known) else None
            if book is None or sku not in offered[book.number]:
                continue
            sold = card.skus.get(sku)
            if sold is None:
                raise UnableToRate(f"the price book {book.book_name} prices Sku {sku}, which does not exist")
            return Quote(sold, offered[book.number][sku], book.number, book.currency)
        return None

    return price_on


def _books(card: RateCard) -> Iterator[Book]:
    for source in card.sources:
        yield from source.books
