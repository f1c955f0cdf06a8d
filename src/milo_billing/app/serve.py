"""`milo-billing serve`: from nothing to ready, and back.

The order: lock the data folder, open the doors, start PostgreSQL, migrate, certificates, the administrator's token;
then the supervisor forks the processes. What can fail for a reason outside fails before anything is forked.
"""

import gc
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import structlog

from milo_billing.app import processes, wiring
from milo_billing.app.administrator import ensure_administrator
from milo_billing.app.health import HealthDoor, problems
from milo_billing.app.kubeconfig import write_server_file
from milo_billing.app.ports import listen
from milo_billing.app.storage import Storage, open_storage, start_embedded
from milo_billing.app.supervisor import BACKOFF_MAX_S, BACKOFF_MIN_S, Run, Supervisor
from milo_billing.infra.certificates import Certificates, ensure_certificates
from milo_billing.infra.clock import SystemClock, monotonic_s
from milo_billing.infra.migrations import migrate
from milo_billing.infra.postgres.errors import UnableToStartPostgres
from milo_billing.infra.runtime import PROCESS_ROLES, ProcessRole
from milo_billing.infra.settings import Settings
from milo_billing.infra.telemetry import configure_logging
from milo_billing.kernel.errors import MiloError

TICK_S = 0.5
TICK_STARTING_S = 0.02
RENEWAL_CHECK_S = 3600.0
SERVER_FILE = "server.json"

_log = structlog.get_logger(__name__)


class UnableToServe(MiloError):
    """The settings contradict each other."""


@dataclass(frozen=True, slots=True)
class Doors:
    """The listening sockets; only those that the chosen roles need."""

    api: socket.socket | None
    gateway: socket.socket | None
    health: socket.socket


def serve(
    settings: Settings,
    *,
    roles: Sequence[ProcessRole] = PROCESS_ROLES,
    new_admin_token: bool = False,
    on_ready: Callable[[dict[str, Any]], None],
) -> None:
    """Run the server until SIGTERM or SIGINT; `on_ready` gets what server.json says once every process is ready.

    `new_admin_token` replaces the administrator's token where this data folder has no kubeconfig with it.
    Raises a MiloError that says what to do when it cannot start.
    """
    if set(roles) != set(PROCESS_ROLES) and settings.database_url is None:
        raise UnableToServe(
            "--role runs one process of several over one database: set DATABASE_URL to it; without --role the server"
            " runs all processes and its own PostgreSQL"
        )
    configure_logging(level=settings.log_level, process="supervisor")
    signal.signal(signal.SIGTERM, _give_up)  # until the supervisor has its own
    settings.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    if settings.directory_url is not None:
        wiring.open_directory(settings).close()  # its files can be read
    clock = settings.make_clock()
    with open_storage(settings) as storage:
        doors = _open_doors(settings, roles)
        migrate(storage.conninfo, now=SystemClock().now(), phase="pre" if storage.server is None else "all")
        certificates, _ = _certificates(settings)
        announcement = _announce(settings, doors, certificates)
        plan = processes.Plan(
            settings=settings, conninfo=storage.conninfo, clock=clock, certificates=certificates
        )
        if "api" in roles:
            ensure_administrator(
                processes.make_runtime(plan, role="api", connections_max=1),
                announcement=announcement,
                certificates=certificates,
                renew_token=new_admin_token or storage.server is not None,
            )
        server = _Server(settings, storage, doors, announcement, on_ready=on_ready)
        server.run(_runs(plan, doors, roles))
        # a second order to stop must not leave PostgreSQL running
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _give_up(_number: int, _frame: object) -> None:
    """SIGTERM before everything runs: unwind, so that what was started is stopped."""
    raise SystemExit(128 + signal.SIGTERM)


def _open_doors(settings: Settings, roles: Sequence[ProcessRole]) -> Doors:
    host = settings.host
    return Doors(
        api=listen(host, settings.api_port, setting="MILO_BILLING_API_PORT") if "api" in roles else None,
        gateway=listen(host, settings.gateway_port, setting="MILO_BILLING_GATEWAY_PORT")
        if "gateway" in roles
        else None,
        health=listen("127.0.0.1", settings.health_port, setting="MILO_BILLING_HEALTH_PORT"),
    )


def _certificates(settings: Settings) -> tuple[Certificates, bool]:
    names = (socket.gethostname(), *settings.certificate_names)
    # of TLS the real time counts, also when the server's own clock is simulated
    return ensure_certificates(settings.data_dir / "certificates", names=names, now=SystemClock().now())


