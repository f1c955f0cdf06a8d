"""A process of its own: it stores groups as a gateway does, voids as the API does, replays as a worker does.

It can be stopped at any step of a transaction.

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
from pathlib import Path
from typing import Any, TypeAlias, cast
from uuid import UUID

import psycopg
import structlog

from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.controlplane.identity import Identity
from milo_billing.infra.database import EVERYWHERE, Database, Reach, Role, Tx
from milo_billing.kernel.errors import Unavailable
from milo_billing.usage import operations, store
from milo_billing.usage.engine import decode, groups
from milo_billing.usage.engine.archive import Archive
from milo_billing.usage.engine.commit import Committer
from milo_billing.usage.engine.groups import ACCEPTED, DUPLICATE, QUARANTINED, REJECTED, Request
from milo_billing.usage.engine.readings import to_us
from milo_billing.usage.engine.replay import Replayer
from milo_billing.usage.rules import sender_organization
from milo_billing.usage.types import EventNotFound, Void

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


@dataclass(frozen=True)
class VoidEvent:
    """Void an event, as one who has this reach."""

    id: UUID
    reach: Reach
    now: datetime
    stop_at: int | None


@dataclass(frozen=True)
class GoOnReplaying:
    """Go on with a replay until it is finished."""

    id: UUID
    now: datetime
    stop_at: int | None


Order: TypeAlias = Deliver | Compact | VoidEvent | GoOnReplaying


@dataclass(frozen=True)
class Stopped:
    """It waits before it goes on. `fenced`: it holds the fence, so that no payer can change meanwhile.

    `audited`: it holds the chain of audit records, so that nothing at all can be declared meanwhile.
    """

    step: str
    backend: int | None
    fenced: bool
    audited: bool


@dataclass(frozen=True)
class Answered:
    """The fate of every event of every request, in order; None for a request of which nothing is known."""

    fates: tuple[tuple[str, ...] | None, ...]


@dataclass(frozen=True)
class Compacted:
    """So many deltas were moved, or None if the database went away."""

    moved: int | None


@dataclass(frozen=True)
class Done:
    """What came of an order: `told` is voided, discarded, unknown or finished; None if the database went away."""

    told: str | None


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
        self._audited = False

    def begin(self, stop_at: int | None) -> None:
        """Count anew."""
        self._left = stop_at

    def pass_by(self, step: str, backend: int | None) -> None:
        """Stop here, if this is the place, until the driver says so."""
        if step.startswith(("begin", "after the commit")):
            self._fenced = self._audited = False
        elif step.startswith("after select pg_advisory_xact_lock_shared"):
            self._fenced = True
        elif step.startswith("after select access.append_audit"):
            self._audited = True
        if self._left is None:
            return
        self._left -= 1
        if self._left < 0:
            self._left = None
            self._line.send(Stopped(step, backend, self._fenced, self._audited))
            self._line.recv()


class SteppedDatabase(Database):
    """A pool of one connection whose every statement is a step before and a step after it."""

    def __init__(self, conninfo: str, steps: Steps, *, role: Role) -> None:
        super().__init__(conninfo, role=role, pool_max=1)
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


def serve(line: "Connection[Any, Any]", conninfo: str, seed: int, archived: Path) -> None:
    """Carry out orders until None comes. `seed` decides what the process takes for chance."""
    structlog.configure(processors=[_drop])  # it is broken on purpose, often, and says so each time
    logging.disable()
    steps = Steps(line)
    machines = _Machines(conninfo, steps, random.Random(seed), archived)
    while (order := cast("Order | None", line.recv())) is not None:
        steps.begin(order.stop_at)
        answer = machines.carry_out(order)
        steps.begin(None)
        line.send(answer)
    machines.close()


class _Machines:
    """What the server's processes do their work with."""

    def __init__(self, conninfo: str, steps: Steps, chance: random.Random, archived: Path) -> None:
        self._chance = chance
        self._ingest = SteppedDatabase(conninfo, steps, role="milo_ingest")
        self._app = SteppedDatabase(conninfo, steps, role="milo_app")
        self._archive = Archive(FolderBlobs(archived))
        process = UUID(int=chance.getrandbits(128))
        bits = chance.getrandbits
        self._committer = Committer(
            self._ingest, process=process, random_bits=bits, late_days_max=LATE_DAYS_MAX
        )
        self._replayer = Replayer(
            self._ingest, process=process, random_bits=bits, late_days_max=LATE_DAYS_MAX
        )

    def close(self) -> None:
        """Hang up."""
        self._ingest.close()
        self._app.close()

    def carry_out(self, order: Order) -> Answered | Compacted | Done | Broke:
        """Do it and say what came of it."""
        match order:
            case Deliver():
                return _deliver(self._committer, order)
            case Compact():
                return _compact(self._ingest)
            case VoidEvent():
                return self._void(order)
            case GoOnReplaying():
                return self._replay(order)

    def _void(self, order: VoidEvent) -> Done | Broke:
        try:
            with self._app.transaction(reach=order.reach) as tx:
                done = operations.void_event(
                    tx,
                    id=order.id,
                    reason="sent by mistake",
                    archive=self._archive,
                    identity=Identity("ann"),
                    audit_id=UUID(int=self._chance.getrandbits(128)),
                    now=order.now,
                )
        except EventNotFound:
            return Done("unknown")
        except (psycopg.OperationalError, psycopg.InterfaceError, Unavailable):
            return Done(None)
        except Exception as error:
            return Broke(f"a void failed: {error!r}")
        return Done("voided" if isinstance(done, Void) else "discarded")

    def _replay(self, order: GoOnReplaying) -> Done | Broke:
        try:
            self._replayer.run(order.id, now=lambda: order.now)
        except Unavailable:
            return Done(None)
        except Exception as error:
            return Broke(f"a replay failed: {error!r}")
        return Done("finished")


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
