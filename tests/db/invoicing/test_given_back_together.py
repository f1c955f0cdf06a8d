"""What several adjustments of one transaction give back of the same invoice, and what has to wait to be given back."""

from datetime import UTC, datetime

import pytest

from milo_billing.accounts.types import Account
from milo_billing.invoicing.operations import issuing
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Issued, Skipped
from tests.db.invoicing.ground import ACME, PRICES, Ground
from tests.db.invoicing.late_ground import (
    DECEMBER,
    JANUARY,
    amounts,
    charged_minor,
    notes,
    spend_late,
    void,
)
from tests.db.invoicing.paying import pay
from tests.db.invoicing.recurring_ground import SUPPORT, change, issued, open_shop, take
from tests.db.invoicing.test_consolidated import assert_books_right, below, charged

FEBRUARY = datetime(2027, 2, 2, 9, 30, tzinfo=UTC)
YEAR_MINOR, BACK_MINOR = 12_200, 7_700
"""A year of support from September on, up to the new year, and what is not had of it after 16 October."""


@pytest.fixture
def shop(ground: Ground) -> Ground:
    return open_shop(ground)


def refused(shop: Ground, account: Account, *, payer: Account) -> None:
    """November cannot be issued, as a byte has no price; December is, and then there is one."""
    shop.use(account, ("2026-11-06", "web", "bytes", 1))
    with pytest.raises(UnableToIssue, match=r"usage of example\.com/bytes has no price"):
        shop.issue(payer, month=11, now=DECEMBER)
    shop.spend(account, "2026-12-05", 5)
    assert shop.issued(payer, month=12, now=JANUARY).total_minor == 500
    meter = {"meterName": "example.com/bytes"}
    stored = {"chargeType": "Usage", "meter": meter, "pricingUnit": "By"}
    shop.declare("skus", "stored", stored, now=JANUARY)
    prices = [*PRICES, SUPPORT, {"skuRef": {"name": "stored"}, "model": "PerUnit", "unitPrice": "1"}]
    version = {"bookName": "list-usd", "effectiveFrom": "2026-03-01", "currencyCode": "USD"}
    shop.declare("pricebooks", "with-bytes", {**version, "phase": "Published", "prices": prices}, now=JANUARY)


def test_a_month_that_is_invoiced_late_and_another_that_came_to_less_give_back_of_one_invoice(
    shop: Ground,
) -> None:
    """Once an account that no invoice follows for failed here, every day: both were the invoice's first adjustment."""
    account = shop.declare_account()
    take(shop, "support", "2026-10-02")
    shop.spend(account, "2026-10-05", 50)
    october = issued(shop, account, 10)
    assert amounts(shop, october) == [("Recurring", "support", 9_100), ("Usage", "tokens", 5_000)]
    change(shop, "support", "2026-11-16", endsAt="2026-11-16")
    refused(shop, account, payer=account)
    shop.write(
        lambda work: work.tx.execute(
            "update accounts.accounts set phase = 'Archived' where number = %s", (account.number,)
        )
    )
    spend_late(shop, account, "2026-10-05", -50)
    spend_late(shop, account, "2026-11-07", 3)
    adjusted = shop.write(
        lambda work: issuing.adjust_account(work, office=shop.office, number=account.number), now=JANUARY
    )
    assert (adjusted.invoice, [note.net_minor for note in adjusted.notes]) == (None, [5_000])
    # of November 46.00 of support came back, against 3.00 of tokens and a byte
    assert notes(shop) == [(october.number, 4_200), (october.number, 5_000)]
    assert charged_minor(shop, account) == 9_100 - 4_600 + 300 + 100 + 500
    assert_books_right(shop)


def test_a_month_that_is_invoiced_late_leaves_what_a_section_before_gives_back(shop: Ground) -> None:
    """It once kept the payer's month from being issued: both took of the 65.00 that October had come to."""
    shop.declare_account()
    crew, squad = (below(shop, "main", name) for name in ("crew", "squad"))
    main = shop.account("main")
    take(shop, "support", "2026-09-01")
    issued(shop, main, 9)
    change(shop, "support", "2026-10-16", endsAt="2026-10-16")
    wanted = {
        "billingAccountRef": {"name": "squad"},
        "offerRef": {"name": "support"},
        "startsAt": "2026-10-01",
    }
    shop.declare("entitlements", "squads", wanted, namespace=ACME)
    shop.spend(crew, "2026-10-05", 50)
    october = shop.issued(main)
    assert charged(shop, october) == [
        ("", "Recurring", -BACK_MINOR),
        ("crew", "Usage", 5_000),
        ("squad", "Recurring", 9_200),
    ]
    change(shop, "squads", "2026-11-02", endsAt="2026-11-02")
    refused(shop, squad, payer=main)
    spend_late(shop, crew, "2026-10-05", -50)
    spend_late(shop, squad, "2026-11-07", 3)
    shop.spend(main, "2027-01-05", 5)
    january = shop.issue(main, year=2027, month=1, now=FEBRUARY)
    assert isinstance(january, Issued)
    assert charged(shop, january.invoice) == [("", "Usage", 500)]
    # of the 60.00 of support less 4.00 that squad's November gives back, 15.00 are left beside what crew's October does
    assert notes(shop) == [(october.number, 1_500), (october.number, 5_000)]
    assert_books_right(shop)


