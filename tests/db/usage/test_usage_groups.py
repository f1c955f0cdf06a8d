"""One group transaction: what is stored, what is refused, what is kept aside, and that nothing counts twice."""

from datetime import timedelta
from typing import Any

import msgspec

from milo_billing.catalog.resources import kinds as catalog
from milo_billing.kernel.ids import ulid, uuid7
from milo_billing.kernel.quantity import INT64_MAX, INT64_MIN
from milo_billing.usage import store
from milo_billing.usage.rules import text_hash
from tests.usage_world import BYTES, CPU, HOUR, UsageWorld, meter_spec


def test_good_events_are_stored_and_rolled_up(usage: UsageWorld):
    (answer,) = usage.ingest([usage.event(value="5"), usage.event(value=7, dimensions={"region": "eu"})])
    assert (answer.accepted, answer.quarantined, answer.duplicate, answer.rejected) == (2, 0, 0, ())
    day = usage.now.date()
    assert usage.rolled_up() == {
        ("main", "web", "{}", day): (5, 1, 5, 5, 5),
        ("main", "web", '{"region": "eu"}', day): (7, 1, 7, 7, 7),
    }
    assert usage.rolled_up() == usage.recounted()


def test_an_event_sent_again_is_acknowledged_and_counts_once(usage: UsageWorld):
    event = usage.event(value="5", dimensions={"region": "eu", "tier": "gold"})
    respelled = {**event, "data": {"dimensions": {"tier": "gold", "region": "eu"}, "value": 5}}
    (first, second) = usage.ingest([event, respelled], [event])
    (third,) = usage.ingest([respelled])
    assert (first.accepted, first.duplicate, first.taken) == (1, 1, 2)
    assert (second.duplicate, third.duplicate, third.taken) == (1, 1, 1)
    assert usage.value("select count(*) from usage.events") == 1
    assert list(usage.rolled_up().values()) == [(5, 1, 5, 5, 5)]


CHANGES: list[dict[str, Any]] = [
    {"type": BYTES},
    {"subject": "projects/other"},
    {"time": "2026-10-01T12:59:59Z"},
    {"data": {"value": "6"}},
    {"data": {"value": "5", "dimensions": {"region": "eu"}}},
    {"data": {"value": "5", "resource": {"kind": "Instance"}}},
]


def test_an_id_used_for_another_payload_or_time_is_a_conflict_and_the_first_one_stays(usage: UsageWorld):
    event = usage.event(value="5")
    others = [{**event, **change} for change in CHANGES]
    (within,) = usage.ingest([event, *others])
    (later,) = usage.ingest(others)
    for answer in (within, later):
        assert {(item.reason, item.id) for item in answer.rejected} == {("ID_CONFLICT", event["id"])}
        assert len(answer.rejected) == len(CHANGES)
    assert (within.accepted, later.taken) == (1, 0)
    assert list(usage.rolled_up().values()) == [(5, 1, 5, 5, 5)]
    assert usage.quarantined() == []


def test_ids_of_every_kind_are_unique_within_their_source_and_sender(usage: UsageWorld):
    acme = usage.organization("acme")
    native = str(uuid7(int(usage.now.timestamp() * 1000), 7))
    named = usage.event(id="order-1")
    events = [named, {**named, "source": "other"}, usage.event(id=native)]
    (platform, again) = usage.ingest(events, [named])
    (organization,) = usage.ingest([named], reach=frozenset({acme}))
    assert (platform.accepted, again.duplicate, organization.accepted) == (3, 1, 1)
    (repeated,) = usage.ingest(events, reach=frozenset({acme}))
    assert (repeated.duplicate, repeated.accepted) == (
        2,
        1,
    )  # the native id is everybody's, one named id is new
    (conflict,) = usage.ingest([{**named, "data": {"value": "2"}}])
    assert [rejection.reason for rejection in conflict.rejected] == ["ID_CONFLICT"]
    stored = {id for (id,) in usage.rows("select id::text from usage.events")}
    assert native in stored
    assert {id[14] for id in stored} == {"7"}  # the version digit of a UUID


QUARANTINED: list[tuple[str, dict[str, Any]]] = [
    ("unknown_meter", {"meter": "no.such/meter"}),
    ("unknown_meter", {"meter": "draft.example/meter"}),
    ("invalid_dimensions", {"dimensions": {"colour": "red"}}),
    ("invalid_dimensions", {"dimensions": {"region": 5}}),
    ("invalid_dimensions", {"dimensions": ["region"]}),
    ("invalid_dimensions", {"dimensions": {"region": "a\0b"}}),
    ("invalid_dimensions", {"dimensions": {"region": "x" * 300}}),
    ("invalid_value", {"value": "1.5"}),
    ("invalid_value", {"value": 1.0}),
    ("invalid_value", {"value": str(INT64_MAX + 1)}),
    ("invalid_value", {"value": ""}),
    ("malformed_data", {"data": "all in one text"}),
    ("malformed_data", {"data": []}),
    ("malformed_data", {"resource": "instance-1"}),
    ("malformed_data", {"time": "yesterday"}),
    ("malformed_data", {"time": "2026-02-30T00:00:00Z"}),
    ("attribution_failure", {"project": "nobody"}),
    ("attribution_failure", {"project": "rivals"}),
    ("attribution_failure", {"subject": "web"}),
    ("too_late", {"time": "2026-08-01T00:00:00Z"}),
]


