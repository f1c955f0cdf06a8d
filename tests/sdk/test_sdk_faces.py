"""The asynchronous face and the commands: the same core seen otherwise."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from milo_usage import AsyncRecorder, InvalidEvent, Recorder, SpoolFull, Usage

from tests.sdk.gateways import Reply, ScriptedGateway, take_all

Make = Callable[..., Recorder]
WAIT_S = 20.0


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "milo_usage", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_tasks_share_a_write_and_every_id_arrives(gateway: ScriptedGateway, make: Make):
    async def main() -> list[str]:
        async with AsyncRecorder(make(gateway.url)) as recorder:
            ids = await asyncio.gather(
                *(recorder.record(meter="a/b", project="p", quantity=n) for n in range(500))
            )
            ids += await recorder.record_many([Usage("a/b", "p", 1)] * 3)
            assert await recorder.flush(WAIT_S)
            assert recorder.metrics().acknowledged == 503
            return ids

    ids = asyncio.run(main())
    assert sorted(gateway.ids) == sorted(ids)


def test_one_bad_or_oversized_event_fails_alone(nowhere: str, make: Make):
    recorder = AsyncRecorder(make(nowhere, spool_bytes_max=1024 * 1024))
    large = [Usage("a/b", "p", 1, {f"d{n}": "x" * 256 for n in range(32)})] * 200

    async def main() -> tuple[object, ...]:
        return await asyncio.gather(
            recorder.record(meter="", project="p", quantity=1),
            recorder.record(meter="a/b", project="p", quantity=1),
            recorder.record_many(large),
            recorder.record(meter="a/b", project="p", quantity=2),
            return_exceptions=True,
        )

    bad, first, many, last = asyncio.run(main())
    assert isinstance(bad, InvalidEvent)
    assert isinstance(first, str)
    assert isinstance(last, str)
    assert isinstance(many, SpoolFull)
    assert recorder.metrics().recorded == 2


def test_the_loop_turns_while_events_are_written(gateway: ScriptedGateway, make: Make):
    async def main() -> float:
        recorder = AsyncRecorder(make(gateway.url))
        longest_s, ended = 0.0, False

        async def watch() -> None:
            nonlocal longest_s
            while not ended:
                began = time.monotonic()
                await asyncio.sleep(0)
                longest_s = max(longest_s, time.monotonic() - began)

        watcher = asyncio.create_task(watch())
        # 100 writes of ten events, one after the other: a loop that waited for each fsync would be held up 100 times
        for _ in range(100):
            await recorder.record_many([Usage("a/b", "p", 1)] * 10)
        ended = True
        await watcher
        return longest_s

    assert asyncio.run(main()) < 1.0


def test_a_second_event_loop_works_as_well(gateway: ScriptedGateway, make: Make):
    recorder = AsyncRecorder(make(gateway.url))
    for _ in range(2):
        asyncio.run(recorder.record(meter="a/b", project="p", quantity=1))
    assert asyncio.run(recorder.flush(WAIT_S))
    assert len(gateway.ids) == 2


def test_the_commands_show_send_and_resend(
    nowhere: str, gateway: ScriptedGateway, make: Make, tmp_path: Path
):
    spool, token = tmp_path / "spool", tmp_path / "token"
    token.write_text("secret")
    recorder = make(nowhere)
    ids = recorder.record_many([Usage("a/b", "p", number) for number in range(3)])
    assert not recorder.flush(0.5)
    until = time.monotonic() + WAIT_S  # a machine with more to do may not have tried yet
    while "Connection refused" not in (running := command("status", "--spool", spool)).stdout:
        assert time.monotonic() < until, running.stdout
    assert running.returncode == 1
    assert running.stdout.startswith("3 events wait, the oldest from 20")
    assert "held by process " in running.stdout
    recorder.close(timeout=0)
    (writer,) = json.loads(command("status", "--spool", spool, "--output", "json").stdout)["writers"]
    assert (writer["alive"], writer["events"], writer["damaged_bytes"]) == (False, 3, 0)

    flush = ("flush", "--spool", spool, "--url", gateway.url, "--token-file", token)
    gateway.script = lambda events: Reply(
        207, {"accepted": 2, "rejected": [{"id": ids[1], "reason": "TIME_IN_FUTURE", "detail": "clock"}]}
    )
    sent = command(*flush)
    assert (sent.returncode, sent.stdout) == (1, "2 sent, 1 rejected, 0 left\n")
    shown = command("dead-letters", "--spool", spool)
    assert shown.returncode == 1
    assert f"{ids[1]}  TIME_IN_FUTURE: clock" in shown.stdout
    assert (
        json.loads(command("dead-letters", "--spool", spool, "--output", "json").stdout)["event"]["id"]
        == ids[1]
    )

    gateway.script = take_all
    assert command("dead-letters", "--spool", spool, "--resend").stdout.startswith(
        "1 put back into the spool"
    )
    sent = command(*flush)
    assert (sent.returncode, sent.stdout) == (0, "1 sent, 0 rejected, 0 left\n")
    assert gateway.ids == [*ids, ids[1]]
    rest = command("status", "--spool", spool)
    assert (rest.returncode, rest.stdout.splitlines()[0][:16]) == (0, "0 events wait; t")
    assert command("dead-letters", "--spool", spool).returncode == 0


def test_a_flush_that_cannot_send_says_why(nowhere: str, make: Make, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("secret")
    recorder = make(nowhere)
    recorder.record(meter="a/b", project="p", quantity=1)
    recorder.close(timeout=0)
    spool = tmp_path / "spool"
    done = command("flush", "--spool", spool, "--url", nowhere, "--token-file", token, "--timeout", 0.5)
    assert (done.returncode, done.stdout) == (1, "0 sent, 0 rejected, 1 left\n")
    assert "Connection refused" in done.stderr


@pytest.mark.parametrize("name", ["status", "dead-letters"])
def test_a_folder_that_is_not_there_is_an_error_and_is_not_made(name: str, tmp_path: Path):
    done = command(name, "--spool", tmp_path / "none")
    assert (done.returncode, done.stderr) == (2, f"milo_usage: {tmp_path / 'none'} is not there\n")
    assert not (tmp_path / "none").exists()
