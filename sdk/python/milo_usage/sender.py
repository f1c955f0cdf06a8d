"""The background thread: takes the oldest events from the spool, sends them, and acknowledges what the gateway has.

Owns: batches, retries, dead letters, the watch over the late window. An event leaves the spool only after the gateway
has acknowledged it, or after it is on disk as a dead letter.
"""

import logging
import random
import threading
from typing import Final

from milo_usage import backoff, deadletters
from milo_usage.clock import Clock
from milo_usage.deadletters import DeadLetter
from milo_usage.gateway import Denied, Gateway, Indigestible, Refusal, Taken, Unavailable
from milo_usage.metrics import Metrics, OnMetrics, Tally
from milo_usage.spool import Batch, Spool

EVENTS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 1024 * 1024
ADOPT_EVERY_S: Final = 5.0
IDLE_S: Final = 1.0
LATE_AFTER_S: Final = 30 * 86_400
"""The gateway's late window."""

LATE_WARNING_S: Final = 25 * 86_400
_WARN_EVERY_S: Final = 3_600.0
_CONFLICT: Final = "ID_CONFLICT"

_log = logging.getLogger("milo_usage")


class Sender:
    """Sends one batch at a time until it is stopped. `linger_s`: how long a small batch waits for more."""

    def __init__(
        self,
        spool: Spool,
        gateway: Gateway,
        *,
        clock: Clock,
        tally: Tally,
        linger_s: float,
        on_metrics: OnMetrics | None,
    ) -> None:
        self._spool = spool
        self._gateway = gateway
        self._clock = clock
        self._tally = tally
        self._linger_s = linger_s
        self._on_metrics = on_metrics
        self._random = random.Random(clock.random_bits(64))
        self._events_max = EVENTS_MAX
        self._failures = 0
        self._adopt_at_s = 0.0
        self._warned_at_s: float | None = None
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="milo-usage-sender", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def hurry(self) -> None:
        """Send what there is now, without lingering or waiting out a backoff; a Retry-After is waited out."""
        self._hurry.set()
        self._spool.work.set()

    def stop(self, timeout_s: float) -> None:
        """End after the request that is under way, or after the timeout without waiting for it."""
        self._stopping.set()
        self.hurry()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._step()
            except Exception as error:
                _log.exception("sending usage failed; it is tried again")
                self._failed(f"{type(error).__name__}: {error}")
                self._pause(backoff.wait_s(self._failures, chance=self._random.random()))
        self._gateway.close()

    def _step(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._adopt_at_s:
            self._adopt_at_s = now_s + ADOPT_EVERY_S
            self._spool.adopt_orphans()
            self._watch_lateness(now_s)
        batch = self._next_batch()
        if batch is None:
            self._hurry.clear()
            self._spool.work.wait(IDLE_S)
            return
        if len(batch.records) < self._events_max and self._linger_s > 0 and not self._hurry.is_set():
            self._hurry.wait(self._linger_s)
            batch = self._next_batch() or batch
        if batch.damage is not None:
            self._bury_damage(batch)
        else:
            self._send(batch)

    def _next_batch(self) -> Batch | None:
        return self._spool.next_batch(events_max=self._events_max, payload_bytes_max=BATCH_BYTES_MAX)

    # -- one batch

    def _send(self, batch: Batch) -> None:
        answer = self._gateway.send([record.payload for record in batch.records])
        self._tally.add(requests=1, sent=len(batch.records))
        match answer:
            case Taken(refused):
                self._taken(batch, refused)
            case Indigestible(reason, detail) if len(batch.records) == 1:
                self._bury(batch, {0: Refusal("", reason, detail)})
            case Indigestible():
                self._halve(batch)
            case Unavailable(message, retry_after_s):
                self._failed(message)
                if retry_after_s is not None:
                    self._stopping.wait(retry_after_s)
                else:
                    self._pause(backoff.wait_s(self._failures, chance=self._random.random()))
            case Denied(message):
                self._failed(message)
                self._pause(backoff.DENIED_S)
        self._report()

    def _taken(self, batch: Batch, refused: tuple[Refusal, ...]) -> None:
        if self._failures:
            _log.info("usage is taken again after %d failures", self._failures)
            self._failures = 0
            self._spool.note({})
        if not refused:
            self._acknowledge(batch, len(batch.records))
        elif len(batch.records) == 1:
            self._bury(batch, dict(enumerate(refused)))
        elif (found := _positions(batch, refused)) is not None:
            self._bury(batch, found)
        else:
            self._halve(batch)  # which ones were refused shows in smaller batches

    def _acknowledge(self, batch: Batch, count: int) -> None:
        self._events_max = min(EVENTS_MAX, self._events_max * 2)
        self._tally.add(acknowledged=count)
        self._tally.set(last_acknowledged_us=self._clock.now_us())
        self._spool.acknowledge(batch.segment, batch.end)

    def _halve(self, batch: Batch) -> None:
        self._events_max = max(1, len(batch.records) // 2)

    def _bury(self, batch: Batch, refused: dict[int, Refusal]) -> None:
        """Make dead letters of these events of the batch; the others are the gateway's."""
        letters = [
            deadletters.of_payload(batch.records[i].payload, reason=refusal.reason, detail=refusal.detail)
            for i, refusal in refused.items()
        ]
        deadletters.append(self._spool.folder, letters, now_us=self._clock.now_us())
        for letter in letters:
            _log.error(
                "event %s was rejected, see dead letters: %s: %s", letter.id, letter.reason, letter.detail
            )
        conflicts = sum(letter.reason == _CONFLICT for letter in letters)
        self._tally.add(rejected=len(letters), conflicts=conflicts)
        self._acknowledge(batch, len(batch.records) - len(letters))

    def _bury_damage(self, batch: Batch) -> None:
        assert batch.damage is not None
        start, end = batch.damage.start, batch.damage.end
        detail = (
            f"bytes {start} to {end} of {batch.segment.path.name} are no event. If the machine stopped while it was "
            "recorded, record() had not returned; otherwise the disk is at fault"
        )
        letter = DeadLetter(deadletters.UNREADABLE, detail, None, batch.segment.bytes_at(start, end))
        deadletters.append(self._spool.folder, [letter], now_us=self._clock.now_us())
        _log.error("%s", detail)
        self._tally.add(unreadable_bytes=end - start)
        self._spool.acknowledge(batch.segment, batch.end)

    # -- trouble

    def _failed(self, message: str) -> None:
        self._failures += 1
        self._tally.add(failures=1)
        now_us = self._clock.now_us()
        self._tally.set(last_error=message, last_error_us=now_us)
        # the first of a row, and then ever more seldom
        if self._failures & (self._failures - 1) == 0:
            _log.warning("usage stays in the spool (%d failures in a row): %s", self._failures, message)
        self._spool.note({"last_error": message, "last_error_us": now_us})

    def _pause(self, seconds: float) -> None:
        """Wait, unless somebody is in a hurry, who waits for one try only."""
        self._hurry.wait(seconds)
        if self._hurry.is_set() and not self._stopping.is_set():
            self._hurry.clear()
            self._stopping.wait(min(seconds, backoff.FIRST_S))

    def _watch_lateness(self, now_s: float) -> None:
        oldest_us = self._spool.oldest_us()
        age_s = 0.0 if oldest_us is None else self._clock.now_us() / 1e6 - oldest_us / 1e6
        if age_s < LATE_WARNING_S:
            return
        if self._warned_at_s is None or now_s >= self._warned_at_s + _WARN_EVERY_S:
            self._warned_at_s = now_s
            _log.warning(
                "the oldest unsent event is %.1f days old; after %d days the gateway quarantines it as too late",
                age_s / 86_400,
                LATE_AFTER_S // 86_400,
            )

    def _report(self) -> None:
        if self._on_metrics is None:
            return
        try:
            self._on_metrics(self.snapshot())
        except Exception:
            _log.exception("the callback for metrics failed; sending goes on")

    def snapshot(self) -> Metrics:
        """The counters with what can be measured now."""
        return snapshot(self._spool, self._tally, self._clock)


def snapshot(spool: Spool, tally: Tally, clock: Clock) -> Metrics:
    """The counters with sizes and ages of now."""
    oldest_us = spool.oldest_us()
    age_s = None if oldest_us is None else max(0.0, (clock.now_us() - oldest_us) / 1e6)
    tally.set(
        unsent_bytes=spool.unsent_bytes(),
        spool_bytes=spool.folder.bytes_used(),
        spool_bytes_max=spool.bytes_max,
        oldest_unsent_age_s=age_s,
        late_soon=age_s is not None and age_s >= LATE_WARNING_S,
    )
    return tally.counted()


def _positions(batch: Batch, refused: tuple[Refusal, ...]) -> dict[int, Refusal] | None:
    """Which events of the batch were refused; None where the ids do not say it for certain."""
    wanted = {refusal.id: refusal for refusal in refused}
    found: dict[int, Refusal] = {}
    for i, record in enumerate(batch.records):
        refusal = wanted.get(deadletters.id_of(record.payload))
        if refusal is not None:
            found[i] = refusal
    return found if len(found) == len(refused) == len(wanted) else None
