"""The hourly check of the books: how many differences there are is a metric."""

from datetime import date

from milo_billing.app.ledger_ports import above_the_books
from milo_billing.infra.telemetry import REGISTRY
from milo_billing.kernel.money import Money
from milo_billing.ledger import jobs, operations
from milo_billing.ledger.types import cash
from tests.accounts_world import HandClock
from tests.db.invoicing.ground import NOVEMBER, Ground
from tests.db.ledger.books import Books, post


def verified(ground: Ground) -> float | None:
    subledgers, clock = above_the_books().subledgers, HandClock(NOVEMBER)
    (task,) = jobs.tasks(database=ground.databases.job, subledgers=subledgers, clock=clock)
    task.task.run(timestamp=0)
    return REGISTRY.get_sample_value("milo_billing_ledger_differences")


def test_the_metric_counts_the_differences(ground: Ground, books: Books) -> None:
    assert verified(ground) == 0
    assert REGISTRY.get_sample_value("milo_billing_ledger_verified_timestamp_seconds") == NOVEMBER.timestamp()
    stray = operations.payment_received(Money(500, "USD"), into=cash("3000"))
    post(ground, books.main, "stray", stray, on=date(2026, 12, 1))
    assert verified(ground) == 1


def test_a_difference_that_comes_between_two_hours_of_a_day_is_found(ground: Ground, books: Books) -> None:
    """The first hour adds everything up, the second what was posted since, the next all again: something is wrong."""
    subledgers, clock = above_the_books().subledgers, HandClock(NOVEMBER)
    (task,) = jobs.tasks(database=ground.databases.job, subledgers=subledgers, clock=clock)
    found: list[float | None] = []
    for hour in range(4):
        if hour == 2:
            stray = operations.payment_received(Money(500, "USD"), into=cash("3000"))
            post(ground, books.main, "stray", stray, on=date(2026, 12, 1))
        task.task.run(timestamp=0)
        found.append(REGISTRY.get_sample_value("milo_billing_ledger_differences"))
    assert found == [0, 0, 1, 1]
