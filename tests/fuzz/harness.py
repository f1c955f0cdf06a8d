"""What an input of a fuzzer is held against: bytes through decode and prepare, and every so often to the database.

The first byte of an input says by which door it comes, the rest is the body. Whatever the bytes are, the good events of
the same group are stored.
"""

import logging
import os
import time
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog

from milo_billing.infra.clock import SystemClock, new_uid, random_bits
from milo_billing.infra.database import EVERYWHERE, Database
from milo_billing.infra.telemetry import PREFIX, REGISTRY
from milo_billing.kernel.errors import BadRequest, TooLarge
from milo_billing.kernel.ids import ulid, ulid_to_int
from milo_billing.usage import store
from milo_billing.usage.engine import decode, groups, knowledge, labels
from milo_billing.usage.engine.commit import Committer
from milo_billing.usage.engine.prepare import Preparer
from milo_billing.usage.engine.prepared import GOOD, Limits
from milo_billing.usage.engine.quarantine import quarantined
from milo_billing.usage.engine.readings import to_us
from milo_billing.usage.engine.rows import pack_deltas, pack_events
from milo_billing.usage.routes import bodies
from milo_billing.usage.types import UnreadableEvents

INPUT_S_MAX: Final = 1.0
"""Of this process's own time: a busy machine does not make an input slow."""

GROWTH_BYTES_MAX: Final = 100 * 1024 * 1024
WARM_INPUTS: Final = 20_000
GROUP_INPUTS: Final = 100
LATE_DAYS_MAX: Final = 30
LIMITS: Final = {"CACHED_MAX": 5_000, "CACHED_BYTES_MAX": 4 * 1024 * 1024, "STORED_MAX": 20_000}
"""Lower than in a server, so that caches fill and begin anew within minutes; what grows then is no cache."""

_HEADERS: Final = {
    "ce-id": "b-1",
    "ce-source": "f%20z",
    "ce-specversion": "1.0",
    "ce-type": "compute.example/cpu",
}
_PLATFORM: Final = groups.Sender(0, EVERYWHERE)
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Harness:
    """What an input is held against."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._committer = Committer(
            database, process=new_uid(), random_bits=random_bits, late_days_max=LATE_DAYS_MAX
        )
        self._preparer = Preparer(random_bits=random_bits)
        self._time = SystemClock().now().isoformat()
        self._now_us = to_us(SystemClock().now())
        self._limits = Limits(LATE_DAYS_MAX, self._now_us // 86_400_000_000 - 45)
        self._inputs = self._goods = self._base = 0
        self._waiting: list[groups.Request] = []
        with database.transaction(reach=EVERYWHERE) as tx:
            found = store.read_versions(tx)
            versions = knowledge.Versions(found["payers"], found["meters"], found["projects"])
            self._known = knowledge.refreshed(tx, knowledge.nothing(), versions, projects=True)

    def take(self, data: bytes) -> None:
        """One input. Raises if it breaks anything."""
        began = time.process_time()
        batch = read(data)
        if batch is not None:
            self._prepare(batch)
        took = time.process_time() - began
        if took > INPUT_S_MAX:
            raise AssertionError(f"one input took {took:.1f} s")
        self._inputs += 1
        if batch is not None:
            self._waiting.append(self._request(batch))
            if len(self._waiting) >= GROUP_INPUTS:
                self._commit()

    def _request(self, batch: decode.Batch) -> groups.Request:
        return groups.Request(batch, _PLATFORM, self._now_us)

    def good(self) -> groups.Request:
        """Three good events."""
        self._goods += 3
        events: list[dict[str, object]] = [
            {
                "specversion": "1.0",
                "id": ulid(self._now_us // 1_000, (os.getpid() << 40) + self._goods + n),
                "source": "good",
                "type": "compute.example/cpu",
                "subject": "projects/web",
                "time": self._time,
                "data": {"value": str(n), "dimensions": {"region": "eu"} if n else {}},
            }
            for n in range(3)
        ]
        return self._request(decode.decode_batch(decode.encode_batch(events)))

    def _prepare(self, batch: decode.Batch) -> None:
        """Every event is decided; the good ones around it are good; what would be written can be written."""
        before, after = self.good(), self.good()
        group = groups.whole([before, self._request(batch), after])
        prepared = self._preparer.prepare(group, self._known, self._limits)
        rows = prepared.rows
        numbers = {*rows.number.tolist(), *prepared.followers.number.tolist()}
        numbers |= {item.number for item in prepared.rejected}
        assert numbers == set(range(group.size)), "an event has no fate"
        good = rows.take(rows.reason == GOOD)
        stored = set(good.number.tolist())
        ends = {*range(3), *range(group.size - 3, group.size)}
        assert ends <= stored, "a good event is not good beside others"
        assert len(pack_events(good)) and len(pack_deltas(good))
        for event in quarantined(prepared, rows.take(rows.reason != GOOD)):
            for text in (event.detail, event.meter, event.project):
                assert "\0" not in text.encode().decode(), "PostgreSQL's text holds no NUL"
        for value in (*prepared.new_dimensions.values(), *prepared.new_resources.values()):
            value.decode()

    def _commit(self) -> None:
        """A real transaction with all that gathered: nothing may spoil it, and the good events are there."""
        good = [self.good(), self.good()]
        waiting, self._waiting = self._waiting, []
        divided = _divided()
        self._committer.commit(groups.whole([good[0], *waiting, good[1]]), None)
        if _divided() != divided:
            raise AssertionError("an event that nobody foresaw spoiled a group")
        ids = [UUID(int=ulid_to_int(event.id)) for request in good for event in request.batch.events]
        with self._database.transaction(reach=EVERYWHERE) as tx:
            row = tx.execute("select count(*) from usage.events where id = any (%s)", (ids,)).fetchone()
        assert row is not None and row[0] == len(ids), f"{row} of {len(ids)} good events are stored"
        assert all(request.acknowledged().accepted == 3 for request in good)

    def look_at_memory(self) -> None:
        """Raise if it has grown since the caches were full."""
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
        if self._inputs <= WARM_INPUTS:
            self._base = resident
        elif resident - self._base > GROWTH_BYTES_MAX:
            raise AssertionError(
                f"memory grew by {(resident - self._base) >> 20} MiB in {self._inputs} inputs"
            )


def _divided() -> float | None:
    return REGISTRY.get_sample_value(f"{PREFIX}usage_groups_divided_total")


def _decode_gzip(body: bytes) -> decode.Batch:
    with bodies.Room().visit() as visit:
        return decode.decode_batch(bodies.decompress(body, visit))


def read(data: bytes) -> decode.Batch | None:
    """What the doors read of a body; None where they refuse it."""
    door, body = data[:1], data[1:]
    try:
        match door:
            case b"g":
                return _decode_gzip(body)
            case b"1":
                return decode.decode_event(body)
            case b"b":
                head, _, rest = body.partition(b"\n")
                split = [part.partition("=") for part in head.decode("latin-1").split("&")]
                more = {name: value for name, _, value in split}
                return decode.decode_binary({**_HEADERS, **more}, rest)
            case _:
                return decode.decode_batch(body)
    except (UnreadableEvents, TooLarge, BadRequest):
        return None


def harness(conninfo: str) -> Harness:
    """On this database, with lower limits and a log that says nothing."""
    structlog.configure(processors=[_drop])
    logging.disable()
    for name, value in LIMITS.items():
        setattr(labels, name, value)
    return Harness(Database(conninfo, role="milo_ingest", pool_max=1))


def _drop(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent
