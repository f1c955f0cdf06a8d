"""Customers' money that is kept is what payments, credit notes and grants say: a difference in it is found."""

import pytest

from milo_billing.app.ledger_ports import above_the_books
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, UNAPPLIED_CASH, AccountName, Entry, cash
from tests.db.invoicing.ground import Ground
from tests.db.ledger.books import DECEMBER, Books, post


@pytest.mark.parametrize("account", [UNAPPLIED_CASH, MONEY_ON_ACCOUNT])
def test_money_that_no_document_knows_of_is_found(ground: Ground, books: Books, account: AccountName) -> None:
    stray = (Entry(cash("3000"), Money(700, "USD")), Entry(account, Money(-700, "USD")))
    post(ground, books.main, "stray", stray, on=DECEMBER.date())
    subledgers = above_the_books().subledgers
    found = ground.reading(lambda tx: ledger.verify(tx, subledgers=subledgers, everything=True))
    assert [(one.account, one.expected.minor, one.found.minor) for one in found] == [(account, 0, -700)]
    since = ground.reading(lambda tx: ledger.verify(tx, subledgers=subledgers, everything=True, since=10**9))
    assert found == since, "accounts with documents are compared every hour"
