"""Voids: an event does not count any more, wherever it lies, whatever its row holds, and whoever ingests meanwhile."""

import threading
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from milo_billing.usage import store
from milo_billing.usage.types import ArchiveDamaged, Discarded, EventNotFound, Void
from tests.usage_life import RETENTION, Life
from tests.usage_world import JSON, UsageWorld


@pytest.fixture
def life(usage: UsageWorld, tmp_path: Path) -> Life:
    return Life(usage, tmp_path / "archive")


def key_of(life: Life) -> tuple[int, ...]:
    ((figures,),) = [(figures,) for figures in life.rolled_up().values()]
    return figures


@pytest.mark.parametrize("archived", [False, True], ids=["living", "archived"])
@pytest.mark.parametrize(
    ("voided", "left"),
    [
        (1, (26, 3, 3, 15, 15)),  # neither least nor greatest nor last: 8
        (0, (31, 3, 8, 15, 15)),  # the least: 3
        (2, (19, 3, 3, 8, 8)),  # the greatest, and the last: 15
    ],
)
def test_a_row_without_the_event_is_what_it_would_have_been(
    life: Life, archived: bool, voided: int, left: tuple[int, ...]
):
    start = life.usage.now
    events: list[JSON] = []
    for minute, value in enumerate((3, 8, 15, 8)):
        at = start - timedelta(minutes=10) + timedelta(minutes=minute if minute != 3 else -1)
        events += life.ingest(value, at=at)
    if archived:
        life.usage.world.clock.forward(days=RETENTION + 1)
        life.archive()
        assert life.usage.value("select count(*) from usage.events") == 0
    first = life.void(events[voided])
    assert isinstance(first, Void)
    assert (first.reason, first.voided_by) == ("sent twice", "ann")
    assert key_of(life) == left
    assert life.rolled_up() == life.recounted()
    assert life.void(events[voided], "another reason") == first
    assert key_of(life) == left
    with life.usage.databases.app.transaction(reach="*") as tx:
        records = tx.execute(
            "select actor, verb, detail->>'reason' from access.audit_records where verb = 'void'"
        ).fetchall()
    assert records == [("ann", "void", "sent twice")]


def test_the_last_event_of_a_row_takes_the_row_with_it_and_the_next_one_makes_it_anew(life: Life):
    (event,) = life.ingest(7)
    life.void(event)
    assert life.rolled_up() == {}
    assert life.usage.value("select count(*) from usage.rollups") == 0
    life.ingest(9)
    assert key_of(life) == (9, 1, 9, 9, 9)


def test_a_voided_event_that_is_sent_again_is_a_duplicate(life: Life):
    (event,) = life.ingest(7)
    life.void(event)
    (answer,) = life.usage.ingest([event])
    assert (answer.duplicate, life.rolled_up()) == (1, {})


def test_the_greatest_int64_and_the_least_can_be_voided(life: Life):
    low, _, high, _ = life.ingest(-(2**63), 5, 2**63 - 1, 2**63 - 1)
    life.void(low)
    life.void(high)
    assert key_of(life)[:4] == (2**63 + 4, 2, 5, 2**63 - 1)
    assert life.rolled_up() == life.recounted()


def test_a_distinct_key_goes_with_the_last_event_that_had_it(life: Life):
    events = life.ingest(1, 1, 1)
    with life.usage.databases.ingest.transaction(reach="*") as tx:
        store.compact(tx)
        tx.execute("update usage.events set distinct_key = '00000000-0000-0000-0000-00000000000a'")
        tx.execute(
            "insert into usage.distinct_keys select account, day, project, meter, dimensions, distinct_key, count(*) "
            "from usage.events group by 1, 2, 3, 4, 5, 6"
        )
    for left in (2, 1, None):
        life.void(events.pop())
        assert life.usage.rows("select events from usage.distinct_keys") == (
            [] if left is None else [(left,)]
        )


def test_an_event_in_quarantine_is_discarded_there(life: Life):
    (event,) = life.ingest(1, meter="nobody.example/knows")
    discarded = life.void(event, "a test of ours")
    assert isinstance(discarded, Discarded)
    assert (discarded.reason, discarded.by) == ("a test of ours", "ann")
    assert life.void(event, "another") == discarded
    assert life.usage.quarantined() == []
    (answer,) = life.usage.ingest([event])
    assert answer.duplicate == 1


def test_what_nobody_sent_and_what_belongs_to_others_is_not_found(life: Life):
    (event,) = life.ingest(1)
    rival = life.usage.organization("rival")
    with pytest.raises(EventNotFound):
        life.void(event, reach=frozenset({0, rival}))
    with pytest.raises(EventNotFound):
        life.void_id(UUID(int=7), "mine")
    life.usage.world.clock.forward(days=RETENTION + 1)
    life.archive()
    with pytest.raises(EventNotFound):
        life.void(event, reach=frozenset({0, rival}))
    assert len(life.rolled_up()) == 1


def test_a_void_that_needs_a_lost_file_changes_nothing(life: Life):
    (event, _) = life.ingest(1, 2)
    life.usage.world.clock.forward(days=RETENTION + 1)
    life.archive()
    life.files()[0].unlink()
    with pytest.raises(ArchiveDamaged, match="backup"):
        life.void(event)
    assert key_of(life)[:2] == (3, 2)


def test_ingest_and_compaction_beside_voids_lose_nothing(life: Life):
    usage = life.usage
    events = life.ingest(*range(60))
    ended = threading.Event()
    failures: list[BaseException] = []

    def ingest(thread: int) -> None:
        committer = usage.new_committer()
        try:
            while not ended.is_set():
                batch = [usage.event(value=str(n)) for n in (-5, 30, 100)]
                usage.ingest(batch, committer=committer)
        except BaseException as error:
            failures.append(error)

    def compact() -> None:
        while not ended.wait(0.005):
            with usage.databases.ingest.transaction(reach="*") as tx:
                store.compact(tx)

    threads = [threading.Thread(target=ingest, args=(n,)) for n in range(2)] + [
        threading.Thread(target=compact)
    ]
    for thread in threads:
        thread.start()
    try:
        for event in events[:40]:
            life.void(event)
    finally:
        ended.set()
        for thread in threads:
            thread.join(timeout=30)
    assert failures == []
    assert life.usage.value("select count(*) from usage.voids") == 40
    assert life.rolled_up() == life.recounted()


def test_two_who_void_the_same_event_take_it_away_once(life: Life):
    event, _ = life.ingest(5, 6)
    answers: list[Void | Discarded] = []
    threads = [threading.Thread(target=lambda: answers.append(life.void(event))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(answers) == 4 and len(set(answers)) == 1
    assert key_of(life) == (6, 1, 6, 6, 6)


def test_a_void_of_an_invoiced_day_is_marked_as_a_change_and_of_an_open_one_not(life: Life):
    usage = life.usage
    early, late = life.ingest(5, 6)
    life.void(early)
    assert life.changes() == ()
    usage.world.clock.forward(days=1)
    life.bill(usage.now.replace(hour=0, minute=0))
    life.void(late)
    (change,) = life.changes()
    assert (change.cause, change.events, change.quantity) == ("void", -1, -6)
    assert life.rolled_up() == {}
