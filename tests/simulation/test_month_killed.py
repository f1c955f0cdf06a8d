"""Eight processes at once, four that issue months and four that collect, all killed at random: each thing once.

Runners open runs and go on with those that others left; collectors ask a provider that loses answers. What they leave
is audited after every round, and finished by a last quiet run.
"""

import multiprocessing
import random
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import EVERYWHERE, Databases, open_databases
from milo_billing.invoicing.engine import runs
from milo_billing.invoicing.jobs.runs import run_steps
from milo_billing.invoicing.rules.runs import Run
from milo_billing.ledger.types import RECEIVABLE, clearing
from tests.db.payments.ground import Till, declare_till, join_till, open_till
from tests.hostile_provider import GOOD, SOFT, HostileProvider
from tests.simulation.money_simulation.auditing import CHECKS
from tests.simulation.test_collection_killed import EXPOSED, Served, work_through

SEED = 20261122
ACCOUNTS = 60
MONTHS = ((2026, 10), (2026, 11), (2026, 12))
RUNNERS, COLLECTORS = 4, 4
ROUNDS, ROUNDS_MAX = 4, 12
"""Rounds of kills; more only until a collector was killed behind a charge: who comes first is the machine's choice."""
STEPS_MAX = 10
"""So much is done at most, by all, between one kill and the next."""

WAIT_S_MAX = 3.0
"""So long a kill waits for it, where the machine does something else."""

READY_S_MAX = 120.0
BEGINS = datetime(2027, 1, 2, 9, tzinfo=UTC)
ROUND_DAYS = 40
"""Longer than every term of payment and gap of the schedule: each round may collect what the one before issued."""


def open_run(till: Till, year: int, month: int) -> UUID:
    """A run over all accounts, as `invoices run` has it."""
    run = Run(
        id=new_uid(),
        organizations=None,
        year=year,
        month=month,
        opened_by="ann",
        impersonated_by="",
        audit_id=new_uid(),
        opened_at=till.clock.now(),
    )
    with till.ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        runs.open_run(tx, run, account_reads.load_accounts(tx))
    return run.id


def go_over(till: Till, ids: Sequence[UUID]) -> None:
    for id in ids:
        run_steps(till.ground.office, till.ground.databases.app, till.clock, id=id)


def run_months(till: Till, chance: random.Random) -> None:
    """What was left open, and a run of every month, in any order."""
    go_over(till, till.ground.reading(lambda tx: runs.list_open_runs(tx, limit=100)))
    for year, month in chance.sample(MONTHS, len(MONTHS)):
        go_over(till, [open_run(till, year, month)])


def act_alone(
    conninfo: str, folder: str, address: Any, key: bytes, number: int, days: int, told: Connection
) -> None:
    """A runner or a collector in a process of its own, which is there to be killed."""
    Served.register("provider", exposed=EXPOSED)
    manager = Served(address=address, authkey=key)
    manager.connect()
    provider = cast("HostileProvider", cast("Any", manager).provider())
    databases: Databases = open_databases(conninfo, pool_max=2)
    till = join_till(databases, Path(folder), provider)
    till.clock.instant = BEGINS + timedelta(days=days)
    chance = random.Random(f"{SEED} {number} {days}")
    told.send(None)
    assert told.recv() is None
    while True:
        if number < RUNNERS:
            run_months(till, chance)
        else:
            work_through(till)


def progress(till: Till) -> int:
    """Invoices that are issued, and answers of the provider that are noted."""
    return till.ground.read(
        "select (select count(*) from invoicing.invoices) + (select count(*) from payments.attempts) "
        "+ (select count(answered_at) from payments.attempts)"
    )[0][0]


def wait_for(till: Till, *, steps: int) -> None:
    """Until so much more is done."""
    wanted, until = progress(till) + steps, time.monotonic() + WAIT_S_MAX
    while progress(till) < wanted and time.monotonic() < until:
        time.sleep(0.005)


