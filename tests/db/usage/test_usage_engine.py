"""The engine with its threads: coalescing, two processes at once, the compactor, a database that goes away."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import monotonic, sleep

import pytest

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.infra.clock import new_uid, random_bits
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Unavailable
from milo_billing.usage import operations, reads, store
from milo_billing.usage.engine import groups
from milo_billing.usage.engine.answers import Acknowledged
from milo_billing.usage.engine.groups import Request
from milo_billing.usage.engine.pipeline import UsageEngine
from milo_billing.usage.types import Grouping
from tests.usage_world import JSON, UsageWorld, answered

DAY = timedelta(days=1)


@pytest.fixture
def engine(usage: UsageWorld) -> Iterator[UsageEngine]:
    engine = new_engine(usage)
    engine.start()
    yield engine
    engine.stop()


def new_engine(usage: UsageWorld) -> UsageEngine:
    return UsageEngine(usage.databases.ingest, process=new_uid(), random_bits=random_bits, late_days_max=30)


def test_many_requests_become_few_transactions_and_each_gets_its_own_answer(
    usage: UsageWorld, engine: UsageEngine
):
    requests: list[Request] = []
    for n in range(300):
        events: list[JSON] = [usage.event(value=str(n)) for _ in range(1 + n % 3)]
        requests.append(usage.request([*events, *([5] if n % 7 == 0 else [])]))
    answers = [answered(future) for future in [engine.submit(request) for request in requests]]
    assert [answer.accepted for answer in answers] == [1 + n % 3 for n in range(300)]
    assert [len(answer.rejected) for answer in answers] == [int(n % 7 == 0) for n in range(300)]
    assert usage.rolled_up() == usage.recounted()
    transactions = usage.value("select count(distinct xmin::text) from usage.events")
    assert transactions < 100
    assert engine.problem() is None


def test_two_processes_that_get_the_same_events_store_each_once(usage: UsageWorld):
    batches = [[usage.event(value="1") for _ in range(200)] for _ in range(20)]
    foreign = [usage.event(id=f"order-{n}") for n in range(200)]

    def send(order: int) -> list[Acknowledged]:
        committer = usage.new_committer()
        answers: list[Acknowledged] = []
        for batch in [*batches, foreign][::order]:
            answers += usage.ingest(batch, committer=committer)
        return answers

    with ThreadPoolExecutor(2) as pool:
        both = [answer for answers in pool.map(send, (1, -1)) for answer in answers]
    assert sum(answer.accepted for answer in both) == sum(answer.duplicate for answer in both) == 4_200
    assert usage.value("select count(*) from usage.events") == 4_200
    assert usage.rolled_up() == usage.recounted()


def test_readers_are_never_wrong_while_deltas_are_written_and_compacted(usage: UsageWorld):
    ended = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not ended.is_set():
            with usage.databases.app.transaction(reach="*") as tx:
                totals = reads.list_totals(
                    tx,
                    accounts=account_reads.load_accounts(tx),
                    projects=None,
                    meter=None,
                    first=usage.now.date(),
                    end=usage.now.date().replace(day=usage.now.day + 1),
                    grouping=Grouping(),
                    limit=10,
                )
            assert totals is not None
            seen.append(sum(total.figures.count for total in totals))

    reader = threading.Thread(target=read)
    reader.start()
    stored = 0
    for _ in range(30):
        usage.ingest([usage.event() for _ in range(10)])
        stored += 10
        with usage.databases.ingest.transaction(reach="*") as tx:
            store.compact(tx)
    ended.set()
    reader.join()
    assert seen == sorted(seen)  # never less than before: nothing is missing in between
    assert all(count % 10 == 0 and count <= stored for count in seen)
    assert usage.value("select count(*) from usage.deltas") == 0
    assert usage.rolled_up() == usage.recounted()


def test_a_database_that_goes_away_is_said_so_and_ingest_goes_on_when_it_is_back(
    usage: UsageWorld, engine: UsageEngine, superuser_tx: Tx
):
    answered(engine.submit(usage.request([usage.event()])))
    database = superuser_tx.info.dbname
    superuser_tx.execute("update pg_database set datallowconn = false where datname = %s", (database,))
    others = "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()"
    superuser_tx.execute(others, (database,))
    lost = [usage.request([usage.event()]) for _ in range(3)]
    unreadable = usage.request([5])  # refused in any case, but it could not be counted either
    futures = [engine.submit(request) for request in (*lost, unreadable)]
    for future in futures:
        with pytest.raises(Unavailable):
            future.result(timeout=30)
    assert engine.problem() is not None
    superuser_tx.execute("update pg_database set datallowconn = true where datname = %s", (database,))
    until = monotonic() + 10
    while engine.problem() is not None:  # it finds out by itself: nobody sends to a gateway that is not ready
        assert monotonic() < until
        sleep(0.05)
    again = [usage.request(request.batch.events) for request in lost]
    assert [answered(engine.submit(request)).taken for request in again] == [1, 1, 1]
    assert engine.problem() is None
    assert usage.value("select count(*) from usage.events") == 4


def test_an_engine_that_stops_serves_those_who_wait_and_takes_nobody_in(usage: UsageWorld):
    engine = new_engine(usage)
    engine.start()
    futures = [engine.submit(usage.request([usage.event()])) for _ in range(20)]
    engine.stop()
    assert [answered(future).accepted for future in futures] == [1] * 20
    with pytest.raises(Unavailable):
        engine.submit(usage.request([usage.event()]))


def test_partitions_stand_for_every_day_that_an_id_may_be_of(usage: UsageWorld):
    usage.ingest([usage.event()])
    days = usage.rows("select min(day)::text, max(day)::text, count(*) from usage.days")
    assert days == [("2026-08-17", "2026-10-03", 48)]
    partitions = "select count(*) from pg_inherits where inhparent = 'usage.events'::regclass"
    assert usage.value(partitions) == 48
    usage.world.clock.forward(days=1)
    usage.committer.commit(groups.whole([usage.request([usage.event()])]), None)
    assert usage.value(partitions) == 49
    with usage.databases.ingest.transaction(reach="*") as tx:
        assert operations.ensure_partitions(tx, now=usage.now) == ()
        made = operations.ensure_partitions(tx, now=usage.now + 2 * DAY)
    assert [day.isoformat() for day in made] == ["2026-10-05", "2026-10-06"]


def test_what_became_of_everything_is_counted(usage: UsageWorld):
    events = [usage.event(), usage.event(project="nobody"), usage.event(time="2026-10-01T10:00:00Z")]
    usage.ingest([*events, {}])
    usage.ingest([*events, {**events[0], "data": {"value": "2"}}])
    with usage.databases.app.transaction(reach="*") as tx:
        found = reads.get_statistics(tx)
    assert (found.accepted, found.late, found.duplicate, found.conflicts) == (1, 0, 3, 1)
    assert found.quarantined == {"attribution_failure": 2}
    assert found.rejected == {"MISSING_REQUIRED_FIELD": 1, "ID_CONFLICT": 1}
