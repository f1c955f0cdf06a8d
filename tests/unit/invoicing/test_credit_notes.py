"""What a credit note takes back of which line, what it says of itself, and where it stands in the books."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from milo_billing.invoicing.rules import crediting
from milo_billing.invoicing.rules.crediting import (
    Cancellation,
    CreditLine,
    CreditNote,
    LineCredit,
    UnableToCredit,
)
from milo_billing.invoicing.rules.taxes import Credited
from milo_billing.invoicing.types.drafts import LineConversion, LineDiscount, Part
from milo_billing.invoicing.types.invoices import InvoiceLine, LineShare
from milo_billing.kernel.taxes import TaxGroup, TaxTreatment
from milo_billing.ledger.types import PROMOTIONAL, revenue, tax_payable
from tests.unit.invoicing.builders import line, usage_part
from tests.unit.invoicing.issued import issued

FIRST, END = date(2026, 10, 1), date(2026, 11, 1)
HIGH, NOTHING = TaxTreatment("S", Decimal(20), "VAT", "IE"), TaxTreatment("Z", Decimal(0), "VAT", "FR")
GROUPS = (TaxGroup(HIGH, 1_000, 200), TaxGroup(NOTHING, 500, 0))


def one(number: int, minor: int, quantity: str = "10", taxes: tuple[int, ...] = (1,)) -> InvoiceLine:
    made = line("Tokens", usage_part(quantity, "1", minor), number=number, unit="h")
    return replace(made, taxes=taxes)


LINES = {1: one(1, 1_000), 2: one(2, -300), 3: one(3, 500, taxes=(2,))}
LEFT = {1: 800, 2: -300, 3: 0}


def credited(
    *wanted: LineCredit, amount: int | None = None, left: dict[int, int] | None = None
) -> tuple[CreditLine, ...]:
    return crediting.credit_lines(
        wanted, amount_minor=amount, lines=LINES, left=LEFT if left is None else left, currency="USD"
    )


# --------------------------------------------------------------------------------------------------- how much


@pytest.mark.parametrize(
    ("text", "minor"), [(None, None), ("1.5", 150), ("-0.01", -1), ("0", 0), ("3.100", 310)]
)
def test_an_amount_is_read_in_the_digits_of_its_currency(text: str | None, minor: int | None) -> None:
    assert crediting.read_amount(text, currency="USD", field="spec.amount") == minor


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1.005", "1.005: USD has fewer decimals; write 1.01 USD"),
        ("92233720368547758.08", "92233720368547758.08 USD is more than any invoice comes to"),
    ],
)
def test_an_amount_of_other_digits_is_refused_at_its_field(text: str, why: str) -> None:
    with pytest.raises(UnableToCredit) as caught:
        crediting.read_amount(text, currency="USD", field="spec.lines[3].amount")
    assert (str(caught.value), caught.value.field) == (why, "spec.lines[3].amount")


def test_a_refusal_without_a_field_is_of_the_whole() -> None:
    assert (str(UnableToCredit("why")), UnableToCredit("why").field) == ("why", "spec")


def test_what_is_left_of_a_line_is_its_net_less_what_notes_took() -> None:
    off = LineDiscount("Invoice", "Discount", UUID(int=9), "x", "x", None, -100)
    lines = [replace(one(1, 1_000), discounts=(off,)), one(2, -300)]
    assert crediting.left_of(lines, credited={1: 250}) == {1: 650, 2: -300}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (LineCredit(1), CreditLine(1, 800)),
        (LineCredit(2), CreditLine(2, -300)),
        (LineCredit(1, amount_minor=1), CreditLine(1, 1)),
        (LineCredit(1, amount_minor=800), CreditLine(1, 800)),
        (LineCredit(2, amount_minor=-300), CreditLine(2, -300)),
        (LineCredit(2, amount_minor=-1), CreditLine(2, -1)),
        # a third of ten hours: 10.00 × 3.333… / 10
        (LineCredit(1, quantity=Decimal("3.335")), CreditLine(1, 334, Decimal("3.335"))),
        (LineCredit(2, quantity=Decimal("0.05")), CreditLine(2, -2, Decimal("0.05"))),
        # all of the quantity takes what is left of the money, and no part takes more
        (LineCredit(1, quantity=Decimal(10)), CreditLine(1, 800, Decimal(10))),
        (LineCredit(1, quantity=Decimal(8)), CreditLine(1, 800, Decimal(8))),
        (LineCredit(1, quantity=Decimal("9.9")), CreditLine(1, 800, Decimal("9.9"))),
        (LineCredit(1, quantity=Decimal("7.99")), CreditLine(1, 799, Decimal("7.99"))),
    ],
)
def test_of_a_line_an_amount_a_quantity_or_all_that_is_left(wanted: LineCredit, found: CreditLine) -> None:
    assert credited(wanted) == (found,)


@pytest.mark.parametrize(
    ("wanted", "why", "field"),
    [
        (LineCredit(9), "the invoice has no line 9", "spec.lines[1].line"),
        (LineCredit(3), "nothing is left of line 3", "spec.lines[1]"),
        *(
            (
                LineCredit(1, amount_minor=minor),
                f"{text} USD cannot be credited: of line 1 8.00 USD is left, before tax; credit an amount of the same "
                "sign, and at most that",
                "spec.lines[1].amount",
            )
            for minor, text in ((0, "0.00"), (801, "8.01"), (-1, "-0.01"))
        ),
        (LineCredit(1, quantity=Decimal(0)), "0: line 1 has 10 h", "spec.lines[1].quantity"),
        (LineCredit(1, quantity=Decimal(-1)), "-1: line 1 has 10 h", "spec.lines[1].quantity"),
        (LineCredit(1, quantity=Decimal("10.1")), "10.1: line 1 has 10 h", "spec.lines[1].quantity"),
        (
            LineCredit(1, quantity=Decimal("0.004")),
            "0.004 of line 1 comes to nothing in its currency",
            "spec.lines[1].quantity",
        ),
    ],
)
def test_what_a_line_does_not_have_is_refused_at_its_field(wanted: LineCredit, why: str, field: str) -> None:
    with pytest.raises(UnableToCredit) as caught:
        credited(LineCredit(2), wanted)
    assert (str(caught.value), caught.value.field) == (why, field)


def test_a_line_is_credited_once_in_a_note() -> None:
    with pytest.raises(UnableToCredit) as caught:
        credited(LineCredit(1, amount_minor=1), LineCredit(2), LineCredit(1, amount_minor=2))
    assert str(caught.value) == "a line is credited once in a note: add the amounts up"
    assert caught.value.field == "spec.lines"


def test_with_nothing_said_all_that_is_left_is_credited() -> None:
    assert credited() == (CreditLine(1, 800), CreditLine(2, -300))
    assert credited(amount=500) == credited()
    assert credited(left={1: 301, 2: -300}) == (CreditLine(1, 301), CreditLine(2, -300))


def test_an_amount_is_taken_in_proportion_to_what_is_left() -> None:
    assert credited(amount=50) == (CreditLine(1, 80), CreditLine(2, -30))
    assert credited(amount=1) == (CreditLine(1, 2), CreditLine(2, -1))


@pytest.mark.parametrize("left", [{1: 0, 2: 0}, {1: 300, 2: -300}, {1: 0, 2: -5}])
def test_an_invoice_of_which_nothing_is_left_is_not_credited(left: dict[int, int]) -> None:
    with pytest.raises(UnableToCredit) as caught:
        credited(left=left)
    assert str(caught.value) == "nothing is left of the invoice that could be credited"


@pytest.mark.parametrize(
    ("amount", "left", "said"),
    [
        (501, LEFT, ("5.01", "5.00")),
        (0, LEFT, ("0.00", "5.00")),
        (-1, LEFT, ("-0.01", "5.00")),
        (1, {1: 0, 2: -5}, ("0.01", "0.00")),
    ],
)
def test_more_than_is_left_of_the_invoice_is_refused(
    amount: int, left: dict[int, int], said: tuple[str, str]
) -> None:
    with pytest.raises(UnableToCredit) as caught:
        credited(amount=amount, left=left)
    assert str(caught.value) == (
        f"{said[0]} USD cannot be credited: of the invoice {said[1]} USD is left, before tax; credit more than zero "
        "and at most that"
    )
    assert caught.value.field == "spec.amount"


# ----------------------------------------------------------------------------------------------------- its tax


def test_tax_comes_back_by_group_over_all_lines_of_it() -> None:
    back = crediting.credited_taxes(
        [CreditLine(1, 300), CreditLine(2, -100), CreditLine(3, 50)],
        lines=LINES,
        groups=GROUPS,
        earlier={1: Credited(10, 2)},
        currency="USD",
    )
    assert back == {1: Credited(200, 40), 2: Credited(50, 0)}
    assert crediting.total_of([CreditLine(1, 300), CreditLine(2, -100)], back) == 240


def test_what_was_credited_before_of_a_tax_is_not_credited_again() -> None:
    with pytest.raises(UnableToCredit) as caught:
        crediting.credited_taxes(
            [CreditLine(1, 300)], lines=LINES, groups=GROUPS, earlier={1: Credited(800, 160)}, currency="USD"
        )
    assert str(caught.value) == (
        "3.00 USD would be credited of what is taxed alike, of which 2.00 USD of 10.00 USD is left: credit at most that"
    )


# -------------------------------------------------------------------------------------------------- its documents


def shown(of: InvoiceLine, credit: CreditLine) -> InvoiceLine:
    return crediting.credited_line(of, credit, currency="USD", groups={1: 1, 3: 2})


def test_a_line_of_the_note_is_what_was_credited_and_no_more() -> None:
    conversion = LineConversion("EUR", 1, Decimal(1), FIRST, "ECB", Decimal(1), Decimal(1))
    off = LineDiscount("Invoice", "Discount", UUID(int=9), "x", "x", None, -100)
    whole = replace(
        one(1, 1_000, taxes=(1, 2, 3)),
        included=Decimal(2),
        discounts=(off,),
        conversion=conversion,
        projects=(LineShare("web", Decimal(1), 1_000),),
    )
    assert shown(whole, CreditLine(1, 250)) == replace(
        whole,
        quantity=Decimal(0),
        included=Decimal(0),
        amount_minor=250,
        parts=(),
        projects=(),
        discounts=(),
        conversion=None,
        taxes=(1, 2),
    )


@pytest.mark.parametrize(
    ("changes", "credit", "priced"),
    [
        ({}, CreditLine(1, 300, Decimal(3)), True),
        ({}, CreditLine(1, 299, Decimal(3)), False),  # less was left
        ({}, CreditLine(1, 300), False),  # an amount has no quantity
        ({"included": Decimal(1)}, CreditLine(1, 300, Decimal(3)), False),
        (
            {"parts": (usage_part("5", "1", 500), usage_part("5", "1", 500))},
            CreditLine(1, 300, Decimal(3)),
            False,
        ),
        ({"parts": (Part("FlatFee", None, None, None, 1_000),)}, CreditLine(1, 300, Decimal(3)), False),
        (
            {"parts": (Part("Package", None, Decimal(10), Decimal(1), 1_000),)},
            CreditLine(1, 300, Decimal(3)),
            False,
        ),
        ({"parts": (Part("Usage", None, Decimal(10), None, 1_000),)}, CreditLine(1, 300, Decimal(3)), False),
        (
            {"conversion": LineConversion("EUR", 1, Decimal(1), FIRST, "ECB", Decimal(1), Decimal(1))},
            CreditLine(1, 300, Decimal(3)),
            False,
        ),
    ],
)
def test_quantity_and_price_stand_where_they_come_to_the_amount(
    changes: dict[str, object], credit: CreditLine, priced: bool
) -> None:
    made = shown(replace(one(1, 1_000), **changes), credit)  # pyright: ignore[reportArgumentType]
    assert made.quantity == (credit.quantity or 0)
    assert made.parts == ((usage_part("3", "1", 300),) if priced else ())


def test_the_price_is_that_of_the_line() -> None:
    of = replace(one(1, 2_000), parts=(usage_part("10", "2", 2_000),))
    assert shown(of, CreditLine(1, 600, Decimal(3))).parts == (usage_part("3", "2", 600),)


# ------------------------------------------------------------------------------------------------------- the books


def test_revenue_is_taken_back_by_its_days_and_tax_by_its_place() -> None:
    taxes = {1: Credited(300, 60), 2: Credited(50, 0)}
    lines = [CreditLine(1, 300), CreditLine(3, 50)]
    assert crediting.credit_postings(lines, lines=LINES, taxes=taxes, groups=GROUPS) == (
        (revenue("Usage"), 300, (FIRST, END)),
        (revenue("Usage"), 50, (FIRST, END)),
        (tax_payable("IE"), 60, None),
    )
    assert crediting.credit_postings(
        lines, lines=LINES, taxes={2: Credited(50, 1)}, groups=GROUPS, given_up=PROMOTIONAL
    ) == ((PROMOTIONAL, 350, None), (tax_payable("FR"), 1, None))


# ------------------------------------------------------------------------------------------------------ the object

NOTE = CreditNote(
    uid=UUID(int=2),
    name="kc-cn-1",
    namespace="organization-acme",
    owner_org=7,
    invoice=UUID(int=1),
    invoice_name="kc-1",
    invoice_number="KC-1",
    account=1,
    account_name="main",
    voids=False,
    issuer="kestrel",
    series="KC-CN-",
    sequence=1,
    number="KC-CN-1",
    currency="USD",
    net_minor=1_000,
    tax_minor=230,
    total_minor=1_230,
    settled_minor=1_000,
    reason="goodwill",
    issued_at=datetime(2026, 11, 2, tzinfo=UTC),
    issued_on=date(2026, 11, 2),
)


def test_the_object_says_what_came_back_and_what_of_it_is_on_account() -> None:
    assert crediting.note_status(NOTE) == {
        "number": "KC-CN-1",
        "issuer": "kestrel",
        "account": "main",
        "invoiceNumber": "KC-1",
        "voids": False,
        "currencyCode": "USD",
        "net": "10.00",
        "tax": "2.30",
        "total": "12.30",
        "settled": "10.00",
        "onAccount": "2.30",
        "issuedOn": "2026-11-02",
    }


def test_documents_are_those_that_the_issuer_sends() -> None:
    where = "/apis/billing.miloapis.com/v1alpha1/namespaces/organization-acme/creditnotes/kc-cn-1"
    assert crediting.note_paths(NOTE) == {"pdf": f"{where}/pdf"}
    assert crediting.note_paths(replace(NOTE, e_invoicing="FacturX")) == {"pdf": f"{where}/pdf"}
    assert crediting.note_paths(replace(NOTE, e_invoicing="UBL")) == {
        "pdf": f"{where}/pdf",
        "ubl": f"{where}/ubl",
    }


def test_a_note_that_nobody_declared_has_the_spec_of_what_it_took() -> None:
    assert crediting.made_spec(NOTE) == {"invoiceRef": {"name": "kc-1"}, "lines": [], "reason": "goodwill"}
    assert crediting.lines_spec(NOTE, [LineCredit(2, amount_minor=150), LineCredit(3)]) == {
        "invoiceRef": {"name": "kc-1"},
        "lines": [{"line": 2, "amount": "1.50"}],
        "reason": "goodwill",
    }


def test_a_note_settles_what_the_invoice_still_takes() -> None:
    assert [crediting.settled_part(issued(700), minor) for minor in (699, 700, 701)] == [699, 700, 700]


# ------------------------------------------------------------------------------------------------ what cancels it

CANCELLATION = Cancellation(
    "KC-CX-", 4, "KC-CX-4", "The payment went back", datetime(2026, 12, 3, 8, tzinfo=UTC), date(2026, 12, 3)
)
CANCELLED = replace(NOTE, e_invoicing="UBL", cancellation=CANCELLATION)


def test_a_note_that_stands_says_nothing_of_a_cancellation() -> None:
    assert NOTE.cancelled_at is None
    assert NOTE.number_of("Note") == "KC-CN-1"
    assert crediting.cancellation_body(NOTE) == {"number": "", "issuedOn": "", "reason": "", "documents": {}}


def test_what_cancelled_a_note_has_a_number_a_day_and_documents_of_its_own() -> None:
    assert CANCELLED.cancelled_at == CANCELLATION.issued_at
    assert (CANCELLED.number_of("Note"), CANCELLED.number_of("Cancellation")) == ("KC-CN-1", "KC-CX-4")
    where = (
        "/apis/billing.miloapis.com/v1alpha1/namespaces/organization-acme/creditnotes/kc-cn-1/cancellation"
    )
    assert crediting.cancellation_body(CANCELLED) == {
        "number": "KC-CX-4",
        "issuedOn": "2026-12-03",
        "reason": "The payment went back",
        "documents": {"pdf": f"{where}/pdf", "ubl": f"{where}/ubl"},
    }


@pytest.mark.parametrize(("left_minor", "refused"), [(960, False), (959, True)])
def test_no_more_is_credited_with_its_tax_than_is_left_of_the_invoice(left_minor: int, refused: bool) -> None:
    """8.00 with 1.60: a line may have more left, where others stand below zero."""
    lines, taxes = [CreditLine(1, 800)], {1: Credited(800, 160)}
    if not refused:
        crediting.assert_within_total(lines, taxes, left_minor=left_minor, currency="EUR")
        return
    with pytest.raises(UnableToCredit) as caught:
        crediting.assert_within_total(lines, taxes, left_minor=left_minor, currency="EUR")
    assert str(caught.value) == (
        "with tax 9.60 EUR would be credited, and of the invoice 9.59 EUR is left: some of it stands below zero, so "
        "credit less of the other lines"
    )
    assert caught.value.field == "spec"
