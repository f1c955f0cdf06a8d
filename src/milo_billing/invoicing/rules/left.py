"""What is left of an issued invoice that credit notes can take back together (domain.md §7). Pure.

A line below zero stands against the others of its tax, and a tax below zero against the other taxes: so less can be
taken back of charges than is left of their lines. Owns: how much of which line. Not: which lines are asked (adjusting,
below_zero), the tax of a note (taxes), which is refused beyond that.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias
from uuid import UUID

from milo_billing.invoicing.rules.adjusting import Place, Rerated
from milo_billing.invoicing.rules.crediting import left_of
from milo_billing.invoicing.rules.taxes import Credited
from milo_billing.invoicing.types.invoices import InvoiceLine
from milo_billing.kernel.taxes import TaxGroup

Given: TypeAlias = Mapping[UUID, tuple[Mapping[int, int], ...]]
"""By invoice the credit notes that are about to be written: what each takes, net, by line."""


@dataclass(frozen=True, slots=True)
class Left:
    """What earlier credit notes left of an invoice, in minor units, with the signs of what was charged.

    `lines` is net by line, `taxes` has the numbers of each line's tax groups, and `groups` what is left of these.
    """

    lines: Mapping[int, int]
    taxes: Mapping[int, tuple[int, ...]]
    groups: tuple[TaxGroup, ...]

    @property
    def net_minor(self) -> int:
        """Before tax."""
        return sum(self.lines.values())

    @property
    def total_minor(self) -> int:
        """With tax."""
        return self.net_minor + sum(group.tax_minor for group in self.groups)


def left_of_invoice(
    lines: Sequence[InvoiceLine],
    groups: Iterable[TaxGroup],
    *,
    credited: Mapping[int, int],
    credited_taxes: Mapping[int, Credited],
) -> Left:
    """What is left; `credited` is what credit notes that stand took by line, `credited_taxes` by tax group."""
    none = Credited(0, 0)
    return Left(
        lines=left_of(lines, credited=credited),
        taxes={line.line: line.taxes for line in lines},
        groups=tuple(
            replace(
                group,
                basis_minor=group.basis_minor - credited_taxes.get(number, none).basis_minor,
                tax_minor=group.tax_minor - credited_taxes.get(number, none).tax_minor,
            )
            for number, group in enumerate(groups, start=1)
        ),
    )


def with_given(given: Given, rerated: Iterable[Rerated]) -> Given:
    """With the credit notes of these: each has one over every invoice that it gives something back of."""
    found = dict(given)
    for one in rerated:
        notes: dict[UUID, dict[int, int]] = {}
        for place, minor in one.given_back:
            notes.setdefault(place.invoice, {})[place.line] = minor
        for invoice, note in notes.items():
            found[invoice] = (*found.get(invoice, ()), note)
    return found


def capped(
    places: Iterable[Place], *, left: Left, given: Sequence[Mapping[int, int]] = ()
) -> tuple[Place, ...]:
    """These places of one invoice with as much as one more credit note can take of them, all of it or any part.

    `given` are the notes about to be written over it, which take their parts first. The places before a place come
    before it, where they share what is left.
    """
    taken: dict[int, int] = {}
    for note in given:
        for line, minor in note.items():
            taken[line] = taken.get(line, 0) + minor
    bases: dict[int, int] = {}
    for line, minor in taken.items():
        _add(bases, left.taxes[line], minor)
    net_minor = sum(taken.values())
    found: list[Place] = []
    for place in places:
        taxes = left.taxes[place.line]
        most_minor = min(
            place.left_minor - taken.get(place.line, 0),
            left.net_minor - net_minor,
            *(left.groups[number - 1].basis_minor - bases.get(number, 0) for number in taxes),
        )
        minor = _within_total(max(most_minor, 0), taxes, net_minor, bases, left=left, notes=len(given) + 1)
        found.append(replace(place, left_minor=minor))
        if minor:
            net_minor += minor
            _add(bases, taxes, minor)
    return tuple(found)


def _within_total(
    most_minor: int,
    taxes: Iterable[int],
    net_minor: int,
    bases: Mapping[int, int],
    *,
    left: Left,
    notes: int,
) -> int:
    """The most that can be taken under these taxes beside what is taken, for the total not to be exceeded."""
    if all(group.basis_minor >= 0 for group in left.groups):
        return most_minor  # no tax is below zero: then what is left of each holds the total

    def exceeds(minor: int) -> bool:
        after = dict(bases)
        _add(after, taxes, minor)
        return _total_most(net_minor + minor, after, left=left, notes=notes) > left.total_minor

    return bisect_left(range(1, most_minor + 1), True, key=exceeds)


def _total_most(net_minor: int, bases: Mapping[int, int], *, left: Left, notes: int) -> int:
    """What so many credit notes over these bases come to at most, with tax: each may round it up by half a unit.

    Never more of a tax than is left, and all that is left where the whole basis is taken.
    """
    total_minor = net_minor
    for number, basis_minor in bases.items():
        group = left.groups[number - 1]
        rounded_up = Fraction(group.treatment.percent) * basis_minor / 100 + Fraction(notes, 2)
        whole = basis_minor == group.basis_minor
        total_minor += group.tax_minor if whole else min(group.tax_minor, int(rounded_up))
    return total_minor


def _add(bases: dict[int, int], taxes: Iterable[int], minor: int) -> None:
    for number in taxes:
        bases[number] = bases.get(number, 0) + minor
