"""One simulation: a provider that changes, senders that send, processes that are stopped and killed; then the audit.

The driver does one thing at a time and draws everything from the seed, so that a seed takes the same course every time.
Processes work side by side nevertheless: one is stopped in the middle of a transaction while others take their turns,
and who has to wait for a lock of it is left waiting until it goes on.
"""

import multiprocessing
import os
import random
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias

from milo_billing.infra.database import EVERYWHERE, Reach, Tx, open_databases
from milo_billing.usage import store
from milo_billing.usage.rules import text_hash
from tests.simulation.usage_simulation import found
from tests.simulation.usage_simulation.auditing import audit
from tests.simulation.usage_simulation.courses import Attempt
from tests.simulation.usage_simulation.desk import Desk
from tests.simulation.usage_simulation.found import Found
from tests.simulation.usage_simulation.ground import Ground
from tests.simulation.usage_simulation.judging import Offered, native
from tests.simulation.usage_simulation.outpost import PROGRAMS, Outpost
from tests.simulation.usage_simulation.process import (
    Answered,
    Body,
    Broke,
    Compact,
    Compacted,
    Deliver,
    Done,
    Order,
    Stopped,
    serve,
)
from tests.simulation.usage_simulation.provider import Provider
from tests.simulation.usage_simulation.workload import Sender, Workload, make_senders

PROCESSES = 3
TURNS = 60
STOPS_WITHIN = 40
"""A group takes some 30 steps; a stop that is drawn beyond them does not happen."""

ANSWER_S_MAX = 60.0
DRAINS_MAX = 50
_POLL_S = 0.004
_POISON = b'{"region":"poison"}'


@dataclass
class Outcome:
    """What a seed came to: what happened how often, and what was wrong."""

    seed: int
    happened: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    story: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Killed:
    """Nobody answers."""


@dataclass(frozen=True)
class _Sent:
    """A request on its way."""

    sender: Sender
    batch: list[bytes]
    body: Body
    told: list[tuple[str, ...] | None] = field(default_factory=list["tuple[str, ...] | None"])


class _Process:
    """An ingest process and the line to it."""

    def __init__(self, number: int, conninfo: str, seed: int, archived: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            [f"tests.simulation.usage_simulation.{name}" for name in ("process", "spooling")]
        )
        self.number = number
        self.line: Connection[Any, Any]
        self.line, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, conninfo, seed, archived), daemon=True)
        self._process.start()
        theirs.close()

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self.end()

    def finish(self) -> None:
        """Let it end."""
        self.line.send(None)
        self.end()

    def end(self) -> None:
        """Wait until it has gone."""
        self._process.join(ANSWER_S_MAX)
        self._process.close()
        self.line.close()


Note: TypeAlias = Callable[[int, int, str | None], None]
"""Is told the turns that an order began and ended in, and what came of it; None if that is not known."""


@dataclass
class _Flight:
    """An order that a process works on, and what was known when it began."""

    process: _Process
    requests: Sequence[_Sent]
    note: Note | None
    began: int
    known: int


