"""Rating periods with everything that was promised, from the database: usage → lines → discounts → shortfalls."""

from datetime import UTC, datetime

import pytest

from tests.db.commitments.ground import Ground, gpu_only, minimum


def test_without_a_promise_a_period_is_its_rated_lines(ground: Ground) -> None:
    ground.use("2026-11-05", "gpu", 30)
    rated = ground.rated(2026, 11)
    assert (str(rated.total), rated.charges, rated.closed) == ("30.00 USD", (), True)


def test_only_what_was_accepted_counts(ground: Ground) -> None:
    ground.offer(skuDiscounts=[{"percentage": "20"}], minimumSpends=[minimum("100", "Monthly")])
    ground.use("2026-11-05", "gpu", 30)
    assert str(ground.rated(2026, 11).total) == "30.00 USD"
    ground.accept()
    assert (ground.nets(2026, 11), ground.charges(2026, 11)) == ({"gpu": 2400}, [("Shortfall", 7600)])


def test_a_shortfall_stands_in_the_period_of_the_intervals_last_day_once_and_late_usage_lowers_it(
    ground: Ground,
) -> None:
    ground.promise(minimumSpends=[minimum("100", "Quarterly", skuSelectors=gpu_only())])
    ground.use("2026-11-05", "gpu", 30)
    ground.use("2026-12-05", "disk", 500)  # not counted
    assert [ground.charges(2026, month) for month in (10, 11, 12)] == [[], [], []]
    assert [ground.charges(2027, month) for month in (1, 1, 2)] == [[("Shortfall", 7000)]] * 2 + [[]]
    ground.use("2026-12-31", "gpu", 60)
    assert ground.charges(2027, 1) == [("Shortfall", 1000)]


def test_nested_minimums_true_up_the_rest_only(ground: Ground) -> None:
    """The published spend agreement: 1,200 a year with 60 a month [CM-031]."""
    ground.promise(minimumSpends=[minimum("60", "Monthly"), minimum("1200", "Term")])
    for day, units in (("2026-11-05", 48), ("2026-12-05", 120), ("2027-01-05", 60)):
        ground.use(day, "gpu", units)
    assert [ground.charges(*at) for at in ((2026, 11), (2026, 12), (2027, 1))] == [
        [("Shortfall", 1200)],
        [],
        [],
    ]
    assert [ground.charges(2027, month) for month in (2, 9)] == [[("Shortfall", 6000)]] * 2
    assert ground.charges(2027, 10) == [("Shortfall", 6000), ("Shortfall", 42000)]


def test_a_grace_period_charges_later_and_a_notice_never(ground: Ground) -> None:
    monthly = [minimum("100", "Monthly")]
    ground.promise(minimumSpends=monthly, violationPolicy={"type": "GracePeriod", "days": 10}, termMonths=1)
    ground.promise(
        "notice",
        minimumSpends=monthly,
        violationPolicy={"type": "NotifyOnly"},
        startsOn="2027-01-01",
        termMonths=1,
    )
    assert [ground.charges(2026, month) for month in (11, 12)] == [[], [("Shortfall", 10000)]]
    assert [ground.charges(2027, month) for month in (1, 2)] == [[], []]


def test_prepaid_money_is_bought_drawn_on_and_lost_with_the_term(ground: Ground) -> None:
    ground.promise(prepayment={"amount": "100"}, termMonths=3)
    for day, units in (("2026-11-05", 30), ("2026-12-05", 90)):
        ground.use(day, "gpu", units)
    assert ground.charges(2026, 11) == [("Prepayment", 10000), ("DrawDown", -3000)]
    assert ground.charges(2026, 12) == [("DrawDown", -7000)]
    assert str(ground.rated(2026, 12).total) == "20.00 USD"
    assert ground.charges(2027, 2) == []


def test_two_prepayments_never_pay_the_same_charge(ground: Ground) -> None:
    ground.promise("first", stacking="Best", prepayment={"amount": "50"}, termMonths=2)
    ground.world.clock.forward(seconds=1)  # what was accepted first pays first
    ground.promise("second", stacking="Best", prepayment={"amount": "100"}, termMonths=2)
    for day, units in (("2026-11-05", 30), ("2026-12-05", 90)):
        ground.use(day, "gpu", units)
    assert ground.charges(2026, 11) == [("Prepayment", 5000), ("DrawDown", -3000), ("Prepayment", 10000)]
    assert ground.charges(2026, 12) == [("DrawDown", -2000), ("DrawDown", -7000)]
    assert str(ground.rated(2026, 12).total) == "0.00 USD"


def test_overage_counts_times_the_factor(ground: Ground) -> None:
    ground.promise(minimumSpends=[minimum("100", "Monthly")], overageFactor="1.5", termMonths=1)
    ground.use("2026-11-05", "gpu", 140)
    assert ground.charges(2026, 11) == [("Overage", 2000)]


