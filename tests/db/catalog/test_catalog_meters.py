"""What a meter says of series, windows, bands and keys, and the resource types that it names."""

from typing import Any

import pytest

from milo_billing.catalog import reads
from milo_billing.catalog.resources.kinds import MeterDefinition, MonitoredResourceType, Sku
from milo_billing.catalog.types import ResourceType, TimeOfDayBands, ValueBands
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.errors import Conflict
from tests.accounts_world import World

PEAK = {
    "dimension": "hours",
    "by": "TimeOfDay",
    "timeZone": "Europe/Berlin",
    "ranges": [
        {"name": "peak", "from": "08:00", "to": "20:00"},
        {"name": "off-peak", "from": "20:00", "to": "08:00"},
    ],
}
SIZE = {"dimension": "size", "by": "Value", "ranges": [{"name": "small", "upTo": "1000"}, {"name": "large"}]}
INSTANCE = {
    "resourceTypeName": "compute.example/Instance",
    "phase": "Published",
    "gvk": {"group": "compute.example", "kind": "Instance"},
    "labels": [{"name": "zone"}],
}


def meter_spec(aggregation: str = "Max", **measurement: Any) -> dict[str, Any]:
    measured = {"aggregation": aggregation, "unit": "By", "dimensions": ["region"], **measurement}
    return {"meterName": "storage.example/bytes", "phase": "Published", "measurement": measured}


def refused(world: World, *, aggregation: str = "Max", **measurement: Any) -> list[str]:
    return [
        error.removeprefix("spec.measurement.")
        for error in world.refusals(MeterDefinition, "bytes", meter_spec(aggregation, **measurement))
    ]


def test_how_a_meter_measures_is_projected_for_ingest_and_pricing(world: World):
    spec = meter_spec(
        "UniqueCount", seriesBy=["region", "size"], window="Day", bands=[PEAK, SIZE], uniqueKey="user"
    )
    world.create(MeterDefinition, "bytes", spec)
    with world.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        (meter,) = reads.load_meters(tx)
    assert (meter.series_by, meter.window, meter.unique_key) == (("region", "size"), "Day", "user")
    assert meter.bands == (
        TimeOfDayBands("hours", "Europe/Berlin", (0, 480, 1_200), ("off-peak", "peak", "off-peak")),
        ValueBands("size", (1_000,), ("small", "large")),
    )
    assert meter.labels == ("region", "hours", "size")


def test_how_a_meter_measures_is_immutable(world: World):
    world.create(MeterDefinition, "bytes", meter_spec(bands=[SIZE]))
    change = {"measurement": {"seriesBy": ["region"], "window": "Day", "bands": [], "uniqueKey": "user"}}
    assert world.changes_refused(MeterDefinition, "bytes", change) == [
        "spec.measurement.uniqueKey: Forbidden: only UniqueCount counts keys, and the meter aggregates by Max",
        "spec.measurement.seriesBy: Forbidden: measurement.seriesBy is immutable",
        "spec.measurement.window: Forbidden: measurement.window is immutable",
        "spec.measurement.bands: Forbidden: measurement.bands is immutable",
        "spec.measurement.uniqueKey: Forbidden: measurement.uniqueKey is immutable",
    ]


def test_a_name_has_one_meaning_in_a_meter(world: World):
    bands = [{**SIZE, "dimension": "region"}, SIZE, SIZE]
    assert refused(world, aggregation="UniqueCount", bands=bands, uniqueKey="size", seriesBy=["zone"]) == [
        'bands[0].dimension: Invalid value: "region": is a dimension of the meter; a band needs a name of its own',
        'bands[2].dimension: Invalid value: "size": is a dimension of the meter; a band needs a name of its own',
        'seriesBy[0]: Invalid value: "zone": is no dimension of the meter, which has region, region, size, size',
        'uniqueKey: Invalid value: "size": is a dimension of the meter; what is counted stays out of the dimensions',
    ]
    assert refused(world, aggregation="UniqueCount") == [
        'uniqueKey: Required value: UniqueCount has to know what it counts: a label of events, or "resource"'
    ]


def test_a_dimension_that_is_added_takes_no_name_that_is_used(world: World):
    world.create(MeterDefinition, "bytes", meter_spec("UniqueCount", bands=[SIZE], uniqueKey="user"))
    change = {"measurement": {"dimensions": ["region", "size", "user"]}}
    assert [error.split(":")[0] for error in world.changes_refused(MeterDefinition, "bytes", change)] == [
        "spec.measurement.bands[0].dimension",
        "spec.measurement.uniqueKey",
    ]


