"""Kill -9 in the middle of ingest, again and again: what was acknowledged is there exactly once."""

import json
import os
import random
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

import pytest
from demo.server import Running, start_server

from milo_billing.client.errors import ClientError
from milo_billing.client.http import ApiClient
from milo_billing.client.manifests import read_manifests
from milo_billing.client.objects import Objects
from milo_billing.client.usage import get_usage, new_event
from milo_billing.infra.database import connect
from milo_billing.infra.postgres.server import PostgresServer, find_postmaster
from milo_billing.kernel.ids import ulid_to_int
from tests.flow.conftest import CATALOG, CUSTOMER

SENDERS = 3
EVENTS = 200
KILLS = ("gateway", "gateway", "postgres", "gateway")
SEED = 20261001
SERVED_AGAIN_S_MAX = 60.0


@dataclass
class Sender:
    """Sends batches until told to end; a batch that failed is in doubt, and is not sent again."""

    server: Running
    random: random.Random
    acknowledged: set[int] = field(default_factory=set[int])
    doubtful: set[int] = field(default_factory=set[int])

    def send(self, ended: threading.Event) -> None:
        with ApiClient(self.server.connection()) as api:
            while not ended.is_set():
                now = datetime.now(UTC)
                events = [
                    new_event(
                        meter="web.flow.example/bytes",
                        project="killed-app",
                        value=1,
                        time=now,
                        random80=self.random.getrandbits(80),
                        source="simulation",
                    )
                    for _ in range(EVENTS)
                ]
                ids = {ulid_to_int(event["id"]) for event in events}
                try:
                    answer = api.json("POST", "/v1/usage/events:batchIngest", door="gateway", body=events)
                except ClientError:
                    self.doubtful |= ids
                    sleep(0.05)
                else:
                    assert answer == {"accepted": EVENTS}
                    self.acknowledged |= ids


@pytest.fixture
def server(open_folder: Path) -> Iterator[Running]:
    """A server that keeps what it acknowledges through a kill, with a project that is paid for."""
    # with fsync, unlike other tests: without it PostgreSQL acknowledges commits before it has written them
    server = start_server(open_folder / "data", log=open_folder / "log", settings={})
    with ApiClient(server.connection()) as api:
        declared = CATALOG + "---\n" + CUSTOMER.format(name="killed", since="2026-01-01T00:00:00Z")
        for manifest in read_manifests(declared, where="simulation"):
            Objects(api).apply(manifest)
    yield server
    server.stop()


def is_json(line: str) -> bool:
    """Whether it is a line of the server's log; PostgreSQL and dying threads write others."""
    return line.startswith("{") and line.endswith("}")


def kill(folder: Path, what: str) -> None:
    """SIGKILL to the process that does this at present."""
    if what == "postgres":
        postmaster = find_postmaster(folder / "data" / "postgres")
        assert postmaster is not None
        os.kill(postmaster.pid, signal.SIGKILL)
        return
    started = [
        line["child"]
        for line in map(json.loads, filter(is_json, (folder / "log").read_text().splitlines()))
        if (line["event"], line.get("name")) == ("started", what)
    ]
    os.kill(started[-1], signal.SIGKILL)


def wait_until_served(senders: list[Sender]) -> None:
    """Until ten more batches have been acknowledged."""
    before = sum(len(sender.acknowledged) for sender in senders)
    until = monotonic() + SERVED_AGAIN_S_MAX
    while sum(len(sender.acknowledged) for sender in senders) < before + 10 * EVENTS:
        assert monotonic() < until, "the server does not acknowledge any more"
        sleep(0.01)


def test_every_acknowledged_event_is_there_exactly_once_whatever_was_killed(
    server: Running, open_folder: Path
):
    chance = random.Random(SEED)
    senders = [Sender(server, random.Random(chance.random())) for _ in range(SENDERS)]
    ended = threading.Event()
    threads = [threading.Thread(target=sender.send, args=(ended,)) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        for what in KILLS:
            wait_until_served(senders)
            sleep(chance.random() / 2)
            kill(open_folder, what)
        wait_until_served(senders)
    finally:
        ended.set()
        for thread in threads:
            thread.join()

    acknowledged = set[int]().union(*(sender.acknowledged for sender in senders))
    doubtful = set[int]().union(*(sender.doubtful for sender in senders))
    stored, rolled_up = read_stored(open_folder)
    assert doubtful, "nothing was in flight when it was killed"
    assert acknowledged <= set(stored)
    assert set(stored) <= acknowledged | doubtful
    assert len(stored) == len(set(stored)) == rolled_up
    with ApiClient(server.connection()) as api:
        assert [row["sum"] for row in get_usage(api, project="killed-app")] == [str(len(stored))]


def read_stored(folder: Path) -> tuple[list[int], int]:
    """The ids in the database itself, and how many events the roll-ups say there are."""
    found = find_postmaster(folder / "data" / "postgres")
    assert found is not None
    postgres = PostgresServer(
        folder=folder / "data" / "postgres", socket_dir=found.socket_dir, pid=found.pid, child=None
    )
    with connect(postgres.conninfo(), role="milo_ingest") as tx:
        ids = [row[0].int for row in tx.execute("select id from usage.events")]
        count = tx.execute(
            "select sum(count)::bigint from "
            "(select count from usage.rollups union all select count from usage.deltas) parts"
        ).fetchone()
    return ids, 0 if count is None else count[0]
