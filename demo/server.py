"""A real server on this machine, started for a while: `milo-billing serve` on free ports and a folder of its
own.

Owns: starting, stopping and killing it. The demo and the flow tests use it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any

from milo_billing.client.connection import Connection, read_kubeconfig

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
LOG_TAIL_LINES = 15

# what the surroundings may say about another server must not reach this one
_NOT_INHERITED = (
    "DATABASE_URL",
    "KUBECONFIG",
    "MILO_BILLING_SERVER",
    "MILO_BILLING_TOKEN",
    "MILO_BILLING_KUBECONFIG",
)


class UnableToStartServer(Exception):
    """The server ended, or did not become ready in time; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that is ready. `announcement` is what `serve --output json` said."""

    process: subprocess.Popen[str]
    announcement: Mapping[str, Any]

    @property
    def kubeconfig(self) -> Path:
        return Path(self.announcement["kubeconfig"])

    @property
    def health_url(self) -> str:
        return str(self.announcement["health"])

    def connection(self) -> Connection:
        """How the administrator reaches it."""
        return read_kubeconfig(self.kubeconfig, source=str(self.kubeconfig))

    def stop(self) -> None:
        """Let it drain and end. Raises TimeoutExpired if it does not, after killing it."""
        self.process.send_signal(signal.SIGTERM)
        self._wait()

    def _wait(self) -> None:
        try:
            self.process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()


def start_server(data_dir: Path, *, log: Path, settings: Mapping[str, str]) -> Running:
    """Start `milo-billing serve` and wait until it is ready.

    `settings` are environment variables without the prefix, such as CLOCK. Raises UnableToStartServer.
    """
    chosen = {"DATA_DIR": str(data_dir), "API_PORT": "0", "GATEWAY_PORT": "0", "HEALTH_PORT": "0", **settings}
    command = ["env"]
    for name in _NOT_INHERITED:
        command += ["-u", name]
    command += [f"MILO_BILLING_{name}={value}" for name, value in chosen.items()]
    command += [str(Path(sys.executable).with_name("milo-billing")), "serve", "--output", "json"]
    with log.open("a") as file:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True)
    assert process.stdout is not None
    line = _first_line(process.stdout)
    if not line:
        Running(process=process, announcement={}).stop()
        tail = "\n".join(log.read_text().splitlines()[-LOG_TAIL_LINES:])
        raise UnableToStartServer(f"the server did not become ready; the end of {log}:\n{tail}")
    return Running(process=process, announcement=json.loads(line))


def stop_leftovers(data_dir: Path) -> None:
    """End what a killed run left running on this data folder: its server, or the server's PostgreSQL alone."""
    supervisor = _find_supervisor(data_dir)
    if supervisor is not None:
        _end(supervisor, signal.SIGTERM)
    postmaster = _find_postmaster(data_dir)
    if postmaster is not None:
        _end(postmaster, signal.SIGINT)  # PostgreSQL's fast shutdown


def _find_supervisor(data_dir: Path) -> int | None:
    try:
        holder = (data_dir / "server.lock").read_text().strip()  # empty once it has been released
    except FileNotFoundError:
        return None
    return int(holder) if holder and "milo-billing serve" in _command_of(int(holder)) else None


def _find_postmaster(data_dir: Path) -> int | None:
    folder = data_dir / "postgres"
    try:
        pid = int((folder / "postmaster.pid").read_text().splitlines()[0])
    except FileNotFoundError:
        return None
    return pid if str(folder) in _command_of(pid) else None


def _command_of(pid: int) -> str:
    """The command line of a process, empty when there is none: numbers of processes are used again."""
    answer = subprocess.run(
        ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return answer.stdout


def _end(pid: int, how: signal.Signals) -> None:
    os.kill(pid, how)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while _command_of(pid):
        if time.monotonic() > deadline:
            raise UnableToStartServer(f"process {pid} of an earlier run does not end: end it, and try again")
        time.sleep(0.1)


def _first_line(stream: IO[str]) -> str:
    """The first line of a stream, empty when it ends or says nothing in time."""
    lines: Queue[str] = Queue()
    reader = threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True)
    reader.start()
    try:
        return lines.get(timeout=START_TIMEOUT_S)
    except Empty:
        return ""
