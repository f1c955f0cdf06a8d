"""The life of a day of raw events: seal, file, drop; and that nothing of it is lost or accepted twice."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.ids import ulid
from milo_billing.usage import operations
from milo_billing.usage.engine import sealing
from milo_billing.usage.types import ArchiveDamaged
from tests.usage_life import RETENTION, Life
from tests.usage_world import UsageWorld


def read_file(query: str) -> list[Any]:
    """What DuckDB reads."""
    with duckdb.connect() as reader:
        return reader.execute(query).fetchall()


@pytest.fixture
def ground(usage: UsageWorld, tmp_path: Path) -> Life:
    return Life(usage, tmp_path / "archive")


def test_a_day_whose_time_is_over_goes_into_a_file_that_another_program_reads(ground: Life):
    usage = ground.usage
    day = ground.today
    events = [
        usage.event(value=str(n), dimensions={"region": "eu"} if n % 2 else {}, resource={"kind": "Pod"})
        for n in range(20)
    ]
    usage.ingest(events, [usage.event(value=str(2**63 - 1)), usage.event(value=str(2**63 - 2), id="order-1")])
    before = usage.recounted()
    stored = usage.rows(
        "select id::text, value, (extract(epoch from event_at) * 1000000)::bigint, "
        "(extract(epoch from received_at) * 1000000)::bigint, day, digest from usage.events order by id"
    )
    usage.world.clock.forward(days=RETENTION)
    assert day not in ground.archive()
    assert ground.state(day) == "open"
    usage.world.clock.forward(days=1)
    assert day in ground.archive()
    assert ground.state(day) == "dropped"
    assert usage.value("select count(*) from usage.events") == 0
    assert usage.rolled_up() == before

    (file,) = ground.files()
    read = read_file(
        "select id::varchar, value, epoch_us(event_at), epoch_us(received_at), day, digest "
        f"from '{file}' order by id"
    )
    assert read == stored
    labels = read_file(
        f"select distinct account_name, project_name, meter_name, dimension_labels, resource_labels from '{file}' "
        "where resource_labels is not null order by all"
    )
    names = ("organization-acme/main", "web", "compute.example/cpu")
    assert [row[:3] for row in labels] == [names, names]
    assert {row[3] for row in labels} == {"{}", '{"region": "eu"}'}
    assert {row[4] for row in labels} == {'{"kind":"Pod"}'}
    (archived,) = usage.rows("select events, totals, first_day, last_day from usage.archives")
    (meter,) = archived[1]
    assert archived[0] == 22
    assert archived[1][meter] == {"events": "22", "sum": str(sum(range(20)) + 2**64 - 3)}
    assert archived[2:] == (day, day)
    assert ground.verify() == [None]
    assert ground.archive() == ()


def test_a_late_receipt_prolongs_the_life_of_its_day(ground: Life):
    usage = ground.usage
    day = ground.today
    made = int(usage.now.timestamp() * 1000)
    at = usage.now
    usage.world.clock.forward(days=20)
    (late,) = usage.ingest([usage.event(id=ulid(made, 1), at=at)])
    assert late.accepted == 1
    usage.world.clock.forward(days=RETENTION - 19)
    ground.archive()
    assert ground.state(day) == "open"
    usage.world.clock.forward(days=20)
    ground.archive()
    assert ground.state(day) == "dropped"


def test_days_without_events_leave_no_file_and_no_day_goes_beyond_what_was_asked(ground: Life):
    usage = ground.usage
    usage.ingest([usage.event()])
    usage.world.clock.forward(days=32)
    empty = ground.today - timedelta(days=RETENTION + 2)
    ground.archivist().archive(now=usage.now, until=empty)
    assert (ground.state(empty), ground.state(empty + timedelta(days=1))) == ("dropped", "open")
    assert ground.files() == []


def test_ids_of_a_sealed_day_are_refused_also_by_a_process_that_has_not_heard_of_it(ground: Life):
    usage = ground.usage
    made = int(usage.now.timestamp() * 1000)
    usage.ingest([usage.event(id=ulid(made, 1))])
    with usage.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        sealing.seal(tx, ground.today, now=usage.now)
    for committer in (usage.committer, usage.new_committer()):
        (answer,) = usage.ingest([usage.event(id=ulid(made, 2))], committer=committer)
        assert [item.reason for item in answer.rejected] == ["ID_EXPIRED"]
    assert usage.value("select count(*) from usage.events") == 1
    with (
        pytest.raises(psycopg.errors.RestrictViolation, match="sealed"),
        usage.databases.ingest.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute("delete from usage.events")


def test_sealing_waits_for_groups_and_groups_for_it_so_that_none_slips_in_behind(ground: Life):
    usage = ground.usage
    made = int(usage.now.timestamp() * 1000)
    taken: list[str] = []
    ended = threading.Event()

    def send(thread: int) -> None:
        committer = usage.new_committer()
        number = thread << 40
        while not ended.is_set():
            number += 1
            id = ulid(made, number)
            (answer,) = usage.ingest([usage.event(id=id)], committer=committer)
            if not answer.accepted:
                return
            taken.append(id)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    while len(taken) < 30:
        ended.wait(0.01)
    with usage.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        sealing.seal(tx, ground.today, now=usage.now)
    sealed_with = usage.value("select count(*) from usage.events")
    for thread in threads:
        thread.join(timeout=10)
    ended.set()
    assert usage.value("select count(*) from usage.events") == sealed_with == len(taken)


class Killed(Exception):
    """Stands for the end of the process."""


STEPS = ("seal", "write", "written", "drop", "detached", "done")


@pytest.mark.parametrize("step", STEPS)
def test_an_archivist_that_ended_anywhere_is_succeeded_by_one_that_goes_on(
    ground: Life, step: str, monkeypatch: pytest.MonkeyPatch
):
    usage = ground.usage
    day = ground.today
    usage.ingest([usage.event(value=str(n)) for n in range(5)])
    usage.world.clock.forward(days=RETENTION + 1)

    def end(reached: date, at: str) -> None:
        if (reached, at) == (day, step):
            raise Killed

    class Ending(FolderBlobs):
        @contextmanager
        def writing(self, name: str) -> Generator[Path]:
            with super().writing(name) as path:
                yield path
                if step == "written":
                    raise Killed

    if step == "detached":
        whole = sealing.drop

        def detach(tx: Any, chosen: date, **given: Any) -> None:
            if chosen == day:
                table = f"usage.events_{day:%Y%m%d}"
                tx.execute(f"alter table usage.events detach partition {table} concurrently")
                raise Killed
            whole(tx, chosen, **given)

        monkeypatch.setattr(sealing, "drop", detach)
    ground.forget_empty_days()
    with pytest.raises(Killed):
        ground.archivist(Ending(ground.folder)).archive(now=usage.now, report=end)
    monkeypatch.undo()
    ground.archive()
    assert ground.state(day) == "dropped"
    (file,) = ground.files()
    assert read_file(f"select sum(value), count(*) from '{file}'") == [(10, 5)]
    assert ground.verify() == [None]


def test_a_file_that_does_not_read_back_keeps_its_day_in_the_database(ground: Life):
    usage = ground.usage
    day = ground.today
    usage.ingest([usage.event()])
    usage.world.clock.forward(days=RETENTION + 1)

    class Lossy(FolderBlobs):
        @contextmanager
        def reading(self, name: str) -> Generator[Path]:
            with super().reading(name) as path:
                path.write_bytes(path.read_bytes()[:-1])
                yield path

    ground.forget_empty_days()
    with pytest.raises(ArchiveDamaged, match="nothing was dropped"):
        ground.archivist(Lossy(ground.folder)).archive(now=usage.now)
    assert (ground.state(day), usage.value("select count(*) from usage.events")) == ("sealed", 1)
    ground.archive()
    assert (ground.state(day), ground.verify()) == ("dropped", [None])


def test_verification_names_what_was_changed_or_lost_and_files_go_after_their_time(ground: Life):
    usage = ground.usage
    for _ in range(3):
        usage.ingest([usage.event()])
        usage.world.clock.forward(days=1)
    usage.world.clock.forward(days=RETENTION)
    ground.archive()
    changed, lost, _ = ground.files()
    changed.write_bytes(changed.read_bytes().replace(b"PAR1", b"PAR2", 1))
    lost.unlink()
    assert [problem is not None for problem in ground.verify()] == [True, True, False]
    usage.world.clock.forward(days=365 * 8)
    ground.archive()
    assert ground.files() == []
    assert ground.verify() == [None, None, None]


def test_a_partition_that_was_dropped_is_not_made_again(ground: Life):
    usage = ground.usage
    usage.ingest([usage.event()])
    usage.world.clock.forward(days=RETENTION + 1)
    ground.archive()
    with usage.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        operations.ensure_partitions(tx, now=usage.now - timedelta(days=2))
    assert usage.value(
        "select to_regclass(%s) is null", f"usage.events_{usage.now - timedelta(days=46):%Y%m%d}"
    )


def test_one_archivist_works_at_a_time(ground: Life):
    usage = ground.usage
    usage.ingest([usage.event()])
    usage.world.clock.forward(days=RETENTION + 1)
    found: list[tuple[date, ...]] = []

    def report(day: date, step: str) -> None:
        if step == "seal" and not found:
            found.append(ground.archive())

    ground.forget_empty_days()
    assert ground.archivist().archive(now=usage.now, report=report)
    assert found == [()]
