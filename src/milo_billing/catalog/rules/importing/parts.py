"""Lists of parts, as of OCI, Google and AWS: a meter for each unit, on which a dimension says the part."""

import re
from collections.abc import Callable, Iterable
from datetime import date
from typing import Final

from milo_billing.catalog.rules.importing import names, reading
from milo_billing.catalog.rules.importing.metrics import Metric
from milo_billing.catalog.rules.importing.reading import Body, UnableToReadPrices
from milo_billing.catalog.rules.importing.values import (
    LIST_LABEL,
    Gathering,
    ListedMeter,
    ListedPrice,
    ListedSku,
    Steps,
)

_UNIT: Final = re.compile(r"(\{[a-z0-9-]+\}|[A-Za-z]+)(\.[A-Za-z]+)?")


def read_entries(
    gathering: Gathering, listed: Iterable[tuple[str, object]], named: str, read: Callable[[Body, str], None]
) -> None:
    """Read each entry, given with where it stands; `named` is the field that says its name.

    One that cannot be read is a problem under its name, or under its place where it has none; the others go on.
    """
    for place, item in listed:
        where = place
        try:
            entry = reading.body(item, field="")
            where = reading.text(entry.get(named), field=named)
            read(entry, where)
        except UnableToReadPrices as error:
            gathering.refuse(where, error.field, error.what, error.next_step or "Correct it in the file.")


def sell_part(
    gathering: Gathering,
    *,
    part: str,
    dimension: str,
    title: str,
    group: str,
    metric: Metric,
    prices: Iterable[tuple[date | None, Steps | None]],
    entry: str | None = None,
) -> None:
    """Add a part: usage of the unit's meter on which `dimension` has the value `part`, and its prices by day."""
    meter = _meter(gathering.source, metric, dimension)
    sku = ListedSku(
        name=f"{gathering.source}.{names.lowered(part)}",
        display_name=names.shortened(title, characters_max=names.DISPLAY_CHARACTERS_MAX),
        meter_name=meter.meter_name,
        match=((dimension, (part,)),),
        pricing_unit=metric.pricing_unit,
        labels=((LIST_LABEL, gathering.source),),
        invoice_group=names.shortened(group, characters_max=names.DISPLAY_CHARACTERS_MAX),
    )
    listed = [ListedPrice(sku.name, since, steps) for since, steps in prices]
    gathering.sell(meter, sku, listed, entry=entry or part)


def _meter(source: str, metric: Metric, dimension: str) -> ListedMeter:
    unit = metric.meter_unit
    word = re.sub(r"[^a-z0-9]+", "-", unit.lower()).strip("-")
    if _UNIT.fullmatch(unit) is None:
        word = names.plain(unit)
    return ListedMeter(
        name=f"{source}.{word}",
        meter_name=f"{source}/{word}",
        display_name=f"Usage in {unit}",
        unit=unit,
        dimensions=(dimension,),
    )
