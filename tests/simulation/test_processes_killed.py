"""Eight commands at a time, over two servers, all killed -9 at random, and PostgreSQL once: each thing once.

Four run months, four collect, as people and cron do: real `milo-billing invoices run` and `payments collect` against
real `milo-billing serve`, whose workers reach Stripe's HTTP in front of the hostile provider. The rows are audited
while they are killed, and at the end the commands themselves say what became of everything.
"""

import contextlib
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import pytest
from psycopg import IsolationLevel

from milo_billing.app.ledger_ports import above_the_books
from milo_billing.app.wiring import payment_providers
from milo_billing.infra.database import EVERYWHERE, Tx, connect, open_databases, reach_text
from milo_billing.infra.settings import Settings
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import RECEIVABLE, clearing
from milo_billing.payments.operations.desk import Desk, set_secrets
from milo_billing.payments.types import Succeeded
from tests.accounts_world import HandClock
from tests.db.invoicing.ground import ACME, ISSUER, NOVEMBER, open_ground
from tests.db.payments.ground import Till
from tests.hostile_provider import GOOD, SOFT, HostileProvider
from tests.simulation.money_simulation.auditing import CHECKS
from tests.simulation.real_processes import Command, Installation, installation
from tests.stripe_door import StripeDoor, stripe_door

SEED = 20261122
ACCOUNTS = 40
MONTHS = ("2026-11", "2026-12", "2027-01")
BEGINS = datetime(2027, 2, 3, 9, tzinfo=UTC)
RUNNERS, COLLECTORS = 4, 4
KILLS = 18
AUDITED_EVERY = 5
POSTGRES_AT = 9
STEPS_MAX = 12
"""So much is done at most, by all, between one kill and the next."""

WAIT_S_MAX = 2.0
"""So long a kill waits for it, where what was killed waits to be found dead."""

REST_S_MAX = 240.0
"""How long what dead workers left may take: it is looked for after 20 seconds, and runs are resumed every minute. A
machine that does much else besides takes its time."""

LATER_DAYS = 40
TWICE: dict[str, LiteralString] = {
    "invoices of the same days": "select account, period from invoicing.invoices where kind = 'Periodic' "
    "group by 1, 2 having count(*) > 1",
    "numbers with gaps": "select series, count(*), max(sequence) from invoicing.invoices group by 1 "
    "having count(*) <> max(sequence)",
    "runs printed ahead twice": "select run from invoicing.printings where run is not null "
    "group by 1 having count(*) > 1",
    "issued by two steps": "select invoice from invoicing.run_steps where state = 'issued' "
    "group by 1 having count(*) > 1",
}
SECRETS = {"apiKey": "sk_test_x", "webhookSecret": "whsec_x"}


def declare(till: Till, door: StripeDoor) -> None:
    """Accounts that pay by card, owe October, and have used something in the months after it."""
    ground = till.ground
    ground.declare_world()
    ground.declare("issuerprofiles", "kestrel", ISSUER)
    spec = {"provider": "stripe", "isDefault": True, "parameters": {"apiBase": door.url}}
    ground.declare("paymentmethodclasses", "cards", spec)
    till.work(lambda work: set_secrets(work, till.desk, name="cards", secrets=SECRETS))
    for number in range(ACCOUNTS):
        name = f"a{number:02}"
        account = ground.declare_account(name)
        till.card(f"card-{name}", account=name, token=SOFT if number % 5 == 0 else GOOD)
        till.pays_with(f"card-{name}", account=name)
        for month in ("2026-10", *MONTHS):
            ground.spend(account, f"{month}-05", dollars(number))
        ground.issued(account, now=NOVEMBER)


def dollars(account: int) -> int:
    """What an account spends every month."""
    return 10 + account


