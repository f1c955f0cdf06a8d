"""Meters, projects and payers for tests of usage, and events for them; the engine works on a real database.

Acme's project `web` is paid for by `main` (USD, UTC); rival has a project of its own. What tests say about the database
is asked of the raw events, not of the code that wrote them.
"""

import itertools
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from milo_billing.catalog.resources import kinds as catalog
from milo_billing.infra.clock import new_uid, random_bits
from milo_billing.infra.database import EVERYWHERE, Databases, Reach
from milo_billing.kernel.ids import ulid
from milo_billing.usage.engine import decode, groups
from milo_billing.usage.engine.answers import Acknowledged
from milo_billing.usage.engine.commit import Committer
from milo_billing.usage.engine.groups import Request, Sender
from milo_billing.usage.engine.readings import to_us
from milo_billing.usage.rules import sender_organization
from tests.accounts_world import World, make_world, open_world

CPU = "compute.example/cpu"
BYTES = "web.example/bytes"
JSON = dict[str, Any]


def meter_spec(name: str, *dimensions: str, phase: str = "Published", **measurement: Any) -> JSON:
    """The spec of a MeterDefinition."""
    return {
        "meterName": name,
        "phase": phase,
        "measurement": {"aggregation": "Sum", "unit": "1", "dimensions": list(dimensions), **measurement},
    }


@dataclass
class UsageWorld:
    """A provider, and one committer that takes groups without threads."""

    world: World
    committer: Committer
    _count: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def now(self) -> datetime:
        """The instant that doors read at present."""
        return self.world.clock.now()

    @property
    def databases(self) -> Databases:
        """Pools of the test's database."""
        return self.world.databases

    def new_committer(self) -> Committer:
        """Another ingest process on the same database."""
        return make_committer(self.databases)

    def event(self, project: str = "web", meter: str = CPU, value: Any = "1", **attributes: Any) -> JSON:
        """A good event that happened now; `dimensions`, `resource` and any attribute can be given."""
        data: JSON = {"value": value}
        for name in ("dimensions", "resource"):
            if name in attributes:
                data[name] = attributes.pop(name)
        at: datetime = attributes.pop("at", self.now)
        return {
            "specversion": "1.0",
            "id": ulid(int(self.now.timestamp() * 1000), next(self._count)),
            "source": "test",
            "type": meter,
            "subject": f"projects/{project}",
            "time": at.isoformat().replace("+00:00", "Z"),
            "data": data,
            **attributes,
        }

    def request(
        self, events: Sequence[Any], *, reach: Reach = EVERYWHERE, accept_late: bool = False
    ) -> Request:
        """What a door makes of a body."""
        return Request(
            batch=decode.decode_batch(msgspec.json.encode(list(events))),
            sender=Sender(owner_org=sender_organization(reach), reach=reach),
            received_us=to_us(self.now),
            accept_late=accept_late,
        )

    def ingest(
        self,
        *batches: Sequence[Any],
        reach: Reach = EVERYWHERE,
        accept_late: bool = False,
        committer: Committer | None = None,
    ) -> list[Acknowledged]:
        """Store batches of events as one group; the answer to each."""
        requests = [self.request(events, reach=reach, accept_late=accept_late) for events in batches]
        (committer or self.committer).commit(groups.whole(requests), None)
        return [request.acknowledged() for request in requests]

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database says, to one who may read everything."""
        with self.databases.ingest.transaction(reach=EVERYWHERE) as tx:
            return tx.execute(query.encode(), values).fetchall()

    def value(self, query: str, *values: Any) -> Any:
        """The single value of a query."""
        return self.rows(query, *values)[0][0]

    def quarantined(self) -> list[str]:
        """Reasons in quarantine, one an event, sorted."""
        return [reason for (reason,) in self.rows("select reason from usage.quarantine order by reason")]

    def rolled_up(self) -> dict[tuple[str, str, str, date], tuple[int, ...]]:
        """Roll-ups and deltas together: (account, project, dimensions, day) → sum, count, min, max, last."""
        return self._by_series(
            "with parts as (select account, project, dimensions, day, sum, count, min, max, last, last_at, last_id "
            "from usage.rollups union all select account, project, dimensions, day, sum, count, min, max, last, "
            "last_at, last_id from usage.deltas) "
            "select a.name, p.name, d.dimensions::text, u.day, sum(u.sum), sum(u.count), min(u.min), max(u.max), "
            "(array_agg(u.last order by u.last_at desc, u.last_id desc))[1] from parts u"
        )

    def recounted(self) -> dict[tuple[str, str, str, date], tuple[int, ...]]:
        """The same from the stored events themselves."""
        return self._by_series(
            "select a.name, p.name, d.dimensions::text, u.day, sum(u.value), count(*), min(u.value), max(u.value), "
            "(array_agg(u.value order by u.event_at desc, u.id desc))[1] from usage.events u"
        )

    def _by_series(self, query: str) -> dict[tuple[str, str, str, date], tuple[int, ...]]:
        rows = self.rows(
            f"{query} join accounts.accounts a on a.number = u.account "
            "join directory.projects p on p.number = u.project "
            "join usage.dimension_sets d on d.hash = u.dimensions group by 1, 2, 3, 4"
        )
        return {row[:4]: tuple(int(figure) for figure in row[4:]) for row in rows}

    def organization(self, name: str) -> int:
        """The number of an organization."""
        return self.value("select number from directory.organizations where name = %s", name)


def make_usage_world(databases: Databases, folder: Path) -> UsageWorld:
    """Acme with `web`, bound to `main`; two published meters. An hour later."""
    world = make_world(databases, folder)
    world.create(catalog.MeterDefinition, "cpu", meter_spec(CPU, "region", "tier"))
    world.create(catalog.MeterDefinition, "bytes", meter_spec(BYTES, "status"))
    world.account()
    world.project("web")
    world.project("rivals", organization="rival")
    world.bind("web", project="web")
    return open_usage_world(databases, folder)


def open_usage_world(databases: Databases, folder: Path) -> UsageWorld:
    """The world that was made."""
    world = open_world(databases, folder)
    world.grants.granted["billing.miloapis.com/billingaccountbindings.backdate"] = EVERYWHERE
    world.clock.forward(hours=1)
    return UsageWorld(world, make_committer(databases))


def make_committer(databases: Databases) -> Committer:
    """What an ingest process stores groups with."""
    return Committer(databases.ingest, process=new_uid(), random_bits=random_bits, late_days_max=30)


def answered(future: "Future[Acknowledged]") -> Acknowledged:
    """The answer, within ten seconds."""
    return future.result(timeout=10)


HOUR = timedelta(hours=1)
