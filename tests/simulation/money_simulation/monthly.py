"""Acts of months: they are issued, for one account or several together; and who is invoiced for whom changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.types.invoices import Invoice, Issued, IssueOutcome, Skipped, Unchanged
from milo_billing.kernel.periods import next_month
from tests.db.invoicing.ground import ACME
from tests.simulation.money_simulation.auditing import Acknowledged
from tests.simulation.money_simulation.shop import CUSTOMERS, MILLION

if TYPE_CHECKING:
    from tests.simulation.money_simulation.run import Simulation

WORTH: Final = 10 * MILLION
"""Tokens of a month that come to something whatever the price and what is off it; less may be of no invoice."""

MOVING: Final = ("team", "squad", "soft", "wire")
"""Those whose payer changes; all pay in the same currency."""

SERVED: Final = (
    "select a.name from invoicing.sections s join invoicing.invoices i on i.uid = s.invoice "
    "join accounts.accounts a on a.number = s.account where i.phase <> 'Void' and s.period @> %s::timestamptz"
)
"""Who has this instant on an invoice that stands, once for each."""

_SECTIONS: Final = (
    "select a.name from invoicing.sections s join accounts.accounts a on a.number = s.account where s.invoice = %s "
    "order by s.section"
)
"""Whom an invoice is for."""


_OF_MONTH: Final = (
    "select uid from invoicing.invoices where account = %s and kind in ('Periodic', 'Consolidated') "
    "and period @> %s::timestamptz order by issued_at desc, number desc"
)
"""Invoices of an account that have this instant, the newest first."""


def issue(sim: "Simulation") -> None:
    """A scheduler issues months that are over; sometimes it dies, sometimes there are two."""
    waiting = sim.months_over()
    for customer, month in waiting if sim.chance.random() < 0.7 else waiting[:1]:
        if sim.shop.payer(customer) != customer and sim.chance.random() < 0.3:
            _skip(sim, customer, month)
    wanted = dict.fromkeys((sim.shop.payer(customer), month) for customer, month in waiting)
    for customer, month in wanted if sim.chance.random() < 0.7 else list(wanted)[:1]:
        _issue(sim, customer, month)


def _skip(sim: "Simulation", customer: str, month: date) -> None:
    """The step of who is invoiced with another issues nothing."""
    outcome, payer = sim.persist(lambda: _step(sim, customer, month)), sim.shop.payer(customer)
    number = sim.shop.till.ground.account(payer).number
    if outcome != Skipped(f"invoiced with {payer}", invoiced_with=number):
        sim.wrong(f"{customer} is invoiced with {payer}, and its step came to {outcome}")


def _step(sim: "Simulation", customer: str, month: date) -> IssueOutcome:
    ground = sim.shop.till.ground
    return sim.repeated(
        lambda: ground.issue(ground.account(customer), year=month.year, month=month.month, now=sim.shop.now)
    )


def change_payer(sim: "Simulation") -> None:
    """An account is put below another one, or begins or ceases to be invoiced with it; sometimes while a month of its
    payer, before or after, is issued.
    """
    shop, chance = sim.shop, sim.chance
    name = chance.choice(MOVING)
    parent = chance.choice([one.name for one in CUSTOMERS if one.currency == "USD" and one.name != name])
    mode = chance.choice(("Parent", "Parent", "Self"))
    spec: dict[str, Any] = {"billingMode": mode, "parentRef": {"namespace": ACME, "name": parent}}

    def changed() -> bool:
        shop.till.change("billingaccounts", name, spec)
        return True

    waiting = [month for who, month in sim.months_over() if who in (name, parent)]
    if not waiting or chance.random() < 0.4:
        _note_payer(sim, name, parent, mode, done=sim.persist(changed))
        return
    payer, month = chance.choice((shop.payer(name), shop.payer(parent))), waiting[0]
    asked = _asked(sim, payer, month)
    before = shop.invoiced_with(payer)
    outcome, done = sim.race(lambda: _step(sim, payer, month), changed)
    _note_payer(sim, name, parent, mode, done=done)
    after = shop.invoiced_with(payer) if shop.payer(payer) == payer else [payer]
    _note(sim, asked, [outcome], together=(before, after))


def _note_payer(sim: "Simulation", name: str, parent: str, mode: str, *, done: bool | None) -> None:
    shop = sim.shop
    if done:
        sim.count("payers changed", (shop.parents.get(name), shop.modes[name]) != (parent, mode))
        shop.parents[name], shop.modes[name] = parent, mode


@dataclass(frozen=True)
class Asked:
    """A month that is about to be issued: who has it on an invoice already, and the invoices that there are."""

    payer: str
    month: date
    served: frozenset[str]
    before: frozenset[UUID]


def _asked(sim: "Simulation", payer: str, month: date) -> Asked:
    served = frozenset(name for (name,) in sim.rows(SERVED, month))
    return Asked(
        payer, month, served, frozenset(uid for (uid,) in sim.rows("select uid from invoicing.invoices"))
    )


def _issue(sim: "Simulation", payer: str, month: date) -> None:
    asked, together = _asked(sim, payer, month), sim.shop.invoiced_with(payer)

    def issued() -> IssueOutcome:
        return _step(sim, payer, month)

    outcomes = sim.race(issued, issued) if sim.chance.random() < 0.3 else [sim.persist(issued)]
    if sum(isinstance(one, Issued) for one in outcomes) > 1:
        sim.wrong(f"{payer} was issued two invoices for {month}")
    _note(sim, asked, outcomes, together=(together,))


def _note(
    sim: "Simulation",
    asked: Asked,
    outcomes: Sequence[IssueOutcome | None],
    *,
    together: Sequence[Sequence[str]],
) -> None:
    """Note what an invoice must say, and that the month was issued for whom it is invoiced: these `together`, or where
    that changed meanwhile those of one time or of the other.
    """
    month, done = asked.month, set[str]()
    for outcome in outcomes:
        if outcome is None:
            continue
        sim.count(type(outcome).__name__.lower())
        if isinstance(outcome, Skipped) and outcome.invoiced_with is not None:
            if len(together) == 1:
                sim.wrong(f"{asked.payer} pays for itself, and its step came to {outcome}")
            continue
        done.update(set(together[0]).intersection(*together))
        invoice = _new_invoice(sim, asked, outcome)
        if invoice is not None:
            names = [name for (name,) in sim.rows(_SECTIONS, invoice.uid)]
            allowed = [set(names_) - asked.served for names_ in together]
            if set(names) not in allowed and invoice.kind != "Adjustment":
                sim.wrong(f"{invoice.number} has sections of {names}, and should have those of {allowed}")
            _acknowledge(sim, invoice, asked.payer, names, month)
            done.update(names)
    invoiced = {name for (name,) in sim.rows(SERVED, month)}
    for name in done:
        sim.asked.add((name, month))
        sim.void_months.discard((name, month))
        if name not in invoiced:
            sim.auditor.came_to_nothing.add((name, month))
    if any(isinstance(one, Issued) for one in outcomes):
        _everything_is_invoiced(sim, sorted(done - asked.served), until=next_month(month))


def _new_invoice(sim: "Simulation", asked: Asked, outcome: IssueOutcome) -> Invoice | None:
    """What was issued, perhaps by one who died behind it: who comes back may be told of an older one of the month."""
    if not isinstance(outcome, Issued | Unchanged):
        return None
    if outcome.invoice.uid not in asked.before:
        return outcome.invoice
    number = sim.shop.accounts[asked.payer].number
    for (uid,) in sim.rows(_OF_MONTH, number, asked.month):
        if uid not in asked.before and uid not in sim.auditor.issued:
            return sim.reading(lambda tx, uid=uid: invoice_reads.get_invoice_by_uid(tx, uid=uid))
    return None


def _acknowledge(sim: "Simulation", invoice: Invoice, payer: str, names: list[str], month: date) -> None:
    """Note what the invoice must say: who is on it, and what each of them had used."""
    end = next_month(month)
    sim.auditor.issued[invoice.uid] = Acknowledged(
        payer,
        invoice.number,
        invoice.total_minor,
        month,
        end,
        {sim.shop.accounts[name].number: sim.shop.used(name, first=month, end=end) for name in names},
    )
    if len(names) > 1:
        sim.count("invoiced together")


def _everything_is_invoiced(sim: "Simulation", names: list[str], *, until: date) -> None:
    """Each month up to this day that was issued for one of these and in which it used something has one invoice; but
    where a void one is to be issued again.
    """
    for name in names:
        for month in sorted(month for asked, month in sim.asked if asked == name and month < until):
            used = sim.shop.used(name, first=month, end=next_month(month))
            if (name, month) in sim.void_months or used < WORTH:
                continue
            times = [one for (one,) in sim.rows(SERVED, month)].count(name)
            if times != 1:
                sim.wrong(f"{name} used {used} in {month}, and {times} invoices have the month")
