"""Sections of one invoice beside each other: what gives back, what was prepaid, discounts, documents, and voids."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from milo_billing.accounts.types import Account
from milo_billing.adapters.einvoices.checking import RuleChecker
from milo_billing.invoicing.operations import previewing
from milo_billing.invoicing.types.invoices import Invoice, Issued, Skipped
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground
from tests.db.invoicing.late_ground import DECEMBER, JANUARY, lines_of, notes, spend_late, void
from tests.db.invoicing.recurring_ground import change as end
from tests.db.invoicing.recurring_ground import open_shop, take
from tests.db.invoicing.test_consolidated import assert_books_right, booked, change, charged
from tests.db.invoicing.test_credit_note_documents import printed
from tests.db.invoicing.test_credit_notes import credit
from tests.db.invoicing.test_electronic_credit_notes import assert_right
from tests.db.invoicing.test_invoice_details import assert_sums, told
from tests.db.invoicing.test_taxed_invoices import CONSUMER, IRISH, declare_issuer, declare_rate
from tests.unit.invoicing.pdf import read_pages

OCTOBER = datetime(2026, 10, 1, 6, tzinfo=UTC)
YEAR_MINOR, BACK_MINOR = 12_200, 7_700
"""A year of support from September on, up to the new year, and what is not had of it after 16 October."""


@pytest.fixture
def shop(ground: Ground) -> Ground:
    """A payer, and two accounts below it that it is invoiced for."""
    return stocked(ground)


def stocked(ground: Ground, **spec: Any) -> Ground:
    ground.declare_account(**spec)
    for name in ("crew", "squad"):
        ground.declare_account(
            name, parentRef={"namespace": ACME, "name": "main"}, billingMode="Parent", **spec
        )
    return open_shop(ground)


def support(ground: Ground, account: str) -> None:
    take(ground, "support", "2026-09-01", billingAccountRef={"name": account})


def previewed(ground: Ground, account: Account, *, month: int, now: datetime) -> int:
    return ground.reading(
        lambda tx: previewing.preview(tx, office=ground.office, account=account, month=(2026, month), now=now)
    ).draft.total_minor


# --------------------------------------------------------------------------------------------------- below zero


def test_only_what_no_other_section_is_charged_is_given_back_of_earlier_invoices(shop: Ground) -> None:
    support(shop, "crew")
    main, crew, squad = (shop.account(name) for name in ("main", "crew", "squad"))
    september = shop.issued(main, month=9, now=OCTOBER)
    end(shop, "support", "2026-10-16", endsAt="2026-10-16")
    shop.spend(squad, "2026-10-05", 20)
    assert previewed(shop, main, month=10, now=NOVEMBER) == 0
    october = shop.issued(main)
    assert (october.total_minor, october.phase) == (0, "Paid")
    assert charged(shop, october) == [
        ("crew", "Recurring", -BACK_MINOR),
        ("crew", "Adjustment", BACK_MINOR - 2_000),
        ("squad", "Usage", 2_000),
    ]
    assert notes(shop) == [(september.number, BACK_MINOR - 2_000)]
    assert booked(shop, squad) == 2_000
    assert_books_right(shop)
    # and it is done: nothing of it comes again
    shop.spend(crew, "2026-11-05", 5)
    assert charged(shop, shop.issued(main, month=11, now=DECEMBER)) == [("crew", "Usage", 500)]
    assert_books_right(shop)


def test_two_sections_that_give_back_of_one_invoice_take_no_more_than_is_left_of_it(shop: Ground) -> None:
    """October comes to 23.00 because main gave back in it; crew and squad turn out to have used nothing."""
    support(shop, "main")
    main, crew, squad = (shop.account(name) for name in ("main", "crew", "squad"))
    shop.issued(main, month=9, now=OCTOBER)
    end(shop, "support", "2026-10-16", endsAt="2026-10-16")
    for one in (crew, squad):
        shop.spend(one, "2026-10-05", 50)
    october = shop.issued(main)
    assert october.total_minor == 10_000 - BACK_MINOR
    for one in (crew, squad):
        spend_late(shop, one, "2026-10-05", -50)
    shop.spend(main, "2026-11-05", 10)
    november = shop.issued(main, month=11, now=DECEMBER)
    assert charged(shop, november) == [("", "Usage", 1_000)]
    assert notes(shop) == [(october.number, 2_300)]
    assert_books_right(shop)


def test_a_month_below_zero_of_an_account_that_left_a_void_invoice_is_issued(shop: Ground) -> None:
    """Its days are on an invoice of its own since; that nothing replaced the void one is nothing to wait for."""
    support(shop, "squad")
    main = shop.account("main")
    september = shop.issued(main, month=9, now=OCTOBER)
    void(shop, september, now=OCTOBER)
    change(shop, "squad", billingMode="Self")
    squad = shop.account("squad")
    own = shop.issued(squad, month=9, now=OCTOBER)
    assert (own.kind, own.total_minor, own.replaces) == ("Periodic", YEAR_MINOR, None)
    assert shop.issue(main, month=9, now=OCTOBER) == Skipped("nothing to charge")
    end(shop, "support", "2026-10-16", endsAt="2026-10-16")
    october = shop.issued(squad)
    assert (october.total_minor, notes(shop)[1:]) == (0, [(own.number, BACK_MINOR)])
    assert_books_right(shop)


# ------------------------------------------------------------------------------------- promises and discounts


def test_prepaid_money_of_a_sub_account_pays_for_its_section_alone(shop: Ground) -> None:
    shop.promise("prepaid", "crew", prepayment={"amount": "100"}, termMonths=4)
    main, crew, squad = (shop.account(name) for name in ("main", "crew", "squad"))
    for day in ("2026-10-05", "2026-11-05"):
        shop.spend(crew, day, 30)
        shop.spend(squad, day, 20)
    assert charged(shop, shop.issued(main)) == [
        ("crew", "Usage", 3_000),
        ("crew", "Prepayment", 10_000),
        ("crew", "DrawDown", -3_000),
        ("squad", "Usage", 2_000),
    ]
    november = shop.issued(main, month=11, now=DECEMBER)
    assert (charged(shop, november), november.total_minor) == (
        [("crew", "Usage", 3_000), ("crew", "DrawDown", -3_000), ("squad", "Usage", 2_000)],
        2_000,
    )
    ((deferred,),) = shop.read(
        "select -sum(e.amount_minor)::int from ledger.entries e join ledger.transactions t on t.id = e.transaction "
        "where e.account = 'Liabilities:DeferredRevenue:Prepayment' and t.billing_account = %s",
        crew.number,
    )
    assert deferred == 10_000 - 6_000
    assert_books_right(shop)


def test_prepaid_money_of_a_sub_account_that_its_tax_takes_below_zero_is_drawn_less(
    bare_ground: Ground,
) -> None:
    declare_issuer(bare_ground, IRISH)
    declare_rate(bare_ground)
    declare_rate(bare_ground, "books", taxCategory="books", percent="0")
    shop = stocked(bare_ground, **CONSUMER)
    books = {"chargeType": "Usage", "meter": {"meterName": "example.com/bytes"}, "pricingUnit": "By"}
    shop.declare("skus", "books", {**books, "taxCategory": "books"})
    version = {"bookName": "list-usd", "effectiveFrom": "2026-03-01", "currencyCode": "USD"}
    price = {"skuRef": {"name": "books"}, "model": "PerUnit", "unitPrice": "1"}
    shop.declare("pricebooks", "with-books", {**version, "phase": "Published", "prices": [price]})
    shop.promise("prepaid", "crew", prepayment={"amount": "80"}, termMonths=4)
    main, crew = shop.account("main"), shop.account("crew")
    october = shop.issued(main)
    assert (october.total_minor, october.tax_minor) == (9_840, 1_840)
    shop.use(crew, ("2026-11-05", "web", "bytes", 30))
    november = shop.issued(main, month=11, now=DECEMBER)
    # as it is where the account pays for itself (test_mixed_invoices)
    assert [one for one in charged(shop, november) if one[2]] == [
        ("crew", "Usage", 3_000),
        ("crew", "DrawDown", -3_000),
        ("crew", "Adjustment", 561),
    ]
    assert (november.total_minor, notes(shop)) == (0, [(october.number, 561)])
    assert_books_right(shop)


def test_discounts_on_the_whole_invoice_of_a_sub_account_stand_at_the_lines_of_its_section(
    shop: Ground,
) -> None:
    shop.discount("half", "squad", scope="Invoice", percentage="50")
    shop.discount("three-off", "crew", scope="Invoice", amount="3", currencyCode="USD", uses=1)
    main, crew, squad = (shop.account(name) for name in ("main", "crew", "squad"))
    for one, dollars in ((main, 10), (crew, 20), (squad, 30)):
        shop.spend(one, "2026-10-05", dollars)
        shop.use(one, ("2026-10-05", "web", "requests", 100))
    invoice = shop.issued(main)
    assert [(one.account, one.amount_minor, one.net_minor) for one in lines_of(shop, invoice)] == [
        ("", 1_000, 1_000),
        ("", 1_000, 1_000),
        ("crew", 1_000, 900),
        ("crew", 2_000, 1_800),
        ("squad", 1_000, 500),
        ("squad", 3_000, 1_500),
    ]
    assert (invoice.subtotal_minor, invoice.discounts_minor, invoice.total_minor) == (9_000, -2_300, 6_700)
    assert shop.read(
        "select line, name, amount_minor from invoicing.line_discounts where invoice = %s order by line",
        invoice.uid,
    ) == [
        (3, "three-off", -100),
        (4, "three-off", -200),
        (5, "half", -500),
        (6, "half", -1_500),
    ]
    # what comes late of one section has its discount again, and no other's
    spend_late(shop, squad, "2026-10-06", 8)
    november = shop.issued(main, month=11, now=DECEMBER)
    assert [(one.account, one.net_minor) for one in lines_of(shop, november)] == [("squad", 400)]
    assert_books_right(shop)


# --------------------------------------------------------------------------------------- documents, and the end


@pytest.fixture(scope="module")
def checker() -> Iterator[RuleChecker]:
    found = RuleChecker()
    yield found
    found.close()


def used(shop: Ground) -> Invoice:
    for name, dollars in (("main", 10), ("crew", 20), ("squad", 30)):
        shop.spend(shop.account(name), "2026-10-05", dollars)
    return shop.issued(shop.account("main"))


def test_the_details_of_the_invoice_name_who_used_and_sum_to_each_line(shop: Ground) -> None:
    invoice = used(shop)
    rows = told(shop, invoice)
    assert_sums(shop, invoice, rows)
    assert [(row["account"], row["line"], row["day"], row["amount"]) for row in rows] == [
        (f"{ACME}/main", "1", "2026-10-05", "10.00"),
        (f"{ACME}/crew", "2", "2026-10-05", "20.00"),
        (f"{ACME}/squad", "3", "2026-10-05", "30.00"),
    ]


def test_a_credit_note_over_several_accounts_is_printed_and_an_electronic_one(
    bare_ground: Ground, checker: RuleChecker
) -> None:
    declare_issuer(bare_ground, IRISH)
    declare_rate(bare_ground)
    shop = stocked(bare_ground, **CONSUMER)
    invoice = used(shop)
    credit(shop, invoice, "lines", lines=[{"line": 2, "amount": "5"}, {"line": 3, "amount": "7"}])
    credit(shop, invoice, "amount", amount="3.33")
    credit(shop, invoice, "rest")
    assert_right(shop, checker, "lines", "amount", "rest")
    for name in ("lines", "rest"):
        text = "\n".join(read_pages(printed(shop, name).content))
        assert invoice.number in text
        assert "5.00" in text or name == "rest", text
    assert [booked(shop, shop.account(name)) for name in ("main", "crew", "squad")] == [0, 0, 0]
    assert_books_right(shop)


def test_where_a_sub_account_left_a_void_invoice_each_is_invoiced_for_its_own_days(shop: Ground) -> None:
    invoice = used(shop)
    void(shop, invoice, now=NOVEMBER)
    change(shop, "squad", billingMode="Self")
    main, squad = shop.account("main"), shop.account("squad")
    own = shop.issued(squad)
    again = shop.issued(main)
    assert (own.kind, own.total_minor, own.replaces) == ("Periodic", 3_000, None)
    assert (again.total_minor, again.replaces) == (3_000, invoice.uid)
    # late usage is charged to each as for any other invoice
    spend_late(shop, squad, "2026-10-06", 4)
    spend_late(shop, shop.account("crew"), "2026-10-06", 5)
    assert charged(shop, shop.issued(squad, month=11, now=DECEMBER)) == [("", "Adjustment", 400)]
    assert charged(shop, shop.issued(main, month=11, now=DECEMBER)) == [("crew", "Adjustment", 500)]
    assert [booked(shop, shop.account(name)) for name in ("main", "crew", "squad")] == [1_000, 2_500, 3_400]
    for payer in (main, squad):
        assert not isinstance(shop.issue(payer, month=12, now=JANUARY), Issued)
    assert_books_right(shop)
