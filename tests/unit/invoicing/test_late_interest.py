"""Interest on what is overdue: which days, on what, and the same in whatever steps it is charged."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from milo_billing.invoicing.rules.late_interest import (
    Charged,
    Owed,
    Settling,
    Stretch,
    TooMuch,
    decide,
    draft,
    interest_minor,
    stretches,
)
from milo_billing.invoicing.types.drafts import Draft, DraftLine, DraftShare, Part
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.periods import Period
from milo_billing.kernel.taxes import TaxGroup, TaxTreatment

DUE = date(2026, 12, 2)
TOTAL = 100_000


def invoice() -> Invoice:
    """1,000.00 dollars at 8 % a year, to be paid by 2 December 2026."""
    month = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    issued = datetime(2026, 11, 2, tzinfo=UTC)
    return Invoice(
        uid=UUID(int=1),
        name="kc-1",
        namespace="organization-acme",
        owner_org=1,
        account=1,
        account_name="main",
        kind="Periodic",
        period=month,
        phase="PastDue",
        issuer="kestrel",
        series="KC-",
        sequence=1,
        number="KC-1",
        currency="USD",
        subtotal_minor=TOTAL,
        discounts_minor=0,
        tax_minor=0,
        total_minor=TOTAL,
        amount_paid_minor=0,
        issued_at=issued,
        issued_on=issued.date(),
        due_on=DUE,
        interest_percent=Decimal(8),
    )


@pytest.mark.parametrize(
    ("became", "until", "found"),
    [
        ([], 1, []),  # the last day to pay
        ([], 2, [(1, 2, TOTAL)]),  # the first day overdue
        ([Settling("Payment", TOTAL, DUE)], 30, []),
        ([Settling("Payment", TOTAL, DUE + timedelta(10))], 30, [(1, 11, TOTAL)]),  # ten days late
        (
            [Settling("Payment", 60_000, DUE + timedelta(10))],
            30,
            [(1, 11, TOTAL), (11, 30, 40_000)],
        ),
        ([Settling("CreditNote", 60_000, DUE + timedelta(10))], 30, [(1, 30, 40_000)]),  # never was owed
        (
            [
                Settling("Payment", TOTAL, DUE),
                Settling("PaymentReversal", -TOTAL, DUE + timedelta(5)),
            ],
            30,
            [(6, 30, TOTAL)],
        ),
        ([Settling("WriteOff", TOTAL, DUE + timedelta(20))], 30, [(1, 21, TOTAL)]),
        (
            [  # nobody owed what was off while it was
                Settling("Payment", TOTAL - 2000, DUE),
                Settling("EarlyPaymentDiscount", 2000, DUE),
                Settling("PaymentReversal", 2000 - TOTAL, DUE + timedelta(5)),
                Settling("DiscountReversal", -2000, DUE + timedelta(5)),
            ],
            30,
            [(6, 30, TOTAL)],
        ),
    ],
)
def test_what_is_due_when_a_day_begins_bears_interest_for_it(
    became: list[Settling], until: int, found: list[tuple[int, int, int]]
) -> None:
    """Days are counted from the last day to pay."""
    got = stretches(invoice(), became, until=DUE + timedelta(until))
    assert [((one.first - DUE).days, (one.end - DUE).days, one.owed_minor) for one in got] == found


@pytest.mark.parametrize(
    ("days", "charged", "found"),
    [
        (0, Charged(None, 0), None),
        # 1,000.00 at 8 % for ten days: 2.19178
        (11, Charged(None, 0), (1, 11, 219)),
        (11, Charged(DUE + timedelta(5), 110), (5, 11, 109)),
        (11, Charged(DUE + timedelta(11), 219), None),
        # what was charged until a day came to more since: no day is charged again, and the line names the last
        (11, Charged(DUE + timedelta(20), 200), (20, 20, 19)),
        (11, Charged(DUE + timedelta(11), 218), (11, 11, 1)),
    ],
)
def test_what_is_charged_is_the_whole_less_what_was(
    days: int, charged: Charged, found: tuple[int, int, int] | None
) -> None:
    got = decide(invoice(), [], charged=charged, until=DUE + timedelta(days))
    if found is None:
        assert got is None
    else:
        first, end, minor = found
        span = DUE + timedelta(first), DUE + timedelta(end)
        assert got == Owed(UUID(int=1), "KC-1", Decimal(8), *span, minor)


def test_a_line_names_a_day_though_no_new_day_is_charged() -> None:
    owed = Owed(UUID(int=1), "KC-1", Decimal(8), DUE + timedelta(20), DUE + timedelta(20), 19)
    assert owed.first_day == DUE + timedelta(19)
    assert replace(owed, end=DUE + timedelta(25)).first_day == DUE + timedelta(20)


@pytest.mark.parametrize(("minor", "found"), [(220, 1), (250, 31)])
def test_more_than_is_owed_is_given_back(minor: int, found: int) -> None:
    got = decide(invoice(), [], charged=Charged(DUE + timedelta(11), minor), until=DUE + timedelta(11))
    assert got == TooMuch(UUID(int=1), found)


def test_an_account_that_agreed_to_none_pays_none() -> None:
    free = replace(invoice(), interest_percent=None)
    assert decide(free, [], charged=Charged(None, 0), until=DUE + timedelta(99)) is None


def test_a_void_invoice_was_never_owed() -> None:
    void = replace(invoice(), phase="Void")
    assert stretches(void, [], until=DUE + timedelta(99)) == ()
    given_back = decide(void, [], charged=Charged(DUE + timedelta(11), 219), until=DUE + timedelta(99))
    assert given_back == TooMuch(UUID(int=1), 219)


@pytest.mark.parametrize(
    ("found", "percent", "minor"),
    [
        ([], "8", 0),
        ([Stretch(DUE, DUE + timedelta(365), 100_000)], "8", 8_000),
        ([Stretch(DUE, DUE + timedelta(365), 100_000)], "7.5", 7_500),
        # half a cent is one, and two halves are one too: it is rounded once
        ([Stretch(DUE, DUE + timedelta(73), 25)], "10", 1),
        ([Stretch(DUE, DUE + timedelta(73), 25), Stretch(DUE, DUE + timedelta(73), 25)], "10", 1),
        ([Stretch(DUE, DUE + timedelta(73), 24)], "10", 0),
        ([Stretch(DUE, DUE + timedelta(79), 33)], "7", 0),  # 18,249 of 36,500 are not half a cent
    ],
)
def test_interest_is_simple_by_the_day_and_rounded_once(
    found: list[Stretch], percent: str, minor: int
) -> None:
    assert interest_minor(found, percent=Decimal(percent)) == minor


@pytest.mark.parametrize(
    ("became", "found"),
    [
        # paid in two parts on one day
        (
            [
                Settling("Payment", 60_000, DUE + timedelta(3)),
                Settling("Payment", 10_000, DUE + timedelta(3)),
            ],
            [(1, 4, TOTAL), (4, 10, 30_000)],
        ),
        # on the first day overdue: it bears interest for that day
        ([Settling("Payment", TOTAL, DUE + timedelta(1))], [(1, 2, TOTAL)]),
        # on the last day that is looked at
        ([Settling("Payment", 60_000, DUE + timedelta(9))], [(1, 10, TOTAL)]),
        ([Settling("Payment", 60_000, DUE + timedelta(8))], [(1, 9, TOTAL), (9, 10, 40_000)]),
        # all but a cent
        ([Settling("Payment", TOTAL - 1, DUE)], [(1, 10, 1)]),
    ],
)
def test_what_was_paid_late_bears_interest_until_it_came(
    became: list[Settling], found: list[tuple[int, int, int]]
) -> None:
    got = stretches(invoice(), became, until=DUE + timedelta(10))
    assert [((one.first - DUE).days, (one.end - DUE).days, one.owed_minor) for one in got] == found


def test_the_invoice_over_interest_has_a_line_for_each_and_no_tax() -> None:
    untaxed = TaxTreatment("O", Decimal(0), "", "", "outside the scope of tax")
    month = invoice().period
    span = DUE + timedelta(1), DUE + timedelta(11)
    owed = [
        Owed(UUID(int=1), "KC-1", Decimal("8.00"), *span, 219),
        Owed(UUID(int=2), "KC-2", Decimal("9.5"), *span, 31),
    ]
    made = draft(owed, account=5, currency="EUR", period=month, untaxed=untaxed)
    none = Decimal(0)

    def a_line(text: str, minor: int) -> DraftLine:
        return DraftLine(
            kind="Interest",
            sku=None,
            sku_number=None,
            description=text,
            service="",
            invoice_group="",
            tax_category="interest",
            book=None,
            commitment=None,
            first_day=span[0],
            end_day=span[1],
            quantity=none,
            included=none,
            pricing_unit="",
            amount_minor=minor,
            parts=(Part("FlatFee", None, None, None, minor),),
            shares=(DraftShare(None, (), none, none, minor),),
            taxes=(1,),
        )

    assert made == Draft(
        account=5,
        kind="OneTime",
        period=month,
        currency="EUR",
        lines=(a_line("KC-1, 8 %", 219), a_line("KC-2, 9.5 %", 31)),
        subtotal_minor=250,
        discounts_minor=0,
        total_minor=250,
        taxes=(TaxGroup(untaxed, 250, 0),),
    )
