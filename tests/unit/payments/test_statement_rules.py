"""Statements must add up; entries are known again; reasons of returns are hard or soft."""

from dataclasses import replace
from datetime import date

import pytest

from milo_billing.adapters.bank_files import read_statements
from milo_billing.payments.rules.statements import assert_adds_up, cash_name, entry_keys, return_kind
from milo_billing.payments.types import BankEntry, BankStatement, UnreadableStatement
from tests.bank_files import IBAN, Told, camt053, mt940

DAY = date(2026, 11, 20)


def statement(*entries: BankEntry) -> BankStatement:
    return BankStatement(
        "MT940", IBAN, "S", "1", "EUR", 0, sum(one.signed_minor for one in entries), DAY, DAY, entries
    )


def test_a_statement_that_does_not_add_up_is_refused_with_the_figures() -> None:
    (found,) = read_statements(camt053(Told(10000), Told(-2500), opening=100, closing=8000))
    with pytest.raises(UnreadableStatement) as refused:
        assert_adds_up(found)
    for figure in ("1.00 EUR", "75.00 EUR", "76.00 EUR", "80.00 EUR", "4.00 EUR is missing"):
        assert figure in str(refused.value)


def test_an_entry_is_known_again_in_another_format() -> None:
    told = (Told(100, text="one", bank_reference="B1"), Told(100, text="two", bank_reference="B2"))
    (first,), (second,) = read_statements(camt053(*told)), read_statements(mt940(*told).encode())
    assert entry_keys(first) == entry_keys(second)
    assert len({one.digest for one in entry_keys(first)}) == 2


def test_equal_entries_of_one_statement_are_two() -> None:
    same = BankEntry(1, 100, True, False, DAY, DAY, remittance="fee")
    keys = entry_keys(statement(same, replace(same, position=2)))
    assert keys[0].digest != keys[1].digest
    assert not keys[0].certain


@pytest.mark.parametrize(
    ("reason", "kind"), [("AM04", "Soft"), ("MS03", "Soft"), ("AC04", "Hard"), ("MD01", "Hard"), ("", "Hard")]
)
def test_only_reasons_that_pass_allow_another_attempt(reason: str, kind: str) -> None:
    assert return_kind(reason) == kind


def test_the_books_name_a_bank_account_by_its_last_characters() -> None:
    assert (cash_name(IBAN), cash_name("50880050/0194774600888")) == ("6199", "0888")
