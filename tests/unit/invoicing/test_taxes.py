"""What tax comes to, and on a part that is credited."""

from decimal import Decimal

import pytest

from milo_billing.invoicing.rules.taxes import Credited, UnableToCredit, credit_taxes, settle_taxes, tax_minor
from milo_billing.kernel.taxes import TaxCode, TaxTreatment

VAT_19 = TaxTreatment("S", Decimal(19), "VAT", "DE")
VAT_7 = TaxTreatment("S", Decimal(7), "VAT", "DE")
EXEMPT = TaxTreatment("E", Decimal(0), "", "DE", "Exempt, certificate 1")


@pytest.mark.parametrize(
    ("basis_minor", "percent", "tax"),
    [
        (10_000, "19", 1_900),
        (1_461, "25", 365),  # 365.25
        (1_462, "25", 366),  # 365.5: halves go away from zero
        (-1_462, "25", -366),
        (100, "0.1", 0),
        (12_345, "7.25", 895),
        (9_007_199_254_740_993, "19", 1_711_367_858_400_789),  # beyond what a float counts: .67 rounds up
    ],
)
def test_a_tax_is_rounded_once_half_up_away_from_zero(basis_minor: int, percent: str, tax: int) -> None:
    assert tax_minor(basis_minor, Decimal(percent)) == tax


def test_lines_of_one_rate_are_taxed_together() -> None:
    # each line alone: 0.19 + 0.19 + 0.19; together 2.97 at 19 % is 0.5643
    found = settle_taxes([(99, (VAT_19,)), (99, (VAT_19,)), (1000, (VAT_7,)), (99, (VAT_19,))])
    assert [(group.basis_minor, group.tax_minor) for group in found.groups] == [(297, 56), (1000, 70)]
    assert found.lines == ((1,), (1,), (2,), (1,))
    assert found.tax_minor == 126


def test_a_line_under_several_taxes_is_in_the_basis_of_each() -> None:
    gst, qst = (
        TaxTreatment("S", Decimal(5), "GST", "CA"),
        TaxTreatment("S", Decimal("9.975"), "QST", "CA-QC"),
    )
    found = settle_taxes([(10_000, (gst, qst))])
    assert [(group.basis_minor, group.tax_minor) for group in found.groups] == [(10_000, 500), (10_000, 998)]


def test_a_line_that_nobody_decided_on_is_a_defect() -> None:
    with pytest.raises(ValueError, match="category O"):
        settle_taxes([(1, ())])


@pytest.mark.parametrize(
    ("code", "percent", "name", "place", "reason"),
    [
        ("S", 0, "VAT", "DE", ""),
        ("E", 19, "VAT", "DE", "x"),
        ("S", 19, "", "", ""),
        ("AE", 0, "VAT", "DE", ""),
    ],
)
def test_a_treatment_that_no_invoice_may_say_cannot_be_made(
    code: TaxCode, percent: int, name: str, place: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=r"S|reason|which tax"):
        TaxTreatment(code, Decimal(percent), name, place, reason)


# -------------------------------------------------------------------------------------------------- credits


def test_many_small_credits_never_take_back_more_tax_than_there_was() -> None:
    groups = settle_taxes([(10, (TaxTreatment("S", Decimal(50), "VAT", "DE"),))]).groups
    earlier: list[dict[int, Credited]] = []
    for _ in range(10):
        earlier.append(credit_taxes(groups, earlier=earlier, bases={1: 1}))
    # a cent at 50 % rounds to a cent; five of them are all the tax
    assert [note[1].tax_minor for note in earlier] == [1] * 5 + [0] * 5


def test_more_than_is_left_cannot_be_credited() -> None:
    groups = settle_taxes([(1000, (VAT_19,))]).groups
    first = credit_taxes(groups, earlier=(), bases={1: 600})
    with pytest.raises(UnableToCredit, match="401 of a basis of which 400 of 1000 is left"):
        credit_taxes(groups, earlier=(first,), bases={1: 401})
    with pytest.raises(UnableToCredit):
        credit_taxes(groups, earlier=(first,), bases={1: -1})


def test_what_was_exempt_is_credited_without_tax() -> None:
    groups = settle_taxes([(1000, (EXEMPT,))]).groups
    assert credit_taxes(groups, earlier=(), bases={1: 1000}) == {1: Credited(1000, 0)}
