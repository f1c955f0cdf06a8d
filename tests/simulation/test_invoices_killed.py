"""A run over accounts with commitments is killed again and again, and run once more: as if nobody had disturbed it."""

import multiprocessing
import random
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from milo_billing.accounts.types import Account
from milo_billing.infra.database import Databases, open_databases
from milo_billing.invoicing.types.invoices import Unchanged
from tests.db.invoicing.ground import ISSUER, Ground, open_ground

SEED = 20261122
ACCOUNTS = 2
KILLS = 3
MONTHS = ((2026, 10), (2026, 11), (2026, 12), (2027, 1))
NOW = datetime(2027, 2, 2, tzinfo=UTC)
ANSWER_S_MAX = 60.0


def promise(ground: Ground, group: str, number: int, chance: random.Random) -> None:
    """An account that promised much, prepaid some of it, and uses now more and now less."""
    name = f"{group}-{number}"
    account = ground.declare_account(name)
    ground.promise(
        f"promise-{name}",
        name,
        termMonths=3,
        minimumSpends=[
            {"amount": "60", "currencyCode": "USD", "interval": "Monthly"},
            {"amount": "600", "currencyCode": "USD", "interval": "Quarterly"},
        ],
        skuDiscounts=[{"percentage": "10"}],
        prepayment={"amount": "150"},
    )
    ground.discount(f"off-{name}", name, scope="Invoice", percentage="7.5")
    ground.discount(f"gift-{name}", name, scope="Line", amount="3", currencyCode="USD", uses=2)
    for year, month in MONTHS:
        ground.spend(account, f"{year}-{month:02}-05", chance.randrange(0, 150))
        ground.spend(account, f"{year}-{month:02}-21", chance.randrange(0, 50), project="data")


def run(ground: Ground, group: str, told: Connection | None = None) -> list[Any]:
    """Every month of every account of the group, a transaction each; tells after each."""
    outcomes: list[Any] = []
    for year, month in MONTHS:
        for number in range(ACCOUNTS):
            account = ground.account(f"{group}-{number}")
            outcomes.append(ground.issue(account, year=year, month=month, now=NOW))
            if told is not None:
                told.send(None)
    return outcomes


def run_alone(conninfo: str, folder: str, told: Connection) -> None:
    """The run in a process of its own, which is there to be killed."""
    databases: Databases = open_databases(conninfo, pool_max=2)
    run(open_ground(databases, Path(folder)), "killed", told)


def killed_run(conninfo: str, folder: Path, *, after: int, wait_s: float) -> None:
    """Start the run, and kill -9 it some time behind its so-manieth invoice."""
    context = multiprocessing.get_context("spawn")
    hears, tells = context.Pipe(duplex=False)
    process = context.Process(target=run_alone, args=(conninfo, str(folder), tells), daemon=True)
    process.start()
    try:
        for _ in range(after):
            assert hears.poll(ANSWER_S_MAX), "the run got stuck"
            hears.recv()
        sleep(wait_s)
    finally:
        process.kill()
        process.join(timeout=10)
    assert process.exitcode == -9


def invoices_of(ground: Ground, account: Account) -> list[tuple[Any, ...]]:
    """What the account's invoices say, but for their numbers."""
    return ground.read(
        "select i.period, i.subtotal_minor, i.discounts_minor, i.total_minor, l.line, l.kind, l.sku_name, l.first_day, "
        "l.end_day, l.amount_minor, "
        "(select sum(d.amount_minor) from invoicing.line_discounts d where d.invoice = l.invoice and d.line = l.line) "
        "from invoicing.invoices i join invoicing.lines l on l.invoice = i.uid where i.account = %s "
        "order by i.period, l.line",
        account.number,
    )


@pytest.mark.long
def test_a_run_that_was_killed_ends_like_one_that_was_not(
    databases: Databases, clean_database: str, tmp_path: Path
) -> None:
    ground = open_ground(databases, tmp_path)
    ground.declare_world()
    ground.declare("issuerprofiles", "kestrel", ISSUER)
    for group in ("killed", "calm"):
        for number in range(ACCOUNTS):
            promise(ground, group, number, random.Random(f"{SEED} {number}"))
    chance = random.Random(SEED)
    for number in range(KILLS):
        # what the runs before have done is gone over too
        after = 2 * number + chance.randrange(1, 3)
        killed_run(clean_database, tmp_path, after=after, wait_s=chance.random() / 25)
    first = run(ground, "killed")
    assert any(isinstance(one, Unchanged) for one in first), "some of it was done before the last kill"
    again = run(ground, "killed")
    assert again == [one if isinstance(one, Unchanged) else Unchanged(one.invoice) for one in first]
    run(ground, "calm")

    for number in range(ACCOUNTS):
        disturbed, calm = (ground.account(f"{group}-{number}") for group in ("killed", "calm"))
        found = invoices_of(ground, disturbed)
        assert found == invoices_of(ground, calm)
        assert {row[5] for row in found} == {"Usage", "Shortfall", "Prepayment", "DrawDown"}
    assert once_each(ground) == []
    assert ground.read("select array_agg(sequence order by sequence) from invoicing.invoices") == [
        (list(range(1, 2 * ACCOUNTS * len(MONTHS) + 1)),)
    ]
    owed = ground.read("select account, sum(total_minor)::int from invoicing.invoices group by 1 order by 1")
    assert owed == ground.read(
        "select t.billing_account, sum(e.amount_minor)::int from ledger.entries e "
        "join ledger.transactions t on t.id = e.transaction "
        "where e.account = 'Assets:Receivable' group by 1 order by 1"
    )


def once_each(ground: Ground) -> list[tuple[Any, ...]]:
    """Intervals and terms that were charged for more than once."""
    return ground.read(
        "select commitment, kind, first_day, end_day from invoicing.lines where commitment is not null "
        "group by 1, 2, 3, 4 having count(*) > 1"
    )
