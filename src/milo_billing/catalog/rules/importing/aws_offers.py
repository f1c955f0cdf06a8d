"""AWS's own price lists: the offer file of one service, in JSON, with its products and their prices on demand.

A product's prices are ranges of a quantity, `beginRange` to `endRange`, of the last term that has begun; a term that
begins later is a later price. Reserved terms are not read: a promise for a lower price is a Commitment. AWS counts
bytes by 1024.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from milo_billing.catalog.rules.importing import reading
from milo_billing.catalog.rules.importing.metrics import read_metric
from milo_billing.catalog.rules.importing.parts import read_entries, sell_part
from milo_billing.catalog.rules.importing.ranges import Range, steps_of
from milo_billing.catalog.rules.importing.reading import UnableToReadPrices
from milo_billing.catalog.rules.importing.values import Gathering, PriceList, Steps

PART: Final = "sku"
OPEN: Final = "Inf"

_HOURS = re.compile(r"\bhrs?\b", re.IGNORECASE)
_MONTHS = re.compile(r"[\s-]*\bmo(nth)?s?\b\s*$", re.IGNORECASE)


def read(content: bytes, *, source: str, currency: str) -> PriceList:
    """The prices on demand in `currency`. Raises UnableToReadPrices where it is no offer file.

    Products that cannot be read are problems.
    """
    document = reading.read_object(content)
    if "products" not in document or "terms" not in document:
        raise UnableToReadPrices(
            "This is no offer file of AWS: it has no products and terms.",
            next_step="Take the index.json of one service and region, as the price list service gives it.",
        )
    gathering = Gathering(source, currency)
    products = reading.body(document["products"], field="products")
    terms = reading.body(document["terms"], field="terms")
    on_demand = reading.body(terms.get("OnDemand", {}), field="terms.OnDemand")
    offer = str(document.get("offerCode") or "")

    def read_product(product: Mapping[str, Any], sku: str) -> None:
        prices = _prices(gathering, on_demand.get(sku, {}), sku=sku)
        if prices is not None:
            _sell(gathering, product, sku=sku, offer=offer, prices=prices)

    read_entries(gathering, [(f"products.{key}", each) for key, each in products.items()], PART, read_product)
    return gathering.result()


def _prices(gathering: Gathering, terms: object, *, sku: str) -> Mapping[date, tuple[str, Steps]] | None:
    """The unit and the tiers from each day on; None where it is not sold by usage in the currency, as was said."""
    found: dict[date, tuple[str, Steps]] = {}
    field = f"terms.OnDemand.{sku}"
    for code, each in reading.body(terms, field=field).items():
        path = f"{field}.{code}"
        term = reading.body(each, field=path)
        dimensions = reading.body(term.get("priceDimensions"), field=f"{path}.priceDimensions")
        ranges = [
            (f"{path}.priceDimensions.{rate}", reading.body(one, field=f"{path}.priceDimensions.{rate}"))
            for rate, one in dimensions.items()
        ]
        currencies = _currencies(ranges)
        if ranges and gathering.currency not in currencies:
            gathering.leave_out(sku, f"its prices are in {', '.join(currencies)}")
            return None
        since = reading.day(term.get("effectiveDate"), field=f"{path}.effectiveDate")
        if ranges and since in found:
            what = f"is {since} in two terms: one of them must hold"
            raise UnableToReadPrices(what, field=f"{path}.effectiveDate")
        if ranges:
            found[since] = (_unit(ranges), _steps(ranges, currency=gathering.currency))
    if not found:
        gathering.leave_out(sku, "it has no price on demand")
        return None
    return found


def _currencies(ranges: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    found: dict[str, None] = {}
    for path, one in ranges:
        found.update(dict.fromkeys(reading.body(one.get("pricePerUnit"), field=f"{path}.pricePerUnit")))
    return list(found)


def _unit(ranges: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    found = {reading.text(one.get("unit"), field=f"{path}.unit") for path, one in ranges}
    if len(found) > 1:
        what = f"is {' and '.join(sorted(found))} in the ranges of one price"
        raise UnableToReadPrices(what, field=f"{ranges[0][0]}.unit")
    return found.pop()


def _steps(ranges: Sequence[tuple[str, Mapping[str, Any]]], *, currency: str) -> Steps:
    found: list[Range] = []
    for path, one in ranges:
        price = reading.body(one.get("pricePerUnit"), field=f"{path}.pricePerUnit")
        ends = one.get("endRange", OPEN)
        found.append(
            Range(
                begins=reading.amount(one.get("beginRange", "0"), field=f"{path}.beginRange"),
                ends=None if ends == OPEN else reading.amount(ends, field=f"{path}.endRange"),
                price=_shortened(
                    reading.amount(price.get(currency), field=f"{path}.pricePerUnit.{currency}")
                ),
                field=path,
            )
        )
    last = max(found, key=lambda each: each.begins)
    if last.ends is not None:
        what = f"is {last.ends}: nothing says what more than that costs"
        raise UnableToReadPrices(what, field=f"{last.field}.endRange")
    return steps_of(found, low="beginRange", high="endRange")


def _shortened(price: Decimal) -> Decimal:
    """The same without zeros at its end: AWS writes ten decimals of everything."""
    digits = price.normalize()
    return digits if int(digits.as_tuple().exponent) <= 0 else digits.quantize(Decimal(1))


def _sell(
    gathering: Gathering,
    product: Mapping[str, Any],
    *,
    sku: str,
    offer: str,
    prices: Mapping[date, tuple[str, Steps]],
) -> None:
    units = {unit for unit, _ in prices.values()}
    if len(units) > 1:
        raise UnableToReadPrices("changes its unit in the course of time", field=f"terms.OnDemand.{sku}")
    attributes = reading.body(product.get("attributes") or {}, field="attributes")
    words = [str(attributes.get(name) or "").strip() for name in ("usagetype", "operation", "location")]
    title = ", ".join(word for word in words if word) or str(product.get("productFamily") or sku)
    sell_part(
        gathering,
        part=sku,
        dimension=PART,
        title=title,
        group=str(attributes.get("servicename") or offer),
        metric=read_metric(_words(units.pop()), binary=True, field="unit"),
        prices=[(since, steps) for since, (_, steps) in sorted(prices.items())],
    )


def _words(unit: str) -> str:
    """AWS's short words as others write them out: `GB-Mo` is `GB per month`, `LCU-Hrs` is `LCU-Hours`."""
    return _MONTHS.sub(" per month", _HOURS.sub("Hours", unit))
