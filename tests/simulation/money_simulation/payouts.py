"""Acts of payouts: the provider pays out, tells of it or not, in any order with the bank; and one comes back."""

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from milo_billing.kernel.money import Money
from milo_billing.payments.types import PayoutItem
from tests.bank_files import Told
from tests.simulation.money_simulation.shop import BANKS

if TYPE_CHECKING:
    from tests.simulation.money_simulation.run import Simulation

MARK: Final = "HOSTILE"
"""What the provider writes on the statement, before the payout's name."""


def pay_out(sim: "Simulation") -> None:
    """Everything that lies at the provider goes to the bank, with what came back of earlier payouts; or is to go."""
    provider = sim.shop.provider
    currency = sim.chance.choice([one for one in BANKS if provider.lying_minor(one)] or list(BANKS))
    back = tuple(
        PayoutItem(f"txn_back_{one.reference}", "Payout", one.reference, one.amount, Money(0, currency))
        for one in provider.payouts.values()
        if one.state == "Failed"
        and one.amount.currency == currency
        and f"txn_back_{one.reference}" not in provider.paid_out
    )
    if not back and not provider.lying_minor(currency):
        return
    provider.pay_out(
        arrives_on=sim.today + timedelta(days=sim.chance.choice((-1, 0, 2))),
        state=sim.chance.choice(("Paid", "Paid", "Pending")),
        fee_minor=sim.chance.choice((0, 30, 145)),
        more=back,
        bank_account=BANKS[currency][-4:],
        currency=currency,
    )
    sim.count("payouts")


def arrive(sim: "Simulation") -> None:
    """The bank tells of payouts, whether anybody has heard of them or not."""
    on_their_way = [
        one
        for one in sim.shop.provider.payouts.values()
        if one.state != "Failed" and one.reference not in sim.arrived
    ]
    if not on_their_way:
        return
    currency = sim.chance.choice(on_their_way).amount.currency
    arriving = [
        one
        for one in on_their_way
        if one.amount.currency == currency and one.amount.minor and sim.chance.random() < 0.8
    ]
    told = tuple(
        Told(one.amount.minor, text=one.trace + " .", bank_reference=sim.name("po")) for one in arriving
    )
    if told:
        sim.receive(told, currency)
        sim.arrived.update(one.reference for one in arriving)
        sim.count("payouts arrived", len(told))


def turn(sim: "Simulation") -> None:
    """A payout that was on its way is paid, or one that nobody has seen at the bank comes back."""
    open_ = [
        one
        for one in sim.shop.provider.payouts.values()
        if one.reference not in sim.arrived and one.state != "Failed"
    ]
    if not open_:
        return
    one = sim.chance.choice(open_)
    state = "Failed" if sim.chance.random() < 0.4 else "Paid"
    sim.shop.provider.turn(one.reference, state)
    sim.count("payouts came back" if state == "Failed" else "payouts paid")


def fetch(sim: "Simulation") -> None:
    """The hourly job asks for payouts, and others about each; some do at once what a webhook asks for too."""
    cashier, class_uid = sim.shop.till.cashier, sim.shop.till.class_uid
    sim.persist(cashier.fetch_payouts)
    for reference in list(sim.shop.provider.payouts):

        def note(reference: str = reference) -> None:
            cashier.note_payout(class_uid=class_uid, reference=reference)

        if sim.chance.random() < 0.2:
            sim.race(note, note)
        elif sim.chance.random() < 0.7:
            sim.persist(note)
    sim.count("payouts fetched")


def settle(sim: "Simulation") -> None:
    """In the end every webhook has come, every payout is asked about."""
    provider, till = sim.shop.provider, sim.shop.till
    for one in list(provider.payouts.values()):
        if one.state == "Pending":
            provider.turn(one.reference, "Paid")
    sim.until_done(lambda: till.deliver(list(provider.webhooks)))
    for reference in list(provider.payouts):
        sim.until_done(
            lambda reference=reference: till.cashier.note_payout(
                class_uid=till.class_uid, reference=reference
            )
        )
