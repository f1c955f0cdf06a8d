"""What is left of an invoice that one more credit note can take: of its lines, of each tax, and of its total."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from milo_billing.invoicing.rules.adjusting import Place, Rerated
from milo_billing.invoicing.rules.left import Left, capped, left_of_invoice, with_given
from milo_billing.invoicing.rules.taxes import Credited, settle_taxes
from tests.unit.invoicing.builders import line, usage_part
from tests.unit.invoicing.golden_taxes import taxed
from tests.unit.invoicing.test_given_back import AUGUST, SEPTEMBER, place
from tests.unit.invoicing.test_spreading import DECISION

HIGH, LOW = "standard", "low"
TAXED = {**DECISION, LOW: (taxed("9"),)}


def left_of(
    lines: Sequence[tuple[int, str]],
    *,
    credited: dict[int, int] | None = None,
    credited_taxes: dict[int, Credited] | None = None,
) -> Left:
    """What is left of an invoice of these lines, net and tax category, numbered from 1."""
    found = settle_taxes([(net, TAXED[category]) for net, category in lines])
    issued = [
        replace(line("x", usage_part("1", "1", net), number=number), taxes=found.lines[number - 1])
        for number, (net, _) in enumerate(lines, start=1)
    ]
    return left_of_invoice(issued, found.groups, credited=credited or {}, credited_taxes=credited_taxes or {})


def places_of(left: Left) -> list[Place]:
    return [
        place(AUGUST, number, "Usage", f"sku-{number}", minor)
        for number, minor in left.lines.items()
        if minor > 0
    ]


def taken_of(left: Left, *given: dict[int, int]) -> dict[int, int]:
    """By line what one more credit note can take."""
    found = capped(places_of(left), left=left, given=given)
    return {one.line: one.left_minor for one in found if one.left_minor}


def test_what_is_left_is_what_credit_notes_have_not_taken_of_lines_and_taxes() -> None:
    lines = [(10_000, HIGH), (5_000, LOW), (-1_000, HIGH)]
    left = left_of(lines, credited={1: 400}, credited_taxes={1: Credited(400, 77)})
    assert left.lines == {1: 9_600, 2: 5_000, 3: -1_000}
    assert left.taxes == {1: (1,), 2: (2,), 3: (1,)}
    assert [(group.basis_minor, group.tax_minor) for group in left.groups] == [(8_600, 1_633), (5_000, 450)]
    assert (left.net_minor, left.total_minor) == (13_600, 15_683)


@pytest.mark.parametrize(
    ("nets", "found"),
    [
        ((50, 30, 20), {1: 50, 2: 30, 3: 20}),
        ((50, 30, 20, -40), {1: 50, 2: 10}),  # the line below zero takes the rest
        ((50, 30, 20, -99), {1: 1}),
        ((50, 30, 20, -100), {}),
        ((50, 30, 20, -110), {}),
        ((50, -40, 20, 10), {1: 40}),
    ],
)
def test_a_line_below_zero_stands_against_the_others_of_its_tax(
    nets: tuple[int, ...], found: dict[int, int]
) -> None:
    assert taken_of(left_of([(net, "zero") for net in nets])) == found


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        # 20.00 are left at 19 %, and all that is taxed otherwise
        ([(10_000, HIGH), (-8_000, HIGH), (5_000, "zero")], {1: 2_000, 3: 5_000}),
        ([(10_000, HIGH), (-10_000, HIGH), (5_000, "zero")], {3: 5_000}),
        # of what stands below zero nothing, and no more of the others than 38.10 in all
        ([(1_000, HIGH), (-2_000, HIGH), (5_000, "zero")], {3: 3_810}),
        # 22.70 are left, which are more than 20.00 with 1.80: but no more than 20.00 are before tax
        ([(-1_000, "zero"), (3_000, LOW)], {2: 2_000}),
        # 30.00 with 2.70 stand against 12.74 with 2.42: 17.54 are left, which 16.09 with 1.45 are
        ([(-1_274, HIGH), (3_000, LOW)], {2: 1_609}),
        # a line of two taxes is held by each of them
        ([(1_000, "reduced"), (-400, "reduced"), (700, "zero")], {1: 600, 3: 700}),
        # the lines of one tax share what is left of it
        (
            [(2_000, HIGH), (2_000, HIGH), (2_000, HIGH), (-1_000, HIGH), (9_000, LOW)],
            {1: 2_000, 2: 2_000, 3: 1_000, 5: 9_000},
        ),
        # 20.00 are before tax, whatever the taxes
        ([(-1_000, "zero"), (800, LOW), (700, LOW), (1_500, HIGH)], {2: 800, 3: 700, 4: 500}),
        # nothing is left of the total, though 6.00 are before tax
        ([(4_000, "zero"), (-3_400, HIGH)], {}),
    ],
)
def test_no_tax_gives_more_than_it_has_nor_the_invoice_more_than_its_total(
    lines: list[tuple[int, str]], found: dict[int, int]
) -> None:
    assert taken_of(left_of(lines)) == found


def test_notes_that_are_about_to_be_written_take_their_parts_first() -> None:
    left = left_of([(5_000, HIGH), (3_000, HIGH), (-1_000, HIGH), (2_000, LOW)])
    assert taken_of(left, {1: 4_000}, {1: 500, 4: 1_200}) == {1: 500, 2: 2_000, 4: 800}
    assert taken_of(left, {1: 5_000}, {2: 2_000, 4: 2_000}) == {}
    assert taken_of(left, {1: 1_000, 2: 1_000}) == {1: 4_000, 2: 1_000, 4: 2_000}


def test_the_last_of_a_basis_takes_all_of_its_tax_that_earlier_notes_left() -> None:
    """0.03 are left of the tax on 0.10 at 9 %, as two notes before were rounded down: 0.57 less 0.13 are 0.44."""
    left = left_of(
        [(100, LOW), (50, "zero"), (-5, HIGH)], credited={1: 90}, credited_taxes={1: Credited(90, 6)}
    )
    assert left.total_minor == 57
    assert taken_of(left) == {1: 10, 2: 44}


def test_each_note_may_round_its_tax_up_so_more_of_them_take_less_where_a_tax_is_below_zero() -> None:
    """100.00 at 9 % stand against 50.00 at 19 %: 49.50 in all, which 45.41 with 4.09 are, and half a cent a note."""
    left = left_of([(10_000, LOW), (-5_000, HIGH)])
    assert left.total_minor == 4_950
    assert taken_of(left) == {1: 4_541}
    assert taken_of(left, {1: 10}) == {1: 4_531}
    assert taken_of(left, *[{1: 10}] * 5) == {1: 4_489}


def test_the_notes_about_to_be_written_are_one_an_invoice_of_everything_that_was_rated_again() -> None:
    first, second = (place(AUGUST, number, "Usage", f"sku-{number}", 900) for number in (1, 2))
    other = place(SEPTEMBER, 1, "Usage", "sku-1", 900)
    rerated = [
        Rerated(AUGUST, (), {}, ((first, 10), (second, 20), (other, 30)), 1),
        Rerated(SEPTEMBER, (), {}, ((first, 4),), 1),
        Rerated(SEPTEMBER, (), {}, (), 2),
    ]
    found = with_given({}, rerated)
    assert found == {AUGUST.uid: ({1: 10, 2: 20}, {1: 4}), SEPTEMBER.uid: ({1: 30},)}
    again = with_given(found, rerated[1:])
    assert again == {AUGUST.uid: ({1: 10, 2: 20}, {1: 4}, {1: 4}), SEPTEMBER.uid: ({1: 30},)}
    assert len(found[AUGUST.uid]) == 2


def test_a_place_is_the_same_whatever_is_left_of_it() -> None:
    one = place(AUGUST, 1, "Usage", "sku-1", 900)
    assert one == replace(one, left_minor=5)
    assert one != replace(one, invoice=UUID(int=1))
