"""What may happen in a turn. Each act is one line of `ACTS`: its weight, and a function of the simulation.

An act calls the same verbs as a door or a job does. Where it asks for something impossible it is refused, which is
counted and no error.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from milo_billing.app.ledger_ports import above_the_books
from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.jobs.daily import mark_past_due
from milo_billing.invoicing.operations import issuing
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.kernel.periods import next_month
from milo_billing.ledger import operations as ledger
from milo_billing.payments.engine.bank_worklist import Listed, assign, ignore, list_worklist
from milo_billing.payments.jobs import dun_all
from milo_billing.payments.operations.refunding import open_refund
from milo_billing.payments.rules.bank_requests import Chosen
from milo_billing.payments.rules.dunning import Schedule
from milo_billing.payments.types import (
    Declined,
    DisputeState,
    Refunded,
    RefundFailed,
    RefundProcessing,
    Succeeded,
)
from tests.bank_files import Told
from tests.db.invoicing.ground import ACME
from tests.hostile_provider import GOOD, HARD, SLOW, SOFT
from tests.simulation.money_simulation import paying_back
from tests.simulation.money_simulation.crediting import grant, lapse, revoke
from tests.simulation.money_simulation.debiting import book, bounce, debit, refuse, sign
from tests.simulation.money_simulation.monthly import change_payer, issue
from tests.simulation.money_simulation.payouts import MARK, arrive, fetch, pay_out, turn
from tests.simulation.money_simulation.shop import CUSTOMERS, ENTITY, MILLION, Customer, Event, publish
from tests.simulation.money_simulation.terms import change_terms, charge_late, pay_early

if TYPE_CHECKING:
    from tests.simulation.money_simulation.run import Simulation

Act = Callable[["Simulation"], None]


# ------------------------------------------------------------------------------------------------ what is used, sold


def use(sim: "Simulation") -> None:
    """A day's usage of some customers; some of it reports days that are over."""
    for customer in sim.some_customers():
        days = sim.chance.choice((0.0, 0.0, 0.0, 0.1, 2.0, 12.0, 25.0))
        at = max(sim.shop.now - timedelta(days=days), datetime(2026, 10, 1, tzinfo=UTC))
        value = sim.chance.choice(
            (1, 399_999, *(sim.chance.randrange(MILLION, 60 * MILLION) for _ in range(4)))
        )
        sim.count("late usage" if days > 1 else "usage", sim.shop.use(customer.name, at=at, value=value))


def void_usage(sim: "Simulation") -> None:
    """An event was sent by mistake."""
    standing = [one for one in sim.shop.events if not one.voided]
    if standing:
        event: Event = sim.chance.choice(standing[-10:])
        sim.shop.void(event)
        sim.count("usage voided")


def charge(sim: "Simulation") -> None:
    """Something is sold once."""
    customer = sim.chance.choice(CUSTOMERS)
    spec = {
        "billingAccountRef": {"name": customer.name},
        "skuRef": {"name": "setup"},
        "date": sim.today.isoformat(),
        "quantity": str(sim.chance.choice(("1", "0.5", "2.25", "0.01"))),
    }
    name = sim.name("charge")
    sim.persist(lambda: sim.shop.declare("charges", name, spec, namespace=ACME))
    sim.count("charges")


def subscribe(sim: "Simulation") -> None:
    """A customer takes seats, from now on."""
    customer = sim.chance.choice(CUSTOMERS)
    if customer.name in sim.subscribed:
        return
    spec = {
        "billingAccountRef": {"name": customer.name},
        "offerRef": {"name": "seats"},
        "startsAt": sim.today.isoformat(),
    }
    if sim.persist(lambda: sim.shop.declare("entitlements", f"seats-{customer.name}", spec, namespace=ACME)):
        sim.subscribed.add(customer.name)
        sim.count("subscriptions")


def change_prices(sim: "Simulation") -> None:
    """A new list from a day on that is still to come."""
    currency = sim.chance.choice(("USD", "EUR"))
    on = sim.today + timedelta(days=sim.chance.randrange(1, 20))
    price = sim.chance.choice(("2.5", "2.75", "1.999", "0.333", "3"))
    number = int(sim.name("list").removeprefix("list-"))
    sim.persist(lambda: publish(sim.shop, currency, on=on.isoformat(), price=price, number=number))
    sim.count("price changes")


# -------------------------------------------------------------------------------------------------------------- late


