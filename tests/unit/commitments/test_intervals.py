"""The calendar of a commitment, what its intervals settle to, and how they stand while they run."""

from datetime import date
from decimal import Decimal

import pytest

from milo_billing.commitments.rules.intervals import intervals, prorated_minor, terms
from milo_billing.commitments.rules.settling import draw_down, progress, running, settle_interval
from milo_billing.commitments.types import Interval, PartOfSpan, ViolationPolicy
from milo_billing.kernel.periods import DaySpan, add_months
from tests.unit.commitments.builders import label, minimum, month, promise, selector, settle, spend


def parts(interval: Interval, start: date, end: date, *, invoice_day: int = 1) -> list[str]:
    term = PartOfSpan(DaySpan(start, end), DaySpan(start, end))
    return [
        f"{one.days.start:%m-%d}..{one.days.end:%m-%d} {one.days.count}/{one.full.count}"
        for one in intervals(term, interval, invoice_day=invoice_day)
    ]


def test_months_keep_the_anchor_of_the_31st() -> None:
    assert [add_months(date(2024, 1, 31), n) for n in (1, 2, 13)] == [
        date(2024, 2, 29),
        date(2024, 3, 31),
        date(2025, 2, 28),
    ]


@pytest.mark.parametrize(
    ("interval", "start", "end", "invoice_day", "expected"),
    [
        ("Monthly", date(2026, 1, 1), date(2026, 3, 1), 1, ["01-01..02-01 31/31", "02-01..03-01 28/28"]),
        # cut at both ends, on the account's invoice day
        (
            "Monthly",
            date(2026, 1, 20),
            date(2026, 3, 20),
            15,
            ["01-20..02-15 26/31", "02-15..03-15 28/28", "03-15..03-20 5/31"],
        ),
        # three rating periods, counted from the one in which the term begins
        (
            "Quarterly",
            date(2026, 2, 4),
            date(2026, 8, 4),
            1,
            ["02-04..05-01 86/89", "05-01..08-01 92/92", "08-01..08-04 3/92"],
        ),
        ("Term", date(2026, 2, 4), date(2026, 8, 4), 1, ["02-04..08-04 181/181"]),
    ],
)
def test_intervals_are_rating_periods_cut_to_the_term(
    interval: Interval, start: date, end: date, invoice_day: int, expected: list[str]
) -> None:
    assert parts(interval, start, end, invoice_day=invoice_day) == expected


def test_terms_follow_one_another_until_the_end_that_was_set() -> None:
    renewed = promise(starts_on=date(2026, 1, 31), term_months=1, ends_on=date(2026, 3, 10))
    assert [
        (one.days.start, one.days.end, one.full.end) for one in terms(renewed, until=date(2027, 1, 1))
    ] == [
        (date(2026, 1, 31), date(2026, 2, 28), date(2026, 2, 28)),
        (date(2026, 2, 28), date(2026, 3, 10), date(2026, 3, 31)),
    ]


def test_a_term_that_was_ended_early_owes_its_part_of_the_minimum() -> None:
    (term,) = terms(promise(ends_on=date(2026, 7, 2)), until=date(2027, 1, 1))
    assert prorated_minor(Decimal(365), term, currency="USD") == 182_00


@pytest.mark.parametrize(
    ("minimum_minor", "spent_minor", "factor", "expected"),
    [
        (1000, 400, None, (600, 0, 0)),
        (1000, 1000, None, (0, 0, 0)),
        (1000, 1100, None, (0, 100, 0)),
        (1000, 1100, "1.5", (0, 100, 50)),
        (1000, 1001, "1.5", (0, 1, 1)),  # half a unit, away from zero
        (1000, 1100, "0.5", (0, 100, -50)),
        (1000, 1100, "0", (0, 100, -100)),  # what lies over is free
        (0, 0, "2", (0, 0, 0)),
    ],
)
def test_an_interval_has_a_shortfall_or_something_beyond(
    minimum_minor: int, spent_minor: int, factor: str | None, expected: tuple[int, int, int]
) -> None:
    settled = settle_interval(
        minimum_minor=minimum_minor,
        spent_minor=spent_minor,
        factor=None if factor is None else Decimal(factor),
    )
    assert (settled.shortfall_minor, settled.over_minor, settled.surcharge_minor) == expected


