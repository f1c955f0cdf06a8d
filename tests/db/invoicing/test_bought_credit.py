"""Prepaid credit that is taxed when it is bought: its invoice, what it pays without tax, what comes back with tax."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from milo_billing.accounts.types import Account
from milo_billing.adapters.einvoices.checking import RuleChecker
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.app.projections import compare_projections
from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.operations import granting, papers
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.errors import Invalid
from tests.db.invoicing.ground import DECLARED, NOVEMBER, Ground
from tests.db.invoicing.paying import as_it_stands
from tests.db.invoicing.test_credit_grants import (
    PREPAID,
    RECEIVABLE,
    act,
    assert_books,
    balances,
    credit,
    grant,
    issued,
    moved,
    previewed,
    status,
)
from tests.db.invoicing.test_credit_note_documents import printed
from tests.db.invoicing.test_taxed_invoices import CONSUMER, IRISH, declare_issuer, declare_rate
from tests.unit.invoicing.pdf import read_pages

BANK, VAT, KEPT = "Assets:Cash:Bank", "Liabilities:TaxPayable:IE", "Liabilities:MoneyOnAccount"
USED, BREAKAGE = "Income:Revenue:Usage", "Income:Revenue:Breakage"
DECEMBER = datetime(2026, 12, 2, 9, 30, tzinfo=UTC)


@pytest.fixture
def account(bare_ground: Ground) -> Account:
    """A consumer in Ireland, where 23 % are taken."""
    declare_issuer(bare_ground, IRISH)
    declare_rate(bare_ground)
    return bare_ground.declare_account(**CONSUMER)


def buy(ground: Ground, name: str = "voucher", amount: str = "100.00", **spec: Any) -> UUID:
    return grant(ground, name, "Prepaid", amount, taxAt="Purchase", **spec)


def purchase(ground: Ground) -> Invoice:
    """The invoice by which the only credit was bought."""
    ((uid,),) = ground.read("select bought_by from invoicing.credit_grants where bought_by is not null")
    return ground.reading(lambda tx: invoice_reads.get_invoice_by_uid(tx, uid=uid))


def checked(ground: Ground, invoice: Invoice, checker: RuleChecker) -> object:
    """What the rules of EN 16931 say against the invoice's electronic invoices."""
    vault = ground.office.vault
    return ground.reading(
        lambda tx: papers.check_documents(tx, vault, TypstDocuments(), checker, invoice=invoice, now=NOVEMBER)
    )


def of_object(ground: Ground, resource: str, name: str) -> dict[str, Any]:
    query = "select status from controlplane.objects where resource = %s and name = %s"
    ((body,),) = ground.read(query, resource, name)
    return body


def test_credit_that_is_bought_is_invoiced_taxed_and_paid_at_once(
    bare_ground: Ground, account: Account
) -> None:
    buy(bare_ground, displayName="Cloud voucher")
    invoice = purchase(bare_ground)
    assert (invoice.kind, invoice.phase, invoice.subtotal_minor, invoice.tax_minor, invoice.total_minor) == (
        "OneTime",
        "Paid",
        10_000,
        2_300,
        12_300,
    )
    assert bare_ground.read("select kind, description, tax_category, amount_minor from invoicing.lines") == [
        ("PrepaidCredit", "Cloud voucher", "standard", 10_000)
    ]
    # what is owed to the customer is before tax; the tax is owed to Ireland from now on
    assert balances(bare_ground) == {BANK: 12_300, PREPAID: -10_000, VAT: -2_300}
    assert of_object(bare_ground, "creditgrants", "voucher")["invoiceNumber"] == invoice.number
    shown = of_object(bare_ground, "invoices", invoice.name)
    assert (shown["phase"], shown["total"], shown["amountDue"]) == ("Paid", "123.00", "0.00")
    assert_books(bare_ground)
    assert bare_ground.reading(lambda tx: compare_projections(tx, bare_ground.engine.registry)) == ()


def test_what_bought_credit_pays_for_is_not_taxed_again(bare_ground: Ground, account: Account) -> None:
    uid = buy(bare_ground, amount="60.00")
    bare_ground.spend(account, "2026-10-05", 100)
    preview = previewed(bare_ground, account).draft
    invoice = as_it_stands(bare_ground, bare_ground.issued(account))
    # 100.00 of usage, of which 60.00 were taxed when they were bought: 23 % of 40.00
    assert (invoice.subtotal_minor, invoice.discounts_minor, invoice.tax_minor, invoice.total_minor) == (
        10_000,
        -6_000,
        920,
        4_920,
    )
    assert (preview.total_minor, preview.tax_minor) == (4_920, 920)
    assert status(bare_ground, uid) == ("UsedUp", "0.00", "60.00")
    # all tax is 23 % of 100.00, all revenue 100.00, and nothing is owed to the customer any more
    assert balances(bare_ground) == {BANK: 7_380, VAT: -2_300, USED: -10_000, RECEIVABLE: 4_920}
    assert bare_ground.read("select given_by, title, amount_minor from invoicing.line_discounts") == [
        ("PrepaidCredit", f"voucher ({purchase(bare_ground).number})", -6_000)
    ]
    assert_books(bare_ground)


