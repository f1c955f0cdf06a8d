"""`Recorder`: from a measurement to an id, once it is safe on disk; the rest happens in the background.

Owns: the public face and what a fork does to it. Not: the spool (spool), the sending (sender).
"""

import os
import threading
import weakref
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final

from milo_usage import events, records
from milo_usage.clock import Clock, SystemClock
from milo_usage.errors import InvalidEvent, RecorderClosed
from milo_usage.events import Usage
from milo_usage.folder import FORK_GATE
from milo_usage.gateway import Gateway, Target
from milo_usage.identifiers import Ulids
from milo_usage.metrics import Metrics, OnMetrics, Tally
from milo_usage.sender import Sender, snapshot
from milo_usage.spool import BYTES_MAX_DEFAULT, Spool

RECORD_MANY_MAX: Final = 10_000
"""Events that one call of `record_many` takes."""

SOURCE_DEFAULT: Final = "milo-usage"
CLOSE_S: Final = 5.0
LINGER_S: Final = 0.2
REQUEST_S: Final = 60.0

_open: "weakref.WeakSet[Recorder]" = weakref.WeakSet()


class Recorder:
    """Records usage so that each event is billed exactly once. Thread-safe and fork-safe; one a process is enough.

    `url` is the gateway's, `token` or `token_file` a bearer token that may send usage; the file is read anew for each
    request. `spool` is a folder on a local disk that may be shared by any number of processes of this machine that send
    with the same token to the same gateway. `ca_file` has the certificate authority of the gateway, if the system does
    not know it. `source` names the sender; an `event_id` of the caller's own is unique within it.

    `spool_bytes_max` bounds the folder, at least 1 MiB. `linger_s` is how long a small batch waits for more events.
    `timeout_s` bounds each wait for the network. `on_metrics` is called in the background after each request.

    Raises ValueError for arguments that cannot work; a gateway that is not there is no error.
    """

    def __init__(
        self,
        *,
        url: str,
        spool: str | os.PathLike[str],
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        source: str = SOURCE_DEFAULT,
        spool_bytes_max: int = BYTES_MAX_DEFAULT,
        linger_s: float = LINGER_S,
        timeout_s: float = REQUEST_S,
        allow_plain_http: bool = False,
        on_metrics: OnMetrics | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._target = Target(
            url=url,
            token=token,
            token_file=None if token_file is None else Path(token_file),
            ca_file=None if ca_file is None else Path(ca_file),
            timeout_s=timeout_s,
        ).checked(allow_plain_http=allow_plain_http)
        if wrong := events.source_problems(source):
            raise ValueError(wrong[0])
        if ca_file is not None and not Path(ca_file).is_file():
            raise ValueError(f"ca_file {ca_file} is not there")
        self._path = Path(spool)
        self._source = source
        self._bytes_max = spool_bytes_max
        self._linger_s = linger_s
        self._on_metrics = on_metrics
        self._clock = clock or SystemClock()
        self._closed = False
        self._build()
        self._ensure_sending()
        _open.add(self)

    def _build(self) -> None:
        """Everything that belongs to this process, and that a forked child has to make anew."""
        self._lock = threading.Lock()
        self._ulids = Ulids(self._clock)
        self._tally = Tally()
        self._spool = Spool(self._path, bytes_max=self._bytes_max, clock=self._clock)
        self._sender: Sender | None = None

    # -- recording

    def record(
        self,
        *,
        meter: str,
        project: str,
        quantity: int,
        dimensions: Mapping[str, str] | None = None,
        resource: Mapping[str, str] | None = None,
        occurred_at: datetime | None = None,
        event_id: str | None = None,
    ) -> str:
        """Put one event on disk, and return its id (fields: Usage). From then on it will be billed once.

        Raises InvalidEvent, with all that is wrong, for what the gateway could never bill; SpoolFull at the bound;
        UnableToRecord when the disk refuses; RecorderClosed. After an error nothing was recorded.
        """
        (id,) = self.record_many(
            [Usage(meter, project, quantity, dimensions, resource, occurred_at, event_id)]
        )
        return id

    def record_many(self, usages: Iterable[Usage]) -> list[str]:
        """Put events on disk with one fsync, all of them or none; their ids in order.

        At most RECORD_MANY_MAX at once. Raises as `record` does.
        """
        ids, data = self.prepare(usages)
        if ids:
            self.append_prepared(data, len(ids))
        return ids

    def prepare(self, usages: Iterable[Usage]) -> tuple[list[str], bytes]:
        """Ids and spool records of these events, checked, not yet on disk. Raises InvalidEvent."""
        chosen = list(usages)
        if len(chosen) > RECORD_MANY_MAX:
            raise InvalidEvent([f"{len(chosen)} events at once, at most {RECORD_MANY_MAX} are allowed"])
        now_us = self._clock.now_us()
        wrong: list[str] = []
        for position, usage in enumerate(chosen):
            prefix = f"event {position}: " if len(chosen) > 1 else ""
            wrong += [prefix + problem for problem in events.problems(usage, now_us=now_us)]
        if wrong:
            raise InvalidEvent(wrong)
        ids = [
            usage.event_id or made for usage, made in zip(chosen, self._ulids.make(len(chosen)), strict=True)
        ]
        packed = [
            records.pack(*events.encode(usage, id=id, source=self._source, now_us=now_us))
            for usage, id in zip(chosen, ids, strict=True)
        ]
        return ids, b"".join(packed)

    def append_prepared(self, data: bytes, count: int) -> None:
        """Put on disk what `prepare` made. Raises SpoolFull, UnableToRecord or RecorderClosed."""
        self._ensure_sending()
        self._spool.append(data)
        self._tally.add(recorded=count)

    def _ensure_sending(self) -> None:
        """A thread that sends: made on first use in each process, since threads do not survive a fork."""
        if self._sender is not None:
            return
        with self._lock:
            if self._closed:
                raise RecorderClosed("the recorder is closed: make a new one")
            if self._sender is None:
                sender = Sender(
                    self._spool,
                    Gateway(self._target, self._clock),
                    clock=self._clock,
                    tally=self._tally,
                    linger_s=self._linger_s,
                    on_metrics=self._on_metrics,
                )
                sender.start()
                self._sender = sender

    # -- sending

    def flush(self, timeout: float | None = None) -> bool:
        """Send what waits, and wait for it: whether everything recorded before this call has left the spool.

        What ended processes left is sent as well; what other running ones hold is theirs to send. An event has left
        when the gateway acknowledged or rejected it. `timeout` is in seconds, None waits without end. False is no loss:
        what is left stays on disk and is sent later.
        """
        if not self._closed:
            self._ensure_sending()
            self._spool.adopt_orphans()
        return self._send_now(timeout)

    def _send_now(self, timeout: float | None) -> bool:
        if self._sender is not None:
            self._sender.hurry()
        return self._spool.wait_until_sent(timeout)

    def metrics(self) -> Metrics:
        """What has happened so far, and what waits now."""
        return snapshot(self._spool, self._tally, self._clock)

    def close(self, timeout: float = CLOSE_S) -> bool:
        """Take nothing more, send what waits for up to `timeout` seconds, stop; whether all of it was sent.

        What is left is sent by the next process that opens the spool. Closing again does nothing.
        """
        with self._lock:
            if self._closed:
                return True
            self._closed = True
        _open.discard(self)
        sent = self._send_now(timeout)
        if self._sender is not None:
            self._sender.stop(min(timeout, CLOSE_S))
        self._spool.close()
        return sent

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- forking

    def rebuild_in_child(self) -> None:
        """After a fork, in the child: leave the parent's files alone and begin with some of its own."""
        self._spool.abandon()
        self._build()


def _before_fork() -> None:
    FORK_GATE.acquire()


def _after_fork_in_parent() -> None:
    FORK_GATE.release()


def _after_fork_in_child() -> None:
    FORK_GATE.release()
    for recorder in list(_open):
        recorder.rebuild_in_child()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
