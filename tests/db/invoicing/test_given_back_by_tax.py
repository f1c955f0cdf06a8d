"""What is given back of invoices of several taxes: no more of any tax than is left of it, and the rest elsewhere."""

from datetime import UTC, datetime

import pytest

from milo_billing.accounts.types import Account
from milo_billing.invoicing.reads.invoices import get_invoice
from milo_billing.invoicing.types.invoices import Invoice, Skipped
from milo_billing.kernel.errors import Invalid
from tests.db.invoicing.ground import ACME, PRICES, Ground
from tests.db.invoicing.late_ground import adjust, amounts, charged_minor, credit, spend_late, use_late
from tests.db.invoicing.recurring_ground import SUPPORT, change, issued, open_shop, take
from tests.db.invoicing.test_below_zero import BACK_MINOR, YEAR_MINOR
from tests.db.invoicing.test_credit_grants import assert_books
from tests.db.invoicing.test_taxed_invoices import CONSUMER, IRISH, declare_issuer, declare_rate

DECEMBER = datetime(2026, 12, 1, 6, tzinfo=UTC)


@pytest.fixture
def shop(bare_ground: Ground) -> Ground:
    """Of an issuer who takes 23 % of support and tokens, and 9 % of what is stored, a dollar a byte."""
    declare_issuer(bare_ground, IRISH)
    declare_rate(bare_ground)
    declare_rate(bare_ground, "low", percent="9", taxCategory="reduced")
    shop = open_shop(bare_ground)
    stored = {"chargeType": "Usage", "meter": {"meterName": "example.com/bytes"}, "pricingUnit": "By"}
    shop.declare("skus", "vault", {**stored, "taxCategory": "reduced"})
    prices = [*PRICES, SUPPORT, {"skuRef": {"name": "vault"}, "model": "PerUnit", "unitPrice": "1"}]
    version = {"bookName": "list-usd", "effectiveFrom": "2026-03-01", "currencyCode": "USD"}
    shop.declare("pricebooks", "with-storage", {**version, "phase": "Published", "prices": prices})
    return shop


def october_of(shop: Ground, account: Account, *, seats: int = 1, tokens: int, stored: int = 0) -> Invoice:
    """A year of support was charged in September; one of it ends in October, whose invoice has 77.00 below zero."""
    ended = {"endsAt": "2026-10-16"} if seats == 1 else {"quantity": seats - 1}
    change(shop, "support", "2026-10-16", **ended)
    shop.spend(account, "2026-10-05", tokens)
    if stored:
        shop.use(account, ("2026-10-05", "web", "bytes", stored))
    return issued(shop, account, 10)


def october(shop: Ground, *, seats: int = 1) -> tuple[Account, Invoice]:
    """With 50.00 of tokens against these 77.00 at 23 %, and 200.00 at 9 %."""
    account = shop.declare_account(**CONSUMER)
    take(shop, "support", "2026-09-01", quantity=seats)
    issued(shop, account, 9)
    return account, october_of(shop, account, seats=seats, tokens=50, stored=200)


def credited(shop: Ground) -> list[tuple[str, int, int]]:
    """(number of the invoice, net, tax) of every credit note, by invoice."""
    return shop.read(
        "select i.number, c.net_minor, c.tax_minor from invoicing.credit_notes c "
        "join invoicing.invoices i on i.uid = c.invoice order by i.number, c.sequence"
    )


def test_usage_that_is_voided_beyond_what_its_tax_has_left_is_given_back_of_an_earlier_invoice_of_that_tax(
    shop: Ground,
) -> None:
    """50.00 of tokens, of whose tax group -27.00 is left: they were charged with 23 %, and come back with it."""
    account, invoice = october(shop)
    assert [(group.basis_minor, group.tax_minor) for group in invoice.taxes] == [
        (-2_700, -621),
        (20_000, 1_800),
    ]
    spend_late(shop, account, "2026-10-05", -50)
    assert isinstance(shop.issue(account, month=11, now=DECEMBER), Skipped)
    assert credited(shop) == [("KC-2026-000001", 5_000, 1_150)]
    assert charged_minor(shop, account) == YEAR_MINOR + 17_300 - 5_000
    assert adjust(shop, invoice, now=DECEMBER).notes == ()
    assert_books(shop)


def test_where_no_invoice_has_any_left_of_its_tax_it_is_given_back_of_what_is_taxed_otherwise(
    shop: Ground,
) -> None:
    """It once kept the month from being issued."""
    account, invoice = october(shop)
    september = shop.reading(lambda tx: get_invoice(tx, namespace=ACME, name="kc-2026-000001"))
    credit(shop, september, "100.00")
    spend_late(shop, account, "2026-10-05", -50)
    assert isinstance(shop.issue(account, month=11, now=DECEMBER), Skipped)
    assert credited(shop)[1:] == [(september.number, 2_200, 506), (invoice.number, 2_800, 252)]
    assert_books(shop)