class Simulation:
    """One seed on one new database."""

    def __init__(self, seed: int, *, ground: Ground, conninfo: str, folder: Path) -> None:
        self._chance = random.Random(seed)
        self.outcome = Outcome(seed)
        self._ground = ground
        self._conninfo = conninfo
        self._databases = open_databases(conninfo, pool_max=2)
        self._provider = Provider(self._databases, folder)
        self._archived = folder / "archive"
        self._desk = Desk(self._databases, self._provider, self._chance)
        self._workload = Workload(self._chance)
        self._senders = make_senders()
        self._outpost = Outpost(self._chance, folder)
        self._spooled = Sender("sdk", ("acme",), timedelta(0), (), spooled=True)
        self._attempts: list[Attempt] = []
        self._turn = 0
        self._blocked: list[_Flight] = []
        self._reaches: dict[str, Reach] = {}
        self._idle: list[_Process] = []
        self._watch: Tx | None = None

    def run(self, turns: int) -> Outcome:
        """Let everything happen, and audit it."""
        try:
            self._declare()
            self._idle = [self._new_process(number) for number in range(PROCESSES)]
            self._outpost.start()
            for _ in range(turns):
                self._take_turn()
            self._drain()
            self._audit()
        except Exception:
            self.outcome.wrong.append(f"in turn {self._turn} it broke: {traceback.format_exc()}")
        finally:
            self._outpost.close()
            for process in self._idle:
                process.finish()
            self._databases.close()
            if self._watch is not None:
                self._watch.close()
        return self.outcome

    def _declare(self) -> None:
        self._provider.declare()
        with self._databases.ingest.transaction(reach=EVERYWHERE) as tx:
            store.insert_dimension_sets(tx, {text_hash(_POISON): b'{"planted":"first"}'})
            numbers: dict[str, int] = dict(
                tx.execute("select name, number from directory.organizations").fetchall()
            )
        self._desk.begin(numbers)
        for sender in (*self._senders, self._spooled):
            names = sender.organizations
            self._reaches[sender.name] = (
                EVERYWHERE if names is None else frozenset(numbers[name] for name in names)
            )

    def _new_process(self, number: int) -> _Process:
        return _Process(number, self._conninfo, self._chance.getrandbits(64), self._archived)

    def _say(self, what: str) -> None:
        self.outcome.story.append(f"{self._turn}: {what}")

    # -- turns

    def _take_turn(self, around: Stopped | None = None) -> None:
        """One thing happens; `around` is the process that is stopped meanwhile."""
        self._turn += 1
        self._provider.tick(self._chance)
        roll = self._chance.random()
        if roll < 0.07:
            self._say(self._outpost.record(self._provider.now))
        elif roll < 0.13 and around is None:
            self._flush()
        elif roll < 0.50:
            self._deliver(stop=around is None)
        elif roll < 0.58:
            self._order(Compact(self._stop_at(around)), ())
        elif roll < 0.70:
            order, note = self._desk.choose_void(self._stop_at(around))
            self._say(f"void {order.id}")
            self._order(order, (), note)
        elif roll < 0.75 and self._desk.replaying:
            self._order_replay(self._stop_at(around))
        elif around is not None and around.audited:
            self._deliver(stop=False)
        elif roll < 0.75:
            self._desk.open_replay(self._turn)
            if self._desk.replaying and self._chance.random() < 0.8:
                self._order_replay(self._stop_at(around))
        elif roll < 0.83 and not (around is not None and around.fenced):
            self._say(self._provider.change_payers(self._chance))
            self._workload.boundaries.append(self._provider.now)
            self.outcome.happened["payers changed"] += 1
        elif roll < 0.88:
            self._say(self._desk.correct())
        elif roll < 0.95:
            self._say(self._provider.change_things(self._chance))
        elif around is None:
            self._provider.world.clock.forward(minutes=self._chance.choice((1, 30, 90, 600)))

    def _order_replay(self, stop_at: int | None) -> None:
        order, note = self._desk.go_on(stop_at)
        self._say(f"replay {order.id}")
        self._order(order, (), note)

    def _stop_at(self, around: Stopped | None) -> int | None:
        """Perhaps a step to stop at; one process is stopped at a time."""
        may = around is None and self._chance.random() < 0.5
        return self._chance.randrange(STOPS_WITHIN) if may else None

    def _deliver(self, *, stop: bool, senders: Sequence[Sender] = ()) -> None:
        chosen = senders or [
            self._chance.choice(self._senders) for _ in range(self._chance.choice((1, 1, 2, 3)))
        ]
        requests = [self._request(sender) for sender in chosen]
        stop_at = self._stop_at(None) if stop else None
        self._order(Deliver(tuple(one.body for one in requests), stop_at), requests)

    def _flush(self, *, kills: bool = True) -> bool:
        """A program of the SDK's sends; whether everything has left the spool."""

        def store(content: bytes, batch: list[bytes]) -> tuple[str, ...] | None:
            self._turn += 1
            received = self._provider.tick(self._chance)
            body = Body(content, self._reaches[self._spooled.name], received, accept_late=False)
            sent = _Sent(self._spooled, batch, body)
            self._order(Deliver((body,), self._stop_at(None) if kills else None), [sent])
            return sent.told[0]

        return self._outpost.flush(self._provider.now, store, kills=kills)

    def _request(self, sender: Sender) -> _Sent:
        if sender.unacknowledged and self._chance.random() < 0.6:
            batch = sender.unacknowledged.pop(self._chance.randrange(len(sender.unacknowledged)))
        else:
            batch = self._workload.batch(sender, self._provider.now)
        return self._sent(sender, batch)

    def _sent(self, sender: Sender, batch: list[bytes]) -> _Sent:
        received = self._provider.tick(self._chance)
        content = b"[" + self._chance.choice((b",", b" ,\n")).join(batch) + b"]"
        reach = self._reaches[sender.name]
        return _Sent(sender, batch, Body(content, reach, received, sender.accept_late))

    # -- orders

    def _order(self, order: Order, requests: Sequence[_Sent], note: Note | None = None) -> None:
        process = self._idle.pop(self._chance.randrange(len(self._idle)))
        flight = _Flight(process, requests, note, self._turn, len(self._provider.log))
        process.line.send(order)
        reply = self._reply(process)
        if reply is None:
            self._blocked.append(flight)
        elif isinstance(reply, Stopped):
            self._while_stopped(flight, reply)
        else:
            self._finish(flight, reply)

    def _reply(self, process: _Process) -> Any:
        """What the process says; None if it waits for a lock of one that is stopped."""
        until = monotonic() + ANSWER_S_MAX
        while not process.line.poll(_POLL_S):
            if monotonic() > until:
                raise TimeoutError(f"seed {self.outcome.seed}: a process hangs in turn {self._turn}")
            if self._stopped and self._somebody_waits():
                return None
        try:
            return process.line.recv()
        except EOFError:
            process.end()
            return Broke("a process ended by itself", ended=True)

    _stopped = False

    def _somebody_waits(self) -> bool:
        if self._watch is None or self._watch.closed:
            self._watch = self._ground.superuser("postgres")
        query = "select count(*) from pg_stat_activity where datname = %s and wait_event_type = 'Lock'"
        row = self._watch.execute(
            query, (self._databases.ingest.conninfo.rpartition("dbname=")[2],)
        ).fetchone()
        return row is not None and row[0] > len(self._blocked)

    def _while_stopped(self, flight: _Flight, stopped: Stopped) -> None:
        """Others take turns meanwhile; then it goes on, or something ends it."""
        self._stopped = True
        happened = self.outcome.happened
        happened[f"stopped {stopped.step}"] += 1
        self._say(f"process {flight.process.number} stopped {stopped.step}")
        for _ in range(self._chance.choice((0, 0, 1, 3))):
            if self._idle and not self._blocked:
                self._take_turn(stopped)
        if self._blocked:
            happened["waited for a lock"] += 1
        self._stopped = False
        self._end_stop(flight, stopped)
        for waiting in self._blocked:
            self._finish(waiting, self._reply(waiting.process))
        self._blocked = []

    def _end_stop(self, flight: _Flight, stopped: Stopped) -> None:
        what = self._chance.choice(("go on", "kill", "cut", "crash"))
        if what == "crash" and self._ground.folder is None:
            what = "kill"
        self.outcome.happened[what] += 1
        self._say(what)
        if what == "kill":
            flight.process.kill()
            self._finish(flight, Killed())
            return
        if what == "cut" and stopped.backend is not None:
            with self._ground.superuser("postgres") as tx:
                tx.execute("select pg_terminate_backend(%s, 5000)", (stopped.backend,))
        if what == "crash":
            if self._watch is not None:
                self._watch.close()
            self._ground.crash()
        flight.process.line.send("go on")
        self._finish(flight, self._reply(flight.process))

    def _finish(self, flight: _Flight, reply: Any) -> None:
        process = flight.process
        if isinstance(reply, Killed) or (isinstance(reply, Broke) and reply.ended):
            process = self._new_process(process.number)
        self._idle.append(process)
        if isinstance(reply, Broke):
            self.outcome.wrong.append(reply.error)
        if isinstance(reply, Compacted):
            self.outcome.happened["compacted" if reply.moved else "nothing to compact"] += 1
        if flight.note is not None:
            flight.note(flight.began, self._turn, reply.told if isinstance(reply, Done) else None)
        fates = reply.fates if isinstance(reply, Answered) else (None,) * len(flight.requests)
        for sent, told in zip(flight.requests, fates, strict=True):
            self._note(flight, sent, told)

    def _note(self, flight: _Flight, sent: _Sent, told: tuple[str, ...] | None) -> None:
        """What the sender learns. Now and then an answer is lost on its way."""
        if told is not None and self._chance.random() < 0.05:
            self.outcome.happened["answers lost"] += 1
            told = None
        sent.told.append(told)
        if told is None:
            self.outcome.happened["requests in doubt"] += 1
            if not sent.sender.spooled:
                sent.sender.unacknowledged.append(sent.batch)
        elif len(told) != len(sent.batch):
            self.outcome.wrong.append(f"{len(told)} fates for {len(sent.batch)} events")
            return
        for place, raw in enumerate(sent.batch):
            fate = None if told is None else told[place]
            self.outcome.happened[f"fate {fate}"] += 1
            offered = Offered(raw, sent.sender.organizations, sent.body.received, sent.body.accept_late)
            known_by = len(self._provider.log)
            self._attempts.append(Attempt(offered, flight.began, self._turn, flight.known, known_by, fate))

    # -- the end

    def _drain(self) -> None:
        """Senders send again what nobody has acknowledged, until somebody has; replays come to their end."""
        if self._desk.replaying:
            self._turn += 1
            self._order_replay(None)
        if not self._desk.replaying:
            self._turn += 1
            self._provider.mend(self._chance)
            self._desk.open_replay(self._turn, of_all=self._chance.random() < 0.7)
        emptied = [self._flush(kills=False) for _ in range(2 * PROGRAMS)]
        for _ in range(DRAINS_MAX):
            if not emptied[-1]:
                emptied.append(self._flush(kills=False))
                continue
            if self._desk.replaying:
                self._turn += 1
                self._order_replay(None)
            waiting = [sender for sender in self._senders if sender.unacknowledged]
            if not waiting:
                return
            for sender in waiting:
                self._turn += 1
                request = self._sent(sender, sender.unacknowledged.pop())
                self._order(Deliver((request.body,), None), [request])
        raise AssertionError(f"seed {self.outcome.seed}: requests stay in doubt")

    def _audit(self) -> None:
        wrong = self.outcome.wrong
        for when in ("", "after the last compaction: "):
            if when:
                self._compact_all()
            with self._databases.ingest.transaction(reach=EVERYWHERE) as tx:
                state = found.read(tx)
            wrong += _unstored(self._outpost.returned, state)
            wrong += [
                f"{when}{each}"
                for each in audit(
                    self._attempts, self._desk.acts, self._desk.corrected, self._provider.log, state
                )
            ]
            if wrong:
                break
        for _, text in state.aside.items():
            self.outcome.happened[f"quarantined {text.split(chr(39))[1]}"] += 1
        self.outcome.happened += self._desk.happened + self._outpost.happened
        self.outcome.happened["ids that record returned"] += len(self._outpost.returned)
        self.outcome.happened["events stored"] += len(state.billed)
        self.outcome.happened["events voided"] += len(state.voids)
        self.outcome.happened["events replayed"] += len(state.replayed)
        self.outcome.happened["events discarded"] += len(state.discarded)
        self.outcome.happened["roll-ups"] += len(state.rollups)

    def _compact_all(self) -> None:
        with self._databases.ingest.transaction(reach=EVERYWHERE) as tx:
            store.compact(tx)
            row = tx.execute("select count(*) from usage.deltas").fetchone()
        if row is None or row[0]:
            self.outcome.wrong.append(f"deltas are left after a compaction: {row}")


def _unstored(returned: Sequence[str], state: Found) -> list[str]:
    """What the SDK took over and did not bring to the gateway. That nothing is stored twice its id says."""
    stored = state.billed.keys() | state.aside.keys() | state.discarded.keys()
    return [f"record returned {id}, which is not stored" for id in returned if native(id) not in stored]


def again(seed: int, *, turns: int = TURNS) -> str:
    """The command that repeats a seed, to show to whoever looks into it."""
    more = "" if turns == TURNS else f" --turns {turns}"
    return f"python -m tests.simulation.usage_simulation --seed {seed}{more} --story"


def simulate(seed: int, *, ground: Ground, database: str, turns: int = TURNS) -> Outcome:
    """Run one seed on a new database of that name, which is dropped afterwards."""
    conninfo = ground.server.clone(database)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return Simulation(seed, ground=ground, conninfo=conninfo, folder=Path(folder)).run(turns)
    finally:
        ground.server.drop(database)