def test_a_promise_that_begins_within_a_period_acts_on_what_came_after(ground: Ground) -> None:
    ground.promise(
        startsOn="2026-11-16", skuDiscounts=[{"percentage": "20"}], minimumSpends=[minimum("60", "Monthly")]
    )
    ground.use("2026-11-05", "gpu", 100)
    ground.use("2026-11-20", "gpu", 20)
    rated = ground.rated(2026, 11)
    (line,) = rated.lines
    assert (line.net_minor, line.inside[0].share) == (11600, line.inside[0].share.__class__(1, 6))
    # 60 for 15 of 30 days, less 16 that were spent in them
    assert [(one.kind, one.amount_minor) for one in rated.charges] == [("Shortfall", 1400)]


def test_discounts_follow_the_commitment_line_scope_first_percentages_first(ground: Ground) -> None:
    ground.promise(skuDiscounts=[{"percentage": "20", "skuSelectors": gpu_only()}])
    ground.discount("line-percent", scope="Line", percentage="10", skuSelectors=gpu_only())
    ground.discount("line-fixed", scope="Line", amount="2", currencyCode="USD", skuSelectors=gpu_only())
    ground.discount("all-percent", scope="Invoice", percentage="50")
    ground.discount("all-fixed", scope="Invoice", amount="9", currencyCode="USD", uses=1)
    for month in ("11", "12"):
        ground.use(f"2026-{month}-05", "gpu", 100)
        ground.use(f"2026-{month}-05", "disk", 30)
    # gpu 100 → 80 → 72 → 70 → 35; disk 30 → 15; 9 off 50 in proportion
    assert ground.nets(2026, 11) == {"disk": 1230, "gpu": 2870}
    assert ground.nets(2026, 12) == {"disk": 1500, "gpu": 3500}
    explained = {
        line.line.sku.name: [(one.name, one.amount_minor) for one in (*line.inside, *line.taken)]
        for line in ground.rated(2026, 11).lines
    }
    assert explained["gpu"] == [
        ("yearly", -2000),
        ("line-percent", -800),
        ("line-fixed", -200),
        ("all-percent", -3500),
        ("all-fixed", -630),
    ]


def test_of_two_commitments_that_stack_the_higher_percentage_holds_while_both_do(ground: Ground) -> None:
    ground.promise("base", stacking="Best", skuDiscounts=[{"percentage": "10"}])
    ground.promise(
        "short",
        stacking="Best",
        startsOn="2026-12-01",
        termMonths=1,
        skuDiscounts=[{"percentage": "30", "skuSelectors": gpu_only()}],
    )
    for day in ("2026-11-05", "2026-12-05", "2027-01-05"):
        ground.use(day, "gpu", 100)
    assert [ground.nets(*at)["gpu"] for at in ((2026, 11), (2026, 12), (2027, 1))] == [9000, 7000, 9000]


def test_a_renewed_commitment_goes_on_with_new_terms(ground: Ground) -> None:
    ground.promise(termMonths=1, renewalPolicy="Restart", minimumSpends=[minimum("10", "Term")])
    assert [ground.charges(*at) for at in ((2026, 11), (2027, 5))] == [[("Shortfall", 1000)]] * 2


@pytest.mark.parametrize(
    ("day", "spent", "projected", "missing"), [(10, 2000, 6000, 4000), (30, 2000, 2000, 8000)]
)
def test_progress_is_what_was_used_up_to_this_moment(
    ground: Ground, day: int, spent: int, projected: int, missing: int
) -> None:
    ground.promise(minimumSpends=[minimum("100", "Monthly"), minimum("1000", "Yearly")])
    now = datetime(2026, 11, day, 12, tzinfo=UTC)
    ground.use("2026-11-05", "gpu", 20)
    month, year = ground.progress(now=now)
    assert (month.spent_minor, month.remaining_minor, month.percent) == (spent, 8000, 20)
    assert (month.projected_spend_minor, month.projected_shortfall_minor) == (projected, missing)
    assert (month.days_left, year.interval, year.spent_minor) == (30 - day, "Yearly", 2000)
    ground.use("2026-11-05", "gpu", 1)
    assert ground.progress(now=now)[0].spent_minor == 2100


def test_a_preview_at_the_periods_end_is_the_period(ground: Ground) -> None:
    ground.promise(minimumSpends=[minimum("100", "Monthly")], skuDiscounts=[{"percentage": "5"}])
    ground.use("2026-11-05", "gpu", 20)
    last, after = (
        ground.rated(2026, 11, now=now)
        for now in (datetime(2026, 11, 30, 23, 59, tzinfo=UTC), datetime(2026, 12, 20, tzinfo=UTC))
    )
    assert (last.closed, after.closed) == (False, True)
    assert (last.lines, last.charges) == (after.lines, after.charges)
