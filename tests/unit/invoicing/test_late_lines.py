"""The lines that charge what an issued period came to since, and which lines give back what it came to less."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from milo_billing.commitments.types import Giver, Scope
from milo_billing.invoicing.rules import adjusting
from milo_billing.invoicing.rules.adjusting import Additional, Before, Charged, GivenBack, Place
from milo_billing.invoicing.types.drafts import (
    Adjusts,
    Draft,
    DraftLine,
    DraftShare,
    LineConversion,
    LineDiscount,
    LineKind,
    Part,
)
from milo_billing.kernel.periods import Period
from milo_billing.kernel.taxes import TaxGroup, TaxTreatment
from tests.unit.invoicing.granted import draft_of
from tests.unit.invoicing.issued import issued

FIRST, END = date(2026, 10, 1), date(2026, 11, 1)
PROMISE = UUID(int=70)
HIGH, LOW = TaxTreatment("S", Decimal(23), "VAT", "IE"), TaxTreatment("S", Decimal(9), "VAT", "IE")
INVOICE = replace(issued(10_000), taxes=(TaxGroup(HIGH, 9_000, 2_070), TaxGroup(LOW, 1_000, 90)))
NONE = Decimal(0)


def used(minor: int, quantity: str = "1", *, sku: str = "tokens", taxes: tuple[int, ...] = (1,)) -> DraftLine:
    """Usage of one Sku over October."""
    (line,) = draft_of([minor]).lines
    return replace(line, sku=sku, quantity=Decimal(quantity), taxes=taxes)


def promised(kind: LineKind, minor: int, taxes: tuple[int, ...] = (1,)) -> DraftLine:
    return replace(used(minor, "0", taxes=taxes), kind=kind, sku=None, commitment=PROMISE)


def key(of: str, kind: LineKind = "Usage") -> Charged:
    return Charged(kind, of, FIRST, END)


def share(
    project: int | None, minor: int, metered: str = "0", dimensions: tuple[tuple[str, str], ...] = ()
) -> DraftShare:
    return DraftShare(project, dimensions, Decimal(metered), Decimal(metered) * 2, minor)


def adjusted(change: Mapping[Charged, int], now: list[DraftLine], before: Before) -> tuple[DraftLine, ...]:
    wanted = Additional(change, sum(change.values()))
    return adjusting.adjustment_lines(wanted, invoice=INVOICE, now=now, before=before)


# --------------------------------------------------------------------------------------------- what was charged


def test_a_line_of_a_commitment_is_told_by_the_commitment() -> None:
    assert adjusting.charged(promised("Shortfall", 5)) == key(str(PROMISE), "Shortfall")
    assert adjusting.charged(used(5)) == key("tokens")
    assert adjusting.charged(replace(used(5), sku=None)).of == ""


def test_an_adjustment_charges_for_what_it_adjusts() -> None:
    carried = replace(used(5), kind="Adjustment", adjusts=Adjusts(INVOICE.uid, "KC-1", "Recurring"))
    assert adjusting.charged(carried) == key("tokens", "Recurring")


@pytest.mark.parametrize(
    ("by", "scope", "owed"),
    [
        ("Commitment", "Invoice", 90),
        ("Discount", "Invoice", 90),
        ("Discount", "Line", 100),  # is inside the amount
        ("CreditGrant", "Invoice", 100),  # is used once, whatever the period comes to
        ("PrepaidCredit", "Invoice", 100),
    ],
)
def test_what_is_owed_is_after_discounts_and_before_credit(by: Giver, scope: Scope, owed: int) -> None:
    off = LineDiscount(scope, by, PROMISE, "x", "x", None, -10)
    assert adjusting.owed_minor(replace(used(100), discounts=(off,))) == owed


def test_an_adjustment_that_the_invoice_carries_is_none_of_its_own_lines() -> None:
    carried = replace(used(500), kind="Adjustment", adjusts=Adjusts(INVOICE.uid, "KC-1", "Usage"))
    assert adjusting.change_of(issued=[carried, used(100)], earlier=(), now=[used(100)]) is None
    # one that stands behind it is passed over too
    later = [carried, used(100), used(40, sku="disk")]
    assert adjusting.change_of(issued=later, earlier=(), now=[used(100), used(40, sku="disk")]) is None


def test_late_usage_that_prepaid_money_pays_for_moves_the_books_though_nothing_is_owed() -> None:
    issued_lines = [used(3_000), promised("DrawDown", -3_000)]
    now = [used(4_000), promised("DrawDown", -4_000)]
    found = adjusting.change_of(issued=issued_lines, earlier=(), now=now)
    assert found == Additional({key(str(PROMISE), "DrawDown"): -1_000, key("tokens"): 1_000}, 0)


def test_a_cent_is_charged_and_a_cent_is_given_back() -> None:
    assert adjusting.change_of(issued=[used(9)], earlier=(), now=[used(10)]) == Additional(
        {key("tokens"): 1}, 1
    )
    assert adjusting.change_of(issued=[used(10)], earlier=(), now=[used(9)]) == GivenBack(
        {key("tokens"): 1}, 1
    )


def test_two_lines_of_one_charge_are_one() -> None:
    found = adjusting.change_of(issued=[used(4), used(5)], earlier=(), now=[used(6), used(7)])
    assert found == Additional({key("tokens"): 4}, 4)


def test_what_lines_came_to_more_is_taken_off_those_that_came_to_less_in_proportion() -> None:
    """Less by 2 and 1, more by 2: 1 is given back, of the first; the others are left out."""
    found = adjusting.change_of(
        issued=[used(10), used(10, sku="disk"), used(0, sku="gpu")],
        earlier=(),
        now=[used(8), used(9, sku="disk"), used(2, sku="gpu")],
    )
    assert found == GivenBack({key("tokens"): 1}, 1)


def test_changes_are_told_with_their_sign() -> None:
    assert adjusting.signed(Additional({key("tokens"): 5}, 5)) == {key("tokens"): 5}
    assert adjusting.signed(GivenBack({key("tokens"): 5}, 5)) == {key("tokens"): -5}
    assert adjusting.signed(None) == {}


# ------------------------------------------------------------------------------------------- the lines that charge


def test_a_line_charges_what_its_own_comes_to_now_less_what_was_charged() -> None:
    off = LineDiscount("Invoice", "Discount", PROMISE, "x", "x", None, -50)
    conversion = LineConversion("EUR", 1, Decimal(1), FIRST, "ECB", Decimal(1), Decimal(1))
    today = replace(
        used(1_050, "12"),
        included=Decimal(3),
        conversion=conversion,
        discounts=(off,),
        shares=(share(7, 1_000, "9"),),
    )
    then = replace(used(700, "8"), shares=(share(7, 700, "6"),))
    (found,) = adjusted(
        {key("tokens"): 300}, [used(1, sku="disk"), today], Before((used(5, sku="disk"), then))
    )
    assert found == replace(
        today,
        kind="Adjustment",
        quantity=Decimal(4),
        included=NONE,
        amount_minor=300,
        parts=(Part("Rerated", None, None, None, 1_000), Part("Charged", None, None, None, -700)),
        shares=(share(7, 300, "3"),),
        conversion=None,
        discounts=(),
        taxes=(),
        adjusts=Adjusts(INVOICE.uid, INVOICE.number, "Usage", (HIGH,)),
    )


def test_what_others_carried_of_the_period_was_charged_too() -> None:
    carried = replace(
        used(200, "2"),
        kind="Adjustment",
        shares=(share(7, 200, "1"),),
        adjusts=Adjusts(INVOICE.uid, INVOICE.number, "Usage"),
    )
    before = Before((replace(used(700, "8"), shares=(share(7, 700, "6"),)),), (carried,))
    (found,) = adjusted(
        {key("tokens"): 100}, [replace(used(1_000, "12"), shares=(share(7, 1_000, "9"),))], before
    )
    assert (found.quantity, found.shares) == (Decimal(2), (share(7, 100, "2"),))


def test_what_nobody_had_used_before_is_taxed_as_its_category_was() -> None:
    standing = [used(100, taxes=(1,)), replace(used(100, sku="book", taxes=(2,)), tax_category="books")]
    late = [replace(used(30, sku="paper"), tax_category="books"), used(40, sku="gpu")]
    found = adjusted({key("gpu"): 40, key("paper"): 30}, late, Before(tuple(standing)))
    assert [(one.sku, one.adjusts and one.adjusts.treatments) for one in found] == [
        ("gpu", (HIGH,)),
        ("paper", (LOW,)),
    ]
    assert [one.parts for one in found] == [(Part("Rerated", None, None, None, minor),) for minor in (40, 30)]


def test_the_first_line_of_a_category_says_how_it_was_taxed() -> None:
    standing = (used(100, sku="a", taxes=(2,)), used(100, sku="b", taxes=(1,)))
    (found,) = adjusted({key("gpu"): 40}, [used(40, sku="gpu")], Before(standing))
    assert found.adjusts is not None
    assert found.adjusts.treatments == (LOW,)


def test_a_category_that_the_invoice_did_not_have_is_taxed_anew() -> None:
    late = replace(used(40, sku="gpu"), tax_category="books")
    (found,) = adjusted({key("gpu"): 40}, [late], Before((used(100),)))
    assert found.adjusts is not None
    assert found.adjusts.treatments == ()


def test_what_is_not_had_any_more_is_told_by_the_line_that_charged_it() -> None:
    then = replace(used(100, "5"), description="Tokens", shares=(share(7, 100, "5"),))
    (found,) = adjusted({key("tokens"): -100, key("gpu"): 150}, [used(150, sku="gpu")], Before((then,)))[:1]
    assert (found.description, found.quantity, found.amount_minor) == ("Tokens", Decimal(-5), -100)
    assert found.parts == (Part("Rerated", None, None, None, 0), Part("Charged", None, None, None, -100))
    assert found.shares == (share(7, -100, "-5"),)


def test_what_another_period_gave_back_is_told_and_taxed_as_its_line_was() -> None:
    """November's change of nothing: prepaid money pays for what was given back of November's and September's tokens."""
    september = replace(issued(5_000), uid=UUID(int=9), number="KC-9", taxes=(TaxGroup(LOW, 5_000, 450),))
    early, then = date(2026, 9, 1), used(500, "5", taxes=(1,))
    line = replace(used(5_000, "50", taxes=(1,)), first_day=early, end_day=FIRST, description="September")
    other = replace(used(60, sku="disk"), first_day=early, end_day=FIRST)
    of_september = replace(key("tokens"), first_day=early, end_day=FIRST)
    before = Before((then,), elsewhere=((september, other), (september, line)))
    change = {of_september: 300, key("tokens"): 200}
    assert not adjusting.unknown(Additional({key("tokens"): 200}, 200), now=[], before=before)
    assert not adjusting.unknown(Additional({key("tokens"): 200}, 200), now=[then], before=Before(()))
    assert not adjusting.unknown(Additional({key("tokens"): 200}, 200), now=[], before=Before((), (then,)))
    assert adjusting.unknown(Additional(change, 500), now=[then], before=before)
    found, own = adjusted(change, [then], before)
    assert found == replace(
        line,
        kind="Adjustment",
        quantity=NONE,
        amount_minor=300,
        parts=(Part("Rerated", None, None, None, 0), Part("Charged", None, None, None, 300)),
        shares=(share(None, 300),),
        taxes=(),
        adjusts=Adjusts(INVOICE.uid, INVOICE.number, "Usage", (LOW,)),
    )
    assert own.adjusts is not None
    assert (own.first_day, own.amount_minor, own.adjusts.treatments) == (FIRST, 200, (HIGH,))
    assert adjusting.charged(found) == of_september


