"""Terms, intervals and rating periods at their edges; what settles in them; how far an interval has come."""

from datetime import date
from decimal import Decimal

import pytest

from milo_billing.commitments.rules.intervals import intervals, rating_spans, terms
from milo_billing.commitments.rules.settling import progress
from milo_billing.commitments.rules.specificity import candidates, choose_percents
from milo_billing.commitments.types import DaySpan, PartOfSpan, Progress
from tests.unit.commitments.builders import label, minimum, month, off, promise, selector, settle

TEN = minimum("10", "Monthly")


def span(start: str, end: str) -> DaySpan:
    return DaySpan(date.fromisoformat(start), date.fromisoformat(end))


def whole(start: str, end: str) -> PartOfSpan:
    return PartOfSpan(span(start, end), span(start, end))


@pytest.mark.parametrize(
    ("ends_on", "until", "expected"),
    [
        (None, date(2027, 1, 1), [whole("2026-01-01", "2027-01-01")]),  # one that begins on `until` is not asked for
        (None, date(2027, 1, 2), [whole("2026-01-01", "2027-01-01"), whole("2027-01-01", "2028-01-01")]),
        (date(2027, 1, 1), date(2030, 1, 1), [whole("2026-01-01", "2027-01-01")]),
        (date(2026, 7, 1), date(2030, 1, 1), [
            PartOfSpan(span("2026-01-01", "2026-07-01"), span("2026-01-01", "2027-01-01"))
        ]),
    ],
)  # fmt: skip
def test_terms_follow_one_another_until_the_promise_ends(
    ends_on: date | None, until: date, expected: list[PartOfSpan]
) -> None:
    assert list(terms(promise(TEN, ends_on=ends_on), until=until)) == expected


def test_years_of_a_long_term_are_twelve_rating_periods_each() -> None:
    term = whole("2026-01-01", "2028-01-01")
    assert intervals(term, "Yearly", invoice_day=1) == (
        whole("2026-01-01", "2027-01-01"),
        whole("2027-01-01", "2028-01-01"),
    )


def test_rating_periods_are_those_that_share_a_day() -> None:
    assert list(rating_spans(span("2026-01-14", "2026-03-15"), invoice_day=15)) == [
        span("2025-12-15", "2026-01-15"),
        span("2026-01-15", "2026-02-15"),
        span("2026-02-15", "2026-03-15"),
    ]


def test_an_interval_that_begins_on_the_last_day_asked_for_is_not_settled() -> None:
    settled = settle(promise(TEN), [], until=date(2026, 2, 1))
    assert [one.part.days.start for one in settled] == [date(2026, 1, 1)]


def test_cost_beyond_the_minimum_counts_as_often_as_the_promise_says() -> None:
    (january,) = settle(
        promise(TEN, overage_factor=Decimal("1.5")), [month(2026, 1, 1400)], until=date(2026, 2, 1)
    )
    assert (january.settlement.over_minor, january.settlement.surcharge_minor) == (400, 200)
    assert january.charged_minor == 200


def test_what_months_have_paid_is_spent_and_does_not_go_on() -> None:
    wanted = promise(TEN, minimum("100", "Quarterly"))
    settled = settle(wanted, [month(2026, 1, 400), month(2026, 2, 1600)], until=date(2026, 3, 1))
    (quarter,) = [one for one in settled if one.interval == "Quarterly"]
    assert quarter.paid_minor == 600
    # 20 used and 6 paid in 45 of 90 days: 40 + 6 in the end
    assert progress(quarter, today=date(2026, 2, 14)) == Progress(
        minimum=1,
        interval="Quarterly",
        days=span("2026-01-01", "2026-04-01"),
        minimum_minor=10000,
        spent_minor=2600,
        remaining_minor=7400,
        percent=26,
        days_left=45,
        projected_spend_minor=4600,
        projected_shortfall_minor=5400,
    )


@pytest.mark.parametrize(("amount", "spent", "percent"), [("0", 0, 100), ("10", 999, 99), ("0.01", 3, 300)])
def test_the_percentage_of_a_minimum_is_cut_and_whole_where_there_is_none(
    amount: str, spent: int, percent: int
) -> None:
    (january,) = settle(promise(minimum(amount, "Monthly")), [month(2026, 1, spent)], until=date(2026, 2, 1))
    found = progress(january, today=date(2026, 1, 31)).percent
    assert (found, type(found)) == (percent, int)


def test_selectors_are_numbered_within_their_discount() -> None:
    gpu, cpu = selector(label("family", "gpu")), selector(label("family", "cpu"))
    found = candidates((off("5"), off("6", gpu, cpu, priority=2)))
    assert [(one.discount, one.selector, one.priority) for one in found] == [(0, 0, 0), (1, 0, 2), (1, 1, 2)]


def test_of_two_expressions_of_one_priority_the_discount_that_is_written_first_applies() -> None:
    first, second = candidates(
        (off("5", selector(cel="a"), priority=1), off("6", selector(cel="b"), priority=1))
    )
    for order in ([first, second], [second, first]):
        assert choose_percents({one: frozenset({"gpu"}) for one in order}) == {"gpu": Decimal(5)}
