"""A line again, from what an invoice froze of it: does the version of the price book give the same amount?

The functions are those that rated the line. What discounts took off is given, since those who gave it are above.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final

from milo_billing.catalog.types import Book, Price, Sku
from milo_billing.kernel.money import exponent, settle
from milo_billing.pricing.rules.fx import convert, convert_line
from milo_billing.pricing.rules.lines import rate_segment
from milo_billing.pricing.rules.percentages import discount_line, reduce_line
from milo_billing.pricing.rules.segments import Segment
from milo_billing.pricing.types import BookSource, FrozenLine, RateCard, RatedLine, SubLine

_SOMEBODY: Final = 1
"""Stands for all projects of the line: any number that a project may have."""


def recharge(frozen: FrozenLine, *, sku: Sku, book: Book) -> RatedLine | None:
    """The line as this version of the book charges it; None where the version has no price for the Sku.

    Its shares are of nobody in particular. Raises UnableToRate and ValueError where the numbers cannot have come of it.
    """
    price = next((one for one in book.prices if one.sku == sku.name), None)
    if price is None:
        return None
    line = (
        _metered(frozen, sku=sku, price=price, book=book)
        if sku.charge_type == "Usage"
        else _declared(frozen, sku=sku, price=price, book=book)
    )
    return reduce_line(discount_line(line, _percents(line, frozen.percents_minor)), frozen.fixed_minor)


def _metered(frozen: FrozenLine, *, sku: Sku, price: Price, book: Book) -> RatedLine:
    source = BookSource("List", book.book_name, (book,))
    segment = Segment(sku, price, book, frozen.first_day, frozen.end_day, source, rank=0, firm=False)
    rates = {} if frozen.rate is None else {frozen.rate.from_currency: frozen.rate}
    card = RateCard(frozen.currency, (source,), {sku.name: sku}, {}, rates)
    base = frozen.base if frozen.rate is None else convert(frozen.base, frozen.rate)
    base_minor = base * 10 ** exponent(frozen.currency)
    return rate_segment(
        segment, {(_SOMEBODY, ()): (frozen.metered, 1)}, card=card, base={_SOMEBODY: base_minor}
    )


def _declared(frozen: FrozenLine, *, sku: Sku, price: Price, book: Book) -> RatedLine:
    """What recurs or was sold once: a quantity, which is a part where it is for a part of an interval, at a price."""
    if price.unit_price is None:
        raise ValueError(f"the price of {price.sku} is {price.model} without unitPrice")
    amount_minor = settle(frozen.quantity * Fraction(price.unit_price), book.currency).minor
    part = SubLine(
        "FlatFee" if price.model == "Flat" else "Usage", amount_minor, frozen.quantity, price.unit_price
    )
    line = RatedLine(
        sku=sku,
        price=price,
        book=book.number,
        currency=book.currency,
        first_day=frozen.first_day,
        end_day=frozen.end_day,
        metered=0,
        events=0,
        quantity=frozen.quantity,
        included=Fraction(0),
        parts=(part,),
        amount_minor=amount_minor,
        shares=(),
        own_minor=amount_minor,
    )
    if sku.charge_type == "OneTime" and price.model == "Flat":
        line = replace(line, parts=(SubLine("FlatFee", amount_minor),))
    return line if frozen.rate is None else convert_line(line, frozen.rate)


def _percents(line: RatedLine, amounts_minor: Sequence[int]) -> tuple[Fraction, ...]:
    """The percentages that take off these amounts, each from what the one before it left."""
    left = sum(part.amount_minor for part in line.parts if part.kind not in ("Maximum", "Minimum"))
    percents: list[Fraction] = []
    for minor in amounts_minor:
        percents.append(Fraction(-minor * 100, left) if left else Fraction(0))
        left += minor
    return tuple(percents)
