"""What a Sku may say of the meter whose usage it sells, and what a meter may say of its units."""

from collections.abc import Iterator, Mapping, Sequence

from milo_billing.catalog.rules import lifecycle, units, wording
from milo_billing.catalog.types import IncompatibleUnits, Meter, UnknownUnit
from milo_billing.kernel.errors import FieldError


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
    """What stands against selling usage of the meter so: its dimensions and bands, its unit."""
    for dimension, values in sorted(match.items()):
        path = f"spec.meter.match.{dimension}"
        if dimension not in meter.labels:
            declared = ", ".join(meter.labels) or "none"
            yield wording.invalid(path, dimension, f"meter {meter.meter_name} declares {declared}")
        for bands in meter.bands:
            if bands.dimension == dimension:
                unknown = [value for value in values if value not in bands.names]
                names = ", ".join(dict.fromkeys(bands.names))
                yield from (
                    wording.invalid(path, value, f"is no band; there are {names}") for value in unknown
                )
        if not values:
            yield wording.required(path, "at least one value; leave the dimension out to match them all")
        yield from lifecycle.repeated(f"meter.match.{dimension}", values)
    try:
        units.conversion_factor(from_unit=meter.unit, to_unit=pricing_unit)
    except (UnknownUnit, IncompatibleUnits) as error:
        yield wording.invalid("spec.pricingUnit", pricing_unit, str(error))
