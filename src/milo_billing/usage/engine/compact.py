"""The compactor: every two seconds it moves the deltas into the roll-ups, on a connection of its own.

Readers see a delta in one place or in the other, and never wait. Owns: when, and the vacuum after it. Not: the
statement (store.compact).
"""

from threading import Event, Thread
from typing import Final

import psycopg
import structlog

from milo_billing.infra.clock import monotonic_s
from milo_billing.infra.database import Database, Tx, connect
from milo_billing.usage import store
from milo_billing.usage.engine import metrics

PERIOD_S: Final = 2.0
STOP_S: Final = 10.0

_VACUUMED_FROM: Final = 1_000
"""Deltas moved since the last vacuum that make the next one worth while."""

_log = structlog.get_logger(__name__)


class Compactor:
    """One a process; of several processes, one at a time compacts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tx: Tx | None = None
        self._ended = Event()
        self._thread = Thread(target=self._work, name="usage-compactor", daemon=True)
        self._moved = 0
        self._compacted_s = monotonic_s()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the compaction that runs, if one does."""
        self._ended.set()
        self._thread.join(timeout=STOP_S)

    def age_s(self) -> float:
        """Seconds since the last successful compaction."""
        return monotonic_s() - self._compacted_s

    def _work(self) -> None:
        while not self._ended.wait(PERIOD_S):
            try:
                self.compact()
            except Exception:
                # the deltas stay where they are and are counted there; the next turn moves them
                _log.warning("compaction_failed", exc_info=True)
                self._disconnect()
            metrics.DELTA_AGE_SECONDS.set(self.age_s())
        self._disconnect()

    def compact(self) -> int:
        """Move what has gathered; returns how many deltas that was."""
        if self._tx is None:
            self._tx = connect(self._database.conninfo, role=self._database.role, autocommit=True)
            # lost with a crash, a compaction is done again: it is one transaction either way
            self._tx.execute("set synchronous_commit = off; set work_mem = '64MB'")
        before = monotonic_s()
        with self._tx.transaction():
            moved = store.compact(self._tx)
        self._compacted_s = monotonic_s()
        metrics.COMPACTION_SECONDS.observe(self._compacted_s - before)
        metrics.COMPACTED.inc(moved)
        self._moved += moved
        if self._moved >= _VACUUMED_FROM or (self._moved and not moved):
            # idle again: give the space back; else keep it, since cutting off the end would stop the writer
            store.vacuum_deltas(self._tx, shrink=not moved)
            self._moved = moved
        return moved

    def _disconnect(self) -> None:
        if self._tx is not None:
            try:
                self._tx.close()
            except psycopg.Error:
                _log.debug("compactor_connection_was_lost", exc_info=True)
            self._tx = None