@dataclass
class Town:
    """Everybody who works at once, and who kills them."""

    house: Installation
    till: Till
    chance: random.Random
    slots: list[Command | None] = field(default_factory=lambda: [None] * (RUNNERS + COLLECTORS))
    ended: list[Command] = field(default_factory=list[Command])
    kills: dict[str, int] = field(default_factory=dict[str, int])

    def keep_busy(self) -> None:
        """In place of each command that ended or was killed, another."""
        for slot, command in enumerate(self.slots):
            if command is not None and command.alive:
                continue
            if command is not None:
                self.ended.append(command)
            server = self.chance.choice(self.house.servers)
            self.slots[slot] = self.house.command(*self.wanted(slot), server=server)

    def wanted(self, slot: int) -> list[str]:
        if slot >= RUNNERS:
            return ["payments", "collect", *(["--again"] if self.chance.random() < 0.3 else [])]
        return ["invoices", "run", "--month", self.chance.choice(MONTHS)]

    def progress(self) -> int:
        """Invoices that are issued, and what providers were asked and answered."""
        return self.till.ground.read(
            "select (select count(*) from invoicing.invoices) + (select count(*) from payments.attempts) "
            "+ (select count(answered_at) from payments.attempts)"
        )[0][0]

    def work_on(self) -> None:
        """Until something more is done, or long enough."""
        wanted = self.progress() + self.chance.randrange(1, STEPS_MAX + 1)
        until = time.monotonic() + WAIT_S_MAX
        while self.progress() < wanted and time.monotonic() < until:
            self.keep_busy()
            time.sleep(0.02)

    def kill_somebody(self, number: int) -> None:
        """Most often a command or a part of a server, at times a whole one, and PostgreSQL once."""
        if number == POSTGRES_AT:
            what = "postgres"
            self.house.kill_postgres()
        elif number % 9 == 4:
            what = "server"
            server = self.chance.choice(self.house.servers)
            self.chance.choice([server.kill_all, server.kill_supervisor])()
            self.house.serve(server.folder.name)
        elif number % 2:
            what = "part of a server"
            self.chance.choice(self.house.servers).kill_a_child(self.chance)
        else:
            what = "command"
            living = [one for one in self.slots if one is not None and one.alive]
            if living:
                self.chance.choice(living).process.kill()
        self.kills[what] = self.kills.get(what, 0) + 1

    def rest(self) -> None:
        """Nobody works any more but the servers."""
        for command in self.slots:
            if command is not None:
                command.process.kill()
                command.process.wait()
                self.ended.append(command)
        self.slots = [None] * len(self.slots)

    def complaints(self) -> list[str]:
        """What commands said that people cannot read, or that is no answer to a server that went away."""
        said = [(one.arguments, one.process.returncode, one.errors.read_text()) for one in self.ended]
        return [
            f"{' '.join(arguments)} ended with {code}: {text}"
            for arguments, code, text in said
            if "Traceback" in text or code not in (0, 1, -9) or (code == 1 and not text)
        ]


def wrong(town: Town, door: StripeDoor) -> list[str]:
    """What cannot be in the rows or at the provider, however far everybody has come."""
    provider = town.till.provider
    charged = [one.request.description for one in provider.charges if isinstance(one.result, Succeeded)]
    with snapshot(town.house.conninfo) as tx:
        others = above_the_books().subledgers
        told = {
            "rows": [text for check in CHECKS for text in check(tx)],
            "books": [str(one) for one in ledger.verify(tx, subledgers=others, everything=True)],
            **{name: tx.execute(query).fetchall() for name, query in TWICE.items()},
        }
    told |= {
        "charged twice": provider.charged_twice(),
        "invoices charged twice": sorted({number for number in charged if charged.count(number) > 1}),
        "asked of Stripe": door.wrong,
    }
    return [f"{name}: {rows}" for name, rows in told.items() if rows]


@contextlib.contextmanager
def snapshot(conninfo: str) -> Generator[Tx]:
    """Everything as it stood at one instant, while others write."""
    with connect(conninfo, role="milo_app") as tx:
        tx.isolation_level, tx.read_only = IsolationLevel.REPEATABLE_READ, True
        tx.execute("select set_config('milo.reach', %s, true)", (reach_text(EVERYWHERE),))
        yield tx


def finish(town: Town) -> None:
    """Undisturbed: what the killed left is done, the last months are issued, and everything is paid."""
    house, ground = town.house, town.till.ground
    reports = {month: house.said("invoices", "run", "--month", month) for month in MONTHS}
    for month, report in reports.items():
        assert (report["state"], report["total"], report["failed"], report["skipped"]) == (
            "finished",
            ACCOUNTS,
            0,
            0,
        ), f"{month}: {report}"
        assert report["issued"] + report["unchanged"] == ACCOUNTS
        listed = sorted((line["account"], line["number"], line["total"]) for line in report["accounts"])
        assert listed == [
            (f"{ACME}/{name}", number, f"{minor // 100}.{minor % 100:02}")
            for name, number, minor in ground.read(
                "select account_name, number, total_minor from invoicing.invoices "
                "where upper(period) = (%s::date + interval '1 month') at time zone 'UTC' order by 1",
                f"{month}-01",
            )
        ]
    wait_until(lambda: open_runs(house) == [], lambda: f"finished runs, but {left_over(town)}")
    house.move_on(LATER_DAYS)
    wait_until(lambda: all_paid(town), lambda: f"everything paid, but {left_over(town)}")


