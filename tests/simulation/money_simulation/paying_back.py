"""Acts of refunds by transfer: asked for, in a file, paid by the bank or not, cancelled, refused and sent back."""

import re
from typing import TYPE_CHECKING, Final

from milo_billing.adapters.bank_files import read_refusals
from milo_billing.adapters.pain001 import write_pain001
from milo_billing.payments.engine.bank_file_rows import TRANSFER_FILES, get_file
from milo_billing.payments.engine.transferring import (
    cancel_transfer,
    make_transfer_file,
    note_not_executed,
    note_refused_transfers,
    request_transfer,
)
from milo_billing.payments.rules.transfer_requests import TransferFileRequest, TransferRequest
from tests.bank_files import Told
from tests.db.invoicing.ground import ACME
from tests.simulation.money_simulation.debiting import IN_EURO, pain002

if TYPE_CHECKING:
    from tests.simulation.money_simulation.run import Simulation

_ORDER: Final = re.compile(
    r'<EndToEndId>([^<]*)</EndToEndId>\s*</PmtId>\s*<Amt>\s*<InstdAmt Ccy="EUR">([0-9]+)\.([0-9]{2})<'
)
"""An order as the bank finds it in a file of ours."""


def want_back(sim: "Simulation") -> None:
    """A customer wants money back, some or all; now and then two people ask for it at once, or a job uses it."""
    vault = sim.shop.till.ground.office.vault
    having = [
        name
        for (name,) in sim.rows(
            "select a.name from ledger.entries e join ledger.transactions t on t.id = e.transaction "
            "join accounts.accounts a on a.number = t.billing_account where e.currency = 'EUR' and e.account in "
            "('Liabilities:UnappliedCash', 'Liabilities:MoneyOnAccount') "
            "group by 1 having sum(e.amount_minor) < 0 order by 1"
        )
    ]
    owing = [row for row in sim.owing() if row[2] in {one.name for one in IN_EURO}]
    if owing and (not having or sim.chance.random() < 0.2):
        number, due, _ = sim.chance.choice(owing)
        much = Told(due + sim.chance.randrange(1, 9_000), text=number, bank_reference=sim.name("tr"))
        sim.receive((much,), "EUR")
        sim.count("paid too much")
        return
    customer = sim.chance.choice([one for one in IN_EURO if one.name in having] or IN_EURO)
    minor = sim.chance.choice((None, None, sim.chance.randrange(1, 4_000)))
    wanted = TransferRequest((ACME, customer.name), minor, "paid too much", "Zoé", customer.iban, "")

    def asked() -> None:
        sim.shop.write(lambda work: request_transfer(work, vault, wanted))

    race = sim.chance.random()
    if race < 0.2:
        sim.race(asked, asked)
    elif race < 0.4:
        sim.race(asked, sim.shop.till.collect)
    else:
        sim.once(asked)
    sim.count("wanted back")


def hand_in(sim: "Simulation") -> None:
    """A file of what is wanted is made, perhaps by two at once, and handed in to the bank."""

    def made() -> None:
        _make_file(sim)

    sim.race(made, made) if sim.chance.random() < 0.3 else sim.persist(made)
    _take_files(sim)


def _make_file(sim: "Simulation") -> None:
    vault, asked = sim.shop.till.ground.office.vault, TransferFileRequest()
    sim.shop.write(lambda work: make_transfer_file(work, vault, write_pain001, asked))


def _take_files(sim: "Simulation") -> None:
    """The bank takes the files that it has not."""
    vault = sim.shop.till.ground.office.vault
    for message_id, execute_on in sim.rows(
        "select message_id, execute_on from payments.transfer_files order by 1"
    ):
        if message_id not in sim.payer.files:
            content = sim.reading(
                lambda tx, id=message_id: get_file(tx, vault, TRANSFER_FILES, message_id=id)
            ).decode()
            orders = {id: int(whole + cents) for id, whole, cents in _ORDER.findall(content)}
            sim.payer.take(message_id, execute_on, orders)
            sim.count("transfers sent", len(orders))