def test_what_cannot_be_billed_is_kept_with_a_reason_and_acknowledged(usage: UsageWorld):
    usage.world.create(catalog.MeterDefinition, "draft", meter_spec("draft.example/meter", phase="Draft"))
    events = [usage.event(**wrong) for _, wrong in QUARANTINED]
    (answer,) = usage.ingest([usage.event(value="3"), *events])
    (again,) = usage.ingest(events)
    assert (answer.accepted, answer.quarantined, answer.taken) == (1, len(events), len(events) + 1)
    assert (again.duplicate, again.taken) == (len(events), len(events))
    kept = usage.rows("select reason, detail, event from usage.quarantine order by id")  # ids ascend as sent
    for (reason, wrong), event, (found, detail, original) in zip(QUARANTINED, events, kept, strict=True):
        assert (found, wrong) == (reason, wrong)
        assert detail
        assert msgspec.json.decode(bytes(original)) == event
    assert list(usage.rolled_up().values()) == [(3, 1, 3, 3, 3)]


def test_a_quarantined_event_belongs_to_its_projects_organization_whatever_else_is_wrong(usage: UsageWorld):
    usage.ingest(
        [usage.event(meter="no.such/meter")]
    )  # the first group of the process: no project is known yet
    assert usage.rows("select owner_org from usage.quarantine") == [(usage.organization("acme"),)]


def test_a_quarantined_id_stays_known_after_the_cause_is_mended(usage: UsageWorld):
    event = usage.event(project="new")
    foreign = usage.event(project="new", id="order-1")
    usage.ingest([event, foreign])
    usage.world.project("new")
    usage.world.bind("new", project="new", effectiveFrom="2026-10-01T00:00:00Z")
    (again,) = usage.ingest([event, foreign])
    assert (again.duplicate, again.accepted) == (2, 0)
    (other,) = usage.ingest([{**event, "data": {"value": "2"}}])
    assert other.rejected[0].reason == "ID_CONFLICT"
    assert usage.value("select count(*) from usage.events") == 0
    assert usage.quarantined() == ["attribution_failure"] * 2


def test_an_accepted_event_stays_a_duplicate_when_it_could_not_be_billed_any_more(usage: UsageWorld):
    event = usage.event()
    usage.ingest([event])
    for phase in ("Deprecated", "Retired"):
        usage.world.patch(catalog.MeterDefinition, "cpu", {"phase": phase})
    (again, other) = usage.ingest([event], [usage.event()])
    assert (again.duplicate, other.quarantined) == (1, 1)
    assert usage.quarantined() == ["unknown_meter"]


def test_ids_and_times_out_of_bounds_are_rejected_and_nothing_of_them_is_kept(usage: UsageWorld):
    ms = int(usage.now.timestamp() * 1000)
    events = [
        usage.event(id=ulid(ms + 3_601_000, 1)),
        usage.event(time=(usage.now + timedelta(hours=1, seconds=1)).isoformat()),
        usage.event(id=ulid(ms - 46 * 86_400_000, 1)),
        usage.event(id="0" * 25 + "U"),
        usage.event(id=ulid(2**48 - 1, 1)),
        usage.event(id=ulid(ms + 3_599_000, 1)),
        usage.event(time=(usage.now + timedelta(minutes=59)).isoformat()),
        usage.event(id=ulid(ms - 44 * 86_400_000, 1)),
    ]
    (answer,) = usage.ingest(events)
    assert [(rejection.position, rejection.reason) for rejection in answer.rejected] == [
        (0, "TIME_IN_FUTURE"),
        (1, "TIME_IN_FUTURE"),
        (2, "ID_EXPIRED"),
        (3, "INVALID_ULID"),
        (4, "TIME_IN_FUTURE"),
    ]
    assert answer.accepted == 3
    assert usage.value("select count(*) from usage.events") == 3
    assert usage.quarantined() == []


def test_a_rejected_event_does_not_take_the_id_from_a_good_one(usage: UsageWorld):
    good = usage.event()
    bad = {**good, "time": "2030-01-01T00:00:00Z"}
    (answer,) = usage.ingest([bad, good])
    assert (answer.accepted, [item.reason for item in answer.rejected]) == (1, ["TIME_IN_FUTURE"])


