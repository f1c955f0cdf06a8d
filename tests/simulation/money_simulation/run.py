"""Run one seed: turns of acts, time between them, the auditor after each; then everything is brought to its end."""

import random
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

from milo_billing.controlplane.doors import repeated
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import MiloError, Unavailable
from milo_billing.kernel.periods import next_month
from tests.bank_files import Told
from tests.simulation.money_simulation import acts, payouts
from tests.simulation.money_simulation.auditing import Auditor
from tests.simulation.money_simulation.fuse import Killed
from tests.simulation.money_simulation.shop import CUSTOMERS, Customer, Shop, declare_shop, open_shop
from tests.simulation.usage_simulation.ground import Ground

T = TypeVar("T")

TURNS: Final = 150
KILLED: Final = 0.25
"""How often whoever acts dies in the middle of it."""

STATEMENTS_MAX: Final = (10, 50, 300)
"""Within so many statements whoever dies does: some acts are of a few, some of hundreds."""

DRAINS_MAX: Final = 40
SHOWN_MAX: Final = 10
STORY_MAX: Final = 60
BEGUN: Final = date(2026, 10, 1)


_CAME_OF_IT: Final = (
    "select g.kind || ' ' || m.kind, count(*) from invoicing.grant_movements m "
    "join invoicing.credit_grants g on g.uid = m.credit_grant group by 1 "
    "union all select 'settled by ' || kind, count(*) from invoicing.settlements group by 1 "
    "union all select 'credit taken back', count(*) from invoicing.grant_movements "
    "where kind = 'Revoked' and cause ~ '^(bank|payment)/' "
    "union all select case when amount_minor > 0 then 'put' else 'taken' end || ' on account', count(*) "
    "from payments.on_account group by 1 "
    "union all select 'interest given back', count(*) from invoicing.interest_reversals "
    "union all select 'debits ' || state, count(*) from payments.debits group by 1 "
    "union all select 'payouts ' || state, count(*) from payments.payouts group by 1 "
    "union all select 'transfers ' || state, count(*) from payments.transfers group by 1 "
    "union all select 'invoices ' || kind, count(*) from invoicing.invoices group by 1 order by 1"
)
"""What a seed has come to, besides what was done."""


_WRITTEN: Final = "select pg_snapshot_xmax(pg_current_snapshot())::text"
"""Another one after every transaction that wrote, or began to."""


@dataclass
class Outcome:
    """What a seed came to. `wrong` is empty where everything is as it must be."""

    seed: int
    wrong: list[str] = field(default_factory=list[str])
    happened: Counter[str] = field(default_factory=Counter[str])
    story: list[str] = field(default_factory=list[str])
    failed_in: int | None = None
    """The turn in which something was wrong; None for the end, and where nothing is."""


