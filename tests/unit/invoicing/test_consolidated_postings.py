"""What a consolidated invoice credits where: revenue at who used, receivable and tax at who pays, transfers between."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

import pytest

from milo_billing.invoicing.rules.crediting import CreditLine, consolidated_postings
from milo_billing.invoicing.rules.drafts import draft
from milo_billing.invoicing.rules.grants import GIVER
from milo_billing.invoicing.rules.postings import by_user, consolidated, issue_key
from milo_billing.invoicing.rules.taxes import Credited
from milo_billing.invoicing.types.drafts import Draft, LineDiscount
from milo_billing.kernel.taxes import TaxGroup, TaxTreatment
from milo_billing.ledger.types import EARLY_PAYMENT_DISCOUNT, PROMOTIONAL
from tests.unit.invoicing.builders import line, rated, rated_line, usage_part
from tests.unit.invoicing.granted import draft_of

OCTOBER = date(2026, 10, 1), date(2026, 11, 1)
USAGE = "Income:Revenue:Usage"
VAT = TaxTreatment("S", Decimal(23), "VAT", "IE", "", "")


def used(*pairs: tuple[int | None, int]) -> Draft:
    """An untaxed draft of account 1, whose lines these accounts used."""
    found = draft_of([minor for _, minor in pairs])
    lines = [replace(one, used_by=account) for one, (account, _) in zip(found.lines, pairs, strict=True)]
    return replace(found, lines=tuple(lines))


_Postings: TypeAlias = set[tuple[str, int, tuple[date, date] | None]]
_Case: TypeAlias = tuple[list[tuple[int | None, int]], _Postings, dict[int, _Postings]]
CASES: list[_Case] = [
    ([(1, 100), (None, 5)], {(USAGE, 105, OCTOBER)}, {}),
    (
        [(1, 100), (2, 30), (2, 4), (3, 50)],
        {(USAGE, 100, OCTOBER), ("Assets:Transfers", 34, None), ("Assets:Transfers", 50, None)},
        {2: {(USAGE, 34, OCTOBER)}, 3: {(USAGE, 50, OCTOBER)}},
    ),
    # what an account gives back comes off what the other one owes
    (
        [(1, 100), (2, -30)],
        {(USAGE, 100, OCTOBER), ("Assets:Transfers", -30, None)},
        {2: {(USAGE, -30, OCTOBER)}},
    ),
    # nothing moves between accounts where nothing is owed
    ([(2, 30), (2, -30)], set(), {2: set()}),
]


@pytest.mark.parametrize(("pairs", "payer", "others"), CASES)
def test_revenue_stands_where_it_was_earned(
    pairs: list[tuple[int | None, int]],
    payer: _Postings,
    others: dict[int, _Postings],
) -> None:
    own, sent = consolidated(used(*pairs))
    assert (set(own), {account: set(lines) for account, lines in sent.items()}) == (payer, others)


def test_tax_is_owed_by_who_pays() -> None:
    found = replace(used((2, 100)), tax_minor=23, taxes=(TaxGroup(VAT, 100, 23),))
    own, sent = consolidated(found)
    assert set(own) == {("Assets:Transfers", 100, None), ("Liabilities:TaxPayable:IE", 23, None)}
    assert sent == {2: ((USAGE, 100, OCTOBER),)}


def test_promotional_credit_is_given_up_where_it_lowered_a_line() -> None:
    gift = LineDiscount("Invoice", GIVER, UUID(int=1), "gift", "Gift", None, -40)
    found = used((2, 100))
    found = replace(
        found, lines=(replace(found.lines[0], discounts=(gift,)),), discounts_minor=-40, total_minor=60
    )
    own, sent = consolidated(found)
    assert own == (("Assets:Transfers", 60, None),)
    assert set(sent[2]) == {(USAGE, 100, OCTOBER), (PROMOTIONAL, -40, OCTOBER)}


def test_lines_are_told_apart_by_who_used() -> None:
    lines = used((None, 1), (2, 2), (1, 3), (2, 4)).lines
    own, others = by_user(lines, payer=1)
    assert ([one.amount_minor for one in own], {2: [one.amount_minor for one in others[2]]}) == (
        [1, 3],
        {2: [2, 4]},
    )


@pytest.mark.parametrize(("user", "end"), [(None, "issue"), (1, "issue"), (2, "issue/2")])
def test_every_account_has_a_transaction_of_its_own(user: int | None, end: str) -> None:
    assert issue_key(UUID(int=7), payer=1, user=user) == f"invoice/{UUID(int=7)}/{end}"


def test_a_draft_says_who_used() -> None:
    found = draft([rated(rated_line("cpu"))])
    assert [one.used_by for one in found.lines] == [1]


def test_a_credit_note_gives_revenue_back_where_it_was_earned() -> None:
    lines = {
        number: replace(line("Tokens", usage_part("1", "1", 100), number=number), used_by=account)
        for number, account in ((1, 1), (2, 2), (3, 2))
    }
    credited = [CreditLine(1, 10, None), CreditLine(2, 20, None), CreditLine(3, 5, None)]
    own, sent = consolidated_postings(
        credited, payer=1, lines=lines, taxes={1: Credited(35, 8)}, groups=[TaxGroup(VAT, 300, 69)]
    )
    assert own == (
        (USAGE, 10, OCTOBER),
        ("Liabilities:TaxPayable:IE", 8, None),
        ("Assets:Transfers", 25, None),
    )
    assert sent == {2: ((USAGE, 20, OCTOBER), (USAGE, 5, OCTOBER))}
    # what is given up for an early payment is the payer's
    given_up, none = consolidated_postings(
        credited,
        payer=1,
        lines=lines,
        taxes={},
        groups=[],
        given_up=EARLY_PAYMENT_DISCOUNT,
    )
    assert (given_up, none) == (((EARLY_PAYMENT_DISCOUNT, 35, None),), {})
