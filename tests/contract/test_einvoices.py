"""Electronic invoices hold the schema and every rule of EN 16931, in both syntaxes, as the official rules say."""

import importlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest

from milo_billing.adapters.einvoices.checking import RuleChecker
from milo_billing.adapters.einvoices.elements import amount
from milo_billing.adapters.einvoices.units import CODES, COUNTS, unit_code
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.invoicing.types.documents import WrittenDocument
from milo_billing.invoicing.types.errors import NoEInvoice, UnableToCheck
from tests.contract.einvoices import TOKENS, Case, corpus, taxed, written
from tests.unit.invoicing.builders import document, line, usage_part

CASES = corpus()
UBL = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}

CII = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "qdt": "urn:un:unece:uncefact:data:standard:QualifiedDataType:100",
}


@pytest.fixture(scope="module")
def checker() -> Iterator[RuleChecker]:
    found = RuleChecker()
    yield found
    found.close()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_no_rule_says_anything_against_it(checker: RuleChecker, case: Case) -> None:
    for xml in written(case):
        assert checker.check(xml) == ()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_another_reader_finds_the_invoices_own_totals_in_both(case: Case) -> None:
    """The library's reader had no part in writing."""
    read = case.read()
    expected = {
        "BT-106": read.lines_minor,
        "BT-109": read.net_minor,
        "BT-110": read.tax_minor,
        "BT-112": read.gross_minor,
        "BT-115": read.due_minor,
    }
    for xml in written(case):
        found = _parsed(xml)
        assert found["BT-1"] == read.number
        amounts = {key: Decimal(str(found[key])) for key in expected}
        assert amounts == {key: Decimal(amount(minor, read.currency)) for key, minor in expected.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_total_is_what_the_invoice_says(case: Case) -> None:
    read = case.read()
    assert read.net_minor == case.document.subtotal_minor + sum(
        one.amount_minor for line in case.document.lines for one in line.discounts if one.scope == "Invoice"
    )
    assert read.net_minor == sum(one.base_minor for one in case.taxes)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_line_adds_up_to_the_cent(case: Case) -> None:
    """quantity × price, rounded half up, with charges and less allowances, is the net amount."""
    root = ElementTree.fromstring(written(case)[0].content)
    kind = "Credited" if case.kind == "CreditNote" else "Invoiced"
    places = Decimal(1) if case.document.currency == "JPY" else Decimal("0.01")
    found = [*root.iterfind("cac:InvoiceLine", UBL), *root.iterfind("cac:CreditNoteLine", UBL)]
    assert found
    for one in found:
        product = _number(one, f"cbc:{kind}Quantity") * _number(one, "cac:Price/cbc:PriceAmount")
        sums = sum(
            (
                _number(adjustment, "cbc:Amount")
                * (1 if adjustment.findtext("cbc:ChargeIndicator", "", UBL) == "true" else -1)
                for adjustment in one.iterfind("cac:AllowanceCharge", UBL)
            ),
            Decimal(0),
        )
        assert product.quantize(places, "ROUND_HALF_UP") + sums == _number(one, "cbc:LineExtensionAmount")


def test_the_corpus_has_every_sort_that_is_asked_for() -> None:
    """Counted, so that none is lost: each of these is validated above, in both syntaxes."""
    of_kind: Counter[tuple[str, str]] = Counter()
    for case in CASES.values():
        of_kind.update((case.kind, code) for code in {one.code for one in case.taxes})
    for kind in ("Invoice", "CreditNote"):
        assert all(of_kind[kind, code] for code in ("S", "Z", "E", "AE")), of_kind
    assert sum(case.kind == "CreditNote" for case in CASES.values()) >= 9
    assert sum(case.document.cancels is not None for case in CASES.values()) >= 10
    assert sum(bool(case.document.adjusted) for case in CASES.values()) == 4
    assert sum(case.document.replaces is not None for case in CASES.values()) == 2
    assert sum(case.document.currency == "JPY" for case in CASES.values()) == 3
    assert sum(case.paid_minor > 0 for case in CASES.values()) == 3
    discounted = [
        case for case in CASES.values() if any(one.discounts for one in case.document.lines) and case.taxes
    ]
    assert {one.scope for case in discounted for line in case.document.lines for one in line.discounts} == {
        "Line",
        "Invoice",
    }
    assert 2 * len(CASES) >= 56


def test_what_a_sub_account_used_names_it() -> None:
    ubl, cii = written(CASES["an account and one that is invoiced with it"])
    for written_, names in ((ubl, (b"cbc:Name", b"cbc:Value")), (cii, (b"ram:Description", b"ram:Value"))):
        said = [
            b"<%s>%s</%s>" % (name, text, name)
            for name, text in zip(names, (b"Billing account", b"team"), strict=True)
        ]
        assert [written_.content.count(one) for one in said] == [1, 1]


@pytest.mark.parametrize(
    ("name", "code", "preceding"),
    [
        ("standard", "380", []),
        ("credit note, full", "381", [("KC-2026-000100", "2026-10-02")]),
        (
            "cancellation, of amounts",
            "380",
            [("CN-2026-000003", "2026-10-09"), ("KC-2026-000100", "2026-10-02")],
        ),
        ("usage that came late", "380", [("KC-2026-000097", "2026-10-02")]),
        (
            "nothing but what came late",
            "380",
            [("KC-2026-000097", "2026-10-02"), ("KC-2026-000062", "2026-09-02")],
        ),
        ("a month below zero", "380", [("KC-2026-000097", "2026-10-02")]),
        ("in the place of a void one", "380", [("KC-2026-000101", "2026-11-01")]),
        ("in the place of a void one, with what came late", "380", [("KC-2026-000097", "2026-10-02")]),
    ],
)
def test_it_names_the_documents_that_it_corrects_with_their_dates(
    name: str, code: str, preceding: list[tuple[str, str]]
) -> None:
    """BG-3, which the library's reader does not read."""
    ubl, cii = (ElementTree.fromstring(xml.content) for xml in written(CASES[name]))
    types = ("cbc:InvoiceTypeCode", "cbc:CreditNoteTypeCode")
    assert [one.text for tag in types for one in ubl.iterfind(tag, UBL)] == [code]
    assert cii.findtext(".//rsm:ExchangedDocument/ram:TypeCode", "", CII) == code
    assert [
        (one.findtext("cbc:ID", "", UBL), one.findtext("cbc:IssueDate", "", UBL))
        for one in ubl.iterfind("cac:BillingReference/cac:InvoiceDocumentReference", UBL)
    ] == preceding
    assert [
        (
            one.findtext("ram:IssuerAssignedID", "", CII),
            date.fromisoformat(one.findtext(".//qdt:DateTimeString", "", CII)).isoformat(),
        )
        for one in cii.iterfind(".//ram:InvoiceReferencedDocument", CII)
    ] == preceding


def test_what_cancels_a_credit_note_is_paid_with_its_invoice() -> None:
    ubl, cii = (ElementTree.fromstring(xml.content) for xml in written(CASES["cancellation, of amounts"]))
    assert cii.findtext(".//ram:PaymentReference", "", CII) == "KC-2026-000100"
    assert ubl.find("cac:PaymentMeans", UBL) is None
    assert ubl.findtext("cbc:Note", "", UBL).startswith("The payment that earned the discount went back")
    assert (
        ubl.findtext("cac:PaymentTerms/cbc:Note", "", UBL) == "due by December 2, 2026; "
        "cancels credit note CN-2026-000003 of October 9, 2026; for invoice KC-2026-000100 of October 2, 2026"
    )


def test_the_same_invoice_is_the_same_bytes() -> None:
    assert written(CASES["sixty lines"]) == written(corpus()["sixty lines"])


# ------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(("currency", "minor"), [("KWD", 4515), ("CLF", 45150)])
def test_a_third_decimal_is_refused_with_the_reason(currency: str, minor: int) -> None:
    invoice = document(line("Tokens", usage_part("1", amount(minor // 10, "JPY"), minor)), currency=currency)
    case = Case(invoice, (taxed(invoice, "S", "15"),))
    with pytest.raises(NoEInvoice, match=r"has a third decimal.*use the PDF"):
        case.read()
    assert TypstDocuments().write(invoice).content.startswith(b"%PDF-")


def test_dinars_without_a_third_decimal_are_not_refused(checker: RuleChecker) -> None:
    invoice = document(line("Tokens", usage_part("1", "45.2", 45_200)), currency="KWD")
    for xml in written(Case(invoice, (taxed(invoice, "Z", "0"),))):
        assert checker.check(xml) == ()


def test_everything_that_is_missing_is_said_at_once() -> None:
    invoice = replace(document(TOKENS, currency="EUR"), buyer=None)
    invoice = replace(invoice, seller=replace(invoice.seller, address=None, tax_ids=()))
    with pytest.raises(NoEInvoice) as refused:
        Case(invoice, (taxed(invoice, "S", "23"),)).read()
    for reason in ("the issuer has no country", "the issuer has no tax id", "details were erased"):
        assert reason in str(refused.value)


def test_reverse_charge_needs_the_customers_vat_id() -> None:
    invoice = document(TOKENS, currency="EUR")
    assert invoice.buyer is not None
    invoice = replace(invoice, buyer=replace(invoice.buyer, tax_ids=()))
    with pytest.raises(NoEInvoice, match="the customer has no VAT id"):
        Case(invoice, (taxed(invoice, "AE", "0", ("Reverse charge", "VATEX-EU-AE")),)).read()


def test_a_tax_that_is_a_unit_off_its_rate_is_refused_with_the_reason(checker: RuleChecker) -> None:
    """Nine notes over 4 yen at 10 % give back no tax, and the last one takes the 4 yen of all: the rules refuse it."""
    invoice = document(line("Tokens", usage_part("4", "1", 4)), currency="JPY")
    case = Case(invoice, (taxed(invoice, "S", "10"),), kind="CreditNote")
    (group,) = case.taxes
    for tax_minor in (0, 1):
        for xml in written(replace(case, taxes=(replace(group, tax_minor=tax_minor),))):
            assert checker.check(xml) == ()
    with pytest.raises(NoEInvoice, match=r"tax of 4 JPY on 4 is not within one of 10 %.*BR-CO-17"):
        replace(case, taxes=(replace(group, tax_minor=4),)).read()


def test_a_tax_whose_rate_rounds_to_nothing_is_refused_where_it_is_something() -> None:
    invoice = document(line("Tokens", usage_part("1", "1000", 100_000)), currency="EUR")
    with pytest.raises(NoEInvoice, match=r"tax of 4\.00 EUR on 1000\.00.*0\.4 %"):
        Case(invoice, (taxed(invoice, "S", "0.4"),)).read()


@pytest.mark.parametrize("nothing", [" ", "\x01", "\ufffe"])
def test_what_no_document_can_carry_is_not_said(nothing: str) -> None:
    """An element without text is against the rules; who has no name cannot be invoiced by one."""
    invoice = replace(document(TOKENS, currency="EUR"), legal_text=f"{nothing}\n{nothing}")
    for xml in written(Case(invoice, (taxed(invoice, "S", "23"),))):
        blank = [one.tag for one in ElementTree.fromstring(xml.content).iter() if not "".join(one.itertext())]
        assert blank == []
    assert invoice.buyer is not None
    nameless = replace(invoice, buyer=replace(invoice.buyer, name=nothing))
    with pytest.raises(NoEInvoice, match="the customer has no name"):
        Case(nameless, (taxed(nameless, "S", "23"),)).read()


# ------------------------------------------------------------------------------------------------ the checker


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        (b">45.15</cbc:LineExtensionAmount>", b">45.16</cbc:LineExtensionAmount>", "BR-CO-10"),
        (b"<cbc:ID>S</cbc:ID>", b"<cbc:ID>Z</cbc:ID>", "BR-Z-05"),
        (b'unitCode="MIO"', b'unitCode="TOKEN"', "BR-CL-23"),
        (b"<cbc:IssueDate>2026-11-02</cbc:IssueDate>", b"", "XSD"),
        (b"</Invoice>", b"", "XML"),
        (b"<Invoice", b'<!DOCTYPE x [<!ENTITY y "z">]><Invoice', "XML"),
    ],
)
def test_the_checker_finds_what_is_wrong(checker: RuleChecker, right: bytes, wrong: bytes, rule: str) -> None:
    xml = written(CASES["standard"])[0]
    assert right in xml.content
    found = checker.check(replace(xml, content=xml.content.replace(right, wrong)))
    assert rule in {one.rule for one in found if one.severity == "error"}


def test_every_unit_code_is_known_to_the_rules(checker: RuleChecker) -> None:
    units = [*CODES, *COUNTS]
    lines = [
        line(unit, usage_part("1", "1", 100), number=index, unit=unit) for index, unit in enumerate(units, 1)
    ]
    invoice = document(*lines, currency="EUR")
    for xml in written(Case(invoice, (taxed(invoice, "S", "23"),))):
        assert checker.check(xml) == ()
    assert [unit_code(one) for one in ("10*6.{token}", "GiBy.h", "{request}", "h{vCPU}")] == [
        "MIO",
        "C62",
        "C62",
        "HUR",
    ]


def test_a_checking_process_that_was_killed_is_started_again() -> None:
    xml = written(CASES["standard"])[1]
    checker = RuleChecker()
    try:
        assert checker.check(xml) == ()
        assert checker.process is not None
        os.kill(checker.process, signal.SIGKILL)
        assert checker.check(xml) == ()
    finally:
        checker.close()


def test_a_checking_process_that_does_not_answer_is_an_error_and_not_a_wait() -> None:
    checker = RuleChecker(answer_s=0.01)
    try:
        with pytest.raises(UnableToCheck):
            checker.check(written(CASES["standard"])[1])
    finally:
        checker.close()


def _number(element: ElementTree.Element, path: str) -> Decimal:
    return Decimal(element.findtext(path, "", UBL))


def _parsed(document: WrittenDocument) -> dict[str, Any]:
    library: Any = importlib.import_module("facturx.parse_xml")
    return library.parse_ubl_cii_xml(document.content)