def _announce(settings: Settings, doors: Doors, certificates: Certificates) -> dict[str, Any]:
    """What server.json says."""
    # clients on this machine cannot connect to "any address"
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host
    named = f"[{host}]" if ":" in host else host
    addresses = {
        name: f"{scheme}://{named if name != 'health' else '127.0.0.1'}:{door.getsockname()[1]}"
        for name, scheme, door in (
            ("api", "https", doors.api),
            ("gateway", "https", doors.gateway),
            ("health", "http", doors.health),
        )
        if door is not None
    }
    return {
        **addresses,
        "ca": str(certificates.authority),
        "kubeconfig": str(settings.data_dir / "kubeconfig"),
        "version": version("milo-billing"),
    }


def _runs(plan: processes.Plan, doors: Doors, roles: Sequence[ProcessRole]) -> dict[str, Run]:
    runs: dict[str, Run] = {}
    for role in roles:
        match role:
            case "api":
                assert doors.api is not None
                runs[role] = partial(_call, processes.run_api, plan, doors.api)
            case "gateway":
                assert doors.gateway is not None
                runs[role] = partial(_call, processes.run_gateway, plan, doors.gateway)
            case "worker":
                for number in range(1, plan.settings.worker_processes + 1):
                    runs[role if number == 1 else f"{role}-{number}"] = partial(_call_jobs, plan)
    return runs


def _call(run: Any, plan: processes.Plan, door: socket.socket, line: socket.socket) -> int:
    return run(plan, door=door, line=line)


def _call_jobs(plan: processes.Plan, line: socket.socket) -> int:
    return processes.run_jobs(plan, line=line)


class _Server:
    """The supervisor with what it looks after besides the processes: PostgreSQL, certificates, the announcement."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        doors: Doors,
        announcement: dict[str, Any],
        *,
        on_ready: Callable[[dict[str, Any]], None],
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._doors = doors
        self._announcement = announcement
        self._on_ready = on_ready
        self._ready = False
        self._next_renewal_s = monotonic_s() + RENEWAL_CHECK_S
        self._postgres_backoff_s = 0.0
        self._postgres_due_s = 0.0

    def run(self, runs: dict[str, Run]) -> None:
        """Until told to stop."""
        server_file = self._settings.data_dir / SERVER_FILE
        server_file.unlink(missing_ok=True)  # of a server that was killed
        health = HealthDoor(self._doors.health, ask=lambda question: supervisor.ask(question))
        supervisor = Supervisor(
            runs,
            doors=[(health.socket, health.serve)],
            on_tick=lambda: self._tick(supervisor),
            grace_s=self._settings.shutdown_grace_s,
        )
        # what was loaded so far never becomes garbage: the collector must not touch, and so copy, its pages
        gc.collect()
        gc.freeze()
        try:
            supervisor.run()
        finally:
            server_file.unlink(missing_ok=True)

    def _tick(self, supervisor: Supervisor) -> float:
        self._watch_postgres()
        if not self._ready and not problems(supervisor.ask("status")):
            self._ready = True
            found = {**self._announcement, "pid": os.getpid(), "processes": supervisor.pids()}
            found["started_at"] = SystemClock().now().isoformat()
            write_server_file(self._settings.data_dir / SERVER_FILE, found)
            self._on_ready(found)
        if monotonic_s() >= self._next_renewal_s:
            self._next_renewal_s = monotonic_s() + RENEWAL_CHECK_S
            _, renewed = _certificates(self._settings)
            if renewed:
                _log.info("the certificate was renewed")
                supervisor.ask("renewed")
        return TICK_S if self._ready else TICK_STARTING_S

    def _watch_postgres(self) -> None:
        server = self._storage.server
        if server is None or server.alive():
            self._postgres_backoff_s = 0.0
            return
        if monotonic_s() < self._postgres_due_s:
            return
        _log.error("PostgreSQL died; starts again", postmaster=server.pid)
        try:
            self._storage.server = start_embedded(self._settings)
        except UnableToStartPostgres as error:
            self._postgres_backoff_s = min(BACKOFF_MAX_S, max(BACKOFF_MIN_S, 2 * self._postgres_backoff_s))
            self._postgres_due_s = monotonic_s() + self._postgres_backoff_s
            _log.error("PostgreSQL does not start", reason=str(error), again_in_s=self._postgres_backoff_s)
