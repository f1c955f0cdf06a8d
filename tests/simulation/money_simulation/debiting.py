"""Acts of SEPA direct debit: mandates and files, and what the bank books, refuses and sends back."""

import re
from typing import TYPE_CHECKING, Final

from milo_billing.adapters.bank_files import read_refusals
from milo_billing.adapters.pain008 import write_pain008
from milo_billing.payments.engine.bank_file_rows import DEBIT_FILES, get_file
from milo_billing.payments.engine.debiting import add_mandate, make_file, note_refused, revoke_mandate
from milo_billing.payments.rules.debit_requests import DebitRequest, MandateRequest
from tests.bank_files import Told
from tests.db.invoicing.ground import ACME
from tests.simulation.money_simulation.shop import CUSTOMERS

if TYPE_CHECKING:
    from tests.simulation.money_simulation.run import Simulation

IN_EURO: Final = tuple(one for one in CUSTOMERS if one.currency == "EUR")
RETURN_REASONS: Final = ("AM04", "AM04", "AC04", "MD01", "MS02")
_DEBIT: Final = re.compile(
    r'<EndToEndId>([^<]*)</EndToEndId>\s*</PmtId>\s*<InstdAmt Ccy="EUR">([0-9]+)\.([0-9]{2})<'
)
"""An order as the bank finds it in a file of ours."""


def sign(sim: "Simulation") -> None:
    """A customer lets us debit the account, or does not any more."""
    customer = sim.chance.choice(IN_EURO)
    standing = sim.rows(
        "select m.reference from payments.mandates m join accounts.accounts a on a.number = m.account "
        "where a.name = %s and m.state = 'Active'",
        customer.name,
    )
    vault = sim.shop.till.ground.office.vault
    if standing and sim.chance.random() < 0.3:
        sim.persist(
            lambda: sim.shop.write(
                lambda work: revoke_mandate(work, reference=standing[0][0], reason="asked for")
            )
        )
        sim.count("mandates revoked")
    elif not standing:
        scheme = sim.chance.choice(("CORE", "CORE", "B2B"))
        signed = MandateRequest(
            (ACME, customer.name), "", sim.today, scheme, "Zoé Lefèvre", customer.iban, ""
        )
        sim.persist(lambda: sim.shop.write(lambda work: add_mandate(work, vault, signed)))
        sim.count("mandates signed")


def debit(sim: "Simulation") -> None:
    """A file of what is due is made, while others collect the same or make one too; and handed in to the bank."""
    vault = sim.shop.till.ground.office.vault

    def made() -> None:
        sim.shop.write(
            lambda work: make_file(work, vault, write_pain008, DebitRequest(None, notified_days=1))
        )

    race = sim.chance.random()
    if race < 0.2:
        sim.race(made, made)
    elif race < 0.4:
        sim.race(made, sim.shop.till.collect)
    else:
        sim.persist(made)
    for message_id, collect_on in sim.rows(
        "select message_id, collect_on from payments.debit_files order by 1"
    ):
        if message_id not in sim.bank.files:
            content = sim.reading(
                lambda tx, id=message_id: get_file(tx, vault, DEBIT_FILES, message_id=id)
            ).decode()
            orders = {id: int(whole + cents) for id, whole, cents in _DEBIT.findall(content)}
            sim.bank.take(message_id, collect_on, orders)
            sim.count("debits sent", len(orders))


def book(sim: "Simulation") -> None:
    """The bank books debits whose day has come, on one statement with another's transfer; some it never books."""
    due = sim.bank.due(sim.today)
    told = tuple(
        Told(minor, end_to_end=id, bank_reference=sim.name("dd"), mandate="M")
        for id, minor in due
        if sim.chance.random() < 0.9
    )
    if told:
        sim.receive(told, "EUR")
        for one in told:
            sim.bank.booked[one.end_to_end] = one.minor
        sim.count("debits booked", len(told))


def refuse(sim: "Simulation") -> None:
    """The bank answers a file before its day: it refuses a debit, or all of it, and says so twice."""
    waiting = sorted(sim.bank.waiting())
    if not waiting:
        return
    message_id, id = sim.chance.choice(waiting)
    whole = sim.chance.random() < 0.3
    refused = [other for message, other in waiting if message == message_id] if whole else [id]
    whole = whole and len(refused) == len(sim.bank.files[message_id].orders)
    content = pain002(message_id, None if whole else refused, reason=sim.chance.choice(RETURN_REASONS))
    for _ in range(sim.chance.choice((1, 2))):
        sim.until_done(lambda: sim.shop.write(lambda work: note_refused(work, read_refusals(content))))
    sim.bank.refused.update(refused)
    sim.count("debits refused", len(refused))


def bounce(sim: "Simulation") -> None:
    """A debit that was booked comes back, some with a fee."""
    standing = sorted(sim.bank.booked.items())
    if not standing:
        return
    id, minor = sim.chance.choice(standing)
    back = Told(
        -minor - sim.chance.choice((0, 0, 350)),
        end_to_end=id,
        reason=sim.chance.choice(RETURN_REASONS),
        bank_reference=sim.name("dd"),
    )
    sim.receive((back,), "EUR")
    del sim.bank.booked[id]
    sim.bank.returned.add(id)
    sim.count("debits returned")


def pain002(message_id: str, refused: list[str] | None, *, reason: str) -> bytes:
    """A bank's answer: these debits are refused, or with None the whole file."""
    why = f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>"
    group = f"<GrpSts>RJCT</GrpSts>{why}" if refused is None else ""
    single = "".join(
        f"<TxInfAndSts><OrgnlEndToEndId>{id}</OrgnlEndToEndId><TxSts>RJCT</TxSts>{why}</TxInfAndSts>"
        for id in refused or ()
    )
    payments = f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>P</OrgnlPmtInfId>{single}</OrgnlPmtInfAndSts>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>'
        "<GrpHdr><MsgId>A</MsgId></GrpHdr>"
        f"<OrgnlGrpInfAndSts><OrgnlMsgId>{message_id}</OrgnlMsgId>{group}</OrgnlGrpInfAndSts>"
        f"{payments if single else ''}</CstmrPmtStsRpt></Document>"
    ).encode()
