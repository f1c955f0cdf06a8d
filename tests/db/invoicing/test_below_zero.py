"""A month that gives back more than it charges: its invoice is zero, and credit notes give back the rest, once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from milo_billing.accounts.types import Account
from milo_billing.infra.database import forbid_writes
from milo_billing.invoicing.operations import issuing, previewing
from milo_billing.invoicing.reads.invoices import get_invoice
from milo_billing.invoicing.rules.previews import draft_lines, preview_body
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Issued, Preview, Skipped
from milo_billing.kernel.periods import Period, billing_month
from tests.db.invoicing.ground import ACME, Ground
from tests.db.invoicing.late_ground import (
    adjust,
    amounts,
    charged_minor,
    credit,
    lines_of,
    notes,
    spend_late,
    void,
)
from tests.db.invoicing.paying import pay
from tests.db.invoicing.recurring_ground import SUPPORT, change, issued, open_shop, take
from tests.db.invoicing.test_taxed_invoices import CONSUMER, IRISH, credited, declare_issuer, declare_rate

YEAR_MINOR = 36_500 * 122 // 365
"""A year of support from September on, paid for up to January."""
BACK_MINOR = 36_500 * 77 // 365
"""What is not had of it after 16 October."""
NOVEMBER = datetime(2026, 11, 1, 6, tzinfo=UTC)
OCTOBER = datetime(2026, 10, 1, 6, tzinfo=UTC)


@pytest.fixture
def shop(ground: Ground) -> Ground:
    return open_shop(ground)


def taken_and_ended(shop: Ground) -> Account:
    """Support was charged in September's invoice up to the new year, and ended in October."""
    account = shop.declare_account()
    take(shop, "support", "2026-09-01")
    assert issued(shop, account, 9).total_minor == YEAR_MINOR
    change(shop, "support", "2026-10-16", endsAt="2026-10-16")
    return account


def previewed(shop: Ground, account: Account, *, month: int = 10, now: datetime = NOVEMBER) -> Preview:
    def read(tx: Any) -> Preview:
        forbid_writes(tx)
        return previewing.preview(tx, office=shop.office, account=account, month=(2026, month), now=now)

    return shop.reading(read)


def on_account(shop: Ground) -> int:
    ((minor,),) = shop.read(
        "select coalesce(-sum(amount_minor), 0)::bigint from ledger.entries where account = %s",
        "Liabilities:MoneyOnAccount",
    )
    return minor


def test_what_is_given_back_beyond_what_the_month_charges_is_credited_where_it_was_charged(
    shop: Ground,
) -> None:
    account = taken_and_ended(shop)
    shop.spend(account, "2026-10-05", 20)
    preview = previewed(shop, account)
    october = issued(shop, account, 10)
    assert (october.total_minor, october.phase, october.kind) == (0, "Paid", "Periodic")
    assert amounts(shop, october) == [
        ("Recurring", "support", -BACK_MINOR),
        ("Usage", "tokens", 2_000),
        ("Adjustment", "support", BACK_MINOR - 2_000),
    ]
    assert notes(shop) == [("KC-2026-000001", BACK_MINOR - 2_000)]
    assert charged_minor(shop, account) == YEAR_MINOR - BACK_MINOR + 2_000
    # the first invoice had not been paid: less is due of it, and nobody has money on account
    assert on_account(shop) == 0
    # what the preview said is what was issued
    assert draft_lines(preview) == lines_of(shop, october)
    body = preview_body(preview, account=account, by="sku", at=NOVEMBER)
    assert (body["total"], body["givenBack"]) == ("0.00", [{"invoice": "KC-2026-000001", "amount": "57.00"}])
    # deferred is what is still to be earned
    assert shop.read(
        "select -sum(amount_minor)::bigint from ledger.entries where account = 'Liabilities:DeferredRevenue:Recurring'"
    ) == [(YEAR_MINOR - BACK_MINOR,)]


def test_a_month_that_only_gives_back_is_an_invoice_of_zero_and_comes_to_itself_again(shop: Ground) -> None:
    account = taken_and_ended(shop)
    october = issued(shop, account, 10)
    assert (october.total_minor, charged_minor(shop, account)) == (0, YEAR_MINOR - BACK_MINOR)
    assert adjust(shop, october, now=NOVEMBER).notes == ()
    # usage that comes late is charged by itself
    spend_late(shop, account, "2026-10-20", 5)
    november = issued(shop, account, 11)
    assert amounts(shop, november) == [("Adjustment", "tokens", 500)]
    assert charged_minor(shop, account) == YEAR_MINOR - BACK_MINOR + 500


