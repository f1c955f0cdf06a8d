"""From rated usage to a draft."""

from fractions import Fraction

import pytest

from milo_billing.invoicing.rules.drafts import draft
from milo_billing.invoicing.rules.postings import postings
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.kernel.money import Money
from milo_billing.kernel.periods import Period, billing_month
from milo_billing.kernel.quantity import INT64_MAX
from milo_billing.pricing.types import SubLine
from tests.unit.invoicing.builders import OCTOBER, rated, rated_line

TOKENS = rated_line(
    "tokens", SubLine("Usage", 4515, Fraction(18_059_974, 10**6)), shares={1: (18_059_974, 4515)}
)


def test_a_draft_is_the_sum_of_its_lines() -> None:
    two = draft([rated(TOKENS, rated_line("requests", SubLine("Usage", 246)))])
    assert two.total == Money(4761, "USD")
    assert two.period == OCTOBER
    assert [line.amount_minor for line in two.lines] == [4515, 246]


def test_several_rating_periods_become_one_invoice_period() -> None:
    november = billing_month(2026, 11, zone="Etc/UTC")
    both = draft([rated(TOKENS), rated(TOKENS, period=november)])
    assert both.period == Period(OCTOBER.start, november.end)
    assert both.total == Money(9030, "USD")


def test_quantities_are_kept_to_twelve_decimals_and_shares_in_the_pricing_unit() -> None:
    third = rated_line("tokens", SubLine("Usage", 1, Fraction(1, 3)), shares={1: (333_333, 1)})
    (line,) = draft([rated(third)]).lines
    assert str(line.parts[0].quantity) == "0.333333333333"
    assert [(share.project, str(share.quantity)) for share in line.shares] == [(1, "0.333333")]
    assert dict(line.shares[0].dimensions) == {"model": "swift"}


def test_what_no_project_used_is_the_accounts_own_share() -> None:
    (line,) = draft([rated(rated_line("support", SubLine("Minimum", 500), own_minor=500))]).lines
    assert [(share.project, share.amount_minor) for share in line.shares] == [(None, 500)]
    assert (line.parts[0].quantity, line.parts[0].unit_price) == (None, None)


def test_usage_without_a_price_is_refused_by_name_each_meter_once() -> None:
    with pytest.raises(UnableToIssue, match=r"usage of a\.example/x, b\.example/y has no price"):
        draft([rated(TOKENS, unpriced=("b.example/y", "a.example/x", "b.example/y"))])


def test_no_invoice_is_beyond_64_bits() -> None:
    lines = [
        rated_line("tokens", SubLine("Usage", INT64_MAX)),
        rated_line("more", SubLine("Usage", INT64_MAX)),
    ]
    with pytest.raises(UnableToIssue, match="an invoice cannot total"):
        draft([rated(*lines)])


def test_revenue_is_earned_in_the_days_of_each_line() -> None:
    ((account, minor, days),) = postings(draft([rated(TOKENS)]))
    assert (account, minor) == ("Income:Revenue:Usage", 4515)
    assert days is not None
    assert [day.isoformat() for day in days] == ["2026-10-01", "2026-11-01"]
