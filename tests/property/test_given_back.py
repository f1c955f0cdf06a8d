"""Whatever is given back of invoices that stand: the credit notes can be written, and are exactly what was to come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from uuid import UUID

from hypothesis import assume, given
from hypothesis import strategies as st

from milo_billing.invoicing.rules import adjusting, below_zero, crediting
from milo_billing.invoicing.rules.adjusting import Charged, GivenBack, Place, Rerated, Taxed
from milo_billing.invoicing.rules.below_zero import Creditable
from milo_billing.invoicing.rules.crediting import LineCredit
from milo_billing.invoicing.rules.left import Given, Left, capped, left_of_invoice, with_given
from milo_billing.invoicing.rules.taxes import Credited, settle_taxes
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine
from milo_billing.kernel.taxes import TaxGroup
from tests.unit.invoicing.builders import line, usage_part
from tests.unit.invoicing.golden_taxes import taxed
from tests.unit.invoicing.issued import issued
from tests.unit.invoicing.test_given_back import a_line, drafted
from tests.unit.invoicing.test_spreading import DECISION

TAXED = {**DECISION, "low": (taxed("9"),), "split": (taxed("19"), taxed("2", "Levy"))}
OCTOBER = date(2026, 10, 1), date(2026, 11, 1)
SKUS = ("support", "tokens", "storage")


@dataclass(slots=True)
class Standing:
    """An invoice, and what credit notes took of it: as much as the database lets them."""

    invoice: Invoice
    lines: Mapping[int, InvoiceLine]
    groups: tuple[TaxGroup, ...]
    credited: dict[int, int] = field(default_factory=dict[int, int])
    taxes: dict[int, Credited] = field(default_factory=dict[int, Credited])

    @property
    def left(self) -> Left:
        return left_of_invoice(
            [*self.lines.values()], self.groups, credited=self.credited, credited_taxes=self.taxes
        )

    def places(self, given: Given | None = None) -> tuple[Place, ...]:
        left = self.left
        places = [
            Place(
                self.invoice.uid,
                number,
                Charged("Recurring", SKUS[number % len(SKUS)], *OCTOBER),
                left.lines[number],
            )
            for number in self.lines
            if left.lines[number] > 0
        ]
        return capped(places, left=left, given=(given or {}).get(self.invoice.uid, ()))

    def credit(self, note: Mapping[int, int]) -> None:
        """Write the credit note as `engine.crediting` and the database do; they refuse what is not left."""
        left = self.left
        found = crediting.credit_lines(
            [LineCredit(number, minor) for number, minor in note.items()],
            amount_minor=None,
            lines=self.lines,
            left=left.lines,
            currency="EUR",
        )
        back = crediting.credited_taxes(
            found, lines=self.lines, groups=self.groups, earlier=self.taxes, currency="EUR"
        )
        assert 0 < crediting.total_of(found, back) <= left.total_minor
        assert sum(note.values()) <= left.net_minor
        for one in found:
            self.credited[one.line] = self.credited.get(one.line, 0) + one.net_minor
        for number, one in back.items():
            before = self.taxes.get(number, Credited(0, 0))
            sums = Credited(before.basis_minor + one.basis_minor, before.tax_minor + one.tax_minor)
            assert 0 <= sums.tax_minor <= self.groups[number - 1].tax_minor
            self.taxes[number] = sums


def standing(number: int, lines: Sequence[tuple[int, str]]) -> Standing:
    found = settle_taxes([(net, TAXED[category]) for net, category in lines])
    return Standing(
        replace(issued(0), uid=UUID(int=number), number=f"KC-{number}", taxes=found.groups),
        {
            position: replace(
                line("x", usage_part("1", "1", net), number=position), taxes=found.lines[position - 1]
            )
            for position, (net, _) in enumerate(lines, start=1)
        },
        found.groups,
    )


LINES = st.lists(
    st.tuples(st.integers(-3_000, 5_000) | st.integers(-9, 9), st.sampled_from(sorted(TAXED))),
    min_size=1,
    max_size=6,
)
AMOUNTS = st.lists(st.integers(1, 6_000), min_size=1, max_size=5)


@given(
    LINES, st.lists(st.lists(st.integers(0, 100), min_size=6, max_size=6), min_size=1, max_size=6), st.data()
)
def test_notes_over_any_part_of_what_is_left_can_be_written_in_any_order_and_joined(
    lines: list[tuple[int, str]], percents: list[list[int]], data: st.DataObject
) -> None:
    """Each takes any part of what those before left, none being written yet; then all are, some as one."""
    found = standing(1, lines)
    assume(found.left.total_minor >= 0)
    notes: list[dict[int, int]] = []
    for percent in percents:
        places = found.places({found.invoice.uid: tuple(notes)})
        note = {one.line: minor for one in places if (minor := one.left_minor * percent[one.line % 6] // 100)}
        if note:
            notes.append(note)
    written = data.draw(st.permutations(notes))
    if len(written) > 1 and data.draw(st.booleans()):
        joined = {
            number: written[0].get(number, 0) + written[1].get(number, 0)
            for number in {*written[0], *written[1]}
        }
        written = [joined, *written[2:]]
    for note in written:
        found.credit(note)


@given(st.lists(LINES, min_size=1, max_size=3), AMOUNTS, st.lists(st.integers(1, 4_000), max_size=3))
def test_what_a_month_gives_back_beyond_what_it_charges_comes_off_earlier_invoices_exactly(
    invoices: list[list[tuple[int, str]]], backs: list[int], before: list[int]
) -> None:
    """Whatever credit notes took before: all of it is said on the month's invoice, and of that as much is credited as
    is left, beside what came late of the same invoices.
    """
    stand = [standing(number, lines) for number, lines in enumerate(invoices, start=1)]
    assume(all(one.left.total_minor >= 0 for one in stand))
    for amount in before:
        give(
            stand,
            adjusting.give_back(
                asking(amount), [place for one in stand for place in one.places()], withheld={}
            ),
        )
    late = Rerated(
        stand[0].invoice, (), {}, adjusting.give_back(asking(500), stand[0].places(), withheld={}), sequence=1
    )
    pending = with_given({}, [late])
    creditable = [Creditable(one.invoice, one.places(pending), 2) for one in stand]
    month = drafted(*(a_line("Recurring", SKUS[n % 3], -minor) for n, minor in enumerate(backs)))
    found = below_zero.give_elsewhere(month, sum(backs), creditable=creditable, earlier=[late])
    assert sum(line.amount_minor for one in found for line in one.lines) == sum(backs)
    room = sum(place.left_minor for one in creditable for place in one.places)
    given_back = [part for one in found for part in one.given_back]
    came_late = sum(minor for _, minor in late.given_back)
    assert sum(minor for _, minor in given_back) - came_late == min(sum(backs), room)
    for one in found:
        give(stand, one.given_back)


@given(LINES, AMOUNTS)
def test_what_is_given_back_of_one_invoice_is_all_of_it_as_far_as_something_is_left(
    lines: list[tuple[int, str]], amounts: list[int]
) -> None:
    found = standing(1, lines)
    assume(found.left.total_minor >= 0)
    for amount in amounts:
        places = found.places()
        parts = adjusting.give_back(asking(amount), places, withheld={})
        assert sum(minor for _, minor in parts) == min(amount, sum(place.left_minor for place in places))
        give([found], parts)
    if all(group.basis_minor >= 0 for group in found.groups) and len(found.groups) == 1:
        assert sum(found.credited.values()) == min(sum(amounts), max(sum(net for net, _ in lines), 0))


def asking(minor: int) -> GivenBack:
    return GivenBack({Charged("Recurring", "tokens", *OCTOBER): minor}, minor)


def give(stand: Sequence[Standing], parts: Sequence[tuple[Place, int]]) -> None:
    """One credit note an invoice."""
    for one in stand:
        note = {place.line: minor for place, minor in parts if place.invoice == one.invoice.uid}
        if note:
            one.credit(note)


TAXES = ((), (taxed("19"),), (taxed("9"),), (taxed("19"), taxed("2", "Levy")))
PLACES = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(TAXES)), min_size=1, max_size=6)


@given(
    PLACES,
    PLACES,
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 90)), min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(TAXES), st.integers(0, 90)),
)
def test_nothing_comes_back_at_another_tax_while_any_is_left_of_its_own(
    own: list[tuple[int, Taxed]],
    other: list[tuple[int, Taxed]],
    wanted: list[tuple[int, int]],
    withheld: dict[Taxed, int],
) -> None:
    keys = [Charged("Usage", f"sku-{number}", *OCTOBER) for number in range(7)]
    places, others = (
        [Place(UUID(int=uid), number, keys[number], *each) for number, each in enumerate(found)]
        for uid, found in ((1, own), (2, other))
    )
    lines = {keys[number]: minor for number, minor in wanted}
    change = GivenBack(lines, sum(lines.values()))
    found = dict(adjusting.give_back(change, places, others, withheld=withheld))
    assert all(0 < minor <= place.left_minor for place, minor in found.items())
    of_others = sum(minor for place, minor in found.items() if place in others)
    most = min(sum(withheld.values()), sum(place.left_minor for place in others))
    assert of_others <= most
    # all that there is, and no more
    assert sum(found.values()) == min(change.total_minor, sum(place.left_minor for place in places) + most)
    for tax in TAXES[1:]:
        charged_with = sum(lines.get(place.of, 0) for place in places if place.taxed == tax)
        here, there = (sum(one.left_minor for one in every if one.taxed == tax) for every in (places, others))
        left = here + min(withheld.get(tax, 0), there)
        assert sum(minor for place, minor in found.items() if place.taxed == tax) >= min(charged_with, left)
