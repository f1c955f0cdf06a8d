"""Bring groups into the database, whatever happens: stale knowledge, races, lost connections, an event nobody foresaw.

Owns: retries, refreshing what is known, the search for an event that cannot be stored. Not: threads (pipeline), and
what a transaction does (write).
"""

from collections import Counter
from collections.abc import Callable
from threading import Lock
from typing import Final
from uuid import UUID

import psycopg
import structlog

from milo_billing.accounts import operations as accounts
from milo_billing.infra.clock import monotonic_s
from milo_billing.infra.database import EVERYWHERE, Database, Tx
from milo_billing.kernel.errors import Unavailable
from milo_billing.usage import store
from milo_billing.usage.engine import metrics
from milo_billing.usage.engine.beside import Beside
from milo_billing.usage.engine.billed import BilledDays
from milo_billing.usage.engine.days import DAY_US, to_date
from milo_billing.usage.engine.groups import Group
from milo_billing.usage.engine.knowledge import Versions, nothing, refreshed
from milo_billing.usage.engine.prepare import Preparer
from milo_billing.usage.engine.prepared import Limits, Prepared
from milo_billing.usage.engine.write import Decided, take_note, write_group
from milo_billing.usage.types import INDEXED_AFTER_DAYS, RETENTION_DAYS

DAYS_AHEAD: Final = 2
"""Partitions are made so many days ahead: an id may be an hour in the future, and a day begins while we write."""

ATTEMPTS_MAX: Final = 5

_log = structlog.get_logger(__name__)


class Committer:
    """One a process. `prepare` and `commit` may run in two threads, each in one."""

    def __init__(
        self,
        database: Database,
        *,
        process: UUID,
        random_bits: Callable[[int], int],
        late_days_max: int,
        beside: Beside | None = None,
    ) -> None:
        self._database = database
        self._process = process
        self._late_days_max = late_days_max
        self._preparer = Preparer(random_bits=random_bits)
        self._preparing = Lock()
        self._beside = beside
        self._knowledge = nothing()
        self._billed = BilledDays()
        self._first_open_day = 0
        self._days_made_on = -1

    def prepare_ahead(self, group: Group) -> Prepared:
        """As `prepare`, in the process beside this one where there is one: for the thread that does nothing else."""
        if self._beside is not None:
            prepared = self._beside.prepare(group, self._knowledge, self._limits(group))
            if prepared is not None:
                return prepared
        return self.prepare(group)

    def prepare(self, group: Group) -> Prepared:
        """Decide what can be decided without the database, with what is known at present."""
        with self._preparing:
            return self._preparer.prepare(group, self._knowledge, self._limits(group))

    def _limits(self, group: Group) -> Limits:
        return Limits(self._late_days_max, max(_today(group) - RETENTION_DAYS, self._first_open_day))

    def commit(self, group: Group, prepared: Prepared | None) -> None:
        """Make the group durable, and note every event's fate in its request.

        `prepared` None means that preparing failed. Raises Unavailable when the database is away; any other exception
        when an event can be neither stored nor quarantined; requests whose events all have a fate are durable even so.
        """
        try:
            if prepared is None:
                prepared = self.prepare(group)
            self._commit_whole(prepared)
        except Unavailable:
            raise
        except Exception as error:
            self._divide(group, error)

    def _divide(self, group: Group, error: Exception) -> None:
        """Store the halves apart, down to the event that cannot be stored, which is quarantined."""
        metrics.DIVIDED.inc()
        if group.size > 1 or len(group.parts) > 1:
            for half in group.halves():
                self.commit(half, None)
            return
        part = next(iter(group.parts))
        if not part.size or part.start in part.request.batch.faults:
            raise error
        _log.error(
            "event_cannot_be_stored", error=repr(error)
        )  # the log keeps no usage: it names the cause only
        part.request.batch.faults[part.start] = f"the event cannot be stored: {type(error).__name__}"
        self._commit_whole(self.prepare(group))

    def _commit_whole(self, prepared: Prepared) -> None:
        for attempts_left in reversed(range(ATTEMPTS_MAX)):
            try:
                prepared, decided = self._write(prepared)
            except psycopg.errors.UniqueViolation:
                if not attempts_left:
                    raise
                metrics.PROBED_AGAIN.inc()
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                if not attempts_left:
                    raise
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                # whether the commit arrived is not known; sending again finds out, since ids make it safe
                raise Unavailable(f"the database went away: {error}") from error
            else:
                self._note(prepared, decided)
                return

    def _write(self, prepared: Prepared) -> tuple[Prepared, Decided]:
        self._ensure_days(_today(prepared.group))
        with self._database.transaction(reach=EVERYWHERE) as tx:
            before = monotonic_s()
            accounts.hold_fence(tx, exclusive=False)
            metrics.FENCE_WAIT_SECONDS.observe(monotonic_s() - before)
            prepared = self._current(tx, prepared)
            return prepared, write_group(tx, prepared, process=self._process, billed=self._billed)

    def _current(self, tx: Tx, prepared: Prepared) -> Prepared:
        """The same group under what is true now; nothing of it can change before `tx` ends, being fenced."""
        found = store.read_versions(tx)
        versions = Versions(payers=found["payers"], meters=found["meters"], projects=found["projects"])
        if prepared.limits.first_day < found["sealed_until"]:
            # a day was sealed since: what has an id of it must not pass any more
            self._first_open_day = found["sealed_until"]
            prepared = self._prepared_again(prepared)
        used = prepared.knowledge.versions
        if (used.payers, used.meters) != (versions.payers, versions.meters):
            self._refresh(tx, versions, projects=False)
            prepared = self._prepared_again(prepared)
        if prepared.sets_aside and prepared.knowledge.versions.projects != versions.projects:
            # a name that was unknown may be known by now; a known one leads to a number that never changes
            self._refresh(tx, versions, projects=True)
            prepared = self._prepared_again(prepared)
        return prepared

    def _refresh(self, tx: Tx, versions: Versions, *, projects: bool) -> None:
        self._knowledge = refreshed(tx, self._knowledge, versions, projects=projects)

    def _prepared_again(self, prepared: Prepared) -> Prepared:
        metrics.PREPARED_AGAIN.inc()
        return self.prepare(prepared.group)

    def _ensure_days(self, today: int) -> None:
        """Have partitions for all ids that may come today; once a day."""
        if today == self._days_made_on:
            return
        first, last = to_date(today - RETENTION_DAYS), to_date(today + DAYS_AHEAD)
        with self._database.transaction(reach=EVERYWHERE) as tx:
            store.ensure_days(tx, first=first, last=last, past=to_date(today - INDEXED_AFTER_DAYS))
        self._days_made_on = today

    def _note(self, prepared: Prepared, decided: Decided) -> None:
        take_note(prepared, decided)
        with self._preparing:
            self._preparer.dimensions.mark_stored(prepared.new_dimensions)
            self._preparer.resources.mark_stored(prepared.new_resources)
        if self._beside is not None:
            self._beside.mark_stored(dimensions=prepared.new_dimensions, resources=prepared.new_resources)
        metrics.GROUPS.inc()
        metrics.GROUP_EVENTS.observe(prepared.group.size)
        fates: Counter[str] = Counter()
        for (_, _, fate), events in decided.tallies.items():
            fates[fate] += events
        metrics.count_fates(fates)


def _today(group: Group) -> int:
    return max(part.request.received_us for part in group.parts) // DAY_US
