"""What granted credit takes of an invoice and says of itself, in numbers; burn-down is in test_grants."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from milo_billing.catalog.types import LabelRequirement, SkuSelector
from milo_billing.invoicing.rules import grants
from milo_billing.invoicing.rules.grants import Grant, Reaching, Room, Usable
from milo_billing.invoicing.rules.taxes import with_taxes
from milo_billing.invoicing.types.drafts import Draft, LineDiscount
from milo_billing.kernel.money import Money
from tests.unit.invoicing.golden_taxes import taxed
from tests.unit.invoicing.granted import GRANTED, draft_of, granted

DAY = timedelta(days=1)
DECISION = {"standard": (taxed("20"),), "books": (taxed("0"),)}


def bought(minor: int, number: int = 0) -> Grant:
    """Prepaid credit that was taxed when it was bought from kestrel."""
    made = granted("Prepaid", minor, number)
    return replace(made, tax_at="Purchase", tax_category="standard", bought_number="KC-7")


def of_categories(*lines: tuple[int, str]) -> Draft:
    draft = draft_of([net for net, _ in lines])
    made = tuple(
        replace(one, tax_category=category) for one, (_, category) in zip(draft.lines, lines, strict=True)
    )
    return replace(draft, lines=made)


def nets(draft: Draft) -> list[int]:
    return [line.net_minor for line in draft.lines]


# ------------------------------------------------------------------------------------------------- amounts


@pytest.mark.parametrize(
    ("text", "minor"), [("12.345", 1_235), ("0.005", 1), ("92233720368547758.07", 2**63 - 1)]
)
def test_an_amount_of_credit_is_settled_once(text: str, minor: int) -> None:
    assert grants.amount_minor(text, currency="USD") == minor


@pytest.mark.parametrize("text", ["0", "0.004", "-1"])
def test_what_comes_to_nothing_is_no_credit(text: str) -> None:
    with pytest.raises(grants.UnableToGrant) as caught:
        grants.amount_minor(text, currency="USD")
    assert str(caught.value) == f"{text} USD is no amount of credit: say more than zero"


def test_more_than_can_be_counted_is_refused_with_the_reason() -> None:
    """It once was an error of the server: 15 digits, and four decimals of CLF."""
    with pytest.raises(grants.UnableToGrant) as caught:
        grants.amount_minor("999999999999999", currency="CLF")
    assert str(caught.value) == "999999999999999 CLF is more than can be counted: say less"


def test_amounts_are_of_the_grants_currency() -> None:
    assert granted("Goodwill", 1).money(500) == Money(500, "USD")


# ---------------------------------------------------------------------------------------------------- rooms


@pytest.mark.parametrize(
    ("rooms", "credits", "found"),
    [
        # 100 and -30 are taxed alike: 70 is all that they give, the other line what it comes to
        ([Room(frozenset({0, 1}), 70), Room(frozenset({2}), 50)], [500], [{0: 70, 2: 50}]),
        # what one credit takes is gone for the next
        ([Room(frozenset({0, 1}), 70), Room(frozenset({2}), 50)], [60, 60], [{0: 60}, {0: 10, 2: 50}]),
        # a line under two taxes gives what both have
        ([Room(frozenset({0, 2}), 120), Room(frozenset({2}), 5)], [500], [{0: 100, 2: 5}]),
        # a room that is below zero gives nothing
        ([Room(frozenset({0, 1}), -20), Room(frozenset({2}), 50)], [500], [{2: 50}]),
        ([Room(frozenset({0, 1}), 0), Room(frozenset({2}), 1)], [500], [{2: 1}]),
    ],
)
def test_of_charges_that_are_taxed_alike_no_more_is_taken_than_they_come_to(
    rooms: list[Room], credits: list[int], found: list[dict[int, int]]
) -> None:
    burned = grants.burn([100, -30, 50], [Usable(minor) for minor in credits], rooms=rooms)
    assert list(burned) == found


def test_credit_passes_over_what_it_does_not_reach() -> None:
    assert grants.burn([10, 20, 30], [Usable(100, frozenset({0, 2}))]) == ({0: 10, 2: 30},)


# ----------------------------------------------------------------------------------------------- before tax


def test_promotional_credit_is_a_discount_of_the_invoice_that_names_its_grant() -> None:
    grant = granted("Promotional", 150, 4)
    made = grants.with_promotional(replace(draft_of([100, 80]), discounts_minor=-7), [Reaching(grant)])
    discounts = [
        LineDiscount("Invoice", "CreditGrant", grant.uid, "credit-4", "Credit 4", None, -minor)
        for minor in (100, 50)
    ]
    assert [line.discounts for line in made.lines] == [(discounts[0],), (discounts[1],)]
    assert (made.discounts_minor, made.total_minor, made.subtotal_minor) == (-157, 30, 180)


def test_credit_that_was_bought_with_tax_names_the_invoice_of_the_purchase() -> None:
    made = grants.with_bought(draft_of([100]), [Reaching(bought(30, 2))], issuer="kestrel")
    (one,) = made.lines[0].discounts
    assert (one.given_by, one.title, one.amount_minor) == ("PrepaidCredit", "Credit 2 (KC-7)", -30)


def test_the_provider_gives_first_then_what_was_bought_pays_and_money_not_yet_taxed_waits() -> None:
    found = [
        Reaching(bought(60, 1)),
        Reaching(granted("Promotional", 50, 2)),
        Reaching(granted("Prepaid", 500, 3)),
        Reaching(granted("Goodwill", 500, 4)),
    ]
    made = grants.before_tax(draft_of([80]), found, issuer="kestrel")
    assert [(one.name, one.amount_minor) for one in made.lines[0].discounts] == [
        ("credit-2", -50),
        ("credit-1", -30),
    ]
    assert grants.uses_before_tax(made) == {found[1].grant.uid: 50, found[0].grant.uid: 30}
    elsewhere = grants.before_tax(draft_of([80]), found, issuer="other")
    assert [one.name for one in elsewhere.lines[0].discounts] == ["credit-2"]


def test_without_credit_the_draft_is_as_it_was() -> None:
    draft = draft_of([80])
    assert grants.before_tax(draft, [], issuer="kestrel") is draft


def test_nothing_is_taken_beyond_what_the_invoice_comes_to() -> None:
    """Books give 30.00 back; of 50.00 of usage 20.00 is left."""
    draft = of_categories((5_000, "standard"), (-3_000, "books"))
    assert nets(grants.with_promotional(draft, [Reaching(granted("Promotional", 9_000))])) == [3_000, -3_000]


def test_uses_are_sums_over_lines_by_grant_and_no_discount_of_others() -> None:
    made = grants.with_promotional(draft_of([100, 80]), [Reaching(granted("Promotional", 150))])
    own = replace(
        made.lines[0].discounts[0], given_by="Discount", source=granted("Goodwill", 1, 9).uid, amount_minor=-3
    )
    lines = (replace(made.lines[0], discounts=(own, *made.lines[0].discounts)), made.lines[1])
    assert grants.uses_before_tax(replace(made, lines=lines)) == {granted("Promotional", 1).uid: 150}


def test_what_was_earned_of_a_line_is_told_from_what_was_given_and_what_was_bought() -> None:
    found = [Reaching(granted("Promotional", 50, 1)), Reaching(bought(20, 2))]
    (line,) = grants.before_tax(draft_of([100]), found, issuer="kestrel").lines
    assert (line.net_minor, grants.granted_minor(line), grants.bought_minor(line)) == (30, -50, -20)
    assert grants.charged_minor(line) == 100


# ------------------------------------------------------------------------------------------------ behind tax


def test_goodwill_comes_with_its_tax_and_money_pays_the_rest() -> None:
    """100.00 at 20 % and 50.00 at none: 30.00 of goodwill are 36.00; 40.00 of money are left to pay of 134.00."""
    draft = with_taxes(of_categories((10_000, "standard"), (5_000, "books")), DECISION)
    goodwill, money = granted("Goodwill", 3_000, 1), granted("Prepaid", 9_400, 2)
    plan = grants.settling(draft, [Reaching(money), Reaching(goodwill)], issuer="kestrel")
    (use,) = plan.goodwill
    assert (use.grant, dict(use.lines), use.net_minor, use.tax_minor) == (goodwill, {0: 3_000}, 3_000, 600)
    assert (use.total_minor, plan.goodwill_minor) == (3_600, 3_600)
    assert (plan.prepaid, plan.prepaid_minor) == (((money, 9_400),), 9_400)


def test_goodwill_that_finds_nothing_left_to_give_leaves_the_next_its_own() -> None:
    draft = with_taxes(of_categories((1_000, "standard"), (500, "books")), DECISION)
    found = [
        Reaching(granted("Goodwill", 1_000, 1), frozenset({0})),
        Reaching(granted("Goodwill", 700, 2), frozenset({0})),
        Reaching(granted("Goodwill", 800, 3)),
    ]
    plan = grants.settling(draft, found, issuer="kestrel")
    assert [(one.grant.name, dict(one.lines), one.tax_minor) for one in plan.goodwill] == [
        ("credit-1", {0: 1_000}, 200),
        ("credit-3", {1: 500}, 0),
    ]


def test_goodwill_of_two_notes_takes_the_tax_of_what_is_left() -> None:
    """Of 0.33 at 20 % the tax is 0.07: 0.03 with 0.17, then the rest with the rest."""
    draft = with_taxes(draft_of([33]), DECISION)
    found = [Reaching(granted("Goodwill", 17, 1)), Reaching(granted("Goodwill", 90, 2))]
    plan = grants.settling(draft, found, issuer="kestrel")
    assert [(one.net_minor, one.tax_minor) for one in plan.goodwill] == [(17, 3), (16, 4)]


def test_goodwill_over_two_lines_of_one_tax_is_taxed_once() -> None:
    draft = with_taxes(draft_of([12, 12]), DECISION)
    plan = grants.settling(draft, [Reaching(granted("Goodwill", 24))], issuer="kestrel")
    assert [(dict(one.lines), one.tax_minor) for one in plan.goodwill] == [({0: 12, 1: 12}, 5)]


def test_goodwill_stays_within_what_the_invoice_comes_to() -> None:
    """Of two taxes one gives back: 50.00 of usage less 30.00 of books are 20.00."""
    draft = with_taxes(of_categories((5_000, "standard"), (-3_000, "books")), DECISION)
    (use,) = grants.settling(draft, [Reaching(granted("Goodwill", 9_000))], issuer="kestrel").goodwill
    assert use.net_minor == 2_000


@pytest.mark.parametrize(
    ("lines", "reach", "paid"),
    [
        # 100.00 with their 20 %, or 50.00 without
        ([(10_000, "standard"), (5_000, "books")], {0}, 12_000),
        ([(10_000, "standard"), (5_000, "books")], {1}, 5_000),
        ([(10_000, "standard"), (5_000, "books")], {0, 1}, 17_000),
        # two lines of a tax share it: 0.20 of 1.00, of which 0.01 and 0.19
        ([(5, "standard"), (95, "standard")], {0}, 6),
        ([(5, "standard"), (95, "standard")], {1}, 114),
        # a line that gives back bears none of the tax
        ([(10_000, "standard"), (-5_000, "standard")], {0}, 6_000),
        ([(1, "standard"), (9, "standard")], {1}, 11),
        ([(1, "standard"), (1, "standard"), (1, "standard")], {0}, 2),
        # nor does the tax that comes back make a charge smaller
        ([(1_000, "standard"), (-5_000, "standard"), (9_000, "books")], {0}, 1_000),
        # a tax of a cent counts
        ([(3, "standard"), (5, "books")], {0}, 4),
    ],
)
def test_money_for_some_skus_pays_what_their_lines_come_to_with_their_part_of_the_tax(
    lines: list[tuple[int, str]], reach: set[int], paid: int
) -> None:
    draft = with_taxes(of_categories(*lines), DECISION)
    found = [Reaching(granted("Prepaid", 10**6), frozenset(reach))]
    assert grants.settling(draft, found, issuer="kestrel").prepaid_minor == paid


def test_money_pays_nothing_of_a_line_that_goodwill_gave() -> None:
    draft = with_taxes(of_categories((10_000, "standard"), (5_000, "books")), DECISION)
    found = [
        Reaching(granted("Goodwill", 10_000, 1), frozenset({0})),
        Reaching(granted("Prepaid", 10**6, 2), frozenset({0})),
        Reaching(granted("Prepaid", 10**6, 3), frozenset({1})),
    ]
    plan = grants.settling(draft, found, issuer="kestrel")
    assert [(one.name, minor) for one, minor in plan.prepaid] == [("credit-3", 5_000)]


# ------------------------------------------------------------------------------------------------- what it says


@pytest.mark.parametrize(
    ("amounts", "day", "phase"),
    [
        ({"remaining_minor": 5}, -1, "Scheduled"),
        ({"remaining_minor": 5}, 0, "Active"),
        ({"remaining_minor": 5}, 9, "Active"),
        ({"remaining_minor": 5}, 10, "Expired"),
        ({"remaining_minor": 1}, 0, "Active"),
        ({"remaining_minor": 0}, 0, "UsedUp"),
        ({"remaining_minor": 0, "taken_last": "Used"}, 0, "UsedUp"),
        ({"remaining_minor": 0, "taken_last": "Expired"}, 0, "Expired"),
        ({"remaining_minor": 0, "taken_last": "Revoked"}, -1, "Revoked"),
        ({"remaining_minor": 5, "taken_last": "Revoked"}, 0, "Active"),
    ],
)
def test_the_phase_says_whether_anything_is_left_and_may_be_used(
    amounts: Mapping[str, object], day: int, phase: str
) -> None:
    grant = replace(granted("Goodwill", 5, expires_at=GRANTED + 10 * DAY), **amounts)  # pyright: ignore[reportArgumentType]
    assert grants.phase_of(grant, now=GRANTED + day * DAY) == phase


def test_a_grant_without_an_end_is_active_for_ever() -> None:
    assert grants.phase_of(granted("Goodwill", 5), now=GRANTED + 10_000 * DAY) == "Active"


def test_the_condition_says_what_the_phase_means() -> None:
    phases: list[grants.GrantPhase] = ["Scheduled", "Active", "UsedUp", "Expired", "Revoked"]
    assert [grants.condition_of(phase) for phase in phases] == [
        ("False", "NotYetEffective", "The credit is used by invoices from its first day on."),
        ("True", "CreditRemains", "The next invoice that it reaches uses it."),
        ("False", "CreditUsedUp", "Nothing is left of the credit."),
        ("False", "CreditExpired", "What had not been used is gone."),
        ("False", "CreditRevoked", "What had not been used was taken back."),
    ]


def test_selectors_are_read_from_labels_and_expressions() -> None:
    body: list[dict[str, Any]] = [
        {
            "matchLabels": [
                {"key": "family", "op": "In", "values": ["gpu", "cpu"]},
                {"key": "beta", "op": "DoesNotExist"},
            ]
        },
        {"cel": "name == 'tokens'"},
    ]
    assert grants.parse_selectors(body) == (
        SkuSelector(
            (
                LabelRequirement("family", "In", ("gpu", "cpu")),
                LabelRequirement("beta", "DoesNotExist", ()),
            ),
            None,
        ),
        SkuSelector((), "name == 'tokens'"),
    )
