"""The server as a process: what it tells, and what happens when parts of it are killed."""

import contextlib
import json
import os
import re
import signal
import ssl
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from demo.server import Running, start_server

from milo_billing.app.storage import open_storage
from milo_billing.infra.database import connect
from milo_billing.infra.postgres.server import find_postmaster
from milo_billing.infra.settings import Settings
from tests.conftest import TestServer

LIMIT_S = 30.0
PROGRAM = str(Path(sys.executable).with_name("milo-billing"))


def start(folder: Path, **settings: str) -> Running:
    chosen = {"POSTGRES_FSYNC": "false", "SHUTDOWN_GRACE_S": "2", **settings}
    return start_server(folder / "data", log=folder / "log", settings=chosen)


@pytest.fixture
def server(open_folder: Path) -> Iterator[Running]:
    server = start(open_folder)
    yield server
    if server.process.poll() is None:
        server.stop()


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def eventually(true: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < until, f"not within {LIMIT_S:.0f} s: {what}"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def pids(server: Running) -> dict[str, int]:
    processes: dict[str, int] = server.announcement["processes"]
    return processes


def ready(server: Running) -> bool:
    return fetch(f"{server.health_url}/readyz")[0] == 200


def command(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    chosen = {
        "DATA_DIR": str(folder / "data"),
        "API_PORT": "0",
        "GATEWAY_PORT": "0",
        "HEALTH_PORT": "0",
        **settings,
    }
    environment = {f"MILO_BILLING_{name}": value for name, value in chosen.items()}
    return subprocess.run(
        [PROGRAM, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_server_that_is_ready_says_where_it_is(server: Running, open_folder: Path) -> None:
    said = json.loads((open_folder / "data" / "server.json").read_text())
    assert said == server.announcement
    assert said["pid"] == server.process.pid
    assert set(said["processes"]) == {"api", "gateway", "worker", "worker-2"}
    assert stat.S_IMODE(server.kubeconfig.stat().st_mode) == 0o600
    trusted = ssl.create_default_context(cafile=said["ca"])
    for door in ("api", "gateway"):
        with pytest.raises(urllib.error.HTTPError) as refused:  # that it answers is what counts here
            urllib.request.urlopen(f"{said[door]}/no/such/page", context=trusted, timeout=5)
        refused.value.close()
        assert refused.value.code in (401, 403, 404)


def test_the_health_door_speaks_for_all_processes(server: Running) -> None:
    assert fetch(f"{server.health_url}/livez") == (200, "ok\n")
    assert fetch(f"{server.health_url}/readyz") == (200, "ok\n")
    status, metrics = fetch(f"{server.health_url}/metrics")
    assert status == 200
    for process in ("supervisor", "api", "gateway", "worker", "worker-2"):
        assert f'process_resident_memory_bytes{{process="{process}"}}' in metrics
    assert fetch(f"{server.health_url}/elsewhere")[0] == 404


def test_a_second_server_on_the_folder_is_refused_with_the_pid_of_the_first(
    server: Running, open_folder: Path
) -> None:
    answer = command(open_folder, "serve")
    assert answer.returncode == 1
    assert f"pid {server.process.pid}" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert ready(server)


def test_a_port_that_is_taken_is_named_with_its_holder(server: Running, open_folder: Path) -> None:
    port = server.announcement["health"].rpartition(":")[2]
    answer = command(open_folder / "other", "serve", HEALTH_PORT=port, POSTGRES_FSYNC="false")
    assert answer.returncode == 1
    assert f"port {port}" in answer.stderr
    assert "MILO_BILLING_HEALTH_PORT" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_doctor_says_that_all_is_well_and_names_what_is_not(server: Running, open_folder: Path) -> None:
    well = command(open_folder, "doctor", "--output", "json")
    assert well.returncode == 0, well.stdout
    assert {finding["check"] for finding in json.loads(well.stdout)} >= {"server", "schema", "postgresql"}
    port = server.announcement["api"].rpartition(":")[2]
    ill = command(open_folder / "other", "doctor", "--output", "json", API_PORT=port)
    assert ill.returncode == 1
    problems = [finding for finding in json.loads(ill.stdout) if finding["problem"]]
    assert [finding["check"] for finding in problems] == ["ports"]
    assert f"port {port}" in problems[0]["text"]


def test_doctor_compares_projections_while_the_server_runs_and_when_it_has_stopped(
    server: Running, open_folder: Path
) -> None:
    for stopped in (False, True):
        if stopped:
            server.stop()  # doctor starts the database for a moment
        well = command(open_folder, "doctor", "--projections")
        assert well.returncode == 0, well.stdout
        assert re.search(r"ok +projections +\d+ objects of \d+ kinds compared", well.stdout)
    with (
        open_storage(Settings(data_dir=open_folder / "data")) as storage,
        connect(storage.conninfo, role="milo_owner") as tx,
    ):
        tx.execute("update access.roles set permissions = '{*}' where name = 'viewer'")
    ill = command(open_folder, "doctor", "--projections")
    assert ill.returncode == 1
    (line,) = (line for line in ill.stdout.splitlines() if line.startswith("WRONG"))
    for part in (
        "access.roles, role viewer",
        "expected {",
        'found {"permissions": ["*"]}',
        "write the object again",
    ):
        assert part in line


def test_doctor_names_a_data_folder_of_a_newer_postgres(open_folder: Path) -> None:
    start(open_folder).stop()
    (open_folder / "data" / "postgres" / "PG_VERSION").write_text("99\n")
    answer = command(open_folder, "doctor")
    assert answer.returncode == 1
    assert "PostgreSQL 99, which is newer" in answer.stdout


def test_sigterm_ends_everything_and_takes_the_announcement_away(server: Running, open_folder: Path) -> None:
    postmaster = find_postmaster(open_folder / "data" / "postgres")
    assert postmaster is not None
    server.stop()
    assert server.process.returncode == 0
    assert not (open_folder / "data" / "server.json").exists()
    for pid in (*pids(server).values(), postmaster.pid):
        assert gone(pid)


def test_the_next_start_keeps_the_administrators_token(open_folder: Path) -> None:
    first = start(open_folder)
    token = first.connection().token
    first.stop()
    second = start(open_folder)
    assert second.connection().token == token
    second.stop()


@pytest.mark.long
@pytest.mark.parametrize("process", ["api", "gateway", "worker"])
def test_a_killed_process_is_started_again(process: str, server: Running) -> None:
    os.kill(pids(server)[process], signal.SIGKILL)
    eventually(lambda: not ready(server), "the server notices")
    eventually(lambda: ready(server), "the process is back")
    assert server.process.poll() is None


@pytest.mark.long
def test_a_killed_postgres_is_started_again(server: Running, open_folder: Path) -> None:
    before = find_postmaster(open_folder / "data" / "postgres")
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)

    def back() -> bool:
        now = find_postmaster(open_folder / "data" / "postgres")
        return now is not None and now.pid != before.pid and ready(server)

    eventually(back, "PostgreSQL is back and the server ready")


@pytest.mark.long
def test_a_killed_server_leaves_only_postgres_which_the_next_one_takes_over(
    server: Running, open_folder: Path
) -> None:
    postmaster = find_postmaster(open_folder / "data" / "postgres")
    assert postmaster is not None
    server.process.kill()
    server.process.wait()
    if server.process.stdout is not None:
        server.process.stdout.close()
    eventually(
        lambda: all(gone(pid) for pid in pids(server).values()), "the processes end with their supervisor"
    )
    assert not gone(postmaster.pid)
    again = start(open_folder)
    found = find_postmaster(open_folder / "data" / "postgres")
    assert found is not None
    assert found.pid == postmaster.pid
    again.stop()
    assert gone(postmaster.pid)


@pytest.mark.parametrize("command_", ["serve", "migrate", "doctor"])
def test_a_database_that_is_away_is_said_in_a_line(command_: str, open_folder: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "MILO_BILLING_DATA_DIR": str(open_folder / "data")}
    environment["DATABASE_URL"] = f"host={open_folder}/nowhere user=somebody"
    environment |= {f"MILO_BILLING_{name}_PORT": "0" for name in ("API", "GATEWAY", "HEALTH")}
    answer = subprocess.run([PROGRAM, command_], env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "cannot connect to the database" in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr


def test_one_role_alone_needs_a_database_to_share(open_folder: Path) -> None:
    answer = command(open_folder, "serve", "--role", "api")
    assert answer.returncode == 1
    assert "DATABASE_URL" in answer.stderr


@pytest.fixture
def other_postgres(postgres: TestServer, worker_id: str) -> Iterator[str]:
    """An empty database of a PostgreSQL that is not the server's own."""
    name = f"served_{worker_id}"
    yield postgres.create(name)
    postgres.drop(name)


@contextlib.contextmanager
def serving(data_dir: Path, database_url: str, *arguments: str) -> Generator[dict[str, Any]]:
    """A server over DATABASE_URL; what it said when it was ready."""
    environment = {f"MILO_BILLING_{name}_PORT": "0" for name in ("API", "GATEWAY", "HEALTH")}
    environment |= {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "MILO_BILLING_DATA_DIR": str(data_dir),
    }
    command = [PROGRAM, "serve", "--output", "json", *arguments]
    log = data_dir.with_suffix(".log")
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        yield json.loads(line)
        process.terminate()


def test_processes_run_apart_over_another_postgres(other_postgres: str, open_folder: Path) -> None:
    with (
        serving(open_folder / "one", other_postgres, "--role", "api") as api,
        serving(open_folder / "two", other_postgres, "--role", "worker") as worker,
    ):
        assert set(api["processes"]) == {"api"}
        assert set(worker["processes"]) == {"worker", "worker-2"}
        assert fetch(f"{api['health']}/readyz")[0] == fetch(f"{worker['health']}/readyz")[0] == 200
        assert not (open_folder / "one" / "postgres").exists()
        with connect(other_postgres, role="milo_app") as tx:
            seen = tx.execute("select role from infra.heartbeats order by role").fetchall()
        assert seen == [("api",), ("worker",), ("worker",)]
    with connect(other_postgres, role="milo_app") as tx:
        assert tx.execute("select count(*) from infra.heartbeats").fetchone() == (0,)


def test_migrate_applies_once_and_says_so(other_postgres: str, open_folder: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": other_postgres}
    environment["MILO_BILLING_DATA_DIR"] = str(open_folder)
    said = [
        subprocess.run(
            [PROGRAM, "migrate", *more], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for more in ([], [], ["--output", "json"], ["--output", "yaml"])
    ]
    assert said[:2] == ["applied 0001_pre_initial\n", "nothing to apply\n"]
    assert [json.loads(said[2]), said[3]] == [{"applied": []}, "applied: []\n"]