def test_bought_credit_pays_only_for_lines_of_the_category_that_it_was_taxed_by(
    bare_ground: Ground, account: Account
) -> None:
    declare_rate(bare_ground, "ie-reduced", taxCategory="reduced", percent="9")
    uid = buy(bare_ground, taxCategory="reduced")
    assert purchase(bare_ground).tax_minor == 900
    invoice = issued(bare_ground, account, 50)
    assert (invoice.discounts_minor, invoice.total_minor) == (0, 6_150)
    assert status(bare_ground, uid) == ("Active", "100.00", "0.00")


def test_revoked_credit_gives_back_what_is_left_with_its_tax(bare_ground: Ground, account: Account) -> None:
    uid = buy(bare_ground, amount="33.33")  # 7.67 of tax
    issued(bare_ground, account, 10)
    act(bare_ground, "creditgrants", "voucher", "revoke")
    assert status(bare_ground, uid)[:2] == ("Revoked", "0.00")
    # 23.33 and 5.37 of tax become money on account
    assert balances(bare_ground)[KEPT] == -2_870
    assert (balances(bare_ground)[VAT], balances(bare_ground).get(PREPAID)) == (-230, None)
    ((number, note),) = bare_ground.read("select number, name from invoicing.credit_notes")
    assert of_object(bare_ground, "creditnotes", note)["total"] == "28.70"
    assert of_object(bare_ground, "invoices", purchase(bare_ground).name)["phase"] == "Paid"
    assert number.startswith("CN-")
    assert_books(bare_ground)


def test_the_purchase_can_be_credited_as_far_as_the_credit_was_not_used(
    bare_ground: Ground, account: Account
) -> None:
    uid = buy(bare_ground)
    issued(bare_ground, account, 30)
    with pytest.raises(Invalid, match=r"70\.01 USD cannot be credited: of the invoice 70\.00 USD is left"):
        credit(bare_ground, purchase(bare_ground), amount="70.01")
    noted = credit(bare_ground, purchase(bare_ground), amount="20.00")
    assert (noted["total"], noted["onAccount"]) == ("24.60", "24.60")
    assert status(bare_ground, uid) == ("Active", "50.00", "30.00")
    # all that is left
    assert credit(bare_ground, purchase(bare_ground), name="rest")["net"] == "50.00"
    assert status(bare_ground, uid) == ("Revoked", "0.00", "30.00")
    assert balances(bare_ground) == {BANK: 12_300, KEPT: -8_610, VAT: -690, USED: -3_000}
    assert_books(bare_ground)


def test_what_lapses_is_earned_and_its_tax_stays_paid(bare_ground: Ground, account: Account) -> None:
    uid = buy(bare_ground, expiresAt="2026-11-30T00:00:00Z")
    issued(bare_ground, account, 30)
    assert bare_ground.write(
        lambda work: granting.expire_credit(work, bare_ground.engine, uid=uid), now=DECEMBER
    )
    assert balances(bare_ground) == {BANK: 12_300, VAT: -2_300, USED: -3_000, BREAKAGE: -7_000}
    assert_books(bare_ground)


def test_a_void_invoice_gives_bought_credit_back_and_the_next_uses_it_untaxed(
    bare_ground: Ground, account: Account
) -> None:
    uid = buy(bare_ground, amount="40.00")
    invoice = issued(bare_ground, account, 100)
    act(bare_ground, "invoices", invoice.name, "void")
    assert status(bare_ground, uid) == ("Active", "40.00", "0.00")
    assert balances(bare_ground) == {BANK: 4_920, PREPAID: -4_000, VAT: -920}
    again = bare_ground.issued(account)
    assert (again.discounts_minor, again.total_minor) == (-4_000, 7_380)
    assert_books(bare_ground)


