"""The price that an account has for a Sku on a day, from a rate card.

For what is charged by declared quantities: its price holds from a day for a whole interval, so there are no segments.
"""

from datetime import date

from milo_billing.pricing.types import PriceOn, Quote, RateCard, UnableToRate


def quotes_of(card: RateCard) -> PriceOn:
    """How the card prices Skus by day. It knows the days for which it was read, and no others.

    Raises UnableToRate, when asked, where a book prices a Sku that does not exist.
    """
    prices = [(book, {price.sku: price for price in book.prices}) for book in card.books]

    def price_on(sku: str, day: date) -> Quote | None:
        standing = [(book, offered) for book, offered in prices if book.effective_from <= day]
        if not standing or sku not in standing[-1][1]:
            return None
        book, offered = standing[-1]
        sold = card.skus.get(sku)
        if sold is None:
            raise UnableToRate(f"the price book {book.book_name} prices Sku {sku}, which does not exist")
        return Quote(sold, offered[sku], book.number, book.currency)

    return price_on
