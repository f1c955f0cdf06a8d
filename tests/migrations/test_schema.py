"""db/schema.sql is the truth; db/migrations must reach it, and apply the way the runner promises."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import psycopg.conninfo
import pytest

from milo_billing.infra import migrations
from milo_billing.infra.bootstrap import ROLES, UnableToBootstrap, bootstrap
from milo_billing.infra.database import connect
from milo_billing.infra.migrations import (
    Migration,
    NewerSchema,
    UnableToMigrate,
    find_applied,
    list_migrations,
    migrate,
)
from milo_billing.infra.postgres.binaries import find_binaries
from tests.conftest import TestServer

NOW = datetime(2026, 10, 1, tzinfo=UTC)


@pytest.fixture
def empty_database(postgres: TestServer, worker_id: str) -> Iterator[str]:
    name = f"empty_{worker_id}"
    yield postgres.create(name)
    postgres.drop(name)


def dump(conninfo: str) -> str:
    """The schema as pg_dump writes it, without what differs from run to run."""
    program = find_binaries(None, copies=None).program("pg_dump")
    answer = subprocess.run(
        [program, "--schema-only", "--restrict-key=same", "--dbname", conninfo],
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout


def test_the_migrations_reach_the_schema(clean_database: str, empty_database: str) -> None:
    assert migrate(empty_database, now=NOW, phase="pre")[0] == "0001_pre_initial"
    assert dump(empty_database) == dump(clean_database)


def test_applying_again_changes_nothing(empty_database: str) -> None:
    assert migrate(empty_database, now=NOW, phase="pre")
    assert migrate(empty_database, now=NOW, phase="pre") == ()
    with connect(empty_database, role="milo_owner") as tx:
        assert find_applied(tx) == {m.name: m.sha256 for m in list_migrations()}


def with_more(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As if this version had more migrations, each making a table of its own."""
    standing = list_migrations()
    more = tuple(Migration(name=name, text=f"create table infra.t_{name} ();") for name in names)
    monkeypatch.setattr(migrations, "list_migrations", lambda: (*standing, *more))


def test_post_waits_for_its_command(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(empty_database, now=NOW, phase="pre")
    with_more(monkeypatch, "0002_pre_a", "0003_post_b")
    assert migrate(empty_database, now=NOW, phase="pre") == ("0002_pre_a",)
    assert migrate(empty_database, now=NOW, phase="post") == ("0003_post_b",)


def test_an_empty_database_gets_everything_in_order(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_more(monkeypatch, "0002_post_a", "0003_pre_b")
    assert migrate(empty_database, now=NOW, phase="pre")[1:] == ("0002_post_a", "0003_pre_b")


def test_a_pre_that_stands_on_a_post_waits_for_it(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(empty_database, now=NOW, phase="pre")
    with_more(monkeypatch, "0002_post_a", "0003_pre_b")
    with pytest.raises(UnableToMigrate, match="migrate --post"):
        migrate(empty_database, now=NOW, phase="pre")


def test_post_is_refused_while_an_older_process_lives(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(empty_database, now=NOW, phase="pre")
    with_more(monkeypatch, "0002_post_a")
    with connect(empty_database, role="milo_app") as tx:
        tx.execute(
            "insert into infra.heartbeats values (gen_random_uuid(), 'api', '0.0.9', '0001_pre_initial', now())"
        )
    with pytest.raises(UnableToMigrate, match=r"api 0\.0\.9"):
        migrate(empty_database, now=NOW, phase="post")
    with connect(empty_database, role="milo_app") as tx:
        tx.execute("update infra.heartbeats set seen_at = now() - interval '2 minutes'")
    assert migrate(empty_database, now=NOW, phase="post") == ("0002_post_a",)


def test_a_database_of_a_newer_version_is_refused(empty_database: str) -> None:
    migrate(empty_database, now=NOW, phase="pre")
    with connect(empty_database, role="milo_owner") as tx:
        tx.execute("insert into infra.migrations values ('9999_pre_future', 'x', now())")
    with pytest.raises(NewerSchema, match="9999_pre_future"):
        migrate(empty_database, now=NOW, phase="pre")


def test_a_migration_that_was_changed_after_it_was_applied_is_refused(empty_database: str) -> None:
    migrate(empty_database, now=NOW, phase="pre")
    with connect(empty_database, role="milo_owner") as tx:
        tx.execute("update infra.migrations set sha256 = 'x'")
    with pytest.raises(UnableToMigrate, match="0001_pre_initial"):
        migrate(empty_database, now=NOW, phase="pre")


def test_a_migration_that_fails_leaves_nothing_behind(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(empty_database, now=NOW, phase="pre")
    before = dump(empty_database)
    standing = list_migrations()
    broken = Migration(name="0002_pre_broken", text="create table infra.half (); select 1 / 0;")
    monkeypatch.setattr(migrations, "list_migrations", lambda: (*standing, broken))
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_database, now=NOW, phase="pre")
    assert dump(empty_database) == before


def test_the_login_user_is_in_every_role_also_the_second_time(empty_database: str) -> None:
    for _ in range(2):
        with connect(empty_database, role=None, autocommit=True) as tx:
            bootstrap(tx)
    for role in ROLES:
        with connect(empty_database, role=None, autocommit=True) as tx:
            tx.execute(f"set role {role}".encode())
            assert tx.execute("select current_user").fetchone() == (role,)


def test_a_login_without_rights_is_told_what_to_ask_for(postgres: TestServer, empty_database: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(empty_database)["dbname"]
    superuser = postgres.server.conninfo(user="postgres", database=str(name))
    with connect(superuser, role=None, autocommit=True) as tx:
        tx.execute("drop role if exists stranger")
        tx.execute("create role stranger login")
        tx.execute("set session authorization stranger")
        # info.user stays who connected, so the message is checked through the role it names
        with pytest.raises(UnableToBootstrap, match="let an administrator run"):
            bootstrap(tx)
        tx.execute("reset session authorization")
        tx.execute("drop role stranger")


@pytest.mark.parametrize("name", ["1_pre_x.sql", "0002_during_x.sql", "0002_pre_X.sql"])
def test_a_file_with_another_name_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / name).touch()
    monkeypatch.setattr(migrations, "database_files", lambda: tmp_path)
    with pytest.raises(UnableToMigrate, match=name):
        list_migrations()