def test_what_no_invoice_has_left_is_given_back_of_one_that_is_issued_later(shop: Ground) -> None:
    """Crew and squad turn out to have used nothing in October, of which 23.00 are left: 77.00 wait."""
    shop.declare_account()
    crew, squad = (below(shop, "main", name) for name in ("crew", "squad"))
    main = shop.account("main")
    take(shop, "support", "2026-09-01")
    issued(shop, main, 9)
    change(shop, "support", "2026-10-16", endsAt="2026-10-16")
    for one in (crew, squad):
        shop.spend(one, "2026-10-05", 50)
    october = shop.issued(main)
    for one in (crew, squad):
        spend_late(shop, one, "2026-10-05", -50)
        shop.spend(one, "2026-11-05", 60)
    november = shop.issued(main, month=11, now=DECEMBER)
    assert (november.total_minor, notes(shop)) == (12_000, [(october.number, 2_300)])
    assert isinstance(shop.issue(main, month=12, now=JANUARY), Skipped)
    given_back = sorted([(october.number, 2_300), (november.number, 2_700), (november.number, 5_000)])
    assert sorted(notes(shop)) == given_back
    # and then it is done
    shop.spend(main, "2027-01-05", 5)
    assert isinstance(shop.issue(main, year=2027, month=1, now=FEBRUARY), Issued)
    assert charged_minor(shop, main) == YEAR_MINOR - BACK_MINOR + 12_000 + 500
    assert sorted(notes(shop)) == given_back
    assert_books_right(shop)


def test_what_a_void_invoice_had_given_back_of_another_month_is_given_back_of_the_one_in_its_place(
    shop: Ground,
) -> None:
    """27.00 of October came off September's invoice; they once were owed again where that was void."""
    account = shop.declare_account()
    take(shop, "support", "2026-09-01")
    september = issued(shop, account, 9)
    change(shop, "support", "2026-10-16", endsAt="2026-10-16")
    shop.spend(account, "2026-10-05", 100)
    october = issued(shop, account, 10)
    spend_late(shop, account, "2026-10-05", -50)
    assert isinstance(shop.issue(account, month=11, now=DECEMBER), Skipped)
    assert sorted(notes(shop)) == sorted([(october.number, 2_300), (september.number, 2_700)])
    void(shop, september, now=DECEMBER)
    again = shop.issued(account, month=9, now=DECEMBER)
    assert (again.total_minor, again.replaces) == (YEAR_MINOR, september.uid)
    assert isinstance(shop.issue(account, month=12, now=JANUARY), Skipped)
    assert (again.number, 2_700) in notes(shop)
    assert charged_minor(shop, account) == YEAR_MINOR - BACK_MINOR + 5_000
    assert_books_right(shop)


def test_a_discount_for_early_payment_that_ends_is_not_owed_for_what_was_not_used(ground: Ground) -> None:
    """2.00 of what was voided had been discounted; the payment goes back, and the discount with it."""
    terms = {"earlyPaymentDiscountPercent": "2", "earlyPaymentDiscountDays": 10}
    account = ground.declare_account(paymentTerms=terms)
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    pay(ground, october, 9_800, "transfer")
    spend_late(ground, account, "2026-10-05", -100)
    assert isinstance(ground.issue(account, month=11, now=DECEMBER), Skipped)
    assert notes(ground) == [(october.number, 200), (october.number, 9_800)]
    pay(ground, october, 9_800, "transfer-back", kind="PaymentReversal", now=DECEMBER)
    assert isinstance(ground.issue(account, month=12, now=JANUARY), Skipped)
    assert sorted(minor for _, minor in notes(ground)) == [200, 200, 9_800]
    assert_books_right(ground)
