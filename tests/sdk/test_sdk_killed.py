"""Kill -9 of everybody who records and of the server, again and again: each returned id is stored exactly once.

The producers write every id that `record` returned to a file, at once. They know nothing of the kills; the auditor
knows only those files and the database.
"""

import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import pytest
from demo.server import Running, start_server
from milo_usage import Recorder, deadletters
from milo_usage.folder import Folder

from milo_billing.client.billing import create_token
from milo_billing.client.http import ApiClient
from milo_billing.client.manifests import read_manifests
from milo_billing.client.objects import Objects
from milo_billing.client.usage import get_usage
from milo_billing.kernel.ids import ulid_to_int
from tests.flow.conftest import CATALOG, CUSTOMER
from tests.simulation.test_usage_killed import kill, read_stored

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to-emit-usage.md"
"""Who may send is declared as it says."""

PRODUCERS = 4
SEED = 20261001
KILLING_S = 90.0
SERVED_AGAIN_S_MAX = 60.0
DRAINED_S_MAX = 120.0
METER, PROJECT = "web.flow.example/bytes", "spooled-app"

PRODUCE = """
import os, random, sys, time
from milo_usage import Recorder, Usage

url, spool, token, ca, returned = sys.argv[1:]
out = os.open(returned, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
chance = random.Random()
recorder = Recorder(url=url, spool=spool, token_file=token, ca_file=ca, linger_s=0.05)
while True:
    one = Usage("web.flow.example/bytes", "spooled-app", 1, {"method": "GET"})
    ids = recorder.record_many([one] * chance.choice([1, 1, 1, 20]))
    os.write(out, "".join(id + "\\n" for id in ids).encode())
    time.sleep(chance.random() / 100)
"""


@dataclass
class Producers:
    """Processes that record on one spool; each keeps a file of the ids that it was given."""

    where: dict[str, str]
    folder: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list["subprocess.Popen[bytes]"])
    started: int = 0

    def start(self) -> None:
        """One more."""
        self.started += 1
        returned = str(self.folder / f"returned-{self.started}")
        command = [sys.executable, "-c", PRODUCE, *self.where.values(), returned]
        self.running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))

    def recorder(self) -> Recorder:
        """One in this process, on the same spool."""
        where = self.where
        return Recorder(
            url=where["url"], spool=where["spool"], token_file=where["token_file"], ca_file=where["ca_file"]
        )

    def kill(self, which: int) -> None:
        """SIGKILL, at whatever instruction it is."""
        process = self.running.pop(which)
        process.kill()
        process.wait()

    def kill_all(self) -> None:
        while self.running:
            self.kill(0)

    def returned(self) -> list[str]:
        """Every id that was returned to any of them."""
        files = sorted(self.folder.glob("returned-*"))
        # a kill may cut the last line, but no id that was written whole
        return [id for file in files for id in file.read_text().split() if len(id) == 26]


@pytest.fixture
def server(open_folder: Path) -> Iterator[Running]:
    """A server that keeps what it acknowledges through a kill, with a project that is paid for and a sender."""
    server = start_server(open_folder / "data", log=open_folder / "log", settings={})
    with ApiClient(server.connection()) as api:
        sender = HOW_TO.read_text().split("<<'EOF'\n")[1].split("\nEOF\n")[0]
        customer = CUSTOMER.format(name="spooled", since="2026-01-01T00:00:00Z")
        declared = "\n---\n".join((CATALOG, customer, sender))
        for manifest in read_manifests(declared, where="sdk"):
            Objects(api).apply(manifest)
    yield server
    server.stop()


@pytest.fixture
def producers(server: Running, tmp_path: Path) -> Iterator[Producers]:
    """Nobody yet; whoever is started ends with the test."""
    connection = server.connection()
    token, ca_file = tmp_path / "token", tmp_path / "ca.pem"
    with ApiClient(connection) as api:
        made = create_token(api, namespace="organization-our-services", name="meter")
    token.write_text(str(made["token"]) + "\n")
    ca_file.write_text(connection.ca_pem or "")
    where = {
        "url": connection.gateway_url,
        "spool": str(tmp_path / "spool"),
        "token_file": str(token),
        "ca_file": str(ca_file),
    }
    producers = Producers(where, tmp_path)
    yield producers
    producers.kill_all()


def wait_until_served(producers: Producers) -> None:
    """Until an event recorded now is acknowledged: there is no use in killing what is down."""
    with producers.recorder() as recorder:
        id = recorder.record(meter=METER, project=PROJECT, quantity=1)
        (producers.folder / f"returned-here-{id}").write_text(id)
        until = monotonic() + SERVED_AGAIN_S_MAX
        while not recorder.flush(1.0):
            assert monotonic() < until, recorder.metrics()


@pytest.mark.long
def test_every_id_that_record_returned_is_stored_exactly_once_whoever_was_killed(
    server: Running, producers: Producers, open_folder: Path
):
    chance = random.Random(SEED)
    for _ in range(PRODUCERS):
        producers.start()
    began = monotonic()
    kills = 0
    while monotonic() < began + KILLING_S:
        sleep(chance.uniform(0.2, 0.8))
        producers.kill(chance.randrange(PRODUCERS))
        producers.start()
        kills += 1
        if kills % 4 == 0:
            wait_until_served(producers)
            kill(open_folder, "postgres" if kills % 8 == 0 else "gateway")
    producers.kill_all()

    spool = producers.where["spool"]
    with producers.recorder() as last:
        assert last.flush(DRAINED_S_MAX), last.metrics()
        assert last.metrics().rejected == 0
    assert [path.name for path in Path(spool).iterdir() if path.suffix == ".segment"] == []
    # a kill may tear a write of several pages; record had not returned then
    assert {letter.reason for letter in deadletters.read(Folder(Path(spool)))} <= {deadletters.UNREADABLE}

    returned = [ulid_to_int(id) for id in producers.returned()]
    stored, rolled_up = read_stored(open_folder)
    print(f"{kills} kills, {len(returned)} ids returned, {len(stored)} events stored")
    assert len(returned) == len(set(returned)) > 100
    assert set(returned) <= set(stored)
    # a kill between the fsync and the return records an event that nobody was told of: one call a kill at most
    assert len(set(stored) - set(returned)) <= 20 * (kills + PRODUCERS)
    assert len(stored) == len(set(stored)) == rolled_up
    with ApiClient(server.connection()) as api:
        assert [row["sum"] for row in get_usage(api, project=PROJECT)] == [str(len(stored))]
