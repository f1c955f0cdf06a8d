"""A process that dies at a chosen statement: whatever its transaction did is rolled back, what it committed stays."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import psycopg

from milo_billing.infra.database import Database, Databases, Reach, Role, Tx


class Killed(BaseException):
    """The process is gone. Not an Exception: nothing that is written for errors sees it."""


class Fuse:
    """Burns down by one with every statement and every commit, while it is lit."""

    def __init__(self) -> None:
        self._left = 0

    def light(self, statements: int) -> None:
        """Kill at the so-manieth statement or commit from now on."""
        self._left = statements

    def put_out(self) -> None:
        """Let whoever comes live."""
        self._left = 0

    def burn(self) -> None:
        """One more statement, or one more commit."""
        if self._left > 0:
            self._left -= 1
            if self._left == 0:
                raise Killed


class MortalConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose process may die before any of its statements."""

    fuse: Fuse

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Every statement begins with one."""
        self.fuse.burn()
        return super().cursor(*args, **kwargs)


class MortalDatabase(Database):
    """A pool of such connections; a process may also die right after a commit, before anybody hears of it."""

    def __init__(self, conninfo: str, *, role: Role, pool_max: int, fuse: Fuse) -> None:
        super().__init__(conninfo, role=role, pool_max=pool_max)
        self._fuse = fuse

    @contextmanager
    def transaction(self, *, reach: Reach) -> Generator[Tx]:
        """As the pool's own."""
        with super().transaction(reach=reach) as tx:
            yield tx
        self._fuse.burn()

    def _connection(self) -> Tx:
        found = super()._connection()
        found.__class__ = MortalConnection
        cast("MortalConnection", found).fuse = self._fuse
        return found


def open_mortal(conninfo: str, *, pool_max: int, fuse: Fuse) -> Databases:
    """The pools of a process that dies by this fuse; usage comes in by another process, which lives."""
    return Databases(
        app=MortalDatabase(conninfo, role="milo_app", pool_max=pool_max, fuse=fuse),
        job=Database(conninfo, role="milo_job", pool_max=pool_max),
        ingest=Database(conninfo, role="milo_ingest", pool_max=pool_max),
    )
