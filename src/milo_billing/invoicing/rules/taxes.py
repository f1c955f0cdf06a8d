"""What tax comes to: once for each treatment over the invoice, and on a credited part of it (domain.md §2, §7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from milo_billing.invoicing.types.drafts import Draft
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.kernel.money import Money, half_up, minor_to_decimal, settle
from milo_billing.kernel.quantity import fraction, is_int64
from milo_billing.kernel.taxes import AccountingTax, TaxDecision, TaxGroup, TaxTreatment


class UnableToCredit(ValueError):
    """More would be credited than is left of a tax group: the three amounts in minor units, of no currency here."""

    def __init__(self, *, wanted_minor: int, left_minor: int, of_minor: int) -> None:
        super().__init__(f"{wanted_minor} of a basis of which {left_minor} of {of_minor} is left")
        self.wanted_minor, self.left_minor, self.of_minor = wanted_minor, left_minor, of_minor


@dataclass(frozen=True, slots=True)
class Taxes:
    """The tax groups of an invoice, and for each line the numbers, from 1, of those it belongs to."""

    groups: tuple[TaxGroup, ...]
    lines: tuple[tuple[int, ...], ...]

    @property
    def tax_minor(self) -> int:
        """The tax of the invoice: the sum of its groups', which are settled."""
        return sum(group.tax_minor for group in self.groups)


@dataclass(frozen=True, slots=True)
class Credited:
    """What a credit note takes back of one tax group, both with the sign of the group."""

    basis_minor: int
    tax_minor: int


def tax_minor(basis_minor: int, percent: Decimal) -> int:
    """The tax on an amount in minor units, half-up away from zero [CR-053, CR-054, CR-061]."""
    exact = Fraction(percent) * basis_minor / 100
    return half_up(exact.numerator, exact.denominator)


def settle_taxes(lines: Sequence[tuple[int, tuple[TaxTreatment, ...]]]) -> Taxes:
    """The groups of lines, each given as its net in minor units and its treatments, in the order of their first line.

    A line under several taxes stands in the basis of each.
    """
    numbers: dict[TaxTreatment, int] = {}
    bases: list[int] = []
    of_lines: list[tuple[int, ...]] = []
    for net_minor, treatments in lines:
        if not treatments:
            raise ValueError("every line is taxed somehow: category O says that it is not")
        for treatment in treatments:
            if numbers.setdefault(treatment, len(bases)) == len(bases):
                bases.append(0)
            bases[numbers[treatment]] += net_minor
        of_lines.append(tuple(numbers[treatment] + 1 for treatment in treatments))
    groups = tuple(
        TaxGroup(treatment, basis, tax_minor(basis, treatment.percent))
        for treatment, basis in zip(numbers, bases, strict=True)
    )
    return Taxes(groups, tuple(of_lines))


def with_taxes(draft: Draft, decision: TaxDecision) -> Draft:
    """The untaxed draft with the tax of its lines' categories as was decided, in its total too.

    What adjusts an issued line is taxed as that was.

    Raises UnableToIssue where the total does not fit in 64 bits. It may be below zero: see `assert_owed`.
    """
    found = settle_taxes(
        [
            (line.net_minor, (line.adjusts and line.adjusts.treatments) or decision[line.tax_category])
            for line in draft.lines
        ]
    )
    total_minor = draft.total_minor + found.tax_minor
    if not is_int64(total_minor):
        total = f"{minor_to_decimal(total_minor, draft.currency)} {draft.currency}"
        raise UnableToIssue(f"an invoice cannot total {total} with its tax: check the prices and the usage")
    return replace(
        draft,
        lines=tuple(replace(line, taxes=taxes) for line, taxes in zip(draft.lines, found.lines, strict=True)),
        taxes=found.groups,
        tax_minor=found.tax_minor,
        total_minor=total_minor,
    )


def assert_owed(taxed: Draft) -> None:
    """No invoice totals below zero (domain.md §7). Raises UnableToIssue, with the tax that brings it there."""
    if taxed.total_minor >= 0:
        return
    given_back = " and ".join(
        f"{Money(group.tax_minor, taxed.currency)} of {group.treatment.name} "
        f"{group.treatment.percent.normalize():f} % ({group.treatment.place})"
        for group in taxed.taxes
        if group.tax_minor < 0
    )
    raise UnableToIssue(
        f"with tax the invoice would come to {taxed.total}, for {given_back}: so it is where prepaid money was taxed "
        "when it was bought, and pays for what is taxed less. End the commitment, accept one whose spec.taxCategory is "
        "that of what it pays for, then run the month again"
    )


def credit_taxes(
    groups: Sequence[TaxGroup],
    *,
    earlier: Sequence[Mapping[int, Credited]],
    bases: Mapping[int, int],
) -> dict[int, Credited]:
    """What a credit note takes back of each tax group, by the group's number, from 1 [CR-005..010].

    `bases` is the net to credit, settled, with the group's sign; `earlier` what the notes before took. The tax is on
    the settled net, and never more than is left; the note that takes the last of a group takes the rest of its tax.
    So over all notes exactly the invoice's tax comes back. Raises UnableToCredit.
    """
    found: dict[int, Credited] = {}
    for number, basis_minor in bases.items():
        group = groups[number - 1]
        before = [note[number] for note in earlier if number in note]
        left = group.basis_minor - sum(one.basis_minor for one in before)
        left_tax = group.tax_minor - sum(one.tax_minor for one in before)
        if basis_minor * left < 0 or abs(basis_minor) > abs(left):
            raise UnableToCredit(wanted_minor=basis_minor, left_minor=left, of_minor=group.basis_minor)
        if basis_minor == left:
            tax = left_tax
        else:
            tax = tax_minor(basis_minor, group.treatment.percent)
            tax = left_tax if abs(tax) > abs(left_tax) else tax
        found[number] = Credited(basis_minor, tax)
    return found


def credited_accounting_tax(
    whole: AccountingTax | None, *, of: Money, before: Money, credited: Money
) -> AccountingTax | None:
    """What a note that credits so much of an invoice's tax takes back in the currency of the issuer's books.

    At the rate of the invoice, whatever the day. `whole` is the tax `of` the invoice, `before` what earlier notes took.
    The note that takes the last of the tax takes what is left of it there too: over all notes the invoice's comes back.
    """
    if whole is None:
        return None

    def until(taken: Money) -> int:
        exact = fraction(taken.decimal()) * fraction(whole.rate)
        return whole.tax_minor if taken == of else settle(exact, whole.currency).minor

    return replace(whole, tax_minor=until(before + credited) - until(before))
