"""The example month of docs/accounting.md: its tables are made anew here, and it is what the tutorial prints."""

import re
from datetime import date
from pathlib import Path

import pytest

from milo_billing.ledger.types import AccountName
from tests.unit.ledger.example_month import MONTH, accounts, journal_table, t_account, trial_balance

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "accounting.md").read_text()
TUTORIAL = (DOCS / "tutorial-first-month.md").read_text()


def test_each_fact_of_the_month_balances() -> None:
    assert [fact.letter for fact in MONTH if sum(entry.amount.minor for entry in fact.entries)] == []


def test_the_page_has_the_journal_of_the_month() -> None:
    assert journal_table() in PAGE


@pytest.mark.parametrize("account", accounts())
def test_the_page_has_the_account_with_both_sides(account: AccountName) -> None:
    assert t_account(account) in PAGE


def test_the_books_are_those_that_the_tutorial_prints() -> None:
    printed = [
        {account: (debits, credits, balance) for account, debits, credits, balance in rows}
        for block in TUTORIAL.split("milo-billing ledger trial-balance")[1:]
        if (rows := re.findall(r"^lumen +(\S+) +EUR +(\S+) +(\S+) +(\S+)$", block.split("## ")[0], re.M))
    ]
    october, all_of_it = printed
    assert october == trial_balance(until=date(2026, 10, 31))
    assert all_of_it == trial_balance(until=date.max)
