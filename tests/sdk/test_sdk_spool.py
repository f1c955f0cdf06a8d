"""The spool: shared fsyncs, the bound over all processes, segments that find a new owner, forks."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from milo_usage import Recorder, SpoolFull, UnreadableSpool, Usage, deadletters, records
from milo_usage.clock import SystemClock
from milo_usage.commits import GroupCommit, Ticket
from milo_usage.folder import Folder
from milo_usage.spool import BYTES_MAX_LEAST, SEGMENT_BYTES_MIN, Spool

from tests.sdk.gateways import ScriptedGateway

Make = Callable[..., Recorder]
WAIT_S = 20.0


def run(program: str, *arguments: str) -> str:
    """What a Python program prints that must end well."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def open_spool(path: Path, bytes_max: int = BYTES_MAX_LEAST) -> Spool:
    return Spool(path, bytes_max=bytes_max, clock=SystemClock())


def drain(spool: Spool) -> list[bytes]:
    """Acknowledge everything; what it was."""
    found: list[bytes] = []
    while (batch := spool.next_batch(events_max=100, payload_bytes_max=100_000)) is not None:
        found += [record.payload for record in batch.records]
        spool.acknowledge(batch.segment, batch.end)
    return found


def test_those_who_come_while_one_writes_are_written_together():
    sizes: list[int] = []
    first = threading.Event()

    def write(group: Any) -> None:
        sizes.append(len(group))
        if len(sizes) == 1:
            first.set()
            time.sleep(0.2)
        for ticket in group:
            assert isinstance(ticket, Ticket)
            ticket.written = True

    commits = GroupCommit(write)
    threads = [threading.Thread(target=commits.commit, args=(b"x",)) for _ in range(10)]
    threads[0].start()
    assert first.wait(WAIT_S)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [1, 9]


def test_a_writer_that_breaks_down_leaves_nobody_waiting():
    def write(group: Any) -> None:
        raise KeyboardInterrupt

    commits = GroupCommit(write)
    with pytest.raises(KeyboardInterrupt):
        commits.commit(b"x")
    commits.close()


def test_the_bound_holds_for_all_writers_together_and_room_comes_back(tmp_path: Path):
    spools = [open_spool(tmp_path) for _ in range(3)]
    data = records.pack(b"x" * 1_000, 0)
    recorded = 0
    for spool in spools * 400:
        try:
            spool.append(data)
            recorded += 1
        except SpoolFull as full:
            assert "spool_bytes_max is 1048576" in str(full)
        assert spool.folder.bytes_used() <= BYTES_MAX_LEAST
    assert 0.8 * BYTES_MAX_LEAST / len(data) < recorded < BYTES_MAX_LEAST / len(data)
    assert sum(len(drain(spool)) for spool in spools) == recorded
    time.sleep(0.11)  # for so long a refusal is repeated without looking again
    for spool in spools:
        spool.append(data)
        spool.close()


