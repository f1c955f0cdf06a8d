"""An account that is deleted and made anew, under the same name, while a project is bound to it."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import psycopg
import pytest

from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.controlplane.doors import repeated
from milo_billing.controlplane.identity import EVERYWHERE as ALL
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.work import Preconditions, Work
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.errors import Invalid
from tests.accounts_auditor import audit
from tests.accounts_world import ACME, World
from tests.patience import PATIENCE_S, until


def waiting(world: World) -> int:
    """How many sessions of this database wait for a lock."""
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        ((found,),) = tx.execute(
            "select count(*) from pg_locks l join pg_stat_activity a using (pid) "
            "where not l.granted and a.datname = current_database()"
        ).fetchall()
    return found


@contextmanager
def deleting(world: World, name: str) -> Generator[None]:
    """Delete the account; it is committed when the context ends."""
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        work = Work(tx, Identity("ann"), ALL, audit_id=new_uid(), now=world.clock.now())
        kind = world.engine.registry.instance(BillingAccount)
        world.engine.delete(work, kind, namespace=ACME, name=name, preconditions=Preconditions())
        yield
        world.engine.commit(work)


@contextmanager
def binding(world: World) -> Generator[tuple[Callable[[], None], list[BaseException]]]:
    """Somebody binds the project to the account `main`, and finds that it goes. In the context the account has gone,
    and who binds waits for the project; what lets it go on, and what it raised, once the context has ended.
    """
    raised: list[BaseException] = []

    def bind() -> None:
        try:
            repeated(lambda: world.bind("web", project="web"))
        except Exception as error:
            raised.append(error)

    binder = threading.Thread(target=bind)
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute("select from controlplane.objects where resource = 'projects' for update")
        with deleting(world, "main"):
            binder.start()
            until(lambda: waiting(world) == 1)
        until(lambda: waiting(world) == 1)
        yield tx.commit, raised
    binder.join(PATIENCE_S)
    assert not binder.is_alive()


def audited(world: World) -> list[str]:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        return audit(tx)


@pytest.fixture
def ready(world: World) -> World:
    """An account that pays for nothing, and a project."""
    world.account()
    world.project("web")
    return world


def test_the_new_account_is_bound_and_counts_its_project(ready: World) -> None:
    with binding(ready) as (go_on, raised):
        ready.account()
        go_on()
    assert raised == []
    assert ready.status(BillingAccount, "main", namespace=ACME)["linkedProjectsCount"] == 1
    assert audited(ready) == []


def test_nobody_is_bound_to_the_new_account_while_that_is_deleted(ready: World) -> None:
    with binding(ready) as (go_on, raised):
        ready.account()
        with deleting(ready, "main"):
            go_on()
            time.sleep(0.3)  # who binds either waits for the deletion now, or is done
    assert [type(error) for error in raised] == [Invalid]
    assert audited(ready) == []


def test_the_database_lets_no_deleted_account_pay(ready: World) -> None:
    """Whichever comes first: an account that pays is not deleted, one that was deleted pays for nothing."""
    ready.bind("web", project="web")
    gone = ready.account("gone")
    ready.delete(BillingAccount, "gone", namespace=ACME)
    with (
        pytest.raises(psycopg.errors.RestrictViolation, match="pays for a project"),
        ready.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute("update accounts.accounts set deleted_at = now() where name = 'main'")
    with (
        pytest.raises(psycopg.errors.RestrictViolation, match="was deleted"),
        ready.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute(
            "insert into accounts.payer_intervals (owner_org, project, account, binding, binding_name, project_name, "
            "starts_at, ends_at, version) select i.owner_org, i.project, a.number, %s, 'again', 'web', '2020-01-01', "
            "'2020-01-02', 1 "
            "from accounts.payer_intervals i, accounts.accounts a where a.uid = %s",
            (new_uid(), gone.uid),
        )
