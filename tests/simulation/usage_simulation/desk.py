"""The desk of the provider's staff: what they put right in the usage that has come, and what they were told.

They see what the API shows: events, quarantine and voids as they stand. What they chose does not matter to the auditor;
what they were told does.
"""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from milo_billing.controlplane.identity import Identity
from milo_billing.infra.database import EVERYWHERE, Databases, Reach
from milo_billing.usage import operations
from milo_billing.usage.types import QuarantineFilter
from tests.simulation.usage_simulation.correcting import Corrected, Wanted
from tests.simulation.usage_simulation.courses import Act, Replayed, Voided
from tests.simulation.usage_simulation.process import GoOnReplaying, VoidEvent
from tests.simulation.usage_simulation.provider import (
    PAYERS,
    PROJECTS,
    RIVALS,
    RIVALS_ACCOUNT,
    Provider,
)

Series = tuple[Any, ...]


@dataclass(frozen=True)
class _Event:
    id: UUID
    series: Series
    value: int
    at: Any


class Desk:
    """Voids, replays and corrections; `acts` has what became of them. One replay is open at a time."""

    def __init__(self, databases: Databases, provider: Provider, chance: random.Random) -> None:
        self._databases = databases
        self._provider = provider
        self._chance = chance
        self._numbers: dict[str, int] = {}
        self._open: tuple[UUID, Replayed] | None = None
        self.acts: list[Act] = []
        self.corrected: list[Corrected] = []
        self.happened: Counter[str] = Counter()

    def begin(self, organizations: dict[str, int]) -> None:
        """The numbers of organizations are known now."""
        self._numbers = organizations

    # -- voids

    def choose_void(self, stop_at: int | None) -> tuple[VoidEvent, Callable[[int, int, str | None], None]]:
        """An event to void, and whom to tell what came of it: (turn it began in, turn it ended in, told)."""
        id, why = self._choose_id()
        organizations = self._chance.choice((None, None, None, None, ("acme",), ("acme",), ("rival",)))
        self.happened[f"void of {why}"] += 1

        def note(began: int, ended: int, told: str | None) -> None:
            self.happened[f"told {told}"] += 1
            self.acts.append(Voided(id, organizations, began, ended, told))

        return VoidEvent(id, self._reach(organizations), self._provider.now, stop_at), note

    def _choose_id(self) -> tuple[UUID, str]:
        """Mostly an event that its row turns on."""
        chance, roll = self._chance, self._chance.random()
        waiting = self._ids("select id from usage.quarantine order by id")
        if roll < 0.2 and waiting:
            return chance.choice(waiting), "what waits in quarantine"
        before = self._ids("select id from usage.voids union select id from usage.discarded order by 1")
        if roll < 0.3 and before:
            return chance.choice(before), "what was voided before"
        events = self._events()
        if roll < 0.33 or not events:
            return UUID(int=chance.getrandbits(128)), "what nobody sent"
        series = chance.choice(sorted({event.series for event in events}, key=repr))
        row = sorted((event for event in events if event.series == series), key=lambda one: (one.at, one.id))
        low, high = min(row, key=lambda one: one.value), max(row, key=lambda one: one.value)
        return chance.choice(
            (
                (low.id, "the least"),
                (high.id, "the greatest"),
                (row[-1].id, "the latest"),
                (chance.choice(row).id, "any of a row"),
            )
        )

    def _events(self) -> list[_Event]:
        query = (
            "select id, account, day, project, meter, dimensions, distinct_key, value, event_at from usage.events e "
            "where not exists (select from usage.voids v where v.id = e.id) order by id"
        )
        with self._databases.ingest.transaction(reach=EVERYWHERE) as tx:
            rows = tx.execute(query).fetchall()
        return [_Event(row[0], row[1:7], row[7], row[8]) for row in rows]

    def _ids(self, query: str) -> list[UUID]:
        with self._databases.ingest.transaction(reach=EVERYWHERE) as tx:
            return [id for (id,) in tx.execute(query.encode())]

    def _reach(self, organizations: tuple[str, ...] | None) -> Reach:
        return (
            EVERYWHERE if organizations is None else frozenset(self._numbers[name] for name in organizations)
        )

    # -- corrections

    def correct(self) -> str:
        """File a correction, mostly for a day and a row that there are; returns what it was."""
        chance, declared = self._chance, self._provider.log.after(len(self._provider.log))
        rows = self._rows()
        if rows and chance.random() < 0.7:
            account, project, meter, day, labels = chance.choice(rows)
        else:
            account, project = (
                chance.choice((*PAYERS, RIVALS_ACCOUNT, "gone")),
                chance.choice((*PROJECTS, RIVALS)),
            )
            meter = chance.choice((*declared.meters, "sim.example/nothing"))
            day = self._provider.now.date() + timedelta(days=chance.choice((-40, -2, -1, 0, 0, 1, 2)))
            labels = chance.choice(({}, {"region": "eu"}, {"colour": "red"}))
        quantity = chance.choice((1, 5, 1000, -1, -7, 2**63 - 1, -(2**63)))
        found = declared.meters.get(meter)
        if found is not None and found.aggregation == "Count":
            quantity = abs(quantity) % 1000  # less than was counted is refused, and who knows what was by now
        wanted = Wanted(account, project, meter, day, tuple(sorted(labels.items())), quantity)
        corrected = self._provider.correct(wanted)
        self.corrected.append(corrected)
        self.happened["corrections" if corrected.uid is not None else "corrections that were refused"] += 1
        return f"corrected {wanted}: {corrected.refused or 'taken'}"

    def _rows(self) -> list[tuple[str, str, str, date, dict[str, str]]]:
        query = (
            "select distinct a.name, p.name, m.meter_name, u.day, d.dimensions::text from usage.events u "
            "join accounts.accounts a on a.number = u.account join directory.projects p on p.number = u.project "
            "join catalog.meters m on m.number = u.meter join usage.dimension_sets d on d.hash = u.dimensions "
            "order by 1, 2, 3, 4, 5"
        )
        with self._databases.ingest.transaction(reach=EVERYWHERE) as tx:
            rows = tx.execute(query).fetchall()
        return [(*row[:4], json.loads(row[4])) for row in rows]

    # -- replays

    @property
    def replaying(self) -> bool:
        """Whether a replay is open."""
        return self._open is not None

    def open_replay(self, turn: int, *, of_all: bool = False) -> None:
        """Have quarantined events tried again: all of them, or those of a reason, a meter, a project."""
        chance, now = self._chance, self._provider.now
        query = "select reason, meter, project from usage.quarantine order by id"
        with self._databases.ingest.transaction(reach=EVERYWHERE) as tx:
            waiting = tx.execute(query).fetchall()
        chosen = chance.choice(waiting) if waiting else (None, None, None)
        named = 0.0 if of_all else 0.3
        reason, meter, project = (part if chance.random() < named else None for part in chosen)
        organizations = chance.choice((None, None, ("acme",), ("rival",), ("acme", "rival")))
        reach, id, known = (
            self._reach(organizations),
            UUID(int=chance.getrandbits(128)),
            len(self._provider.log),
        )
        accept_late = chance.random() < 0.3
        with self._databases.app.transaction(reach=reach) as tx:
            opened = operations.open_replay(
                tx,
                id=id,
                wanted=QuarantineFilter(reason=reason, meter=meter, project=project),
                accept_late=accept_late,
                reach=reach,
                identity=Identity("ann"),
                audit_id=UUID(int=chance.getrandbits(128)),
                now=now,
            )
        self.happened["replays"] += 1
        if opened.state == "finished":
            self.happened["replays of nothing"] += 1
            return
        self._open = (
            id,
            Replayed(organizations, reason, meter, project, accept_late, now, turn, turn, known, known),
        )

    def go_on(self, stop_at: int | None) -> tuple[GoOnReplaying, Callable[[int, int, str | None], None]]:
        """The open replay, and whom to tell what came of it."""
        assert self._open is not None, "somebody has opened one"
        id, _ = self._open

        def note(began: int, ended: int, told: str | None) -> None:
            if told is None:
                self.happened["replays that were interrupted"] += 1
            elif self._open is not None and self._open[0] == id:
                known_by = len(self._provider.log)
                self.acts.append(replace(self._open[1], ended=ended, known_by=known_by))
                self._open = None

        return GoOnReplaying(id, self._provider.now, stop_at), note
