"""The electronic invoice of what came late, or in the place of a void one, names the earlier ones (BT-25, BT-26)."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from milo_billing.accounts.types import Account
from milo_billing.adapters.einvoices.checking import RuleChecker
from milo_billing.invoicing.operations import papers
from milo_billing.invoicing.types.invoices import Invoice
from tests.db.invoicing.ground import NOVEMBER, Ground
from tests.db.invoicing.late_ground import DECEMBER, JANUARY, spend_late, void
from tests.db.invoicing.test_einvoices import WRITER, read
from tests.db.invoicing.test_taxed_invoices import CONSUMER, IRISH, declare_issuer, declare_rate

NAMED = {
    "ubl": rb"<cac:InvoiceDocumentReference><cbc:ID>([^<]*)</cbc:ID><cbc:IssueDate>([0-9-]*)</cbc:IssueDate>",
    "cii": rb"<ram:InvoiceReferencedDocument><ram:IssuerAssignedID>([^<]*)</ram:IssuerAssignedID>"
    rb"<ram:FormattedIssueDateTime><qdt:DateTimeString format=\"102\">([0-9]*)</qdt:DateTimeString>",
}


@pytest.fixture(scope="module")
def checker() -> Iterator[RuleChecker]:
    found = RuleChecker()
    yield found
    found.close()


@pytest.fixture
def account(bare_ground: Ground) -> Account:
    """A consumer in Ireland, where 23 % are taken."""
    declare_issuer(bare_ground, IRISH, eInvoice="FacturX")
    declare_rate(bare_ground)
    return bare_ground.declare_account(**CONSUMER)


def assert_names(ground: Ground, checker: RuleChecker, invoice: Invoice, *adjusted: Invoice) -> None:
    """No rule says anything against it in either syntax, and both name these invoices."""
    vault = ground.office.vault
    found = ground.reading(
        lambda tx: papers.check_documents(tx, vault, WRITER, checker, invoice=invoice, now=NOVEMBER)
    )
    assert found == {"ubl": (), "cii": ()}
    ubl: Any = [
        (number.decode(), day.decode().replace("-", ""))
        for number, day in re.findall(NAMED["ubl"], re.sub(rb">\s+<", b"><", read(ground, invoice, "ubl")))
    ]
    cii: Any = [
        (number.decode(), day.decode())
        for number, day in re.findall(NAMED["cii"], re.sub(rb">\s+<", b"><", read(ground, invoice, "cii")))
    ]
    assert ubl == cii == [(one.number, f"{one.issued_on:%Y%m%d}") for one in adjusted]


def test_a_month_names_what_its_adjustment_lines_are_of(
    bare_ground: Ground, account: Account, checker: RuleChecker
) -> None:
    bare_ground.spend(account, "2026-10-05", 100)
    october = bare_ground.issued(account)
    assert_names(bare_ground, checker, october)
    spend_late(bare_ground, account, "2026-10-30", 20)
    bare_ground.spend(account, "2026-11-05", 50)
    november = bare_ground.issued(account, month=11, now=DECEMBER)
    assert (november.kind, november.total_minor) == ("Periodic", 8_610)
    assert_names(bare_ground, checker, november, october)


def test_an_adjustment_invoice_names_each_invoice_once_the_oldest_first(
    bare_ground: Ground, account: Account, checker: RuleChecker
) -> None:
    bare_ground.use(account, ("2026-10-05", "web", "tokens", 4_000_000), ("2026-10-06", "web", "requests", 5))
    october = bare_ground.issued(account)
    bare_ground.spend(account, "2026-11-05", 50)
    november = bare_ground.issued(account, month=11, now=DECEMBER)
    for day in ("2026-11-20", "2026-10-30"):
        spend_late(bare_ground, account, day, 20)
    late = bare_ground.issued(account, month=12, now=JANUARY)
    assert late.kind == "Adjustment"
    assert_names(bare_ground, checker, late, october, november)


def test_an_invoice_in_the_place_of_a_void_one_names_it_and_the_next_month_does_not(
    bare_ground: Ground, account: Account, checker: RuleChecker
) -> None:
    bare_ground.spend(account, "2026-10-05", 100)
    october = bare_ground.issued(account)
    void(bare_ground, october, now=NOVEMBER)
    again = bare_ground.issued(account)
    assert (again.replaces, again.total_minor) == (october.uid, october.total_minor)
    assert_names(bare_ground, checker, again, october)
    void(bare_ground, again, now=NOVEMBER)
    third = bare_ground.issued(account)
    assert_names(bare_ground, checker, third, again)
    bare_ground.spend(account, "2026-11-05", 50)
    assert_names(bare_ground, checker, bare_ground.issued(account, month=11, now=DECEMBER))
