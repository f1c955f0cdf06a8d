"""`AsyncRecorder`: the same recorder for asyncio; no fsync ever blocks the event loop.

Whatever tasks record while one write is under way is written together by the next one.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType

from milo_usage.events import Usage
from milo_usage.metrics import Metrics
from milo_usage.recorder import CLOSE_S, Recorder


class AsyncRecorder:
    """Wraps a Recorder, which goes on to work for threads as well. Use one of these an event loop.

    A task that is cancelled while it records does not know whether its event was recorded.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[tuple[bytes, int, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def record(
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
        """As Recorder.record: returns the event's id once it is on disk, and raises the same."""
        (id,) = await self.record_many(
            [Usage(meter, project, quantity, dimensions, resource, occurred_at, event_id)]
        )
        return id

    async def record_many(self, usages: Iterable[Usage]) -> list[str]:
        """As Recorder.record_many: all of them or none."""
        ids, data = self._recorder.prepare(usages)
        if ids:
            await self._append(data, len(ids))
        return ids

    async def _append(self, data: bytes, count: int) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # the loop before this one has ended, and its tasks with it
            self._loop, self._waiting, self._writer = loop, [], None
        written: asyncio.Future[None] = loop.create_future()
        self._waiting.append((data, count, written))
        if self._writer is None or self._writer.done():
            self._writer = loop.create_task(self._write_waiting())
        await written

    async def _write_waiting(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            errors = await asyncio.to_thread(self._write, [(data, count) for data, count, _ in group])
            for (_, _, written), error in zip(group, errors, strict=True):
                if written.done():  # its task was cancelled
                    continue
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(error)

    def _write(self, group: list[tuple[bytes, int]]) -> list[Exception | None]:
        """Write all with one fsync; if that does not work, each by itself, to learn which can be written."""
        try:
            self._recorder.append_prepared(
                b"".join(data for data, _ in group), sum(count for _, count in group)
            )
        except Exception as error:
            return [error] if len(group) == 1 else [self._write([one])[0] for one in group]
        return [None] * len(group)

    async def flush(self, timeout: float | None = None) -> bool:
        """As Recorder.flush."""
        return await asyncio.to_thread(self._recorder.flush, timeout)

    def metrics(self) -> Metrics:
        """As Recorder.metrics."""
        return self._recorder.metrics()

    async def close(self, timeout: float = CLOSE_S) -> bool:
        """As Recorder.close."""
        return await asyncio.to_thread(self._recorder.close, timeout)

    async def __aenter__(self) -> "AsyncRecorder":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
