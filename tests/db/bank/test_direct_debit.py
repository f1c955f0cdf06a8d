"""SEPA direct debit against another program's bank: mandates, the file, money, returns, and what is asked for again."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from milo_billing.accounts.types import Account
from milo_billing.adapters.bank_files import read_refusals
from milo_billing.adapters.pain008 import write_pain008
from milo_billing.ledger.types import EARLY_PAYMENT_DISCOUNT, RECEIVABLE
from milo_billing.payments.engine import debit_rows
from milo_billing.payments.engine.bank_file_rows import DEBIT_FILES, get_file
from milo_billing.payments.engine.bank_worklist import assign, ignore
from milo_billing.payments.engine.debit_rows import MandateRow, UnableToDebit
from milo_billing.payments.engine.debiting import (
    MadeFile,
    add_mandate,
    make_file,
    note_refused,
    revoke_mandate,
)
from milo_billing.payments.rules.debit_requests import DebitRequest, MandateRequest
from tests.bank_files import PAYER, Told, camt053
from tests.db.bank.bank_ground import BankGround
from tests.db.invoicing.ground import ACME, ISSUER
from tests.mock_bank import ACME_IBAN, MockBank, mock_bank

DUE = datetime(2026, 11, 30, 9, tzinfo=UTC)
"""Invoices of 2 November are due on 2 December; banks want two business days."""
COLLECTED = date(2026, 12, 3)


@pytest.fixture
def peer() -> Iterator[MockBank]:
    with mock_bank("2026-11-30T09:00") as peer:
        yield peer


@pytest.fixture
def bank(bank: BankGround) -> BankGround:
    """A provider that may collect, into the account that mock-bank holds."""
    details = {**ISSUER["bankDetails"], "iban": ACME_IBAN, "sepaCreditorId": "DE98ZZZ09999999999"}
    bank.ground.declare(
        "issuerprofiles",
        "collector",
        {**ISSUER, "isDefault": False, "bankDetails": details, "numberSeries": {"prefix": "DD-"}},
    )
    with bank.ground.databases.app.transaction(reach="*") as tx:
        tx.execute("update invoicing.issuers set is_default = false")
        tx.execute("update invoicing.issuers set is_default = true where name = 'collector'")
    return bank


def signs(
    bank: BankGround, name: str, *, iban: str = PAYER, holder: str = "Zoé Lefèvre & Fils"
) -> MandateRow:
    wanted = MandateRequest((ACME, name), f"M-{name}", date(2026, 10, 1), "CORE", holder, iban, "")
    return bank.ground.write(lambda work: add_mandate(work, bank.ground.office.vault, wanted), now=DUE)


def file_of(bank: BankGround, *, now: datetime = DUE, on: date | None = COLLECTED) -> MadeFile:
    wanted = DebitRequest(on, notified_days=14)
    return bank.ground.write(
        lambda work: make_file(work, bank.ground.office.vault, write_pain008, wanted), now=now
    )


def mandate(bank: BankGround, reference: str) -> MandateRow:
    return bank.ground.reading(lambda tx: debit_rows.get_mandate(tx, reference=reference))


def test_what_is_due_is_collected_once_and_a_return_for_good_ends_the_mandate(
    bank: BankGround, peer: MockBank
) -> None:
    _, (paid,) = bank.customer("main", 25)
    _, (soft,) = bank.customer("soft", 10)
    _, (hard,) = bank.customer("hard", 7)
    bank.customer("unsigned", 5)
    for name, iban in (("main", PAYER), ("soft", "DE75512108001245126199"), ("hard", "NL91ABNA0417164300")):
        signs(bank, name, iban=iban)
    made = file_of(bank)
    assert [(one.invoice.uid, one.amount_minor, one.sequence) for one in made.planned] == [
        (one.uid, one.total_minor, "FRST") for one in (paid, soft, hard)
    ]
    assert file_of(bank).planned == ()  # it is being collected: nothing is asked for twice

    answer = peer.send(made.content)
    assert answer["status"] == "ACCP", answer
    peer.advance(4)
    for content in peer.messages("camt.053"):
        bank.receive(content, now=datetime(2026, 12, 4, 6, tzinfo=UTC))
    assert [bank.stands(one) for one in (paid, soft, hard)] == [("Paid", 0)] * 3
    assert bank.worklist() == ()

    ids = {one.invoice.uid: one.end_to_end_id for one in made.planned}
    peer.refuse(ids[soft.uid], "AM04")
    peer.refuse(ids[hard.uid], "AC04")
    peer.advance(1)
    for content in peer.messages("camt.053"):
        bank.receive(content, now=datetime(2026, 12, 5, 6, tzinfo=UTC))
    assert [bank.stands(one)[1] for one in (paid, soft, hard)] == [0, 1000, 700]
    assert bank.balance(RECEIVABLE).minor == 1000 + 700 + 500
    assert (mandate(bank, "M-soft").state, mandate(bank, "M-hard").state) == ("Active", "Revoked")
    assert "AC04" in mandate(bank, "M-hard").reason

    (again,) = file_of(bank, now=datetime(2026, 12, 7, 9, tzinfo=UTC), on=None).planned
    assert (again.invoice.uid, again.end_to_end_id) == (soft.uid, f"{soft.number}-2")


def test_a_credit_that_bears_the_end_to_end_id_alone_settles_its_debit(bank: BankGround) -> None:
    _, (owed,) = bank.customer("main", 25)
    signs(bank, "main")
    (planned,) = file_of(bank).planned
    told = Told(owed.total_minor, end_to_end=planned.end_to_end_id)  # many banks repeat no text of ours
    bank.receive(camt053(told, account=ACME_IBAN, on=COLLECTED), now=datetime(2026, 12, 4, 6, tzinfo=UTC))
    assert bank.worklist() == ()
    assert bank.stands(owed) == ("Paid", 0)
    debit = bank.ground.reading(lambda tx: debit_rows.find_debit(tx, end_to_end_id=planned.end_to_end_id))
    assert debit is not None
    assert debit.state == "Settled"


@pytest.mark.parametrize("is_assigned", [True, False])
def test_a_person_who_decides_the_money_of_a_debit_ends_the_debit(
    bank: BankGround, is_assigned: bool
) -> None:
    """Else the invoice would be held to be collected for ever, and nobody would be asked for it again."""
    _, (owed,) = bank.customer("main", 25)
    signs(bank, "main")
    (planned,) = file_of(bank).planned
    engine = bank.ground.engine
    kind = engine.registry.get("billing.miloapis.com", "invoices")
    why = {"reason": "a mistake"}
    bank.ground.write(
        lambda work: engine.act(work, kind, namespace=ACME, name=owed.name, action="void", request=why),
        now=DUE,
    )
    told = Told(owed.total_minor, end_to_end=planned.end_to_end_id)
    bank.receive(camt053(told, account=ACME_IBAN, on=COLLECTED), now=datetime(2026, 12, 4, 6, tzinfo=UTC))
    (waiting,) = bank.worklist()
    office, uid = bank.ground.office, waiting.row.uid
    if is_assigned:
        bank.ground.write(lambda work: assign(work, office, uid=uid, chosen=[], account=(ACME, "main")))
    else:
        bank.ground.write(lambda work: ignore(work, office, uid=uid, reason="sent back by hand"))
    debit = bank.ground.reading(lambda tx: debit_rows.find_debit(tx, end_to_end_id=planned.end_to_end_id))
    assert debit is not None
    assert debit.state == "Settled"


def test_the_file_is_what_the_schema_and_banks_want(bank: BankGround, peer: MockBank) -> None:
    bank.customer("main", 25)
    signs(bank, "main")
    made = file_of(bank)
    text = made.content.decode()
    assert "<Nm>Zoe Lefevre + Fils</Nm>" in text
    assert "<ReqdColltnDt>2026-12-03</ReqdColltnDt>" in text
    assert '<InstdAmt Ccy="EUR">25.00</InstdAmt>' in text
    kept = bank.ground.reading(
        lambda tx: get_file(tx, bank.ground.office.vault, DEBIT_FILES, message_id=made.message_id)
    )
    assert kept == made.content
    ((sealed, mandate_),) = bank.ground.read(
        "select f.sealed, m.sealed from payments.debit_files f, payments.mandates m"
    )
    assert PAYER not in sealed + mandate_
    found = peer.http.post("/_mock/validate", content=made.content)
    assert "error" not in found.text, found.text


def answers(bank: BankGround, peer: MockBank) -> list[str]:
    """What the bank's reports refuse, once they were brought in."""
    return [
        refused
        for content in peer.messages("pain.002", about="")
        for refused in bank.ground.write(
            lambda work, content=content: note_refused(work, read_refusals(content))
        )
    ]


