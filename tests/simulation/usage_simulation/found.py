"""What the database holds, in the words of the auditor."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, LiteralString
from uuid import UUID

import orjson

from milo_billing.infra.database import Tx
from tests.simulation.usage_simulation.courses import State
from tests.simulation.usage_simulation.judging import Billed, aside_text, billed_text
from tests.simulation.usage_simulation.rollups import Distinct, RollUp, RollUps, Series, add
from tests.simulation.usage_simulation.used import Used, read_used

_NAMES: LiteralString = (
    "join accounts.accounts a on a.number = u.account join directory.projects p on p.number = u.project "
    "join catalog.meters m on m.number = u.meter join usage.dimension_sets d on d.hash = u.dimensions"
)


@dataclass(frozen=True)
class Found:
    """Rows as texts by id (`Billed.said`), roll-ups with deltas, ids of foreign events, counts of fates.

    Of voids it is `Billed.counted_as`, of what was replayed the reason why it waited.
    """

    billed: Mapping[UUID, str]
    aside: Mapping[UUID, str]
    discarded: Mapping[UUID, str]
    voids: Mapping[UUID, str]
    replayed: Mapping[UUID, str]
    rollups: RollUps
    distinct: Distinct
    used: Used
    foreign: frozenset[UUID]
    tallies: Mapping[tuple[str, date, str], int]

    def holds(self, id: UUID, state: State) -> bool:
        """Whether the rows say exactly this of the event."""
        rows = self.billed if isinstance(state.verdict, Billed) else self.aside
        if state.gone and not isinstance(state.verdict, Billed):
            rows = self.discarded
        voided = state.gone and isinstance(state.verdict, Billed)
        reason = None if state.moved_from is None else state.moved_from.reason
        return (
            rows.get(id) == state.verdict.said
            and (id in self.voids) == voided
            and self.replayed.get(id) == reason
        )

    def by_text(self, *, without: Collection[UUID]) -> dict[str, list[UUID]]:
        """The ids that the server made, by what their rows say; in order."""
        found: defaultdict[str, list[UUID]] = defaultdict(list)
        for rows in (self.billed, self.aside, self.discarded):
            for id, text in sorted(rows.items()):
                if id not in without:
                    found[text].append(id)
        return found


def read(tx: Tx) -> Found:
    """Everything that usage has stored. `tx` sees everything."""
    organizations: dict[int, str] = dict(
        tx.execute("select number, name from directory.organizations where number > 0").fetchall()
    )
    foreign = frozenset(id for (id,) in tx.execute("select event from usage.foreign_ids"))
    return Found(
        billed=_billed(tx),
        aside=_aside(tx, organizations, "quarantine"),
        discarded=_aside(tx, organizations, "discarded"),
        voids=_voids(tx),
        replayed=dict(tx.execute("select id, reason from usage.replayed").fetchall()),
        rollups=_rollups(tx),
        distinct=_distinct(tx),
        used=_used(tx),
        foreign=foreign,
        tallies=_tallies(tx, organizations),
    )


def _billed(tx: Tx) -> dict[UUID, str]:
    query: LiteralString = (
        "select u.id, a.name, p.name, p.created_at, m.meter_name, u.day, d.dimensions, u.value, u.event_at, "
        "u.received_at, r.resource from usage.events u left join usage.resources r on r.hash = u.resource "
    )
    return {
        row[0]: billed_text(
            row[1],
            (row[2], row[3]),
            row[4],
            row[5],
            _sorted(row[6]),
            row[7],
            row[8],
            row[9],
            None if row[10] is None else _sorted(orjson.loads(row[10])),
        )
        for row in tx.execute(query + _NAMES)
    }


def _aside(
    tx: Tx, organizations: Mapping[int, str], table: Literal["quarantine", "discarded"]
) -> dict[UUID, str]:
    query = f"select id, reason, owner_org, meter, project, event_at, received_at, event from usage.{table}"
    return {
        row[0]: aside_text(row[1], organizations.get(row[2], ""), *row[3:7], bytes(row[7]))
        for row in tx.execute(query)
    }


def _voids(tx: Tx) -> dict[UUID, str]:
    query: LiteralString = (
        "select u.id, a.name, p.name, p.created_at, m.meter_name, u.day, d.dimensions, u.value, u.event_at "
        "from usage.voids u "
    )
    return {
        row[0]: repr((row[1], (row[2], row[3]), row[4], row[5], _sorted(row[6]), row[7], row[8]))
        for row in tx.execute(query + _NAMES)
    }


def _rollups(tx: Tx) -> RollUps:
    figures: LiteralString = "sum, count, min, max, last, last_at, last_id"
    columns: LiteralString = f"account, day, project, meter, dimensions, {figures}"
    query: LiteralString = (
        f"select a.name, p.name, p.created_at, m.meter_name, u.day, d.dimensions, {figures} from "
        f"(select {columns} from usage.rollups union all select {columns} from usage.deltas) u {_NAMES}"
    )
    found: RollUps = {}
    for row in tx.execute(query):
        series = (row[0], (row[1], row[2]), row[3], row[4], _sorted(row[5]))
        # of a correction that only adds there is nothing to compare: its least lies above its greatest
        compared = (None,) * 5 if row[8] > row[9] else row[8:]
        add(found, series, RollUp(int(row[6]), row[7], *compared))
    return found


def _distinct(tx: Tx) -> Distinct:
    columns: LiteralString = "account, day, project, meter, dimensions, key, events"
    query: LiteralString = (
        "select a.name, p.name, p.created_at, m.meter_name, u.day, d.dimensions, u.key, sum(u.events)::int from "
        f"(select {columns} from usage.distinct_keys union all select {columns} from usage.distinct_key_deltas) u "
        f"{_NAMES} group by 1, 2, 3, 4, 5, 6, 7"
    )
    found: defaultdict[Series, list[int]] = defaultdict(list)
    for row in tx.execute(query):
        found[row[0], (row[1], row[2]), row[3], row[4], _sorted(row[5])].append(row[7])
    return {series: tuple(sorted(counts)) for series, counts in found.items()}


def _used(tx: Tx) -> Used:
    rows = tx.execute("select number, name, created_at from directory.projects")
    return read_used(tx, {number: (name, created_at) for number, name, created_at in rows})


def _tallies(tx: Tx, organizations: Mapping[int, str]) -> dict[tuple[str, date, str], int]:
    found: Counter[tuple[str, date, str]] = Counter()
    for owner, day, fate, events in tx.execute("select owner_org, day, fate, events from usage.tallies"):
        found[organizations.get(owner, ""), day, fate] += events
    return found


def _sorted(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
