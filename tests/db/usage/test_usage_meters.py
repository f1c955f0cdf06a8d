"""What meters make of events: distinct keys, bands, resource types, from the event to the roll-up."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from milo_billing.catalog.resources.kinds import MeterDefinition, MonitoredResourceType
from milo_billing.usage import store
from milo_billing.usage.rules import distinct_key
from tests.usage_world import JSON, UsageWorld, meter_spec

USERS = "app.example/users"
CALLS = "app.example/calls"
HOSTS = "app.example/hosts"
HOURS = {
    "dimension": "hours",
    "by": "TimeOfDay",
    "ranges": [
        {"name": "day", "from": "06:00", "to": "18:00"},
        {"name": "night", "from": "18:00", "to": "06:00"},
    ],
}
SIZE = {"dimension": "size", "by": "Value", "ranges": [{"name": "small", "upTo": "10"}, {"name": "large"}]}


def declare(
    usage: UsageWorld, name: str, *dimensions: str, types: tuple[str, ...] = (), **measurement: Any
) -> None:
    spec = meter_spec(name, *dimensions, **measurement)
    usage.world.create(
        MeterDefinition, name.rpartition("/")[2], {**spec, "monitoredResourceTypes": list(types)}
    )


def unique(usage: UsageWorld, key: str = "user", name: str = USERS, *dimensions: str) -> None:
    declare(usage, name, *dimensions, aggregation="UniqueCount", uniqueKey=key)


def seen(usage: UsageWorld, user: str, **event: Any) -> JSON:
    dimensions = {**event.pop("dimensions", {}), "user": user}
    return usage.event(meter=USERS, dimensions=dimensions, **event)


def compact(usage: UsageWorld) -> None:
    with usage.databases.ingest.transaction(reach="*") as tx:
        store.compact(tx)


def keys(usage: UsageWorld) -> list[tuple[Any, ...]]:
    """(dimension set, key, events), deltas and what was compacted together."""
    return usage.rows(
        "select s.dimensions::text, k.key, sum(k.events)::int from (select * from usage.distinct_keys union all "
        "select * from usage.distinct_key_deltas) k join usage.dimension_sets s on s.hash = k.dimensions "
        "group by 1, 2 order by 1, 3, 2"
    )


def recounted_keys(usage: UsageWorld) -> list[tuple[Any, ...]]:
    return usage.rows(
        "select s.dimensions::text, e.distinct_key, count(*)::int from usage.events e "
        "join usage.dimension_sets s on s.hash = e.dimensions where e.distinct_key is not null "
        "group by 1, 2 order by 1, 3, 2"
    )


def test_a_distinct_key_is_no_part_of_the_dimension_set(usage: UsageWorld):
    unique(usage, "user", USERS, "region")
    usage.ingest([seen(usage, user, dimensions={"region": "eu"}) for user in ("ann", "bob", "ann")])
    assert usage.rows("select dimensions::text from usage.dimension_sets") == [('{"region": "eu"}',)]
    ann, bob = (distinct_key(user.encode()).hex() for user in ("ann", "bob"))
    assert [(labels, key.hex, events) for labels, key, events in keys(usage)] == [
        ('{"region": "eu"}', bob, 1),
        ('{"region": "eu"}', ann, 2),
    ]


def test_keys_are_exact_whatever_the_groups_and_the_compaction(usage: UsageWorld):
    unique(usage, "user", USERS, "region")
    randomness = random.Random(7)
    for _ in range(6):
        events = [
            seen(usage, f"u{randomness.randrange(20)}", dimensions={"region": randomness.choice("ab")})
            for _ in range(50)
        ]
        usage.ingest(events[:30], events[20:], [usage.event()])
        if randomness.random() < 0.5:
            compact(usage)
    assert keys(usage) == recounted_keys(usage)
    compact(usage)
    assert keys(usage) == recounted_keys(usage)
    assert usage.value("select count(*) from usage.distinct_key_deltas") == 0


def test_an_event_without_what_is_counted_is_quarantined(usage: UsageWorld):
    unique(usage)
    unique(usage, "resource", HOSTS)
    usage.ingest(
        [usage.event(meter=USERS), usage.event(meter=HOSTS), usage.event(meter=HOSTS, resource={"kind": "x"})]
    )
    assert [detail for (detail,) in usage.rows("select detail from usage.quarantine order by id")] == [
        "the meter counts user, which data.dimensions does not have",
        "the meter counts resources, and data.resource has neither uid nor name",
        "the meter counts resources, and data.resource has neither uid nor name",
    ]


def test_a_retry_is_a_duplicate_whether_or_not_the_meter_was_known(usage: UsageWorld):
    early = seen(usage, "ann", dimensions={"region": "eu"})
    assert usage.ingest([early])[0].quarantined == 1
    unique(usage, "user", USERS, "region")
    again = {**early, "data": {"value": 1, "dimensions": {"user": "ann", "region": "eu"}}}
    (answer,) = usage.ingest([again, {**early, "data": {"value": "1", "dimensions": {"user": "bob"}}}])
    assert (answer.duplicate, [item.reason for item in answer.rejected]) == (1, ["ID_CONFLICT"])


def test_resources_are_counted_by_uid_or_by_name_and_not_by_their_labels(usage: UsageWorld):
    unique(usage, "resource", HOSTS)
    resources: list[JSON] = [
        {"uid": "1", "name": "a"},
        {"uid": "1", "name": "renamed", "labels": {"zone": "b"}},
        {"kind": "Instance", "name": "a"},
        {"name": "a", "kind": "Instance", "namespace": None},
        {"kind": "Instance", "namespace": "other", "name": "a"},
    ]
    usage.ingest([usage.event(meter=HOSTS, resource=resource) for resource in resources])
    assert usage.quarantined() == []
    assert [events for _, _, events in keys(usage)] == [1, 2, 2]


def test_bands_are_a_dimension_of_the_roll_up(usage: UsageWorld):
    declare(usage, CALLS, "region", bands=[HOURS, SIZE])
    noon = datetime(2026, 10, 1, 12, tzinfo=UTC)
    usage.world.clock.forward(days=1)
    made = [
        (noon, 10),
        (noon, 11),
        (noon + timedelta(hours=6), 3),
        (noon + timedelta(hours=5, minutes=59), 4),
    ]
    events = [
        usage.event(meter=CALLS, value=str(value), at=at, dimensions={"region": "eu"}) for at, value in made
    ]
    usage.ingest([*events, usage.event(value="7")])
    found = {labels: figures[:2] for (_, _, labels, _), figures in usage.rolled_up().items()}
    assert found == {
        '{"size": "small", "hours": "day", "region": "eu"}': (14, 2),
        '{"size": "large", "hours": "day", "region": "eu"}': (11, 1),
        '{"size": "small", "hours": "night", "region": "eu"}': (3, 1),
        "{}": (7, 1),
    }
    assert usage.rolled_up() == usage.recounted()


def test_an_event_cannot_say_its_band_itself(usage: UsageWorld):
    declare(usage, CALLS, bands=[SIZE])
    usage.ingest([usage.event(meter=CALLS, dimensions={"size": "small"})])
    assert usage.quarantined() == ["invalid_dimensions"]


INSTANCE = {
    "resourceTypeName": "compute.example/Instance",
    "phase": "Published",
    "gvk": {"group": "compute.example", "kind": "Instance"},
    "labels": [{"name": "zone"}],
}


@pytest.mark.parametrize(
    ("resource", "detail"),
    [
        ({"group": "compute.example", "kind": "Instance", "name": "a"}, None),
        ({"group": "compute.example", "kind": "Instance", "labels": {"zone": "a"}}, None),
        (None, None),
        (
            {"group": "compute.example", "kind": "Node"},
            "data.resource is a compute.example/Node; the meter is measured on compute.example/Instance",
        ),
        (
            {"group": "compute.example", "kind": "Instance", "labels": {"rack": "7"}},
            "data.resource.labels has names that its type does not declare, or no texts; declared: zone",
        ),
        (
            {"group": "compute.example", "kind": "Instance", "labels": ["zone"]},
            "data.resource.labels has names that its type does not declare, or no texts; declared: zone",
        ),
    ],
)
def test_a_meter_takes_resources_of_its_types_with_their_labels(
    usage: UsageWorld, resource: JSON | None, detail: str | None
):
    usage.world.create(MonitoredResourceType, "instance", INSTANCE)
    declare(usage, CALLS, types=("compute.example/Instance",))
    usage.ingest([usage.event(meter=CALLS, resource=resource), usage.event(resource=resource)])
    assert [found for (found,) in usage.rows("select detail from usage.quarantine")] == [detail][
        : detail is not None
    ]
    assert usage.value("select count(*) from usage.events") == (1 if detail else 2)


def test_a_label_that_a_resource_type_gains_is_taken_at_once(usage: UsageWorld):
    usage.world.create(MonitoredResourceType, "instance", INSTANCE)
    declare(usage, CALLS, types=("compute.example/Instance",))
    resource = {"group": "compute.example", "kind": "Instance", "labels": {"rack": "7"}}
    usage.ingest([usage.event(meter=CALLS, resource=resource)])
    usage.world.patch(MonitoredResourceType, "instance", {"labels": [{"name": "zone"}, {"name": "rack"}]})
    usage.ingest([usage.event(meter=CALLS, resource=resource)])
    assert (usage.quarantined(), usage.value("select count(*) from usage.events")) == (
        ["invalid_dimensions"],
        1,
    )
