"""The threads of the engine: one prepares, one writes, one compacts, one measures. The door's decode before them.

While a group is being written the next one is prepared, and whatever arrives meanwhile becomes the one after. One
writer beats several: conflicts cost more than they gain (performance.md).
"""

from collections.abc import Callable
from concurrent.futures import Future
from queue import Queue
from threading import Thread
from typing import Final
from uuid import UUID

import structlog

from milo_billing.infra.clock import monotonic_s
from milo_billing.infra.database import Database
from milo_billing.infra.threads import share_interpreter
from milo_billing.kernel.errors import Unavailable
from milo_billing.usage.engine import metrics
from milo_billing.usage.engine.answers import Acknowledged
from milo_billing.usage.engine.beside import Beside
from milo_billing.usage.engine.commit import Committer
from milo_billing.usage.engine.compact import Compactor
from milo_billing.usage.engine.depths import DepthMeter
from milo_billing.usage.engine.groups import Group, Request
from milo_billing.usage.engine.line import Line
from milo_billing.usage.engine.prepared import Prepared

ACKNOWLEDGEMENT_S_MAX: Final = 30.0
"""A sender waits so long for its answer, and is then asked to send again."""

STOP_S: Final = 30.0
DELTA_AGE_S_MAX: Final = 60.0

_log = structlog.get_logger(__name__)


class UsageEngine:
    """One a gateway process. `database` is a pool of milo_ingest with at least one connection."""

    def __init__(
        self, database: Database, *, process: UUID, random_bits: Callable[[int], int], late_days_max: int
    ) -> None:
        self._line = Line()
        self._beside = Beside()
        self._committer = Committer(
            database,
            process=process,
            random_bits=random_bits,
            late_days_max=late_days_max,
            beside=self._beside,
        )
        self.compactor = Compactor(database)
        self._depths = DepthMeter(database)
        self._ready: Queue[tuple[Group, Prepared | None] | None] = Queue(maxsize=1)
        self._trouble: tuple[float, str] | None = None
        self._threads = [
            Thread(target=self._supervise, args=(work,), name=f"usage-{name}", daemon=True)
            for name, work in (("preparer", self._prepare), ("writer", self._write))
        ]

    def start(self) -> None:
        """Begin to work. Sets for the whole process how threads take turns, and how often garbage is looked for."""
        share_interpreter()
        for thread in self._threads:
            thread.start()
        self.compactor.start()
        self._depths.start()

    def submit(self, request: Request) -> "Future[Acknowledged]":
        """Take a request in; the future has its answer once every event is durable.

        Raises TooMany under back-pressure and Unavailable when the engine stops. The future fails with Unavailable
        when the database is away. After ACKNOWLEDGEMENT_S_MAX the caller gives up; sending again is always safe.
        """
        arrived = monotonic_s()
        self._line.join(request)
        request.future.add_done_callback(
            lambda _: metrics.ACKNOWLEDGEMENT_SECONDS.observe(monotonic_s() - arrived)
        )
        return request.future

    def check_room(self) -> None:
        """Raises TooMany where any request would be refused: a door asks before it reads a body."""
        self._line.check_room()

    def stop(self) -> None:
        """Serve those who wait, then end."""
        self._line.close()
        for thread in self._threads:
            thread.join(timeout=STOP_S)
        self._beside.stop()
        self._line.fail_all(
            Unavailable("the gateway stopped before the events were durable; send them again")
        )
        self.compactor.stop()
        self._depths.stop()

    def problem(self) -> str | None:
        """What keeps the engine from acknowledging; None when nothing does."""
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        if dead:
            return f"not running: {', '.join(dead)}"
        age_s = self.compactor.age_s()
        if age_s > DELTA_AGE_S_MAX:
            return f"the deltas have not been compacted for {age_s:.0f} s"
        if self._trouble is None:
            return None
        since_s, trouble = self._trouble
        # a compaction since then shows that the database is back, also where nobody sends any more
        return trouble if monotonic_s() - since_s < age_s else None

    def _supervise(self, work: Callable[[], None]) -> None:
        """Run `work` to its end; when it fails, nobody is left waiting, and it begins anew."""
        while True:
            try:
                work()
            except Exception:
                metrics.RESTARTED.inc()
                _log.exception("usage_thread_failed")
                self._line.fail_all(Unavailable("the gateway failed; send the same request again"))
            else:
                return

    def _prepare(self) -> None:
        while (group := self._line.take()) is not None:
            prepared: Prepared | None = None
            try:
                prepared = self._committer.prepare_ahead(group)
            except Exception:
                _log.warning("group_could_not_be_prepared", exc_info=True)  # the writer divides it
            self._ready.put((group, prepared))
        self._ready.put(None)

    def _write(self) -> None:
        while (item := self._ready.get()) is not None:
            self._write_group(*item)

    def _write_group(self, group: Group, prepared: Prepared | None) -> None:
        if all(part.request.future.done() for part in group.parts):
            self._line.leave(group)  # failed with those before them, or given up by their senders
            return
        failure: BaseException | None = None
        try:
            self._committer.commit(group, prepared)
        except Unavailable as error:
            failure = error
            _log.warning("database_away", error=str(error))
        except Exception as error:
            failure = error
            _log.exception("group_failed")
        self._trouble = (monotonic_s(), str(failure)) if isinstance(failure, Unavailable) else None
        for part in group.parts:
            if failure is not None and not part.request.durable:
                part.request.fail(failure)
            else:
                part.request.answer()
        self._line.leave(group)
        if failure is not None:
            metrics.FAILED.inc()
        if isinstance(failure, Unavailable):
            self._line.fail_all(failure)  # they would wait for the same