def test_many_events_at_once_are_all_recorded_or_none(tmp_path: Path):
    spool = open_spool(tmp_path)
    many = b"".join(records.pack(b"y" * 1_000, n) for n in range(3 * SEGMENT_BYTES_MIN // 1_000))
    for _ in range(4):
        spool.append(many)
    before = spool.unsent_bytes()
    with pytest.raises(SpoolFull):
        while True:
            spool.append(many)
            before += len(many)
    assert spool.unsent_bytes() == before
    assert before % len(many) == 0
    spool.close()


def test_segments_of_a_closed_or_killed_writer_are_adopted_by_one_other_and_those_of_a_live_one_are_not(
    tmp_path: Path,
):
    closed, live, one, two = [open_spool(tmp_path) for _ in range(4)]
    closed.append(records.pack(b"left", 0))
    live.append(records.pack(b"mine", 0))
    closed.close()
    assert (one.adopt_orphans(), two.adopt_orphans()) == (1, 0)
    assert drain(one) == [b"left"]
    assert drain(live) == [b"mine"]
    for spool in (live, one, two):
        spool.close()
    assert [path.name for path in tmp_path.iterdir()] == ["spool.lock"]


def test_segments_without_a_lock_file_are_adopted_too(tmp_path: Path):
    spool = open_spool(tmp_path)
    spool.append(records.pack(b"left", 0))
    spool.close()
    for lock in tmp_path.glob("*.lock"):
        lock.unlink()
    again = open_spool(tmp_path)
    again.adopt_orphans()
    assert drain(again) == [b"left"]
    again.close()


def test_a_disk_that_refuses_is_reported_and_leaves_nothing_behind(tmp_path: Path):
    program = """
import resource, sys
from milo_usage import Recorder, UnableToRecord
recorder = Recorder(url="http://127.0.0.1:9", token="t", spool=sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    recorder.record(meter="a/b", project="p", quantity=1)
except UnableToRecord as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(recorder.record(meter="a/b", project="p", quantity=2))
recorder.close(timeout=0)
"""
    refused, id = run(program, str(tmp_path)).splitlines()
    assert "File too large; the event is not recorded" in refused
    again = open_spool(tmp_path)
    again.adopt_orphans()
    (payload,) = drain(again)
    assert json.loads(payload)["id"] == id
    again.close()


def test_damage_in_the_middle_goes_to_the_dead_letters_and_the_rest_is_sent(
    tmp_path: Path, gateway: ScriptedGateway, make: Make, nowhere: str
):
    recorder = make(nowhere)
    ids = recorder.record_many([Usage("a/b", "p", number) for number in range(5)])
    recorder.close(timeout=0)
    (segment,) = (tmp_path / "spool").glob("*.segment")
    whole = segment.read_bytes()
    place = whole.index(ids[2].encode())
    segment.write_bytes(whole[:place] + b"!" + whole[place + 1 :])
    later = make(gateway.url)
    assert later.flush(WAIT_S)
    assert gateway.ids == [id for id in ids if id != ids[2]]
    (letter,) = deadletters.read(Folder(tmp_path / "spool"))
    assert letter.reason == "UNREADABLE"
    assert ids[2][1:].encode() in letter.raw
    assert later.metrics().unreadable_bytes == len(letter.raw)


def test_a_torn_dead_letter_does_not_spoil_the_next(tmp_path: Path):
    folder = Folder(tmp_path)
    letter = deadletters.of_payload(b'{"id":"1"}', reason="R", detail="d")
    deadletters.append(folder, [letter], now_us=0)
    path = tmp_path / "dead-letters.jsonl"
    path.write_bytes(path.read_bytes() + b'{"at":"torn')
    deadletters.append(folder, [deadletters.of_payload(b'{"id":"2"}', reason="R", detail="d")], now_us=0)
    assert [letter.id for letter in deadletters.read(folder)] == ["1", "2"]


FORKING = """
import os, sys
from milo_usage import Recorder
recorder = Recorder(url=sys.argv[1], token="t", spool=sys.argv[2])
def record(n):
    for _ in range(n):
        os.write(1, (recorder.record(meter="a/b", project="p", quantity=1) + "\\n").encode())
record(5)
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        record(5)
        sys.stdout.flush()
        os._exit(0 if recorder.close(timeout=20) else 1)
    children.append(pid)
record(5)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
assert recorder.close(timeout=20)
"""


def test_forked_children_record_and_send_for_themselves(tmp_path: Path, gateway: ScriptedGateway):
    ids = run(FORKING, gateway.url, str(tmp_path)).split()
    assert len(ids) == len(set(ids)) == 25
    assert sorted(gateway.ids) == sorted(ids)
    assert [path.name for path in tmp_path.iterdir()] == ["spool.lock"]


def test_a_spool_that_is_a_file_or_too_small_is_refused(tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UnreadableSpool, match="is a file, not a folder"):
        open_spool(file)
    with pytest.raises(ValueError, match="at least 1048576"):
        open_spool(tmp_path, bytes_max=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "billing.example.com"}, "expected one such as 'https://"),
        ({"url": "http://billing.example.com"}, "must not travel in the clear"),
        ({"token": None}, "either token or token_file"),
        ({"token_file": "x"}, "either token or token_file"),
        ({"source": ""}, "source: ''"),
        ({"ca_file": "/nowhere/ca.pem"}, "is not there"),
    ],
)
def test_arguments_that_cannot_work_are_refused_at_once(make: Make, options: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        make(**{"url": "https://billing.example.com", **options})