def test_a_credit_note_gives_back_its_part_of_bought_credit(bare_ground: Ground, account: Account) -> None:
    uid = buy(bare_ground, amount="40.00")
    invoice = issued(bare_ground, account, 100)
    credit(bare_ground, invoice, amount="30.00")  # half of the 60.00 that were charged
    assert status(bare_ground, uid) == ("Active", "20.00", "20.00")
    assert moved(bare_ground, uid) == [("Granted", 4_000), ("Used", -4_000), ("GivenBack", 2_000)]
    assert_books(bare_ground)


def test_what_comes_back_after_the_end_of_the_credit_becomes_money_on_account_with_its_tax(
    bare_ground: Ground, account: Account
) -> None:
    uid = buy(bare_ground, amount="60.00", expiresAt="2026-11-30T00:00:00Z")
    invoice = issued(bare_ground, account, 40)
    assert bare_ground.write(
        lambda work: granting.expire_credit(work, bare_ground.engine, uid=uid), now=DECEMBER
    )
    act(bare_ground, "invoices", invoice.name, "void", now=DECEMBER)
    assert status(bare_ground, uid) == ("Expired", "40.00", "0.00")
    assert bare_ground.write(
        lambda work: granting.expire_credit(work, bare_ground.engine, uid=uid), now=DECEMBER
    )
    assert moved(bare_ground, uid)[2:] == [("Expired", -2_000), ("GivenBack", 4_000), ("Revoked", -4_000)]
    # 40.00 with 9.20 of tax; the 20.00 that lapsed were earned, and their tax stays paid
    assert balances(bare_ground) == {BANK: 7_380, KEPT: -4_920, VAT: -460, BREAKAGE: -2_000}
    assert_books(bare_ground)


def test_money_that_the_account_has_pays_for_the_credit_and_its_tax(
    bare_ground: Ground, account: Account
) -> None:
    grant(bare_ground, "top-up", "Prepaid", "123.00")
    act(bare_ground, "creditgrants", "top-up", "revoke", now=DECLARED)  # now it is money on account
    with pytest.raises(Invalid, match=r"124\.23 USD, with the tax that is due at purchase"):
        buy(bare_ground, amount="101.00", receivedInto="")
    buy(bare_ground, receivedInto="")
    assert balances(bare_ground) == {BANK: 12_300, PREPAID: -10_000, VAT: -2_300}
    assert purchase(bare_ground).phase == "Paid"
    assert_books(bare_ground)


def test_credit_that_nobody_can_tax_is_refused_and_nothing_is_left_of_the_attempt(
    bare_ground: Ground, account: Account
) -> None:
    with pytest.raises(Invalid, match=r"spec\.taxAt"):
        buy(bare_ground, taxCategory="books")
    with pytest.raises(Invalid, match="nobody buys Goodwill credit"):
        grant(bare_ground, "gift", "Goodwill", "10.00", taxAt="Purchase")
    with pytest.raises(Invalid, match=r"spec\.taxCategory"):
        grant(bare_ground, "plain", "Prepaid", "10.00", taxCategory="reduced")
    assert balances(bare_ground) == {}
    assert bare_ground.read("select 1 from invoicing.invoices") == []


def test_the_database_refuses_credit_that_was_taxed_without_an_invoice(
    bare_ground: Ground, account: Account
) -> None:
    buy(bare_ground)
    with (
        pytest.raises(psycopg.errors.CheckViolation),
        bare_ground.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute(
            "insert into invoicing.credit_grants select (jsonb_populate_record(g, jsonb_build_object("
            "'uid', gen_random_uuid(), 'name', 'other', 'bought_by', null, 'remaining_minor', 0))).* "
            "from invoicing.credit_grants g"
        )


def test_the_documents_of_bought_credit_and_of_what_it_pays_for_are_valid(
    bare_ground: Ground, account: Account
) -> None:
    buy(bare_ground, amount="60.00", displayName="Cloud voucher")
    drawn = issued(bare_ground, account, 100)
    checker = RuleChecker()
    for invoice in (purchase(bare_ground), drawn):
        found = checked(bare_ground, invoice, checker)
        assert found == {"ubl": (), "cii": ()}
    checker.close()
    pdf = bare_ground.reading(
        lambda tx: papers.print_invoice(
            tx, bare_ground.office.vault, TypstDocuments(), invoice=drawn, now=NOVEMBER
        )
    )
    assert "Paid from prepayment" in "\n".join(read_pages(pdf.content))


def test_the_credit_note_over_bought_credit_is_printed(bare_ground: Ground, account: Account) -> None:
    buy(bare_ground)
    credit(bare_ground, purchase(bare_ground), amount="20.00")
    text = "\n".join(read_pages(printed(bare_ground, "cn").content))
    for word in (purchase(bare_ground).number, "Prepayment", "20.00", "4.60", "24.60"):
        assert word in text, text
