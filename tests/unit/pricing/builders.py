"""Short ways to say a price, a Sku, a book and some usage; what a test does not assert has a default here."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from milo_billing.catalog.types import (
    Book,
    Meter,
    Price,
    PriceModel,
    QuantityRounding,
    Sku,
    Tier,
)
from milo_billing.kernel.aggregation import Aggregation, Figures
from milo_billing.kernel.money import Money, settle
from milo_billing.pricing.rules.lines import rate
from milo_billing.pricing.types import (
    Cell,
    CountDistinct,
    RateCard,
    RatedLine,
    Rating,
    UsageQuantity,
    list_card,
)

FIRST_DAY, END_DAY = date(2026, 10, 1), date(2026, 11, 1)


def usd(text: str) -> Money:
    return settle(Decimal(text), "USD")


def sku(
    name: str = "requests",
    *,
    meter: str = "requests",
    match: Mapping[str, tuple[str, ...]] | None = None,
    unit_factor: Fraction = Fraction(1),
    rounding: QuantityRounding | None = None,
    labels: Mapping[str, str] | None = None,
) -> Sku:
    return Sku(
        number=1,
        name=name,
        meter_name=meter,
        match=match or {},
        pricing_unit="1",
        unit_factor=unit_factor,
        quantity_rounding=rounding,
        tax_category="standard",
        display_name=name,
        invoice_group="",
        service="",
        labels=labels or {},
    )


def price_of(
    model: PriceModel,
    unit_price: str | None = None,
    *,
    sku: str = "requests",
    tiers: Sequence[Tier] = (),
    included: str = "0",
    minimum: str | None = None,
    maximum: str | None = None,
    package_size: str | None = None,
    percent: str | None = None,
    base: Iterable[str] = (),
    at_zero: bool = False,
) -> Price:
    return Price(
        sku=sku,
        model=model,
        unit_price=_decimal(unit_price),
        tiers=tuple(tiers),
        included_quantity=Decimal(included),
        minimum=_decimal(minimum),
        maximum=_decimal(maximum),
        package_size=_decimal(package_size),
        percent=_decimal(percent),
        base=frozenset(base),
        charge_at_zero=at_zero,
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def per_unit(unit_price: str, **more: Any) -> Price:
    return price_of("PerUnit", unit_price, **more)


def graduated(*tiers: Tier, **more: Any) -> Price:
    return price_of("Graduated", tiers=tiers, **more)


def volume(*tiers: Tier, **more: Any) -> Price:
    return price_of("Volume", tiers=tiers, **more)


def stairstep(*tiers: Tier, **more: Any) -> Price:
    return price_of("Stairstep", tiers=tiers, **more)


def package(unit_price: str, size: str, **more: Any) -> Price:
    return price_of("Package", unit_price, package_size=size, **more)


def flat(amount: str, **more: Any) -> Price:
    return price_of("Flat", amount, **more)


def percentage(percent: str, base: Iterable[str], **more: Any) -> Price:
    return price_of("Percentage", percent=percent, base=base, **more)


def tier(up_to: str | None, unit_price: str = "0", *, flat: str = "0", charge_at_zero: bool = False) -> Tier:
    return Tier(None if up_to is None else Decimal(up_to), Decimal(unit_price), Decimal(flat), charge_at_zero)


def book(*prices: Price, number: int = 1, since: date = date(2026, 1, 1), currency: str = "USD") -> Book:
    return Book(number, f"list-{number}", "list", since, currency, prices)


def meter(name: str = "requests", aggregation: Aggregation = "Sum", **measurement: Any) -> Meter:
    key = "user" if aggregation == "UniqueCount" else None
    return Meter(1, name, "Published", aggregation, "1", (), unique_key=key, **measurement)


def card(
    books: Iterable[Book], skus: Iterable[Sku] = (), aggregations: Mapping[str, Aggregation] | None = None
) -> RateCard:
    books = tuple(books)
    known = {one.name: one for one in skus} or {"requests": sku()}
    return list_card(
        books[0].currency,
        books,
        skus=known,
        meters={
            one.meter_name: meter(one.meter_name, (aggregations or {}).get(one.meter_name, "Sum"))
            for one in known.values()
        },
    )


def usage(
    units: int,
    *,
    project: int = 1,
    meter: str = "requests",
    day: date = FIRST_DAY,
    events: int = 1,
    **dimensions: str,
) -> UsageQuantity:
    return UsageQuantity(project, meter, tuple(sorted(dimensions.items())), day, Figures(units, events))


def nothing_distinct(cells: Sequence[Cell]) -> Sequence[int]:
    raise AssertionError(f"no meter of this test counts distinct keys: {cells}")


def rate_october(
    usage: Iterable[UsageQuantity],
    card: RateCard,
    *,
    bound: Mapping[int, tuple[int, int]] | None = None,
    distinct: CountDistinct = nothing_distinct,
) -> Rating:
    return rate(usage, card, first_day=FIRST_DAY, end_day=END_DAY, bound=bound or {}, distinct=distinct)


def rate_units(
    units: Decimal | int | str,
    price: Price,
    *,
    currency: str = "USD",
    unit_factor: Fraction = Fraction(1),
    rounding: QuantityRounding | None = None,
) -> RatedLine:
    """The one line for that many units; parts of a unit are metered in billionths. No usage is one event of zero."""
    billionths = Fraction(Decimal(units)) * 10**9
    assert billionths.denominator == 1
    sold = sku(unit_factor=unit_factor / 10**9, rounding=rounding)
    rating = rate_october([usage(billionths.numerator)], card([book(price, currency=currency)], skus=[sold]))
    (line,) = rating.lines
    assert rating.unpriced == ()
    return line
