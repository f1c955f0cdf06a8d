"""Money goes back by bank transfer: asked for, in a file, paid by the bank, and perhaps back again.

The bank is mock-bank, which reads the file and writes the statement. In the end of each test the books are verified.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime

import psycopg
import pytest

from milo_billing.adapters.bank_files import read_refusals
from milo_billing.adapters.pain001 import write_pain001
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.work import Work
from milo_billing.infra.database import Tx
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.errors import Conflict
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, UNAPPLIED_CASH, UNDER_WAY, cash, payment_fees
from milo_billing.payments.engine import transfer_rows
from milo_billing.payments.engine.ages import measure_ages
from milo_billing.payments.engine.bank_worklist import assign
from milo_billing.payments.engine.transfer_rows import TransferRow
from milo_billing.payments.engine.transferring import (
    MadeTransfers,
    cancel_transfer,
    make_transfer_file,
    note_not_executed,
    note_refused_transfers,
    request_transfer,
)
from milo_billing.payments.rules.transfer_requests import TransferFileRequest, TransferRequest
from milo_billing.payments.rules.transfer_sources import UnableToTransfer
from tests.bank_files import PAYER, Told, camt053, mt940
from tests.db.bank.bank_ground import NOW, BankGround
from tests.db.invoicing.ground import ACME, ISSUER
from tests.db.invoicing.late_ground import credit
from tests.mock_bank import ACME_IBAN, MockBank, mock_bank

BANK = cash("6199")
OTHER = "NL91ABNA0417164300"


@pytest.fixture
def peer() -> Iterator[MockBank]:
    with mock_bank("2026-11-23T06:00") as peer:
        yield peer


def overpaid(bank: BankGround, minor: int, *, name: str = "main") -> Invoice:
    """An invoice of 15 euro that is paid with this much more."""
    _, (invoice,) = bank.customer(name, 15)
    told = Told(1500 + minor, text=invoice.number, name="Zoé & Fils", iban=PAYER, bank_reference=f"IN-{name}")
    bank.receive(camt053(told, statement=f"S-{name}"))
    return invoice


def asks(
    bank: BankGround,
    minor: int | None = None,
    *,
    name: str = "main",
    holder: str = "",
    iban: str = "",
    issuer: str = "",
) -> TransferRow:
    wanted = TransferRequest((ACME, name), minor, "paid too much", holder, iban, "", issuer)
    return bank.ground.write(lambda work: request_transfer(work, bank.ground.office.vault, wanted), now=NOW)


def file_of(bank: BankGround, *, on: date | None = None, issuer: str = "") -> MadeTransfers:
    vault, asked = bank.ground.office.vault, TransferFileRequest(on, issuer)
    return bank.ground.write(lambda work: make_transfer_file(work, vault, write_pain001, asked), now=NOW)


def not_executed(bank: BankGround, row: TransferRow, *, now: datetime, by: str = "ann") -> TransferRow:
    def note(work: Work) -> TransferRow:
        work.identity = Identity(by)
        return note_not_executed(work, end_to_end_id=row.end_to_end_id, reason="no trace of it")

    return bank.ground.write(note, now=now)


def stands(bank: BankGround, row: TransferRow) -> tuple[str, str]:
    found = bank.ground.reading(lambda tx: transfer_rows.get_transfer(tx, end_to_end_id=row.end_to_end_id))
    return found.state, found.answer


def moved(content: bytes) -> bytes:
    """The file as of the account that mock-bank holds."""
    return content.replace(ISSUER["bankDetails"]["iban"].encode(), ACME_IBAN.encode())


def held(bank: BankGround) -> tuple[int, int, int]:
    """Owed to customers as money on account, under way, at the bank."""
    return bank.balance(MONEY_ON_ACCOUNT).minor, bank.balance(UNDER_WAY).minor, bank.balance(BANK).minor


def test_what_was_paid_too_much_goes_back_in_parts_and_never_twice(bank: BankGround) -> None:
    overpaid(bank, 1200)
    first = asks(bank, 500)
    assert (first.source, first.last4, held(bank)) == ("MoneyOnAccount", PAYER[-4:], (-700, -500, 2700))
    with pytest.raises(UnableToTransfer, match=r"has 0\.00 EUR unapplied and 7\.00 EUR on account"):
        asks(bank, 701)
    made = file_of(bank)
    assert [one.end_to_end_id for one in made.transfers] == [first.end_to_end_id]
    assert file_of(bank).transfers == ()  # nothing is in two files
    paid = Told(-500, end_to_end=first.end_to_end_id, bank_reference="OUT-1")
    (done,) = bank.receive(camt053(paid, opening=2700, statement="S-2"))
    assert (done.counts, stands(bank, first)) == ({"Transfer": 1}, ("Booked", ""))
    assert held(bank) == (-700, 0, 2200)
    (again,) = bank.receive(camt053(paid, opening=2700, statement="S-3"))
    assert (again.counts, held(bank)) == ({"Known": 1}, (-700, 0, 2200))
    rest = asks(bank)
    assert (rest.amount_minor, held(bank)) == (700, (0, -700, 2200))
    with pytest.raises(UnableToTransfer, match="nothing"):
        asks(bank)


def test_what_comes_back_is_the_accounts_again_and_the_banks_fee_is_an_expense(bank: BankGround) -> None:
    overpaid(bank, 1200)
    row = asks(bank)
    file_of(bank)
    bank.receive(
        mt940(Told(-1200, end_to_end=row.end_to_end_id, bank_reference="OUT"), opening=2700).encode()
    )
    assert (stands(bank, row), held(bank)) == (("Booked", ""), (0, 0, 1500))
    back = Told(1150, end_to_end=row.end_to_end_id, reason="AC04", bank_reference="BACK")
    (done,) = bank.receive(camt053(back, opening=1500, statement="S-3", on=date(2026, 11, 21)))
    assert (done.counts, stands(bank, row)) == ({"Transfer": 1}, ("Returned", "AC04"))
    assert (held(bank), bank.balance(payment_fees("bank")).minor) == ((-1200, 0, 2650), 50)
    assert asks(bank, iban=OTHER, holder="Zoé").last4 == OTHER[-4:]


def test_an_entry_of_another_amount_is_not_taken_for_the_transfer(bank: BankGround) -> None:
    overpaid(bank, 1200)
    row = asks(bank)
    file_of(bank)
    told = Told(-1100, end_to_end=row.end_to_end_id, bank_reference="OUT")
    (done,) = bank.receive(camt053(told, opening=2700, statement="S-2"))
    ((listed,),) = (bank.worklist(),)
    assert (done.counts, listed.row.reason, stands(bank, row)) == (
        {"Waiting": 1},
        "TransferDiffers",
        ("Sent", ""),
    )


def test_what_is_in_no_file_can_be_cancelled_and_what_is_in_one_cannot(bank: BankGround) -> None:
    overpaid(bank, 1200)
    row, kept = asks(bank, 200), asks(bank, 1000)
    bank.ground.write(
        lambda work: cancel_transfer(work, end_to_end_id=row.end_to_end_id, reason="a mistake"), now=NOW
    )
    assert (stands(bank, row), held(bank)[0]) == (("Cancelled", "a mistake"), -200)
    assert [one.uid for one in file_of(bank).transfers] == [kept.uid]
    for one, state in ((row, "Cancelled"), (kept, "Sent")):
        with pytest.raises(UnableToTransfer, match=state):
            bank.ground.write(
                lambda work, one=one: cancel_transfer(work, end_to_end_id=one.end_to_end_id, reason="late")
            )


def test_nobody_is_paid_whose_bank_account_is_not_known_for_certain(bank: BankGround) -> None:
    _, (invoice,) = bank.customer("main", 15)
    bank.receive(camt053(Told(2000, text=invoice.number, bank_reference="B0")))
    with pytest.raises(UnableToTransfer, match="no bank transfer of it is known"):
        asks(bank)
    tolds = [
        Told(100, text=invoice.number, name="Zoé", iban=iban, bank_reference=iban) for iban in (PAYER, OTHER)
    ]
    bank.receive(camt053(*tolds, opening=2000, statement="S-2"))
    with pytest.raises(UnableToTransfer, match="2 bank accounts"):
        asks(bank)
    assert asks(bank, iban=PAYER, holder="Zoé").amount_minor == 700


def test_what_a_credit_note_left_of_a_paid_invoice_goes_back(bank: BankGround) -> None:
    invoice = overpaid(bank, 100)
    bank.receive(camt053(Told(300, text="thanks", bank_reference="B2"), opening=1600, statement="S-3"))
    ((entry,),) = bank.ground.read("select uid from payments.statement_entries where state = 'Waiting'")
    bank.ground.write(
        lambda work: assign(work, bank.ground.office, uid=entry, chosen=(), account=(ACME, "main")), now=NOW
    )
    credit(bank.ground, invoice, "5.00")
    before = -bank.balance(MONEY_ON_ACCOUNT).minor
    row = asks(bank, before)  # more than is unapplied: what was paid too much, and what the note gave back
    assert (row.source, row.amount_minor, before >= 600) == ("MoneyOnAccount", before, True)
    assert (bank.balance(MONEY_ON_ACCOUNT).minor, bank.balance(UNAPPLIED_CASH).minor) == (0, -300)
    assert bank.differences() == []
    file_of(bank)
    told = Told(-before, end_to_end=row.end_to_end_id, bank_reference="OUT")
    bank.receive(camt053(told, opening=1900, statement="S-2"))
    assert stands(bank, row) == ("Booked", "")


def test_two_who_ask_at_once_are_not_paid_twice(bank: BankGround) -> None:
    overpaid(bank, 1200)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(asks, bank, 1200) for _ in range(2)]
    refused = [one.exception() for one in asked if one.exception() is not None]
    assert [type(one) for one in refused] == [UnableToTransfer]
    assert held(bank)[:2] == (0, -1200)


def test_a_bank_that_somebody_else_wrote_takes_the_file_and_pays_it(bank: BankGround, peer: MockBank) -> None:
    overpaid(bank, 1200)
    row = asks(bank)
    made = file_of(bank, on=date(2026, 11, 23))
    assert "<Nm>Zoe + Fils</Nm>" in made.content.decode()
    ((sealed, file),) = bank.ground.read(
        "select t.sealed, f.sealed from payments.transfers t, payments.transfer_files f"
    )
    assert PAYER not in sealed + file
    peer.credit(5000)
    answer = peer.send(moved(made.content))
    assert answer["status"] == "ACCP", (answer, peer.messages("pain.002", about=""))
    peer.advance(3)
    for content in peer.messages("camt.053"):
        bank.receive(content, now=datetime(2026, 11, 26, 6, tzinfo=UTC))
    assert stands(bank, row) == ("Booked", "")
    assert bank.balance(UNDER_WAY).minor == 0


def test_what_the_bank_refuses_is_the_accounts_again(bank: BankGround, peer: MockBank) -> None:
    overpaid(bank, 1200)
    row = asks(bank)
    peer.behave("reject-file")
    made = file_of(bank, on=date(2026, 11, 23))
    assert peer.send(moved(made.content))["status"] == "RJCT"
    told = [
        one
        for content in peer.messages("pain.002", about="")
        for one in bank.ground.write(
            lambda work, content=content: note_refused_transfers(work, read_refusals(content)), now=NOW
        )
    ]
    assert (told, stands(bank, row)[0], held(bank)) == ([row.end_to_end_id], "Cancelled", (-1200, 0, 2700))


def told(bank: BankGround) -> list[tuple[str, str, str | None]]:
    return bank.ground.read(
        "select type, body::json -> 'data' ->> 'amount', body::json -> 'data' ->> 'reason' from notices.messages "
        "where starts_with(type, 'transfer.') order by type"
    )


def test_customers_hear_of_money_that_the_bank_has_paid_and_of_what_came_back(bank: BankGround) -> None:
    spec = {"type": "Email", "email": {"to": ["books@example.com"]}, "events": ["transfer.*"]}
    bank.ground.declare("notificationchannels", "books", spec, namespace=ACME)
    overpaid(bank, 1200)
    row = asks(bank)
    file_of(bank)
    assert told(bank) == []
    paid = Told(-1200, end_to_end=row.end_to_end_id, bank_reference="OUT")
    back = Told(1200, end_to_end=row.end_to_end_id, reason="AC04", bank_reference="BACK")
    bank.receive(camt053(paid, back, opening=2700, statement="S-2"))
    assert told(bank) == [("transfer.booked", "12.00", None), ("transfer.returned", "12.00", "AC04")]


# ----------------------------------------------------------------------------------------- several issuers


MERLIN_IBAN = "DE89370400440532013000"


def now_issues_merlin(bank: BankGround, **details: str) -> None:
    """Another legal entity issues from now on; what was paid to the one before stays there."""
    bank.ground.change("issuerprofiles", "kestrel", {"isDefault": False}, namespace="")
    merlin = {**ISSUER, "legalName": "Merlin GmbH", "numberSeries": {"prefix": "ME-"}}
    merlin["bankDetails"] = {"accountHolder": "Merlin GmbH", "iban": MERLIN_IBAN, **details}
    bank.ground.declare("issuerprofiles", "merlin", merlin)


def test_each_issuer_pays_back_what_it_holds_from_its_own_bank_account(bank: BankGround) -> None:
    overpaid(bank, 1200)
    now_issues_merlin(bank)
    overpaid(bank, 300, name="second")
    first, second = asks(bank), asks(bank, name="second")
    assert (first.entity, second.entity) == ("kestrel", "merlin")
    with pytest.raises(UnableToTransfer, match="kestrel and merlin"):
        file_of(bank)
    made = file_of(bank, issuer="kestrel")
    assert [one.uid for one in made.transfers] == [first.uid]
    assert f"<IBAN>{ISSUER['bankDetails']['iban']}</IBAN>" in made.content.decode()
    rest = file_of(bank)  # nothing of another one is wanted any more
    assert (rest.issuer, [one.uid for one in rest.transfers]) == ("merlin", [second.uid])
    assert f"<IBAN>{MERLIN_IBAN}</IBAN>" in rest.content.decode()
    with pytest.raises(UnableToTransfer, match='no IssuerProfile "harrier"'):
        file_of(bank, issuer="harrier")


def test_what_two_issuers_hold_of_one_account_is_asked_for_of_one(bank: BankGround) -> None:
    overpaid(bank, 1200)
    now_issues_merlin(bank)
    account = bank.ground.account("main")
    bank.ground.use(account, ("2026-09-01", "web", "tokens", 400_000))
    later = bank.ground.issued(account, month=9)
    bank.receive(
        camt053(
            Told(500, text=later.number, name="Zoé & Fils", iban=PAYER, bank_reference="B9"),
            opening=2700,
            statement="S-9",
        )
    )
    with pytest.raises(UnableToTransfer, match="with kestrel and with merlin: say which issuer"):
        asks(bank)
    assert (asks(bank, issuer="merlin").amount_minor, asks(bank, 700).entity) == (400, "kestrel")


def test_a_file_of_one_issuer_cannot_pay_what_another_one_owes(bank: BankGround, superuser_tx: Tx) -> None:
    overpaid(bank, 1200)
    row = asks(bank)
    file_of(bank)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        superuser_tx.execute("update payments.transfer_files set issuer = 'merlin'")
    assert stands(bank, row) == ("Sent", "")


# --------------------------------------------------------------------------- what the bank has not executed

THE_DAY = datetime(2026, 11, 23, 9, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 9, tzinfo=UTC)


def test_what_the_bank_has_not_executed_is_the_accounts_again_once_its_day_is_over(bank: BankGround) -> None:
    overpaid(bank, 1200)
    row = asks(bank)
    with pytest.raises(UnableToTransfer, match="is Wanted: cancel it instead"):
        not_executed(bank, row, now=LATER)
    assert file_of(bank).execute_on == date(2026, 11, 23)
    with pytest.raises(UnableToTransfer, match="wait until that day is over"):
        not_executed(bank, row, now=THE_DAY)
    assert not_executed(bank, row, now=LATER).answered_by == "ann"
    assert (stands(bank, row), held(bank)) == (("Cancelled", "no trace of it"), (-1200, 0, 2700))
    again = not_executed(bank, row, now=LATER, by="eve")  # saying it again changes nothing
    assert (again.answered_by, held(bank)) == ("ann", (-1200, 0, 2700))
    paid = Told(-1200, end_to_end=row.end_to_end_id, bank_reference="OUT")
    (done,) = bank.receive(camt053(paid, opening=2700, statement="S-2"), now=LATER)
    (listed,) = bank.worklist()
    assert (done.counts, listed.row.reason, "is Cancelled" in listed.row.detail) == (
        {"Waiting": 1},
        "TransferDiffers",
        True,
    )
    assert held(bank) == (-1200, 0, 2700)


def test_what_the_bank_has_paid_was_executed(bank: BankGround) -> None:
    overpaid(bank, 1200)
    row = asks(bank)
    file_of(bank)
    bank.receive(
        camt053(
            Told(-1200, end_to_end=row.end_to_end_id, bank_reference="OUT"), opening=2700, statement="S-2"
        )
    )
    with pytest.raises(UnableToTransfer, match="is Booked"):
        not_executed(bank, row, now=LATER)


def test_a_statement_and_a_person_at_once_never_book_and_give_back(bank: BankGround) -> None:
    overpaid(bank, 1200)
    rows = [asks(bank, 100) for _ in range(6)]
    file_of(bank)

    def state(row: TransferRow) -> None:
        with suppress(UnableToTransfer):
            not_executed(bank, row, now=LATER)

    def pay(row: TransferRow) -> None:
        name = row.end_to_end_id
        bank.receive(camt053(Told(-100, end_to_end=name, bank_reference=name), opening=2700, statement=name))

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(do, row) for row in rows for do in (state, pay)]:
            done.result()
    states = [stands(bank, row)[0] for row in rows]
    booked = states.count("Booked")
    assert set(states) <= {"Booked", "Cancelled"}
    assert held(bank) == (-1200 + 100 * booked, 0, 2700 - 100 * booked)
    assert len(bank.worklist()) == len(rows) - booked


def test_how_long_a_transfer_waits_for_its_statement_is_measured_from_its_day(bank: BankGround) -> None:
    overpaid(bank, 1200)
    row = asks(bank)
    file_of(bank)

    def age() -> tuple[float, int]:
        found = bank.ground.reading(lambda tx: measure_ages(tx, now=datetime(2026, 11, 28, tzinfo=UTC)))
        return found.transfers_s, found.transfers

    assert age() == (5 * 86_400, 1)
    not_executed(bank, row, now=LATER)
    assert age() == (0, 0)


def test_money_on_its_way_back_keeps_the_account_from_being_archived(bank: BankGround) -> None:
    overpaid(bank, 1200)

    def held_back() -> str:
        with pytest.raises(Conflict) as refused:
            bank.ground.act("billingaccounts", "main", "archive", now=LATER)
        return str(refused.value)

    assert "on its way back" not in held_back()
    row = asks(bank)
    assert "12.00 EUR is on its way back by bank transfer; bring in the statement" in held_back()
    file_of(bank)
    assert "12.00 EUR is on its way back" in held_back()
    bank.receive(
        camt053(
            Told(-1200, end_to_end=row.end_to_end_id, bank_reference="OUT"), opening=2700, statement="S-2"
        )
    )
    assert "on its way back" not in held_back()
