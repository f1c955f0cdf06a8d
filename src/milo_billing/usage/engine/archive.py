"""The archivist: brings days whose time is over into the archive, and proves that they are there.

For each day: seal, write to a file that is verified before it gets its name, record it, drop the partition. An
archivist that is killed at any instant is succeeded by one that goes on; of several, one works at a time.

Owns: the order of steps and usage.archives. Not: the database side of a step (sealing), the file (parquet), where files
lie (ports.BlobStore).
"""

import hashlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import structlog
from psycopg import sql
from psycopg.types.json import Jsonb

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.catalog import reads as catalog
from milo_billing.directory import reads as directory
from milo_billing.infra import advisory_locks
from milo_billing.infra.database import Database, Tx, connect
from milo_billing.usage.engine import event_files, parquet, sealing
from milo_billing.usage.engine.event_files import Scan
from milo_billing.usage.engine.parquet import MeterTotal, Names
from milo_billing.usage.ports import BlobMissing, BlobStore
from milo_billing.usage.rules import id_day
from milo_billing.usage.types import Archived, ArchiveDamaged, RowKey, StoredEvent, UsageEvent

Report = Callable[[date, str], None]
"""Is told of each step: the day, and what is being done with it."""

_log = structlog.get_logger(__name__)


class Archivist:
    """Works on connections of its own, as milo_ingest. `now` is passed in; nothing here reads a clock."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        retention_days: int,
        kept_years: int,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._retention_days = retention_days
        self._kept_years = kept_years

    def list_due(self, *, now: datetime, until: date | None = None) -> tuple[date, ...]:
        """What `archive` would work on."""
        with self._connected() as tx:
            return sealing.list_due(tx, now=now, retention_days=self._retention_days, until=until)

    def archive(
        self, *, now: datetime, until: date | None = None, report: Report | None = None
    ) -> tuple[date, ...]:
        """Bring all days whose time is over into the archive; returns them. () while somebody else does it."""
        told = report or _tell_nobody
        with self._connected() as tx:
            row = tx.execute("select pg_try_advisory_lock(%s)", (advisory_locks.ARCHIVING,)).fetchone()
            if row is None or not row[0]:
                _log.info("another worker archives")
                return ()
            due = sealing.list_due(tx, now=now, retention_days=self._retention_days, until=until)
            for day in due:
                self._archive_day(tx, day, now=now, told=told)
            self._expire(tx, now=now)
            return due

    def _archive_day(self, tx: Tx, day: date, *, now: datetime, told: Report) -> None:
        told(day, "seal")
        with tx.transaction():
            sealing.seal(tx, day, now=now)
        if sealing.find_archived(tx, day=day) is None and sealing.is_attached(tx, day):
            told(day, "write")
            self._write(tx, day, now=now)
        told(day, "drop")
        sealing.drop(tx, day, now=now)
        told(day, "done")

    def _write(self, tx: Tx, day: date, *, now: datetime) -> None:
        """Write, verify and record the day's file; a day without events has none."""
        expected = sealing.count_totals(tx, day)
        if not expected:
            return
        name = f"usage/{day:%Y}/events-{day:%Y%m%d}.parquet"
        with self._blobs.writing(name) as path:
            with self._connected() as lookups:
                parquet.write(path, _row_groups(tx, lookups, day))
            _compare(name, expected, parquet.read_totals(path))
            digest, size = _digest(path), path.stat().st_size
        with self._blobs.reading(name) as path:  # once more where it lies now
            _compare(name, digest, _digest(path))
        table = sql.Identifier("usage", sealing.partition_name(day))
        row = tx.execute(sql.SQL("select min(day), max(day) from {}").format(table)).fetchone()
        assert row is not None, "an aggregate has a row"
        totals = {str(m): {"events": str(t.events), "sum": str(t.sum)} for m, t in expected.items()}
        tx.execute(
            "insert into usage.archives (day, name, bytes, sha256, events, totals, first_day, last_day, written_at) "
            "values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (day, name, size, digest, sum(t.events for t in expected.values()), Jsonb(totals), *row, now),
        )

    def _expire(self, tx: Tx, *, now: datetime) -> None:
        """Delete files that have been kept for their time."""
        query: LiteralString = (
            "select day, name from usage.archives where expired_at is null "
            "and day < (%s::timestamptz at time zone 'UTC')::date - make_interval(years => %s)"
        )
        for day, name in tx.execute(query, (now, self._kept_years)).fetchall():
            self._blobs.delete(name)
            tx.execute("update usage.archives set expired_at = %s where day = %s", (now, day))

    @contextmanager
    def _connected(self) -> Generator[Tx]:
        tx = connect(self._database.conninfo, role=self._database.role, autocommit=True)
        try:
            tx.execute("select set_config('milo.reach', '*', false)")
            yield tx
        finally:
            tx.close()


