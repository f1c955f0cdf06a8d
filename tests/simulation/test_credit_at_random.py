"""Credit of every kind against late usage, voids, notes and payments, at random, account by account; audited each time.

Where the simulation of money has everything at once, this has few things, and so many more turns of them.
"""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from milo_billing.accounts.types import Account
from milo_billing.app.ledger_ports import above_the_books
from milo_billing.infra.database import Databases
from milo_billing.invoicing.jobs.daily import lapse_credit
from milo_billing.invoicing.operations import issuing
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.kernel.errors import MiloError
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.ledger import operations as ledger
from tests.accounts_world import HandClock
from tests.db.invoicing.ground import ACME, ISSUER, Ground, open_ground
from tests.db.invoicing.late_ground import use_late
from tests.db.invoicing.paying import as_it_stands, pay
from tests.simulation.money_simulation.auditing import CHECKS
from tests.simulation.money_simulation.shop import CONSUMER

CASES, CASES_LONG = 3, 60
TURNS = 14
BEGINS = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
KINDS = ("Prepaid", "Promotional", "Goodwill")
METERS = {"tokens": 100_000, "requests": 100}


class Case:
    """One account, and what happens to it."""

    def __init__(self, ground: Ground, number: int) -> None:
        self.chance = random.Random(f"credit {number}")
        self.ground = ground
        self.name = f"c{number}"
        self.clock = HandClock(BEGINS)
        self.account: Account = ground.declare_account(
            self.name, **(CONSUMER if self.chance.random() < 0.6 else {})
        )
        self.used: Counter[tuple[str, str]] = Counter()
        self.months = 0
        self.made = 0
        self.story: list[str] = []

    def run(self) -> None:
        for _ in range(self.chance.randrange(1, 4)):
            self.use("2026-10-05", late=False)
        for _ in range(self.chance.randrange(1, 4)):
            self.grant()
        self.attempt(self.issue)
        acts = (self.late, self.late, self.back, self.back, self.adjust, self.adjust, self.note, self.void)
        acts = (*acts, self.paid, self.grant, self.issue, self.revoke, self.lapse)
        for _ in range(TURNS):
            self.clock.forward(hours=self.chance.choice((1, 30, 200)))
            self.attempt(self.chance.choice(acts))

    def attempt(self, act: Callable[[], object]) -> None:
        """What makes no sense is refused, and that is all; jobs are never refused."""
        title = f"{self.clock.now():%m-%d %H} {act.__name__}"
        try:
            act()
            self.story.append(title)
        except Exception as refused:
            self.story.append(f"{title}: {refused}"[:300])
            if act in (self.issue, self.adjust, self.lapse) or not isinstance(refused, MiloError):
                raise AssertionError("\n".join(self.story)) from refused

    def use(self, day: str, *, late: bool) -> None:
        meter = self.chance.choice(tuple(METERS))
        total = self.chance.choice((1, 7, 40, 123)) * METERS[meter] + self.chance.randrange(9)
        use_late(self.ground, self.account, day, total, meter=meter, marked=late)
        self.used[day, meter] += total
        self.story.append(f"use {day} {meter} {total}")

    def late(self) -> None:
        self.use("2026-10-20", late=True)

    def back(self) -> None:
        """Some usage, or all of it, is taken back."""
        standing = sorted(key for key, total in self.used.items() if total)
        if standing:
            day, meter = self.chance.choice(standing)
            total = self.used[day, meter]
            minus = self.chance.choice((total, total // 2 + 1, self.chance.randrange(1, total + 1)))
            use_late(self.ground, self.account, day, -minus, meter=meter)
            self.used[day, meter] -= minus
            self.story.append(f"void {day} {meter} {minus}")

    def grant(self) -> None:
        kind = self.chance.choice(KINDS)
        spec: dict[str, Any] = {
            "billingAccountRef": {"name": self.name},
            "kind": kind,
            "amount": self.chance.choice(("0.01", "3", "7.77", "20", "100")),
            "currencyCode": "USD",
            "reason": "agreed",
            **({"receivedInto": "3000"} if kind == "Prepaid" else {}),
        }
        if self.chance.random() < 0.3:
            spec["skuSelectors"] = [{"cel": f"name == '{self.chance.choice(tuple(METERS))}'"}]
        if self.chance.random() < 0.3:
            spec["expiresAt"] = f"{self.clock.now() + timedelta(days=12):%Y-%m-%dT%H:%M:%SZ}"
        self.made += 1
        self.story.append(f"grant {spec}")
        name = f"{self.name}-g{self.made}"
        self.ground.declare("creditgrants", name, spec, namespace=ACME, now=self.clock.now())

    def issue(self) -> None:
        """The next month that is over, or an earlier one again."""
        months = [(2026, 10), (2026, 11), (2026, 12), (2027, 1), (2027, 2)]
        over = [
            one for one in months if datetime(*one, 1, tzinfo=UTC) + timedelta(days=33) < self.clock.now()
        ]
        over = over or months[:1]
        year, month = self.chance.choice([over[0], over[-1]])
        self.ground.issue(self.account, year=year, month=month, now=self.clock.now())

    def invoices(self) -> list[tuple[Any, ...]]:
        return self.ground.read(
            "select uid, name, total_minor, amount_paid_minor + credited_minor from invoicing.invoices "
            "where account = %s order by sequence",
            self.account.number,
        )

    def adjust(self) -> None:
        def adjusted(work: Any) -> None:
            issuing.adjust_account(work, office=self.ground.office, number=self.account.number)

        self.ground.write(adjusted, now=self.clock.now())

    def note(self) -> None:
        if not (found := self.invoices()):
            return
        _, name, total, _ = self.chance.choice(found)
        ways: list[dict[str, Any]] = [{}, {"lines": [{"line": 1}]}]
        if total:
            amount = str(minor_to_decimal(self.chance.randrange(1, total + 1), "USD"))
            ways += [{"amount": amount}] * 3
        self.made += 1
        spec = {"invoiceRef": {"name": name}, "reason": "an outage", **self.chance.choice(ways)}
        noted = f"{self.name}-n{self.made}"
        self.ground.declare("creditnotes", noted, spec, namespace=ACME, now=self.clock.now())

    def act(self, plural: str, name: str, action: str) -> None:
        kind = self.ground.engine.registry.get("billing.miloapis.com", plural)
        why = {"reason": "a mistake"}
        self.ground.write(
            lambda work: self.ground.engine.act(
                work, kind, namespace=ACME, name=name, action=action, request=why
            ),
            now=self.clock.now(),
        )

    def void(self) -> None:
        if found := self.invoices():
            self.act("invoices", self.chance.choice(found)[1], "void")

    def paid(self) -> None:
        owing = [row for row in self.invoices() if row[2] > row[3]]
        if owing:
            uid, _, total, settled = self.chance.choice(owing)
            invoice = self.ground.reading(lambda tx: invoice_reads.get_invoice_by_uid(tx, uid=uid))
            due = total - settled
            minor = self.chance.choice((due, self.chance.randrange(1, due + 1)))
            self.made += 1
            pay(self.ground, invoice, minor, f"{self.name}-{self.made}", now=self.clock.now())
            assert as_it_stands(self.ground, invoice).amount_paid_minor >= minor

    def revoke(self) -> None:
        left = self.ground.read(
            "select name from invoicing.credit_grants where account = %s and remaining_minor > 0 order by name",
            self.account.number,
        )
        if left:
            self.act("creditgrants", self.chance.choice(left)[0], "revoke")

    def lapse(self) -> None:
        lapse_credit(self.ground.office, self.ground.databases.app, self.clock)


def wrong(ground: Ground) -> list[str]:
    """What cannot be in the rows, and what the ledger's own comparison says; but for money that `pay` makes up."""
    checks = [one for one in CHECKS if one.__name__ != "_customers_money"]
    found = ground.reading(lambda tx: [text for check in checks for text in check(tx)])
    others = above_the_books().subledgers
    verified = ground.reading(lambda tx: ledger.verify(tx, subledgers=others, everything=True))
    return [*found, *(str(one) for one in verified)]


def run_cases(databases: Databases, folder: Path, *, first: int = 0, count: int) -> None:
    ground = open_ground(databases, folder)
    ground.declare_world()
    ground.declare("taxrates", "ie", {"country": "IE", "percent": "23", "startsOn": "2021-03-01"})
    ground.declare("issuerprofiles", "kestrel", {**ISSUER, "taxRegistrations": [{"country": "IE"}]})
    for number in range(first, first + count):
        case = Case(ground, number)
        case.run()
        assert not (found := wrong(ground)), "\n".join([*found, f"case {number}:", *case.story])


def test_credit_is_right_whatever_comes_back(databases: Databases, tmp_path: Path) -> None:
    run_cases(databases, tmp_path, count=CASES)


@pytest.mark.long
def test_credit_is_right_in_many_cases(databases: Databases, tmp_path: Path) -> None:
    run_cases(databases, tmp_path, first=CASES, count=CASES_LONG)
