"""Ranges of a quantity with a price each, as lists of OCI and AWS have them, as the tiers of one graduated price."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from milo_billing.catalog.rules.importing.reading import UnableToReadPrices
from milo_billing.catalog.rules.importing.values import Step, Steps, merged


@dataclass(frozen=True, slots=True)
class Range:
    """What each unit above `begins` and up to `ends` costs; None is without an end. `field` is where it stands."""

    begins: Decimal
    ends: Decimal | None
    price: Decimal
    field: str


def steps_of(ranges: Iterable[Range], *, low: str, high: str) -> Steps:
    """At least one range as tiers: from zero on without gaps, the last one open whatever ends it.

    `low` and `high` are the names of the bounds below a range's field. Raises UnableToReadPrices.
    """
    found = sorted(ranges, key=lambda each: each.begins)
    if found[0].begins != 0:
        what = f"is {found[0].begins}: nothing says what less than that costs"
        raise UnableToReadPrices(what, field=f"{found[0].field}.{low}")
    for one, following in pairwise(found):
        if one.ends != following.begins:
            ended = "has no end" if one.ends is None else f"ends at {one.ends}"
            what = f"is {following.begins}, but the range before it {ended}: every quantity has one price"
            raise UnableToReadPrices(what, field=f"{following.field}.{low}")
    for each in found:
        if each.ends is not None and each.ends <= each.begins:
            what = f"is {each.ends}, not above {low}, {each.begins}"
            raise UnableToReadPrices(what, field=f"{each.field}.{high}")
    last = len(found) - 1
    return merged(Step(each.ends if index < last else None, each.price) for index, each in enumerate(found))
