"""One PostgreSQL a test run, one database a worker, one transaction or one fresh database a test.

The server is the embedded one, started by the first test that needs it and shared by the xdist workers; it lives in
a folder of its own that goes away with the run. Nothing here is a fake.
"""

import contextlib
import dataclasses
import fcntl
import itertools
import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import psycopg
import psycopg.conninfo
import pytest
from hypothesis import HealthCheck, Phase, settings

from milo_billing.infra.bootstrap import bootstrap
from milo_billing.infra.database import Databases, Tx, connect, open_databases, reach_text
from milo_billing.infra.migrations import database_files
from milo_billing.infra.postgres.folder import LOGIN, SUPERUSER
from milo_billing.infra.postgres.server import PostgresServer, find_postmaster, start
from milo_billing.infra.settings import surroundings
from tests.standing import PREFIX as STANDING
from tests.standing import Stand, Standing, last_of

# a machine that does something else besides must not fail a property; more examples: --hypothesis-profile nightly
settings.register_profile("house", deadline=None)
settings.register_profile("nightly", deadline=None, max_examples=2000)
# of tests.mutation: thousands of runs, each with the same few examples and without a search for the smallest
settings.register_profile(
    "mutation",
    deadline=None,
    max_examples=10,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("house")

RUN_FOLDER = "MILO_BILLING_TEST_RUN_FOLDER"
PREFIX = "milo-billing-test-"
TEMPLATE = "milo_template"
MEMORY_BYTES_MIN = 4 * 1024**3


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    _remove_folders_of_killed_runs()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=base_folder()))
    folder.chmod(0o711)  # our own: PostgreSQL's user passes through it
    os.environ[RUN_FOLDER] = str(folder)  # the workers inherit it


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _remove_run_folder(Path(os.environ.pop(RUN_FOLDER)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("early") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let no other worker run a test beside one that is marked `alone`."""
    folder = Path(os.environ[RUN_FOLDER])
    with (folder / "door.lock").open("w") as door, (folder / "room.lock").open("w") as room:
        # whoever waits for an empty room keeps the door, or the others would go in and out for ever
        fcntl.flock(door, fcntl.LOCK_EX)
        if item.get_closest_marker("alone") is None:
            fcntl.flock(room, fcntl.LOCK_SH)
            fcntl.flock(door, fcntl.LOCK_UN)
        else:
            fcntl.flock(room, fcntl.LOCK_EX)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test on real data that was skipped counts as failed, whatever its reason."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and item.get_closest_marker("shared") is not None:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI=true: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which folders took longer than tests/budget.toml grants them."""
    budget = tomllib.loads((Path(__file__).parent / "budget.toml").read_text())
    used: dict[str, float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                folder = report.nodeid.split("/")[1]
                used[folder] = used.get(folder, 0.0) + report.duration
    for folder, seconds in sorted(used.items()):
        if seconds > budget.get(folder, float("inf")):
            terminalreporter.write_line(
                f"tests/{folder} took {seconds:.0f} s, its budget is {budget[folder]} s"
            )


def base_folder() -> Path:
    """In memory where there is room: making a database there is twenty times as fast."""
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY_BYTES_MIN
    return memory if roomy else Path(tempfile.gettempdir())


def _remove_folders_of_killed_runs() -> None:
    places = {
        base_folder(),
        Path(tempfile.gettempdir()),
    }  # a run before this one may have found no room in memory
    for folder in (found for place in places for found in place.glob(f"{PREFIX}*-*")):
        pid = folder.name.removeprefix(PREFIX).split("-")[0]
        if not pid.isdecimal() or folder.stat().st_uid != os.geteuid():
            continue
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            _remove_run_folder(folder)


def _remove_run_folder(folder: Path) -> None:
    for data in (folder, *folder.glob("*"), *folder.glob("*/*")):
        _stop_server(data)
    shutil.rmtree(folder, ignore_errors=True)


def _stop_server(data: Path) -> None:
    """Stop the PostgreSQL of a data folder, if it has one."""
    found = find_postmaster(data / "postgres")
    if found is not None:
        folder = data / "postgres"
        PostgresServer(folder=folder, socket_dir=found.socket_dir, pid=found.pid, child=None).stop()
        shutil.rmtree(found.socket_dir, ignore_errors=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    """One worker at a time."""
    with (folder / "run.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclasses.dataclass
class TestServer:
    """The server of the run: the login user that the service would use has `conninfo`."""

    __test__ = False
    server: PostgresServer
    _superuser: Tx | None = None

    def conninfo(self, database: str) -> str:
        return self.server.conninfo(database=database)

    def execute(self, statement: str) -> None:
        """As the superuser: dropping a database may mean to end an autovacuum worker in it."""
        if (
            self._superuser is None
        ):  # and kept: to connect each time was a sixth of what a test's database costs
            conninfo = self.server.conninfo(user=SUPERUSER, database="postgres")
            self._superuser = connect(conninfo, role=None, autocommit=True)
        self._superuser.execute(statement.encode())

    def close(self) -> None:
        """Let go of the connection; the server stays."""
        if self._superuser is not None:
            self._superuser.close()

    def create(self, database: str, *, template: str = "template1") -> str:
        """A new database of the login user, in the place of one of that name; how to connect to it."""
        self.drop(database)
        self.execute(f"create database {database} owner {LOGIN} template {template} strategy file_copy")
        return self.conninfo(database)

    def clone(self, database: str) -> str:
        """A new database with the schema and nothing in it; how to connect to it."""
        return self.create(database, template=TEMPLATE)

    def drop(self, database: str) -> None:
        self.execute(f"drop database if exists {database} with (force)")


def make_template(server: TestServer) -> None:
    """Have the template database that `clone` copies."""
    with psycopg.connect(server.conninfo(LOGIN), autocommit=True) as tx:
        if tx.execute("select from pg_database where datname = %s", (TEMPLATE,)).fetchone() is not None:
            return
    building = f"{TEMPLATE}_building"
    server.create(building)
    with connect(server.conninfo(building), role=None, autocommit=True) as tx:
        bootstrap(tx)
    with connect(server.conninfo(building), role="milo_owner") as tx:
        tx.execute((database_files() / "schema.sql").read_bytes())
    with connect(server.conninfo(building), role=None):
        pass  # the first connection after the last definition writes down what all others would have to find out
    server.execute(f"alter database {building} rename to {TEMPLATE}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[TestServer]:
    """The embedded server of this run, with the template database that `clone` copies."""
    folder = Path(os.environ[RUN_FOLDER])
    with _alone(folder):
        server = TestServer(start(folder, around=surroundings(), fsync=False))
        server.server.let_go()  # the other workers use it, also after this one
        make_template(server)
    yield server
    server.close()


@pytest.fixture(scope="session")
def database_url(postgres: TestServer, worker_id: str) -> str:
    """A database of this worker. Tests leave nothing in it: they work in `tx` and are rolled back."""
    return postgres.clone(f"test_{worker_id}")


@pytest.fixture
def tx(database_url: str) -> Iterator[Tx]:
    """A transaction as milo_app that sees every organization; rolled back after the test."""
    with _rolled_back(database_url, "milo_app") as tx:
        yield tx


@pytest.fixture
def owner_tx(database_url: str) -> Iterator[Tx]:
    """A transaction as milo_owner, whom row-level security does not bind; rolled back after the test."""
    with _rolled_back(database_url, "milo_owner") as tx:
        yield tx


@contextlib.contextmanager
def _rolled_back(conninfo: str, role: str) -> Generator[Tx]:
    assert role in ("milo_app", "milo_owner")
    tx = connect(conninfo, role=role)
    try:
        tx.execute("select set_config('milo.reach', %s, true)", (reach_text("*"),))
        yield tx
        tx.rollback()
    finally:
        tx.close()


@pytest.fixture(scope="session")
def stand(postgres: TestServer, worker_id: str, tmp_path_factory: pytest.TempPathFactory) -> Stand:
    """Makes what tests of this worker begin with; see tests/standing.py."""
    numbers = itertools.count(1)

    def make(declare: Callable[[Databases, Path], object], *, upon: Standing | None = None) -> Standing:
        database, folder = f"{STANDING}{worker_id}_{next(numbers)}", tmp_path_factory.mktemp("standing")
        conninfo = postgres.create(database, template=TEMPLATE if upon is None else upon.database)
        if upon is not None:
            upon.lend_keys(folder)
        databases = open_databases(conninfo, pool_max=4)
        try:
            declare(databases, folder)
        finally:
            databases.close()
        return Standing(database, folder, upon)

    return make


@pytest.fixture
def clean_database(request: pytest.FixtureRequest, postgres: TestServer, worker_id: str) -> Iterator[str]:
    """A database of this test alone, for tests that must commit; how to connect to it.

    There is nothing in it but what stands already for a fixture of the test, whose keys are then in `tmp_path`.
    """
    name = f"clean_{worker_id}"
    begun = last_of(request.getfixturevalue(one) for one in request.fixturenames if one.startswith(STANDING))
    if begun is None:
        yield postgres.clone(name)
    else:
        begun.lend_keys(request.getfixturevalue("tmp_path"))
        yield postgres.create(name, template=begun.database)
    postgres.drop(name)


@pytest.fixture
def databases(clean_database: str) -> Iterator[Databases]:
    """Pools of every role on the `clean_database` of this test."""
    databases = open_databases(clean_database, pool_max=4)
    yield databases
    databases.close()


@pytest.fixture
def superuser_tx(postgres: TestServer, clean_database: str) -> Iterator[Tx]:
    """An autocommit connection as PostgreSQL's superuser on the `clean_database`, to kill connections and the like."""
    name = psycopg.conninfo.conninfo_to_dict(clean_database)["dbname"]
    conninfo = postgres.server.conninfo(user=SUPERUSER, database=str(name))
    with connect(conninfo, role=None, autocommit=True) as tx:
        yield tx


@pytest.fixture
def open_folder(worker_id: str) -> Iterator[Path]:
    """A short, empty folder that PostgreSQL's user can pass through, which pytest's own are not when run by root."""
    folder = Path(tempfile.mkdtemp(prefix=f"{worker_id}-", dir=os.environ[RUN_FOLDER]))
    folder.chmod(0o711)
    yield folder
    for data in (folder, *folder.iterdir()):
        _stop_server(data)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository. CI must have it; elsewhere the test is skipped."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{folder} is missing, and CI=true")
        pytest.skip(f"{folder} is not on this machine")
    return folder
