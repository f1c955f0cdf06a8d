"""What tests say about usage after it was taken: void, archive, correct and invoice it; and an auditor who recounts.

The auditor reads raw events from the database and, with DuckDB, from the archive. He knows of voids and corrections by
what the test did, not by the code that applied them.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb

from milo_billing.accounts import operations as accounts
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.controlplane.identity import Identity
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import EVERYWHERE, Reach
from milo_billing.kernel.ids import ulid_to_int
from milo_billing.usage import operations, reads
from milo_billing.usage.engine import sealing
from milo_billing.usage.engine.archive import Archive, Archivist
from milo_billing.usage.ports import BlobStore
from milo_billing.usage.resources import UsageCorrection
from milo_billing.usage.types import Discarded, UsageChange, Void
from tests.accounts_world import ACME
from tests.usage_world import CPU, JSON, UsageWorld

RETENTION = 45
ANN = Identity("ann")
Key = tuple[int, int, int, int, date]
"""Account, project, meter, dimensions, day."""

Figures = tuple[int, int, int, int, int]
"""Sum, count, min, max, last."""


@dataclass
class Life:
    """A provider with an archive."""

    usage: UsageWorld
    folder: Path
    steps: list[tuple[date, str]] = field(default_factory=list[tuple[date, str]])

    @property
    def today(self) -> date:
        return self.usage.now.date()

    @property
    def archive_reader(self) -> Archive:
        return Archive(FolderBlobs(self.folder))

    def archivist(self, blobs: BlobStore | None = None) -> Archivist:
        return Archivist(
            self.usage.databases.ingest,
            blobs or FolderBlobs(self.folder),
            retention_days=RETENTION,
            kept_years=7,
        )

    def forget_empty_days(self) -> None:
        """Have days that are over and empty archived already, which takes the archivist a while, one by one."""
        with self.usage.databases.ingest.transaction(reach=EVERYWHERE) as tx:
            due = tx.execute(
                "select day from usage.days where sealed_at is null and dropped_at is null and day < %s",
                (self.today - timedelta(days=RETENTION),),
            ).fetchall()
            for (day,) in due:
                table = f"usage.events_{day:%Y%m%d}"
                if tx.execute(f"select from {table} limit 1".encode()).fetchone() is None:
                    tx.execute(f"drop table {table}".encode())
                    tx.execute(
                        "update usage.days set sealed_at = %(now)s, dropped_at = %(now)s where day = %(day)s",
                        {"now": self.usage.now, "day": day},
                    )

    def archive(self) -> tuple[date, ...]:
        """Let an archivist do all that is due."""
        self.forget_empty_days()
        return self.archivist().archive(
            now=self.usage.now, report=lambda day, step: self.steps.append((day, step))
        )

    def verify(self) -> list[str | None]:
        with self.usage.databases.app.transaction(reach=EVERYWHERE) as tx:
            return [self.archive_reader.verify(tx, one) for one in sealing.list_archived(tx)]

    def state(self, day: date) -> str:
        """Where a day of id time stands."""
        with self.usage.databases.app.transaction(reach=EVERYWHERE) as tx:
            return sealing.list_days(tx, first=day, end=day + timedelta(days=1))[0].state

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def ingest(self, *values: int, **attributes: Any) -> list[JSON]:
        """Events of these values, stored as one group."""
        events = [self.usage.event(value=str(value), **attributes) for value in values]
        (answer,) = self.usage.ingest(events)
        assert answer.accepted + answer.quarantined == len(events)
        return events

    def void(self, event: JSON, reason: str = "sent twice", *, reach: Reach = EVERYWHERE) -> Void | Discarded:
        """Void an event by the id that it was sent with."""
        return self.void_id(UUID(int=ulid_to_int(event["id"])), reason, reach=reach)

    def void_id(self, id: UUID, reason: str, *, reach: Reach = EVERYWHERE) -> Void | Discarded:
        with self.usage.databases.app.transaction(reach=reach) as tx:
            return operations.void_event(
                tx,
                id=id,
                reason=reason,
                archive=self.archive_reader,
                identity=ANN,
                audit_id=new_uid(),
                now=self.usage.now,
            )

    def correct(self, name: str, quantity: int, *, day: date | None = None, **spec: Any) -> None:
        """A UsageCorrection of acme's `main` for `web`."""
        self.usage.world.create(
            UsageCorrection, name, correction_spec(quantity, day or self.today, **spec), namespace=ACME
        )

    def bill(self, until: datetime, account: str = "main") -> None:
        """Say that acme's account has been invoiced until that instant."""
        with self.usage.databases.app.transaction(reach=EVERYWHERE) as tx:
            accounts.mark_billed(tx, account=self.account(account), until=until)

    def account(self, name: str = "main") -> int:
        with self.usage.databases.app.transaction(reach=EVERYWHERE) as tx:
            found = account_reads.find_account(tx, namespace=ACME, name=name)
        assert found is not None
        return found.number

    def changes(self, account: str = "main") -> tuple[UsageChange, ...]:
        with self.usage.databases.app.transaction(reach=EVERYWHERE) as tx:
            return reads.list_changes(
                tx, account=self.account(account), first=date(2020, 1, 1), end=date(2100, 1, 1), limit=1000
            )

    def rolled_up(self) -> dict[Key, Figures]:
        """Roll-ups and deltas together; rows in which nothing is left to see are left out."""
        rows = self.usage.rows(
            "with parts as (select * from usage.rollups union all select * from usage.deltas) "
            "select account, project, meter, dimensions, day, sum(sum), sum(count), min(min), max(max), "
            "(array_agg(last order by last_at desc, last_id desc))[1] from parts group by 1, 2, 3, 4, 5"
        )
        return {
            (row[0], row[1], row[2], row[3], row[4]): (
                int(row[5]),
                int(row[6]),
                int(row[7]),
                int(row[8]),
                int(row[9]),
            )
            for row in rows
        }

    def recounted(self) -> dict[Key, Figures]:
        """The same from raw events, wherever they lie, without what was voided."""
        query = "select account, project, meter, dimensions, day, value, event_at, id from usage.events"
        events = [(*row[:6], row[6], row[7]) for row in self.usage.rows(query)]
        for file in self.files():
            with duckdb.connect() as reader:
                events += [
                    (
                        *row[:6],
                        datetime.fromtimestamp(row[6] // 10**6, UTC).replace(microsecond=row[6] % 10**6),
                        row[7],
                    )
                    for row in reader.execute(
                        "select account, project, meter, dimensions, day, value, epoch_us(event_at), id "
                        f"from '{file}'"
                    ).fetchall()
                ]
        voided = {id for (id,) in self.usage.rows("select id from usage.voids")}
        assert len({event[7] for event in events}) == len(events), "no event lies in two places"
        rows: dict[Key, list[tuple[datetime, UUID, int]]] = {}
        for *key, value, at, id in events:
            if id not in voided:
                rows.setdefault((key[0], key[1], key[2], key[3], key[4]), []).append((at, id, value))
        return {
            key: (
                sum(value for *_, value in found),
                len(found),
                min(value for *_, value in found),
                max(value for *_, value in found),
                max(found)[2],
            )
            for key, found in rows.items()
        }


def correction_spec(quantity: int, day: date, **spec: Any) -> JSON:
    """The spec of a UsageCorrection."""
    return {
        "billingAccountRef": {"name": "main"},
        "projectRef": {"name": "web"},
        "meterName": CPU,
        "day": str(day),
        "quantity": str(quantity),
        "reason": "found on a disk",
        **spec,
    }
