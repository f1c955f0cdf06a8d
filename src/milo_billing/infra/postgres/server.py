"""Start the PostgreSQL on a data folder, or take over the one that runs there; stop it."""

import contextlib
import os
import signal
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from milo_billing.infra import places
from milo_billing.infra.clock import monotonic_s
from milo_billing.infra.postgres import folder as data_folder
from milo_billing.infra.postgres.binaries import Binaries, find_binaries
from milo_billing.infra.postgres.errors import (
    FolderInUse,
    FolderNotOwned,
    SocketPathTooLong,
    UnableToStartPostgres,
)
from milo_billing.infra.postgres.operator import Operator, find_operator, require_traversable

PORT = 5432
"""Only a part of the socket's name: there is no TCP."""

START_LIMIT_S = 600.0
"""Recovery after a crash replays up to max_wal_size; it must be let finish."""

STOP_LIMIT_S = 60.0
_POLL_S = 0.01
_STARTUP_LOG = "postgres-start.log"


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What `postmaster.pid` says of a server: it stands there from start to stop, and after a kill -9."""

    pid: int
    socket_dir: Path
    status: str


def find_postmaster(folder: Path) -> Postmaster | None:
    """The live server on `folder`, or None. A file that a killed server left behind counts as none."""
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        pid = int(lines[0])
    except (FileNotFoundError, NotADirectoryError, ValueError, IndexError):
        return None
    if not _is_postgres(pid):
        return None
    socket_dir = Path(lines[4]) if len(lines) > 4 else Path()
    return Postmaster(
        pid=pid, socket_dir=socket_dir, status=lines[7].strip() if len(lines) > 7 else "starting"
    )


def _is_postgres(pid: int) -> bool:
    """Whether `pid` lives and is a PostgreSQL: after a reboot the number may be anybody's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return not Path("/proc/self").exists()  # no /proc on this system: trust the file
    name, _, rest = text.partition("(")[2].rpartition(")")
    return name.startswith("postgres") and not rest.strip().startswith("Z")


class PostgresServer:
    """One running server. Made by `start`; the service stops it with `stop`, a killed service leaves it running."""

    def __init__(
        self, *, folder: Path, socket_dir: Path, pid: int, child: "subprocess.Popen[bytes] | None"
    ) -> None:
        self.folder = folder
        self.socket_dir = socket_dir
        self.pid = pid
        self._child = child

    @property
    def adopted(self) -> bool:
        """Whether it ran already."""
        return self._child is None

    def conninfo(self, *, user: str = data_folder.LOGIN, database: str = data_folder.LOGIN) -> str:
        """How to connect: through the socket, as `user`, without a password."""
        return f"host={self.socket_dir} port={PORT} user={user} dbname={database}"

    def alive(self) -> bool:
        """Whether the server runs."""
        if self._child is not None:
            return self._child.poll() is None
        return _is_postgres(self.pid)

    def let_go(self) -> None:
        """Have it outlive this process, which from now on is as if it had found it running."""
        if self._child is not None:
            self._child.returncode = 0  # or Popen warns at its end of a child that it takes for forgotten
            self._child = None

    def stop(self) -> None:
        """Shut down: open transactions are rolled back, everything is written out. Returns when it is gone."""
        for how in (signal.SIGINT, signal.SIGQUIT):
            try:
                os.kill(self.pid, how)
            except ProcessLookupError:
                break
            if self.wait_gone():
                break
        else:
            raise UnableToStartPostgres(f"PostgreSQL (pid {self.pid}) does not stop")
        if self._child is not None:
            self._child.wait()
        with contextlib.suppress(
            OSError
        ):  # made again at the next start; not empty after SIGQUIT, which is no harm
            self.socket_dir.rmdir()

    def wait_gone(self) -> bool:
        """Wait until it has ended; False if it does not within the limit."""
        until = monotonic_s() + STOP_LIMIT_S
        while self.alive():
            if monotonic_s() > until:
                return False
            time.sleep(_POLL_S)
        return True


def start(
    data_dir: Path,
    *,
    bindir: Path | None = None,
    around: places.Surroundings,
    fsync: bool = True,
) -> PostgresServer:
    """Have a PostgreSQL running on `data_dir`/postgres; the caller holds the lock of `data_dir`.

    A server that runs there is taken over if it is of our version. Also makes the login user and its database.
    Raises an UnableToStartPostgres that says what to do.
    """
    operator = find_operator()
    binaries = find_binaries(bindir, copies=places.cache_dir(around) if operator.dropped else None)
    folder = data_dir / "postgres"
    socket_dir = places.socket_dir(around, data_dir=data_dir)
    _require_short(socket_dir)
    data_folder.prepare(folder, binaries=binaries, operator=operator, fsync=fsync)
    _make_socket_dir(socket_dir, operator=operator)
    server = _adopt(folder, socket_dir=socket_dir, binaries=binaries)
    if server is None:
        server = _launch(folder, socket_dir=socket_dir, binaries=binaries, operator=operator, fsync=fsync)
    try:
        _create_login(server)
    except BaseException:
        if not server.adopted:
            server.stop()
        raise
    return server


