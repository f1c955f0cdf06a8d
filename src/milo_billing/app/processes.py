"""What each process of the server does after it was forked: api, gateway, worker.

Owns: the application server, the answers to the supervisor, the heartbeat. Not: what the applications contain (wiring).
"""

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import UUID

import psycopg
import structlog
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from milo_billing.app import wiring
from milo_billing.app.channel import ProcessEnd, Question
from milo_billing.infra.certificates import Certificates
from milo_billing.infra.clock import Clock, new_uid
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import EVERYWHERE, Database, open_databases
from milo_billing.infra.jobs import Periodic, Task, build_queue, run_worker
from milo_billing.infra.migrations import schema_version
from milo_billing.infra.runtime import ProcessRole, Runtime
from milo_billing.infra.settings import Settings
from milo_billing.infra.telemetry import configure_logging, exposition
from milo_billing.infra.threads import share_interpreter
from milo_billing.kernel.errors import Unavailable
from milo_billing.usage.routes.wire import EventConnection, connections

HEARTBEAT_S = 10.0
IDLE_CLOSE_S = 0.25
"""How often a stopping server looks for idle connections; one that it finds twice it ends."""

KEYFILE = "keyfile"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What every process is given; made by the supervisor before it forks."""

    settings: Settings
    conninfo: str
    clock: Clock
    certificates: Certificates


def run_api(plan: Plan, *, door: socket.socket, line: socket.socket) -> int:
    """Serve the API on `door` until SIGTERM."""
    with _running("api", plan, connections_max=plan.settings.api_connections_max) as process:
        return process.serve(wiring.build_api(process.runtime), door=door, line=line)


def run_gateway(plan: Plan, *, door: socket.socket, line: socket.socket) -> int:
    """Serve the ingest of usage on `door` until SIGTERM."""
    with _running("gateway", plan, connections_max=plan.settings.gateway_connections_max) as process:
        gateway = wiring.build_gateway(process.runtime)
        return process.serve(gateway, door=door, line=line, http=connections(gateway, HttpToolsProtocol))


def run_jobs(plan: Plan, *, line: socket.socket) -> int:
    """Run jobs until SIGTERM."""
    with _running("worker", plan, connections_max=plan.settings.worker_connections_max) as process:
        wiring.follow_directory(process.runtime)
        return process.work(line=line)


class _Working:
    """One process at work."""

    def __init__(self, plan: Plan, runtime: Runtime) -> None:
        self.runtime = runtime
        self._plan = plan
        self._started: Callable[[], bool] = lambda: False
        self._renewed: Callable[[], None] = lambda: None

    def answer(self, question: Question) -> Any:
        """What the supervisor asks."""
        match question:
            case "status":
                return {"problems": self._problems()}
            case "metrics":
                return {"text": exposition()}
            case "renewed":
                self._renewed()
                return {}

    def _problems(self) -> dict[str, str]:
        if not self._started():
            return {"started": "it is still starting"}
        answers = {name: check() for name, check in self.runtime.checks.items()}
        return {name: problem for name, problem in answers.items() if problem is not None}

    def serve(
        self, application: Any, *, door: socket.socket, line: socket.socket, http: Any = HttpToolsProtocol
    ) -> int:
        """Serve an ASGI application over TLS; `http` makes the protocol of each connection."""
        certificates = self._plan.certificates
        config = uvicorn.Config(
            application,
            loop="uvloop",
            http=http,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nothing here believes what a client says of its address
            ssl_certfile=str(certificates.leaf),
            ssl_keyfile=str(certificates.leaf_key),
            timeout_graceful_shutdown=self.runtime.settings.shutdown_grace_s,
        )
        server = _DrainingServer(config, self.runtime.drains)
        self._started = lambda: server.started

        def renew() -> None:
            if config.ssl is not None:  # connections made from now on get the new leaf
                config.ssl.load_cert_chain(certificates.leaf, certificates.leaf_key)

        self._renewed = renew
        ProcessEnd(line, answer=self.answer).start()
        server.run(sockets=[door])
        return 0 if server.started else 1

    def work(self, *, line: socket.socket) -> int:
        """Run jobs."""
        share_interpreter()
        found = wiring.worker_tasks(self.runtime)
        queue = build_queue(
            self.runtime.conninfo,
            tasks=[entry for entry in found if isinstance(entry, Task)],
            periodics=[entry for entry in found if isinstance(entry, Periodic)],
        )
        self._started = lambda: True
        ProcessEnd(line, answer=self.answer).start()
        settings = self.runtime.settings

        async def work() -> None:
            worker = asyncio.create_task(
                run_worker(
                    queue, concurrency=settings.worker_connections_max, grace_s=settings.shutdown_grace_s
                )
            )
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await worker

        uvloop.run(work())
        return 0


class _DrainingServer(uvicorn.Server):
    """Ends what would stay open for ever, such as watches, before it waits for open requests."""

    def __init__(self, config: uvicorn.Config, drains: Sequence[Callable[[], object]]) -> None:
        super().__init__(config)
        self._drains = drains

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        for drain in self._drains:
            drain()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        idle = asyncio.create_task(self._abort_idle())
        try:
            await super().shutdown(sockets)
        finally:
            idle.cancel()

    async def _abort_idle(self) -> None:
        """End idle connections that do not close: who keeps one open reads our TLS goodbye only when using it."""
        known: set[HttpToolsProtocol | EventConnection] = set()
        while True:
            await asyncio.sleep(IDLE_CLOSE_S)
            opened: set[Any] = self.server_state.connections
            idle = {c for c in opened if isinstance(c, HttpToolsProtocol | EventConnection) and _is_idle(c)}
            for connection in idle & known:  # what has just become idle may still be sending its last answer
                if connection.transport is not None:
                    connection.transport.abort()
            known = idle


def _is_idle(connection: HttpToolsProtocol | EventConnection) -> bool:
    if isinstance(connection, EventConnection):
        return connection.idle
    return not connection.cycle or connection.cycle.response_complete  # None before its first request


@contextlib.contextmanager
def _running(role: ProcessRole, plan: Plan, *, connections_max: int) -> Generator[_Working]:
    settings = plan.settings
    configure_logging(level=settings.log_level, process=role)
    # in force until the application server has its own handler, and again when that has drained and gives the signal on
    signal.signal(signal.SIGTERM, _unwind)
    runtime = make_runtime(plan, role=role, connections_max=connections_max)
    pulse = Pulse(runtime.databases.app, role=role)
    pulse.start()
    try:
        yield _Working(plan, runtime)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for close in reversed(runtime.closers):
            close()
        pulse.stop()
        runtime.databases.close()


def make_runtime(plan: Plan, *, role: ProcessRole, connections_max: int) -> Runtime:
    """What a process works with; its pools connect on first use."""
    databases = open_databases(plan.conninfo, pool_max=connections_max)
    return Runtime(
        role=role,
        settings=plan.settings,
        conninfo=plan.conninfo,
        databases=databases,
        clock=plan.clock,
        vault=Vault(keyfile_path(plan.settings)),
        checks={"database": lambda: check_database(databases.app)},
    )


def _unwind(_number: int, _frame: object) -> None:
    """SIGTERM outside the application server's own time: end, closing what was opened."""
    raise SystemExit(0)


