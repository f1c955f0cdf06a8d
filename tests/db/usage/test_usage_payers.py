"""Who pays for an event: intervals, names, zones and reach, also when they change while the engine works."""

from datetime import timedelta
from threading import Event, Thread

from milo_billing.accounts import operations as accounts
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.catalog.resources import kinds as catalog
from milo_billing.directory import resources as directory
from milo_billing.usage.rules import sender_organization
from tests.usage_world import CPU, HOUR, UsageWorld, meter_spec


def payers(usage: UsageWorld) -> dict[int, str]:
    """Who was charged for each value."""
    return dict(
        usage.rows(
            "select value, a.name from usage.events join accounts.accounts a on a.number = account order by value"
        )
    )


def test_an_event_is_paid_for_by_the_account_that_was_bound_when_it_happened(usage: UsageWorld):
    usage.ingest([usage.event(value="1")])
    before = usage.now
    usage.world.account("second")
    usage.world.bind("web-2", project="web", account="second")
    usage.world.clock.forward(minutes=10)
    usage.ingest(
        [
            usage.event(value="2", at=before - timedelta(microseconds=1)),
            usage.event(value="3", at=before),  # the interval begins at the instant of the change
            usage.event(value="4"),
            usage.event(value="5", at=usage.now + HOUR / 2),  # ahead of its receipt: the receipt counts
        ]
    )
    assert payers(usage) == {1: "main", 2: "main", 3: "second", 4: "second", 5: "second"}
    assert usage.rolled_up() == usage.recounted()


def test_a_project_bound_back_and_forth_in_one_day_has_one_rollup_a_payer(usage: UsageWorld):
    usage.world.account("second")
    events = [usage.event(value="1")]
    for turn, account in enumerate(("second", "main", "second")):
        usage.world.clock.forward(minutes=1)
        usage.world.bind(f"turn-{turn}", project="web", account=account)
        usage.world.clock.forward(minutes=1)
        events.append(usage.event(value="1"))
    usage.ingest(events)
    figures = {account: total for (account, *_), total in usage.rolled_up().items()}
    assert figures == {"main": (2, 2, 1, 1, 1), "second": (2, 2, 1, 1, 1)}
    assert usage.rolled_up() == usage.recounted()


def test_what_is_declared_while_the_engine_runs_counts_at_once(usage: UsageWorld):
    usage.ingest([usage.event()])
    usage.world.create(catalog.MeterDefinition, "new", meter_spec("new.example/meter", "zone"))
    usage.world.project("shop")
    usage.world.bind("shop", project="shop")
    usage.world.clock.forward(minutes=1)
    (answer,) = usage.ingest([usage.event("shop", "new.example/meter", dimensions={"zone": "a"})])
    usage.world.patch(catalog.MeterDefinition, "new", {"measurement": {"dimensions": ["zone", "rack"]}})
    (wider,) = usage.ingest([usage.event("shop", "new.example/meter", dimensions={"rack": "1"})])
    assert (answer.accepted, wider.accepted, usage.quarantined()) == (1, 1, [])


def test_a_name_used_again_leads_to_the_project_that_bore_it_then(usage: UsageWorld):
    usage.world.project("shop")
    usage.world.bind("shop", project="shop")
    usage.world.clock.forward(hours=1)
    usage.ingest([usage.event("shop", value="1")])
    first = usage.now
    usage.world.clock.forward(minutes=1)
    usage.world.unbind("shop")
    usage.world.delete(directory.Project, "shop")
    usage.world.clock.forward(hours=1)
    between = usage.now
    usage.world.account("second")
    usage.world.clock.forward(hours=1)
    usage.world.project("shop")
    usage.world.bind("shop-again", project="shop", account="second")
    usage.world.clock.forward(hours=1)
    usage.ingest(
        [
            usage.event("shop", value="2", at=first),
            usage.event("shop", value="3", at=between),
            usage.event("shop", value="4"),
        ]
    )
    assert payers(usage) == {1: "main", 2: "main", 4: "second"}
    assert usage.value("select count(distinct project) from usage.events") == 2
    assert usage.quarantined() == ["attribution_failure"]
    with usage.databases.app.transaction(
        reach="*"
    ) as tx:  # the same answer as for one project at one instant
        found = [payer_reads.who_pays(tx, project_name="shop", at=at) for at in (first, between, usage.now)]
    assert [payer and payer.name for payer in found] == ["main", None, "second"]


def test_a_change_of_payer_waits_for_the_group_and_the_group_for_the_change(usage: UsageWorld):
    usage.ingest([usage.event()])
    held, release, stored = Event(), Event(), Event()

    def change() -> None:
        with usage.databases.app.transaction(reach="*") as tx:
            accounts.hold_fence(tx, exclusive=True)
            held.set()
            release.wait(10)

    def ingest() -> None:
        usage.ingest([usage.event()])
        stored.set()

    threads = [Thread(target=change)]
    threads[0].start()
    assert held.wait(10)
    threads.append(Thread(target=ingest))
    threads[1].start()
    assert not stored.wait(0.2)
    release.set()
    for thread in threads:
        thread.join(10)
    assert stored.is_set()


def test_a_project_out_of_reach_is_like_one_that_does_not_exist(usage: UsageWorld):
    usage.world.account("main-2")
    rival = usage.organization("rival")
    reach = frozenset({rival})
    (answer,) = usage.ingest([usage.event("web"), usage.event("no-such-project")], reach=reach)
    assert (answer.quarantined, answer.accepted) == (2, 0)
    kept = usage.rows("select owner_org, reason, replace(detail, project, '…') from usage.quarantine")
    assert len(set(kept)) == 1
    assert kept[0][0] == rival == sender_organization(reach)


def test_an_event_of_a_known_project_without_a_payer_belongs_to_its_organization(usage: UsageWorld):
    (answer,) = usage.ingest([usage.event("rivals"), usage.event("unknown")])
    assert answer.quarantined == 2
    owners = dict(usage.rows("select project, owner_org from usage.quarantine"))
    assert owners == {"rivals": usage.organization("rival"), "unknown": 0}


def test_nobody_reads_the_usage_of_another_organization(usage: UsageWorld):
    usage.ingest([usage.event(), usage.event("rivals")])
    acme, rival = usage.organization("acme"), usage.organization("rival")
    seen: dict[int, tuple[int, ...]] = {}
    for organization in (acme, rival):
        with usage.databases.app.transaction(reach=frozenset({organization})) as tx:
            seen[organization] = tuple(
                tx.execute(f"select count(*) from usage.{table}".encode()).fetchall()[0][0]
                for table in ("events", "deltas", "rollups", "quarantine", "tallies")
            )
    assert seen == {acme: (1, 1, 0, 0, 0), rival: (0, 0, 0, 1, 0)}  # the platform sent: tallies are its own


def test_the_meter_of_an_event_must_be_published(usage: UsageWorld):
    usage.world.patch(catalog.MeterDefinition, "cpu", {"phase": "Deprecated"})
    (still,) = usage.ingest([usage.event(meter=CPU)])
    assert still.accepted == 1
