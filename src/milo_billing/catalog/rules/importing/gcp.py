"""Google's price list: SKUs with tiered rates in units and nanos (billionths), and the instants from which they hold.

A rate begins above its `startUsageAmount`. The unit is UCUM; where the list gives its own factor to the base unit, and
UCUM's differs (a month), the list's is taken.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from milo_billing.catalog.rules import units
from milo_billing.catalog.rules.importing import reading
from milo_billing.catalog.rules.importing.metrics import Metric, whole_unit
from milo_billing.catalog.rules.importing.parts import read_entries, sell_part
from milo_billing.catalog.rules.importing.reading import UnableToReadPrices
from milo_billing.catalog.rules.importing.values import Gathering, PriceList, Step, Steps, merged
from milo_billing.catalog.types import IncompatibleUnits, UnknownUnit

PART: Final = "skuId"
BYTE_SECONDS: Final = "By.s"
NANOS: Final = 10**9


def read(content: bytes, *, source: str, currency: str) -> PriceList:
    """The prices in `currency`. Raises UnableToReadPrices where it is no such list; bad entries are problems."""
    document = reading.read_object(content)
    if "skus" not in document:
        raise UnableToReadPrices(
            "This is no price list of Google Cloud: it has no skus.",
            next_step="A list is {skus: [{skuId, description, pricingInfo}]}, as the Cloud Billing Catalog gives it.",
        )
    gathering = Gathering(source, currency)
    listed = enumerate(reading.items(document["skus"], field="skus"))
    read_entries(
        gathering,
        [(f"skus[{index}]", item) for index, item in listed],
        PART,
        lambda entry, sku: _read_sku(gathering, entry, sku=sku),
    )
    return gathering.result()


def _read_sku(gathering: Gathering, entry: Mapping[str, Any], *, sku: str) -> None:
    timeline: list[tuple[date | None, Steps | None]] = []
    metrics: dict[Metric, str] = {}
    for index, each in enumerate(reading.items(entry.get("pricingInfo"), field="pricingInfo")):
        path = f"pricingInfo[{index}]"
        info = reading.body(each, field=path)
        path = f"{path}.pricingExpression"
        expression = reading.body(info.get("pricingExpression"), field=path)
        rates = reading.items(expression.get("tieredRates"), field=f"{path}.tieredRates")
        currencies = _currencies(rates, field=f"{path}.tieredRates")
        if not rates:
            gathering.leave_out(sku, "it has no rates")
            return
        if gathering.currency not in currencies:
            gathering.leave_out(sku, f"its prices are in {', '.join(currencies)}")
            return
        timeline.append(
            (_since(info, field=f"pricingInfo[{index}].effectiveTime"), _steps(rates, field=path))
        )
        metrics.setdefault(_metric(expression, field=path), path)
    if not timeline:
        gathering.leave_out(sku, "it has no prices")
        return
    if len(metrics) > 1:
        path = list(metrics.values())[1]
        raise UnableToReadPrices("changes its unit in the course of time", field=f"{path}.usageUnit")
    category = reading.body(entry.get("category") or {}, field="category")
    sell_part(
        gathering,
        part=sku,
        dimension=PART,
        title=reading.text(entry.get("description"), field="description"),
        group=str(category.get("serviceDisplayName") or ""),
        metric=next(iter(metrics)),
        prices=sorted(timeline, key=lambda each: each[0] or date.min),
    )


def _since(info: Mapping[str, Any], *, field: str) -> date | None:
    written = info.get("effectiveTime") or info.get("EffectiveTime")
    return None if written is None else reading.day(written, field=field)


def _currencies(rates: Sequence[object], *, field: str) -> list[str]:
    found: dict[str, None] = {}
    for index, each in enumerate(rates):
        path = f"{field}[{index}].unitPrice"
        price = reading.body(reading.body(each, field=f"{field}[{index}]").get("unitPrice"), field=path)
        found[reading.text(price.get("currencyCode"), field=f"{path}.currencyCode")] = None
    return list(found)


def _steps(rates: Sequence[object], *, field: str) -> Steps:
    begins: list[tuple[Decimal, Decimal]] = []
    for index, each in enumerate(rates):
        path = f"{field}.tieredRates[{index}]"
        rate = reading.body(each, field=path)
        start = reading.amount(rate.get("startUsageAmount", 0), field=f"{path}.startUsageAmount")
        price = reading.body(rate.get("unitPrice"), field=f"{path}.unitPrice")
        whole = reading.amount(price.get("units", "0"), field=f"{path}.unitPrice.units")
        nanos = reading.amount(price.get("nanos", 0), field=f"{path}.unitPrice.nanos")
        if nanos >= NANOS or nanos != int(nanos):
            raise UnableToReadPrices(
                f"is {nanos}: nanos are billionths, below {NANOS:,}", field=f"{path}.unitPrice.nanos"
            )
        begins.append((start, whole + nanos.scaleb(-9)))
    begins.sort(key=lambda each: each[0])
    if begins[0][0] != 0:
        raise UnableToReadPrices(
            f"is {begins[0][0]} in the first rate: nothing says what less than that costs",
            field=f"{field}.tieredRates[0].startUsageAmount",
        )
    if any(one == other for (one, _), (other, _) in pairwise(begins)):
        raise UnableToReadPrices("is the same in two rates", field=f"{field}.tieredRates.startUsageAmount")
    ends = [*(start for start, _ in begins[1:]), None]
    return merged(Step(end, price) for (_, price), end in zip(begins, ends, strict=True))


def _metric(expression: Mapping[str, Any], *, field: str) -> Metric:
    usage = _code(reading.text(expression.get("usageUnit"), field=f"{field}.usageUnit"))
    base = _code(reading.text(expression.get("baseUnit") or usage, field=f"{field}.baseUnit"))
    try:
        own = units.conversion_factor(from_unit=usage, to_unit=base)
        given = expression.get("baseUnitConversionFactor")
        pricing = usage
        if given is not None:
            listed = Fraction(reading.decimal(given, field=f"{field}.baseUnitConversionFactor"))
            if listed != own and listed.denominator == 1 and listed:
                pricing = whole_unit(int(listed), base)
            elif listed != own:
                raise UnableToReadPrices(
                    f"is {given}, which is no whole number of {base}",
                    field=f"{field}.baseUnitConversionFactor",
                )
        # bytes times seconds leave 64 bits within a month; mebibytes do not
        is_storage = units.parse_unit(base).powers == units.parse_unit(BYTE_SECONDS).powers
    except (UnknownUnit, IncompatibleUnits) as error:
        raise UnableToReadPrices(str(error), field=f"{field}.usageUnit") from error
    return Metric(meter_unit="MiBy.s" if is_storage else base, pricing_unit=pricing)


def _code(unit: str) -> str:
    return "{count}" if unit == "count" else unit
