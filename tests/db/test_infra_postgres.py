"""The launcher, with real servers in folders of their own: what goes wrong on machines, by name."""

import dataclasses
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from milo_billing.infra.clock import monotonic_s
from milo_billing.infra.postgres import server as launcher
from milo_billing.infra.postgres.binaries import Binaries, find_binaries
from milo_billing.infra.postgres.errors import (
    DiskFull,
    FolderInUse,
    FolderNotTraversable,
    NoBinaries,
    OtherVersion,
    SocketPathTooLong,
    UnableToStartPostgres,
)
from milo_billing.infra.postgres.folder import explain
from milo_billing.infra.postgres.operator import SYSTEM_USER, find_operator, require_traversable
from milo_billing.infra.postgres.server import PostgresServer, find_postmaster
from milo_billing.infra.settings import surroundings

as_root = pytest.mark.skipif("os.geteuid() != 0", reason="only root can become another user")


def start(folder: Path) -> PostgresServer:
    return launcher.start(folder, around=surroundings(), fsync=False)


@pytest.fixture
def server(open_folder: Path) -> Iterator[PostgresServer]:
    server = start(open_folder)
    yield server
    server.stop()


def value(server: PostgresServer, query: str) -> object:
    with psycopg.connect(server.conninfo()) as tx:
        row = tx.execute(query.encode()).fetchone()
        return row[0] if row else None


def test_the_login_user_is_no_superuser_and_owns_its_database(server: PostgresServer) -> None:
    query = "select rolsuper::text || pg_get_userbyid(datdba) from pg_roles, pg_database"
    assert (
        value(server, f"{query} where rolname = current_user and datname = current_database()")
        == "falsemilo_billing"
    )


def test_there_is_no_tcp_and_no_way_in_for_others(server: PostgresServer) -> None:
    assert value(server, "show listen_addresses") == ""
    assert oct(server.socket_dir.stat().st_mode & 0o777) == "0o700"
    assert oct((server.folder).stat().st_mode & 0o777) == "0o700"
    rules = (server.folder / "pg_hba.conf").read_text()
    assert "peer" in rules
    assert "trust" not in rules


def test_what_was_committed_is_there_after_stop_and_start(open_folder: Path) -> None:
    first = start(open_folder)
    with psycopg.connect(first.conninfo()) as tx:
        tx.execute("create table kept as select 42 as answer")
    first.stop()
    assert find_postmaster(open_folder / "postgres") is None
    second = start(open_folder)
    assert value(second, "select answer from kept") == 42
    # and one that was let go ends like one that was found running; Popen warns of none, or this fails
    second.let_go()
    assert second.adopted and second.alive()
    second.stop()
    assert not second.alive() and find_postmaster(open_folder / "postgres") is None


def test_what_was_committed_is_there_after_kill_9(open_folder: Path) -> None:
    first = launcher.start(open_folder, around=surroundings())
    with psycopg.connect(first.conninfo()) as tx:
        tx.execute("create table kept as select 42 as answer")
    os.kill(first.pid, signal.SIGKILL)
    until = monotonic_s() + 10
    while first.alive():
        assert monotonic_s() < until
    second = launcher.start(open_folder, around=surroundings())
    assert not second.adopted
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert value(second, f"show {setting}") == "on"
    assert value(second, "select answer from kept") == 42
    second.stop()


def test_a_running_server_of_our_version_is_taken_over(server: PostgresServer, open_folder: Path) -> None:
    again = start(open_folder)
    assert again.adopted
    assert again.pid == server.pid
    assert value(again, "select 1") == 1