def test_what_the_bank_refuses_before_its_day_is_asked_for_again(bank: BankGround, peer: MockBank) -> None:
    _, (soft,) = bank.customer("soft", 10)
    _, (hard,) = bank.customer("hard", 7)
    signs(bank, "soft")
    signs(bank, "hard", iban="NL91ABNA0417164300")
    made = file_of(bank)
    peer.send(made.content)
    assert answers(bank, peer) == []
    ids = {one.invoice.uid: one.end_to_end_id for one in made.planned}
    peer.refuse(ids[soft.uid], "AM04")
    peer.refuse(ids[hard.uid], "MD01")
    assert sorted(answers(bank, peer)) == sorted(ids.values())
    assert mandate(bank, "M-hard").state == "Revoked"
    assert [one.end_to_end_id for one in file_of(bank).planned] == [f"{soft.number}-2"]


def test_a_file_that_is_refused_as_a_whole_leaves_mandates_alone(bank: BankGround, peer: MockBank) -> None:
    _, (invoice,) = bank.customer("main", 10)
    signs(bank, "main")
    peer.behave("reject-file")
    made = file_of(bank)
    assert peer.send(made.content)["status"] == "RJCT"
    assert answers(bank, peer) == [made.planned[0].end_to_end_id]
    assert mandate(bank, "M-main").state == "Active"
    assert [one.end_to_end_id for one in file_of(bank).planned] == [f"{invoice.number}-2"]


