"""Following a resource manager for as long as a worker runs: the loop, who runs it, and what it counts.

Of several workers over one database one follows at a time: it holds a lock of the database on a connection of its own,
and when it goes, with or without saying so, the next one takes over and compares everything first.
"""

import threading
from typing import Final

import psycopg
import structlog

from milo_billing.directory.operations import Mirror
from milo_billing.directory.types import Mirrored
from milo_billing.infra import advisory_locks
from milo_billing.infra.clock import monotonic_s
from milo_billing.infra.database import Tx, connect
from milo_billing.infra.telemetry import counter, gauge
from milo_billing.kernel.errors import MiloError

TURN_S: Final = 1
"""How long one look at the changes of a resource lasts, in seconds: a change is here after two of them at most."""

STANDBY_S: Final = 5.0
"""How often a worker that does not follow asks whether it may."""

BACKOFF_S_MIN, BACKOFF_S_MAX = 1.0, 60.0
STOP_S_MAX: Final = 5.0
"""How long stopping waits for a turn to end; a turn that is cut off has written whole objects or none."""

COMPARE_EVERY_S: Final = 3600.0
"""Everything is compared anew this often, in case a change was missed."""

_LAG: Final = gauge(
    "directory_mirror_lag_seconds",
    about="Time since everything of the resource manager had been followed, as of the last attempt; 0 in a worker that "
    "does not follow.",
)
_WAITING: Final = gauge(
    "directory_mirror_waiting", about="Changes of the resource manager that something here stands against."
)
_CHANGES: Final = counter(
    "directory_mirror_changes",
    about="Organizations and projects mirrored, by what was done.",
    labels=("done",),
)
_FAILURES: Final = counter("directory_mirror_failures", about="Attempts to follow that failed.")

_log = structlog.get_logger(__name__)


class Following:
    """A thread that keeps a mirror going, whatever fails: it tries again, less and less often."""

    def __init__(
        self,
        mirror: Mirror,
        conninfo: str,
        *,
        standby_s: float = STANDBY_S,
        backoff_s: float = BACKOFF_S_MIN,
    ) -> None:
        """`backoff_s`: the pause after a first failure; it doubles up to a minute."""
        self._mirror, self._conninfo = mirror, conninfo
        self._standby_s, self._backoff_s = standby_s, backoff_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="directory-mirror", daemon=True)
        self._waiting: frozenset[tuple[str, str]] = frozenset()
        self._followed_s = monotonic_s()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the turn that runs, and let another worker follow."""
        self._stopping.set()
        self._thread.join(STOP_S_MAX)

    def problem(self) -> str | None:
        """None while the thread lives. A source that does not answer is no problem of ours: see the lag."""
        if self._thread.is_alive() or self._stopping.is_set():
            return None
        return "the thread that mirrors organizations and projects has ended: restart the worker"

    def _run(self) -> None:
        pause_s = self._backoff_s
        while not self._stopping.is_set():
            began_s = monotonic_s()
            try:
                with connect(self._conninfo, role="milo_job", autocommit=True) as session:
                    self._take_turns(session)
            except (MiloError, psycopg.Error) as error:
                _log.warning("directory_mirror_waits", error=str(error))
            except Exception:  # a resource manager that answers nonsense must not end the mirror for good
                _log.exception("directory_mirror_failed")
            else:
                continue
            _FAILURES.inc()
            _LAG.set(monotonic_s() - self._followed_s)
            # what went well for a while may be tried again soon
            pause_s = self._backoff_s if monotonic_s() - began_s > BACKOFF_S_MAX else pause_s
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, BACKOFF_S_MAX)

    def _take_turns(self, session: Tx) -> None:
        """Follow while this session holds the lock; returns when told to stop."""
        while not self._locks(session):
            self._followed_s = monotonic_s()
            _LAG.set(0)
            _WAITING.set(0)
            if self._stopping.wait(self._standby_s):
                return
        _log.info("directory_mirror_follows")
        compared_s = monotonic_s()
        self._tell(self._mirror.synchronize())
        while not self._stopping.is_set():
            session.execute("select 1")  # the lock falls with the connection
            if monotonic_s() - compared_s > COMPARE_EVERY_S:
                compared_s = monotonic_s()
                self._tell(self._mirror.synchronize())
            self._tell(self._mirror.advance(seconds=TURN_S))

    def _locks(self, session: Tx) -> bool:
        row = session.execute("select pg_try_advisory_lock(%s)", (advisory_locks.FOLLOWING,)).fetchone()
        return row is not None and row[0]

    def _tell(self, done: Mirrored) -> None:
        """Everything has been followed up to now; say what that came to."""
        self._followed_s = monotonic_s()
        _LAG.set(0)
        for word, count in (("created", done.created), ("changed", done.changed), ("deleted", done.deleted)):
            _CHANGES.labels(word).inc(count)
        _WAITING.set(len(done.waiting))
        waiting = {(one.resource, one.name): one.why for one in done.waiting}
        for resource, name in sorted(waiting.keys() - self._waiting):
            _log.warning(
                "directory_mirror_change_waits", resource=resource, name=name, why=waiting[resource, name]
            )
        self._waiting = frozenset(waiting)
