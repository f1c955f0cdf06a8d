"""Which part of a payout is whose, and when a person has to look first."""

from datetime import date
from uuid import UUID

import pytest

from milo_billing.kernel.money import Money
from milo_billing.payments.rules.payouts import Bookable, Held, Known, Share, is_named, judge, said_by
from milo_billing.payments.types import BankEntry, Payout, PayoutItem, PayoutItemKind

DAY = date(2026, 12, 2)
OURS = {
    "pay_1": Known(UUID(int=1), "kestrel", 7, 70, "USD"),
    "pay_2": Known(UUID(int=2), "lumen", 8, 80, "USD"),
}


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def item(
    kind: PayoutItemKind, payment: str, minor: int, fee: int = 0, *, currency: str = "USD"
) -> PayoutItem:
    return PayoutItem(f"txn_{kind}_{payment}", kind, payment, Money(minor, currency), Money(fee, currency))


def judged(
    *items: PayoutItem, minor: int, accepted: bool = False, default: str | None = "kestrel"
) -> Bookable | Held:
    payout = Payout("po_1", usd(minor), "Paid", DAY, "3000", "", items)
    return judge(payout, payments=OURS, failed={"po_0": "lumen"}, default_entity=default, accepted=accepted)


def shares(found: Bookable | Held) -> list[tuple[str, int, int, int, int, int]]:
    assert isinstance(found, Bookable), found
    return [
        (one.entity, one.account, one.owner_org, one.amount.minor, one.fee.minor, one.unknown.minor)
        for one in found.shares
    ]


def test_each_account_has_its_own_share_and_nobody_the_rest() -> None:
    found = judged(
        item("Payment", "pay_1", 2500, 30),
        item("Refund", "pay_1", -500),
        item("Payment", "pay_2", 4000, 50),
        item("Dispute", "pay_2", -4000, 1500),
        item("Fee", "", 0, 200),
        minor=220,
    )
    assert shares(found) == [
        ("kestrel", 7, 70, 2000, 30, 0),
        ("lumen", 0, 0, 0, 200, 0),
        ("lumen", 8, 80, 0, 1550, 0),
    ]


def test_a_payout_that_came_back_stands_in_its_own_books() -> None:
    assert shares(judged(item("Payout", "po_0", 900), minor=900)) == [("lumen", 0, 0, 900, 0, 0)]


def test_a_payout_of_nothing_has_no_shares() -> None:
    assert shares(judged(minor=0)) == []


@pytest.mark.parametrize(
    ("items", "minor", "reason", "said"),
    [
        ((item("Payment", "pay_1", 2500, 30),), 2469, "DoesNotAddUp", "-0.01 USD away from 24.69 USD"),
        ((item("Payment", "pay_9", 2500),), 2500, "UnknownItems", "1 of 1 are about no payment of ours"),
        ((item("Payout", "po_9", 2500),), 2500, "UnknownItems", "txn_Payout_po_9"),
        ((item("Other", "", 2500),), 2500, "UnknownItems", "txn_Other_"),
        ((item("Payment", "pay_1", 2500, currency="EUR"),), 2500, "OtherCurrency", "is not in USD"),
    ],
)
def test_what_a_person_has_to_look_at(
    items: tuple[PayoutItem, ...], minor: int, reason: str, said: str
) -> None:
    found = judged(*items, minor=minor)
    assert isinstance(found, Held), found
    assert (found.reason, said in found.detail) == (reason, True), found.detail


def test_what_somebody_accepted_is_money_that_nobody_knows() -> None:
    found = judged(item("Payment", "pay_1", 2500, 30), item("Other", "", 900, 10), minor=3357, accepted=True)
    assert shares(found) == [("kestrel", 0, 0, 0, 10, 897), ("kestrel", 7, 70, 2500, 30, 0)]
    assert isinstance(found, Bookable)
    assert [one.item.reference for one in found.parts][-1] == "po_1/difference"
    assert sum(one.item.amount.minor - one.item.fee.minor for one in found.parts) == 3357


def test_other_currencies_cannot_be_accepted_and_somebody_has_to_issue() -> None:
    assert isinstance(judged(item("Payment", "pay_1", 1, currency="EUR"), minor=1, accepted=True), Held)
    held = judged(item("Fee", "", 0, 5), minor=-5, default=None)
    assert isinstance(held, Held) and held.reason == "NoIssuer"


def test_shares_are_the_payout() -> None:
    found = judged(item("Payment", "pay_1", 2500, 30), item("Payment", "pay_2", 10, 20), minor=2460)
    assert isinstance(found, Bookable)

    def arrives(one: Share) -> int:
        return one.amount.minor - one.fee.minor + one.unknown.minor

    assert sum(map(arrives, found.shares)) == 2460


@pytest.mark.parametrize(
    ("text", "reference", "named"),
    [
        ("STRIPE PAYOUT PO_1OAZ", "", True),
        ("transfer", "po_1Oaz", True),
        ("KESTREL 1 2 3", "", True),
        ("kest rel", "", False),
        ("", "", False),
    ],
)
def test_a_bank_entry_names_a_payout(text: str, reference: str, named: bool) -> None:
    entry = BankEntry(1, 2500, True, False, DAY, DAY, remittance=text, end_to_end_id=reference)
    assert is_named(said_by(entry), reference="po_1Oaz", trace="KESTREL 123") is named


def test_a_name_without_letters_names_nothing() -> None:
    assert not is_named("ANYTHING", reference="po_1", trace="– –")
