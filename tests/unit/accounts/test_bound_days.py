"""For how many days of a period an account pays for a project, through changes of payer and of the clock."""

from datetime import UTC, date, datetime
from uuid import UUID

from milo_billing.accounts.rules.bound_days import bound_days
from milo_billing.accounts.types import PayerInterval
from milo_billing.kernel.periods import Period, billing_month, local_midnight

OCTOBER = billing_month(2026, 10, zone="Etc/UTC")


def interval(
    account: int, start: datetime, end: datetime | None = None, *, project: int = 1
) -> PayerInterval:
    return PayerInterval(project, account, 1, UUID(int=1), "b", "web", start, end, 1)


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 10, day, hour, minute, tzinfo=UTC)


def october(account: int, *intervals: PayerInterval) -> int | None:
    found = bound_days(intervals, account=account, period=OCTOBER, zone="Etc/UTC").get(1)
    return None if found is None else found[0]


def test_a_project_that_was_always_bound_counts_every_day():
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    assert bound_days([interval(1, long_ago)], account=1, period=OCTOBER, zone="Etc/UTC") == {1: (31, 31)}


def test_the_day_of_a_change_belongs_to_the_new_payer():
    change = at(16, 15)
    both = interval(1, at(1), change), interval(2, change)
    assert (october(1, *both), october(2, *both)) == (15, 16)


def test_a_change_at_midnight_divides_the_period_there():
    both = interval(1, at(1), at(16)), interval(2, at(16))
    assert (october(1, *both), october(2, *both)) == (15, 16)


def test_a_part_of_a_day_is_a_day_where_nobody_follows():
    assert october(1, interval(1, at(10, 23, 59))) == 22
    assert october(1, interval(1, at(1), at(10, 0, 1))) == 10
    assert october(1, interval(1, at(7, 1), at(7, 2)), interval(1, at(7, 3), at(7, 4))) == 1


def test_who_paid_for_some_hours_of_another_payers_day_has_no_day():
    there_and_back = interval(1, at(1), at(9, 8)), interval(2, at(9, 8), at(9, 9)), interval(1, at(9, 9))
    assert (october(1, *there_and_back), october(2, *there_and_back)) == (31, 0)


def test_days_are_of_the_accounts_zone():
    zone = "Pacific/Auckland"
    september = Period(
        local_midnight(date(2026, 9, 1), zone=zone), local_midnight(date(2026, 10, 1), zone=zone)
    )
    # 26 September 13:00 UTC is the 27th there, the day on which the clock goes forward
    started = datetime(2026, 9, 26, 13, tzinfo=UTC)
    assert bound_days([interval(1, started)], account=1, period=september, zone=zone) == {1: (4, 30)}


def test_projects_are_told_apart_and_those_of_others_are_left_out():
    mixed = [interval(1, at(1)), interval(2, at(1), project=2), interval(1, at(31), project=3)]
    assert bound_days(mixed, account=1, period=OCTOBER, zone="Etc/UTC") == {1: (31, 31), 3: (1, 31)}


def test_what_lies_outside_of_the_period_does_not_matter():
    before = interval(1, datetime(2026, 9, 1, tzinfo=UTC), at(1))
    after = interval(1, datetime(2026, 11, 1, tzinfo=UTC))
    assert october(1, before) is None
    assert october(1, before, interval(2, at(1), datetime(2026, 11, 1, tzinfo=UTC)), after) is None
