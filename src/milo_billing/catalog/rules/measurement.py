"""What a meter may say of how it measures: series, windows, bands, what it counts, and what it is measured on.

Bands come as they stand in the spec of a MeterDefinition:
`{dimension, by: TimeOfDay, timeZone, ranges: [{name, from, to}]}` or `{dimension, by: Value, ranges: [{name, upTo}]}`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from milo_billing.catalog.rules import lifecycle, wording
from milo_billing.catalog.types import RESOURCE_KEY, Bands, ResourceType, TimeOfDayBands, ValueBands
from milo_billing.kernel.aggregation import Aggregation
from milo_billing.kernel.errors import FieldError
from milo_billing.kernel.periods import UnknownTimeZone, time_zone
from milo_billing.kernel.quantity import is_int64

DAY_MINUTES: Final = 1_440
BAND_ZONE: Final = "Etc/UTC"
"""The clock of bands by TimeOfDay that name none."""


def minute_of(text: str) -> int:
    """`HH:MM` as minutes after midnight; `24:00` is the end of the day."""
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def parse_bands(body: Mapping[str, Any]) -> Bands:
    """One entry of `bands`, which `band_errors` has nothing against."""
    ranges: Sequence[Mapping[str, Any]] = body["ranges"]
    if body["by"] == "Value":
        return ValueBands(
            dimension=body["dimension"],
            bounds=tuple(int(each["upTo"]) for each in ranges[:-1]),
            names=tuple(each["name"] for each in ranges),
        )
    starts = sorted((start, each["name"]) for each in ranges for start, _ in _stretches(each))
    return TimeOfDayBands(
        dimension=body["dimension"],
        time_zone=body.get("timeZone") or BAND_ZONE,
        starts=tuple(start for start, _ in starts),
        names=tuple(name for _, name in starts),
    )


def _stretches(body: Mapping[str, Any]) -> list[tuple[int, int]]:
    """A range of the clock as one stretch of the day, or two where it goes past midnight."""
    start, end = minute_of(body["from"]), minute_of(body["to"])
    if start < end:
        return [(start, end)]
    return [stretch for stretch in ((start, DAY_MINUTES), (0, end)) if stretch[0] < stretch[1]]


def label_errors(
    *,
    aggregation: Aggregation,
    dimensions: Sequence[str],
    series_by: Sequence[str],
    band_dimensions: Sequence[str],
    unique_key: str | None,
) -> Iterator[FieldError]:
    """What is wrong with how the labels of a meter stand to one another: each name has one meaning."""
    yield from lifecycle.repeated("measurement.dimensions", dimensions)
    yield from lifecycle.repeated("measurement.seriesBy", series_by)
    seen = set(dimensions)
    for index, name in enumerate(band_dimensions):
        field = f"spec.measurement.bands[{index}].dimension"
        if name in seen:
            yield wording.invalid(field, name, "is a dimension of the meter; a band needs a name of its own")
        seen.add(name)
    for index, name in enumerate(series_by):
        if name not in seen:
            declared = ", ".join((*dimensions, *band_dimensions)) or "none"
            yield wording.invalid(
                f"spec.measurement.seriesBy[{index}]",
                name,
                f"is no dimension of the meter, which has {declared}",
            )
    field = "spec.measurement.uniqueKey"
    if aggregation == "UniqueCount" and unique_key is None:
        what = f'a label of events, or "{RESOURCE_KEY}"'
        yield wording.required(field, f"UniqueCount has to know what it counts: {what}")
    elif aggregation != "UniqueCount" and unique_key is not None:
        yield wording.forbidden(
            field, f"only UniqueCount counts keys, and the meter aggregates by {aggregation}"
        )
    elif unique_key is not None and unique_key in seen:
        message = "is a dimension of the meter; what is counted stays out of the dimensions"
        yield wording.invalid(field, unique_key, message)


def band_errors(body: Mapping[str, Any], *, path: str) -> Iterator[FieldError]:
    """What is wrong with one entry of `bands`; `path` is its field. Every event must fall into exactly one band."""
    if body["by"] == "Value":
        yield from _value_errors(body, path=path)
    else:
        yield from _time_errors(body, path=path)


def _value_errors(body: Mapping[str, Any], *, path: str) -> Iterator[FieldError]:
    if body.get("timeZone") is not None:
        yield wording.forbidden(f"{path}.timeZone", "only bands by TimeOfDay have one")
    ranges: Sequence[Mapping[str, Any]] = body["ranges"]
    below: int | None = None
    names: set[str] = set()
    for index, each in enumerate(ranges):
        here = f"{path}.ranges[{index}]"
        yield from _unwanted(each, ("from", "to"), by="TimeOfDay", path=here)
        if each["name"] in names:
            yield wording.duplicate(f"{here}.name", each["name"])
        names.add(each["name"])
        up_to: str | None = each.get("upTo")
        if index == len(ranges) - 1:
            if up_to is not None:
                yield wording.forbidden(f"{here}.upTo", "the last band is open: leave upTo out")
        elif up_to is None:
            yield wording.required(f"{here}.upTo", "only the last band is open")
        else:
            bound = int(up_to)
            if not is_int64(bound):
                yield wording.invalid(f"{here}.upTo", up_to, "is not a 64-bit integer, which all values are")
            if below is not None and bound <= below:
                yield wording.invalid(f"{here}.upTo", up_to, f"must be above {below}: bounds increase")
            below = bound


def _time_errors(body: Mapping[str, Any], *, path: str) -> Iterator[FieldError]:
    zone: str = body.get("timeZone") or BAND_ZONE
    try:
        time_zone(zone)
    except UnknownTimeZone as error:
        yield wording.invalid(f"{path}.timeZone", zone, str(error))
    covered = [0] * DAY_MINUTES
    for index, each in enumerate(body["ranges"]):
        here = f"{path}.ranges[{index}]"
        yield from _unwanted(each, ("upTo",), by="Value", path=here)
        missing = [name for name in ("from", "to") if each.get(name) is None]
        yield from (wording.required(f"{here}.{name}", "bands by TimeOfDay need it") for name in missing)
        if missing:
            return
        if each["from"] == "24:00":
            yield wording.invalid(f"{here}.from", each["from"], "a day begins at 00:00")
        for start, end in _stretches(each):
            for minute in range(start, end):
                covered[minute] += 1
    for times, wrong in ((0, "is in none of the bands"), (2, "is in more than one band")):
        minute = next((m for m, n in enumerate(covered) if min(n, 2) == times), None)
        if minute is not None:
            shown = f"{minute // 60:02}:{minute % 60:02}"
            yield wording.invalid(
                f"{path}.ranges", shown, f"{wrong}: every time of the day is in exactly one"
            )


def _unwanted(body: Mapping[str, Any], names: Iterable[str], *, by: str, path: str) -> Iterator[FieldError]:
    for name in names:
        if body.get(name) is not None:
            yield wording.forbidden(f"{path}.{name}", f"only bands by {by} have it")


def resource_type_errors(
    wanted: Sequence[str], *, before: Sequence[str] | None, known: Mapping[str, ResourceType]
) -> Iterator[FieldError]:
    """What is wrong with the resource types of a meter that is published. `before` is what it named when it already
    was; None where it was not.

    Types can be added to a list and not taken from it, and a meter that took any resource does not begin to choose:
    usage that was good stays good.
    """
    path = "spec.monitoredResourceTypes"
    if before is not None:
        yield from lifecycle.only_added("monitoredResourceTypes", before=before, after=wanted)
        if not before and wanted:
            message = "a published meter that takes usage of any resource cannot begin to name types"
            yield wording.forbidden(path, message)
            return
    for index, name in enumerate(wanted):
        if name not in known:
            yield wording.missing(f"{path}[{index}]", name)
        elif name not in (before or ()) and known[name].phase not in ("Published", "Deprecated"):
            message = f"the resource type is in {known[name].phase} phase; publish it first"
            yield wording.invalid(f"{path}[{index}]", name, message)