def test_a_shortfall_has_no_quantity() -> None:
    today = replace(promised("Shortfall", 100), quantity=Decimal(3))
    (found,) = adjusted({key(str(PROMISE), "Shortfall"): 100}, [today], Before(()))
    assert found.quantity == 0


# ------------------------------------------------------------------------------------------------- who owes it


GPU, CPU = (("model", "gpu"),), (("model", "cpu"),)
LITTLE = DraftShare(8, (), Decimal("0.0000001"), NONE, 0)


@pytest.mark.parametrize(
    ("today", "then", "minor", "found"),
    [
        # by project and dimensions, in proportion to what each came to more
        (
            [share(7, 60, "6", GPU), share(7, 30, "3", CPU), share(8, 40, "4")],
            [share(7, 20, "2", GPU), share(8, 20, "2")],
            90,
            [share(7, 30, "3", CPU), share(7, 40, "4", GPU), share(8, 20, "2")],
        ),
        # discounts since take the half of it
        ([share(7, 60), share(8, 40)], [], 50, [share(7, 30), share(8, 20)]),
        # one came to less: each its own, the rest is the account's
        ([share(7, 60), share(8, 10)], [share(8, 30)], 50, [share(None, 10), share(7, 60), share(8, -20)]),
        # which had a part before
        ([share(None, 5), share(7, 60)], [share(8, 30)], 40, [share(None, 10), share(7, 60), share(8, -30)]),
        # nobody's shares changed
        ([share(7, 60)], [share(7, 60)], 5, [share(None, 5)]),
        # metered by another project, at no charge
        ([share(7, 60), share(8, 0, "3")], [], 30, [share(7, 30), share(8, 0, "3")]),
        # so little that its quantity is none
        ([share(7, 60), LITTLE], [], 60, [share(7, 60), LITTLE]),
        # the account itself is no project
        ([share(1, 60), share(None, 40)], [], 50, [share(None, 20), share(1, 30)]),
        # what is taken back is shared in the same way
        ([], [share(7, 60), share(8, 40)], -50, [share(7, -30), share(8, -20)]),
        # 0.01 comes to somebody
        ([share(7, 1)], [], 1, [share(7, 1)]),
        ([share(7, 1)], [], 5, [share(7, 5)]),
        ([], [share(7, 1)], -1, [share(7, -1)]),
    ],
)
def test_the_change_is_owed_by_whom_it_came_from(
    today: list[DraftShare], then: list[DraftShare], minor: int, found: list[DraftShare]
) -> None:
    (line,) = adjusted(
        {key("tokens"): minor},
        [replace(used(1), shares=tuple(today))],
        Before((replace(used(1), shares=tuple(then)),)),
    )
    assert list(line.shares) == found


