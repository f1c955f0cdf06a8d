"""How much waits: the depth and age of the quarantine and of replays, measured every few seconds for /metrics.

Every gateway measures for itself, so that none shows what was true before. Not: what waits in the line (line).
"""

from threading import Event, Thread
from typing import Final, get_args

import structlog

from milo_billing.infra.database import EVERYWHERE, Database, Tx
from milo_billing.usage.engine import metrics
from milo_billing.usage.types import QuarantineReason

PERIOD_S: Final = 10.0
STOP_S: Final = 10.0

_log = structlog.get_logger(__name__)


class DepthMeter:
    """One a gateway process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ended = Event()
        self._thread = Thread(target=self._work, name="usage-depths", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the measurement that runs, if one does."""
        self._ended.set()
        self._thread.join(timeout=STOP_S)

    def measure(self) -> None:
        """Measure once. Raises what the database raises; the figures stay as they were then."""
        with self._database.transaction(reach=EVERYWHERE) as tx:
            depths = measure_quarantine(tx)
            running, age_s = measure_replays(tx)
        for reason in get_args(QuarantineReason):
            events, oldest_s = depths.get(reason, (0, 0.0))
            metrics.QUARANTINE_DEPTH.labels(reason).set(events)
            metrics.QUARANTINE_OLDEST_SECONDS.labels(reason).set(oldest_s)
        metrics.REPLAYS_RUNNING.set(running)
        metrics.REPLAY_AGE_SECONDS.set(age_s)

    def _work(self) -> None:
        while True:
            try:
                self.measure()
            except Exception:
                _log.warning("depths_not_measured", exc_info=True)  # the next turn tries again
            if self._ended.wait(PERIOD_S):
                return


def measure_quarantine(tx: Tx) -> dict[str, tuple[int, float]]:
    """By reason, how many events wait, and for how many seconds the first of them has; by the database's clock."""
    rows = tx.execute(
        "select reason, count(*), greatest(0, extract(epoch from now() - min(received_at)))::float8 "
        "from usage.quarantine group by reason"
    )
    return {reason: (events, oldest_s) for reason, events, oldest_s in rows}


def measure_replays(tx: Tx) -> tuple[int, float]:
    """How many replays run, and for how many seconds the slowest of them has not come further; 0 without any."""
    row = tx.execute(
        "select count(*), greatest(0, coalesce(extract(epoch from now() - min(updated_at)), 0))::float8 "
        "from usage.replays where state = 'running'"
    ).fetchone()
    assert row is not None, "an aggregate has one row"
    return row[0], row[1]