def test_what_months_paid_counts_in_the_quarter_and_the_quarter_in_the_term() -> None:
    wanted = promise(
        minimum("10", "Monthly"),
        minimum("60", "Quarterly"),
        minimum("100", "Term"),
        term_months=6,
        ends_on=date(2026, 7, 1),
    )
    settled = settle(wanted, [month(2026, 1, 4000)], until=date(2026, 7, 1))
    charged = [(one.interval, one.part.days.end.month, one.charged_minor) for one in settled]
    assert charged == [
        ("Monthly", 2, 0),
        ("Monthly", 3, 1000),
        ("Monthly", 4, 1000),
        ("Quarterly", 4, 0),  # 40 used and twice 10 paid
        ("Monthly", 5, 1000),
        ("Monthly", 6, 1000),
        ("Monthly", 7, 1000),
        ("Quarterly", 7, 3000),  # 60 less thrice 10
        ("Term", 7, 0),  # 40 + 20 + 30 + 30 is over 100
    ]


def test_a_shortfall_on_some_skus_counts_only_where_they_are_counted() -> None:
    gpu, cpu = selector(label("family", "gpu")), selector(label("family", "cpu"))
    wanted = promise(
        minimum("10", "Monthly", gpu),
        minimum("20", "Term", cpu),
        minimum("30", "Term"),
        term_months=1,
        ends_on=date(2026, 2, 1),
    )
    skus = (frozenset({"g"}), frozenset({"c"}), None)
    settled = settle(wanted, [month(2026, 1, 500, "c")], until=date(2026, 2, 1), skus=skus)
    assert [one.charged_minor for one in settled] == [1000, 1500, 1500]


@pytest.mark.parametrize(
    ("policy", "charged", "due_on"),
    [
        ("TrueUp", 900, date(2026, 2, 1)),
        ("GracePeriod", 900, date(2026, 2, 11)),
        ("NotifyOnly", 0, None),
    ],
)
def test_the_policy_says_whether_and_when_a_shortfall_is_charged(
    policy: ViolationPolicy, charged: int, due_on: date | None
) -> None:
    wanted = promise(minimum("10", "Monthly"), policy=policy, grace_days=10)
    first = settle(wanted, [month(2026, 1, 100)])[0]
    assert (first.charged_minor, first.due_on) == (charged, due_on)
    assert first.settlement.shortfall_minor == 900


def test_a_month_that_still_runs_pays_nothing_towards_the_year() -> None:
    wanted = promise(minimum("10", "Monthly"), minimum("100", "Yearly"))
    settled = settle(wanted, [spend(date(2026, 1, 1), date(2026, 1, 16), 600)], until=date(2026, 1, 16))
    month_, year = running(settled, today=date(2026, 1, 15))
    assert (month_.interval, month_.settlement.shortfall_minor) == ("Monthly", 400)
    assert (year.interval, year.settlement.spent_minor) == ("Yearly", 600)


@pytest.mark.parametrize(
    ("today", "percent", "days_left", "projected", "missing"),
    [
        (date(2026, 1, 1), 60, 30, 18600, 0),
        (date(2026, 1, 15), 60, 16, 1240, 0),
        (date(2026, 1, 31), 60, 0, 600, 400),
    ],
)
def test_progress_goes_on_at_the_rate_so_far(
    today: date, percent: int, days_left: int, projected: int, missing: int
) -> None:
    (settled,) = running(settle(promise(minimum("10", "Monthly")), [month(2026, 1, 600)]), today=today)
    found = progress(settled, today=today)
    assert (found.percent, found.days_left) == (percent, days_left)
    assert (found.projected_spend_minor, found.projected_shortfall_minor) == (projected, missing)
    assert (found.spent_minor, found.remaining_minor) == (600, 400)


def test_prepaid_money_pays_until_it_is_gone() -> None:
    assert draw_down(100, [60, 60, 5]) == (60, 40, 0)
    assert draw_down(0, [5]) == (0,)


@pytest.mark.parametrize(
    ("charges", "drawn"),
    [
        ([60, -20, 90], (60, -20, 60)),  # it is prepaid again, and pays what comes
        ([160, -30, 50], (100, 0, 0)),  # what was billed comes back first
        ([160, -80, 5], (100, -20, 5)),
        ([60, -70, 50], (60, -60, 50)),  # no more than was drawn; the rest was charged before the term
        ([-20, 50], (0, 50)),
    ],
)
def test_what_is_given_back_is_billed_less_before_it_is_prepaid_again(
    charges: list[int], drawn: tuple[int, ...]
) -> None:
    assert draw_down(100, charges) == drawn