def test_what_was_paid_comes_back_with_exactly_its_tax_as_money_on_account(bare_ground: Ground) -> None:
    declare_issuer(bare_ground, IRISH)
    declare_rate(bare_ground)
    shop = open_shop(bare_ground)
    account = shop.declare_account(**CONSUMER)
    take(shop, "support", "2026-09-01")
    september = issued(shop, account, 9)
    assert (september.total_minor, september.tax_minor) == (15_006, 2_806)
    pay(shop, september, 15_006, "transfer", now=OCTOBER)
    change(shop, "support", "2026-10-16", endsAt="2026-10-16")
    october = issued(shop, account, 10)
    assert (october.total_minor, october.tax_minor) == (0, 0)
    # 77.00 and 23 % of it
    assert on_account(shop) == 9_471
    assert shop.read("select net_minor, tax_minor, settled_minor from invoicing.credit_notes") == [
        (7_700, 1_771, 0)
    ]
    assert sum(credited(shop).values()) == 0


def test_where_tax_takes_it_below_zero_all_that_comes_back_is_credited(bare_ground: Ground) -> None:
    declare_issuer(bare_ground, IRISH, accountingCurrency="EUR")
    declare_rate(bare_ground)
    declare_rate(bare_ground, "low", percent="9", taxCategory="reduced")
    shop = open_shop(bare_ground)
    shop.declare(
        "skus",
        "stored",
        {
            "chargeType": "Usage",
            "meter": {"meterName": "example.com/bytes"},
            "pricingUnit": "By",
            "taxCategory": "reduced",
        },
    )
    stored = {"skuRef": {"name": "stored"}, "model": "PerUnit", "unitPrice": "1"}
    shop.publish("EUR", [SUPPORT, stored])
    account = shop.declare_account(currencyCode="EUR", **CONSUMER)
    take(shop, "support", "2026-09-01")
    september = issued(shop, account, 9)
    change(shop, "support", "2026-10-16", endsAt="2026-10-16")
    # 80.00 and 9 % of it are less than 77.00 and 23 % of it
    shop.use(account, ("2026-10-05", "web", "bytes", 80))
    october = issued(shop, account, 10)
    assert (october.total_minor, october.tax_minor) == (8_720, 720)
    assert notes(shop) == [(september.number, BACK_MINOR)]


def test_what_was_credited_before_is_not_given_back_again_and_stands_against_what_comes_late(
    shop: Ground,
) -> None:
    account = taken_and_ended(shop)
    september = shop.reading(lambda tx: get_invoice(tx, namespace=ACME, name="kc-2026-000001"))
    credit(shop, september, "100.00")
    october = issued(shop, account, 10)
    assert october.total_minor == 0
    # 22.00 were left of 122.00
    assert notes(shop) == [(september.number, 10_000), (september.number, 2_200)]
    spend_late(shop, account, "2026-09-10", 60)
    # of 60.00 for September, 55.00 had not been given back
    assert issued(shop, account, 11).total_minor == 500


def test_what_prepaid_money_had_paid_is_prepaid_again(shop: Ground) -> None:
    """Support up to the new year was paid by prepaid money, and ends: no cash comes back, and nothing is lost."""
    account = shop.declare_account()
    shop.promise(prepayment={"amount": "200"}, termMonths=12)
    take(shop, "support", "2026-10-02")
    assert issued(shop, account, 10).total_minor == 20_000
    change(shop, "support", "2026-11-16", endsAt="2026-11-16")
    november = issued(shop, account, 11)
    assert amounts(shop, november) == [("Recurring", "support", -4_600), ("DrawDown", None, 4_600)]
    assert (november.total_minor, notes(shop), on_account(shop)) == (0, [], 0)
    deferred = "select coalesce(-sum(amount_minor), 0)::bigint from ledger.entries where account ~ %s"
    assert shop.read(deferred, "^Liabilities:DeferredRevenue:Prepayment") == [(20_000 - 9_100 + 4_600,)]
    # 45.00 of 200.00 are used: what is left pays what comes, and no more than that
    shop.spend(account, "2026-12-05", 160)
    december = shop.issue(account, month=12, now=datetime(2027, 1, 2, tzinfo=UTC))
    assert isinstance(december, Issued)
    assert december.invoice.total_minor == 16_000 - (20_000 - 4_500)
    assert adjust(shop, november, now=NOVEMBER).notes == ()


