"""Collectors are killed at random, two at a time, over a provider that loses answers: no charge twice, ever."""

import multiprocessing
import random
import threading
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.managers import BaseManager
from pathlib import Path
from time import sleep
from typing import Any, cast

import pytest

from milo_billing.infra.database import Databases, open_databases
from milo_billing.kernel.errors import Unavailable
from milo_billing.ledger.types import RECEIVABLE, UNAPPLIED_CASH, clearing
from milo_billing.payments.operations.refunding import open_refund
from tests.db.payments.ground import Till, declare_till, join_till, open_till
from tests.hostile_provider import GOOD, SOFT, HostileProvider

SEED = 20261122
ROUNDS = 6
AT_ONCE = 2
ACCOUNTS = 6
READY_S_MAX = 120.0
ROUND_DAYS = 8
"""Longer than every gap of the schedule, so that each round may try again."""


class Served(BaseManager):
    """The provider, in a process that nobody kills."""


EXPOSED = ("create_payment", "find_payment", "get_payment", "create_refund", "find_refund", "set_up_method")


def work_through(till: Till) -> bool:
    """Collect, ask, give back; whether everything had an answer."""
    till.collect()
    answered = True
    for step in (till.ask_all, till.give_back_all):
        try:
            step()
        except Unavailable:
            answered = False
    return answered


def collect_alone(conninfo: str, folder: str, address: Any, key: bytes, days: int, told: Connection) -> None:
    """A collector in a process of its own, which is there to be killed."""
    Served.register("provider", exposed=EXPOSED)
    manager = Served(address=address, authkey=key)
    manager.connect()
    provider = cast("HostileProvider", cast("Any", manager).provider())
    databases: Databases = open_databases(conninfo, pool_max=2)
    till = join_till(databases, Path(folder), provider)
    till.clock.instant += timedelta(days=days)
    told.send(None)
    while True:
        work_through(till)


def killed_collectors(
    conninfo: str, folder: Path, served: BaseManager, *, days: int, chance: random.Random
) -> None:
    """Start collectors, and kill -9 each of them some time after it has begun."""
    context = multiprocessing.get_context("spawn")
    started: list[Any] = []
    try:
        for _ in range(AT_ONCE):
            hears, tells = context.Pipe(duplex=False)
            key = bytes(multiprocessing.current_process().authkey)
            process = context.Process(
                target=collect_alone,
                args=(conninfo, str(folder), served.address, key, days, tells),
                daemon=True,
            )
            process.start()
            started.append((process, hears))
        for _, hears in started:
            assert hears.poll(READY_S_MAX), "a collector did not start"
        for process, _ in started:
            sleep(chance.random() * 0.6)
            process.kill()
    finally:
        for process, _ in started:
            process.kill()
            process.join(timeout=10)
    assert {process.exitcode for process, _ in started} == {-9}


@pytest.mark.long
def test_collectors_that_are_killed_charge_nothing_twice(
    databases: Databases, clean_database: str, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    provider = HostileProvider(seed=SEED, soft_declines=3)
    declare_till(databases, tmp_path)
    till = open_till(databases, tmp_path, provider)
    owed = 0
    for number in range(ACCOUNTS):
        token = SOFT if number % 2 else GOOD
        owed += till.owing(10 + number, account=f"a{number}", token=token).total_minor
    Served.register("provider", callable=lambda: provider, exposed=EXPOSED)
    # the provider lives in a thread of this process, which nobody kills
    served = Served(address=("127.0.0.1", 0), authkey=bytes(multiprocessing.current_process().authkey))
    server = served.get_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    provider.lost_before, provider.lost_after = 0.1, 0.3
    served_at = Served(address=server.address, authkey=bytes(multiprocessing.current_process().authkey))
    for number in range(ROUNDS):
        killed_collectors(clean_database, tmp_path, served_at, days=ROUND_DAYS * number, chance=chance)
        if number == ROUNDS // 2:
            give_some_back(till)
        assert provider.charged_twice() == []
        assert sums_to_zero(till)
    provider.lost_before = provider.lost_after = 0.0
    till.days_later(ROUND_DAYS * ROUNDS)
    while not work_through(till) or any(one.state == "opened" for one in till.collect()):
        till.days_later(ROUND_DAYS)
    assert provider.charged_twice() == []
    given = sum(one.refunded_minor for one in till.payments())
    assert provider.charged_minor() == owed + given, "what was given back was owed again, and collected"
    assert (till.balance(RECEIVABLE), till.balance(UNAPPLIED_CASH)) == (0, 0)
    assert till.balance(clearing("stripe")) == owed
    assert till.ground.read("select distinct phase from invoicing.invoices") == [("Paid",)]


def give_some_back(till: Till) -> None:
    """Refund a part of every payment that has come, so that its invoice is owed again."""
    for payment in till.payments():
        if payment.phase == "Succeeded":
            till.work(
                lambda work, payment=payment: open_refund(
                    work,
                    till.desk,
                    namespace=payment.namespace,
                    name=payment.name,
                    minor=100,
                    reason="goodwill",
                    reopen=True,
                )
            )


def sums_to_zero(till: Till) -> bool:
    """Whether the books balance, and what is receivable is what the invoices say."""
    ((total, receivable, due),) = till.ground.read(
        "select coalesce(sum(e.amount_minor), 0), "
        "coalesce(sum(e.amount_minor) filter (where e.account = 'Assets:Receivable'), 0), "
        "(select sum(total_minor - amount_paid_minor - credited_minor - written_off_minor) from invoicing.invoices) "
        "from ledger.entries e"
    )
    return (total, receivable) == (0, due)
