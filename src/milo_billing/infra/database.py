"""Pooled connections and transactions, each under one database role and one reach.

Owns: pools, roles, the reach of row-level security, JSON in and out. Not: SQL of any slice, retries on deadlock
(the doors know what may be repeated).
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import orjson
import psycopg
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import ConnectionPool, PoolTimeout

from milo_billing.kernel.errors import Unavailable

Tx: TypeAlias = psycopg.Connection[tuple[Any, ...]]
"""A connection inside a transaction. Nested `with tx.transaction():` makes savepoints."""

Role = Literal["milo_app", "milo_job", "milo_ingest", "milo_owner"]
Reach: TypeAlias = frozenset[int] | Literal["*"]
"""The organizations whose rows a transaction may see, by number; "*" is all of them."""

EVERYWHERE: Reach = "*"

CONNECT_TIMEOUT_S = 10
ACQUIRE_TIMEOUT_S = 10.0
_SHUT_DOWN: Final = "57P"
"""SQLSTATEs of a server that stops or is starting."""


def reach_text(reach: Reach) -> str:
    """The value of `milo.reach`: "*" or numbers joined by commas, in order; empty sees nothing."""
    return "*" if reach == "*" else ",".join(str(number) for number in sorted(reach))


def forbid_writes(tx: Tx) -> None:
    """Let the database refuse every write until the transaction ends, also one that nobody expected."""
    tx.execute("set transaction read only")


def prepare_connection(tx: Tx, *, role: Role | None) -> None:
    """Put a new connection on the house's footing: UTC, orjson, `role`. Leaves no transaction open."""
    set_json_loads(orjson.loads, context=tx)
    set_json_dumps(orjson.dumps, context=tx)
    tx.execute("set timezone = 'UTC'")
    if role is not None:
        tx.execute(f"set role {role}".encode())
    if not tx.autocommit:
        tx.commit()


def connect(conninfo: str, *, role: Role | None, autocommit: bool = False) -> Tx:
    """One connection outside any pool, for tools and tests. `role` None stays the login user.

    Raises Unavailable when the server cannot be reached or does not let us in.
    """
    try:
        tx: Tx = psycopg.connect(conninfo, autocommit=autocommit, connect_timeout=CONNECT_TIMEOUT_S)
    except psycopg.OperationalError as error:
        raise Unavailable(f"cannot connect to the database: {error}".strip()) from error
    prepare_connection(tx, role=role)
    return tx


def is_away(error: Exception) -> bool:
    """Whether it says nothing of the statement that met it: the server stops, is starting, or cannot be reached."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_SHUT_DOWN)


class Database:
    """A pool of connections of one role.

    The login user must be a member of `role`. Connections are opened when they are needed and dropped when they
    have been idle for five minutes; a connection that the server closed is replaced.
    """

    def __init__(self, conninfo: str, *, role: Role, pool_max: int) -> None:
        def configure(tx: Tx) -> None:
            prepare_connection(tx, role=role)

        self.role: Role = role
        self.conninfo = conninfo
        self._pool_max = pool_max
        self._pool: ConnectionPool[Tx] = ConnectionPool(
            conninfo,
            # begin is sent by transaction(), together with the reach, in one round trip
            kwargs={"autocommit": True, "connect_timeout": CONNECT_TIMEOUT_S, "application_name": role},
            min_size=0,
            max_size=pool_max,
            max_idle=300.0,
            timeout=ACQUIRE_TIMEOUT_S,
            num_workers=1,
            configure=configure,
            open=False,
            name=role,
        )

    @contextmanager
    def transaction(self, *, reach: Reach) -> Generator[Tx]:
        """One transaction: commits at the end, rolls back on an exception.

        After a commit inside the block nothing more is visible: the reach ends with the transaction.
        Raises Unavailable when no connection is to be had within ten seconds.
        """
        tx = self._begin(reach)
        try:
            with tx:  # commits or rolls back
                yield tx
        finally:
            # psycopg's `with connection` closes it at the end unless it belongs to a pool, as this one does
            self._pool.putconn(tx)

    def _begin(self, reach: Reach) -> Tx:
        begin = f"begin; select set_config('milo.reach', '{reach_text(reach)}', true)".encode()
        # each connection of the pool may be dead, if the server was restarted; dead ones are dropped on return
        for attempts_left in reversed(range(self._pool_max + 1)):
            tx = self._connection()
            try:
                tx.execute(begin)
            except psycopg.OperationalError as error:
                self._pool.putconn(tx)
                if attempts_left == 0:
                    raise Unavailable(f"the database does not answer: {error}") from error
            except BaseException:
                self._pool.putconn(tx)
                raise
            else:
                return tx
        raise AssertionError("the last attempt returns or raises")

    def _connection(self) -> Tx:
        self._pool.open()
        try:
            return self._pool.getconn()
        except PoolTimeout as error:
            raise Unavailable(f"no database connection within {ACQUIRE_TIMEOUT_S:.0f} s") from error

    def close(self) -> None:
        """Close every connection; those in use are closed when they come back."""
        self._pool.close()


@contextmanager
def acting_as(tx: Tx, role: Role) -> Generator[Tx]:
    """Run the block under another role, within the same transaction.

    For verbs that a door has authorised and whose tables belong to another role. Row-level security does not bind a
    table's owner, so what the caller may touch must have been read before. After an exception the role comes back with
    the end of the transaction or savepoint, which the caller must let happen.
    """
    row = tx.execute("select current_user").fetchone()
    assert row is not None, "everybody is somebody"
    tx.execute(f"set local role {role}".encode())
    yield tx
    tx.execute(f"set local role {row[0]}".encode())


@dataclass(frozen=True, slots=True)
class Databases:
    """The pools that a process has, one a role. They connect on first use."""

    app: Database
    job: Database
    ingest: Database

    def close(self) -> None:
        """Close all of them."""
        for database in (self.app, self.job, self.ingest):
            database.close()


def open_databases(conninfo: str, *, pool_max: int) -> Databases:
    """The pools on the database at `conninfo`, with `pool_max` connections each at most."""
    return Databases(
        app=Database(conninfo, role="milo_app", pool_max=pool_max),
        job=Database(conninfo, role="milo_job", pool_max=pool_max),
        ingest=Database(conninfo, role="milo_ingest", pool_max=pool_max),
    )
