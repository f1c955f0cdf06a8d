"""Rate what is sold once: each charge at the price of its day."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from milo_billing.kernel.money import settle
from milo_billing.pricing.types import (
    DeclaredRating,
    OneTimeCharge,
    PriceOn,
    Quote,
    RatedLine,
    SubLine,
    UnableToRate,
    UnpricedSku,
)


def rate_charges(charges: Iterable[OneTimeCharge], price_on: PriceOn) -> DeclaredRating:
    """A line for each charge, on its day, in the currency of its book: quantity × unit price, or one flat amount.

    The line's Sku is called what the charge is described as. Raises UnableToRate where an amount does not fit in 64
    bits, and where a Sku is not sold once.
    """
    lines: list[RatedLine] = []
    unpriced: list[UnpricedSku] = []
    for charge in charges:
        quote = price_on(charge.sku, charge.day)
        if quote is None:
            unpriced.append(UnpricedSku(charge.sku, charge.day))
        else:
            lines.append(_line(charge, quote))
    lines.sort(key=lambda line: (line.sku.name, line.first_day))
    return DeclaredRating(tuple(lines), tuple(sorted(unpriced)))


def _line(charge: OneTimeCharge, quote: Quote) -> RatedLine:
    price = quote.price
    if quote.sku.charge_type != "OneTime":
        raise UnableToRate(f"charge {charge.name} has Sku {charge.sku}, which is not sold once")
    if price.unit_price is None:
        raise ValueError(f"the price of {price.sku} is {price.model} without unitPrice")
    units = Decimal(1) if price.model == "Flat" else charge.quantity
    try:
        amount_minor = settle(Fraction(price.unit_price) * Fraction(units), quote.currency).minor
    except OverflowError as error:
        raise UnableToRate(
            f"the amount of charge {charge.name} does not fit in 64 bits: check its price and quantity"
        ) from error
    quantity = Fraction(units)
    sku = quote.sku if not charge.description else replace(quote.sku, display_name=charge.description)
    return RatedLine(
        sku=sku,
        price=price,
        book=quote.book,
        currency=quote.currency,
        first_day=charge.day,
        end_day=charge.day + timedelta(days=1),
        metered=0,
        events=0,
        quantity=quantity,
        included=Fraction(0),
        parts=(
            SubLine("FlatFee", amount_minor)
            if price.model == "Flat"
            else SubLine("Usage", amount_minor, quantity, price.unit_price),
        ),
        amount_minor=amount_minor,
        shares=(),
        own_minor=amount_minor,
    )
