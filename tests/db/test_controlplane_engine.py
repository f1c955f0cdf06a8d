"""The engine against a real PostgreSQL: order of versions, consequences, holds, personal fields, dry runs."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from pydantic import Field

from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.feed import ChangeFeed
from milo_billing.controlplane.identity import EVERYWHERE, Authorizer, Identity, Reach
from milo_billing.controlplane.kinds import AnyObject, Fields, Kind, Object, Ref, Registry, Reported
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.statuses import Failure
from milo_billing.controlplane.store import LAST_APPLIED, Store
from milo_billing.controlplane.watching import expired, oldest_kept, prune_changes
from milo_billing.controlplane.work import Preconditions, Work
from milo_billing.infra import advisory_locks
from milo_billing.infra.clock import Clock, SystemClock, new_uid
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Databases, Tx
from milo_billing.infra.telemetry import REGISTRY
from milo_billing.kernel.errors import Conflict

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Secret(Fields):
    email: str


class ParcelSpec(Fields):
    """A parcel may lie in another one, which counts it."""

    within: str | None = None
    owner: Secret | None = None


class ParcelStatus(Fields):
    contains: int = 0
    names: list[str] = Field(default_factory=list[str])


class Parcel(Kind[ParcelSpec, ParcelStatus]):
    group, kind, plural, singular, namespaced = "test.example", "Parcel", "parcels", "parcel", False
    spec_model, status_model = ParcelSpec, ParcelStatus
    personal = ("spec.owner",)

    def affects(self, tx: Tx, object: AnyObject, old: AnyObject | None) -> list[Ref]:
        named = {o.spec.within for o in (object, old) if o is not None and o.spec.within}
        return [Ref(Parcel, "", name) for name in sorted(named)]

    def gather(
        self, tx: Tx, object: AnyObject, old: AnyObject | None, *, now: datetime, clock: Clock
    ) -> list[str]:
        rows = tx.execute(
            "select name from controlplane.objects where resource = 'parcels' and spec ->> 'within' = %s order by name",
            (object.name,),
        ).fetchall()
        return [row[0] for row in rows]

    def reconcile(
        self, object: Object[ParcelSpec, ParcelStatus], facts: list[str], *, now: datetime
    ) -> ParcelStatus:
        return ParcelStatus(contains=len(facts), names=facts)


class Everybody(Authorizer):
    def authenticate(self, tx: Tx, token: str, now: datetime) -> Identity:
        return Identity(token)

    def reach(self, tx: Tx, identity: Identity, permission: str) -> Reach:
        return EVERYWHERE


class NoNamespaces:
    def find_owner(self, tx: Tx, namespace: str) -> int | None:
        return None

    def hold_owner(self, tx: Tx, namespace: str) -> int | None:
        return None


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(
        registry=Registry((Parcel(),)),
        store=Store(Vault(tmp_path / "keyfile")),
        namespaces=NoNamespaces(),
        authorizer=Everybody(),
        clock=SystemClock(),
    )


def _draft(name: str, **spec: Any) -> Draft:
    return Draft(name, "", "", "", "", {}, {}, spec, {})


Write = Callable[[Callable[[Work], Any]], Any]
"""Runs one write in a transaction of its own, and seals it."""


@pytest.fixture
def write(engine: Engine, databases: Databases) -> Write:
    def run(do: Callable[[Work], Any]) -> Any:
        with databases.app.transaction(reach=EVERYWHERE) as tx:
            work = Work(tx, Identity("ann"), EVERYWHERE, new_uid(), NOW)
            made = do(work)
            engine.commit(work)
            return made

    return run


def _create(engine: Engine, name: str, **spec: Any) -> Callable[[Work], Row]:
    kind = engine.registry.kinds[0]
    return lambda work: engine.create(work, kind, namespace="", draft=_draft(name, **spec))


def _read(databases: Databases, query: str) -> list[tuple[Any, ...]]:
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        return tx.execute(query.encode()).fetchall()


def test_a_write_settles_what_it_affects_in_its_own_transaction(
    engine: Engine, databases: Databases, write: Write
) -> None:
    write(_create(engine, "box"))
    write(_create(engine, "pen", within="box"))
    (box,) = _read(databases, "select status, resource_version from controlplane.objects where name = 'box'")
    assert box[0] == {"contains": 1, "names": ["pen"]}
    changes = _read(databases, "select name, change, resource_version from controlplane.changes order by 3")
    assert [(n, c) for n, c, _ in changes] == [("box", "ADDED"), ("pen", "ADDED"), ("box", "MODIFIED")]
    assert box[1] == changes[-1][2]
    # one audit record a write: the consequence has none of its own
    assert _read(databases, "select verb, target from access.audit_records order by sequence") == [
        ("create", "test.example/parcels//box"),
        ("create", "test.example/parcels//pen"),
    ]


def test_a_condition_on_what_is_not_there_is_nobodys(
    engine: Engine, databases: Databases, write: Write
) -> None:
    def reported(plural: str) -> Reported:
        return Reported(
            "test.example", plural, "", "ghost", "Kept", "True", "AllKept", "Everything was kept."
        )

    write(lambda work: engine.report_condition(work, reported("parcels")))
    assert _read(databases, "select name from controlplane.changes") == []
    with pytest.raises(LookupError):
        write(lambda work: engine.report_condition(work, reported("boxes")))


def test_resource_versions_are_in_commit_order_under_parallel_writers(
    engine: Engine, databases: Databases, write: Write
) -> None:
    """A reader that asks for "greater than what I saw last" misses nothing."""
    done = threading.Event()
    seen: list[int] = []

    def follow() -> None:
        last = 0
        while True:
            finished = done.is_set()
            query = f"select resource_version from controlplane.changes where resource_version > {last} order by 1"
            for (version,) in _read(databases, query):
                last = version
                seen.append(version)
            if finished:
                return

    def produce(worker: int) -> None:
        for n in range(40):
            write(_create(engine, f"p-{worker}-{n}"))

    follower = threading.Thread(target=follow)
    follower.start()
    producers = [threading.Thread(target=produce, args=(n,)) for n in range(3)]
    for thread in producers:
        thread.start()
    for thread in producers:
        thread.join()
    done.set()
    follower.join()
    committed = [
        v for (v,) in _read(databases, "select resource_version from controlplane.changes order by 1")
    ]
    assert len(committed) == 120 and seen == committed


def test_a_held_object_stays_and_says_who_holds_it(
    engine: Engine, databases: Databases, write: Write
) -> None:
    row = write(_create(engine, "box"))
    kind = engine.registry.kinds[0]
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute(
            "insert into controlplane.holds values (%s, 'usage', 'late window until tomorrow', now())",
            (row.uid,),
        )

    def delete(work: Work) -> Any:
        return engine.delete(work, kind, namespace="", name="box", preconditions=Preconditions())

    with pytest.raises(Conflict, match="usage holds it: late window until tomorrow"):
        write(delete)
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute("delete from controlplane.holds")
    assert write(delete)[1] is True
    assert _read(databases, "select count(*) from controlplane.objects") == [(0,)]


def test_personal_fields_are_ciphertext_in_objects_changes_and_audit(
    engine: Engine, databases: Databases, write: Write
) -> None:
    write(_create(engine, "box", owner={"email": "ann@example.com"}))
    for table in ("controlplane.objects", "controlplane.changes", "access.audit_records"):
        (text,) = _read(databases, f"select string_agg(t::text, '') from {table} t")[0]
        assert "ann@example.com" not in text and "$sealed" in text, table
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        found = engine.find_object(tx, Parcel, namespace="", name="box")
    assert found is not None and found.spec.owner.email == "ann@example.com"


def test_the_manifest_that_kubectl_keeps_is_as_personal_as_what_it_repeats(
    engine: Engine, databases: Databases, write: Write
) -> None:
    kind = engine.registry.kinds[0]
    draft = _draft("box", owner={"email": "ann@example.com"})
    annotations = {LAST_APPLIED: '{"spec":{"owner":{"email":"ann@example.com"}}}', "note": "mine"}
    draft.metadata = {"annotations": annotations}
    write(lambda work: engine.create(work, kind, namespace="", draft=draft))
    for table in ("controlplane.objects", "controlplane.changes", "access.audit_records"):
        (text,) = _read(databases, f"select string_agg(t::text, '') from {table} t")[0]
        assert "ann@example.com" not in text, table
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        found = engine.find_object(tx, Parcel, namespace="", name="box")
    assert found is not None and found.annotations == annotations


def test_an_unchanged_personal_field_keeps_its_ciphertext(
    engine: Engine, databases: Databases, write: Write
) -> None:
    write(_create(engine, "box", owner={"email": "ann@example.com"}))
    query = "select spec -> 'owner' ->> '$sealed' from controlplane.objects where name = 'box'"
    before = _read(databases, query)
    kind = engine.registry.kinds[0]
    spec = {"owner": {"email": "ann@example.com"}, "within": "shelf"}
    write(
        lambda work: engine.update(
            work, kind, namespace="", name="box", change=lambda _: _draft("box", **spec), verb="update"
        )
    )
    assert _read(databases, query) == before


def test_a_failed_write_leaves_nothing(engine: Engine, databases: Databases, write: Write) -> None:
    write(_create(engine, "box"))
    with pytest.raises(Failure, match="already exists"):
        write(_create(engine, "box"))
    assert _read(databases, "select count(*) from controlplane.changes") == [(1,)]


def test_only_seal_writes_the_change_log_and_the_audit_chain(databases: Databases) -> None:
    for statement in (
        "insert into access.audit_heads values (1, 1, '')",
        "update access.audit_records set actor = 'x'",
        "update controlplane.changes set name = 'x'",
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            databases.app.transaction(reach=EVERYWHERE) as tx,
        ):
            tx.execute(statement.encode())


def test_row_level_security_hides_what_is_out_of_reach(
    engine: Engine, databases: Databases, write: Write
) -> None:
    write(_create(engine, "box"))
    with databases.app.transaction(reach=frozenset({7})) as tx:
        assert tx.execute("select count(*) from controlplane.objects").fetchone() == (0,)
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        databases.app.transaction(reach=frozenset({7})) as tx,
    ):
        tx.execute(
            "insert into controlplane.objects "
            "(uid, api_group, resource, name, owner_org, generation, created_at, spec) "
            "values (%s, 'g', 'r', 'n', 8, 1, now(), %s)",
            (new_uid(), Jsonb({})),
        )


def test_pruned_changes_are_remembered_as_pruned(engine: Engine, databases: Databases, write: Write) -> None:
    versions = [write(_create(engine, f"p{n}")).resource_version for n in range(5)]
    with databases.job.transaction(reach=EVERYWHERE) as tx:
        assert prune_changes(tx, keep=2) >= 3
        assert versions[2] <= oldest_kept(tx) < versions[4]


def _sample(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None, name
    return value


def test_how_long_a_write_waited_for_its_turn_is_measured(
    engine: Engine, databases: Databases, write: Write
) -> None:
    name = "milo_billing_commit_lock_wait_seconds"
    waits, waited_s = _sample(f"{name}_count"), _sample(f"{name}_sum")
    with databases.job.transaction(reach=EVERYWHERE) as tx:
        tx.execute("select pg_advisory_xact_lock(%s)", (advisory_locks.COMMIT,))
        writer = threading.Thread(target=write, args=(_create(engine, "box"),))
        writer.start()
        waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        while _read(databases, waiting) == [(0,)]:
            time.sleep(0.01)
        time.sleep(0.1)
    writer.join()
    assert _sample(f"{name}_count") == waits + 1
    assert _sample(f"{name}_sum") >= waited_s + 0.1


def test_watches_that_are_open_and_those_that_expired_are_counted(engine: Engine) -> None:
    feed = ChangeFeed("", engine.store, engine.registry)
    watchers = _sample("milo_billing_watchers")
    subscription = feed.subscribe(engine.registry.kinds[0])
    assert _sample("milo_billing_watchers") == watchers + 1
    feed.unsubscribe(subscription)
    feed.stop()
    assert _sample("milo_billing_watchers") == watchers
    overruns = _sample("milo_billing_watches_expired_total", reason="overrun")
    assert b'"code":410' in expired(7, 9, reason="overrun")
    assert _sample("milo_billing_watches_expired_total", reason="overrun") == overruns + 1
