"""Unapplied cash below zero beside money on account: no more goes out than a customer has in all."""

import psycopg
import pytest

from milo_billing.invoicing.engine import granting
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.errors import Invalid
from milo_billing.kernel.money import Money
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, UNAPPLIED_CASH
from milo_billing.payments.engine import transferring
from milo_billing.payments.rules.transfer_sources import TransferSource, UnableToTransfer
from tests.bank_files import PAYER, Told, camt053
from tests.db.bank.bank_ground import BankGround
from tests.db.bank.test_returned_credit import granted
from tests.db.bank.test_transfers import asks, file_of
from tests.db.invoicing.late_ground import credit


@pytest.fixture
def invoice(bank: BankGround) -> Invoice:
    """Paid with 12.00 too much, which went back to the customer; then the payment came back: 12.00 are missing. It was
    paid again, and credited with its 15.00.
    """
    _, (found,) = bank.customer("main", 15)
    first = Told(2700, text=found.number, name="Zoé", iban=PAYER, end_to_end="E1", bank_reference="IN-1")
    bank.receive(camt053(first, statement="S-1"))
    row = asks(bank)
    file_of(bank)
    went = Told(-1200, end_to_end=row.end_to_end_id, bank_reference="OUT-1")
    bank.receive(camt053(went, opening=2700, statement="S-2"))
    back = Told(-2700, end_to_end="E1", reason="AC04", bank_reference="R-1")
    bank.receive(camt053(back, opening=1500, statement="S-3"))
    again = Told(1500, text=found.number, name="Zoé", iban=PAYER, end_to_end="E2", bank_reference="IN-2")
    bank.receive(camt053(again, opening=-1200, statement="S-4"))
    credit(bank.ground, found, "15.00")
    assert held(bank) == (-1200, 1500)
    return found


def held(bank: BankGround) -> tuple[int, int]:
    """What the customer has unapplied, and on account."""
    return -bank.balance(UNAPPLIED_CASH).minor, -bank.balance(MONEY_ON_ACCOUNT).minor


@pytest.mark.usefixtures("invoice")
def test_no_more_goes_back_by_transfer_than_is_there_in_all(bank: BankGround) -> None:
    message = r"has -12\.00 EUR unapplied and 15\.00 EUR on account with kestrel, 3\.00 EUR in all, less than 3\.01 EUR"
    with pytest.raises(UnableToTransfer, match=message):
        asks(bank, 301)
    assert (asks(bank).amount_minor, held(bank)) == (300, (-1200, 1200))
    with pytest.raises(UnableToTransfer, match=r"0\.00 EUR in all, nothing"):
        asks(bank)
    assert bank.differences() == []


@pytest.mark.usefixtures("invoice")
def test_no_more_becomes_prepaid_credit_than_is_there_in_all(bank: BankGround) -> None:
    with pytest.raises(Invalid, match=r"has 3\.00 EUR with kestrel"):
        granted(bank, "3.01")
    granted(bank, "3.00")
    assert (held(bank), bank.differences()) == ((-1200, 1200), [])


@pytest.mark.usefixtures("invoice")
def test_the_database_lets_no_more_go_than_is_there_in_all(
    bank: BankGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the code before it says."""

    def choose(*_: object) -> tuple[str, TransferSource, Money]:
        return "kestrel", "MoneyOnAccount", Money(301, "EUR")

    def find(*_: object) -> tuple[str, Money, Money]:
        return "kestrel", Money(0, "EUR"), Money(1500, "EUR")

    monkeypatch.setattr(transferring, "choose_source", choose)
    with pytest.raises(psycopg.errors.CheckViolation, match="than there is in all"):
        asks(bank, 301)
    monkeypatch.setattr(granting, "funds", find)
    with pytest.raises(psycopg.errors.CheckViolation, match="than there is in all"):
        granted(bank, "3.01")
    assert held(bank) == (-1200, 1500)


@pytest.mark.usefixtures("invoice")
def test_credit_whose_money_comes_with_it_is_granted_all_the_same(bank: BankGround) -> None:
    granted(bank, "5.00", receivedInto="6199")
    assert (held(bank), bank.differences()) == ((-1200, 1500), [])
