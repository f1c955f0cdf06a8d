"""An ingest process of its own: it stores groups as a gateway does, and can be stopped at any step of a transaction.

A step is what stands before or after a statement, a COPY or a commit. Where it stops, the driver lets others work, ends
its connection, ends it with SIGKILL, or ends PostgreSQL. Nothing is simulated here but the order of things.
"""

import logging
import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any, TypeAlias, cast
from uuid import UUID

import psycopg
import structlog

from milo_billing.infra.database import EVERYWHERE, Database, Reach, Tx
from milo_billing.kernel.errors import Unavailable
from milo_billing.usage import store
from milo_billing.usage.engine import decode, groups
from milo_billing.usage.engine.commit import Committer
from milo_billing.usage.engine.groups import ACCEPTED, DUPLICATE, QUARANTINED, REJECTED, Request
from milo_billing.usage.engine.readings import to_us
from milo_billing.usage.rules import sender_organization

LATE_DAYS_MAX = 30
_FATES = {ACCEPTED: "accepted", QUARANTINED: "quarantined", DUPLICATE: "duplicate"}


@dataclass(frozen=True)
class Body:
    """One request: its bytes, whom the token speaks for, when the door read the clock."""

    content: bytes
    reach: Reach
    received: datetime
    accept_late: bool


@dataclass(frozen=True)
class Deliver:
    """Store these requests in one group; stop at the n-th step, if there are so many."""

    bodies: tuple[Body, ...]
    stop_at: int | None


@dataclass(frozen=True)
class Compact:
    """Move the deltas into the roll-ups; stop at the n-th step, if there are so many."""

    stop_at: int | None


Order: TypeAlias = Deliver | Compact


@dataclass(frozen=True)
class Stopped:
    """It waits before it goes on. `fenced`: it holds the fence, so that no payer can change meanwhile."""

    step: str
    backend: int | None
    fenced: bool


@dataclass(frozen=True)
class Answered:
    """The fate of every event of every request, in order; None for a request of which nothing is known."""

    fates: tuple[tuple[str, ...] | None, ...]


@dataclass(frozen=True)
class Compacted:
    """So many deltas were moved, or None if the database went away."""

    moved: int | None


@dataclass(frozen=True)
class Broke:
    """Something that must not happen; `ended`: and the process with it."""

    error: str
    ended: bool = False


class Steps:
    """Counts the steps of an order and stops where it was told to."""

    def __init__(self, line: "Connection[Any, Any]") -> None:
        self._line = line
        self._left: int | None = None
        self._fenced = False

    def begin(self, stop_at: int | None) -> None:
        """Count anew."""
        self._left = stop_at

    def pass_by(self, step: str, backend: int | None) -> None:
        """Stop here, if this is the place, until the driver says so."""
        if step.startswith(("begin", "after the commit")):
            self._fenced = False
        elif step.startswith("after select pg_advisory_xact_lock_shared"):
            self._fenced = True
        if self._left is None:
            return
        self._left -= 1
        if self._left < 0:
            self._left = None
            self._line.send(Stopped(step, backend, self._fenced))
            self._line.recv()


class SteppedDatabase(Database):
    """A pool of one connection whose every statement is a step before and a step after it."""

    def __init__(self, conninfo: str, steps: Steps) -> None:
        super().__init__(conninfo, role="milo_ingest", pool_max=1)
        self._steps = steps
        self._cursor = _stepped_cursor(steps.pass_by)

    @contextmanager
    def transaction(self, *, reach: Reach) -> Generator[Tx]:
        self._steps.pass_by("begin", None)
        with super().transaction(reach=reach) as tx:
            backend = tx.info.backend_pid
            tx.cursor_factory = self._cursor
            yield tx
            self._steps.pass_by("before the commit", backend)
        self._steps.pass_by("after the commit", None)


def _stepped_cursor(pass_by: Callable[[str, int | None], None]) -> "type[psycopg.Cursor[Any]]":
    class SteppedCursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            words, backend = _first_words(query), self.connection.info.backend_pid
            pass_by(f"before {words}", backend)
            super().execute(query, params, **options)
            pass_by(f"after {words}", backend)
            return self

        @contextmanager
        def copy(self, statement: Any, params: Any = None, **options: Any) -> Generator[psycopg.Copy]:
            words, backend = _first_words(statement), self.connection.info.backend_pid
            pass_by(f"before {words}", backend)
            with super().copy(statement, params, **options) as copy:
                yield copy
            pass_by(f"after {words}", backend)

    return SteppedCursor


def _first_words(query: Any) -> str:
    text = (
        query if isinstance(query, str) else bytes(query).decode() if isinstance(query, bytes) else str(query)
    )
    return " ".join(text.split()[:4])


def serve(line: "Connection[Any, Any]", conninfo: str, seed: int) -> None:
    """Carry out orders until None comes. `seed` decides what the process takes for chance."""
    structlog.configure(processors=[_drop])  # it is broken on purpose, often, and says so each time
    logging.disable()
    chance, steps = random.Random(seed), Steps(line)
    database = SteppedDatabase(conninfo, steps)
    committer = Committer(
        database,
        process=UUID(int=chance.getrandbits(128)),
        random_bits=chance.getrandbits,
        late_days_max=LATE_DAYS_MAX,
    )
    while (order := cast("Order | None", line.recv())) is not None:
        steps.begin(order.stop_at)
        answer = _deliver(committer, order) if isinstance(order, Deliver) else _compact(database)
        steps.begin(None)
        line.send(answer)
    database.close()


def _drop(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


def _deliver(committer: Committer, order: Deliver) -> Answered | Broke:
    requests = [_request(body) for body in order.bodies]
    try:
        committer.commit(groups.whole(requests), None)
    except Unavailable:
        return Answered(tuple(_fates(request) if request.durable else None for request in requests))
    except Exception as error:
        return Broke(f"a group failed: {error!r}")
    return Answered(tuple(_fates(request) for request in requests))


def _request(body: Body) -> Request:
    return Request(
        batch=decode.decode_batch(body.content),
        sender=groups.Sender(owner_org=sender_organization(body.reach), reach=body.reach),
        received_us=to_us(body.received),
        accept_late=body.accept_late,
    )


def _fates(request: Request) -> tuple[str, ...]:
    """What became of each event, by its place in the request."""
    fates: dict[int, str] = {item.position: item.reason for item in request.rejected}
    for index, fate in enumerate(request.fates.tolist()):
        if fate != REJECTED:
            fates[request.batch.position(index)] = _FATES[fate]
    return tuple(fates[place] for place in sorted(fates))


def _compact(database: Database) -> Compacted | Broke:
    try:
        with database.transaction(reach=EVERYWHERE) as tx:
            return Compacted(store.compact(tx))
    except (psycopg.OperationalError, Unavailable):
        return Compacted(None)
    except Exception as error:
        return Broke(f"a compaction failed: {error!r}")