def _require_short(socket_dir: Path) -> None:
    path = socket_dir / f".s.PGSQL.{PORT}"
    if len(str(path).encode()) > places.SOCKET_PATH_BYTES_MAX:
        raise SocketPathTooLong(path=path, bytes_max=places.SOCKET_PATH_BYTES_MAX)


def _make_socket_dir(socket_dir: Path, *, operator: Operator) -> None:
    parent = socket_dir.parent
    parent.mkdir(mode=0o755 if operator.dropped else 0o700, parents=True, exist_ok=True)
    if operator.dropped:
        parent.chmod(0o755)  # ours alone, under /run; a strict umask would close it
    found = parent.lstat()
    # the fallback lies in a folder that everybody may write to: somebody else may have been there first
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise FolderNotOwned(folder=parent, owner=str(found.st_uid), wanted=operator.name)
    require_traversable(socket_dir, operator=operator)
    operator.take(socket_dir)


def _adopt(folder: Path, *, socket_dir: Path, binaries: Binaries) -> PostgresServer | None:
    found = find_postmaster(folder)
    until = monotonic_s() + START_LIMIT_S
    while found is not None and found.status != "ready":
        if monotonic_s() > until:
            raise FolderInUse(folder=folder, pid=found.pid, reason=f"stays {found.status}")
        time.sleep(_POLL_S)
        found = find_postmaster(folder)
    if found is None:
        return None
    if found.socket_dir != socket_dir:
        raise FolderInUse(
            folder=folder, pid=found.pid, reason=f"listens in {found.socket_dir}, not in {socket_dir}"
        )
    server = PostgresServer(folder=folder, socket_dir=socket_dir, pid=found.pid, child=None)
    try:
        with psycopg.connect(_setup_conninfo(server), autocommit=True, connect_timeout=10) as tx:
            row = tx.execute("show server_version").fetchone()
    except psycopg.OperationalError as error:
        raise FolderInUse(folder=folder, pid=found.pid, reason=f"does not let us in ({error})") from error
    version = str(row[0]).split()[0] if row else "unknown"
    if version != binaries.version:
        raise FolderInUse(
            folder=folder, pid=found.pid, reason=f"is version {version}, not {binaries.version}"
        )
    return server


def _launch(
    folder: Path, *, socket_dir: Path, binaries: Binaries, operator: Operator, fsync: bool
) -> PostgresServer:
    command: list[str | Path] = [
        binaries.program("postgres"),
        "-D",
        folder,
        "-k",
        socket_dir,
        "-p",
        str(PORT),
    ]
    for name, value in data_folder.settings(fsync=fsync).items():
        command += ["-c", f"{name}={value}"]
    startup_log = folder.parent / _STARTUP_LOG
    with startup_log.open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=data_folder.ENVIRONMENT,
            # a Ctrl-C at the terminal is for the service, which then stops the server itself
            start_new_session=True,
            **operator.spawn_arguments(),
        )
    try:
        _wait_ready(child, folder=folder, startup_log=startup_log)
    except BaseException:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            child.wait()
        raise
    return PostgresServer(folder=folder, socket_dir=socket_dir, pid=child.pid, child=child)


def _wait_ready(child: "subprocess.Popen[bytes]", *, folder: Path, startup_log: Path) -> None:
    until = monotonic_s() + START_LIMIT_S
    while True:
        if child.poll() is not None:
            raise data_folder.explain(_last_words(folder, startup_log), folder=folder)
        found = find_postmaster(folder)
        if found is not None and found.pid == child.pid and found.status == "ready":
            return
        if monotonic_s() > until:
            raise UnableToStartPostgres(
                f"PostgreSQL was not ready within {START_LIMIT_S:.0f} s; see {startup_log}"
            )
        time.sleep(_POLL_S)


def _last_words(folder: Path, startup_log: Path) -> str:
    """What the server wrote: before its log collector ran, to the startup log, after that to the newest log file."""
    words = startup_log.read_text(errors="replace")
    logs = sorted((folder / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
    return words + (logs[-1].read_text(errors="replace")[-2000:] if logs else "")


def _setup_conninfo(server: PostgresServer) -> str:
    return server.conninfo(user=data_folder.SUPERUSER, database="postgres")


def _create_login(server: PostgresServer) -> None:
    """Make the user that the service logs in as, and its database: the same rights that DATABASE_URL needs."""
    login = data_folder.LOGIN
    with psycopg.connect(_setup_conninfo(server), autocommit=True, connect_timeout=10) as tx:
        if tx.execute("select from pg_roles where rolname = %s", (login,)).fetchone() is None:
            tx.execute(f"create role {login} login createrole createdb".encode())
        if tx.execute("select from pg_database where datname = %s", (login,)).fetchone() is None:
            tx.execute(f"create database {login} owner {login}".encode())