def adjust(sim: "Simulation") -> None:
    """What reached an invoiced month late is charged and given back at once, by one or by two at the same time."""
    found = sim.rows(
        "select uid from invoicing.invoices where kind = 'Periodic' and phase <> 'Void' order by sequence"
    )
    if not found:
        return
    (uid,) = sim.chance.choice(found[-8:])
    invoice = sim.reading(lambda tx: invoice_reads.get_invoice_by_uid(tx, uid=uid))
    office = sim.shop.till.ground.office

    def adjusted() -> None:
        sim.shop.write(lambda work: issuing.adjust_invoice(work, office=office, invoice=invoice))

    sim.race(adjusted, adjusted) if sim.chance.random() < 0.3 else sim.persist(adjusted)
    sim.count("adjusted")


# -------------------------------------------------------------------------------------------------- what is taken back


def credit(sim: "Simulation") -> None:
    """A credit note: an amount, a line, or all that is left."""
    if (invoice := sim.an_invoice()) is None:
        return
    uid, name, total, currency = invoice
    ways: list[dict[str, Any]] = [{}, {"lines": [{"line": 1}]}, {"lines": [{"line": 1, "quantity": "0.5"}]}]
    if total:
        amount = str(minor_to_decimal(sim.chance.randrange(1, total + 1), currency))
        ways += [{"amount": amount}] * 3
    noted = sim.name("note")
    spec = {"invoiceRef": {"name": name}, "reason": "an outage", **sim.chance.choice(ways)}
    sim.persist(lambda: sim.shop.declare("creditnotes", noted, spec, namespace=ACME))
    number = sim.note_number(noted)
    if number:
        sim.auditor.noted[noted] = number
        sim.count("credit notes")
    del uid


def void_invoice(sim: "Simulation") -> None:
    """An invoice was wrong as a whole; its month is issued again."""
    if (invoice := sim.an_invoice(unpaid=True)) is None:
        return
    uid, name, _, _ = invoice
    ((kind,),) = sim.rows("select kind from invoicing.invoices where uid = %s", uid)
    if uid not in sim.auditor.issued and kind in ("Periodic", "Consolidated"):
        return  # it came by itself, for a month that usage reached late: nobody asked for the month
    sim.persist(lambda: sim.shop.act("invoices", name, "void", reason="billed by mistake"))
    if sim.phase(uid) == "Void":
        if uid in sim.auditor.issued:
            told = sim.auditor.issued[uid]
            names = {sim.shop.accounts[name].number: name for name in sim.shop.accounts}
            sim.void_months.update((names[number], told.first) for number in told.tokens)
        sim.count("voids")


def write_off(sim: "Simulation") -> None:
    """Nobody believes that it will be paid."""
    if (invoice := sim.an_invoice(unpaid=True)) is not None:
        sim.persist(lambda: sim.shop.act("invoices", invoice[1], "writeOff", reason="insolvent"))
        sim.count("write-offs")


# -------------------------------------------------------------------------------------------------------------- cards


def collect(sim: "Simulation") -> None:
    """One collector, or two at once; jobs ask the provider behind them."""
    till = sim.shop.till
    if sim.chance.random() < 0.4:
        sim.race(till.collect, till.collect)
    else:
        sim.persist(till.collect)
    sim.count("collections")


def ask(sim: "Simulation") -> None:
    """Jobs ask about what stands, some of them twice at once; answers are lost."""
    for invoice, number in sim.rows(
        "select invoice, number from payments.attempts where state in ('Open', 'Processing', 'ActionRequired') "
        "order by at, invoice"
    ):

        def asked(invoice: UUID = invoice, number: int = number) -> None:
            sim.shop.till.cashier.ask(invoice=invoice, number=number)

        sim.race(asked, asked) if sim.chance.random() < 0.3 else sim.persist(asked)
        sim.count("asked")


def give_back(sim: "Simulation") -> None:
    """Jobs ask for refunds."""
    for payment, number in sim.rows(
        "select payment, number from payments.refunds where state in ('Open', 'Processing') order by at, number"
    ):

        def asked(payment: UUID = payment, number: int = number) -> None:
            sim.shop.till.cashier.give_back(payment=payment, number=number)

        sim.race(asked, asked) if sim.chance.random() < 0.3 else sim.persist(asked)
        sim.count("asked for refunds")


def webhooks(sim: "Simulation") -> None:
    """Whatever the provider has told so far comes again, in any order."""
    provider = sim.shop.provider
    arriving = provider.delivered()
    sim.chance.shuffle(arriving)
    sim.persist(lambda: sim.shop.till.deliver(arriving[:12]))
    sim.count("webhooks", len(arriving[:12]))


