"""What recurs stands on invoices: in advance as deferred revenue, what is given back below zero, each leg once."""

from datetime import UTC, date, datetime

import pytest

from milo_billing.invoicing.operations import issuing
from milo_billing.invoicing.types.invoices import Invoice, Issued
from milo_billing.kernel.periods import billing_month
from tests.db.invoicing.ground import Ground
from tests.db.invoicing.recurring_ground import change, issued, lines_of, open_shop, take


@pytest.fixture
def shop(ground: Ground) -> Ground:
    return open_shop(ground)


def shown(ground: Ground, invoice: Invoice) -> list[tuple[str, str, str, int]]:
    return [
        (str(line.sku), f"{line.first_day:%m-%d}", f"{line.end_day:%m-%d}", line.amount_minor)
        for line in lines_of(ground, invoice)
    ]


def credited(ground: Ground, invoice: Invoice) -> set[tuple[str, int, date | None, date | None]]:
    return set(
        ground.read(
            "select e.account, -e.amount_minor, e.service_from, e.service_to from ledger.entries e "
            "join ledger.transactions t on t.id = e.transaction where t.key = %s and e.account <> %s",
            f"invoice/{invoice.uid}/issue",
            "Assets:Receivable",
        )
    )


def test_charges_in_advance_are_deferred_over_their_days_and_arrears_are_earned(shop: Ground) -> None:
    account = shop.declare_account()
    take(shop, "seats", "2026-09-15")
    take(shop, "platform", "2026-09-15")
    invoice = issued(shop, account, 9)
    assert shown(shop, invoice) == [
        ("platform", "09-15", "10-01", 2_667),
        ("seats", "09-15", "10-01", 1_600),
        ("seats", "10-01", "11-01", 3_000),
    ]
    assert {line.kind for line in lines_of(shop, invoice)} == {"Recurring"}
    deferred = "Liabilities:DeferredRevenue:Recurring"
    assert credited(shop, invoice) == {
        ("Income:Revenue:Recurring", 2_667, date(2026, 9, 15), date(2026, 10, 1)),
        (deferred, 1_600, date(2026, 9, 15), date(2026, 10, 1)),
        (deferred, 3_000, date(2026, 10, 1), date(2026, 11, 1)),
    }


def test_what_is_given_back_stands_below_zero_and_is_discounted_as_it_was_charged(shop: Ground) -> None:
    account = shop.declare_account()
    shop.discount("loyal", percentage="10", scope="Invoice")
    take(shop, "seats", "2026-10-01")
    assert issued(shop, account, 9).total_minor == 3_000  # the discount begins in October
    change(shop, "seats", "2026-10-16", quantity=3)
    invoice = issued(shop, account, 10)
    assert shown(shop, invoice) == [
        ("seats", "10-16", "11-01", -1_548),
        ("seats", "10-16", "11-01", 4_645),
        ("seats", "11-01", "12-01", 9_000),
    ]
    assert (invoice.subtotal_minor, invoice.total_minor) == (12_097, 10_887)
    change(shop, "seats", "2026-11-01", quantity=2)  # after the invoice of that day
    october = [billing_month(2026, 10, zone="Etc/UTC")]
    again = datetime(2026, 11, 2, tzinfo=UTC)
    drafted = shop.reading(lambda tx: issuing.draft(tx, account=account, stretch=october, now=again))
    assert drafted.total_minor == invoice.total_minor
    assert [line[3] for line in shown(shop, issued(shop, account, 11))] == [-9_000, 6_000, 6_000]


def test_a_quarterly_invoice_has_what_fell_due_in_each_of_its_rating_periods(shop: Ground) -> None:
    account = shop.declare_account(paymentTerms={"invoiceFrequency": "Quarterly"})
    take(shop, "seats", "2026-09-10")
    assert shown(shop, issued(shop, account, 9)) == [
        ("seats", "09-10", "10-01", 2_100),
        ("seats", "10-01", "11-01", 3_000),
    ]
    change(shop, "seats", "2026-12-01", endsAt="2026-12-16")
    invoice = shop.issue(account, month=12, now=datetime(2027, 1, 1, 6, tzinfo=UTC))
    assert isinstance(invoice, Issued)
    assert shown(shop, invoice.invoice) == [
        ("seats", "11-01", "12-01", 3_000),
        ("seats", "12-01", "01-01", 3_000),
        ("seats", "12-16", "01-01", -1_548),
    ]