def killed_processes(
    conninfo: str, till: Till, folder: Path, served: BaseManager, *, days: int, chance: random.Random
) -> None:
    """Start all eight, let them go at once, and kill -9 one after the other while they work."""
    # one process imports everything, the others are forked from it: starting costs nothing eight times over
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    started: list[tuple[Any, Connection]] = []
    key = bytes(multiprocessing.current_process().authkey)
    try:
        for number in range(RUNNERS + COLLECTORS):
            ours, theirs = context.Pipe()
            arguments = (conninfo, str(folder), served.address, key, number, days, theirs)
            process = context.Process(target=act_alone, args=arguments, daemon=True)
            process.start()
            started.append((process, ours))
        for _, ours in started:
            assert ours.poll(READY_S_MAX), "a process did not start"
            ours.recv()
        for _, ours in started:
            ours.send(None)
        for process, _ in chance.sample(started, len(started)):
            wait_for(till, steps=chance.randrange(1, STEPS_MAX + 1))
            time.sleep(chance.random() / 50)
            process.kill()
            process.join(timeout=10)
    finally:
        for process, _ in started:
            process.kill()
            process.join(timeout=10)
    assert {process.exitcode for process, _ in started} == {-9}


def wrong(till: Till) -> list[str]:
    """What cannot be in the rows, and what the ledger's own comparison says."""
    found = till.ground.reading(lambda tx: [text for check in CHECKS for text in check(tx)])
    return [*found, *(str(one) for one in till.differences())]


@pytest.mark.long
def test_eight_processes_that_are_killed_issue_and_collect_everything_once(
    databases: Databases, clean_database: str, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    provider = HostileProvider(seed=SEED, soft_declines=5)
    declare_till(databases, tmp_path)
    till = open_till(databases, tmp_path, provider)
    for number in range(ACCOUNTS):
        name = f"a{number}"
        account = till.ground.declare_account(name)
        till.card(f"card-{name}", account=name, token=SOFT if number % 3 == 0 else GOOD)
        till.pays_with(f"card-{name}", account=name)
        for year, month in MONTHS:
            till.ground.spend(account, f"{year}-{month:02}-05", 10 + number)
    Served.register("provider", callable=lambda: provider, exposed=EXPOSED)
    served = Served(address=("127.0.0.1", 0), authkey=bytes(multiprocessing.current_process().authkey))
    server = served.get_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served_at = Served(address=server.address, authkey=bytes(multiprocessing.current_process().authkey))
    provider.lost_before, provider.lost_after = 0.1, 0.3
    done: list[tuple[int, int]] = []
    for number in range(ROUNDS_MAX):
        killed_processes(clean_database, till, tmp_path, served_at, days=ROUND_DAYS * number, chance=chance)
        assert wrong(till) == []
        assert provider.charged_twice() == []
        issued = till.ground.read("select count(*) from invoicing.invoices")[0][0]
        done.append((issued, len(provider.charges)))
        if number + 1 >= ROUNDS and provider.charges:
            break
    print(f"invoices and charges after each round: {done}")
    assert 0 < done[0][0] < ACCOUNTS * len(MONTHS), "the first round is killed in the middle of it"
    assert done[-1][1], "and collectors while they ask"

    provider.lost_before = provider.lost_after = 0.0
    till.clock.instant = BEGINS + timedelta(days=ROUND_DAYS * len(done))
    run_months(till, chance)
    for _ in range(ROUNDS * 3):
        till.days_later(ROUND_DAYS)
        if work_through(till) and till.ground.read("select distinct phase from invoicing.invoices") == [
            ("Paid",)
        ]:
            break
    owed = sum(10 + number for number in range(ACCOUNTS)) * 100 * len(MONTHS)
    assert till.ground.read(
        "select count(*), count(distinct (account, period)), max(sequence), sum(total_minor)::int, "
        "array_agg(distinct phase) from invoicing.invoices where series = 'KC-2027-'"
    ) == [(ACCOUNTS * len(MONTHS), ACCOUNTS * len(MONTHS), ACCOUNTS * len(MONTHS), owed, ["Paid"])]
    assert till.ground.read("select count(*) from invoicing.runs where finished_at is null") == [(0,)]
    assert wrong(till) == []
    assert provider.charged_twice() == []
    assert (provider.charged_minor(), till.balance(clearing("stripe")), till.balance(RECEIVABLE)) == (
        owed,
        owed,
        0,
    )
