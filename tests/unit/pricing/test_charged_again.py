"""A line again, from what an invoice froze of it: the price book gives the very amounts that were charged."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from milo_billing.catalog.types import Book, ChargeType, Price, Sku
from milo_billing.kernel.money import Currency
from milo_billing.pricing.rules.recharging import recharge
from milo_billing.pricing.types import ExchangeRate, FrozenLine, RatedLine, SubLine
from tests.unit.pricing.builders import END_DAY, FIRST_DAY, book, flat, per_unit, percentage, price_of, sku

CHF = ExchangeRate("ECB", date(2026, 10, 30), "USD", "CHF", Decimal("1.25"), Decimal("1.00"))  # 0.8 francs
JPY = ExchangeRate("ECB", date(2026, 10, 30), "USD", "JPY", Decimal("1"), Decimal("160"))


def frozen(
    *,
    metered: int = 0,
    quantity: Fraction = Fraction(0),
    base: str = "0",
    percents: Sequence[int] = (),
    fixed: Sequence[int] = (),
    rate: ExchangeRate | None = None,
) -> FrozenLine:
    currency: Currency = "USD" if rate is None else rate.to_currency
    return FrozenLine(
        currency,
        FIRST_DAY,
        END_DAY,
        Fraction(metered),
        quantity,
        Fraction(Decimal(base)),
        tuple(percents),
        tuple(fixed),
        rate,
    )


def again(line: FrozenLine, price: Price, *, sold: Sku | None = None, given: Book | None = None) -> RatedLine:
    found = recharge(line, sku=sold or sku(), book=given or book(price))
    assert found is not None
    return found


def declared(charge_type: ChargeType) -> Sku:
    return replace(sku(meter=""), charge_type=charge_type)


def minors(line: RatedLine) -> list[tuple[str, int]]:
    return [(part.kind, part.amount_minor) for part in line.parts]


def test_without_a_price_there_is_no_line() -> None:
    assert recharge(frozen(metered=3), sku=sku(), book=book(per_unit("1", sku="other"))) is None


def test_what_was_metered_is_rated_at_the_price_of_the_sku() -> None:
    line = again(
        frozen(metered=3),
        per_unit("0.50"),
        given=book(per_unit("9", sku="other"), per_unit("0.50"), number=6),
    )
    assert minors(line) == [("Usage", 150)]
    assert (line.metered, line.events, line.quantity, line.book) == (3, 1, 3, 6)
    assert (line.first_day, line.end_day, line.currency) == (FIRST_DAY, END_DAY, "USD")
    assert (line.sku, line.price) == (sku(), per_unit("0.50"))
    assert [(share.project, share.amount_minor) for share in line.shares] == [(1, 150)]


def test_percentages_that_took_off_those_amounts_take_them_off_again_before_the_bounds() -> None:
    """10 % of 30.00, then a third of the 27.00 that are left; the floor makes 20.00 of the 18.00."""
    line = again(frozen(metered=30, percents=[-300, -900]), per_unit("1", minimum="20"))
    assert minors(line) == [("Usage", 3000), ("Discount", -300), ("Discount", -900), ("Minimum", 200)]
    low = again(frozen(metered=10, percents=[-100]), per_unit("1", minimum="20"))
    assert minors(low) == [("Usage", 1000), ("Discount", -100), ("Minimum", 1100)]
    capped = again(frozen(metered=30, percents=[-300]), per_unit("1", maximum="25"))
    assert minors(capped) == [("Usage", 3000), ("Discount", -300), ("Maximum", -200)]


def test_a_percentage_of_nothing_takes_nothing_off() -> None:
    line = again(frozen(metered=30, percents=[-3000, 0]), per_unit("1"))
    assert minors(line) == [("Usage", 3000), ("Discount", -3000), ("Discount", 0)]


def test_fixed_amounts_come_off_last() -> None:
    line = again(frozen(metered=30, percents=[-300], fixed=[-50, -7]), per_unit("1"))
    assert minors(line) == [("Usage", 3000), ("Discount", -300), ("Discount", -50), ("Discount", -7)]
    assert line.amount_minor == 2643


def test_a_percentage_is_taken_of_the_base_that_was_frozen_in_the_currency_of_the_book() -> None:
    fee = percentage("5", ["calls"])
    assert again(frozen(base="80.10"), fee).amount_minor == 401  # 4.005, half away from zero
    assert again(frozen(base="80.10", rate=CHF), fee).amount_minor == 320  # of 64.08 francs
    assert (
        again(frozen(base="80.10", rate=JPY), fee).amount_minor == 641
    )  # of 12816 yen, which have no hundredths


def test_what_was_metered_is_converted_at_the_rate_that_was_frozen() -> None:
    line = again(frozen(metered=3, rate=CHF), per_unit("0.50"))
    assert (line.currency, minors(line)) == ("CHF", [("Usage", 120)])
    assert line.conversion is not None
    assert line.conversion.rate == CHF


@pytest.mark.parametrize(
    ("charge_type", "price", "part"),
    [
        ("Recurring", per_unit("7"), SubLine("Usage", 1050, Fraction(3, 2), Decimal(7))),
        ("Recurring", flat("7"), SubLine("FlatFee", 1050, Fraction(3, 2), Decimal(7))),
        ("OneTime", per_unit("7"), SubLine("Usage", 1050, Fraction(3, 2), Decimal(7))),
        ("OneTime", flat("7"), SubLine("FlatFee", 1050)),  # once, whatever the quantity: none is told
    ],
)
def test_what_was_declared_is_its_quantity_at_the_price(
    charge_type: ChargeType, price: Price, part: SubLine
) -> None:
    line = again(
        frozen(quantity=Fraction(3, 2)), price, sold=declared(charge_type), given=book(price, number=6)
    )
    assert line == RatedLine(
        sku=declared(charge_type),
        price=price,
        book=6,
        currency="USD",
        first_day=FIRST_DAY,
        end_day=END_DAY,
        metered=0,
        events=0,
        quantity=Fraction(3, 2),
        included=Fraction(0),
        parts=(part,),
        amount_minor=1050,
        shares=(),
        own_minor=1050,
    )


def test_what_was_declared_is_converted_from_its_settled_amount() -> None:
    line = again(frozen(quantity=Fraction(1), rate=CHF), per_unit("0.333"), sold=declared("OneTime"))
    assert (line.currency, minors(line)) == ("CHF", [("Usage", 27)])  # 0.2664


def test_a_declared_price_without_what_its_model_needs_is_a_defect_of_the_book() -> None:
    with pytest.raises(ValueError, match=r"^the price of requests is PerUnit without unitPrice$"):
        again(frozen(quantity=Fraction(1)), price_of("PerUnit"), sold=declared("Recurring"))