def pay(sim: "Simulation") -> None:
    """The bank pays what its day has come for; some it never does. What is paid twice over stands on one statement."""
    due = [one for one in sim.payer.due(sim.today) if one[0] not in sim.auditor.given_up]
    told = tuple(
        Told(-minor, end_to_end=id, bank_reference=sim.name("ct"))
        for id, minor in due
        if sim.chance.random() < 0.7
    )
    if told:
        sim.receive(told, "EUR")
        sim.payer.booked.update((one.end_to_end, -one.minor) for one in told)
        sim.count("transfers booked", len(told))


def send_back(sim: "Simulation") -> None:
    """A transfer that was paid comes back, some less a fee."""
    standing = sorted(sim.payer.booked.items())
    if not standing:
        return
    id, minor = sim.chance.choice(standing)
    fee = sim.chance.choice((0, 0, min(350, minor - 1)))
    sim.receive((Told(minor - fee, end_to_end=id, reason="AC04", bank_reference=sim.name("ct")),), "EUR")
    del sim.payer.booked[id]
    sim.payer.returned.add(id)
    sim.count("transfers returned")


def refuse(sim: "Simulation") -> None:
    """The bank refuses a transfer before its day, or a whole file, and says so twice."""
    waiting = sorted(one for one in sim.payer.waiting() if one[1] not in sim.auditor.given_up)
    if not waiting:
        return
    message_id, id = sim.chance.choice(waiting)
    refused = [other for message, other in waiting if message == message_id]
    whole = len(refused) == len(sim.payer.files[message_id].orders) and sim.chance.random() < 0.3
    content = pain002(message_id, None if whole else [id], reason="AC04")
    for _ in range(sim.chance.choice((1, 2))):
        sim.until_done(
            lambda: sim.shop.write(lambda work: note_refused_transfers(work, read_refusals(content)))
        )
    sim.payer.refused.update(refused if whole else [id])
    sim.count("transfers refused")


def cancel(sim: "Simulation") -> None:
    """Somebody takes back what was asked for, while a file may be made of it."""
    found = sim.rows("select end_to_end_id from payments.transfers where state = 'Wanted' order by 1")
    if not found:
        return
    ((id,),) = (sim.chance.choice(found),)

    def cancelled() -> bool:
        sim.shop.write(lambda work: cancel_transfer(work, end_to_end_id=id, reason="a mistake"))
        return True

    if sim.chance.random() < 0.4:
        sim.race(cancelled, lambda: _make_file(sim))
        _take_files(sim)
    else:
        sim.persist(cancelled)
    if id not in sim.payer.booked and not any(id in file.orders for file in sim.payer.files.values()):
        sim.auditor.taken_back.add(id)
        sim.count("transfers cancelled")


def give_up(sim: "Simulation") -> None:
    """Finance says that the bank has not executed a transfer; now and then it pays it at that very moment, or later."""
    waiting = [id for _, id in sim.payer.waiting() if id not in sim.auditor.given_up]
    if not waiting:
        return
    id = sim.chance.choice(sorted(waiting))

    def said() -> bool:
        sim.shop.write(lambda work: note_not_executed(work, end_to_end_id=id, reason="no trace of it"))
        return True

    minor = next(file.orders[id] for file in sim.payer.files.values() if id in file.orders)
    paid = Told(-minor, end_to_end=id, bank_reference=sim.name("ct"))
    if (id, minor) in sim.payer.due(sim.today) and sim.chance.random() < 0.3:
        content = sim.shop.statement((paid,), currency="EUR", number=len(sim.files) + 1)
        sim.files.append(content)
        (first, _) = sim.race(said, lambda: sim.shop.receive(content))
        sim.until_done(lambda: sim.shop.receive(content))
        if not first:
            sim.payer.booked[id] = minor
            return
        sim.count("transfers paid all the same")
    elif not sim.persist(said):
        return
    elif sim.chance.random() < 0.3:
        sim.receive((paid,), "EUR")
        sim.count("transfers paid all the same")
    sim.auditor.given_up.add(id)
    sim.count("transfers not executed")