def test_sums_beyond_int64_stay_exact(usage: UsageWorld):
    values = [INT64_MAX, INT64_MAX, INT64_MAX, INT64_MIN, -5]
    usage.ingest(
        [usage.event(value=str(value), at=usage.now + timedelta(seconds=i)) for i, value in enumerate(values)]
    )
    usage.ingest([usage.event(value=str(INT64_MAX))])
    expected = (sum(values) + INT64_MAX, 6, INT64_MIN, INT64_MAX, -5)
    assert list(usage.rolled_up().values()) == [expected]
    with usage.databases.ingest.transaction(reach="*") as tx:
        assert store.compact(tx) > 1
    assert list(usage.rolled_up().values()) == [expected]


def test_a_late_import_lifts_the_window_for_its_own_rows_only(usage: UsageWorld):
    usage.world.project("old")
    usage.world.bind("old", project="old", effectiveFrom="2023-11-01T00:00:00Z")
    old = {"project": "old", "time": "2023-11-16T18:17:03.979960Z"}
    (refused,) = usage.ingest([usage.event(**old)])
    (taken,) = usage.ingest([usage.event(**old, id="row/1")], accept_late=True)
    assert (refused.quarantined, taken.accepted) == (1, 1)
    assert usage.value("select day::text from usage.events") == "2023-11-16"


def test_an_event_that_cannot_be_stored_is_found_and_the_others_are_stored(usage: UsageWorld):
    taken = text_hash(b'{"region":"eu"}')
    with usage.databases.ingest.transaction(reach="*") as tx:  # another set has the same hash
        store.insert_dimension_sets(tx, {taken: b'{"region":"us"}'})
    events = [usage.event(value=str(n)) for n in range(20)]
    events[13]["data"]["dimensions"] = {"region": "eu"}
    (first, second) = usage.ingest(events[:10], events[10:])
    (again,) = usage.ingest(events[10:])
    assert (first.accepted, second.accepted, second.quarantined, again.duplicate) == (10, 9, 1, 10)
    assert usage.quarantined() == ["malformed_data"]
    assert list(usage.rolled_up().values()) == [(sum(range(20)) - 13, 19, 0, 19, 19)]


def test_a_quarantined_event_belongs_to_its_project_however_new_that_is(usage: UsageWorld):
    usage.ingest([usage.event("rivals", value="1.5")])  # now the projects are known
    usage.world.project("newer", organization="rival")
    usage.ingest([usage.event("newer", value="1.5")])
    owners = usage.rows("select distinct owner_org from usage.quarantine")
    assert owners == [(usage.organization("rival"),)]


def test_empty_requests_and_requests_of_nothing_but_unreadable_events_are_answered(usage: UsageWorld):
    (empty, unreadable, good) = usage.ingest([], [5, {}], [usage.event()])
    assert (empty.taken, empty.rejected) == (0, ())
    assert [item.reason for item in unreadable.rejected] == ["MISSING_REQUIRED_FIELD"] * 2
    assert good.accepted == 1
    (alone,) = usage.ingest([])
    assert alone.taken == 0


def test_what_an_event_was_measured_on_can_be_found_again(usage: UsageWorld):
    resource = {"kind": "Instance", "name": "i-1", "group": "compute.example"}
    usage.ingest([usage.event(resource=resource), usage.event(resource=resource), usage.event()])
    found = usage.rows(
        "select r.resource::jsonb, count(*) from usage.events e left join usage.resources r on r.hash = e.resource "
        "group by 1 order by 2"
    )
    assert found == [(None, 1), (resource, 2)]


def test_the_latest_value_is_that_of_the_latest_time_then_the_greatest_id(usage: UsageWorld):
    early = usage.now - HOUR / 4
    events = [usage.event(value=str(n), at=early) for n in range(5)]
    usage.ingest([events[3]], [events[4], events[0]])
    usage.ingest([usage.event(value="99", at=early - HOUR / 4)], [events[2], events[1]])
    expected = [(0 + 1 + 2 + 3 + 4 + 99, 6, 0, 99, 4)]
    assert list(usage.rolled_up().values()) == expected
    with usage.databases.ingest.transaction(reach="*") as tx:
        store.compact(tx)
    assert list(usage.rolled_up().values()) == expected


def test_usage_of_one_instant_falls_on_the_day_of_the_accounts_zone(usage: UsageWorld):
    usage.world.account("tokyo", timeZone="Asia/Tokyo")
    usage.world.project("shibuya")
    usage.world.bind("shibuya", project="shibuya", account="tokyo")
    usage.world.clock.forward(hours=3)  # 16:00 in UTC, 01:00 of the next day in Tokyo
    usage.ingest([usage.event("shibuya"), usage.event("web"), usage.event("web", CPU)])
    days = usage.rows(
        "select p.name, day::text from usage.deltas join directory.projects p on p.number = project"
    )
    assert sorted(days) == [("shibuya", "2026-10-02"), ("web", "2026-10-01")]
