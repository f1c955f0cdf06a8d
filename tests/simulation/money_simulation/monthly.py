"""Acts of months: they are issued, for one account or several together."""

from datetime import date
from typing import TYPE_CHECKING, Final

from milo_billing.invoicing.types.invoices import Invoice, Issued, IssueOutcome, Skipped, Unchanged
from milo_billing.kernel.periods import next_month
from tests.simulation.money_simulation.auditing import Acknowledged
from tests.simulation.money_simulation.shop import MILLION

if TYPE_CHECKING:
    from tests.simulation.money_simulation.run import Simulation

WORTH: Final = 10 * MILLION
"""Tokens of a month that come to something whatever the price and what is off it; less may be of no invoice."""

SERVED: Final = (
    "select a.name from invoicing.sections s join invoicing.invoices i on i.uid = s.invoice "
    "join accounts.accounts a on a.number = s.account where i.phase <> 'Void' and s.period @> %s::timestamptz"
)
"""Who has this instant on an invoice that stands, once for each."""


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


def _issue(sim: "Simulation", payer: str, month: date) -> None:
    together = sim.shop.invoiced_with(payer)
    served = {name for (name,) in sim.rows(SERVED, month)}
    members = [name for name in together if name not in served]
    before = {uid for (uid,) in sim.rows("select uid from invoicing.invoices")}

    def issued() -> IssueOutcome:
        return _step(sim, payer, month)

    outcomes = sim.race(issued, issued) if sim.chance.random() < 0.3 else [sim.persist(issued)]
    outcomes = [one for one in outcomes if one is not None]
    if sum(isinstance(one, Issued) for one in outcomes) > 1:
        sim.wrong(f"{payer} was issued two invoices for {month}")
    for outcome in outcomes:
        if isinstance(outcome, Issued) or (
            isinstance(outcome, Unchanged) and outcome.invoice.uid not in before
        ):
            _acknowledge(sim, outcome.invoice, payer, members, month)
        sim.count(type(outcome).__name__.lower())
    if outcomes:
        for name in together:
            if sim.issued_until[name] >= month:
                sim.issued_until[name] = max(sim.issued_until[name], next_month(month))
            sim.void_months.discard((name, month))
    if any(isinstance(one, Issued) for one in outcomes):
        _everything_is_invoiced(sim, together, until=next_month(month))


def _acknowledge(sim: "Simulation", invoice: Invoice, payer: str, members: list[str], month: date) -> None:
    """Note what the invoice must say: who is on it, and what each of them had used."""
    end = next_month(month)
    sim.auditor.issued[invoice.uid] = Acknowledged(
        payer,
        invoice.number,
        invoice.total_minor,
        month,
        end,
        {sim.shop.accounts[name].number: sim.shop.used(name, first=month, end=end) for name in members},
    )
    if len(members) > 1:
        sim.count("invoiced together")


def _everything_is_invoiced(sim: "Simulation", names: list[str], *, until: date) -> None:
    """Each month that one of these used something in has one invoice, up to this day; but where a void one is to be
    issued again.
    """
    for name in names:
        for month in sorted({one.day.replace(day=1) for one in sim.shop.events if one.customer == name}):
            used = sim.shop.used(name, first=month, end=next_month(month))
            if month >= until or (name, month) in sim.void_months or used < WORTH:
                continue
            times = [one for (one,) in sim.rows(SERVED, month)].count(name)
            if times != 1:
                sim.wrong(f"{name} used {used} in {month}, and {times} invoices have the month")
