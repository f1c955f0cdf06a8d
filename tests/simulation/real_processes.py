"""Real servers and commands over one PostgreSQL, each a process of its own that a test may kill -9 at any time.

Owns: starting, killing and restarting them. Not: what they are to do, and what must be true afterwards.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from milo_billing.app.processes import KEYFILE
from milo_billing.client.connection import read_kubeconfig
from milo_billing.infra.postgres.server import PostgresServer, start
from milo_billing.infra.settings import surroundings

PROGRAM: Final = str(Path(sys.executable).with_name("milo-billing"))
READY_S_MAX: Final = 90.0
STOP_S_MAX: Final = 30.0
GRACE_S: Final = 2


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def kill(pid: int) -> None:
    """kill -9; nothing where it has gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@dataclass
class Served:
    """One `milo-billing serve` of several over the database."""

    folder: Path
    process: subprocess.Popen[str]
    announcement: dict[str, Any]

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill_a_child(self, chance: random.Random) -> None:
        """The API, the gateway or a worker; the supervisor starts another."""
        if found := children_of(self.process.pid):
            kill(chance.choice(found))

    def kill_all(self) -> None:
        """As when the machine loses power: the supervisor, and everything that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._gone()

    def kill_supervisor(self) -> None:
        """It alone: its processes notice, and end by themselves."""
        self.process.kill()
        self._gone()

    def stop(self) -> None:
        """Let it drain. Raises TimeoutExpired where it does not end."""
        self.process.terminate()
        self._gone()

    def _gone(self) -> None:
        self.process.wait(timeout=STOP_S_MAX)
        if self.process.stdout is not None:
            self.process.stdout.close()


@dataclass
class Command:
    """One `milo-billing …` as a user types it, and where its output goes."""

    arguments: Sequence[str]
    process: subprocess.Popen[bytes]
    output: Path
    errors: Path

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


@dataclass
class Installation:
    """Servers over one PostgreSQL, whose clocks agree: `begins`, and on from there at the pace of real time."""

    folder: Path
    postgres: PostgresServer
    settings: dict[str, str]
    begins: datetime
    token: str = ""
    servers: list[Served] = field(default_factory=list[Served])
    commands: list[Command] = field(default_factory=list[Command])
    _since_s: float = field(default_factory=time.monotonic)

    @property
    def conninfo(self) -> str:
        return self.postgres.conninfo()

    def now(self) -> datetime:
        return self.begins + timedelta(seconds=time.monotonic() - self._since_s)

    def serve(self, name: str) -> Served:
        """A server on a folder of this name, which has the installation's key, once it is ready."""
        data = self.folder / name
        key = self.folder / "one" / KEYFILE
        data.mkdir(mode=0o711, exist_ok=True)
        if not (data / KEYFILE).exists() and key.exists():
            shutil.copy(key, data / KEYFILE)
        chosen = {
            "DATA_DIR": str(data),
            "API_PORT": "0",
            "GATEWAY_PORT": "0",
            "HEALTH_PORT": "0",
            "CLOCK": self.now().isoformat(),
            "SHUTDOWN_GRACE_S": str(GRACE_S),
            **self.settings,
        }
        environment = {f"MILO_BILLING_{setting}": value for setting, value in chosen.items()}
        environment |= {"PATH": os.environ["PATH"], "DATABASE_URL": self.conninfo}
        log = data.with_suffix(".log")
        with log.open("a") as errors:
            process = subprocess.Popen(
                [PROGRAM, "serve", "--output", "json"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()[-4000:]
        served = Served(data, process, json.loads(line))
        self.servers = [one for one in self.servers if one.folder != data]
        self.servers.append(served)
        if not self.token:
            self.token = read_kubeconfig(data / "kubeconfig", source=name).token or ""
        return served

    def command(self, *arguments: str, server: Served) -> Command:
        """Start a command against one of the servers."""
        number = len(self.commands) + 1
        output, errors = (self.folder / f"command-{number}.{kind}" for kind in ("out", "err"))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "MILO_BILLING_SERVER": server.announcement["api"],
            "MILO_BILLING_TOKEN": self.token,
            "MILO_BILLING_CA_FILE": server.announcement["ca"],
        }
        with output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen([PROGRAM, *arguments], env=environment, stdout=out, stderr=err)
        self.commands.append(Command(arguments, process, output, errors))
        return self.commands[-1]

    def said(self, *arguments: str, wait_s: float = 60) -> Any:
        """The JSON of a command that must succeed."""
        done = self.command(*arguments, "--output", "json", server=self.servers[0])
        code = done.process.wait(timeout=wait_s)
        assert code == 0, f"{' '.join(arguments)}: {done.errors.read_text()}{done.output.read_text()}"
        return json.loads(done.output.read_text())

    def kill_postgres(self) -> None:
        """kill -9 of the postmaster; its processes notice. Started again at once."""
        kill(self.postgres.pid)
        self.postgres.wait_gone()
        self.postgres = start_postgres(self.folder)

    def move_on(self, days: int) -> None:
        """Stop all servers, and start them again so many days later."""
        names = [one.folder.name for one in self.servers]
        for one in self.servers:
            one.stop()
        self.begins += timedelta(days=days)
        self.servers = []
        for name in names:
            self.serve(name)


def start_postgres(folder: Path) -> PostgresServer:
    """The PostgreSQL of the installation, as a service of its own."""
    return start(folder / "pg", around=surroundings(), fsync=False)


@contextlib.contextmanager
def installation(folder: Path, *, begins: datetime, settings: dict[str, str]) -> Generator[Installation]:
    """An empty one: PostgreSQL runs, no server yet. Nothing of it is left when the block ends."""
    made = Installation(folder, start_postgres(folder), settings, begins)
    try:
        yield made
    finally:
        for command in made.commands:
            command.process.kill()
            command.process.wait()
        for one in made.servers:
            one.kill_all()
        made.postgres.stop()
