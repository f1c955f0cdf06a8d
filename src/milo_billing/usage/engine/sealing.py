"""The end of a day of raw events, as far as the database goes: seal, detach, drop. Each step can be repeated.

A day is a partition of usage.events by id time. It is sealed behind the fence: no group is being written then, and the
next one sees `sealed_until`. A trigger on the partition says the same to everybody else. Detaching is concurrent:
ingest goes on. Not: the file that a day becomes (parquet), the order of steps (archive).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, LiteralString, cast

from psycopg import sql

from milo_billing.accounts import operations as accounts
from milo_billing.infra import advisory_locks
from milo_billing.infra.database import Tx
from milo_billing.usage.engine.days import day_number
from milo_billing.usage.engine.parquet import MeterTotal
from milo_billing.usage.types import Archived, DayReport, DayState

SEAL_WAIT: Final = "2s"
"""How long sealing waits for locks: ingest waits behind it, so it gives up and is tried again."""

DETACH_WAIT: Final = "30s"

_PARTITION: LiteralString = (
    "select i.inhdetachpending from pg_inherits i join pg_class c on c.oid = i.inhrelid "
    "where i.inhparent = 'usage.events'::regclass and c.relname = %s"
)


@dataclass(frozen=True, slots=True)
class DayPlace:
    """Where the events of a day lie: in a partition of usage.events if `attached`, else in its file, if it had any."""

    day: date
    indexed: bool
    attached: bool
    archived: Archived | None


def partition_name(day: date) -> str:
    """The table of a day, within the schema usage."""
    return f"events_{day:%Y%m%d}"


def list_due(tx: Tx, *, now: datetime, retention_days: int, until: date | None) -> tuple[date, ...]:
    """Days whose time is over and that are not dropped yet, oldest first, none after `until`.

    A day lives until max(the day, the last receipt into it) + `retention_days`. Sealed ones are always due.
    """
    today = now.astimezone(UTC).date()
    query: LiteralString = (
        "select day, sealed_at is not null from usage.days "
        "where dropped_at is null and day <= %s order by day"
    )
    oldest_kept = today - timedelta(days=retention_days)
    last = oldest_kept - timedelta(days=1)
    candidates = tx.execute(query, (last if until is None else min(last, until),)).fetchall()
    return tuple(
        day for day, sealed in candidates if sealed or (_last_receipt(tx, day) or date.min) < oldest_kept
    )


def _last_receipt(tx: Tx, day: date) -> date | None:
    row = tx.execute(sql.SQL("select max(received_at) from {}").format(_table(day))).fetchone()
    return None if row is None or row[0] is None else cast("datetime", row[0]).astimezone(UTC).date()


def seal(tx: Tx, day: date, *, now: datetime) -> None:
    """Take no more events with an id of this day, nor of those before it. In a transaction of its own.

    Raises LockNotAvailable where ingest would have to wait too long; try again.
    """
    tx.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(SEAL_WAIT)))
    accounts.hold_fence(tx, exclusive=True)
    sealed = tx.execute(
        "update usage.days set sealed_at = %s where day = %s and sealed_at is null", (now, day)
    )
    if sealed.rowcount:
        tx.execute(
            sql.SQL(
                "create trigger sealed before insert or update or delete on {} "
                "for each row execute function usage.refuse_sealed()"
            ).format(_table(day))
        )
        tx.execute(
            "update controlplane.versions set version = greatest(version, %s) where name = 'sealed_until'",
            (day_number(day) + 1,),
        )


def count_totals(tx: Tx, day: date) -> dict[int, MeterTotal]:
    """What the day's partition holds, by meter."""
    query = sql.SQL("select meter, count(*), sum(value) from {} group by meter order by meter").format(
        _table(day)
    )
    return {meter: MeterTotal(events, int(total)) for meter, events, total in tx.execute(query)}


def is_attached(tx: Tx, day: date) -> bool:
    """Whether events of the day are still found in usage.events."""
    row = tx.execute(_PARTITION, (partition_name(day),)).fetchone()
    return row is not None and not row[0]


