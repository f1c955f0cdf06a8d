"""Invoices with tax: what is declared decides, what was issued stays, and the books owe it to its place."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from milo_billing.accounts.types import Account
from milo_billing.app.projections import compare_projections
from milo_billing.invoicing.operations import previewing
from milo_billing.invoicing.reads import documents as document_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.rules.representations import line_body
from milo_billing.invoicing.store import declared_rows
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.errors import Invalid
from milo_billing.kernel.money import Money
from milo_billing.kernel.taxes import TaxGroup, TaxTreatment, VatCheck
from milo_billing.ledger import reads as ledger
from tests.db.invoicing.ground import ACCOUNT, ACME, DECLARED, ISSUER, NOVEMBER, Ground
from tests.db.invoicing.test_other_books import bring_rates

TOKENS = ("2026-10-05", "web", "tokens", 10_000_000)  # 25.00
REQUESTS = ("2026-10-05", "web", "requests", 105)  # 10.50
IRISH = {"country": "IE"}
ELSEWHERE = {"country": "IE", "line1": "1 Quay", "city": "Cork", "postalCode": "T12"}
CONSUMER: dict[str, Any] = {"contactInfo": {**ACCOUNT["contactInfo"], "address": ELSEWHERE}, "taxIds": None}


def declare_rate(ground: Ground, name: str = "ie", **spec: Any) -> None:
    ground.declare("taxrates", name, {"country": "IE", "percent": "23", "startsOn": "2021-03-01", **spec})


def declare_issuer(ground: Ground, *registrations: dict[str, Any], **spec: Any) -> None:
    ground.declare("issuerprofiles", "taxed", {**ISSUER, "taxRegistrations": [*registrations], **spec})


def confirm(
    ground: Ground, account: Account, number: str, *, valid: bool = True, at: datetime = DECLARED
) -> None:
    def note(work: Any) -> None:
        sealed = ground.office.vault.seal(work.tx, subject=account.uid, value=number, at=at)
        check = VatCheck(sealed, valid, at, "VIES", "WAPIAAAA1")
        declared_rows.insert_vat_check(
            work.tx, account=account.number, owner_org=account.owner_org, check=check
        )

    ground.write(note)


def lines_of(ground: Ground, invoice: Invoice) -> list[list[dict[str, Any]]]:
    lines = ground.reading(lambda tx: line_reads.list_lines(tx, invoice=invoice.uid, limit=9))
    return [line_body(one, currency="USD", taxes=invoice.taxes)["taxes"] for one in lines]


def credited(ground: Ground) -> dict[str, int]:
    rows = ground.reading(lambda tx: ledger.trial_balance(tx))
    return {str(row.account): -row.balance.minor for row in rows}


def test_an_invoice_at_home_is_taxed_once_for_all_lines_of_a_rate(bare_ground: Ground) -> None:
    declare_issuer(bare_ground, IRISH)
    declare_rate(bare_ground)
    account = bare_ground.declare_account(**CONSUMER)
    bare_ground.use(account, TOKENS, REQUESTS)
    invoice = bare_ground.issued(account)
    # 35.50 at 23 % is 8.165
    vat = TaxTreatment("S", Decimal(23), "VAT", "IE")
    assert invoice.taxes == (TaxGroup(vat, 3550, 817),)
    assert (invoice.subtotal_minor, invoice.tax_minor, invoice.total) == (3550, 817, Money(4367, "USD"))
    again = bare_ground.reading(lambda tx: invoice_reads.get_invoice(tx, namespace=ACME, name=invoice.name))
    assert again == invoice
    assert (
        lines_of(bare_ground, invoice) == [[{"tax": 1, "category": "S", "name": "VAT", "percent": "23"}]] * 2
    )
    books = credited(bare_ground)
    assert books["Liabilities:TaxPayable:IE"] == 817
    assert books["Assets:Receivable"] == -4367
    assert sum(books.values()) == 0
    assert bare_ground.reading(lambda tx: compare_projections(tx, bare_ground.engine.registry)) == ()


def test_the_invoice_object_tells_every_tax(bare_ground: Ground) -> None:
    declare_issuer(bare_ground, IRISH)
    declare_rate(bare_ground)
    account = bare_ground.declare_account(**CONSUMER)
    bare_ground.use(account, TOKENS)
    bare_ground.issued(account)
    ((status,),) = bare_ground.read("select status from controlplane.objects where resource = 'invoices'")
    assert status["tax"] == [
        {
            "tax": 1,
            "category": "S",
            "name": "VAT",
            "place": "IE",
            "percent": "23",
            "basis": "25.00",
            "amount": "5.75",
            "reason": "",
            "reasonCode": "",
        }
    ]
    assert (status["subtotal"], status["taxTotal"], status["total"]) == ("25.00", "5.75", "30.75")
    assert status["amountDue"] == "30.75"


def test_an_issuer_that_is_registered_nowhere_is_out_of_scope(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    invoice = ground.issued(account)
    assert [(one.treatment.code, one.basis_minor, one.tax_minor) for one in invoice.taxes] == [("O", 2500, 0)]
    assert invoice.total == Money(2500, "USD")
    assert not any("Tax" in name for name in credited(ground))


def test_a_business_elsewhere_in_the_union_owes_the_tax_itself_once_its_number_is_confirmed(
    bare_ground: Ground,
) -> None:
    declare_issuer(bare_ground, IRISH)
    declare_rate(bare_ground)
    account = bare_ground.declare_account()  # in France, with a French number
    bare_ground.use(account, TOKENS)

    def codes() -> list[tuple[str, int]]:
        preview = bare_ground.reading(
            lambda tx: previewing.preview(
                tx, office=bare_ground.office, account=account, month=(2026, 10), now=NOVEMBER
            )
        )
        return [(one.treatment.code, one.tax_minor) for one in preview.draft.taxes]

    assert codes() == [("S", 575)]  # nobody has asked the register
    confirm(bare_ground, account, "FR99999999999")
    assert codes() == [("S", 575)]  # it answered about another number
    confirm(bare_ground, account, "FR40303265045", at=datetime(2026, 9, 2, tzinfo=UTC))
    invoice = bare_ground.issued(account)
    (group,) = invoice.taxes
    assert (group.treatment.code, group.treatment.reason_code) == ("AE", "VATEX-EU-AE")
    assert invoice.total == Money(2500, "USD")
    confirm(bare_ground, account, "FR40303265045", at=datetime(2026, 11, 3, tzinfo=UTC), valid=False)
    bare_ground.use(account, ("2026-11-05", "web", "tokens", 10_000_000))
    later = bare_ground.issued(account, month=11, now=datetime(2026, 12, 1, 12, tzinfo=UTC))
    assert [one.treatment.code for one in later.taxes] == ["S"]


def test_without_a_rate_nothing_is_issued_and_a_preview_says_why(bare_ground: Ground) -> None:
    declare_issuer(bare_ground, IRISH)
    account = bare_ground.declare_account(**CONSUMER)
    bare_ground.use(account, TOKENS)
    with pytest.raises(UnableToIssue, match='no tax rate of IE for tax category "standard" on 2026-11-02'):
        bare_ground.issue(account)
    preview = bare_ground.reading(
        lambda tx: previewing.preview(
            tx, office=bare_ground.office, account=account, month=(2026, 10), now=NOVEMBER
        )
    )
    assert preview.untaxed is not None
    assert (preview.draft.taxes, preview.draft.total) == ((), Money(2500, "USD"))


def test_the_rate_is_the_one_of_the_issue_date_in_the_issuers_zone(bare_ground: Ground) -> None:
    declare_issuer(bare_ground, IRISH, timeZone="America/New_York")
    declare_rate(bare_ground, endsOn="2026-12-01")
    declare_rate(bare_ground, "ie-next", percent="21", startsOn="2026-12-01")
    account = bare_ground.declare_account(**CONSUMER)
    bare_ground.use(account, ("2026-11-05", "web", "tokens", 10_000_000))
    # it is December in Europe, and still November where the invoice is issued
    invoice = bare_ground.issued(account, month=11, now=datetime(2026, 12, 1, 3, tzinfo=UTC))
    assert invoice.issued_on == date(2026, 11, 30)
    assert [one.treatment.percent for one in invoice.taxes] == [Decimal(23)]


def test_two_rates_of_one_tax_never_hold_on_one_day(bare_ground: Ground) -> None:
    declare_rate(bare_ground)
    with pytest.raises(Invalid, match='"ie" is VAT of IE for "standard" on some of these days'):
        declare_rate(bare_ground, "ie-2", startsOn="2026-01-01")
    declare_rate(bare_ground, "ie-books", taxCategory="books", percent="0")
    declare_rate(bare_ground, "ie-before", startsOn="2020-09-01", endsOn="2021-03-01", percent="21")
    assert bare_ground.reading(lambda tx: compare_projections(tx, bare_ground.engine.registry)) == ()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"percent": "100.5"}, "spec.percent"),
        ({"percent": "5", "reason": "Education"}, "spec.reason"),
        ({"percent": "0", "reasonCode": "VATEX-EU-132"}, "spec.reasonCode"),
        ({"startsOn": "2026-02-30"}, "spec.startsOn"),
        ({"endsOn": "2021-03-01"}, "spec.endsOn"),
    ],
)
def test_a_rate_that_cannot_be_taken_is_refused(
    bare_ground: Ground, spec: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        declare_rate(bare_ground, **spec)
    assert [error.field for error in refused.value.errors] == [field]


def test_a_certificate_makes_the_invoice_exempt_and_is_printed(bare_ground: Ground) -> None:
    declare_issuer(bare_ground, IRISH)
    declare_rate(bare_ground)
    exemption = {"country": "IE", "certificate": "IE-56A-1", "reason": "Section 56", "since": "2026-01-01"}
    account = bare_ground.declare_account(**CONSUMER, taxExemptions=[exemption])
    bare_ground.use(account, TOKENS)
    (group,) = bare_ground.issued(account).taxes
    assert (group.treatment.code, group.tax_minor) == ("E", 0)
    assert group.treatment.reason == "Section 56, certificate IE-56A-1"
    stored = bare_ground.read(
        "select spec::text from controlplane.objects where resource = 'billingaccounts'"
    )
    assert "IE-56A-1" not in stored[0][0]


def test_the_tax_is_kept_in_the_currency_of_the_issuers_books_too(bare_ground: Ground) -> None:
    declare_issuer(bare_ground, IRISH, accountingCurrency="EUR")
    declare_rate(bare_ground)
    account = bare_ground.declare_account(**CONSUMER)
    bare_ground.use(account, TOKENS)
    with pytest.raises(UnableToIssue, match=r"accountingCurrency of issuer taxed.*rates import FILE"):
        bare_ground.issue(account)
    bring_rates(bare_ground)
    invoice = bare_ground.issued(account)
    document = bare_ground.reading(
        lambda tx: document_reads.load_document(tx, bare_ground.office.vault, invoice=invoice, lines=())
    )
    # 5.75 USD at 2 a euro, the rate of the issue date: 2.875
    found = document.accounting_tax
    assert found is not None
    assert (found.currency, found.tax_minor, str(found.rate), found.day) == (
        "EUR",
        288,
        "0.5",
        date(2026, 11, 2),
    )
