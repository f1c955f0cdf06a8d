"""BillingAccountBinding through the engine: one payer at a time, with no gap, whatever comes in which order."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from milo_billing.accounts import operations
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.accounts.resources.bindings import BACKDATE, BillingAccountBinding
from milo_billing.accounts.rules import timeline
from milo_billing.accounts.types import PayerInterval
from milo_billing.controlplane.doors import repeated
from milo_billing.directory import reads as directory
from milo_billing.directory.resources import Organization, Project
from milo_billing.infra.database import EVERYWHERE, Databases
from milo_billing.kernel.errors import Conflict, Invalid
from tests.accounts_world import ACME, START, World, binding_spec, make_world

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def bound(world: World) -> World:
    """Accounts main and other; project web, paid for by main."""
    world.account()
    world.account("other")
    world.project("web")
    world.bind("first", project="web")
    return world


def intervals(world: World) -> tuple[PayerInterval, ...]:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        return payer_reads.load_intervals(tx)


def payer(world: World, project: str, at: datetime) -> str | None:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        found = payer_reads.who_pays(tx, project_name=project, at=at)
    return None if found is None else f"{found.namespace}/{found.name}"


def bound_condition(status: dict[str, Any]) -> tuple[str, str, str]:
    (condition,) = [c for c in status["conditions"] if c["type"] == "Bound"]
    return condition["status"], condition["reason"], condition["message"]


# ---------------------------------------------------------------------------------------------- the first one


def test_a_binding_is_active_at_once(bound: World):
    status = bound.status(BillingAccountBinding, "first", namespace=ACME)
    assert status["phase"] == "Active"
    assert status["billingResponsibility"] == {
        "establishedAt": "2026-10-01T12:00:00.000000Z",
        "currentAccount": "main",
    }
    message = "Project successfully bound to billing account."
    assert bound_condition(status) == ("True", "SuccessfulBinding", message)
    assert bound.status(BillingAccount, "main", namespace=ACME)["linkedProjectsCount"] == 1


def test_its_spec_is_immutable(bound: World):
    change = {"billingAccountRef": {"name": "other"}}
    assert bound.changes_refused(BillingAccountBinding, "first", change, namespace=ACME) == [
        'spec: Invalid value: "object": spec is immutable'
    ]


def test_it_needs_an_account_and_a_project_of_the_same_organization(world: World):
    world.project("theirs", organization="rival")
    assert world.refusals(BillingAccountBinding, "b", binding_spec("theirs"), namespace=ACME) == [
        'spec.billingAccountRef.name: Not found: "main"',
        'spec.projectRef.name: Not found: "theirs"',
    ]


def test_it_needs_a_ready_account(world: World):
    world.account(paymentProfile=None)
    world.project("web")
    assert world.refusals(BillingAccountBinding, "b", binding_spec("web"), namespace=ACME) == [
        'spec.billingAccountRef.name: Forbidden: billing account "main" is not ready (current phase: Provisioning)'
    ]


def test_it_needs_an_account_that_stays(world: World):
    world.account("leaving")
    wanted = {"currencyCode": "USD", "paymentProfile": {"type": "BankTransfer"}}
    world.create(BillingAccount, "kept", wanted, namespace=ACME, finalizers=["example.com/wait"])
    world.delete(BillingAccount, "kept", namespace=ACME)
    world.project("web")
    assert world.refusals(BillingAccountBinding, "b", binding_spec("web", "kept"), namespace=ACME) == [
        'spec.billingAccountRef.name: Forbidden: billing account "kept" is being deleted'
    ]


def test_a_project_that_is_paid_for_cannot_be_deleted(bound: World):
    with pytest.raises(Conflict, match='billing account binding "first"'):
        bound.delete(Project, "web")
    bound.unbind("first")
    bound.delete(Project, "web")


def test_it_needs_a_project_that_stays(world: World):
    world.account()
    owner = {"ownerRef": {"kind": "Organization", "name": "acme"}}
    world.create(Project, "web", owner, finalizers=["example.com/wait"])
    world.delete(Project, "web")
    assert world.refusals(BillingAccountBinding, "b", binding_spec("web"), namespace=ACME) == [
        'spec.projectRef.name: Forbidden: project "web" is being deleted'
    ]


def test_where_rebinding_is_refused_the_binding_that_stands_is_named(databases: Databases, tmp_path: Path):
    world = make_world(databases, tmp_path, rebinding="reject")
    world.account()
    world.account("other")
    world.project("web")
    world.bind("first", project="web")
    assert world.refusals(BillingAccountBinding, "b", binding_spec("web", "other"), namespace=ACME) == [
        'spec.projectRef.name: Forbidden: project "web" already has an active billing account binding "first"'
    ]
    world.unbind("first")
    world.bind("b", project="web", account="other")
    raised = at_once(*(lambda n=n: world.bind(n, project="new") for n in ("c", "d")))
    assert len([error for error in raised if error is not None]) == 2
    world.project("new")
    raised = at_once(*(lambda n=n: world.bind(n, project="new") for n in ("c", "d")))
    (refused,) = [error for error in raised if error is not None]
    assert "already has an active billing account binding" in str(refused)


# --------------------------------------------------------------------------------------------- change of payer


def test_a_second_binding_supersedes_the_first_in_the_same_instant(bound: World):
    bound.clock.forward(hours=1)
    bound.bind("second", project="web", account="other")
    first = bound.status(BillingAccountBinding, "first", namespace=ACME)
    second = bound.status(BillingAccountBinding, "second", namespace=ACME)
    assert (first["phase"], second["phase"]) == ("Superseded", "Active")
    assert bound_condition(first) == ("False", "Superseded", "Superseded by binding second.")
    assert first["billingResponsibility"] == {
        "establishedAt": "2026-10-01T12:00:00.000000Z",
        "endedAt": "2026-10-01T13:00:00.000000Z",
    }
    assert second["billingResponsibility"]["establishedAt"] == "2026-10-01T13:00:00.000000Z"
    counts = [
        bound.status(BillingAccount, a, namespace=ACME)["linkedProjectsCount"] for a in ("main", "other")
    ]
    assert counts == [0, 1]


@pytest.mark.parametrize(
    ("minutes", "account"), [(-1, None), (0, "main"), (59, "main"), (60, "other"), (600, "other")]
)
def test_who_pays_follows_the_intervals(bound: World, minutes: int, account: str | None):
    bound.clock.forward(hours=1)
    bound.bind("second", project="web", account="other")
    expected = None if account is None else f"{ACME}/{account}"
    assert payer(bound, "web", START + timedelta(minutes=minutes)) == expected


def test_changes_within_one_instant_follow_one_another_by_a_microsecond(bound: World):
    bound.bind("second", project="web", account="other")
    bound.bind("third", project="web")
    starts = [interval.starts_at for interval in intervals(bound)]
    assert starts == [START, START + MICROSECOND, START + 2 * MICROSECOND]


def test_a_clock_that_goes_back_does_not_turn_intervals_around(bound: World):
    bound.clock.forward(hours=-5)
    bound.bind("second", project="web", account="other")
    assert [(i.starts_at, i.ends_at) for i in intervals(bound)] == [
        (START, START + MICROSECOND),
        (START + MICROSECOND, None),
    ]


def test_rebinding_away_from_an_account_that_lost_its_profile_is_allowed(bound: World):
    bound.patch(BillingAccount, "main", {"paymentProfile": None}, namespace=ACME)
    bound.clock.forward(hours=1)
    assert bound.bind("second", project="web", account="other").status["phase"] == "Active"


def test_deleting_an_active_binding_ends_its_interval_and_the_history_stays(bound: World):
    end = bound.clock.forward(hours=1)
    last = bound.unbind("first").status
    assert last["billingResponsibility"]["endedAt"] == timeline.format_instant(end)
    (interval,) = intervals(bound)
    assert (interval.starts_at, interval.ends_at) == (START, end)
    assert (payer(bound, "web", end - MICROSECOND), payer(bound, "web", end)) == (f"{ACME}/main", None)
    assert bound.status(BillingAccount, "main", namespace=ACME)["linkedProjectsCount"] == 0


def test_deleting_a_superseded_binding_changes_no_interval(bound: World):
    bound.clock.forward(hours=1)
    bound.bind("second", project="web", account="other")
    before = intervals(bound)
    bound.clock.forward(hours=1)
    bound.unbind("first")
    assert intervals(bound) == before


def test_a_name_used_again_is_another_binding(bound: World):
    bound.clock.forward(hours=1)
    bound.unbind("first")
    bound.clock.forward(hours=1)
    bound.bind("first", project="web", account="other")
    assert [(i.binding_name, i.ends_at is None) for i in intervals(bound)] == [
        ("first", False),
        ("first", True),
    ]


def test_a_label_on_a_binding_moves_no_interval(bound: World):
    before = intervals(bound)
    bound.clock.forward(hours=1)
    bound.patch(BillingAccountBinding, "first", {}, namespace=ACME)
    assert intervals(bound) == before


# ------------------------------------------------------------------------------------------------ backdating


@pytest.fixture
def unbound(world: World) -> World:
    """Account main and project web, bound by nobody yet; the caller may backdate."""
    world.account()
    world.project("web")
    world.grants.granted[BACKDATE] = EVERYWHERE
    return world


def backdated(effective_from: str) -> dict[str, Any]:
    return binding_spec("web", effectiveFrom=effective_from)


def test_a_first_binding_may_begin_in_the_past(unbound: World):
    unbound.create(BillingAccountBinding, "b", backdated("2023-11-01T00:00:00Z"), namespace=ACME)
    since = datetime(2023, 11, 1, tzinfo=UTC)
    assert (payer(unbound, "web", since - MICROSECOND), payer(unbound, "web", since)) == (
        None,
        f"{ACME}/main",
    )


def test_a_later_binding_may_not(unbound: World):
    unbound.bind("first", project="web")
    assert unbound.refusals(
        BillingAccountBinding, "b", backdated("2026-09-01T00:00:00Z"), namespace=ACME
    ) == [
        "spec.effectiveFrom: Forbidden: only the first binding of a project can be backdated, and project "
        '"web" has had one'
    ]


def test_backdating_needs_its_permission(unbound: World):
    unbound.grants.granted.clear()
    assert unbound.refusals(
        BillingAccountBinding, "b", backdated("2026-09-01T00:00:00Z"), namespace=ACME
    ) == [f"spec.effectiveFrom: Forbidden: backdating a binding needs the permission {BACKDATE}"]


@pytest.mark.parametrize(
    ("effective_from", "message"),
    [
        ("2026-10-01T12:00:00.000001Z", "must not be in the future"),
        ("2026-09-01", "must be an RFC 3339 timestamp such as 2026-10-01T00:00:00Z"),
        ("2026-13-01T00:00:00Z", "must be an RFC 3339 timestamp such as 2026-10-01T00:00:00Z"),
    ],
)
def test_backdating_needs_an_instant_in_the_past(unbound: World, effective_from: str, message: str):
    assert unbound.refusals(BillingAccountBinding, "b", backdated(effective_from), namespace=ACME) == [
        f'spec.effectiveFrom: Invalid value: "{effective_from}": {message}'
    ]


def test_backdating_never_reaches_into_an_invoiced_period(unbound: World):
    with unbound.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
        assert account is not None
        for until in (datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC)):
            operations.mark_billed(tx, account=account.number, until=until)
    spec = backdated("2026-08-31T23:59:59Z")
    assert unbound.refusals(BillingAccountBinding, "b", spec, namespace=ACME) == [
        'spec.effectiveFrom: Forbidden: billing account "main" has been invoiced up to '
        "2026-09-01T00:00:00.000000Z; choose that instant or later"
    ]
    unbound.create(BillingAccountBinding, "b", backdated("2026-09-01T00:00:00Z"), namespace=ACME)


def test_backdating_never_reaches_into_the_time_of_another_project_of_the_name(unbound: World):
    unbound.bind("old", project="web")
    unbound.clock.forward(days=1)
    unbound.unbind("old")
    unbound.delete(Project, "web")
    unbound.clock.forward(days=1)
    unbound.project("web")
    for effective_from in ("2026-09-01T00:00:00Z", "2026-10-01T12:00:00Z", "2026-10-02T11:59:59Z"):
        spec = backdated(effective_from)
        assert unbound.refusals(BillingAccountBinding, "b", spec, namespace=ACME) == [
            'spec.effectiveFrom: Forbidden: another project was called "web" then; choose an instant after it '
            "was deleted"
        ]
    unbound.create(BillingAccountBinding, "b", backdated("2026-10-02T12:00:00Z"), namespace=ACME)
    found = [payer(unbound, "web", START + timedelta(hours=hours)) for hours in (-1, 0, 23, 24, 48)]
    assert found == [None, *[f"{ACME}/main"] * 4]


@pytest.mark.parametrize("hours", [0, -5])
def test_a_name_can_be_used_again_whatever_the_clock_did_meanwhile(world: World, hours: int):
    """Two bearers of a name overlapped once, and the server failed."""
    for _ in range(3):
        world.project("web")
        world.delete(Project, "web")
        world.clock.forward(hours=hours)
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        entries = sorted(directory.load_projects(tx), key=lambda entry: entry.created_at)
    for earlier, later in pairwise(entries):
        assert earlier.deleted_at is not None
        assert earlier.created_at < earlier.deleted_at <= later.created_at


# ----------------------------------------------------------------------------------------- at the same time


def at_once(*calls: Callable[[], object]) -> list[BaseException | None]:
    """Run the calls in threads that start together; what each raised."""
    barrier = threading.Barrier(len(calls))
    raised: list[BaseException | None] = [None] * len(calls)

    def run(place: int, call: Callable[[], object]) -> None:
        barrier.wait(10)
        try:
            repeated(call)
        except Exception as error:
            raised[place] = error

    threads = [threading.Thread(target=run, args=(place, call)) for place, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return raised


def test_first_bindings_at_the_same_time_leave_one_active(world: World):
    names = ["a", "b", "c", "d"]
    for name in names:
        world.account(name)
    world.project("web")
    raised = at_once(*(lambda name=name: world.bind(name, project="web", account=name) for name in names))
    assert raised == [None] * 4
    found = intervals(world)
    assert [i.ends_at for i in found] == [*(i.starts_at for i in found[1:]), None]
    phases = {n: world.status(BillingAccountBinding, n, namespace=ACME)["phase"] for n in names}
    assert [n for n in names if phases[n] == "Active"] == [found[-1].binding_name]
    counts = {n: world.status(BillingAccount, n, namespace=ACME)["linkedProjectsCount"] for n in names}
    assert [n for n in names if counts[n] == 1] == [found[-1].binding_name]


def test_an_account_is_either_deleted_or_bound(world: World):
    for round_ in range(5):
        account, project = f"account-{round_}", f"project-{round_}"
        world.account(account)
        world.project(project)
        deleted, made = at_once(
            lambda account=account: world.delete(BillingAccount, account, namespace=ACME),
            lambda account=account, project=project: world.bind(account, project=project, account=account),
        )
        assert (deleted is None) != (made is None), f"{deleted!r} and {made!r}"
        assert isinstance(deleted or made, Conflict | Invalid)


def test_a_project_is_either_deleted_or_bound(world: World):
    world.account()
    for round_ in range(5):
        project = f"project-{round_}"
        world.project(project)
        deleted, made = at_once(
            lambda project=project: world.delete(Project, project),
            lambda project=project: world.bind(project, project=project),
        )
        assert (deleted is None) != (made is None), f"{deleted!r} and {made!r}"


def test_the_instant_of_a_change_is_read_behind_the_fence(bound: World):
    """Whoever attributes holds the fence shared: a change waits, and begins after all that was attributed."""
    fenced, release = threading.Event(), threading.Event()

    def attribute() -> None:
        with bound.databases.ingest.transaction(reach=EVERYWHERE) as tx:
            operations.hold_fence(tx, exclusive=False)
            fenced.set()
            assert release.wait(10)

    attributing = threading.Thread(target=attribute)
    attributing.start()
    assert fenced.wait(10)
    changing = threading.Thread(target=lambda: bound.bind("second", project="web", account="other"))
    changing.start()
    changing.join(0.3)
    assert changing.is_alive()
    attributed_until = bound.clock.forward(hours=2)
    release.set()
    attributing.join(10)
    changing.join(10)
    assert intervals(bound)[-1].starts_at == attributed_until


def test_the_fence_can_be_shared(world: World):
    with world.databases.ingest.transaction(reach=EVERYWHERE) as one:
        operations.hold_fence(one, exclusive=False)
        with world.databases.ingest.transaction(reach=EVERYWHERE) as two:
            operations.hold_fence(two, exclusive=False)


# ---------------------------------------------------------------------------- what the database holds by itself


def raw_interval(world: World, *, starts_at: datetime, ends_at: datetime | None) -> None:
    """Insert an interval of project web by hand, past the code."""
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute(
            "insert into accounts.payer_intervals (owner_org, project, account, binding, binding_name, project_name, "
            "starts_at, ends_at, version) select owner_org, project, account, gen_random_uuid(), 'raw', 'web', %s, "
            "coalesce(%s, 'infinity'::timestamptz), 1 from accounts.payer_intervals limit 1",
            (starts_at, ends_at),
        )


@pytest.mark.parametrize(
    ("starts_at", "ends_at"),
    [
        (START, None),
        (START + timedelta(days=1), None),
        (START - timedelta(days=1), START + MICROSECOND),
        (START - timedelta(days=1), None),
    ],
)
def test_the_database_refuses_a_second_payer(bound: World, starts_at: datetime, ends_at: datetime | None):
    with pytest.raises(psycopg.errors.ExclusionViolation):
        raw_interval(bound, starts_at=starts_at, ends_at=ends_at)


def test_the_database_lets_intervals_touch(bound: World):
    raw_interval(bound, starts_at=START - timedelta(days=1), ends_at=START)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from accounts.payer_intervals",
        "update accounts.payer_intervals set starts_at = starts_at - interval '1 day'",
        "update accounts.payer_intervals set account = account + 1",
        "update accounts.payer_intervals set binding = gen_random_uuid()",
    ],
)
def test_the_database_keeps_the_history(bound: World, owner: psycopg.Connection[Any], statement: str):
    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute(statement.encode())


def test_the_database_ends_an_interval_once(bound: World, owner: psycopg.Connection[Any]):
    owner.execute("update accounts.payer_intervals set ends_at = '2026-11-01Z'")
    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute("update accounts.payer_intervals set ends_at = '2026-12-01Z'")


@pytest.fixture
def owner(superuser_tx: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A connection that row-level security and grants do not bind: only the constraints stand in its way."""
    return superuser_tx


def test_row_level_security_hides_the_payers_of_others(bound: World):
    with bound.databases.app.transaction(reach=EVERYWHERE) as tx:
        rival = directory.find_organization(tx, name="rival")
    assert rival is not None
    with bound.databases.app.transaction(reach=frozenset({rival.number})) as tx:
        assert payer_reads.load_intervals(tx) == ()
        assert account_reads.load_accounts(tx) == ()
        assert payer_reads.who_pays(tx, project_name="web", at=START) is None


def test_ingest_loads_payers_and_only_what_changed(bound: World):
    bound.project("api")
    bound.bind("api-main", project="api")
    with bound.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        version = max(interval.version for interval in payer_reads.load_intervals(tx))
    bound.clock.forward(hours=1)
    bound.bind("second", project="web", account="other")
    with bound.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        changed = payer_reads.load_intervals(tx, since_version=version)
    assert [(i.binding_name, i.ends_at is None) for i in changed] == [("first", False), ("second", True)]


def test_an_organization_with_accounts_stays(bound: World):
    with pytest.raises(Conflict):
        bound.delete(Organization, "acme")
