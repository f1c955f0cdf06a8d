"""One roll-up row counted again from everything that makes it up, and the lock under which that is exact.

A row is (events of the database and of the archive − voids + corrections), summed up. While the compaction lock is
held, nobody moves deltas; ingest goes on, and what it commits later stays in deltas of its own. The deltas that go and
the events that are counted are of one snapshot, because it is one statement. Not: what is voided (voids).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, LiteralString
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.kernel.quantity import INT64_MAX, INT64_MIN
from milo_billing.usage import store
from milo_billing.usage.engine import sealing
from milo_billing.usage.engine.archive import Archive
from milo_billing.usage.types import RowKey, StoredEvent

NO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
NO_ID: Final = UUID(int=0)

KEY: LiteralString = (
    "account = %(account)s and day = %(day)s and project = %(project)s and meter = %(meter)s "
    "and dimensions = %(dimensions)s"
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a roll-up row holds. With no event in it, min, max and last are such that any event takes their place."""

    sum: int = 0
    count: int = 0
    min: int = INT64_MAX
    max: int = INT64_MIN
    last: int = 0
    last_at: datetime = NO_TIME
    last_id: UUID = NO_ID

    def with_event(self, event: StoredEvent) -> "Figures":
        """The figures of one event more."""
        newer = (event.event_at, event.id) > (self.last_at, self.last_id)
        return Figures(
            sum=self.sum + event.value,
            count=self.count + 1,
            min=min(self.min, event.value),
            max=max(self.max, event.value),
            last=event.value if newer else self.last,
            last_at=event.event_at if newer else self.last_at,
            last_id=event.id if newer else self.last_id,
        )


def key_parameters(key: RowKey) -> dict[str, Any]:
    """The parameters of KEY."""
    return {name: getattr(key, name) for name in RowKey.__slots__}


def hold_rows(tx: Tx) -> None:
    """Until the transaction ends no roll-up row changes but by this transaction, and no partition goes.

    Then moves all deltas there are, so that the rows hold whatever was committed before. `tx` is of milo_ingest.
    """
    store.lock_compaction(tx)
    sealing.hold_retention(tx)
    store.compact(tx)


def recount(tx: Tx, key: RowKey, archive: Archive) -> None:
    """Put the row right by counting its events again; a row without events and corrections goes away.

    The caller holds the rows. Raises ArchiveDamaged where a file that is needed is not to be had.
    """
    archived = _summed(archive.read_row(tx, key))
    # one statement, one snapshot: a delta that goes is of an event that is counted
    row = tx.execute(
        f"with gone as (delete from usage.deltas where {KEY}), parts as ("
        "select value::numeric as sum, 1::bigint as count, value as min, value as max, value as last, "
        f"event_at as last_at, id as last_id, 0 as corrections from usage.events e where {KEY} "
        "and not exists (select from usage.voids v where v.id = e.id) "
        f"union all select sum, count, min, max, last, last_at, uid, 1 from usage.corrections where {KEY} "
        "union all select %(sum)s::numeric, %(count)s::bigint, %(min)s::bigint, %(max)s::bigint, %(last)s::bigint, "
        "%(last_at)s::timestamptz, %(last_id)s::uuid, 0) "
        "select sum(sum), sum(count)::bigint, min(min), max(max), "
        "(array_agg(last order by last_at desc, last_id desc))[1], max(last_at), "
        "(array_agg(last_id order by last_at desc, last_id desc))[1], sum(corrections) from parts",
        {**key_parameters(key), **{name: getattr(archived, name) for name in Figures.__slots__}},
    ).fetchone()
    assert row is not None, "an aggregate has a row"
    *figures, corrections = row
    if not figures[1] and not corrections:
        tx.execute(f"delete from usage.rollups where {KEY}", key_parameters(key))
        return
    tx.execute(
        "insert into usage.rollups (account, day, project, meter, dimensions, sum, count, min, max, last, last_at, "
        "last_id) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "on conflict (account, day, project, meter, dimensions) do update set sum = excluded.sum, "
        "count = excluded.count, min = excluded.min, max = excluded.max, last = excluded.last, "
        "last_at = excluded.last_at, last_id = excluded.last_id",
        (*(getattr(key, name) for name in ("account", "day", "project", "meter", "dimensions")), *figures),
    )


def _summed(events: Iterable[StoredEvent]) -> Figures:
    found = Figures()
    for event in events:
        found = found.with_event(event)
    return found