@pytest.mark.parametrize("alone", [True, False])
def test_usage_that_was_of_what_is_taxed_less_comes_back_with_its_tax_and_is_charged_with_the_other(
    shop: Ground, alone: bool
) -> None:
    """It once could not be issued: 105.00 and 9 % of it are less than 100.00 and 23 % of it."""
    account = shop.declare_account(**CONSUMER)
    shop.spend(account, "2026-10-05", 100)
    first = issued(shop, account, 10)
    spend_late(shop, account, "2026-10-05", -100)
    use_late(shop, account, "2026-10-05", 105, meter="bytes")
    second = adjust(shop, first, now=DECEMBER).invoice if alone else issued(shop, account, 11)
    assert second is not None
    assert (second.kind, second.total_minor, second.tax_minor) == ("Adjustment", 11_445, 945)
    assert sorted(amounts(shop, second)) == [
        ("Adjustment", "tokens", -10_000),
        ("Adjustment", "tokens", 10_000),
        ("Adjustment", "vault", 10_500),
    ]
    assert credited(shop) == [(first.number, 10_000, 2_300)]
    assert shop.read("select reason from invoicing.credit_notes") == [
        (f"Less was used than invoice {first.number} charged for: usage was corrected since.",)
    ]
    assert charged_minor(shop, account) == 10_500
    assert adjust(shop, first, now=DECEMBER).notes == ()
    # and back again, of the invoice that charged it
    use_late(shop, account, "2026-10-05", -105, meter="bytes")
    assert isinstance(shop.issue(account, month=12, now=DECEMBER.replace(year=2027)), Skipped)
    assert credited(shop)[1:] == [(second.number, 10_500, 945)]
    assert_books(shop)


def test_prepaid_money_that_pays_late_for_what_is_taxed_less_comes_back_of_the_same_months_invoice(
    shop: Ground,
) -> None:
    """30.00 that were taxed with 23 % pay for 30.00 at 9 %: adjusted alone, it once was refused."""
    account = shop.declare_account(**CONSUMER)
    shop.promise(prepayment={"amount": "80"}, termMonths=4)
    first = issued(shop, account, 10)
    use_late(shop, account, "2026-10-05", 30, meter="bytes")
    second = adjust(shop, first, now=DECEMBER).invoice
    assert second is not None
    assert (second.kind, second.total_minor) == ("Adjustment", 1)
    assert [number for number, _, _ in credited(shop)] == [first.number]
    assert_books(shop)


def test_no_more_comes_back_than_the_invoice_came_to_with_its_tax_and_the_rest_of_an_earlier_one(
    shop: Ground,
) -> None:
    """It once kept the month from being issued: of 184.79 were 173.00 before tax, which with 9 % are 188.57."""
    account, invoice = october(shop)
    assert (invoice.subtotal_minor, invoice.total_minor) == (17_300, 18_479)
    use_late(shop, account, "2026-10-05", -200, meter="bytes")
    assert isinstance(shop.issue(account, month=11, now=DECEMBER), Skipped)
    assert credited(shop) == [("KC-2026-000001", 3_047, 701), (invoice.number, 16_953, 1_526)]
    assert invoice.total_minor == 16_953 + 1_526
    assert charged_minor(shop, account) == YEAR_MINOR + 17_300 - 20_000
    assert_books(shop)


def test_a_month_that_gives_back_passes_over_a_tax_of_which_nothing_is_left(shop: Ground) -> None:
    """It once could not be issued: tokens come first on October's invoice, whose group is below zero."""
    account, invoice = october(shop, seats=2)
    september = shop.reading(lambda tx: get_invoice(tx, namespace=ACME, name="kc-2026-000001"))
    credit(shop, september, "244.00")
    change(shop, "support", "2026-11-16", endsAt="2026-11-16")
    november = issued(shop, account, 11)
    assert amounts(shop, november) == [("Recurring", "support", -4_600), ("Adjustment", "support", 4_600)]
    assert november.total_minor == 0
    assert credited(shop) == [(september.number, 24_400, 5_612), (invoice.number, 4_600, 414)]
    assert_books(shop)


def test_what_two_months_came_to_less_shares_what_is_left_of_the_invoice_that_charged_both(
    shop: Ground,
) -> None:
    """It once kept the month from being issued: each took the 13.00 that were left of October's invoice."""
    account = shop.declare_account(**CONSUMER)
    take(shop, "support", "2026-09-01")
    issued(shop, account, 9)
    spend_late(shop, account, "2026-09-10", 30)
    invoice = october_of(shop, account, tokens=60)
    assert (invoice.subtotal_minor, len(invoice.taxes)) == (1_300, 1)
    spend_late(shop, account, "2026-09-10", -30)
    spend_late(shop, account, "2026-10-05", -60)
    assert isinstance(shop.issue(account, month=11, now=DECEMBER), Skipped)
    assert sum(net for _, net, _ in credited(shop)) == 9_000
    assert [net for number, net, _ in credited(shop) if number == invoice.number] == [1_300]
    assert charged_minor(shop, account) == YEAR_MINOR - BACK_MINOR
    assert_books(shop)


def test_a_credit_note_over_a_line_is_refused_with_the_reason_where_it_is_more_than_the_invoice_has_left(
    shop: Ground,
) -> None:
    """200.00 with 9 % are 218.00, and 184.79 were charged."""
    _, invoice = october(shop)
    spec = {"invoiceRef": {"name": invoice.name}, "lines": [{"line": 3}], "reason": "an outage"}
    with pytest.raises(Invalid, match=r"218\.00 USD .* 184\.79 USD is left"):
        shop.declare("creditnotes", "outage", spec, namespace=ACME, now=DECEMBER)
    assert credited(shop) == []