def test_an_invoice_that_a_provider_is_asked_for_is_in_no_file(bank: BankGround) -> None:
    account, (invoice,) = bank.customer("main", 25)
    signs(bank, "main")
    with bank.ground.databases.app.transaction(reach="*") as tx:
        tx.execute(
            "insert into payments.payments (uid, owner_org, namespace, name, account, account_name, entity, invoice, "
            "invoice_name, method_name, provider, currency, amount_minor, phase, reference, failure, created_at) "
            "values (gen_random_uuid(), %s, %s, 'p', %s, 'main', 'collector', %s, '', '', 'stripe', 'EUR', 2500, "
            "'Pending', '', '', now())",
            (account.owner_org, ACME, account.number, invoice.uid),
        )
    assert file_of(bank).planned == ()


def test_nothing_is_collected_before_it_is_due_or_told(bank: BankGround) -> None:
    bank.customer("main", 25)
    signs(bank, "main")
    early = datetime(2026, 11, 10, 9, tzinfo=UTC)
    assert file_of(bank, now=early, on=None).planned == ()
    for on, message in (
        (date(2026, 12, 1), "2026-12-03 is the first"),
        (date(2026, 12, 5), "no day to collect"),
    ):
        with pytest.raises(UnableToDebit, match=message):
            file_of(bank, on=on)


def test_a_mandate_is_one_of_one_account(bank: BankGround) -> None:
    bank.customer("main", 25)
    bank.customer("other", 25)
    signs(bank, "main")
    with pytest.raises(UnableToDebit, match="debited under mandate M-main"):
        signs(bank, "main")
    bank.ground.write(lambda work: revoke_mandate(work, reference="M-main", reason="asked for"))
    assert file_of(bank).planned == ()
    with pytest.raises(UnableToDebit, match="is taken"):
        signs(bank, "main")
    assert isinstance(bank.ground.account("main"), Account)


