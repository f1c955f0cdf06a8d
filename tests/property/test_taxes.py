"""Whatever is on an invoice: groups sum up, are rounded once, and come back exactly in credit notes."""

from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.invoicing.rules.taxes import Credited, credit_taxes, settle_taxes
from milo_billing.kernel.taxes import TaxTreatment

PERCENTS = [Decimal(text) for text in ("0", "0.1", "5.5", "7", "8.875", "19", "23.33", "50", "100")]
TREATMENTS = st.sampled_from([TaxTreatment("S" if one else "Z", one, "VAT", "DE") for one in PERCENTS])
Line: TypeAlias = tuple[int, tuple[TaxTreatment, ...]]
LINES: st.SearchStrategy[list[Line]] = st.lists(
    st.tuples(st.integers(-(10**12), 10**12), st.tuples(TREATMENTS)), min_size=1
)


@given(LINES)
def test_groups_hold_every_line_once_and_their_tax_is_off_by_half_a_unit_at_most(lines: list[Line]) -> None:
    found = settle_taxes(lines)
    assert sum(group.basis_minor for group in found.groups) == sum(net for net, _ in lines)
    assert found.tax_minor == sum(group.tax_minor for group in found.groups)
    for number, group in enumerate(found.groups, start=1):
        members = [net for (net, _), taxes in zip(lines, found.lines, strict=True) if number in taxes]
        assert group.basis_minor == sum(members)
        exact = Fraction(group.treatment.percent) * group.basis_minor / 100
        assert abs(group.tax_minor - exact) <= Fraction(1, 2)
        assert abs(group.tax_minor) >= abs(exact) or abs(group.tax_minor - exact) < Fraction(1, 2)


@given(LINES, st.randoms(use_true_random=False))
def test_the_order_of_lines_changes_no_tax(lines: list[Line], random: Random) -> None:
    mixed = random.sample(lines, len(lines))
    assert set(settle_taxes(mixed).groups) == set(settle_taxes(lines).groups)


@given(st.integers(-(10**6), 10**6), TREATMENTS, st.lists(st.integers(0, 10**6), max_size=6))
def test_credit_notes_take_back_exactly_the_tax_and_never_more(
    basis: int, treatment: TaxTreatment, cuts: list[int]
) -> None:
    groups = settle_taxes([(basis, (treatment,))]).groups
    sign = -1 if basis < 0 else 1
    earlier: list[dict[int, Credited]] = []
    left = abs(basis)
    for cut in [*cuts, left]:
        part = min(cut, left)
        left -= part
        earlier.append(credit_taxes(groups, earlier=earlier, bases={1: sign * part}))
        taken = sum(note[1].tax_minor for note in earlier)
        assert abs(taken) <= abs(groups[0].tax_minor)
    if left:
        earlier.append(credit_taxes(groups, earlier=earlier, bases={1: sign * left}))
    assert sum(note[1].basis_minor for note in earlier) == basis
    assert sum(note[1].tax_minor for note in earlier) == groups[0].tax_minor