def open_runs(house: Installation) -> list[str]:
    listed = house.said("invoices", "runs")["items"]
    return [one["id"] for one in listed if one["state"] != "finished"]


def all_paid(town: Town) -> bool:
    town.house.said("payments", "collect", "--again")
    return town.till.ground.read("select distinct phase from invoicing.invoices") == [("Paid",)]


def all_printed(town: Town) -> bool:
    """Every document of October, by as many commands as a busy machine needs."""
    done = town.house.command("invoices", "print", "--month", "2026-10", server=town.house.servers[0])
    done.process.wait()
    assert "Traceback" not in done.errors.read_text()
    missing = town.till.ground.read(
        "select count(*) from invoicing.invoices i where not exists (select from invoicing.documents d "
        "where d.invoice = i.uid) and issued_at = %s",
        NOVEMBER,
    )
    return done.process.returncode == 0 and missing == [(0,)]


def left_over(town: Town) -> list[tuple[Any, ...]]:
    """Jobs that somebody does or should do, and what is not done."""
    with connect(town.house.conninfo, role="milo_job") as tx:
        return [
            *tx.execute(
                "select task_name, status, count(*), max(attempts) from jobs.procrastinate_jobs group by 1, 2"
            ),
            *town.till.ground.read(
                "select run, state, count(*) from invoicing.run_steps s join invoicing.runs r on r.id = s.run "
                "where finished_at is null group by 1, 2"
            ),
            *town.till.ground.read("select phase, count(*) from invoicing.invoices group by 1"),
            *town.till.ground.read("select state, count(*) from payments.attempts group by 1"),
        ]


def wait_until(true: Callable[[], bool], wanted: Callable[[], str]) -> None:
    until = time.monotonic() + REST_S_MAX
    while not true():
        assert time.monotonic() < until, f"not within {REST_S_MAX:.0f} s: {wanted()}"
        time.sleep(1)


@pytest.mark.long
def test_real_commands_and_servers_that_are_killed_do_everything_once(open_folder: Path) -> None:
    provider = HostileProvider(seed=SEED, soft_declines=8)
    settings = {"PAYMENTS_TO_LOOPBACK": "true", "LOG_LEVEL": "warning"}
    with (
        stripe_door(provider) as door,
        installation(open_folder, begins=BEGINS, settings=settings) as house,
        opened(house, provider) as till,
    ):
        declare(till, door)
        house.serve("two")
        town = Town(house, till, random.Random(SEED))
        provider.lost_before, provider.lost_after = 0.1, 0.3
        for number in range(KILLS):
            town.work_on()
            town.kill_somebody(number)
            if number % AUDITED_EVERY == 0:
                assert wrong(town, door) == []
        town.rest()
        issued = till.ground.read("select count(*) from invoicing.invoices")[0][0]
        print(
            f"{town.kills} killed, {len(town.ended)} commands, {issued} issued, {len(provider.charges)} charges"
        )
        assert wrong(town, door) == []
        assert town.complaints() == []
        assert provider.charges, "collectors are killed while they ask"

        provider.lost_before = provider.lost_after = 0.0
        finish(town)
        assert wrong(town, door) == []
        wait_until(lambda: all_printed(town), lambda: f"October printed, but {left_over(town)}")
        verified = house.said("ledger", "verify")
        assert (verified["ok"], verified["differences"]) == (True, [])
        owed = sum(dollars(number) for number in range(ACCOUNTS)) * 100 * (1 + len(MONTHS))
        assert till.ground.read(
            "select count(*), count(distinct (account, period)), sum(total_minor)::int from invoicing.invoices"
        ) == [(ACCOUNTS * (1 + len(MONTHS)), ACCOUNTS * (1 + len(MONTHS)), owed)]
        assert (provider.charged_minor(), till.balance(clearing("stripe")), till.balance(RECEIVABLE)) == (
            owed,
            owed,
            0,
        )


@contextlib.contextmanager
def opened(house: Installation, provider: HostileProvider) -> Generator[Till]:
    """The first server's database and keys, from the side, to declare a world and to audit it."""
    served = house.serve("one")
    databases = open_databases(house.conninfo, pool_max=2)
    try:
        ground = open_ground(databases, served.folder)
        reaches = Settings(data_dir=served.folder, payments_to_loopback=True)
        desk = Desk(ground.engine, ground.office.vault, payment_providers(reaches))
        yield Till(ground, desk, provider, HandClock(BEGINS))
    finally:
        databases.close()
