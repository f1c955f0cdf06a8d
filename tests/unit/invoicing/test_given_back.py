"""Months that give back more than they charge: what is credited of which earlier invoice, and the line that says so."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from milo_billing.invoicing.rules import adjusting, below_zero
from milo_billing.invoicing.rules.adjusting import Charged, Place, Rerated
from milo_billing.invoicing.rules.below_zero import Creditable
from milo_billing.invoicing.rules.taxes import with_taxes
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
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.taxes import TaxTreatment
from tests.unit.invoicing.granted import draft_of
from tests.unit.invoicing.issued import issued

FIRST, MIDDLE, END = date(2026, 10, 1), date(2026, 10, 16), date(2026, 11, 1)
PROMISE, OTHER = UUID(int=70), UUID(int=71)
HIGH, LOW = TaxTreatment("S", Decimal(23), "VAT", "IE"), TaxTreatment("S", Decimal(9), "VAT", "IE")
NOTHING = TaxTreatment("Z", Decimal(0), "VAT", "IE")
DECISION = {"high": (HIGH,), "low": (LOW,), "none": (NOTHING,)}
AUGUST, SEPTEMBER = (
    replace(issued(10_000), uid=UUID(int=number), number=f"KC-{number}") for number in (8, 9)
)


def a_line(kind: LineKind, of: str | UUID, minor: int, category: str = "high") -> DraftLine:
    """A line over October, of a Sku or of a commitment."""
    (made,) = draft_of([minor]).lines
    sku, commitment = (of, None) if isinstance(of, str) else (None, of)
    return replace(made, kind=kind, sku=sku, commitment=commitment, tax_category=category, taxes=())


def drafted(*lines: DraftLine) -> Draft:
    return replace(draft_of([line.net_minor for line in lines]), lines=lines)


def place(
    invoice: Invoice,
    number: int,
    kind: LineKind,
    of: str,
    left: int,
    *,
    days: tuple[date, date] = (FIRST, END),
) -> Place:
    return Place(invoice.uid, number, Charged(kind, of, *days), left)


def given_back(found: Sequence[Rerated]) -> list[tuple[str, dict[str, int]]]:
    """By invoice, of what how much is credited."""
    return [(one.invoice.number, {of.of.of: minor for of, minor in one.given_back}) for one in found]


# --------------------------------------------------------------------------------------------------- what it is


@pytest.mark.parametrize(("nets", "over"), [((100, -30), 0), ((30, -30), 0), ((30, -31), 1), ((-900,), 900)])
def test_only_what_is_below_zero_is_too_much(nets: tuple[int, ...], over: int) -> None:
    assert below_zero.over_minor(draft_of(nets)) == over


def test_what_comes_back_is_what_skus_give_back_and_not_what_prepaid_money_pays() -> None:
    month = drafted(
        a_line("Recurring", "support", -300),
        a_line("Usage", "tokens", 200),
        a_line("OneTime", "setup", -50),
        a_line("DrawDown", PROMISE, -70),
    )
    assert below_zero.returns_minor(month) == 350
    kinds: list[tuple[LineKind, int]] = [
        ("Usage", -30),
        ("Shortfall", -9),
        ("Overage", -4),
        ("DrawDown", -70),
        ("Usage", 5),
    ]
    late = [
        replace(a_line("Adjustment", "tokens", minor), adjusts=Adjusts(AUGUST.uid, "KC-8", kind))
        for kind, minor in kinds
    ]
    assert below_zero.returns_minor(drafted(*month.lines, *late)) == 393


def test_a_line_says_by_its_part_that_a_credit_note_gives_back_instead() -> None:
    fee, back = Part("FlatFee", None, None, None, 5), Part("GivenBack", None, None, None, 5)
    line = a_line("Adjustment", "support", 5)
    kinds = [below_zero.takes_off(replace(line, parts=parts)) for parts in ((), (fee,), (fee, back))]
    assert kinds == [False, False, True]


# ------------------------------------------------------------------------------------- which invoice gives it back


def test_the_same_skus_charge_for_these_days_comes_first_then_the_newest_invoice() -> None:
    """70.00 of support: 20.00 and 10.00 of its own, 25.00 of the newest, 15.00 of the one before."""
    newest = Creditable(
        SEPTEMBER,
        (place(SEPTEMBER, 1, "Usage", "tokens", 2_500), place(SEPTEMBER, 2, "Recurring", "support", 2_000)),
        sequence=3,
    )
    oldest = Creditable(
        AUGUST,
        (
            place(AUGUST, 1, "Recurring", "backup", 9_000),
            place(AUGUST, 2, "Recurring", "support", 1_000, days=(date(2026, 8, 1), date(2026, 10, 2))),
            place(AUGUST, 3, "Recurring", "support", 4_000, days=(date(2026, 8, 1), FIRST)),
        ),
        sequence=1,
    )
    month = drafted(a_line("Recurring", "support", -7_000))
    found = below_zero.give_elsewhere(month, 7_000, creditable=[newest, oldest])
    assert given_back(found) == [
        ("KC-9", {"support": 2_000, "tokens": 2_500}),
        ("KC-8", {"support": 1_000, "backup": 1_500}),
    ]
    assert [one.sequence for one in found] == [3, 1]
    assert [one.reason for one in found] == [
        f"The month gave back more than it charged: the rest comes off invoice KC-{number}."
        for number in (9, 8)
    ]


@pytest.mark.parametrize(
    ("days", "own"),
    [
        ((date(2026, 9, 1), FIRST), False),  # up to where they begin
        ((date(2026, 9, 1), date(2026, 10, 2)), True),
        ((date(2026, 10, 31), date(2026, 12, 1)), True),
        ((END, date(2026, 12, 1)), False),
    ],
)
def test_a_charge_is_of_these_days_where_it_shares_one_of_them(days: tuple[date, date], own: bool) -> None:
    charges = (
        place(SEPTEMBER, 1, "Usage", "support", 100),  # the Sku's usage is not its charge
        place(SEPTEMBER, 2, "Recurring", "support", 100, days=days),
    )
    found = below_zero.give_elsewhere(
        drafted(a_line("Recurring", "support", -10)), 10, creditable=[Creditable(SEPTEMBER, charges, 1)]
    )
    ((one, _),) = found[0].given_back
    assert one.line == (2 if own else 1)


def test_what_was_taxed_as_its_own_charge_was_comes_before_what_is_newer() -> None:
    """Nothing is left of the charge itself, which was taxed at 9 %."""
    places = (
        place(SEPTEMBER, 1, "Usage", "tokens", 300),
        place(SEPTEMBER, 2, "Recurring", "support", 0),
        place(SEPTEMBER, 3, "Usage", "vault", 40),
    )
    taxes = ((HIGH,), (LOW,), (LOW,))
    newest = Creditable(
        SEPTEMBER, tuple(replace(one, taxed=tax) for one, tax in zip(places, taxes, strict=True)), 1
    )
    oldest = Creditable(AUGUST, (replace(place(AUGUST, 1, "Usage", "disk", 50), taxed=(LOW,)),), 1)
    month = drafted(a_line("Recurring", "support", -100))
    assert given_back(below_zero.give_elsewhere(month, 100, creditable=[newest, oldest])) == [
        ("KC-9", {"vault": 40, "tokens": 10}),
        ("KC-8", {"disk": 50}),
    ]


def test_what_came_late_to_less_is_given_back_of_the_line_that_charged_it_as_far_as_that_goes() -> None:
    """Nothing of it is said to have been given back before: the invoice charges less by the rest."""
    adjusts = Adjusts(AUGUST.uid, "KC-8", "Usage", (HIGH,))
    late = replace(a_line("Adjustment", "tokens", -70), adjusts=adjusts)
    places = (
        place(AUGUST, 1, "Recurring", "tokens", 100),
        place(AUGUST, 2, "Usage", "tokens", 20),
        place(AUGUST, 3, "Usage", "disk", 30),
    )
    earlier = Rerated(AUGUST, (late,), {places[1].of: -70}, (), 4)
    creditable = [Creditable(AUGUST, places[1:], 4)]
    (found,) = below_zero.give_elsewhere(drafted(late), 70, creditable=creditable, earlier=[earlier])
    assert found.given_back == ((places[1], 20), (places[2], 30))
    assert found.change == {places[1].of: -50, places[2].of: 30}
    assert [(line.amount_minor, line.adjusts) for line in found.lines] == [
        (-70, adjusts),
        (20, adjusts),
        (30, adjusts),
    ]
    assert found.reason == ""
    (found,) = below_zero.give_elsewhere(drafted(late), 10, creditable=[Creditable(AUGUST, places, 4)])
    assert found.given_back == ((places[1], 10),)


def test_no_more_is_given_back_elsewhere_than_is_asked_for_in_the_order_of_the_lines() -> None:
    month = drafted(
        a_line("Recurring", "support", -300),
        a_line("Usage", "tokens", 150),
        a_line("Recurring", "backup", -200),
    )
    places = (
        place(SEPTEMBER, 1, "Recurring", "backup", 900),
        place(SEPTEMBER, 2, "Recurring", "support", 900),
    )
    (found,) = below_zero.give_elsewhere(month, 350, creditable=[Creditable(SEPTEMBER, places, 1)])
    assert [(line.sku, line.amount_minor) for line in found.lines] == [("support", 300), ("backup", 50)]
    assert {of.of.of: minor for of, minor in found.given_back} == {"support": 300, "backup": 50}
    assert {of.of: minor for of, minor in found.change.items()} == {"support": 300, "backup": 50}


def test_two_lines_of_one_charge_are_one_amount_of_one_credit_note() -> None:
    month = drafted(a_line("Recurring", "support", -300), a_line("Recurring", "support", -200))
    places = (place(SEPTEMBER, 1, "Recurring", "support", 900),)
    (found,) = below_zero.give_elsewhere(month, 500, creditable=[Creditable(SEPTEMBER, places, 1)])
    assert found.given_back == ((places[0], 500),)
    assert found.change == {places[0].of: 500}
    assert len(found.lines) == 2


def test_the_line_that_takes_it_off_is_the_line_itself_without_what_was_used() -> None:
    conversion = LineConversion("EUR", 1, Decimal(1), FIRST, "ECB", Decimal(1), Decimal(1))
    off = LineDiscount("Invoice", "Discount", PROMISE, "tenth", "Tenth", Decimal(10), 30)
    line = replace(
        a_line("Recurring", "support", -330),
        quantity=Decimal(3),
        included=Decimal(1),
        conversion=conversion,
        discounts=(off,),
        taxes=(4,),
        in_advance=True,
    )
    places = (place(SEPTEMBER, 1, "Recurring", "support", 900),)
    (found,) = below_zero.give_elsewhere(drafted(line), 300, creditable=[Creditable(SEPTEMBER, places, 1)])
    none = Decimal(0)
    assert found.lines == (
        replace(
            line,
            kind="Adjustment",
            quantity=none,
            included=none,
            amount_minor=300,
            parts=(Part("GivenBack", None, None, None, 300),),
            shares=(DraftShare(None, (), none, none, 300),),
            conversion=None,
            discounts=(),
            taxes=(),
            adjusts=Adjusts(SEPTEMBER.uid, "KC-9", "Recurring"),
        ),
    )


def test_what_was_credited_before_is_taken_off_again_here_but_not_given_back_twice() -> None:
    """Of 50.00, 20.00 are left to credit: the rest is said of the newest invoice alone."""
    places = (place(AUGUST, 1, "Recurring", "support", 2_000),)
    creditable = [Creditable(SEPTEMBER, (), 2), Creditable(AUGUST, places, 1)]
    line = a_line("Recurring", "support", -5_000)
    august, september = below_zero.give_elsewhere(drafted(line), 5_000, creditable=creditable)
    assert (august.given_back, september.given_back) == (((places[0], 2_000),), ())
    assert (dict(august.change), dict(september.change)) == (
        {places[0].of: 2_000},
        {adjusting.charged(line): 3_000},
    )
    assert [one.lines[0].amount_minor for one in (august, september)] == [2_000, 3_000]


def test_of_one_invoice_what_is_left_and_what_is_not_are_said_together() -> None:
    own = place(SEPTEMBER, 1, "Recurring", "support", 1)
    line = a_line("Recurring", "support", -5)
    (found,) = below_zero.give_elsewhere(drafted(line), 5, creditable=[Creditable(SEPTEMBER, (own,), 1)])
    assert [one.amount_minor for one in found.lines] == [1, 4]
    assert found.given_back == ((own, 1),)


def test_a_second_line_finds_what_the_first_has_left() -> None:
    own = place(SEPTEMBER, 1, "Recurring", "support", 500)
    lines = [a_line("Recurring", "support", -minor) for minor in (150, 250, 200)]
    (found,) = below_zero.give_elsewhere(drafted(*lines), 600, creditable=[Creditable(SEPTEMBER, (own,), 1)])
    assert found.given_back == ((own, 500),)
    assert [one.amount_minor for one in found.lines] == [150, 250, 100, 100]


def test_it_joins_what_came_late_of_the_same_invoice_and_takes_nothing_that_this_takes() -> None:
    support = place(SEPTEMBER, 1, "Recurring", "support", 1_000)
    tokens = place(SEPTEMBER, 2, "Usage", "tokens", 1_000)
    late = a_line("Adjustment", "tokens", 40)
    standing = Rerated(AUGUST, (), {}, (), 7)
    earlier = Rerated(
        SEPTEMBER, (late,), {tokens.of: 40, support.of: -400}, ((support, 400),), 5, "corrected"
    )
    kept, joined = below_zero.give_elsewhere(
        drafted(a_line("Recurring", "support", -1_000)),
        1_000,
        creditable=[Creditable(SEPTEMBER, (replace(support, left_minor=600), tokens), 2)],
        earlier=[standing, earlier],
    )
    assert kept == standing
    assert (joined.invoice, joined.sequence) == (SEPTEMBER, 5)
    assert [line.amount_minor for line in joined.lines] == [40, 600, 400]
    assert joined.given_back == ((support, 1_000), (tokens, 400))
    assert joined.change == {tokens.of: 440, support.of: 200}


def test_a_change_that_comes_to_nothing_is_none() -> None:
    support = place(SEPTEMBER, 1, "Recurring", "support", 1_000)
    earlier = Rerated(SEPTEMBER, (), {support.of: -300}, (), 5)
    (joined,) = below_zero.give_elsewhere(
        drafted(a_line("Recurring", "support", -300)),
        300,
        creditable=[Creditable(SEPTEMBER, (support,), 2)],
        earlier=[earlier],
    )
    assert joined.change == {}


@pytest.mark.parametrize(
    ("line", "minor", "creditable"),
    [
        (
            a_line("Recurring", "support", -300),
            301,
            [Creditable(SEPTEMBER, (), 1)],
        ),  # no line gives back so much
        (a_line("Recurring", "support", -1), 1, []),  # no invoice stands
        (a_line("DrawDown", PROMISE, -1), 1, [Creditable(SEPTEMBER, (), 1)]),
    ],
)
def test_what_no_invoice_charged_is_refused(
    line: DraftLine, minor: int, creditable: list[Creditable]
) -> None:
    with pytest.raises(UnableToIssue) as caught:
        below_zero.give_elsewhere(drafted(line), minor, creditable=creditable)
    assert str(caught.value) == (
        "the month gives back 0.01 USD more than it charges, and no invoice stands of which that could be taken: "
        "where the invoice that charged it is void, run its month again first; else check the prices and the usage"
    )


# ------------------------------------------------------- prepaid money that was taxed higher than what it pays for


@pytest.mark.parametrize(
    ("lines", "less", "total"),
    [
        # 30.00 of books at 0 %, paid by money that was taxed at 23 %: 5.61 and 1.29 are the 6.90 below zero
        ([("Usage", 3_000, "none"), ("DrawDown", -3_000, "high")], [561], 0),
        # of the same tax there is nothing too much
        ([("Usage", 3_000, "high"), ("DrawDown", -3_000, "high")], [], 0),
        # nor where more is to be paid than the tax that comes back
        ([("Usage", 6_150, "none"), ("DrawDown", -5_000, "high")], [], 0),
        ([("Usage", 6_149, "none"), ("DrawDown", -5_000, "high")], [1], 0),
        # what is taxed as it was is paid first: 16.10 are of the 70.00
        (
            [("Usage", 1_000, "high"), ("Usage", 7_000, "none"), ("DrawDown", -8_000, "high")],
            [1_309],
            0,
        ),
        # no amount comes to 0.02 exactly: a cent more is charged here, and given back by the credit note
        ([("Usage", 8, "none"), ("DrawDown", -8, "high")], [2], 1),
        # two commitments: the one that draws last draws less, and the first as much as is still missing
        (
            [
                ("Usage", 10_050, "none"),
                ("DrawDown", -10_000, "high"),
                ("DrawDown", -50, "high"),
            ],
            [50, 1_829],
            0,
        ),
        # the second begins where the first has left the tax of both: 0.03 of 0.12 is 0.03 of 0.11, and 0.02 of 0.10
        ([("Usage", 12, "none"), ("DrawDown", -11, "high"), ("DrawDown", -1, "high")], [1, 1], 0),
        # one at another rate has its own tax
        (
            [("Usage", 2_000, "none"), ("DrawDown", -1_000, "high"), ("DrawDown", -1_000, "low")],
            [294],
            0,
        ),
        # money that was taxed with nothing takes nothing along
        (
            [("Usage", 2_000, "none"), ("DrawDown", -1_000, "high"), ("DrawDown", -1_000, "none")],
            [187],
            0,
        ),
        # charges that give back are not prepaid money: what they take along is not here
        ([("Usage", 3_000, "none"), ("Recurring", -3_000, "high")], [], -690),
    ],
)
def test_the_least_that_brings_the_total_to_zero_is_not_drawn(
    lines: list[tuple[LineKind, int, str]], less: list[int], total: int
) -> None:
    month = with_taxes(
        drafted(
            *(
                a_line(kind, "books" if kind != "DrawDown" else UUID(int=number), minor, category)
                for number, (kind, minor, category) in enumerate(lines)
            )
        ),
        DECISION,
    )
    found = below_zero.overdrawn(month)
    assert [minor for _, minor in found] == less
    lifted = adjusting.with_adjustments(
        drafted(*(replace(line, taxes=()) for line in month.lines)),
        [replace(line, kind="Adjustment", amount_minor=minor, taxes=()) for line, minor in found],
    )
    assert with_taxes(lifted, DECISION).total_minor == total


def test_what_late_usage_draws_is_drawn_as_well() -> None:
    drawn = replace(
        a_line("Adjustment", PROMISE, -1_000), adjusts=Adjusts(AUGUST.uid, "KC-8", "DrawDown", (HIGH,))
    )
    month = with_taxes(drafted(a_line("Usage", "books", 1_000, "none"), drawn), DECISION)
    ((line, minor),) = below_zero.overdrawn(month)
    assert (line.adjusts, minor) == (drawn.adjusts, 187)


def test_so_much_of_the_prepayment_comes_back_by_a_credit_note_over_its_invoice() -> None:
    term = (date(2026, 8, 1), date(2027, 8, 1))
    own = place(AUGUST, 2, "Prepayment", str(PROMISE), 5_000, days=term)
    creditable = [
        Creditable(SEPTEMBER, (place(SEPTEMBER, 1, "Prepayment", str(OTHER), 5_000, days=term),), 4),
        Creditable(AUGUST, (place(AUGUST, 1, "Shortfall", str(PROMISE), 900), own), 2),
    ]
    line = a_line("DrawDown", PROMISE, -3_000)
    (found,) = below_zero.give_prepaid([(line, 561)], creditable=creditable)
    assert (found.invoice, found.sequence, found.given_back) == (AUGUST, 2, ((own, 561),))
    assert found.change == {own.of: 561}
    assert found.reason == "Money prepaid with invoice KC-8 was taxed higher than what it paid for."
    (made,) = found.lines
    assert (made.kind, made.amount_minor, made.commitment, made.tax_category) == (
        "Adjustment",
        561,
        PROMISE,
        "high",
    )
    assert made.adjusts == Adjusts(AUGUST.uid, "KC-8", "DrawDown")
    assert below_zero.takes_off(made)


def test_what_late_usage_drew_comes_back_as_it_was_taxed() -> None:
    own = place(SEPTEMBER, 1, "Prepayment", str(PROMISE), 5_000)
    line = replace(
        a_line("Adjustment", PROMISE, -900), adjusts=Adjusts(AUGUST.uid, "KC-8", "DrawDown", (HIGH,))
    )
    (found,) = below_zero.give_prepaid([(line, 9)], creditable=[Creditable(SEPTEMBER, (own,), 1)])
    assert found.lines[0].adjusts == Adjusts(SEPTEMBER.uid, "KC-9", "DrawDown", (HIGH,))


def test_several_terms_give_back_one_after_the_other_to_the_cent() -> None:
    """1.00 of places of 0.40, 0.01, 0.40 and 0.40; then 0.30 more, of which 0.21 is left."""
    places = [
        place(SEPTEMBER, number, "Prepayment", str(PROMISE), left)
        for number, left in enumerate((40, 1, 40, 40), start=1)
    ]
    line = a_line("DrawDown", PROMISE, -500)
    (found,) = below_zero.give_prepaid(
        [(line, 100), (line, 30)], creditable=[Creditable(SEPTEMBER, tuple(places), 1)]
    )
    assert found.given_back == tuple(zip(places, (40, 1, 40, 40), strict=True))
    assert [one.amount_minor for one in found.lines] == [40, 1, 40, 19, 21]


def test_what_several_months_drew_of_a_term_comes_back_as_far_as_it_goes() -> None:
    own, line = place(SEPTEMBER, 1, "Prepayment", str(PROMISE), 40), a_line("DrawDown", PROMISE, -500)
    (found,) = below_zero.give_prepaid(
        [(line, 10), (line, 10), (line, 40)], creditable=[Creditable(SEPTEMBER, (own,), 1)]
    )
    assert [one.amount_minor for one in found.lines] == [10, 10, 20]


def test_a_cent_comes_back_and_an_invoice_of_which_nothing_is_left_says_nothing() -> None:
    nothing, own = (
        place(invoice, 1, "Prepayment", str(PROMISE), left) for invoice, left in ((SEPTEMBER, 0), (AUGUST, 1))
    )
    found = below_zero.give_prepaid(
        [(a_line("DrawDown", PROMISE, -5), 1)],
        creditable=[Creditable(SEPTEMBER, (nothing,), 1), Creditable(AUGUST, (own,), 1)],
    )
    assert [(one.invoice, one.given_back) for one in found] == [(AUGUST, ((own, 1),))]


def test_two_that_draw_share_what_is_left_the_newest_term_first() -> None:
    newest, oldest = (
        place(SEPTEMBER, 1, "Prepayment", str(PROMISE), 100),
        place(AUGUST, 1, "Prepayment", str(PROMISE), 100),
    )
    line = a_line("DrawDown", PROMISE, -500)
    standing = Rerated(AUGUST, (), {oldest.of: -30}, ((oldest, 30),), 6)
    august, september = below_zero.give_prepaid(
        [(line, 60), (line, 200)],
        creditable=[
            Creditable(SEPTEMBER, (newest,), 1),
            Creditable(AUGUST, (replace(oldest, left_minor=70),), 1),
        ],
        earlier=[standing],
    )[::-1]
    assert september.given_back == ((newest, 100),)
    # of the rest nothing was left
    assert august.given_back == ((oldest, 100),)
    assert (august.sequence, august.change) == (6, {oldest.of: 40})