def test_without_a_creditor_identifier_nobody_collects(bank: BankGround) -> None:
    with bank.ground.databases.app.transaction(reach="*") as tx:
        tx.execute("update invoicing.issuers set is_default = false")
        tx.execute("update invoicing.issuers set is_default = true where name = 'kestrel'")
    with pytest.raises(UnableToDebit, match="sepaCreditorId"):
        file_of(bank)


@pytest.mark.parametrize(
    ("discount_days", "collected"),
    [
        (20, [2450]),  # until 22 November, and collected on the 19th: before it is due on 2 December
        (15, []),  # until the 17th: all of it is collected when it is due
    ],
)
def test_a_debit_within_the_days_of_the_discount_is_less_by_it(
    bank: BankGround, discount_days: int, collected: list[int]
) -> None:
    terms = {"earlyPaymentDiscountPercent": "2", "earlyPaymentDiscountDays": discount_days, "netDays": 30}
    _, (invoice,) = bank.customer("main", 25, paymentTerms=terms)
    signs(bank, "main")
    made = file_of(bank, now=datetime(2026, 11, 16, 9, tzinfo=UTC), on=date(2026, 11, 19))
    assert [one.amount_minor for one in made.planned] == collected
    if not collected:
        later = file_of(bank)
        assert [one.amount_minor for one in later.planned] == [2500]
        return
    # the bank books it after the last day, and it was collected in time all the same
    told = Told(2450, end_to_end=made.planned[0].end_to_end_id, bank_reference="D1")
    (done,) = bank.receive(camt053(told, on=date(2026, 11, 23)), now=datetime(2026, 11, 24, 6, tzinfo=UTC))
    assert done.counts == {"Applied": 1}
    assert bank.stands(invoice) == ("Paid", 0)
    assert bank.balance(EARLY_PAYMENT_DISCOUNT).minor == 50
    assert bank.balance(RECEIVABLE).minor == 0


@pytest.mark.parametrize(("paid_on", "due"), [(date(2026, 11, 20), 0), (date(2026, 11, 25), 50)])
def test_a_returned_debit_takes_its_discount_with_it_and_who_pays_in_time_earns_it_again(
    bank: BankGround, paid_on: date, due: int
) -> None:
    terms = {"earlyPaymentDiscountPercent": "2", "earlyPaymentDiscountDays": 20, "netDays": 30}
    _, (invoice,) = bank.customer("main", 25, paymentTerms=terms)
    signs(bank, "main")
    made = file_of(bank, now=datetime(2026, 11, 16, 9, tzinfo=UTC), on=date(2026, 11, 19))
    debit = made.planned[0].end_to_end_id
    collected = Told(2450, end_to_end=debit, bank_reference="D1")
    bank.receive(camt053(collected, on=date(2026, 11, 19)), now=datetime(2026, 11, 20, 6, tzinfo=UTC))
    assert bank.stands(invoice) == ("Paid", 0)
    returned = Told(-2450, end_to_end=debit, reason="AM04", bank_reference="D2")
    content = camt053(returned, opening=2450, statement="S-2")
    bank.receive(content, now=datetime(2026, 11, 21, 6, tzinfo=UTC))
    assert bank.stands(invoice) == ("Issued", 2500)
    assert (bank.balance(EARLY_PAYMENT_DISCOUNT).minor, bank.balance(RECEIVABLE).minor) == (0, 2500)
    again = Told(2450, text=invoice.number, bank_reference="D3")
    content = camt053(again, statement="S-3", on=paid_on)
    bank.receive(content, now=datetime(2026, 11, 26, 6, tzinfo=UTC))
    assert bank.stands(invoice)[1] == due
    assert (bank.balance(EARLY_PAYMENT_DISCOUNT).minor, bank.balance(RECEIVABLE).minor) == (50 - due, due)
