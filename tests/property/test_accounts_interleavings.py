"""Many clients at once, each with its own plan of creating, rebinding, suspending, archiving and deleting."""

import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.resources.account_actions import ARCHIVE
from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.app.projections import compare_projections
from milo_billing.controlplane.doors import repeated
from milo_billing.directory import reads as directory
from milo_billing.directory.resources import Project
from milo_billing.infra.database import EVERYWHERE, Databases
from milo_billing.kernel.errors import MiloError
from tests.accounts_auditor import audit, read_history, shrunk
from tests.accounts_world import ACME, World, make_world

CLIENTS = 3
ACCOUNTS, PROJECTS = ("one", "two", "three"), ("web", "api")
JOIN_S_MAX = 60.0

steps = st.one_of(
    st.tuples(st.just("bind"), st.sampled_from(PROJECTS), st.sampled_from(ACCOUNTS)),
    st.tuples(st.sampled_from(["unbind", "create_project", "delete_project"]), st.sampled_from(PROJECTS)),
    st.tuples(
        st.sampled_from(["suspend", "reactivate", "archive", "delete", "create", "lose", "regain"]),
        st.sampled_from(ACCOUNTS),
    ),
    st.tuples(st.just("wait"), st.sampled_from(["0.000001", "1", "3456000", "-3600"])),
)
"""What a client does next. 40 days of waiting end the late window; an hour back is a clock that was set."""

plans = st.lists(st.lists(steps, min_size=1, max_size=8), min_size=CLIENTS, max_size=CLIENTS)
NAMES = count(1)


@pytest.fixture
def world(databases: Databases, tmp_path: Path) -> World:
    world = make_world(databases, tmp_path)
    world.grants.granted[ARCHIVE] = EVERYWHERE
    for account in ACCOUNTS:
        world.account(account)
    for project in PROJECTS:
        world.project(project)
    return world


def unbind(world: World, project: str) -> None:
    """Delete the binding that makes somebody pay for the project, whichever it is at present."""
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        entry = directory.find_project(tx, name=project, at=world.clock.now())
        last = None if entry is None else payer_reads.find_last_interval(tx, project=entry.number)
    if last is not None and last.ends_at is None:
        world.unbind(last.binding_name)


def do(world: World, step: tuple[str, ...]) -> None:
    verb, *words = step
    account = project = words[0]
    profile = {"lose": None, "regain": {"type": "BankTransfer"}}
    calls: dict[str, Callable[[], object]] = {
        "bind": lambda: world.bind(f"b-{next(NAMES)}", project=words[0], account=words[1]),
        "unbind": lambda: unbind(world, project),
        "create_project": lambda: world.project(project),
        "delete_project": lambda: world.delete(Project, project),
        "suspend": lambda: world.act(BillingAccount, account, "suspend", {"reason": "Compliance"}),
        "reactivate": lambda: world.set_status(BillingAccount, account, {"phase": "Ready"}),
        "archive": lambda: world.act(BillingAccount, account, "archive"),
        "delete": lambda: world.delete(BillingAccount, account, namespace=ACME),
        "create": lambda: world.account(account),
        "wait": lambda: world.clock.forward(seconds=float(words[0])),
    }
    change = calls.get(verb) or (
        lambda: world.patch(BillingAccount, account, {"paymentProfile": profile[verb]}, namespace=ACME)
    )
    try:
        repeated(change)
    except MiloError:
        return  # refused: whether rightly so is for the tests of each rule; here it must leave everything whole


def run(world: World, plans_: list[list[tuple[str, ...]]]) -> list[Exception]:
    """Every client in a thread of its own; what nobody expected."""
    barrier = threading.Barrier(len(plans_))
    unexpected: list[Exception] = []

    def client(plan: list[tuple[str, ...]]) -> None:
        barrier.wait(JOIN_S_MAX)
        try:
            for step in plan:
                do(world, step)
        except Exception as error:
            unexpected.append(error)

    threads = [threading.Thread(target=client, args=(plan,)) for plan in plans_]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_S_MAX)
        assert not thread.is_alive(), "clients wait for each other"
    return unexpected


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans=plans)
def test_whatever_many_clients_do_at_once_who_pays_is_beyond_doubt(
    world: World, plans: list[list[tuple[str, ...]]]
):
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        before = read_history(tx)
    assert run(world, plans) == []
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        assert audit(tx) == []
        assert shrunk(before, read_history(tx)) == []
        assert compare_projections(tx, world.engine.registry) == ()
    # an account that was archived in one example would have nothing left to do in the next
    for account in ACCOUNTS:
        if account_phase(world, account) == "Archived":
            world.delete(BillingAccount, account, namespace=ACME)
            world.account(account)


def account_phase(world: World, name: str) -> str | None:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        found = account_reads.find_account(tx, namespace=ACME, name=name)
    return None if found is None else found.phase
