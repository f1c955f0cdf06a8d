"""Oracle's price list: a part number, a metric in words, and ranges of a quantity with a price each.

Ranges are graduated: each unit costs what its range says, and a range's end belongs to it. Usage of a part is sent to
the meter of its unit, with the part number as a dimension.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from milo_billing.catalog.rules.importing import reading
from milo_billing.catalog.rules.importing.metrics import read_metric
from milo_billing.catalog.rules.importing.parts import sell_part
from milo_billing.catalog.rules.importing.reading import UnableToReadPrices
from milo_billing.catalog.rules.importing.values import Gathering, PriceList, Step, Steps, flat, merged

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
    listed = reading.items(document["items"], field="items")
    for index, item in enumerate(listed):
        where = f"items[{index}]"
        try:
            entry = reading.body(item, field="")
            where = reading.text(entry.get("partNumber"), field="partNumber")
            _read_part(gathering, entry, part=where)
        except UnableToReadPrices as error:
            gathering.refuse(where, error.field, error.what, error.next_step or "Correct it in the file.")
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
    ranges = sorted(
        (
            reading.amount(price.get("rangeMin"), field=f"{path}.rangeMin"),
            reading.amount(price.get("rangeMax"), field=f"{path}.rangeMax"),
            reading.amount(price.get("value"), field=f"{path}.value"),
            path,
        )
        for path, price in prices
    )
    first, path = ranges[0][0], ranges[0][3]
    if first != 0:
        raise UnableToReadPrices(
            f"is {first}: nothing says what less than that costs", field=f"{path}.rangeMin"
        )
    for (_, ends, _, _), (begins, _, _, path) in pairwise(ranges):
        if begins != ends:
            what = f"is {begins}, but the range before it ends at {ends}: every quantity has one price"
            raise UnableToReadPrices(what, field=f"{path}.rangeMin")
    _no_less(ranges)
    last = len(ranges) - 1
    return merged(
        Step(ends if index < last else None, value) for index, (_, ends, value, _) in enumerate(ranges)
    )


def _no_less(ranges: Sequence[tuple[Decimal, Decimal, Decimal, str]]) -> None:
    for begins, ends, _, path in ranges:
        if ends <= begins:
            raise UnableToReadPrices(f"is {ends}, not above rangeMin, {begins}", field=f"{path}.rangeMax")
