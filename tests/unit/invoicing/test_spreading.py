"""What is taken of an invoice with lines that give money back: in proportion, and never more of a tax than it has."""

from dataclasses import replace

import pytest

from milo_billing.invoicing.rules import crediting, grants
from milo_billing.invoicing.rules.grants import Reaching
from milo_billing.invoicing.rules.spreading import spread
from milo_billing.invoicing.rules.taxes import Credited, with_taxes
from milo_billing.invoicing.types.drafts import Draft
from tests.unit.invoicing.builders import line, usage_part
from tests.unit.invoicing.golden_taxes import taxed
from tests.unit.invoicing.granted import draft_of, granted

CATEGORIES = ("standard", "zero", "reduced")
DECISION = {
    "standard": (taxed("19"),),
    "zero": (taxed("0"),),
    "reduced": (taxed("5.5", "GST"), taxed("9.975", "QST")),
}


def drafted(lines: list[tuple[int, str]]) -> Draft:
    draft = draft_of([net for net, _ in lines])
    made = tuple(
        replace(one, tax_category=category) for one, (_, category) in zip(draft.lines, lines, strict=True)
    )
    return replace(draft, lines=made)


DRAWN = [(10_000, "standard"), (-8_000, "standard"), (5_000, "zero")]
"""Usage at 19 %, most of it paid by prepaid money, and some that is not taxed: 20.00 and 50.00 are left."""


@pytest.mark.parametrize(
    ("amount", "parts", "taxes"),
    [
        (140, {1: 200, 2: -160, 3: 100}, {1: (40, 8), 2: (100, 0)}),  # 2 % of everything
        (6_000, {1: 8_570, 2: -6_856, 3: 4_286}, {1: (1_714, 326), 2: (4_286, 0)}),
        (1, {3: 1}, {2: (1, 0)}),
    ],
)
def test_an_amount_is_credited_in_proportion_though_a_line_gives_money_back(
    amount: int, parts: dict[int, int], taxes: dict[int, tuple[int, int]]
) -> None:
    groups = with_taxes(drafted(DRAWN), DECISION)
    lines = {
        number: replace(line("x", usage_part("1", "1", one.net_minor), number=number), taxes=one.taxes)
        for number, one in enumerate(groups.lines, start=1)
    }
    left = crediting.left_of(lines.values(), credited={})
    found = crediting.credit_lines((), amount_minor=amount, lines=lines, left=left, currency="EUR")
    assert {one.line: one.net_minor for one in found} == parts
    back = crediting.credited_taxes(found, lines=lines, groups=groups.taxes, earlier={}, currency="EUR")
    assert back == {number: Credited(*one) for number, one in taxes.items()}


def test_of_lines_that_give_back_together_the_largest_remainder_goes_first_too() -> None:
    """4 of 7: a group of 10 gives 6, one of -3 gives -2, of which -1.33 and -0.67 are those of its lines."""
    assert spread(4, {1: 10, 2: -2, 3: -1}, taxes={1: (1,), 2: (2,), 3: (2,)}) == {1: 6, 2: -1, 3: -1}


def test_more_than_is_left_is_not_spread() -> None:
    for amount in (0, 11):
        with pytest.raises(ValueError, match="cannot be taken of 10"):
            spread(amount, {1: 30, 2: -20}, taxes={1: (1,), 2: (1,)})


def test_promotional_credit_makes_no_tax_negative() -> None:
    """It once took the 70.00 of the first line: 19 % of -50.00 made an invoice of -9.50."""
    untaxed = grants.with_promotional(drafted(DRAWN), [Reaching(granted("Promotional", 20_000))])
    assert [one.net_minor for one in untaxed.lines] == [8_000, -8_000, 0]
    assert with_taxes(untaxed, DECISION).total_minor == 0


def test_goodwill_takes_no_more_of_a_tax_group_than_it_comes_to() -> None:
    """It once could not be issued: a note over 60.00 of a group with 20.00."""
    draft = with_taxes(drafted(DRAWN), DECISION)
    reaching = Reaching(granted("Goodwill", 6_000), frozenset({0}))
    (use,) = grants.settling(draft, [reaching], issuer="kestrel").goodwill
    assert (dict(use.lines), use.tax_minor) == ({0: 2_000}, 380)
