"""What an issued invoice says of itself: status, conditions, documents, discounts, addressee, and what it replaces."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from milo_billing.accounts.types import Address, BillingProfile, Contact
from milo_billing.accounts.types import TaxId as AccountTaxId
from milo_billing.commitments.types import Scope
from milo_billing.invoicing.rules import issuing
from milo_billing.invoicing.types.documents import Party, PostalAddress, TaxId
from milo_billing.invoicing.types.drafts import InvoiceKind, LineDiscount
from milo_billing.invoicing.types.invoices import EInvoicing, InvoiceDiscount, InvoicePhase
from milo_billing.kernel.periods import Period
from milo_billing.kernel.taxes import TaxGroup, TaxTreatment
from milo_billing.kernel.terms import EarlyPayment, TimeTerms
from tests.unit.invoicing.builders import line, usage_part
from tests.unit.invoicing.granted import draft_of
from tests.unit.invoicing.issued import issued

INVOICE = replace(
    issued(12_300),
    subtotal_minor=11_000,
    discounts_minor=-1_000,
    tax_minor=2_300,
    amount_paid_minor=1_000,
    credited_minor=200,
    written_off_minor=100,
    credits_minor=50,
    replaces_name="kc-0",
    taxes=(TaxGroup(TaxTreatment("S", Decimal(23), "VAT", "IE"), 10_000, 2_300),),
)


@pytest.mark.parametrize(
    ("terms", "net_days", "offered"),
    [
        (TimeTerms(), 30, None),
        (TimeTerms(Decimal(2), 10), 30, EarlyPayment(Decimal(2), date(2026, 11, 12))),
        (
            TimeTerms(Decimal(2), 10),
            7,
            EarlyPayment(Decimal(2), date(2026, 11, 9)),
        ),  # never beyond the last day
    ],
)
def test_a_discount_for_early_payment_is_offered_until_a_day(
    terms: TimeTerms, net_days: int, offered: EarlyPayment | None
) -> None:
    assert issuing.early_payment(terms, issued_on=date(2026, 11, 2), net_days=net_days) == offered


def test_a_period_that_runs_is_refused_with_what_to_do() -> None:
    period = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    with pytest.raises(issuing.UnableToIssue) as caught:
        issuing.assert_closed(period, now=period.start)
    assert (
        str(caught.value) == "the billing period ends at 2026-11-01 00:00 UTC: run the month again after that"
    )


def test_an_object_is_called_like_its_number_or_with_its_issuer() -> None:
    assert issuing.object_names(issuer="kestrel", number="KC-2026-01") == ("kc-2026-01", "kestrel.kc-2026-01")


@pytest.mark.parametrize(
    ("sent", "kinds"), [("None", ["pdf"]), ("FacturX", ["pdf"]), ("UBL", ["pdf", "ubl"])]
)
def test_documents_are_those_that_the_issuer_sends(sent: EInvoicing, kinds: list[str]) -> None:
    where = "/apis/billing.miloapis.com/v1alpha1/namespaces/organization-acme/invoices/kc-1"
    found = issuing.document_paths(replace(INVOICE, e_invoicing=sent))
    assert found == {kind: f"{where}/{kind}" for kind in kinds}


def test_the_spec_is_what_was_asked_for() -> None:
    assert issuing.invoice_spec(INVOICE) == {
        "billingAccountRef": {"name": "main"},
        "kind": "Periodic",
        "period": {"start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"},
    }


def test_the_status_has_every_amount_as_a_decimal() -> None:
    found = issuing.invoice_status(INVOICE)
    assert [one["amount"] for one in found.pop("tax")] == ["23.00"]
    assert found == {
        "phase": "Issued",
        "number": "KC-1",
        "issuer": "kestrel",
        "currencyCode": "USD",
        "subtotal": "110.00",
        "discounts": "-10.00",
        "taxTotal": "23.00",
        "credits": "0.50",
        "total": "123.00",
        "amountPaid": "10.00",
        "amountCredited": "2.00",
        "amountWrittenOff": "1.00",
        "amountDue": "110.00",
        "issuedOn": "2026-11-02",
        "dueDate": "2026-12-02",
        "replaces": "kc-0",
    }
    # the credit that a void invoice had used was given back
    assert issuing.invoice_status(replace(INVOICE, phase="Void"))["credits"] == "0.00"


STANDS = ("Issued", "True", "InvoiceIssued", "Invoice KC-1 was issued on 2026-11-02.")


@pytest.mark.parametrize(
    ("phase", "more"),
    [
        ("Issued", [("PastDue", "False", "InvoiceIssued", "The invoice is Issued.")]),
        ("Paid", [("PastDue", "False", "InvoicePaid", "The invoice is Paid.")]),
        ("PastDue", [("PastDue", "True", "PaymentOverdue", "110.00 USD was to be paid by 2026-12-02.")]),
        (
            "Void",
            [
                ("PastDue", "False", "InvoiceVoid", "The invoice is Void."),
                (
                    "Voided",
                    "True",
                    "InvoiceVoided",
                    "The invoice was taken back as a whole; nothing is owed for it.",
                ),
            ],
        ),
    ],
)
def test_conditions_say_what_the_phase_means(phase: InvoicePhase, more: list[tuple[str, ...]]) -> None:
    assert list(issuing.invoice_conditions(replace(INVOICE, phase=phase))) == [STANDS, *more]


# ------------------------------------------------------------------------------------------------ what it replaces


def days(first: int, end: int) -> Period:
    return Period(datetime(2026, 10, first, tzinfo=UTC), datetime(2026, 10, end, tzinfo=UTC))


@pytest.mark.parametrize(
    ("voided", "replaced"),
    [
        ([], None),
        ([days(1, 10)], None),  # up to where it begins
        ([days(1, 11)], 0),
        ([days(19, 30)], 0),
        ([days(20, 30)], None),
        ([days(1, 30)], 0),
        ([days(12, 13), days(14, 15), days(20, 21)], 1),  # the last that shares an instant
    ],
)
def test_the_last_void_invoice_of_these_days_is_replaced(voided: list[Period], replaced: int | None) -> None:
    drafted = replace(draft_of([1]), period=days(10, 20))
    void = [replace(INVOICE, period=period, number=f"KC-{n}") for n, period in enumerate(voided)]
    assert issuing.replaced_by(drafted, void) == (None if replaced is None else void[replaced])


@pytest.mark.parametrize(
    ("kind", "replaces"),
    [("Periodic", True), ("Consolidated", True), ("Final", True), ("OneTime", False), ("Adjustment", False)],
)
def test_only_what_invoices_a_period_replaces_one(kind: InvoiceKind, replaces: bool) -> None:
    drafted = replace(draft_of([1]), kind=kind)
    assert (issuing.replaced_by(drafted, [INVOICE]) is INVOICE) is replaces


# --------------------------------------------------------------------------------------------------- discounts


def off(number: int, minor: int, percent: str | None = None, scope: Scope = "Invoice") -> LineDiscount:
    exact = None if percent is None else Decimal(percent)
    return LineDiscount(scope, "Discount", UUID(int=number), f"d{number}", f"Discount {number}", exact, minor)


def test_discounts_of_the_invoice_are_sums_over_its_lines_percentages_first() -> None:
    lines = [
        replace(line("a", usage_part("1", "1", 100)), discounts=(off(1, -5), off(9, -50, "50", "Line"))),
        replace(line("b", usage_part("1", "1", 100)), discounts=(off(2, -10, "10"), off(1, -7))),
        replace(line("c", usage_part("1", "1", 100)), discounts=(off(2, -20, "10"), off(3, -4, "5"))),
    ]
    assert issuing.invoice_discounts(lines) == (
        InvoiceDiscount("Discount 2", Decimal(10), -30, "Discount"),
        InvoiceDiscount("Discount 3", Decimal(5), -4, "Discount"),
        InvoiceDiscount("Discount 1", None, -12, "Discount"),
    )


def test_who_gave_a_discount_stands_with_it() -> None:
    given = replace(off(1, -5), given_by="CreditGrant")
    (found,) = issuing.invoice_discounts([replace(line("a", usage_part("1", "1", 100)), discounts=(given,))])
    assert found == InvoiceDiscount("Discount 1", None, -5, "CreditGrant")


# --------------------------------------------------------------------------------------------------- addressee


def test_the_addressee_is_kept_with_every_part_of_the_address() -> None:
    address = Address("FR", "12 rue", "2e étage", "Paris", "IDF", "75007")
    contact = Contact("ann@example.com", "Ann", "Acme", (), address)
    profile = BillingProfile(
        1, 30, 1, "Monthly", "en", "", False, contact, (AccountTaxId("eu_vat", "FR40303265045"),)
    )
    party = issuing.addressee(profile, account_name="main")
    assert party == Party(
        "Acme",
        "Ann",
        PostalAddress("FR", "12 rue", "2e étage", "Paris", "IDF", "75007"),
        (TaxId("eu_vat", "FR40303265045"),),
    )
    body = issuing.party_body(party)
    assert body == {
        "name": "Acme",
        "contact": "Ann",
        "address": ["FR", "12 rue", "2e étage", "Paris", "IDF", "75007"],
        "taxIds": [["eu_vat", "FR40303265045"]],
    }
    assert issuing.party_of(body) == party


def test_nobody_but_the_account_is_a_party_too() -> None:
    profile = BillingProfile(1, 30, 1, "Monthly", "en", "", False, None, ())
    party = issuing.addressee(profile, account_name="main")
    assert party == Party("main", "", None, ())
    assert issuing.party_body(party) == {"name": "main", "contact": "", "address": None, "taxIds": []}


def test_due_is_the_same_day_where_nothing_is_given() -> None:
    day = date(2026, 11, 2)
    assert issuing.due_on(day, net_days=0) == day
    assert issuing.due_on(day, net_days=1) == day + timedelta(days=1)
