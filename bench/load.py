"""A load of usage: a large provider, and CloudEvents of it as request bodies, the same for the same seed.

The figures of performance.md are measured on it: 100,000 projects on 10,000 accounts, 50 meters, 5 % of the projects
rebound, events of about 500 bytes, 0.2 % of them unattributable and 1 % late. A *local* request carries the 40 projects
of one node out of 2,500, as its agent sends; a *wide* one any project, the worst case for roll-ups.
"""

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from milo_billing.infra.database import Tx
from milo_billing.kernel.ids import int_to_ulid
from milo_billing.usage.engine.readings import to_instant

Mix = Literal["local", "wide"]

METERS = 50
PROJECTS_A_NODE = 40
UNATTRIBUTABLE = 0.002
LATE = 0.01
RECENT_MAX = 20_000
"""A duplicate repeats one of so many events before it."""

_DAY_MS = 86_400_000
_REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-south-1")
_TIERS = ("standard", "premium")


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: `requests` bodies of `events` each."""

    mix: Mix
    requests: int
    events: int
    duplicates: float = 0.0
    projects: int = 100_000
    seed: int = 1

    @property
    def size(self) -> int:
        """Events in all."""
        return self.requests * self.events


def declare_provider(owner_tx: Tx, *, now: datetime, projects: int = 100_000) -> None:
    """Insert what the load is about, as milo_owner: ten projects an account, every twentieth rebound ten days ago."""
    values = {"since": now - timedelta(days=365), "rebound": now - timedelta(days=10), "last": projects - 1}
    for statement in (
        "insert into directory.organizations select g, gen_random_uuid(), 'org-' || g, %(since)s "
        "from generate_series(1, %(last)s / 100 + 1) g",
        "insert into directory.projects (uid, name, owner_org, created_at) "
        "select gen_random_uuid(), 'p-' || lpad(g::text, 6, '0'), g / 100 + 1, %(since)s "
        "from generate_series(0, %(last)s) g order by g",
        "insert into accounts.accounts "
        "(uid, namespace, name, owner_org, currency, time_zone, phase, created_at, version) "
        "select gen_random_uuid(), 'organization-org-' || (g / 10 + 1), 'a-' || g, g / 10 + 1, 'USD', "
        "(array['Etc/UTC', 'Etc/UTC', 'America/New_York', 'Europe/Berlin', 'Asia/Kolkata'])[g %% 5 + 1], "
        "'Ready', %(since)s, 1 from generate_series(0, %(last)s / 10) g order by g",
        "insert into accounts.payer_intervals "
        "(owner_org, project, account, binding, binding_name, project_name, starts_at, ends_at, version) "
        "select g / 100 + 1, g + 1, (case when g %% 20 = 0 then (g + 10) %% %(last)s else g end) / 10 + 1, "
        "gen_random_uuid(), 'b', 'p-' || lpad(g::text, 6, '0'), "
        "%(since)s, case when g %% 20 = 0 then %(rebound)s else 'infinity' end, 1 "
        "from generate_series(0, %(last)s) g",
        "insert into accounts.payer_intervals "
        "(owner_org, project, account, binding, binding_name, project_name, starts_at, version) "
        "select g / 100 + 1, g + 1, g / 10 + 1, gen_random_uuid(), 'b', 'p-' || lpad(g::text, 6, '0'), "
        "%(rebound)s, 1 "
        "from generate_series(0, %(last)s, 20) g",
        "insert into catalog.meters (uid, meter_name, phase, aggregation, unit, dimensions) "
        f"select gen_random_uuid(), 'compute.example/meter-' || g, 'Published', 'Sum', '1', "
        f"array['region', 'tier'] from generate_series(0, {METERS - 1}) g",
        "insert into catalog.meters (uid, meter_name, phase, aggregation, unit, dimensions, unique_key) "
        "select gen_random_uuid(), 'compute.example/unique-' || g, 'Published', 'UniqueCount', '1', "
        f"array['region', 'tier'], 'user' from generate_series(0, {METERS - 1}) g",
    ):
        owner_tx.execute(statement.encode(), values)
    owner_tx.commit()


def generate(load: Load, *, now_ms: int) -> Iterator[bytes]:
    """The bodies of the requests: JSON arrays of CloudEvents, ids ascending and ending at `now_ms`."""
    rng = random.Random(f"{load.seed} {load.mix} {load.events}")
    recent: list[str] = []
    ms = now_ms - load.size // 20
    nodes = load.projects // PROJECTS_A_NODE
    for _ in range(load.requests):
        node = rng.randrange(nodes)
        events: list[str] = []
        for i in range(load.events):
            if recent and rng.random() < load.duplicates:
                events.append(recent[rng.randrange(len(recent))])
                continue
            anywhere = load.mix == "wide"
            project = (
                rng.randrange(load.projects) if anywhere else node + nodes * rng.randrange(PROJECTS_A_NODE)
            )
            event = _event(rng, project, ms + i // 20)
            events.append(event)
            if load.duplicates:
                recent.append(event)
        del recent[:-RECENT_MAX]
        ms += load.events // 20
        yield f"[{','.join(events)}]".encode()


def with_users(bodies: Iterable[bytes], *, users: int = 1_000_000, seed: int = 1) -> Iterator[bytes]:
    """The same events for meters that count users, each with one of so many."""
    rng = random.Random(f"{seed} users")
    for body in bodies:
        counted = body.replace(b'"compute.example/meter-', b'"compute.example/unique-')
        yield re.sub(
            rb'"dimensions":{', lambda _: b'"dimensions":{"user":"u-%d",' % rng.randrange(users), counted
        )


def _event(rng: random.Random, project: int, ms: int) -> str:
    at_ms = ms - (rng.randrange(20 * _DAY_MS) if rng.random() < LATE else rng.randrange(3_000))
    name = f"p-{project:06d}" if rng.random() >= UNATTRIBUTABLE else f"gone-{project}"
    meter = (project * 7 + rng.randrange(5)) % METERS
    instance = project * 4 + rng.randrange(4)
    time = to_instant(at_ms * 1000).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (
        f'{{"specversion":"1.0","id":"{int_to_ulid(ms << 80 | rng.getrandbits(80))}",'
        f'"type":"compute.example/meter-{meter}","source":"//compute.example/controllers/instance-reconciler",'
        f'"subject":"projects/{name}","time":"{time}","datacontenttype":"application/json","data":'
        f'{{"value":"{rng.randrange(1, 5_000)}","dimensions":{{"region":"{_REGIONS[project & 3]}",'
        f'"tier":"{_TIERS[rng.randrange(2)]}"}},"resource":{{"group":"compute.example","kind":"Instance",'
        f'"namespace":"default","name":"instance-{instance}","uid":"{instance:08x}-0000-4000-8000-{instance:012x}"}}}}}}'
    )