@pytest.mark.parametrize(
    ("ranges", "error"),
    [
        (
            [("a", "00:00", "12:00")],
            '"12:00": is in none of the bands: every time of the day is in exactly one',
        ),
        (
            [("a", "00:00", "12:01"), ("b", "12:00", "24:00")],
            '"12:00": is in more than one band: every time of the day is in exactly one',
        ),
        ([("a", "22:00", "06:00"), ("b", "06:00", "21:59")], '"21:59": is in none of the bands'),
        ([("a", "24:00", "24:00")], '"24:00": a day begins at 00:00'),
    ],
)
def test_every_time_of_the_day_is_in_one_band(world: World, ranges: list[tuple[str, str, str]], error: str):
    body = [{"name": name, "from": start, "to": end} for name, start, end in ranges]
    found = refused(world, bands=[{"dimension": "hours", "by": "TimeOfDay", "ranges": body}])
    assert any(error in each for each in found)


def test_a_band_around_the_clock_and_one_past_midnight_are_good(world: World):
    around = {
        "dimension": "all",
        "by": "TimeOfDay",
        "ranges": [{"name": "day", "from": "00:00", "to": "24:00"}],
    }
    same = {
        "dimension": "any",
        "by": "TimeOfDay",
        "ranges": [{"name": "day", "from": "07:30", "to": "07:30"}],
    }
    world.create(MeterDefinition, "bytes", meter_spec(bands=[around, same]))


@pytest.mark.parametrize(
    ("ranges", "error"),
    [
        ([("a", "5"), ("b", "5"), ("c", None)], 'ranges[1].upTo: Invalid value: "5": must be above 5'),
        ([("a", "5")], "ranges[0].upTo: Forbidden: the last band is open"),
        ([("a", None), ("b", None)], "ranges[0].upTo: Required value: only the last band is open"),
        ([("a", "5"), ("a", None)], 'ranges[1].name: Duplicate value: "a"'),
        ([("a", "9223372036854775808"), ("b", None)], "is not a 64-bit integer"),
    ],
)
def test_bounds_of_values_increase_and_the_last_band_is_open(
    world: World, ranges: list[tuple[str, str | None]], error: str
):
    body = [{"name": name} if bound is None else {"name": name, "upTo": bound} for name, bound in ranges]
    (found,) = refused(world, bands=[{"dimension": "size", "by": "Value", "ranges": body}])
    assert error in found


def test_bands_take_only_what_belongs_to_them(world: World):
    odd = [
        {**SIZE, "timeZone": "Etc/UTC"},
        {"dimension": "x", "by": "Value", "ranges": [{"name": "a", "from": "00:00"}]},
        {
            "dimension": "y",
            "by": "TimeOfDay",
            "ranges": [{"name": "a", "from": "00:00", "to": "24:00", "upTo": "1"}],
        },
        {**PEAK, "dimension": "z", "timeZone": "Mars/Olympus"},
        {"dimension": "w", "by": "TimeOfDay", "ranges": [{"name": "a"}]},
    ]
    assert [error.split(":")[0] for error in refused(world, bands=odd[:4])] == [
        "bands[0].timeZone",
        "bands[1].ranges[0].from",
        "bands[2].ranges[0].upTo",
        "bands[3].timeZone",
    ]
    assert [error.split(":")[0] for error in refused(world, bands=odd[4:])] == [
        "bands[0].ranges[0].from",
        "bands[0].ranges[0].to",
    ]


def test_a_sku_sells_bands_by_their_names(world: World):
    world.create(MeterDefinition, "bytes", meter_spec(bands=[PEAK]))

    def sold(*hours: str) -> dict[str, Any]:
        match = {"hours": list(hours)}
        return {"meter": {"meterName": "storage.example/bytes", "match": match}, "pricingUnit": "GBy"}

    world.create(Sku, "peak", sold("peak"))
    assert world.refusals(Sku, "night", sold("night", "peak")) == [
        'spec.meter.match.hours: Invalid value: "night": is no band; there are off-peak, peak'
    ]


# -------------------------------------------------------------------------------------------- resource types


def test_a_resource_type_is_projected(world: World):
    world.create(MonitoredResourceType, "instance", INSTANCE)
    with world.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        (found,) = reads.load_resource_types(tx)
    assert found == ResourceType(
        found.number, "compute.example/Instance", "Published", "compute.example", "Instance", ("zone",)
    )