# ------------------------------------------------------------------------------------------------- where it stands


def test_adjustments_stand_behind_the_drafts_own_lines() -> None:
    off = LineDiscount("Invoice", "Discount", PROMISE, "x", "x", None, -10)
    own, more = draft_of([100]), (replace(used(60), discounts=(off,)), used(30))
    assert adjusting.with_adjustments(own, more) == replace(
        own, lines=(*own.lines, *more), subtotal_minor=180, total_minor=180
    )


def test_an_invoice_of_adjustments_alone_is_over_the_days_of_all_that_it_adjusts() -> None:
    days = [
        Period(datetime(2026, first, 1, tzinfo=UTC), datetime(2026, end, 1, tzinfo=UTC))
        for first, end in ((9, 10), (7, 8), (8, 11))
    ]
    originals = [replace(INVOICE, account=5, currency="EUR", period=period) for period in days]
    lines = (used(60), used(30))
    assert adjusting.draft_alone(originals, lines) == Draft(
        account=5,
        kind="Adjustment",
        period=Period(days[1].start, days[2].end),
        currency="EUR",
        lines=lines,
        subtotal_minor=90,
        discounts_minor=0,
        total_minor=90,
    )


def test_of_one_invoice_the_days_are_its_own() -> None:
    found = adjusting.draft_alone([INVOICE], [used(60)])
    assert (found.account, found.currency, found.period) == (1, "USD", INVOICE.period)