def drop(tx: Tx, day: date, *, now: datetime) -> None:
    """Detach and drop the day's partition. `tx` is in autocommit. The caller has made sure of the archive.

    Waits for those who read partitions and archive together, then they for it.
    """
    tx.execute("select pg_advisory_lock(%s)", (advisory_locks.RETENTION,))
    try:
        row = tx.execute(_PARTITION, (partition_name(day),)).fetchone()
        if row is not None:
            how: LiteralString = (
                "finalize" if row[0] else "concurrently"
            )  # pending: one was killed in the middle
            tx.execute(sql.SQL("set lock_timeout = {}").format(sql.Literal(DETACH_WAIT)))
            tx.execute(
                sql.SQL("alter table usage.events detach partition {} {}").format(_table(day), sql.SQL(how))
            )
        with tx.transaction():
            tx.execute(sql.SQL("drop table if exists {}").format(_table(day)))
            tx.execute("update usage.days set dropped_at = %s where day = %s", (now, day))
    finally:
        tx.execute(
            "set lock_timeout = 0; select pg_advisory_unlock(%s)".replace(
                "%s", str(advisory_locks.RETENTION)
            ).encode()
        )


def hold_retention(tx: Tx) -> None:
    """Until the transaction ends no partition goes: what is not in usage.events is in the archive."""
    tx.execute("select pg_advisory_xact_lock_shared(%s)", (advisory_locks.RETENTION,))


_ARCHIVED: LiteralString = (
    "select day, name, bytes, sha256, events, first_day, last_day, written_at, expired_at from usage.archives"
)


def find_archived(tx: Tx, *, day: date) -> Archived | None:
    """The file that this day of id time was written to; its partition may still stand."""
    row = tx.execute(f"{_ARCHIVED} where day = %s", (day,)).fetchone()
    return None if row is None else Archived(*row)


def list_archived(tx: Tx, *, billing_day: date | None = None) -> tuple[Archived, ...]:
    """Files of the archive in order of day; only those with usage of a billing day, where that is given."""
    rows = tx.execute(
        f"{_ARCHIVED} where %(day)s::date is null or %(day)s between first_day and last_day order by day",
        {"day": billing_day},
    )
    return tuple(Archived(*row) for row in rows)


def list_places(tx: Tx, *, first: date) -> tuple[DayPlace, ...]:
    """Where the events of the days of id time from `first` on lie, in order. The caller holds retention."""
    rows = tx.execute(
        "select d.day, d.indexed, coalesce(not i.inhdetachpending, false), a.day, a.name, a.bytes, a.sha256, a.events, "
        "a.first_day, a.last_day, a.written_at, a.expired_at from usage.days d "
        "left join pg_class c on c.relname = 'events_' || to_char(d.day, 'YYYYMMDD') "
        "and c.relnamespace = 'usage'::regnamespace "
        "left join pg_inherits i on i.inhrelid = c.oid and i.inhparent = 'usage.events'::regclass "
        "left join usage.archives a on a.day = d.day where d.day >= %s order by d.day",
        (first,),
    )
    return tuple(
        DayPlace(row[0], row[1], row[2], None if row[3] is None else Archived(*row[3:])) for row in rows
    )


def list_days(tx: Tx, *, first: date, end: date) -> tuple[DayReport, ...]:
    """Where the days of id time in [first, end) stand, in order."""
    rows = tx.execute(
        "select d.day, d.sealed_at, d.dropped_at from usage.days d where d.day >= %s and d.day < %s order by d.day",
        (first, end),
    ).fetchall()
    files = {archived.day: archived for archived in list_archived(tx)}
    return tuple(_day_report(day, sealed, dropped, files.get(day)) for day, sealed, dropped in rows)


def _day_report(
    day: date, sealed_at: datetime | None, dropped_at: datetime | None, archived: Archived | None
) -> DayReport:
    state: DayState = "open" if sealed_at is None else "sealed" if archived is None else "archived"
    return DayReport(day, "dropped" if dropped_at is not None else state, archived)


def _table(day: date) -> sql.Identifier:
    return sql.Identifier("usage", partition_name(day))
