"""Which accounts of the books an invoice credits, and for which days."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest

from milo_billing.catalog.types import Billing, ChargeType
from milo_billing.commitments.types import (
    ChargeKind,
    CommitmentCharge,
    ComposedLine,
    Scope,
    Settlement,
    TakenOff,
)
from milo_billing.invoicing.rules.drafts import draft
from milo_billing.invoicing.rules.postings import postings
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.kernel.periods import DaySpan
from milo_billing.ledger.types import Posting
from milo_billing.pricing.types import RatedLine, SubLine, UnpricedSku
from tests.unit.invoicing.builders import rated, rated_line

OCTOBER = date(2026, 10, 1), date(2026, 11, 1)
TERM = DaySpan(date(2026, 10, 1), date(2027, 10, 1))


def sold(charge_type: ChargeType, minor: int, *, billing: Billing | None = None) -> RatedLine:
    line = rated_line(charge_type.lower(), SubLine("Usage", minor, Fraction(1)), own_minor=minor)
    return replace(
        line,
        sku=replace(line.sku, charge_type=charge_type),
        price=replace(line.price, billing=billing),
    )


def charge(kind: ChargeKind, minor: int, **more: object) -> CommitmentCharge:
    made = CommitmentCharge(kind, UUID(int=1), "yearly", TERM, minor, "standard")
    return replace(made, **more)


def off(scope: Scope, minor: int, *, percent: str | None = None, name: str = "gift") -> TakenOff:
    share = None if percent is None else Decimal(percent)
    return TakenOff(UUID(int=2), name, share, Fraction(1), minor, scope=scope)


def posted(*lines: RatedLine | ComposedLine, charges: tuple[CommitmentCharge, ...] = ()) -> set[Posting]:
    return set(postings(draft([rated(*lines, charges=charges)])))


@pytest.mark.parametrize(
    ("line", "account"),
    [
        (sold("Usage", 100), "Income:Revenue:Usage"),
        (sold("OneTime", 100), "Income:Revenue:OneTime"),
        (sold("Recurring", 100, billing="Arrears"), "Income:Revenue:Recurring"),
        (sold("Recurring", 100, billing="Advance"), "Liabilities:DeferredRevenue:Recurring"),
    ],
    ids=["Usage", "OneTime", "Arrears", "Advance"],
)
def test_what_is_charged_in_advance_is_not_earned_yet(line: RatedLine, account: str) -> None:
    assert posted(line) == {(account, 100, OCTOBER)}


def test_what_comes_back_of_a_charge_in_advance_is_no_longer_deferred() -> None:
    back = posted(sold("Recurring", -40, billing="Advance"), sold("Usage", 100))
    assert ("Liabilities:DeferredRevenue:Recurring", -40, OCTOBER) in back


def test_a_shortfall_is_earned_on_the_last_day_of_its_interval() -> None:
    (found,) = posted(charges=(charge("Shortfall", 700),))
    assert found == ("Income:Revenue:Shortfall", 700, (date(2027, 9, 30), date(2027, 10, 1)))


def test_money_that_is_prepaid_is_deferred_over_its_term_and_taken_from_there() -> None:
    november = DaySpan(date(2026, 11, 1), date(2026, 12, 1))
    found = posted(
        sold("Usage", 100), charges=(charge("Prepayment", 1000), charge("DrawDown", -100, days=november))
    )
    account = "Liabilities:DeferredRevenue:Prepayment"
    assert found == {
        ("Income:Revenue:Usage", 100, OCTOBER),
        (account, 1000, (TERM.start, TERM.end)),
        (account, -100, (november.start, november.end)),
    }


def test_discounts_lower_the_revenue_of_their_lines_and_what_comes_to_nothing_posts_nothing() -> None:
    line = sold("Usage", 100)
    discounted = ComposedLine(line, (), (off("Invoice", -30, percent="30"),))
    free = ComposedLine(line, (), (off("Invoice", -100),))
    assert posted(discounted) == {("Income:Revenue:Usage", 70, OCTOBER)}
    assert posted(free) == set()


# ------------------------------------------------------------------------------------------ lines of a draft


def test_discounts_stand_on_their_lines_with_who_gave_them_and_add_up_beside_the_subtotal() -> None:
    line = rated_line("gpu", SubLine("Usage", 100), SubLine("Discount", -20), own_minor=80)
    inside = replace(off("Line", -20, percent="20", name="yearly"), by="Commitment")
    two = draft(
        [
            rated(
                ComposedLine(line, (inside, off("Line", 0)), (replace(off("Invoice", -8), title="A gift"),)),
                charges=(charge("Shortfall", 700),),
            )
        ]
    )
    assert (two.subtotal_minor, two.discounts_minor, two.total_minor) == (780, -8, 772)
    gpu, missing = two.lines
    assert [(one.scope, one.given_by, one.name, one.title, one.amount_minor) for one in gpu.discounts] == [
        ("Line", "Commitment", "yearly", "yearly", -20),
        ("Invoice", "Discount", "gift", "A gift", -8),
    ]
    assert (gpu.net_minor, missing.net_minor) == (72, 700)


def test_an_overage_says_what_share_of_what_it_is() -> None:
    settlement = Settlement(10_000, 14_000, 0, 4_000, 2_000)
    over = charge("Overage", 2_000, settlement=settlement, factor=Decimal("1.5"))
    (part,) = draft([rated(charges=(over,))]).lines[0].parts
    assert (part.kind, str(part.quantity), str(part.unit_price)) == ("Percentage", "40.00", "0.5")


def test_a_shortfall_of_everything_has_one_part() -> None:
    missing = charge("Shortfall", 700, settlement=Settlement(700, 0, 700, 0, 0))
    (part,) = draft([rated(charges=(missing,))]).lines[0].parts
    assert (part.kind, part.amount_minor) == ("Committed", 700)


def test_what_is_declared_without_a_price_is_refused() -> None:
    unpriced = replace(rated(), unpriced_skus=(UnpricedSku("setup", date(2026, 10, 3)),))
    with pytest.raises(
        UnableToIssue, match="no price for setup from 2026-10-03 on, which a Charge or an Entitlement has"
    ):
        draft([unpriced])