def decide(sim: "Simulation") -> None:
    """The provider makes up its mind about what is processing."""
    provider = sim.shop.provider
    for charge in provider.charges:
        if not isinstance(charge.result, Succeeded | Declined) and sim.chance.random() < 0.6:
            good = Succeeded(charge.reference, charge.request.amount)
            bad = Declined(charge.reference, "insufficient_funds", "Not enough money.", hard=False)
            provider.decide(charge.reference, good if sim.chance.random() < 0.75 else bad)
            sim.count("decided")
        for key, (asked, result) in list(charge.refunds.items()):
            if isinstance(result, RefundProcessing):
                done = Refunded(result.reference, asked.amount)
                failed = RefundFailed(result.reference, "expired_card", "The card is gone.")
                provider.decide_refund(key, done if sim.chance.random() < 0.6 else failed)
                sim.count("refunds decided")


def refund(sim: "Simulation") -> None:
    """Give a payment back, in parts, out of money that is left over or so that the invoice is owed again."""
    found = sim.rows(
        "select namespace, name, amount_minor - refunded_minor from payments.payments "
        "where phase = 'Succeeded' and amount_minor > refunded_minor order by name"
    )
    if not found:
        return
    namespace, name, left = sim.chance.choice(found)
    minor = sim.chance.choice((None, sim.chance.randrange(1, left + 1), sim.chance.randrange(1, left + 1)))
    reopen = sim.chance.random() < 0.5
    sim.once(
        lambda: sim.shop.write(
            lambda work: open_refund(
                work,
                sim.shop.till.desk,
                namespace=namespace,
                name=name,
                minor=minor,
                reason="too much",
                reopen=reopen,
            )
        )
    )
    sim.count("refunds")


def dispute(sim: "Simulation") -> None:
    """A customer disputes what was charged, or a case goes on; webhooks tell of it, in any order."""
    provider = sim.shop.provider
    cases = sorted(provider.disputes.values(), key=lambda one: one.reference)
    going = [one for one in cases if one.state in ("Inquiry", "Open")]
    disputed = {one.payment for one in cases}
    charged = [
        one.reference
        for one in provider.charges
        if isinstance(one.result, Succeeded) and one.reference not in disputed
    ]
    states: tuple[DisputeState, ...] = ("Inquiry", "Open", "Open", "Won", "Lost")
    if going and sim.chance.random() < 0.6:
        payment, state, most = going[0].payment, sim.chance.choice(states), going[0].amount.minor
    elif charged:
        payment, state, most = sim.chance.choice(charged), sim.chance.choice(states[:3]), None
    else:
        return
    left_minor = provider.disputable_minor(payment)
    if not left_minor:
        return
    provider.dispute(payment, state, minor=left_minor if most is None else min(most, left_minor))
    sim.count("disputes")
    webhooks(sim)


def change_card(sim: "Simulation") -> None:
    """A customer enters another card, better or worse."""
    customer = sim.chance.choice([one for one in CUSTOMERS if one.token is not None])
    name = sim.name("card")
    token = sim.chance.choice((GOOD, GOOD, SOFT, SLOW, HARD))

    def entered() -> None:
        sim.shop.till.card(name, account=customer.name, token=token)
        sim.shop.till.pays_with(name, account=customer.name)

    sim.once(entered)
    sim.count("cards changed")


# --------------------------------------------------------------------------------------------------------------- bank


def transfers(sim: "Simulation") -> None:
    """A statement with transfers: exact, partial, too much, for several, by nobody known, for nothing known."""
    currency = sim.chance.choice(("USD", "EUR"))
    told = tuple(_transfer(sim, currency) for _ in range(sim.chance.randrange(1, 4)))
    if (early := pay_early(sim, currency)) is not None:
        told = (early, *told)
    sim.receive(told, currency)
    sim.sent += [(one, currency) for one in told]


