"""Which days of which accounts have been invoiced, for thousands of events at once; and the change that late ones make.

An issued invoice froze (domain.md §4): usage that still comes for its days lands in the roll-ups, and is marked as a
change for the next invoice. Owns: the cache of what is billed, and what a group's late rows come to. Not: who marks an
account as billed (accounts), what the next invoice does with a change (invoicing).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from milo_billing.accounts import operations as accounts
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import BILLING_SHARES, Billed
from milo_billing.infra.database import Tx
from milo_billing.kernel.periods import local_day
from milo_billing.usage.engine.days import day_number, to_date
from milo_billing.usage.engine.prepared import Rows
from milo_billing.usage.engine.readings import to_instant
from milo_billing.usage.types import NewChange

I64: TypeAlias = NDArray[np.int64]
I32: TypeAlias = NDArray[np.int32]
Mask: TypeAlias = NDArray[np.bool_]

NEVER: Final = np.iinfo(np.int64).min
"""The first day that is not invoiced yet, of an account that never was."""


class BilledDays:
    """What is invoiced, remembered between groups. Not thread-safe: one writer at a time."""

    def __init__(self) -> None:
        self._first_open = np.full(0, NEVER, np.int64)  # by account number
        self._versions = dict.fromkeys(range(BILLING_SHARES), 0)

    def hold(self, tx: Tx, account_numbers: I32) -> None:
        """Know what is invoiced of these accounts; it stays so until `tx`, which holds the fence, ends."""
        shares: list[int] = np.unique(account_numbers % BILLING_SHARES).tolist()
        accounts.hold_billing_shared(tx, shares=shares)
        # a statement of its own: its snapshot is taken behind the locks
        versions = _read_versions(tx)
        stale = {share: self._versions[share] for share in shares if versions[share] != self._versions[share]}
        if stale:
            self._note(account_reads.load_billed(tx, since=stale))
            self._versions.update((share, versions[share]) for share in stale)

    def _note(self, found: Iterable[Billed]) -> None:
        for billed in found:
            if billed.account >= len(self._first_open):
                grown = np.full(billed.account * 2 + 64, NEVER, np.int64)
                grown[: len(self._first_open)] = self._first_open
                self._first_open = grown
            self._first_open[billed.account] = day_number(local_day(billed.until, zone=billed.time_zone))

    def covers(self, account_numbers: I32, days: I64) -> Mask:
        """Whether the account has been invoiced for that billing day (days since 1970)."""
        if not len(self._first_open):
            return np.zeros(len(days), np.bool_)
        known = account_numbers < len(self._first_open)
        return known & (days < self._first_open[np.where(known, account_numbers, 0)])


def late_changes(rows: Rows, billed: BilledDays, *, now: datetime) -> list[NewChange]:
    """What these stored rows change of days that were invoiced before: one change a roll-up row."""
    late = billed.covers(rows.account, rows.day)
    if not late.any():
        return []
    rows = rows.take(late)
    order = np.argsort(rows.series, kind="stable")
    _, starts = np.unique(rows.series[order], return_index=True)
    return [_change(rows.take(chosen), now) for chosen in np.split(order, starts[1:])]


def _change(rows: Rows, now: datetime) -> NewChange:
    values: list[int] = rows.value.tolist()
    return NewChange(
        account=int(rows.account[0]),
        day=to_date(int(rows.day[0])),
        project=int(rows.project[0]),
        meter=int(rows.meter[0]),
        dimensions=int(rows.dimensions[:1].view(np.int64)[0]),
        cause="late",
        events=len(values),
        quantity=sum(values),
        first_at=to_instant(int(rows.event_at.min())),
        last_at=to_instant(int(rows.event_at.max())),
        changed_at=now,
    )


def _read_versions(tx: Tx) -> dict[int, int]:
    """The versions of what has been invoiced, by share of the accounts (accounts.reads.accounts.load_billed)."""
    rows = tx.execute(
        "select substr(name, 8)::int, version from controlplane.versions where name like 'billed/%'",
        prepare=True,
    )
    return dict(rows.fetchall())


def insert_changes(tx: Tx, changes: Sequence[NewChange]) -> None:
    """Append what reached days that had been invoiced."""
    if changes:
        with tx.cursor() as cursor:
            cursor.executemany(
                "insert into usage.changes (account, day, project, meter, dimensions, cause, events, quantity, "
                "first_at, last_at, changed_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [tuple(getattr(change, name) for name in NewChange.__slots__) for change in changes],
            )
