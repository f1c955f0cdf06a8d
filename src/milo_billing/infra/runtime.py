"""What a process of the server is given to work with, and what it reports back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from milo_billing.infra.clock import Clock
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Databases
from milo_billing.infra.settings import Settings

ProcessRole = Literal["api", "gateway", "worker"]
PROCESS_ROLES: tuple[ProcessRole, ...] = ("api", "gateway", "worker")

Check = Callable[[], str | None]
"""Looks at one thing that the process needs; None when it is well, else what is wrong. Answers within a second."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Made in each process after it was forked; the composition root builds the application from it.

    `checks` are asked by /readyz under their names. `drains` run, on any thread, when the process is told to stop and
    before it waits for open requests: what would stay open for ever ends there. `closers` run when the process ends,
    last added first. The composition root adds to all three.
    """

    role: ProcessRole
    settings: Settings
    conninfo: str
    databases: Databases
    clock: Clock
    vault: Vault
    checks: dict[str, Check] = field(default_factory=dict[str, Check])
    drains: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])
    closers: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