def test_two_that_issue_at_once_give_back_once(shop: Ground) -> None:
    account = taken_and_ended(shop)
    with ThreadPoolExecutor(2) as pool:
        racing = [pool.submit(shop.issue, account, month=10, now=NOVEMBER) for _ in range(2)]
        for one in racing:
            one.result()
    assert notes(shop) == [("KC-2026-000001", BACK_MINOR)]
    assert charged_minor(shop, account) == YEAR_MINOR - BACK_MINOR


def test_with_what_came_late_of_the_same_invoice_it_is_one_document(shop: Ground) -> None:
    account = taken_and_ended(shop)
    spend_late(shop, account, "2026-09-10", 7)
    october = issued(shop, account, 10)
    assert sorted(amounts(shop, october)) == [
        ("Adjustment", "support", BACK_MINOR - 700),
        ("Adjustment", "tokens", 700),
        ("Recurring", "support", -BACK_MINOR),
    ]
    assert notes(shop) == [("KC-2026-000001", BACK_MINOR - 700)]
    assert charged_minor(shop, account) == YEAR_MINOR - BACK_MINOR + 700
    assert isinstance(shop.issue(account, month=11, now=NOVEMBER + timedelta(days=31)), Skipped)


def test_usage_that_is_voided_beyond_the_invoice_is_given_back_of_an_earlier_one(shop: Ground) -> None:
    """October charges 100.00 of usage and gives 77.00 back: of its 23.00 no more can be taken."""
    account = taken_and_ended(shop)
    shop.spend(account, "2026-10-05", 100)
    october = issued(shop, account, 10)
    assert october.total_minor == 10_000 - BACK_MINOR
    spend_late(shop, account, "2026-10-05", -50)
    assert isinstance(shop.issue(account, month=11, now=NOVEMBER + timedelta(days=31)), Skipped)
    assert sorted(notes(shop)) == sorted([(october.number, 2_300), ("KC-2026-000001", 2_700)])
    assert charged_minor(shop, account) == YEAR_MINOR - BACK_MINOR + 5_000


def test_an_invoice_that_is_void_is_replaced_before_what_it_charged_is_given_back(shop: Ground) -> None:
    account = taken_and_ended(shop)
    september = shop.reading(lambda tx: get_invoice(tx, namespace=ACME, name="kc-2026-000001"))
    void(shop, september, now=OCTOBER + timedelta(days=20))
    assert previewed(shop, account).untaxed is not None
    with pytest.raises(
        UnableToIssue, match="kc-2026-000001, which may have charged it, is void: run its month again first"
    ):
        shop.issue(account, month=10, now=NOVEMBER)
    again = issued(shop, account, 9)
    issued(shop, account, 10)
    assert notes(shop)[-1] == (again.number, BACK_MINOR)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_taken_and_ended_the_preview_is_what_is_issued_and_nothing_is_lost(
    shop: Ground, seed: int
) -> None:
    random = Random(seed)
    account = shop.declare_account()
    take(shop, "support", "2026-09-01", quantity=random.randrange(1, 4))
    take(shop, "seats", "2026-09-01", quantity=random.randrange(1, 9))
    issued(shop, account, 9)
    reached: list[Period] = [billing_month(2026, 9, zone="Etc/UTC")]
    for month in (10, 11):
        now = datetime(2026, month + 1, 1, 6, tzinfo=UTC)
        for offer in ("support", "seats"):
            day = f"2026-{month}-{random.randrange(2, 29):02}"
            if random.random() < 0.8:
                change(shop, offer, day, quantity=random.randrange(1, 9))
        if month == 11:
            change(shop, "support", "2026-11-29", endsAt="2026-11-29")
        shop.spend(account, f"2026-{month}-07", random.choice((1, 10, 200)))
        spend_late(shop, account, f"2026-{month - 1:02}-20", random.choice((-1, 2, 30)) if month == 11 else 3)
        preview = previewed(shop, account, month=month, now=now)
        invoice = issued(shop, account, month)
        assert draft_lines(preview) == lines_of(shop, invoice)
        assert preview.draft.total_minor == invoice.total_minor
        reached.append(billing_month(2026, month, zone="Etc/UTC"))
    december = datetime(2026, 12, 1, 6, tzinfo=UTC)
    drafted = shop.reading(lambda tx: issuing.draft(tx, account=account, stretch=reached, now=december))
    assert charged_minor(shop, account) == drafted.total_minor
