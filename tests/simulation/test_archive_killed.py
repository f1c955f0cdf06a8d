"""Kill -9 in the middle of archiving, at random: each day ends up in one file, whole, and nowhere else."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import sleep

import pytest

from milo_billing.infra.clock import random_bits
from milo_billing.infra.database import Databases
from milo_billing.kernel.ids import ulid
from tests.usage_life import RETENTION, Life
from tests.usage_world import make_usage_world

SEED = 20261002
DAYS = 4
KILLS = 5

ARCHIVE = """
import sys
from datetime import datetime
from pathlib import Path
from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.infra.database import Database
from milo_billing.usage.engine.archive import Archivist
conninfo, folder, now = sys.argv[1:]
database = Database(conninfo, role="milo_ingest", pool_max=1)
archivist = Archivist(database, FolderBlobs(Path(folder)), retention_days=45, kept_years=7)
print("begun", flush=True)
archivist.archive(now=datetime.fromisoformat(now), report=lambda day, step: print(day, step, flush=True))
"""


@pytest.fixture
def life(databases: Databases, tmp_path: Path) -> Iterator[Life]:
    yield Life(make_usage_world(databases, tmp_path), tmp_path / "archive")


def start(life: Life) -> subprocess.Popen[str]:
    database = life.usage.databases.ingest
    return subprocess.Popen(
        [sys.executable, "-c", ARCHIVE, database.conninfo, str(life.folder), life.usage.now.isoformat()],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.long
def test_every_event_is_archived_once_whatever_was_killed(life: Life):
    chance = random.Random(SEED)
    usage = life.usage
    for _ in range(DAYS):
        at = int(usage.now.timestamp() * 1000)
        usage.ingest([usage.event(value=str(n), id=ulid(at, random_bits(80))) for n in range(500)])
        usage.world.clock.forward(days=1)
    usage.world.clock.forward(days=RETENTION)
    before = life.recounted()
    life.forget_empty_days()
    reached: set[str] = set()
    for _ in range(KILLS):
        process = start(life)
        assert process.stdout is not None
        with process.stdout as lines:
            assert lines.readline() == "begun\n"
            for _ in range(chance.randrange(1, 7)):
                words = lines.readline().split()
                reached.update(words[1:])
                if not words:
                    break
            sleep(chance.random() / 50)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert {"seal", "write"} <= reached
    ended = start(life)
    ended.communicate(timeout=120)
    assert ended.returncode == 0
    assert usage.value("select count(*) from usage.events") == 0
    assert [file.suffix for file in life.files()] == [".parquet"] * DAYS
    assert life.verify() == [None] * DAYS
    assert life.recounted() == before == life.rolled_up()
    left = usage.value(
        "select count(*) from usage.days where dropped_at is null and day < %s",
        usage.now.date() - timedelta(days=RETENTION),
    )
    assert left == 0
