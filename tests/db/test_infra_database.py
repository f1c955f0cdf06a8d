from datetime import UTC, datetime

import psycopg
import pytest

from milo_billing.infra.database import Database, Databases, Reach, Tx, reach_text
from milo_billing.kernel.errors import Unavailable

NOBODY: Reach = frozenset()
NONE: list[int] = []


def reach_of(tx: Tx) -> object:
    return tx.execute("select controlplane.reaches_all(), controlplane.reach()").fetchone()


def test_a_test_transaction_sees_every_organization(tx: Tx) -> None:
    assert tx.execute("select controlplane.reaches_all(), current_user").fetchone() == (True, "milo_app")


@pytest.mark.parametrize(
    ("reach", "seen"),
    [("*", (True, NONE)), (frozenset({7, 3}), (False, [3, 7])), (NOBODY, (False, NONE))],
)
def test_a_transaction_has_its_reach(reach: Reach, seen: object, databases: Databases) -> None:
    with databases.app.transaction(reach=reach) as tx:
        assert reach_of(tx) == seen


def test_the_reach_ends_with_the_transaction_even_when_that_is_early(databases: Databases) -> None:
    with databases.app.transaction(reach="*") as tx:
        tx.commit()
        assert reach_of(tx) == (False, NONE)


def test_reaches_are_written_in_one_way() -> None:
    assert reach_text(frozenset({10, 9})) == "9,10"


def test_each_pool_has_its_role(databases: Databases) -> None:
    pools: tuple[Database, ...] = (databases.app, databases.job, databases.ingest)
    for database in pools:
        with database.transaction(reach=NOBODY) as tx:
            assert tx.execute("select current_user").fetchone() == (database.role,)


def version(databases: Databases) -> object:
    with databases.app.transaction(reach="*") as tx:
        return tx.execute("select version from controlplane.versions where name = 'payers'").fetchone()


RAISE = "update controlplane.versions set version = version + 1 where name = 'payers'"


def test_the_end_of_the_block_commits(databases: Databases) -> None:
    with databases.app.transaction(reach="*") as tx:
        tx.execute(RAISE)
    assert version(databases) == (2,)


def test_an_exception_rolls_back(databases: Databases) -> None:
    with pytest.raises(ZeroDivisionError), databases.app.transaction(reach="*") as tx:
        tx.execute(RAISE)
        raise ZeroDivisionError
    assert version(databases) == (1,)


def test_a_savepoint_rolls_back_alone(databases: Databases) -> None:
    with databases.app.transaction(reach="*") as tx:
        tx.execute(RAISE)
        with pytest.raises(ZeroDivisionError), tx.transaction():
            tx.execute(RAISE)
            raise ZeroDivisionError
    assert version(databases) == (2,)


def test_seal_and_commit_can_share_a_round_trip(databases: Databases) -> None:
    with databases.app.transaction(reach="*") as tx, tx.pipeline():
        tx.execute(RAISE)
        tx.commit()
    assert version(databases) == (2,)


def test_instants_come_back_aware_and_in_utc(tx: Tx) -> None:
    row = tx.execute("select '2026-03-29T03:30+02:00'::timestamptz").fetchone()
    assert row is not None
    assert row[0] == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert row[0].utcoffset().total_seconds() == 0


def test_connections_that_the_server_cut_are_replaced(databases: Databases, superuser_tx: Tx) -> None:
    with databases.app.transaction(reach="*") as one, databases.app.transaction(reach="*") as two:
        assert one is not two
    superuser_tx.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    assert version(databases) == (1,)


def test_a_pool_that_is_exhausted_says_so(clean_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milo_billing.infra.database.ACQUIRE_TIMEOUT_S", 0.2)
    database = Database(clean_database, role="milo_app", pool_max=1)
    try:
        with database.transaction(reach="*"), pytest.raises(Unavailable, match="no database connection"):
            database.transaction(reach="*").__enter__()
    finally:
        database.close()


def test_row_level_security_hides_the_rows_of_others(databases: Databases) -> None:
    with databases.app.transaction(reach="*") as tx:
        tx.execute(
            "insert into directory.organizations (number, uid, name, created_at)"
            " values (7, gen_random_uuid(), 'seven', now()), (8, gen_random_uuid(), 'eight', now())"
        )
        tx.execute(
            "insert into directory.projects (uid, name, owner_org, created_at)"
            " values (gen_random_uuid(), 'p7', 7, now()), (gen_random_uuid(), 'p8', 8, now())"
        )
    with databases.app.transaction(reach=frozenset({7})) as tx:
        assert tx.execute("select name from directory.projects").fetchall() == [("p7",)]
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        databases.app.transaction(reach=frozenset({7})) as tx,
    ):
        tx.execute(
            "insert into directory.projects (uid, name, owner_org, created_at)"
            " values (gen_random_uuid(), 'mine', 8, now())"
        )
