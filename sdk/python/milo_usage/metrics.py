"""What a recorder has done so far, as numbers for a monitoring system and sentences for people."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Metrics:
    """A snapshot. Counters are of this recorder since it was made; sizes and ages are of now.

    `recorded` events were synced to disk. `sent` events were put into a request, again and again if need be;
    `requests` counts the requests, `failures` those of them that were not answered with a result. `acknowledged`
    events are durable at the gateway, those that it had before included. `rejected` events became dead letters;
    `conflicts` of them reused the id of another event (ID_CONFLICT). `unreadable_bytes` were no records.

    `unsent_bytes` is what this process holds, `spool_bytes` the disk use of the whole folder with all processes in it.
    `oldest_unsent_age_s` is the age of the oldest event that waits, None when none does; `late_soon` says that it
    nears the gateway's late window of 30 days, after which it is quarantined instead of billed.
    """

    recorded: int = 0
    sent: int = 0
    requests: int = 0
    failures: int = 0
    acknowledged: int = 0
    rejected: int = 0
    conflicts: int = 0
    unreadable_bytes: int = 0
    unsent_bytes: int = 0
    spool_bytes: int = 0
    spool_bytes_max: int = 0
    oldest_unsent_age_s: float | None = None
    late_soon: bool = False
    last_error: str | None = None
    last_error_us: int | None = None
    last_acknowledged_us: int | None = None


OnMetrics: TypeAlias = Callable[[Metrics], None]
"""Called from the background thread after each request; what it raises is logged."""


class Tally:
    """Counts, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted = Metrics()

    def add(self, **counts: int) -> None:
        """Add to these counters."""
        with self._lock:
            fields = {name: getattr(self._counted, name) + count for name, count in counts.items()}
            self._counted = replace(self._counted, **fields)

    def set(self, **values: Any) -> None:
        """Set these to what holds now."""
        with self._lock:
            self._counted = replace(self._counted, **values)

    def counted(self) -> Metrics:
        """The counters so far."""
        return self._counted
