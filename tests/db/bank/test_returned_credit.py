"""A transfer comes back whose money was set apart as prepaid credit: what is left goes, what was used is owed again."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from milo_billing.controlplane.decoding import Draft
from milo_billing.invoicing.jobs import daily
from milo_billing.invoicing.reads import grants as grant_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.ledger.types import (
    MONEY_ON_ACCOUNT,
    PREPAID_CREDIT,
    RECEIVABLE,
    UNAPPLIED_CASH,
    cash,
    revenue,
)
from milo_billing.payments.engine.bank_worklist import assign
from tests.bank_files import Told, camt053
from tests.db.bank.bank_ground import NOW, BankGround
from tests.db.bank.test_over_payments import use_balance
from tests.db.invoicing.ground import ACME
from tests.db.invoicing.late_ground import credit

BANK = cash("6199")
NAMES = (UNAPPLIED_CASH, MONEY_ON_ACCOUNT, PREPAID_CREDIT, RECEIVABLE, BANK)


def balances(bank: BankGround) -> tuple[int, ...]:
    """Unapplied, on account, prepaid, receivable, at the bank."""
    return tuple(bank.balance(name).minor for name in NAMES)


def deposited(bank: BankGround, minor: int, number: int = 1, *, opening: int = 0) -> None:
    """A transfer that nobody knows the purpose of, but whose it is; it bears the end-to-end id E<number>."""
    told = Told(minor, text="deposit", end_to_end=f"E{number}", bank_reference=f"D{number}")
    bank.receive(camt053(told, opening=opening, statement=f"D-{number}"))
    ((entry,),) = bank.ground.read("select uid from payments.statement_entries where state = 'Waiting'")
    bank.ground.write(
        lambda work: assign(work, bank.ground.office, uid=entry, chosen=(), account=(ACME, "main")), now=NOW
    )


def goes_back(bank: BankGround, minor: int, number: int = 1, *, opening: int | None = None) -> None:
    returned = Told(-minor, end_to_end=f"E{number}", reason="AC04", bank_reference=f"R{number}")
    opening = minor if opening is None else opening
    (one,) = bank.receive(camt053(returned, opening=opening, statement=f"R-{number}"))
    assert one.counts == {"Returned": 1}
    assert bank.differences() == []


def granted(bank: BankGround, amount: str, *, name: str = "pot", hours: int = 0, **spec: Any) -> UUID:
    """Prepaid credit out of what the account has."""
    wanted = {
        "billingAccountRef": {"name": "main"},
        "kind": "Prepaid",
        "amount": amount,
        "currencyCode": "EUR",
        "reason": "prepaid",
        **spec,
    }
    served = bank.ground.engine.registry.get("billing.miloapis.com", "creditgrants")
    draft = Draft(name, "", "", "", "", {}, {}, wanted, {})
    return bank.ground.write(
        lambda work: bank.ground.engine.create(work, served, namespace=ACME, draft=draft),
        now=NOW + timedelta(hours=hours),
    ).uid


def used(bank: BankGround, euros: int, *, month: int = 11, now: datetime | None = None) -> Invoice:
    """An invoice for this month, which uses credit as it is issued."""
    account = bank.ground.account()
    bank.ground.use(account, (f"2026-{month:02}-01", "web", "tokens", euros * 400_000))
    return bank.ground.issued(
        account, month=month, now=now or datetime(2026, month + 1, 2, 9, 30, tzinfo=UTC)
    )


def status(bank: BankGround, grant: UUID) -> tuple[str, str, str, str]:
    """(phase, remaining, used, revoked) as the object says."""
    ((body,),) = bank.ground.read("select status from controlplane.objects where uid = %s", grant)
    return body["phase"], body["remaining"], body["used"], body["revoked"]


def moved(bank: BankGround, grant: UUID) -> list[tuple[str, int]]:
    found = bank.ground.reading(lambda tx: grant_reads.list_movements(tx, grant=grant, after=0, limit=50))
    return [(one.kind, one.amount_minor) for one in found]


def told(bank: BankGround) -> list[Any]:
    """What was announced of credit that was taken back: how much, and what is left."""
    return bank.ground.read(
        "select type, body::json -> 'data' ->> 'takenBack', body::json -> 'data' ->> 'remaining' "
        "from notices.messages where type = 'credit.taken_back'"
    )


# what is used of 40.00 of credit, its movements after the transfer came back, and what is owed then
@pytest.mark.parametrize(
    ("euros", "movements", "owed"),
    [
        (0, [("Revoked", -4000)], 0),
        (15, [("Used", -1500), ("GivenBack", 1500), ("Revoked", -4000)], 1500),
        (50, [("Used", -4000), ("GivenBack", 4000), ("Revoked", -4000)], 5000),
    ],
)
def test_what_is_left_of_credit_goes_with_its_money_and_what_it_paid_is_owed_again(
    bank: BankGround, euros: int, movements: list[tuple[str, int]], owed: int
) -> None:
    bank.customer("main")
    spec = {"type": "Email", "email": {"to": ["books@example.com"]}, "events": ["credit.*"]}
    bank.ground.declare("notificationchannels", "books", spec, namespace=ACME)
    deposited(bank, 4000)
    grant = granted(bank, "40.00")
    invoice = used(bank, euros) if euros else None
    goes_back(bank, 4000)
    assert moved(bank, grant) == [("Granted", 4000), *movements]
    assert status(bank, grant) == ("Revoked", "0.00", "0.00", "40.00")
    assert balances(bank) == (0, 0, 0, owed, 0)
    assert told(bank) == [("credit.taken_back", "40.00", "0.00")]
    if invoice is not None:
        assert bank.stands(invoice) == ("Issued", owed)


def test_of_what_was_deposited_only_what_is_missing_is_taken_back(bank: BankGround) -> None:
    """40 came, of which 25 became credit, and 10 besides: of the 40 that go back 25 are there."""
    bank.customer("main")
    deposited(bank, 4000)
    grant = granted(bank, "25.00")
    deposited(bank, 1000, 2, opening=4000)
    goes_back(bank, 4000, opening=5000)
    assert status(bank, grant) == ("Active", "10.00", "0.00", "15.00")
    assert balances(bank) == (0, 0, -1000, 0, 1000)
    used(bank, 10)
    assert status(bank, grant) == ("UsedUp", "0.00", "10.00", "15.00")  # the last of it was used


# which of two transfers of 20.00 came back does not matter: the first became credit, or it paid an invoice
@pytest.mark.parametrize(
    ("credit_first", "due", "remaining"), [(True, ("Issued", 2000), "20.00"), (False, ("Paid", 0), "0.00")]
)
def test_the_newest_use_goes_first_be_it_credit_or_an_invoice(
    bank: BankGround, credit_first: bool, due: tuple[str, int], remaining: str
) -> None:
    _, (invoice,) = bank.customer("main", 20)
    deposited(bank, 2000)
    if not credit_first:
        use_balance(bank, invoice)
        deposited(bank, 2000, 2, opening=2000)
    grant = granted(bank, "20.00", hours=1)
    if credit_first:
        deposited(bank, 2000, 2, opening=2000)
        use_balance(bank, invoice, hours=2)
    goes_back(bank, 2000, 2, opening=4000)
    assert (bank.stands(invoice), status(bank, grant)[1]) == (due, remaining)
    assert balances(bank)[:2] == (0, 0)


def test_an_over_payment_that_became_credit_goes_back_the_same_way(bank: BankGround) -> None:
    """35 for an invoice of 20: 15 on account, set apart as credit."""
    _, (invoice,) = bank.customer("main", 20)
    told = Told(3500, text=invoice.number, end_to_end="E1", bank_reference="B1")
    bank.receive(camt053(told))
    grant = granted(bank, "15.00")
    assert balances(bank) == (0, 0, -1500, 0, 3500)
    goes_back(bank, 3500)
    assert (bank.stands(invoice), status(bank, grant)[0]) == (("Issued", 2000), "Revoked")
    assert balances(bank) == (0, 0, 0, 2000, 0)


def test_credit_whose_money_came_otherwise_stays(bank: BankGround) -> None:
    bank.customer("main")
    deposited(bank, 4000)
    grant = granted(bank, "40.00", receivedInto="3000")
    goes_back(bank, 4000)
    assert status(bank, grant)[:2] == ("Active", "40.00")
    assert balances(bank) == (0, 0, -4000, 0, 0)


def test_what_had_lapsed_of_credit_stays_missing(bank: BankGround) -> None:
    """It was earned as breakage, of money that did not come after all: what the account pays next fills it up."""
    bank.customer("main")
    deposited(bank, 4000)
    grant = granted(bank, "40.00", expiresAt="2026-12-01T00:00:00Z")
    bank.ground.write(
        lambda work: daily.granting.expire_credit(work, bank.ground.engine, uid=grant),
        now=datetime(2026, 12, 1, 6, tzinfo=UTC),
    )
    goes_back(bank, 4000)
    assert (status(bank, grant)[0], balances(bank)) == ("Expired", (4000, 0, 0, 0, 0))
    assert bank.balance(revenue("Breakage")).minor == -4000


# of 40.00 before tax that were bought by an invoice, what is used, and what of the purchase stays owed
@pytest.mark.parametrize(("euros", "owed"), [(0, 0), (15, 1500), (60, 4000)])
def test_credit_that_was_bought_with_its_tax_is_credited_as_far_as_it_is_not_used(
    bank: BankGround, euros: int, owed: int
) -> None:
    bank.customer("main")
    deposited(bank, 4000)
    grant = granted(bank, "40.00", taxAt="Purchase")
    assert balances(bank)[:3] == (0, 0, -4000)
    if euros:
        used(bank, euros)
    goes_back(bank, 4000)
    ((due,),) = bank.ground.read(
        "select total_minor - amount_paid_minor - credited_minor from invoicing.invoices i "
        "where exists (select from invoicing.credit_grants where bought_by = i.uid)"
    )
    assert (due, status(bank, grant)[1]) == (owed, "0.00")
    assert balances(bank)[:3] == (0, 0, 0)


def test_an_invoice_that_owes_credit_again_is_credited_as_one_that_it_never_paid(bank: BankGround) -> None:
    """Of an invoice of 50, 40 were paid by credit whose money went back: a note over 50 gives back nothing."""
    bank.customer("main")
    deposited(bank, 4000)
    grant = granted(bank, "40.00")
    invoice = used(bank, 50)
    goes_back(bank, 4000)
    credit(bank.ground, invoice, "50.00")
    assert bank.stands(invoice) == ("Paid", 0)
    assert (balances(bank), status(bank, grant)[1]) == ((0, 0, 0, 0, 0), "0.00")