# ------------------------------------------------------------------------------------------------ what is given back


def place(number: int, of: str, left: int) -> Place:
    return Place(INVOICE.uid, number, key(of), left)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"tokens": 30}, {2: 30}),
        ({"tokens": 60}, {2: 50, 4: 10}),  # its own lines, in order
        ({"tokens": 70, "disk": 30}, {1: 40, 2: 50, 4: 10}),  # then of the others, in order
        ({"tokens": 500}, {1: 100, 2: 50, 3: 5, 4: 10}),  # what nothing is left of was given back before
        ({"gpu": 103}, {1: 100, 2: 3}),
        ({"tokens": 61}, {1: 1, 2: 50, 4: 10}),
    ],
)
def test_of_the_lines_themselves_first_and_then_of_whatever_was_charged(
    wanted: dict[str, int], found: dict[int, int]
) -> None:
    places = [place(1, "disk", 100), place(2, "tokens", 50), place(3, "cpu", 5), place(4, "tokens", 10)]
    change = GivenBack({key(of): minor for of, minor in wanted.items()}, sum(wanted.values()))
    assert {of.line: minor for of, minor in adjusting.give_back(change, places, withheld={})} == found


def test_what_was_taken_back_is_told_by_what_it_was_charged_for() -> None:
    given = [(place(1, "disk", 100), 40), (place(2, "tokens", 50), 50), (place(4, "tokens", 10), 5)]
    assert adjusting.by_line(given) == {key("disk"): -40, key("tokens"): -55}