def _transfer(sim: "Simulation", currency: str) -> Told:
    customers = {one.name: one for one in CUSTOMERS if one.currency == currency}
    owing = [row for row in sim.owing() if row[2] in customers]
    reference = sim.name("tr")
    if not owing:
        return Told(sim.chance.randrange(1, 9_000), text="hello", bank_reference=reference)
    number, due, name = sim.chance.choice(owing)
    payer: Customer = customers[name]
    minor = sim.chance.choice((due, due, due, max(1, due // 3), due + sim.chance.randrange(1, 5_000)))
    several = [row[0] for row in owing if row[2] == name]
    text = sim.chance.choice(
        (f"Invoice {number}", number.lower(), " ".join(several), number[-6:], "", "thanks")
    )
    iban = payer.iban if sim.chance.random() < 0.7 else ""
    return Told(minor, text=text, end_to_end=f"E2E-{reference}", iban=iban, bank_reference=reference)


def file_again(sim: "Simulation") -> None:
    """The same file is imported again."""
    if sim.files:
        content = sim.chance.choice(sim.files)
        sim.until_done(lambda: sim.shop.receive(content))
        sim.count("statements again")


def sent_back(sim: "Simulation") -> None:
    """A bank takes a transfer back, some with a fee."""
    open_ = [one for one in sim.sent if one[0].minor > 0 and one[0].end_to_end]
    if not open_:
        return
    original, currency = sim.chance.choice(open_)
    sim.sent.remove((original, currency))
    back = Told(
        -original.minor - sim.chance.choice((0, 0, 300)),
        end_to_end=original.end_to_end,
        reason="AC04",
        bank_reference=sim.name("back"),
    )
    sim.receive((back,), currency)
    sim.count("sent back")


def worklist(sim: "Simulation") -> None:
    """A person decides what an entry pays that nobody could tell."""
    office = sim.shop.till.ground.office
    listed = [
        one
        for one in sim.reading(lambda tx: list_worklist(tx, office.vault, limit=50))
        if MARK not in one.row.entry.remittance  # a payout that nobody has heard of yet
    ]
    if not listed:
        return
    one: Listed = sim.chance.choice(listed)
    uid = one.row.uid
    if not one.row.entry.credit or sim.chance.random() < 0.1:
        sim.persist(lambda: sim.shop.write(lambda work: ignore(work, office, uid=uid, reason="not ours")))
        sim.count("ignored")
        return
    name = sim.chance.choice([one.name for one in CUSTOMERS])
    chosen = [Chosen(ACME, one.invoices[found.invoice].name) for found in one.candidates[:2]]
    account = None if chosen else (ACME, name)
    sim.persist(
        lambda: sim.shop.write(lambda work: assign(work, office, uid=uid, chosen=chosen, account=account))
    )
    sim.count("assigned")


# ----------------------------------------------------------------------------------------------------- what time does


def past_due(sim: "Simulation") -> None:
    """The day is over: what is due is said to be late, and who does not pay is reminded, warned, suspended."""
    till = sim.shop.till
    sim.persist(lambda: mark_past_due(till.ground.office, till.ground.databases.app, till.clock))

    def dun() -> None:
        dun_all(till.ground.office, till.ground.databases.app, till.clock, schedule=Schedule())

    sim.race(dun, dun) if sim.chance.random() < 0.3 else sim.persist(dun)
    sim.count("duns")


def close_month(sim: "Simulation") -> None:
    """The accountant accrues what is not invoiced yet, and closes the month that is over."""
    month = sim.books_closed_until
    if next_month(month) > sim.today:
        return
    accruals = above_the_books().accruals
    for account in sim.shop.accounts.values():

        def accrue(number: int = account.number) -> None:
            with sim.shop.till.ground.databases.app.transaction(reach=EVERYWHERE) as tx:
                accruals.accrue(tx, entity=ENTITY, month=month, account=number, now=sim.shop.now)

        sim.persist(accrue)

    def close() -> bool:
        with sim.shop.till.ground.databases.app.transaction(reach=EVERYWHERE) as tx:
            ledger.close_month(tx, entity=ENTITY, month=month, by="ann", now=sim.shop.now)
        return True

    if sim.persist(close):
        sim.books_closed_until = next_month(month)
        sim.count("months closed")


ACTS: Final[tuple[tuple[int, Act], ...]] = (
    (20, use),
    (2, void_usage),
    (3, charge),
    (2, subscribe),
    (2, change_prices),
    (18, issue),
    (6, change_payer),
    (4, adjust),
    (8, credit),
    (2, void_invoice),
    (2, write_off),
    (8, collect),
    (12, ask),
    (5, give_back),
    (4, webhooks),
    (4, decide),
    (5, refund),
    (3, dispute),
    (2, change_card),
    (8, transfers),
    (2, file_again),
    (4, sent_back),
    (5, worklist),
    (5, past_due),
    (2, close_month),
    (7, grant),
    (2, revoke),
    (4, lapse),
    (3, change_terms),
    (5, charge_late),
    (4, sign),
    (6, debit),
    (6, book),
    (3, refuse),
    (3, bounce),
    (9, pay_out),
    (6, arrive),
    (4, turn),
    (5, fetch),
    (10, paying_back.want_back),
    (8, paying_back.hand_in),
    (8, paying_back.pay),
    (4, paying_back.send_back),
    (2, paying_back.refuse),
    (2, paying_back.cancel),
    (3, paying_back.give_up),
)
