"""Watches under load: nobody misses, reorders or repeats a change; a slow watcher harms only itself.

The writers' answers say which changes there were; an event is counted by its resource version.
"""

import asyncio
import contextlib
import random
import shutil
import ssl
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from demo.server import Running, start_server

from tests.contract.watchers import Crowd, Seen, Watcher, until
from tests.flow.conftest import temporary_server

COLLECTION = "/apis/resourcemanager.miloapis.com/v1alpha1/organizations"
WRITERS = 4
CATCH_UP_S = 90.0


@dataclass
class Author:
    """Creates, changes and deletes organizations from several threads, and remembers what came of it."""

    server: Running
    seed: int
    padding: str = ""
    versions: set[int] = field(default_factory=set[int])
    deleted: list[str] = field(default_factory=list[str])
    slowest_s: float = 0.0
    rounds: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, count: int) -> None:
        """So many writes, each of which changes something."""
        self.rounds += 1
        with ThreadPoolExecutor(WRITERS) as writers:
            list(writers.map(self._write, range(WRITERS), [count // WRITERS] * WRITERS))

    def _write(self, writer: int, count: int) -> None:
        chance = random.Random(f"{self.seed}/{self.rounds}/{writer}")
        standing: list[str] = []
        connection = self.server.connection()
        headers = {"Authorization": f"Bearer {connection.token}"}
        with httpx.Client(
            base_url=connection.api_url, headers=headers, verify=_trusting(self.server), timeout=60
        ) as http:
            for number in range(count):
                started_s = time.perf_counter()
                if not standing or chance.random() < 0.2:
                    standing.append(f"s{self.seed}-{self.rounds}-{writer}-{number}")
                    self._written(http.post(COLLECTION, json=self._manifest(standing[-1])))
                elif chance.random() < 0.1:
                    name = standing.pop(chance.randrange(len(standing)))
                    answer = http.delete(f"{COLLECTION}/{name}")
                    assert answer.status_code == 200, answer.text
                    with self._lock:
                        self.deleted.append(name)
                else:
                    patch = {"metadata": {"labels": {"n": str(number)}}}
                    media = {"Content-Type": "application/merge-patch+json"}
                    url = f"{COLLECTION}/{chance.choice(standing)}"
                    self._written(http.patch(url, json=patch, headers=media))
                self.slowest_s = max(self.slowest_s, time.perf_counter() - started_s)

    def _manifest(self, name: str) -> dict[str, Any]:
        return {
            "apiVersion": "resourcemanager.miloapis.com/v1alpha1",
            "kind": "Organization",
            "metadata": {"name": name, "annotations": {"padding": self.padding}},
            "spec": {"displayName": name},
        }

    def _written(self, answer: httpx.Response) -> None:
        assert answer.status_code in (200, 201), answer.text
        with self._lock:
            self.versions.add(int(answer.json()["metadata"]["resourceVersion"]))

    @property
    def changes(self) -> int:
        return len(self.versions) + len(self.deleted)

    def check(self, watcher: Watcher) -> None:
        """Every change once, in order, and no other."""
        assert watcher.error is None
        versions = [event.resource_version for event in watcher.seen]
        assert versions == sorted(set(versions)), "an event came twice, or late"
        assert {e.resource_version for e in watcher.seen if e.type != "DELETED"} == self.versions
        assert sorted(e.name for e in watcher.seen if e.type == "DELETED") == sorted(self.deleted)


def _trusting(server: Running) -> Any:
    return ssl.create_default_context(cadata=server.connection().ca_pem)


def _head(server: Running) -> int:
    connection = server.connection()
    headers = {"Authorization": f"Bearer {connection.token}"}
    answer = httpx.get(
        connection.api_url + COLLECTION, headers=headers, params={"limit": 1}, verify=_trusting(server)
    )
    return int(answer.json()["metadata"]["resourceVersion"])


def _resident_mib(server: Running) -> float:
    """The memory of the process that serves the API."""
    pid = server.announcement["processes"]["api"]
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


@pytest.fixture
def server() -> Iterator[Running]:
    """A server whose memory and whose end are the test's own."""
    with temporary_server() as server:
        yield server


@pytest.mark.parametrize(
    ("watchers", "writes"), [(40, 200), pytest.param(500, 1_000, marks=pytest.mark.long)]
)
def test_every_watcher_sees_every_change_once_and_in_order(
    server: Running, watchers: int, writes: int
) -> None:
    author = Author(server, seed=1)
    since = _head(server)

    async def run() -> list[Watcher]:
        async with Crowd(server.connection(), COLLECTION) as crowd:
            watching = await crowd.watch_many(watchers, since=since)
            assert {watcher.status_code for watcher in watching} == {200}
            await asyncio.to_thread(author.write, writes)
            caught_up = await until(
                lambda: all(len(w.seen) >= author.changes for w in watching), timeout_s=CATCH_UP_S
            )
            assert caught_up, f"{min(len(w.seen) for w in watching)} of {author.changes} changes arrived"
            late = await crowd.watch(since=since)  # reads from the log what the others were told live
            assert await until(lambda: len(late.seen) >= author.changes, timeout_s=CATCH_UP_S)
            return [*watching, late]

    for watcher in uvloop.run(run()):
        author.check(watcher)


def test_a_watcher_that_does_not_read_is_told_so_and_harms_nobody(server: Running) -> None:
    before, during = Author(server, seed=2), Author(server, seed=3, padding="x" * 30_000)
    before.write(100)
    since = _head(server)

    async def run() -> tuple[list[Watcher], list[Watcher], float]:
        async with Crowd(server.connection(), COLLECTION) as crowd:
            slow = await asyncio.gather(*(crowd.watch(since=since, slow=True) for _ in range(20)))
            quick = await crowd.watch_many(2, since=since)
            resident_mib = _resident_mib(server)
            await asyncio.to_thread(during.write, 1_600)
            assert await until(
                lambda: all(len(w.seen) >= during.changes for w in quick), timeout_s=CATCH_UP_S
            )
            grown_mib = _resident_mib(server) - resident_mib
            for watcher in slow:
                watcher.read_on()
            await asyncio.wait_for(asyncio.gather(*(watcher.ended for watcher in slow)), CATCH_UP_S)
        return list(slow), quick, grown_mib

    slow, quick, grown_mib = uvloop.run(run())
    for watcher in quick:
        during.check(watcher)
    for watcher in slow:
        assert watcher.error is not None and watcher.error["code"] == 410
        assert watcher.error["reason"] == "Expired"
        seen = [event.resource_version for event in watcher.seen]
        assert seen == sorted(set(seen)) and len(seen) < during.changes
    assert during.slowest_s < 2.0
    # 20 watchers that do not read, and 1,600 changes of 60 kB each: what waits for them is bounded
    assert grown_mib < 150


@contextlib.contextmanager
def _data_folder() -> Generator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="milo-billing-watch-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.mark.long
def test_watchers_resume_after_a_restart_where_they_were() -> None:
    with _data_folder() as folder:

        def start() -> Running:
            return start_server(
                folder / "data", log=folder / "server.log", settings={"POSTGRES_FSYNC": "false"}
            )

        server = start()
        try:
            author = Author(server, seed=4)
            since = _head(server)
            first = uvloop.run(_watch_until_the_end(server, author, since=since))
        finally:
            server.stop()  # again: a server that has ended stays so
        server = start()
        try:
            author.server = server
            author.write(100)  # nobody is watching
            second = uvloop.run(_resume(server, author, first))
        finally:
            server.stop()
    for watcher, seen in zip(second, first, strict=True):
        watcher.seen[:0] = seen
        author.check(watcher)


async def _watch_until_the_end(server: Running, author: Author, *, since: int) -> list[list[Seen]]:
    """What each of twenty watchers has seen when the server stops under it."""
    async with Crowd(server.connection(), COLLECTION) as crowd:
        watching = await crowd.watch_many(20, since=since)
        await asyncio.to_thread(author.write, 100)
        assert await until(lambda: all(w.seen for w in watching), timeout_s=CATCH_UP_S)
        started_s = time.perf_counter()
        await asyncio.to_thread(server.stop)
        assert time.perf_counter() - started_s < 5, "open watches held the server up"
    return [watcher.seen for watcher in watching]


async def _resume(server: Running, author: Author, seen: list[list[Seen]]) -> list[Watcher]:
    def caught_up() -> bool:
        return all(
            len(before) + len(w.seen) >= author.changes for before, w in zip(seen, resumed, strict=True)
        )

    async with Crowd(server.connection(), COLLECTION) as crowd:
        resumed = await asyncio.gather(*(crowd.watch(since=before[-1].resource_version) for before in seen))
        await asyncio.to_thread(author.write, 40)
        assert await until(caught_up, timeout_s=CATCH_UP_S)
    return list(resumed)