def elsewhere(number: int, of: str, left: int, *taxed: TaxTreatment) -> Place:
    return Place(UUID(int=9), number, key(of), left, taxed)


OWN = (
    replace(place(1, "disk", 100), taxed=(LOW,)),
    replace(place(2, "tokens", 0), taxed=(HIGH,)),
    replace(place(3, "cpu", 20), taxed=(HIGH,)),
    replace(place(4, "both", 10), taxed=(HIGH, LOW)),
)
OTHERS = (elsewhere(11, "disk", 40, LOW), elsewhere(12, "support", 50, HIGH), elsewhere(13, "seats", 5, HIGH))


@pytest.mark.parametrize(
    ("wanted", "withheld", "found"),
    [
        ({"tokens": 20}, {HIGH: 90}, {3: 20}),  # what was taxed as it was, of its own invoice
        ({"tokens": 30}, {HIGH: 90}, {3: 20, 12: 10}),  # then of others
        ({"tokens": 74}, {HIGH: 90}, {3: 20, 12: 50, 13: 4}),
        ({"tokens": 80}, {HIGH: 90}, {1: 5, 3: 20, 12: 50, 13: 5}),  # then whatever its own has
        ({"tokens": 30}, {HIGH: 6}, {1: 4, 3: 20, 12: 6}),  # no more of others than is withheld
        ({"tokens": 30}, {}, {1: 10, 3: 20}),
        ({"tokens": 30}, {LOW: 90}, {1: 10, 3: 20}),  # that is of what is taxed otherwise
        ({"tokens": 150}, {HIGH: 6, LOW: 8}, {1: 100, 3: 20, 4: 10, 11: 8, 12: 6}),  # which comes last
        ({"tokens": 500}, {HIGH: 58, LOW: 90}, {1: 100, 3: 20, 4: 10, 11: 40, 12: 50, 13: 5}),
        ({"tokens": 30, "disk": 95}, {HIGH: 90}, {1: 95, 3: 20, 12: 10}),
        ({"tokens": 30, "disk": 115}, {HIGH: 5, LOW: 20}, {1: 100, 3: 20, 4: 5, 11: 15, 12: 5}),
        ({"tokens": 10, "cpu": 15}, {HIGH: 90}, {3: 20, 12: 5}),  # each line its own first
        ({"gpu": 30}, {HIGH: 90}, {1: 30}),  # of what no line charged for nobody knows the tax
    ],
)
def test_what_was_taxed_alike_comes_before_what_was_taxed_otherwise(
    wanted: dict[str, int], withheld: dict[TaxTreatment, int], found: dict[int, int]
) -> None:
    change = GivenBack({key(of): minor for of, minor in wanted.items()}, sum(wanted.values()))
    by_tax = {(treatment,): minor for treatment, minor in withheld.items()}
    given_back = adjusting.give_back(change, OWN, OTHERS, withheld=by_tax)
    assert {of.line: minor for of, minor in given_back} == found


@pytest.mark.parametrize(
    ("wanted", "short"),
    [
        ({"tokens": 20}, False),
        ({"tokens": 21}, True),
        ({"disk": 101}, True),
        ({"disk": 100, "cpu": 20}, False),
        ({"disk": 101, "cpu": 20}, True),
        ({"gpu": 1}, True),
    ],
)
def test_they_fall_short_where_what_was_taxed_alike_is_not_enough(
    wanted: dict[str, int], short: bool
) -> None:
    change = GivenBack({key(of): minor for of, minor in wanted.items()}, sum(wanted.values()))
    assert adjusting.falls_short(change, OWN) is short


@pytest.mark.parametrize(
    ("own", "other", "withheld", "waits"),
    [
        (10, 10, 15, False),  # all is given back
        (9, 10, 15, True),
        (9, 10, 10, False),  # no more was withheld: an earlier credit note gave it back
        (18, 1, 2, True),
        (18, 1, 1, False),
    ],
)
def test_what_is_withheld_and_on_no_invoice_waits(own: int, other: int, withheld: int, waits: bool) -> None:
    change = GivenBack({key("disk"): 20}, 20)
    given_back = [(OWN[0], own), (OTHERS[0], other - 1), (OTHERS[1], 1)]
    assert adjusting.waits(change, given_back, OTHERS, withheld={(HIGH,): withheld}) is waits
