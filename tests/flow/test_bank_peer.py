"""Statements that another program writes: the package mock-bank as the bank."""

from collections.abc import Iterator

import pytest

from milo_billing.adapters.bank_files import read_statements
from milo_billing.payments.types import BankStatement
from tests.mock_bank import ACME_IBAN, MockBank, mock_bank


@pytest.fixture
def bank() -> Iterator[MockBank]:
    with mock_bank() as bank:
        yield bank


def statements(bank: MockBank) -> list[BankStatement]:
    return [one for content in bank.messages("camt.053") for one in read_statements(content)]


def test_money_that_arrives_is_read_with_its_payer_and_reference(bank: MockBank) -> None:
    bank.credit(118000, "INV-1001 and thanks", debtor={"name": "Customer Ltd", "iban": "NL14MOCK0000000002"})
    bank.credit(5000, reference="RF18539007547034", debtor={"name": "Zoé SARL", "iban": "NL84MOCK0000000003"})
    bank.advance()
    (statement,) = statements(bank)
    assert (statement.format, statement.account, statement.currency) == ("camt.053.001.08", ACME_IBAN, "EUR")
    first, second = statement.entries
    assert (first.signed_minor, first.remittance) == (118000, "INV-1001 and thanks")
    assert (first.counterparty_name, first.counterparty_iban) == ("Customer Ltd", "NL14MOCK0000000002")
    assert (second.signed_minor, second.references) == (5000, ("RF18539007547034",))
    assert statement.opening_minor + 123000 == statement.closing_minor


def test_each_day_opens_where_the_one_before_closed_and_an_empty_day_is_a_statement(bank: MockBank) -> None:
    bank.credit(100, "one")
    bank.advance(2)
    first, second = statements(bank)
    assert (second.entries, second.opening_minor) == ((), first.closing_minor)
    assert first.sequence != second.sequence


def test_a_statement_with_a_hole_does_not_add_up(bank: MockBank) -> None:
    bank.behave("statement-gap")
    bank.credit(100, "kept")
    bank.credit(250, "left off")
    bank.advance()
    (statement,) = statements(bank)
    told = statement.opening_minor + sum(one.signed_minor for one in statement.entries)
    assert statement.closing_minor - told == 250