def test_a_running_server_of_another_version_is_refused_with_its_pid(
    server: PostgresServer, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = find_binaries(None, copies=None)
    other = dataclasses.replace(ours, version=f"{ours.major}.0")

    def find_other(_: Path | None, *, copies: Path | None) -> Binaries:
        return other

    monkeypatch.setattr(launcher, "find_binaries", find_other)
    with pytest.raises(FolderInUse, match=f"pid {server.pid}.*is version") as refused:
        start(open_folder)
    assert refused.value.pid == server.pid


def test_a_server_that_listens_elsewhere_is_refused_with_its_pid(
    server: PostgresServer, open_folder: Path
) -> None:
    elsewhere = dataclasses.replace(surroundings(), root=False, runtime_dir=open_folder / "r")
    with pytest.raises(FolderInUse, match=f"pid {server.pid}.*listens in"):
        launcher.start(open_folder, around=elsewhere, fsync=False)


@pytest.mark.parametrize(("found", "word"), [("99", "newer"), ("14", "older")])
def test_a_folder_of_another_major_version_is_refused(found: str, word: str, open_folder: Path) -> None:
    start(open_folder).stop()
    (open_folder / "postgres" / "PG_VERSION").write_text(f"{found}\n")
    with pytest.raises(OtherVersion, match=word):
        start(open_folder)


def test_a_folder_of_somebody_elses_files_is_left_alone(open_folder: Path) -> None:
    (open_folder / "postgres").mkdir()
    (open_folder / "postgres" / "thesis.txt").write_text("years of work")
    with pytest.raises(UnableToStartPostgres, match="choose another"):
        start(open_folder)
    assert (open_folder / "postgres" / "thesis.txt").exists()


def test_an_interrupted_first_start_leaves_nothing_in_the_way(open_folder: Path) -> None:
    (open_folder / "postgres.new").mkdir()
    (open_folder / "postgres.new" / "PG_VERSION").write_text("18\n")
    start(open_folder).stop()


def test_a_socket_path_that_is_too_long_is_refused_before_anything_is_made(open_folder: Path) -> None:
    far = dataclasses.replace(surroundings(), root=False, runtime_dir=open_folder / ("x" * 100))
    with pytest.raises(SocketPathTooLong, match="at most 107"):
        launcher.start(open_folder / "data", around=far, fsync=False)
    assert not (open_folder / "data").exists()


def test_a_full_disk_is_named(open_folder: Path) -> None:
    words = 'FATAL:  could not write to file "pg_wal/xlogtemp.1": No space left on device'
    assert isinstance(explain(words, folder=open_folder), DiskFull)


def test_a_bindir_without_postgres_is_named(open_folder: Path) -> None:
    with pytest.raises(NoBinaries, match="is not a program"):
        find_binaries(open_folder, copies=None)


@as_root
def test_as_root_the_server_runs_as_its_own_user_from_a_copy_of_the_binaries(server: PostgresServer) -> None:
    command = Path(f"/proc/{server.pid}").stat()
    assert pwd.getpwuid(command.st_uid).pw_name == SYSTEM_USER
    assert Path(f"/proc/{server.pid}/exe").resolve().is_relative_to("/var/cache/milo-billing")


@as_root
def test_a_folder_that_postgres_cannot_pass_through_is_named_and_not_opened(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(FolderNotTraversable, match=str(closed)):
        start(closed / "deep" / "data")
    assert oct(closed.stat().st_mode & 0o777) == "0o700"
    with pytest.raises(FolderNotTraversable):
        require_traversable(closed / "data", operator=find_operator())


AS_NOBODY = """
import os, pwd, sys
from pathlib import Path
import psycopg
from milo_billing.infra import places
from milo_billing.infra.postgres.binaries import Binaries, find_binaries
from milo_billing.infra.postgres.server import start
from milo_billing.infra.settings import surroundings

# the environment may lie where nobody can read it, so what it holds is loaded before the change of user
bindir = find_binaries(None, copies=places.cache_dir(surroundings())).bindir
user = pwd.getpwnam("nobody")
os.setgroups([]), os.setgid(user.pw_gid), os.setuid(user.pw_uid)
server = start(Path(sys.argv[1]), bindir=bindir, around=surroundings(), fsync=False)
with psycopg.connect(server.conninfo()) as tx:
    print(tx.execute("select current_user").fetchone()[0], Path(f"/proc/{server.pid}").owner(), server.socket_dir)
server.stop()
"""


@as_root
def test_an_ordinary_user_runs_a_server_of_their_own(open_folder: Path) -> None:
    shutil.chown(open_folder, "nobody")
    answer = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(open_folder / "data")],
        env={"XDG_RUNTIME_DIR": str(open_folder), "HOME": str(open_folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stderr == ""
    login, system, socket_dir = answer.stdout.split()
    assert (login, system) == ("milo_billing", "nobody")
    assert Path(socket_dir).is_relative_to(open_folder)
