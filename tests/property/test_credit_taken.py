"""Whatever credit and prepaid money take of an invoice: nothing is lost, and no total and no tax is below zero."""

from decimal import Decimal

from hypothesis import assume, given
from hypothesis import strategies as st

from milo_billing.invoicing.rules import below_zero, grants
from milo_billing.invoicing.rules.grants import GrantKind, Reaching, Usable
from milo_billing.invoicing.rules.spreading import spread
from milo_billing.invoicing.rules.taxes import Credited, credit_taxes, settle_taxes, with_taxes
from tests.unit.invoicing import test_given_back as given_back
from tests.unit.invoicing.golden_taxes import taxed
from tests.unit.invoicing.granted import draft_of, granted
from tests.unit.invoicing.test_given_back import PROMISE, a_line
from tests.unit.invoicing.test_spreading import CATEGORIES, DECISION, drafted

_charges = st.lists(st.integers(-1_000, 1_000), min_size=1, max_size=6)


_credits = st.lists(st.integers(1, 1_500), max_size=5)


@given(_charges, _credits, st.integers(-500, 3_000))
def test_nothing_is_made_or_lost(charges: list[int], credits: list[int], limit: int) -> None:
    burned = grants.burn(charges, [Usable(minor) for minor in credits], limit_minor=limit)
    by_charge = [sum(uses.get(position, 0) for uses in burned) for position in range(len(charges))]
    assert all(0 <= taken <= max(charge, 0) for taken, charge in zip(by_charge, charges, strict=True))
    assert all(sum(uses.values()) <= minor for uses, minor in zip(burned, credits, strict=True))
    owed = sum(max(charge, 0) for charge in charges)
    assert sum(by_charge) == min(owed, sum(credits), max(limit, 0))


@given(_charges, _credits, _credits, _credits, st.sampled_from(["0", "7.5", "19"]))
def test_an_invoice_is_never_settled_beyond_its_total(
    charges: list[int], promotions: list[int], goodwill: list[int], prepaid: list[int], percent: str
) -> None:
    """Whatever was granted, and whatever lines give back: each amount is within the one before it."""
    if sum(charges) < 0:
        charges = [abs(charge) for charge in charges]
    wanted: dict[GrantKind, list[int]] = {
        "Promotional": promotions,
        "Goodwill": goodwill,
        "Prepaid": prepaid,
    }
    found = [
        Reaching(granted(kind, minor, number))
        for kind, minors in wanted.items()
        for number, minor in enumerate(minors)
    ]
    untaxed = grants.with_promotional(draft_of(charges), found)
    assert 0 <= untaxed.total_minor <= sum(charges)
    drafted = with_taxes(untaxed, {"standard": (taxed(percent),)})
    plan = grants.settling(drafted, found, issuer="kestrel")
    assert 0 <= plan.goodwill_minor <= drafted.total_minor
    assert 0 <= plan.prepaid_minor <= drafted.total_minor - plan.goodwill_minor
    money = sum(prepaid)
    assert plan.prepaid_minor == min(money, drafted.total_minor - plan.goodwill_minor)
    assert Decimal(percent) or plan.goodwill_minor == sum(one.net_minor for one in plan.goodwill)


LINES = st.lists(st.tuples(st.integers(-3_000, 5_000), st.sampled_from(CATEGORIES)), min_size=1, max_size=7)


@given(LINES, st.lists(st.integers(1, 10_000), min_size=1, max_size=5))
def test_whatever_amounts_are_credited_one_after_the_other_no_line_and_no_tax_gives_more_than_it_has(
    lines: list[tuple[int, str]], amounts: list[int]
) -> None:
    single = [(net, category) for net, category in lines if category != "reduced"]
    assume(sum(net for net, _ in single) > 0)
    found = settle_taxes([(net, DECISION[category]) for net, category in single])
    numbers = dict(enumerate(found.lines, start=1))
    left = dict(enumerate((net for net, _ in single), start=1))
    earlier: list[dict[int, Credited]] = []
    for amount in [*amounts, sum(left.values())]:
        part = min(amount, sum(left.values()))
        if part <= 0:
            continue
        taken = spread(part, left, taxes=numbers)
        assert sum(taken.values()) == part
        assert all(minor * left[one] > 0 and abs(minor) <= abs(left[one]) for one, minor in taken.items())
        bases: dict[int, int] = {}
        for one, minor in taken.items():
            left[one] -= minor
            for number in numbers[one]:
                bases[number] = bases.get(number, 0) + minor
        earlier.append(credit_taxes(found.groups, earlier=earlier, bases=bases))
    assert sum(left.values()) == 0


@given(LINES, st.lists(st.integers(1, 6_000), max_size=3), st.lists(st.integers(1, 6_000), max_size=3))
def test_no_credit_brings_an_invoice_or_one_of_its_taxes_below_zero(
    lines: list[tuple[int, str]], promotions: list[int], goodwill: list[int]
) -> None:
    for category in CATEGORIES:
        assume(sum(net for net, one in lines if one == category) >= 0)
    untaxed = grants.with_promotional(
        drafted(lines), [Reaching(granted("Promotional", minor, n)) for n, minor in enumerate(promotions)]
    )
    draft = with_taxes(untaxed, DECISION)
    assert all(group.basis_minor >= 0 for group in draft.taxes)
    reaching = [Reaching(granted("Goodwill", minor, n)) for n, minor in enumerate(goodwill)]
    plan = grants.settling(draft, reaching, issuer="kestrel")
    assert 0 <= plan.goodwill_minor <= draft.total_minor


AMOUNTS = st.lists(
    st.tuples(st.integers(0, 5_000), st.sampled_from(["high", "low", "none"])), min_size=1, max_size=4
)


@given(AMOUNTS, st.sampled_from(["high", "low", "none"]), st.integers(0, 100))
def test_whatever_prepaid_money_pays_for_the_total_is_zero_at_least_and_the_least_is_not_drawn(
    charges: list[tuple[int, str]], category: str, percent: int
) -> None:
    """No tax group of what is charged is below zero but that of the money itself; and all sums are exact."""
    drawn = sum(minor for minor, _ in charges) * percent // 100
    lines = [
        *(a_line("Usage", f"sku-{number}", minor, of) for number, (minor, of) in enumerate(charges)),
        a_line("DrawDown", PROMISE, -drawn, category),
    ]

    def total(less: int) -> int:
        back = a_line("Adjustment", PROMISE, less, category)
        made = with_taxes(given_back.drafted(*lines, back), given_back.DECISION)
        assert made.total_minor == sum(group.basis_minor + group.tax_minor for group in made.taxes)
        own = given_back.DECISION[category][0]
        assert all(group.tax_minor >= 0 for group in made.taxes if group.treatment != own)
        return made.total_minor

    less = sum(
        minor
        for _, minor in below_zero.overdrawn(with_taxes(given_back.drafted(*lines), given_back.DECISION))
    )
    assert 0 <= less <= drawn
    assert total(less) >= 0
    assert less == 0 or total(less - 1) < 0