class Simulation:
    """One seed on one database."""

    def __init__(self, seed: int, shop: Shop) -> None:
        self.outcome = Outcome(seed)
        self.chance = random.Random(f"money {seed}")
        """Of the turn: what happens in one does not change what the others draw, so turns can be left out."""
        self.shop = shop
        self.auditor = Auditor(self.shop)
        self.asked: set[tuple[str, date]] = set()
        """Months that were issued, by customer, whatever came of it."""
        self.void_months: set[tuple[str, date]] = set()
        self.books_closed_until = BEGUN
        self.subscribed: set[str] = set()
        self.files: list[bytes] = []
        self.sent: list[tuple[Told, str]] = []
        self.bank, self.payer = self.auditor.bank, self.auditor.payer
        self.arrived: set[str] = set()
        """Payouts that the bank has told of."""
        self._names: Counter[str] = Counter()

    def run(self, turns: int, *, without: Collection[int] = frozenset()) -> Outcome:
        """All turns but those left out, in which only time passes; or as far as the first thing that is wrong."""
        try:
            self.shop.provider.lost_before, self.shop.provider.lost_after = 0.1, 0.2
            self.shop.provider.slow_refunds = self.chance.random() < 0.5
            weights = [weight for weight, _ in acts.ACTS]
            for turn in range(turns):
                self.chance = random.Random(f"money {self.outcome.seed} turn {turn}")
                self.shop.pass_time(hours=self.chance.choice((0.5, 3, 12, 24, 60, 120)))
                (_, act) = self.chance.choices(acts.ACTS, weights)[0]
                if turn in without:
                    continue
                self._do(f"{turn} {self.today} {act.__name__}", act)
                if self.outcome.wrong:
                    self.outcome.failed_in = turn
                    break
            else:
                self._drain()
        finally:
            self.shop.till.ground.databases.close()
        return self.outcome

    def _do(self, title: str, act: acts.Act, *, thorough: bool = False) -> None:
        """Act, and audit unless nothing happened and nobody wrote anything."""
        before, written = self.outcome.happened.copy(), self.rows(_WRITTEN)
        found: list[str] = []
        try:
            act(self)
            if thorough or self.outcome.happened != before or self.rows(_WRITTEN) != written:
                found = self.auditor.audit(thorough=thorough)
        except Exception:
            found = [traceback.format_exc()]
        news = self.outcome.happened - before
        self.outcome.story.append(f"{title}: {', '.join(f'{n} {what}' for what, n in news.items())}")
        self.outcome.wrong += [f"after {title}: {text}" for text in found]

    def _drain(self) -> None:
        """Nobody dies any more, no answer is lost: jobs go on until nothing is under way."""
        self.shop.provider.lost_before = self.shop.provider.lost_after = 0.0
        for round_ in range(DRAINS_MAX):
            self.shop.pass_time(hours=12)
            for act in (acts.decide, acts.ask, acts.give_back):
                self._do(f"end {round_} {act.__name__}", act)
            if self.outcome.wrong or not self._under_way():
                break
        if not self.outcome.wrong and (left := self._under_way()):
            self.wrong(f"{left} attempts and refunds never come to an end")
        if not self.outcome.wrong:
            self._do("the end", payouts.settle, thorough=True)
        for what, times in self.rows(_CAME_OF_IT):
            self.count(what, times)

    def _under_way(self) -> int:
        """Attempts and refunds that nobody has decided."""
        ((attempts, refunds),) = self.rows(
            "select (select count(*) from payments.attempts where answered_at is null), "
            "(select count(*) from payments.refunds where answered_at is null)"
        )
        return attempts + refunds

    # -- how acts go about it

    def count(self, what: str, times: int = 1) -> None:
        """Note that something happened."""
        self.outcome.happened[what] += times

    def wrong(self, text: str) -> None:
        """Note what must not be."""
        self.outcome.wrong.append(text)

    def once(self, do: Callable[[], T]) -> T | None:
        """Do it; whoever does it may die on the way, and nobody takes it up again. None where it was refused."""
        if self.chance.random() < KILLED:
            self.shop.fuse.light(self.chance.randrange(1, self.chance.choice(STATEMENTS_MAX)))
        try:
            return self._allowed(do)
        except Killed:
            self.count("killed")
            return None
        finally:
            self.shop.fuse.put_out()

    def persist(self, do: Callable[[], T]) -> T | None:
        """Do it; who dies on the way comes back and does it again. None where it was refused."""
        if self.chance.random() < KILLED:
            self.shop.fuse.light(self.chance.randrange(1, self.chance.choice(STATEMENTS_MAX)))
            try:
                return self._allowed(do)
            except Killed:
                self.count("killed")
            finally:
                self.shop.fuse.put_out()
        return self._allowed(do)

    def until_done(self, do: Callable[[], T]) -> None:
        """As `persist`, for what must not be refused."""
        if self.persist(lambda: (do(), True)) is None:
            self.wrong("it was refused, and must not be")

    def race(self, *together: Callable[[], Any]) -> list[Any]:
        """Do these at once, nobody dies; what each came to, None where it was refused."""
        self.count("races")
        with ThreadPoolExecutor(len(together)) as pool:
            done = [pool.submit(self._allowed, do) for do in together]
        return [one.result() for one in done]

    def repeated(self, do: Callable[[], T]) -> T:
        """A transaction, again where it lost a deadlock."""
        return repeated(do)

    def _allowed(self, do: Callable[[], T]) -> T | None:
        try:
            return do()
        except Unavailable:
            self.count("no answer")
        except MiloError as refused:
            self.count(f"refused {type(refused).__name__}")
            self.outcome.story.append(f"   {type(refused).__name__}: {refused}"[:300])
        return None

    # -- what acts ask

    @property
    def today(self) -> date:
        """The day of the clock."""
        return self.shop.now.date()

    def name(self, what: str) -> str:
        """A name that nothing has yet."""
        self._names[what] += 1
        return f"{what}-{self._names[what]}"

    def some_customers(self) -> list[Customer]:
        """One, two or three of them."""
        return self.chance.sample(CUSTOMERS, self.chance.randrange(1, 4))

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database says, in an order that does not depend on chance."""
        return self.shop.till.ground.read(query, *values)

    def reading(self, do: Callable[[Tx], T]) -> T:
        """Read."""
        return self.shop.till.ground.reading(do)

    def months_over(self) -> list[tuple[str, date]]:
        """Customers with a month that nobody has issued, and months whose invoice became void."""
        over: list[tuple[str, date]] = []
        for one in CUSTOMERS:
            month = BEGUN
            while (one.name, month) in self.asked:
                month = next_month(month)
            if next_month(month) <= self.today:
                over.append((one.name, month))
        return [*over, *sorted(self.void_months)]

    def an_invoice(self, *, unpaid: bool = False) -> tuple[UUID, str, int, str] | None:
        """Any invoice: uid, name, total, currency."""
        found = self.rows(
            "select uid, name, total_minor, currency from invoicing.invoices where not %s or "
            "(amount_paid_minor = 0 and phase <> 'Void') order by sequence",
            unpaid,
        )
        uid, name, total, currency = self.chance.choice(found) if found else (None, "", 0, "")
        return None if uid is None else (uid, name, total, currency)

    def receive(self, told: tuple[Told, ...], currency: str) -> None:
        """A statement with these entries comes in, sometimes while others collect."""
        content = self.shop.statement(told, currency=currency, number=len(self.files) + 1)
        self.files.append(content)
        if self.chance.random() < 0.3:
            self.race(lambda: self.shop.receive(content), self.shop.till.collect)
        self.until_done(lambda: self.shop.receive(content))
        self.count("statements")

    def owing(self) -> list[tuple[str, int, str]]:
        """Number, what is open and customer of invoices that are not paid, also those that were given up."""
        found = self.rows(
            "select number, total_minor - amount_paid_minor - credited_minor as open, account_name "
            "from invoicing.invoices where phase <> 'Void' order by sequence"
        )
        return [(number, open_minor, name) for number, open_minor, name in found if open_minor]

    def phase(self, invoice: UUID) -> str:
        """The phase of an invoice."""
        return self.rows("select phase from invoicing.invoices where uid = %s", invoice)[0][0]

    def note_number(self, name: str) -> str:
        """The number of a credit note; empty where there is none."""
        found = self.rows("select number from invoicing.credit_notes where name = %s", name)
        return found[0][0] if found else ""


def again(seed: int, *, turns: int = TURNS, without: Collection[int] = frozenset()) -> str:
    """The command that repeats a seed, to show to whoever looks into it."""
    more = "" if turns == TURNS else f" --turns {turns}"
    if without:
        more += f" --without {','.join(str(turn) for turn in sorted(without))}"
    return f"python -m tests.simulation.money_simulation --seed {seed}{more} --story"


class Stage:
    """Where seeds run, one after the other: the shop is declared once, and each seed has a copy of it."""

    def __init__(self, ground: Ground, *, database: str) -> None:
        self._server = ground.server
        self._database = database
        self._declared = declare_shop(self._server, f"{database}_declared")

    def simulate(self, seed: int, *, turns: int = TURNS, without: Collection[int] = frozenset()) -> Outcome:
        """Run one seed on a new database, which is dropped afterwards."""
        conninfo = self._server.create(self._database, template=self._declared.database)
        try:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                shop = open_shop(self._declared, conninfo, folder, seed=seed)
                return Simulation(seed, shop).run(turns, without=without)
        finally:
            self._server.drop(self._database)

    def close(self) -> None:
        """Drop what the seeds were copied from."""
        self._server.drop(self._declared.database)


@contextmanager
def open_stage(ground: Ground, *, database: str) -> Generator[Stage]:
    """A stage on databases of this name, which are gone afterwards."""
    stage = Stage(ground, database=database)
    try:
        yield stage
    finally:
        stage.close()


def failure(outcome: Outcome, *, turns: int = TURNS) -> str:
    """What is said of a seed that fails: how to repeat it, what is wrong, and what was done before.

    The acts of a seed are always the same; two threads never meet the same way twice, so a race may need some tries.
    """
    return "\n".join(
        [
            f"seed {outcome.seed} fails; again: {again(outcome.seed, turns=turns)}",
            *(text[:3000] for text in outcome.wrong[:SHOWN_MAX]),
            "what happened before, the last of it at the end:",
            *outcome.story[-STORY_MAX:],
        ]
    )


def shrink(failed: Outcome, *, run: Callable[[int, frozenset[int]], Outcome], turns: int) -> frozenset[int]:
    """Turns that a seed fails without, as many as are found: halves are left out, then quarters, down to single ones.

    `run` repeats the seed with so many turns and without some. What fails in races may be found needed by mistake.
    """
    last = turns if failed.failed_in is None else failed.failed_in + 1
    needed, without = list(range(last)), frozenset[int]()
    size = max(1, len(needed) // 2)
    while True:
        for start in range(0, len(needed), size):
            wanted = without | set(needed[start : start + size])
            if run(last, wanted).wrong:
                without = wanted
        needed = [turn for turn in needed if turn not in without]
        if size == 1:
            return without
        size = max(1, size // 2)
