"""Listening sockets, and who holds a port that is taken."""

import socket
from pathlib import Path

from milo_billing.kernel.errors import MiloError

BACKLOG = 1024


class UnableToListen(MiloError):
    """A door cannot be opened; the text names the setting to change."""


def listen(host: str, port: int, *, setting: str) -> socket.socket:
    """A listening socket; port 0 takes any free one. `setting` is what the user would change."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise UnableToListen(
            f"{host} is no address of this machine ({error.strerror}): set MILO_BILLING_HOST"
        ) from error
    door = socket.socket(family, kind)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(address)
        door.listen(BACKLOG)
    except OSError as error:
        door.close()
        raise UnableToListen(explain_taken(host, port, setting=setting, error=error)) from error
    return door


def explain_taken(host: str, port: int, *, setting: str, error: OSError) -> str:
    """Why `port` could not be had, by whom it is held, and what to do."""
    holder = find_holder(port)
    by = f", held by {holder}" if holder else ""
    remedy = f"Stop that, or set {setting} to another port (0 = any)"
    return f"cannot listen on {host} port {port}: {error.strerror}{by}. {remedy}"


def find_holder(port: int) -> str | None:
    """`name (pid n)` of a process that listens on a TCP port of this machine, as far as we may look."""
    inodes = {inode for table in ("tcp", "tcp6") for inode in _listening(Path("/proc/net") / table, port)}
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        if _holds(process, wanted):
            name = (process / "comm").read_text().strip()
            return f"{name} (pid {process.name})"
    return None


def _listening(table: Path, port: int) -> list[str]:
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []  # not Linux
    listen_state = "0A"
    return [row[9] for row in rows if row[3] == listen_state and int(row[1].rpartition(":")[2], 16) == port]


def _holds(process: Path, wanted: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in wanted for link in (process / "fd").iterdir())
    except OSError:
        return False  # gone meanwhile, or somebody else's
