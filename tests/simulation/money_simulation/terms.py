"""Acts of the terms of payment: they change, who pays early gets a discount, who pays late is charged interest."""

from typing import TYPE_CHECKING, Any

from milo_billing.invoicing.jobs.daily import charge_interest, mark_past_due
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.reads import invoices as invoice_reads
from tests.bank_files import Told
from tests.simulation.money_simulation.auditing_terms import interest_differences
from tests.simulation.money_simulation.shop import CONSUMER, CUSTOMERS

if TYPE_CHECKING:
    from tests.simulation.money_simulation.run import Simulation


def change_terms(sim: "Simulation") -> None:
    """An account's terms are agreed anew, or it moves elsewhere: what was issued keeps the old ones."""
    chance, customer = sim.chance, sim.chance.choice(CUSTOMERS)
    terms: dict[str, Any] = {
        "netDays": chance.choice((5, 10, 30)),
        "invoiceFrequency": "Monthly",
        "invoiceDayOfMonth": 1,
    }
    if chance.random() < 0.6:
        terms["earlyPaymentDiscountPercent"] = chance.choice(("2", "3.5", "10"))
        terms["earlyPaymentDiscountDays"] = chance.choice((3, 10, 20))
    if chance.random() < 0.7:
        terms["latePaymentInterestPercent"] = chance.choice(("8", "9.12", "60"))
    changed: dict[str, Any] = {"paymentTerms": terms}
    if customer.taxed and chance.random() < 0.3:
        changed["contactInfo"] = {**CONSUMER["contactInfo"], "name": sim.name("Zoe")}
    sim.persist(lambda: sim.shop.till.change("billingaccounts", customer.name, changed))
    sim.count("terms changed")


def pay_early(sim: "Simulation", currency: str) -> Told | None:
    """A transfer of just what an invoice comes to today, less its discount; None where nobody offers one."""
    payers = {one.name: one for one in CUSTOMERS if one.currency == currency}
    offered: list[tuple[str, int, str]] = []
    for uid, number, name in sim.rows(
        "select uid, number, account_name from invoicing.invoices where early_until >= %s and phase <> 'Void' "
        "and currency = %s order by sequence",
        sim.today,
        currency,
    ):
        invoice = sim.reading(lambda tx, uid=uid: invoice_reads.get_invoice_by_uid(tx, uid=uid))
        asked = sim.reading(lambda tx, one=invoice: life.asked_minor(tx, invoice=one, now=sim.shop.now))
        if 0 < asked < invoice.amount_due_minor:
            offered.append((number, asked, name))
    if not offered:
        return None
    number, asked, name = sim.chance.choice(offered)
    reference = sim.name("early")
    sim.count("paid early")
    minor = sim.chance.choice((asked, asked, asked, asked - 1, asked + 1))
    return Told(
        max(1, minor),
        text=f"Invoice {number}",
        end_to_end=f"E2E-{reference}",
        iban=payers[name].iban,
        bank_reference=reference,
    )


def charge_late(sim: "Simulation") -> None:
    """The night's job charges interest, at two servers at once or at one."""
    till = sim.shop.till

    def charged() -> None:
        mark_past_due(till.ground.office, till.ground.databases.app, till.clock)
        charge_interest(till.ground.office, till.ground.databases.app, till.clock)

    before = _charges(sim)
    sim.race(charged, charged) if sim.chance.random() < 0.3 else sim.persist(charged)
    for text in sim.reading(lambda tx: interest_differences(tx, now=sim.shop.now)):
        sim.wrong(text)
    sim.count("interest charged", _charges(sim) - before)


def _charges(sim: "Simulation") -> int:
    return sim.rows("select count(*) from invoicing.interest")[0][0]