def keyfile_path(settings: Settings) -> Path:
    """Where the installation's key lies."""
    return settings.data_dir / KEYFILE


def check_database(database: Database) -> str | None:
    """Whether a transaction can be had, and the schema is ours or newer by migrations that suit us."""
    try:
        with database.transaction(reach=frozenset()) as tx:
            tx.execute("select 1")
    except (Unavailable, psycopg.Error) as error:
        return str(error)
    return None


class Pulse:
    """Renews this process's row in infra.heartbeats, so that migrations know who is alive."""

    def __init__(self, database: Database, *, role: ProcessRole) -> None:
        self._database = database
        self._role = role
        self._id: UUID = new_uid()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and take the row away."""
        self._ended.set()
        self._thread.join(timeout=HEARTBEAT_S)

    def _beat(self) -> None:
        while True:
            self._write(
                "insert into infra.heartbeats values (%(id)s, %(role)s, %(version)s, %(schema)s, now())"
                " on conflict (process_id) do update set seen_at = excluded.seen_at"
            )
            if self._ended.wait(HEARTBEAT_S):
                break
        self._write(
            "delete from infra.heartbeats where process_id = %(id)s or seen_at < now() - interval '1 day'"
        )

    def _write(self, statement: str) -> None:
        values = {
            "id": self._id,
            "role": self._role,
            "version": version("milo-billing"),
            "schema": schema_version(),
        }
        try:
            with self._database.transaction(reach=EVERYWHERE) as tx:
                tx.execute(statement.encode(), values)
        except (Unavailable, psycopg.Error):
            _log.warning("the heartbeat could not be written; the next one is in ten seconds", exc_info=True)
