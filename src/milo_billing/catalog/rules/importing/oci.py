"""Oracle's price list: a part number, a metric in words, and ranges of a quantity with a price each.

Ranges are graduated: each unit costs what its range says, and a range's end belongs to it. Usage of a part is sent to
the meter of its unit, with the part number as a dimension.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from milo_billing.catalog.rules.importing import reading
from milo_billing.catalog.rules.importing.metrics import read_metric
from milo_billing.catalog.rules.importing.parts import read_entries, sell_part
from milo_billing.catalog.rules.importing.ranges import Range, steps_of
from milo_billing.catalog.rules.importing.reading import UnableToReadPrices
from milo_billing.catalog.rules.importing.values import Gathering, PriceList, Steps, flat

PART: Final = "partNumber"
ON_DEMAND: Final = "PAY_AS_YOU_GO"


def read(content: bytes, *, source: str, currency: str) -> PriceList:
    """The prices in `currency`. Raises UnableToReadPrices where it is no such list; bad entries are problems."""
    document = reading.read_object(content)
    if "items" not in document:
        raise UnableToReadPrices(
            "This is no price list of OCI: it has no items.",
            next_step="A list is {items: [{partNumber, metricName, currencyCodeLocalizations}]}.",
        )
    gathering = Gathering(source, currency)
    listed = enumerate(reading.items(document["items"], field="items"))
    read_entries(
        gathering,
        [(f"items[{index}]", item) for index, item in listed],
        PART,
        lambda entry, part: _read_part(gathering, entry, part=part),
    )
    return gathering.result()


def _read_part(gathering: Gathering, entry: Mapping[str, Any], *, part: str) -> None:
    prices = _prices(entry, currency=gathering.currency)
    if not prices:
        gathering.leave_out(part, f"it has no price to pay as you go in {gathering.currency}")
        return
    sell_part(
        gathering,
        part=part,
        dimension=PART,
        title=reading.text(entry.get("displayName"), field="displayName"),
        group=str(entry.get("serviceCategory") or ""),
        metric=read_metric(
            reading.text(entry.get("metricName"), field="metricName"), binary=False, field="metricName"
        ),
        prices=((None, _steps(prices)),),
    )


def _prices(entry: Mapping[str, Any], *, currency: str) -> Sequence[tuple[str, Mapping[str, Any]]]:
    """The prices on demand in the currency, each with its field."""
    field = "currencyCodeLocalizations"
    found: list[tuple[str, Mapping[str, Any]]] = []
    for index, each in enumerate(reading.items(entry.get(field), field=field)):
        local = reading.body(each, field=f"{field}[{index}]")
        if local.get("currencyCode") != currency:
            continue
        for place, price in enumerate(reading.items(local.get("prices"), field=f"{field}[{index}].prices")):
            path = f"{field}[{index}].prices[{place}]"
            one = reading.body(price, field=path)
            if one.get("model") == ON_DEMAND:
                found.append((path, one))
    return found


def _steps(prices: Sequence[tuple[str, Mapping[str, Any]]]) -> Steps:
    """Ranges as tiers: from zero on without gaps; the last is open, whatever large number ends it."""
    if len(prices) == 1 and "rangeMin" not in prices[0][1]:
        path, price = prices[0]
        return flat(reading.amount(price.get("value"), field=f"{path}.value"))
    ranges = [
        Range(
            begins=reading.amount(price.get("rangeMin"), field=f"{path}.rangeMin"),
            ends=reading.amount(price.get("rangeMax"), field=f"{path}.rangeMax"),
            price=reading.amount(price.get("value"), field=f"{path}.value"),
            field=path,
        )
        for path, price in prices
    ]
    return steps_of(ranges, low="rangeMin", high="rangeMax")
