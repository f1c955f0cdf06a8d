"""What a Sku may say of the meter whose usage it sells, and what a meter may say of its units."""

from collections.abc import Iterator, Mapping, Sequence

from milo_billing.catalog.rules import lifecycle, units, wording
from milo_billing.catalog.types import IncompatibleUnits, Meter, UnknownUnit
from milo_billing.kernel.errors import FieldError

PRICED_AGGREGATIONS = ("Sum", "Count")
"""What pricing can charge for."""


def unit_errors(coded: Sequence[tuple[str, str]]) -> Iterator[FieldError]:
    """An error for each unit code, given as (path below spec, code), that UCUM does not have."""
    for path, code in coded:
        try:
            units.parse_unit(code)
        except UnknownUnit as error:
            yield wording.invalid(f"spec.{path}", code, str(error))


def sku_errors(
    meter: Meter, *, match: Mapping[str, Sequence[str]], pricing_unit: str
) -> Iterator[FieldError]:
    """What stands against selling usage of the meter so: how it adds up, its dimensions, its unit."""
    if meter.aggregation not in PRICED_AGGREGATIONS:
        can = " and ".join(PRICED_AGGREGATIONS)
        message = f"the meter aggregates by {meter.aggregation}; what can be charged for is {can}"
        yield wording.invalid("spec.meter.meterName", meter.meter_name, message)
    for dimension, values in sorted(match.items()):
        path = f"spec.meter.match.{dimension}"
        if dimension not in meter.dimensions:
            declared = ", ".join(meter.dimensions) or "none"
            yield wording.invalid(path, dimension, f"meter {meter.meter_name} declares {declared}")
        if not values:
            yield wording.required(path, "at least one value; leave the dimension out to match them all")
        yield from lifecycle.repeated(f"meter.match.{dimension}", values)
    try:
        units.conversion_factor(from_unit=meter.unit, to_unit=pricing_unit)
    except (UnknownUnit, IncompatibleUnits) as error:
        yield wording.invalid("spec.pricingUnit", pricing_unit, str(error))