class Archive:
    """Reads what was archived. For doors: nothing here writes."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def find_event(self, tx: Tx, id: UUID) -> StoredEvent | None:
        """The event of that id, if its day lies in the archive. Raises ArchiveDamaged where the file has gone."""
        archived = sealing.find_archived(tx, day=id_day(id))
        if archived is None or archived.expired_at is not None:
            return None
        with self._open(archived) as path:
            return parquet.find_event(path, id)

    def read_events(self, archived: Archived, scan: Scan) -> tuple[list[UsageEvent], int]:
        """Events of the file that `scan` wants, and how many row groups were read for it. Raises ArchiveDamaged."""
        with self._open(archived) as path:
            return event_files.read_events(path, scan)

    def read_row(self, tx: Tx, key: RowKey) -> tuple[StoredEvent, ...]:
        """All events of a roll-up row that lie in the archive only, without those that were voided.

        The caller holds retention. Raises ArchiveDamaged where a file that is needed has gone or expired.
        """
        voided = frozenset(
            id
            for (id,) in tx.execute(
                "select id from usage.voids where account = %s and day = %s and project = %s and meter = %s "
                "and dimensions = %s",
                (key.account, key.day, key.project, key.meter, key.dimensions),
            )
        )
        found: list[StoredEvent] = []
        for archived in sealing.list_archived(tx, billing_day=key.day):
            if not sealing.is_attached(tx, archived.day):
                with self._open(archived) as path:
                    found += parquet.read_row(path, key, but=voided)
        return tuple(found)

    def verify(self, tx: Tx, archived: Archived) -> str | None:
        """Compute size, checksum and counts of a file again; what is wrong with it, or None."""
        if archived.expired_at is not None:
            return None
        try:
            with self._blobs.reading(archived.name) as path:
                if path.stat().st_size != archived.size_bytes or _digest(path) != archived.sha256:
                    return "the file is not the one that was written: restore it from a backup"
                found = parquet.read_totals(path)
        except BlobMissing:
            return "the file is missing: restore it from a backup"
        row = tx.execute("select totals from usage.archives where day = %s", (archived.day,)).fetchone()
        wanted: dict[str, dict[str, str]] = {} if row is None else row[0]
        recorded = {int(m): MeterTotal(int(t["events"]), int(t["sum"])) for m, t in wanted.items()}
        return (
            None
            if recorded == found
            else "the file's counts are not those of the day: restore it from a backup"
        )

    @contextmanager
    def _open(self, archived: Archived) -> Generator[Path]:
        if archived.expired_at is not None:
            raise ArchiveDamaged(
                f"the archive of {archived.day} was deleted after its time: file a UsageCorrection instead"
            )
        remedy = f"restore the file of {archived.day} from a backup"
        try:
            with self._blobs.reading(archived.name) as path:
                if path.stat().st_size != archived.size_bytes:
                    raise ArchiveDamaged(
                        f"{archived.name} has another size than it was written with: {remedy}"
                    )
                yield path
        except BlobMissing as error:
            raise ArchiveDamaged(f"{error}: {remedy}") from error
        except parquet.unreadable() as error:
            raise ArchiveDamaged(f"{archived.name} is damaged ({error}): {remedy}") from error


def _row_groups(tx: Tx, lookups: Tx, day: date) -> Iterator[tuple[parquet.Records, Names]]:
    """The day's events in order, as records, each group with the names that it needs."""
    account_names = {a.number: f"{a.namespace}/{a.name}" for a in account_reads.load_accounts(lookups)}
    meter_names = {meter.number: meter.meter_name for meter in catalog.load_meters(lookups)}
    statement = sql.SQL("copy (select {} from {} order by account, meter, day, id) to stdout (format binary)")
    table = sql.Identifier("usage", sealing.partition_name(day))
    with tx.cursor() as cursor, cursor.copy(statement.format(sql.SQL(parquet.SELECTED), table)) as copy:
        for rows in parquet.records(bytes(chunk) for chunk in copy):
            numbers: set[int] = set(rows["project"].tolist())
            yield (
                rows,
                Names(
                    accounts=account_names,
                    projects={p.number: p.name for p in directory.list_projects(lookups, numbers=numbers)},
                    meters=meter_names,
                    dimensions=_labels(
                        lookups, "dimension_sets", "dimensions::text", set(rows["dimensions"].tolist())
                    ),
                    resources=_labels(lookups, "resources", "resource", set(rows["resource"].tolist())),
                ),
            )


def _labels(tx: Tx, table: LiteralString, column: LiteralString, hashes: set[int]) -> dict[int, str]:
    query: LiteralString = f"select hash, {column} from usage.{table} where hash = any (%s)"
    return dict(tx.execute(query, (sorted(hashes),)).fetchall())


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _compare(name: str, written: Any, read: Any) -> None:
    if written != read:
        raise ArchiveDamaged(
            f"{name} does not read back as it was written; nothing was dropped. Look at the disk, then run again"
        )


def _tell_nobody(_day: date, _step: str) -> None:
    """For callers who do not show progress."""
