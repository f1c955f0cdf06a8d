"""The hourly check of the books: how many differences there are is a metric."""

from datetime import date

from milo_billing.app.ledger_ports import above_the_books
from milo_billing.infra.telemetry import REGISTRY
from milo_billing.kernel.money import Money
from milo_billing.ledger import jobs, operations
from milo_billing.ledger.types import cash
from tests.db.invoicing.ground import Ground
from tests.db.ledger.books import Books, post


def verified(ground: Ground) -> float | None:
    (task,) = jobs.tasks(database=ground.databases.job, subledgers=above_the_books().subledgers)
    task.task.run(timestamp=0)
    return REGISTRY.get_sample_value("milo_billing_ledger_differences")


def test_the_metric_counts_the_differences(ground: Ground, books: Books) -> None:
    assert verified(ground) == 0
    stray = operations.payment_received(Money(500, "USD"), into=cash("3000"))
    post(ground, books.main, "stray", stray, on=date(2026, 12, 1))
    assert verified(ground) == 1