def test_a_resource_type_gains_labels_and_changes_nothing_else(world: World):
    world.create(MonitoredResourceType, "instance", INSTANCE)
    world.patch(MonitoredResourceType, "instance", {"labels": [{"name": "zone"}, {"name": "rack"}]})
    change = {
        "gvk": {"kind": "Node"},
        "labels": [{"name": "rack"}],
        "resourceTypeName": "x",
        "phase": "Retired",
    }
    assert world.changes_refused(MonitoredResourceType, "instance", change) == [
        'spec.phase: Forbidden: invalid phase transition from "Published" to "Retired"; allowed forward '
        "transitions are Draft→Published, Published→Deprecated, Deprecated→Retired",
        "spec.resourceTypeName: Forbidden: resourceTypeName is immutable",
        "spec.gvk.kind: Forbidden: gvk.kind is immutable",
        'spec.labels: Forbidden: labels is additive only; removing "zone" is not allowed',
    ]


def test_a_name_and_a_kind_belong_to_one_resource_type(world: World):
    world.create(MonitoredResourceType, "instance", INSTANCE)
    assert world.refusals(MonitoredResourceType, "again", INSTANCE) == [
        'spec.resourceTypeName: Duplicate value: "compute.example/Instance"'
    ]
    assert world.refusals(MonitoredResourceType, "other", {**INSTANCE, "resourceTypeName": "other"}) == [
        'spec.gvk: Invalid value: "compute.example/Instance": resource type "compute.example/Instance" has this group '
        "and kind already"
    ]


def test_a_meter_is_published_on_resource_types_that_are(world: World):
    spec = {**meter_spec(), "phase": "Draft", "monitoredResourceTypes": ["compute.example/Instance"]}
    world.create(MeterDefinition, "bytes", spec)
    publish = {"phase": "Published"}
    assert world.changes_refused(MeterDefinition, "bytes", publish) == [
        'spec.monitoredResourceTypes[0]: Not found: "compute.example/Instance"'
    ]
    world.create(MonitoredResourceType, "instance", {**INSTANCE, "phase": "Draft"})
    assert world.changes_refused(MeterDefinition, "bytes", publish) == [
        'spec.monitoredResourceTypes[0]: Invalid value: "compute.example/Instance": the resource type is in Draft '
        "phase; publish it first"
    ]
    world.patch(MonitoredResourceType, "instance", publish)
    world.patch(MeterDefinition, "bytes", publish)


def test_a_resource_type_that_a_published_meter_names_stays(world: World):
    world.create(MonitoredResourceType, "instance", INSTANCE)
    spec = {**meter_spec(), "monitoredResourceTypes": ["compute.example/Instance"]}
    world.create(MeterDefinition, "bytes", spec)
    with pytest.raises(Conflict, match=r'meter "storage\.example/bytes" is measured on resource type'):
        world.delete(MonitoredResourceType, "instance")
    for phase in ("Deprecated", "Retired"):
        world.patch(MonitoredResourceType, "instance", {"phase": phase})
    world.patch(MeterDefinition, "bytes", {"displayName": "Bytes"})
    world.delete(MeterDefinition, "bytes")
    world.delete(MonitoredResourceType, "instance")


def test_a_published_meter_takes_no_less_than_before(world: World):
    for name in ("Instance", "Node"):
        gvk = {"group": "compute.example", "kind": name}
        world.create(MonitoredResourceType, name.lower(), {**INSTANCE, "resourceTypeName": name, "gvk": gvk})
    world.create(MeterDefinition, "bytes", {**meter_spec(), "monitoredResourceTypes": ["Instance"]})
    world.patch(MeterDefinition, "bytes", {"monitoredResourceTypes": ["Instance", "Node"]})
    assert world.changes_refused(MeterDefinition, "bytes", {"monitoredResourceTypes": ["Node"]}) == [
        'spec.monitoredResourceTypes: Forbidden: monitoredResourceTypes is additive only; removing "Instance" is not '
        "allowed"
    ]
    world.create(MeterDefinition, "any", {**meter_spec(), "meterName": "any"})
    assert world.changes_refused(MeterDefinition, "any", {"monitoredResourceTypes": ["Node"]}) == [
        "spec.monitoredResourceTypes: Forbidden: a published meter that takes usage of any resource cannot begin to "
        "name types"
    ]
