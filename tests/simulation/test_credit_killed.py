"""Eight processes that issue invoices of accounts with credit of every kind, killed at random: nothing is used twice.

Beside each account stands a twin that one process invoices undisturbed: both end with the same invoices and credit.
"""

import multiprocessing
import random
import time
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from milo_billing.app.ledger_ports import above_the_books
from milo_billing.app.projections import compare_projections
from milo_billing.controlplane.doors import repeated
from milo_billing.infra.database import Databases, open_databases
from milo_billing.invoicing.jobs.daily import lapse_credit
from milo_billing.ledger import operations as ledger
from tests.accounts_world import HandClock
from tests.db.invoicing.ground import ACME, ISSUER, Ground, open_ground
from tests.simulation.money_simulation.auditing import CHECKS
from tests.simulation.money_simulation.shop import CONSUMER

SEED = 20261122
PROCESSES = 8
ROUNDS = 2
ACCOUNTS = 10
MONTHS = ((2026, 10), (2026, 11), (2026, 12))
NOW = datetime(2027, 1, 2, 9, tzinfo=UTC)
STEPS_MAX = 3
"""So many invoices are issued at most, by all, between one kill and the next."""

WAIT_S_MAX = 3.0
READY_S_MAX = 120.0
GRANTS: tuple[dict[str, Any], ...] = (
    {"kind": "Prepaid", "amount": "41.07", "receivedInto": "3000"},
    {"kind": "Prepaid", "amount": "25", "receivedInto": "3000", "priority": 10},
    {"kind": "Promotional", "amount": "12.34", "skuSelectors": [{"cel": "name == 'tokens'"}]},
    {"kind": "Promotional", "amount": "5", "expiresAt": "2027-06-01T00:00:00Z"},
    {"kind": "Goodwill", "amount": "7.5"},
    {"kind": "Prepaid", "amount": "9", "receivedInto": "3000", "expiresAt": "2026-12-31T00:00:00Z"},
)
"""The last one has expired when invoices are issued: it is earned, by whichever process comes first."""


def declare(ground: Ground, group: str) -> None:
    """Accounts that used so much that some have credit left after three months, and some have used all of it."""
    chance = random.Random(SEED)
    for number in range(ACCOUNTS):
        name = f"{group}-{number}"
        account = ground.declare_account(name, **(CONSUMER if number % 2 else {}))
        for position, wanted in enumerate(GRANTS):
            spec = {"billingAccountRef": {"name": name}, "currencyCode": "USD", "reason": "agreed", **wanted}
            ground.declare("creditgrants", f"{name}-{position}", spec, namespace=ACME)
        for year, month in MONTHS:
            ground.spend(account, f"{year}-{month:02}-05", chance.randrange(3, 60))


def issue_all(ground: Ground, group: str, chance: random.Random) -> None:
    """Every account in any order, its months one after the other; then what has expired."""
    for number in chance.sample(range(ACCOUNTS), ACCOUNTS):
        account = ground.account(f"{group}-{number}")
        for year, month in MONTHS:
            repeated(
                lambda one=account, year=year, month=month: ground.issue(one, year=year, month=month, now=NOW)
            )
        lapse_credit(ground.office, ground.databases.app, HandClock(NOW))


def issue_alone(conninfo: str, folder: str, number: int, told: Connection) -> None:
    """One of the eight, in a process of its own, which is there to be killed."""
    databases: Databases = open_databases(conninfo, pool_max=2)
    ground = open_ground(databases, Path(folder))
    chance = random.Random(f"{SEED} {number}")
    told.send(None)
    assert told.recv() is None
    while True:
        issue_all(ground, "killed", chance)


def issued(ground: Ground) -> int:
    return ground.read("select count(*) from invoicing.invoices")[0][0]


def killed_processes(conninfo: str, ground: Ground, folder: Path, *, round_: int) -> None:
    """Start all eight, let them go at once, and kill -9 one after the other while they work."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    chance = random.Random(f"{SEED} {round_}")
    started: list[tuple[Any, Connection]] = []
    try:
        for number in range(PROCESSES):
            ours, theirs = context.Pipe()
            arguments = (conninfo, str(folder), number + PROCESSES * round_, theirs)
            process = context.Process(target=issue_alone, args=arguments, daemon=True)
            process.start()
            started.append((process, ours))
        for _, ours in started:
            assert ours.poll(READY_S_MAX), "a process did not start"
            ours.recv()
        for _, ours in started:
            ours.send(None)
        for process, _ in chance.sample(started, len(started)):
            wanted = issued(ground) + chance.randrange(STEPS_MAX)
            until = time.monotonic() + WAIT_S_MAX
            while issued(ground) < wanted and time.monotonic() < until:
                time.sleep(0.005)
            time.sleep(chance.random() / 50)
            process.kill()
            process.join(timeout=10)
    finally:
        for process, _ in started:
            process.kill()
            process.join(timeout=10)
    assert {process.exitcode for process, _ in started} == {-9}


def wrong(ground: Ground) -> list[str]:
    """What cannot be in the rows, and what the ledger's own comparison says."""
    found = ground.reading(lambda tx: [text for check in CHECKS for text in check(tx)])
    others = above_the_books().subledgers
    verified = ground.reading(lambda tx: ledger.verify(tx, subledgers=others, everything=True))
    compared = ground.reading(lambda tx: compare_projections(tx, ground.engine.registry))
    return [*found, *(str(one) for one in (*verified, *compared))]


def came_to(ground: Ground, group: str) -> list[tuple[Any, ...]]:
    """The group's invoices and grants, but for numbers."""
    return ground.read(
        "select * from (select substr(account_name, length(%s) + 2) as one, lower(period)::text as two, total_minor, "
        "amount_paid_minor, credited_minor from invoicing.invoices where account_name like %s || '-%%' "
        "union all select substr(account_name, length(%s) + 2), substr(name, length(%s) + 2), amount_minor, "
        "remaining_minor, 0 from invoicing.credit_grants where account_name like %s || '-%%') all_ order by 1, 2",
        *[group] * 5,
    )


@pytest.mark.long
def test_eight_processes_that_are_killed_use_credit_once(
    databases: Databases, clean_database: str, tmp_path: Path
) -> None:
    ground = open_ground(databases, tmp_path)
    ground.declare_world()
    ground.declare("taxrates", "ie", {"country": "IE", "percent": "23", "startsOn": "2021-03-01"})
    ground.declare("issuerprofiles", "kestrel", {**ISSUER, "taxRegistrations": [{"country": "IE"}]})
    for group in ("killed", "calm"):
        declare(ground, group)
    done: list[int] = []
    for round_ in range(ROUNDS):
        killed_processes(clean_database, ground, tmp_path, round_=round_)
        assert wrong(ground) == []
        done.append(issued(ground))
    print(f"invoices after each round: {done}")
    assert 0 < done[0] < ACCOUNTS * len(MONTHS), "the first round is killed in the middle of it"
    for group in ("killed", "calm"):
        issue_all(ground, group, random.Random(SEED))
    assert wrong(ground) == []
    found = came_to(ground, "killed")
    assert found == came_to(ground, "calm")
    assert len(found) == ACCOUNTS * (len(MONTHS) + len(GRANTS))
    kinds = ground.read("select distinct kind from invoicing.grant_movements order by 1")
    assert kinds == [("Expired",), ("Granted",), ("Used",)]
