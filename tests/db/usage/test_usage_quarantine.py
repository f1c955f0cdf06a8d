"""The quarantine as a working tool: seen, given up, and replayed exactly once, whatever happens in between."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from milo_billing.catalog.resources import kinds as catalog
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import new_uid, random_bits
from milo_billing.infra.database import EVERYWHERE, Reach
from milo_billing.usage import store
from milo_billing.usage.engine import replay as replaying
from milo_billing.usage.engine import replay_rows
from milo_billing.usage.engine.replay import Replayer
from milo_billing.usage.routes import quarantine
from milo_billing.usage.routes.ingest import ACCEPT_LATE
from milo_billing.usage.routes.quarantine import DISCARD, GET, LIST, REPLAY
from milo_billing.usage.rules import text_hash
from tests.serving import client_of, serving
from tests.usage_world import CPU, HOUR, JSON, UsageWorld, meter_spec

LATER = "new.example/meter"
BASE = "/v1/usage/quarantine"


@pytest.fixture
def api(usage: UsageWorld) -> Iterator[httpx.Client]:
    """A client of the doors, who may do everything with the quarantine but accept late events."""
    grant(usage, EVERYWHERE)
    door = Door(usage.databases.app, usage.world.grants, usage.world.clock)
    application = build_application([*quarantine.routes(door)])
    with serving(application) as url, client_of(url) as client:
        client.headers["Authorization"] = "Bearer ann"
        yield client


def grant(usage: UsageWorld, reach: Reach) -> None:
    """What `ann` may do with the quarantine, and where."""
    for permission in (LIST, GET, DISCARD, REPLAY):
        usage.world.grants.granted[permission] = reach


def replayer(usage: UsageWorld) -> Replayer:
    """Another worker process."""
    return Replayer(usage.databases.ingest, process=new_uid(), random_bits=random_bits, late_days_max=30)


def ask(api: httpx.Client, path: str, body: JSON | None = None, /, **query: Any) -> JSON:
    """A request that succeeds."""
    answer = api.get(path, params=query) if body is None else api.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def open_replay(api: httpx.Client, *, accept_late: bool = False, **wanted: str) -> UUID:
    """The id of a new replay of what the filter says."""
    return UUID(ask(api, f"{BASE}:replay", {"filter": wanted, "acceptLate": accept_late})["id"])


def run(usage: UsageWorld, api: httpx.Client, **wanted: Any) -> JSON:
    """A new replay, finished."""
    id = open_replay(api, **wanted)
    replayer(usage).run(id, now=lambda: usage.now)
    found = ask(api, f"/v1/usage/replays/{id}")
    assert found["state"] == "finished"
    return found


def counts(found: JSON) -> tuple[int, int, int, int]:
    """total, replayed, kept, duplicate."""
    return found["total"], found["replayed"], found["kept"], found["duplicate"]


def publish(usage: UsageWorld) -> None:
    """The meter that events named too early."""
    usage.world.create(catalog.MeterDefinition, "later", meter_spec(LATER, "region"))


def test_what_waits_is_listed_summed_up_and_shown_as_it_was_sent(usage: UsageWorld, api: httpx.Client):
    early = [usage.event(meter=LATER, value=str(n)) for n in range(3)]
    usage.ingest(early)
    usage.world.clock.forward(hours=2)
    usage.ingest([usage.event(project="nobody"), usage.event(value="1.5"), usage.event()])
    page = ask(api, BASE, limit=2)
    rest = ask(api, BASE, limit=10, **{"continue": page["metadata"]["continue"]})
    entries = page["items"] + rest["items"]
    assert (len(page["items"]), len(entries), rest["metadata"]) == (2, 5, {})
    assert sorted({entry["reason"] for entry in entries}) == [
        "attribution_failure",
        "invalid_value",
        "unknown_meter",
    ]
    assert len(ask(api, BASE, meter=LATER, reason="unknown_meter", project="web")["items"]) == 3
    assert (
        len(ask(api, BASE, **{"from": (usage.now - HOUR).isoformat().replace("+00:00", "Z")})["items"]) == 2
    )
    deepest, *_ = ask(api, f"{BASE}/summary")["items"]
    assert deepest == {
        "reason": "unknown_meter",
        "meter": LATER,
        "events": 3,
        "oldestReceivedAt": "2026-10-01T13:00:00Z",
    }
    shown = ask(api, f"{BASE}/{early[1]['id']}")  # by its ULID, or by the UUID that the list shows
    assert (shown["event"], shown["state"]) == (early[1], "quarantined")
    assert ask(api, f"{BASE}/{shown['id']}") == shown
    for path, code in ((f"{BASE}/{new_uid()}", 404), (f"{BASE}/nonsense", 400), (f"{BASE}?reason=bad", 400)):
        assert api.get(path).status_code == code
    for query in ("limit=0", "limit=1001", "continue=x", "from=soon"):
        assert api.get(f"{BASE}?{query}").status_code == 400


def test_a_replay_bills_what_was_mended_under_its_ids_and_at_its_own_instant(
    usage: UsageWorld, api: httpx.Client
):
    named = usage.event(
        meter=LATER, value="5", id="order-1", dimensions={"region": "eu"}, resource={"uid": "i"}
    )
    early = [usage.event(meter=LATER, value="7"), named]
    (other, faulty) = usage.event(project="nobody"), usage.event(meter=LATER, value="1.5")
    usage.ingest([*early, other, faulty])
    received = usage.now
    usage.world.clock.forward(days=3)
    publish(usage)
    assert counts(run(usage, api, meter=LATER)) == (3, 2, 1, 0)
    assert usage.rows("select reason, meter from usage.quarantine order by reason") == [
        ("attribution_failure", CPU),
        ("invalid_value", LATER),  # what is wrong with it now
    ]
    assert usage.rolled_up() == usage.recounted()
    assert {key[3] for key in usage.rolled_up()} == {received.date()}
    assert usage.rows("select distinct received_at from usage.events") == [(received,)]
    (again,) = usage.ingest([*early, other, faulty])
    assert (again.duplicate, again.taken) == (4, 4)
    (conflict,) = usage.ingest([{**named, "data": {"value": "6"}}])
    assert [item.reason for item in conflict.rejected] == ["ID_CONFLICT"]
    assert counts(run(usage, api)) == (2, 0, 2, 0)  # nothing else was mended
    assert usage.value("select count(*) from usage.replayed") == 2


def test_a_replay_attributes_to_the_payer_of_the_time(usage: UsageWorld, api: httpx.Client):
    usage.ingest([usage.event(project="new", value="3")])
    at = usage.now
    usage.world.project("new")
    usage.world.account("other")
    usage.world.bind("first", project="new", effectiveFrom="2026-10-01T00:00:00Z")
    usage.world.clock.forward(hours=1)
    usage.world.bind("second", project="new", account="other")
    # the project was made after the event, but the name is older than nobody's: its first life counts
    assert counts(run(usage, api)) == (1, 1, 0, 0)
    assert list(usage.rolled_up()) == [("main", "new", "{}", at.date())]


def test_late_events_are_replayed_by_those_only_who_may_accept_them(usage: UsageWorld, api: httpx.Client):
    usage.world.project("old")
    usage.world.bind("old", project="old", effectiveFrom="2023-11-01T00:00:00Z")
    usage.ingest([usage.event(project="old", time="2023-11-16T18:17:03Z")])
    assert counts(run(usage, api)) == (1, 0, 1, 0)
    asked: JSON = {"filter": {}, "acceptLate": True}
    usage.world.grants.granted[ACCEPT_LATE] = frozenset({usage.organization("acme")})
    assert api.post(f"{BASE}:replay", json=asked).status_code == 403
    usage.world.grants.granted[ACCEPT_LATE] = EVERYWHERE
    assert counts(run(usage, api, accept_late=True)) == (1, 1, 0, 0)
    assert usage.value("select day::text from usage.events") == "2023-11-16"


def test_events_whose_ids_are_of_a_sealed_day_stay(usage: UsageWorld, api: httpx.Client):
    usage.ingest([usage.event(meter=LATER)])
    publish(usage)
    with usage.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        tx.execute("update usage.days set sealed_at = now() where day = '2026-10-01'")
    assert counts(run(usage, api)) == (1, 0, 1, 0)
    (entry,) = ask(api, BASE)["items"]
    assert entry["reason"] == "unknown_meter"
    assert "is sealed: file a UsageCorrection" in entry["detail"]


def test_a_discarded_event_is_known_for_ever_and_who_gave_it_up_is_recorded(
    usage: UsageWorld, api: httpx.Client
):
    events = [usage.event(meter=LATER, value=str(n)) for n in range(4)]
    usage.ingest(events)
    first = ask(api, f"{BASE}:discard", {"ids": [events[0]["id"]], "reason": "a test run"})
    rest = ask(api, f"{BASE}:discard", {"filter": {"meter": LATER}, "reason": "all of it"})
    assert (first, rest) == ({"discarded": 1, "more": False}, {"discarded": 3, "more": False})
    publish(usage)
    (again,) = usage.ingest(events)
    assert (again.duplicate, usage.quarantined(), usage.rolled_up()) == (4, [], {})
    assert counts(run(usage, api)) == (0, 0, 0, 0)
    shown = ask(api, f"{BASE}/{events[0]['id']}")
    gone = {"by": "ann", "at": "2026-10-01T13:00:00Z", "reason": "a test run"}
    assert (shown["state"], shown["discarded"], shown["event"]) == ("discarded", gone, events[0])
    with usage.databases.app.transaction(reach=EVERYWHERE) as tx:
        found = tx.execute(
            "select chain, actor, detail ->> 'events' from access.audit_records where verb = 'discard' "
            "order by sequence"
        )
        acme = usage.organization("acme")
        assert found.fetchall() == [(acme, "ann", "1"), (acme, "ann", "3")]


def test_a_discard_must_say_what_and_why(usage: UsageWorld, api: httpx.Client):
    usage.ingest([usage.event(meter=LATER)])
    bodies: list[JSON] = [
        {"filter": {"meter": LATER}},
        {"filter": {"meter": LATER}, "reason": "  "},
        {"filter": {}, "reason": "everything"},
        {"reason": "everything"},
        {"ids": [], "filter": {"meter": LATER}, "reason": "both"},
        {"ids": ["x"], "reason": "no id"},
        {"filter": {"colour": "red"}, "reason": "no such field"},
        {"filter": {"reason": "bad"}, "reason": "no such reason"},
    ]
    for body in bodies:
        assert api.post(f"{BASE}:discard", json=body).status_code == 400, body
    assert usage.quarantined() == ["unknown_meter"]


def test_an_organization_sees_gives_up_and_replays_its_own_only(usage: UsageWorld, api: httpx.Client):
    acme, rival = usage.organization("acme"), usage.organization("rival")
    usage.ingest([usage.event(meter=LATER)], reach=frozenset({acme}))
    usage.ingest([usage.event(meter=LATER), usage.event("rivals")], reach=frozenset({rival}))
    # a sender of rival names a project of acme's: nobody's replay makes acme pay for it
    usage.ingest([usage.event()], reach=frozenset({rival}))
    publish(usage)
    (own,) = usage.rows("select id from usage.quarantine where owner_org = %s", acme)
    grant(usage, frozenset({rival}))
    assert len(ask(api, BASE)["items"]) == 3
    assert api.get(f"{BASE}/{own[0]}").status_code == 404
    assert ask(api, f"{BASE}:discard", {"ids": [str(own[0])], "reason": "not mine"})["discarded"] == 0
    assert counts(run(usage, api)) == (3, 0, 3, 0)
    theirs = open_replay(api, meter=LATER)
    grant(usage, frozenset({acme}))
    assert api.get(f"/v1/usage/replays/{theirs}").status_code == 404
    assert ask(api, "/v1/usage/replays")["items"] == []
    assert counts(run(usage, api)) == (1, 1, 0, 0)
    grant(usage, EVERYWHERE)
    assert counts(run(usage, api)) == (3, 0, 3, 0)
    assert [key[:2] for key in usage.rolled_up()] == [("main", "web")]
    grant(usage, frozenset())
    for path in (BASE, f"{BASE}/summary", f"{BASE}/{own[0]}", "/v1/usage/replays"):
        assert api.get(path).status_code == 403


def test_a_dry_run_counts_and_changes_nothing(usage: UsageWorld, api: httpx.Client):
    usage.ingest([usage.event(meter=LATER) for _ in range(3)])
    found = ask(api, f"{BASE}:replay", {"filter": {"meter": LATER}, "dryRun": True})
    assert (found["total"], [row["events"] for row in found["items"]]) == (3, [3])
    assert usage.value("select count(*) from usage.replays") == 0


def test_an_open_replay_has_a_job_and_one_that_finds_nothing_is_finished(
    usage: UsageWorld, api: httpx.Client
):
    assert ask(api, f"{BASE}:replay", {})["state"] == "finished"
    usage.ingest([usage.event(meter=LATER)])
    id = open_replay(api)
    with usage.databases.job.transaction(reach=EVERYWHERE) as tx:
        found = tx.execute("select task_name, args ->> 'replay' from jobs.procrastinate_jobs").fetchall()
    assert found == [("usage.replay", str(id))]
    usage.world.clock.forward(minutes=1)
    usage.ingest([usage.event(meter=LATER)])  # came after it was opened
    replayer(usage).run(id, now=lambda: usage.now)
    assert counts(ask(api, f"/v1/usage/replays/{id}")) == (1, 0, 1, 0)


class Killed(BaseException):
    """The process ends here."""


KILLED_AT = {
    "lock_quarantined": replay_rows,
    "copy_events": store,
    "copy_deltas": store,
    "delete_quarantined": replay_rows,
    "advance_replay": replay_rows,
}
"""The step after which the process ends, and the module in which it is."""


@pytest.mark.parametrize("step", KILLED_AT)
def test_a_replay_killed_at_any_step_goes_on_and_counts_nothing_twice(
    usage: UsageWorld, api: httpx.Client, monkeypatch: pytest.MonkeyPatch, step: str
):
    events = [usage.event(meter=LATER, value=str(n)) for n in range(30)]
    usage.ingest(events)
    publish(usage)
    id = open_replay(api)
    worker = replayer(usage)
    assert not worker.replay_group(id, size=10, now=usage.now)
    done: Callable[..., Any] = getattr(KILLED_AT[step], step)

    def killed(*given: Any, **named: Any) -> None:
        done(*given, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(KILLED_AT[step], step, killed)
        with pytest.raises(Killed):
            worker.run(id, now=lambda: usage.now)
    assert usage.value("select count(*) from usage.events") == 10
    replayer(usage).run(id, now=lambda: usage.now)
    assert counts(ask(api, f"/v1/usage/replays/{id}")) == (30, 30, 0, 0)
    assert [row[:2] for row in usage.rolled_up().values()] == [(sum(range(30)), 30)]
    assert usage.rolled_up() == usage.recounted()


def test_overlapping_replays_in_turns_count_every_event_once(usage: UsageWorld, api: httpx.Client):
    usage.ingest([usage.event(meter=LATER, value=str(n)) for n in range(50)])
    publish(usage)
    ids = [open_replay(api), open_replay(api, meter=LATER), open_replay(api, reason="unknown_meter")]
    workers = [replayer(usage) for _ in ids]
    unfinished = dict(zip(ids, workers, strict=True))
    while unfinished:
        for turn, (id, worker) in enumerate(tuple(unfinished.items())):
            if worker.replay_group(id, size=3 + 4 * turn, now=usage.now):
                unfinished.pop(id)
    shown = [ask(api, f"/v1/usage/replays/{id}") for id in ids]
    assert sum(replay["replayed"] for replay in shown) == 50
    assert sum(replay["duplicate"] + replay["kept"] for replay in shown) == 0
    assert [row[:2] for row in usage.rolled_up().values()] == [(sum(range(50)), 50)]


def test_events_of_one_id_from_two_senders_are_both_replayed(usage: UsageWorld, api: httpx.Client):
    named = usage.event(meter=LATER, id="order-1")
    usage.ingest([named])
    usage.ingest([named], reach=frozenset({usage.organization("acme")}))
    publish(usage)
    assert counts(run(usage, api)) == (2, 2, 0, 0)
    assert usage.value("select count(*) from usage.events") == 2


def test_an_event_that_cannot_be_stored_stays_and_the_others_are_replayed(
    usage: UsageWorld, api: httpx.Client
):
    taken = text_hash(b'{"region":"eu"}')
    with usage.databases.ingest.transaction(reach=EVERYWHERE) as tx:  # another set has the same hash
        store.insert_dimension_sets(tx, {taken: b'{"region":"us"}'})
    events = [usage.event(meter=LATER, value=str(n)) for n in range(40)]
    for poisoned in (13, 14, 39):
        events[poisoned]["data"]["dimensions"] = {"region": "eu"}
    usage.ingest(events)
    publish(usage)
    assert counts(run(usage, api)) == (40, 37, 3, 0)
    assert {entry["detail"] for entry in ask(api, BASE)["items"]} == {
        "the event cannot be stored: LabelCollision"
    }
    assert [row[:2] for row in usage.rolled_up().values()] == [(sum(range(40)) - 13 - 14 - 39, 37)]


def test_an_event_that_is_stored_as_well_leaves_the_quarantine_and_counts_once(
    usage: UsageWorld, api: httpx.Client
):
    usage.ingest([usage.event(meter=LATER)])
    (row,) = usage.rows("select id from usage.quarantine")
    usage.ingest([usage.event()])
    with usage.databases.ingest.transaction(
        reach=EVERYWHERE
    ) as tx:  # as two processes could do that disagree
        tx.execute("update usage.events set id = %s", row)
    assert counts(run(usage, api)) == (1, 0, 0, 1)
    assert (usage.quarantined(), usage.value("select count(*) from usage.events")) == ([], 1)


def test_a_group_is_bounded_in_bytes(usage: UsageWorld, api: httpx.Client, monkeypatch: pytest.MonkeyPatch):
    usage.ingest([usage.event(meter=LATER, note="x" * 1_000) for _ in range(5)])
    publish(usage)
    monkeypatch.setattr(replaying, "GROUP_BYTES_MAX", 2_600)
    id = open_replay(api)
    worker = replayer(usage)
    progress: list[int] = []
    while not worker.replay_group(id, size=100, now=usage.now):
        progress.append(ask(api, f"/v1/usage/replays/{id}")["replayed"])
    assert progress == [2, 4, 5]


def test_the_database_keeps_a_replays_figures_in_bounds(usage: UsageWorld, api: httpx.Client):
    usage.ingest([usage.event(meter=LATER)])
    id = open_replay(api)
    for change in ("state = 'paused'", "state = 'finished'", "replayed = -1", "organizations = '{}'"):
        with (
            pytest.raises(psycopg.errors.CheckViolation),
            usage.databases.ingest.transaction(reach=EVERYWHERE) as tx,
        ):
            tx.execute(f"update usage.replays set {change} where id = %s".encode(), (id,))


def test_a_sender_who_retries_while_a_replay_runs_is_answered_as_ever(usage: UsageWorld, api: httpx.Client):
    events = [usage.event(meter=LATER, value=str(n)) for n in range(20)]
    usage.ingest(events)
    publish(usage)
    id = open_replay(api)
    worker = replayer(usage)
    worker.replay_group(id, size=7, now=usage.now)
    (again,) = usage.ingest(events)
    assert again.duplicate == 20
    worker.run(id, now=lambda: usage.now)
    assert [row[:2] for row in usage.rolled_up().values()] == [(sum(range(20)), 20)]


def ago(now: datetime, **by: float) -> str:
    """RFC 3339."""
    return (now - timedelta(**by)).isoformat().replace("+00:00", "Z")


def test_a_replay_takes_what_was_received_in_its_period(usage: UsageWorld, api: httpx.Client):
    for _ in range(3):
        usage.ingest([usage.event(meter=LATER)])
        usage.world.clock.forward(hours=1)
    publish(usage)
    assert counts(run(usage, api, **{"from": ago(usage.now, hours=2), "to": ago(usage.now, hours=1)})) == (
        1,
        1,
        0,
        0,
    )
