"""Exchange rates in the database: the ECB's real history, imported once, looked up by day."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import psycopg
import pytest

from milo_billing.infra.clock import SimulatedClock
from milo_billing.infra.database import Databases, Tx
from milo_billing.infra.telemetry import REGISTRY
from milo_billing.kernel.errors import Unavailable
from milo_billing.pricing import jobs, operations, reads
from milo_billing.pricing.types import ExchangeRate, RateNotFound, RatesDiffer

LAST_DAY = "milo_billing_exchange_rates_last_day_timestamp_seconds"
NOW = datetime(2026, 4, 14, tzinfo=UTC)

RATES = b"Date,USD,CHF\n2026-04-10,1.1711,0.9241\n2026-04-09,1.1698,N/A\n2026-04-08,1.1644,0.9208\n"


def on(tx: Tx, day: str, from_currency: str = "USD", to_currency: str = "CHF") -> ExchangeRate:
    return reads.get_rate(
        tx, from_currency=from_currency, to_currency=to_currency, on=date.fromisoformat(day)
    )


@pytest.fixture
def rates(tx: Tx) -> Tx:
    operations.import_rates(tx, content=RATES, now=NOW)
    return tx


@pytest.mark.parametrize(
    ("from_currency", "to_currency", "day", "published", "legs"),
    [
        ("USD", "CHF", "2026-04-10", "2026-04-10", ("1.1711", "0.9241")),
        ("CHF", "USD", "2026-04-12", "2026-04-10", ("0.9241", "1.1711")),  # a Sunday: Friday's
        ("USD", "CHF", "2026-04-09", "2026-04-08", ("1.1644", "0.9208")),  # both of one day, or neither
        ("USD", "EUR", "2026-04-09", "2026-04-09", ("1.1698", "1")),
        ("EUR", "CHF", "2026-04-09", "2026-04-08", ("1", "0.9208")),
        ("USD", "USD", "2026-04-09", "2026-04-09", ("1", "1")),
    ],
)
def test_the_rate_last_published_on_a_day_or_before_holds(
    rates: Tx, from_currency: str, to_currency: str, day: str, published: str, legs: tuple[str, str]
) -> None:
    found = on(rates, day, from_currency, to_currency)
    assert found.day.isoformat() == published
    assert (found.from_per_euro, found.to_per_euro) == (Decimal(legs[0]), Decimal(legs[1]))
    assert found.rate == Fraction(legs[1]) / Fraction(legs[0])


def test_before_the_first_day_and_for_unknown_currencies_there_is_none(rates: Tx) -> None:
    for day, to_currency in (("2026-04-07", "CHF"), ("2026-04-10", "SEK")):
        with pytest.raises(RateNotFound, match="milo-billing rates import"):
            on(rates, day, to_currency=to_currency)


def test_an_import_again_changes_nothing_and_more_days_are_added(rates: Tx) -> None:
    again = operations.import_rates(rates, content=RATES, now=NOW)
    assert (again.added, again.known) == (0, 5)
    more = operations.import_rates(rates, content=RATES + b"2026-04-13,1.1684,0.9242\n", now=NOW)
    assert (more.added, more.known, more.last_day) == (2, 5, date(2026, 4, 13))


def test_a_rate_that_differs_from_the_one_that_stands_is_refused_with_its_whole_file(
    databases: Databases,
) -> None:
    with databases.app.transaction(reach="*") as tx:
        operations.import_rates(tx, content=RATES, now=NOW)
    changed = b"Date,USD\n2026-04-13,1.1684\n2026-04-10,1.1712\n"
    with (
        pytest.raises(RatesDiffer, match=r"USD on 2026-04-10 is 1\.1711 .* 1\.1712"),
        databases.app.transaction(reach="*") as tx,
    ):
        operations.import_rates(tx, content=changed, now=NOW)
    with databases.app.transaction(reach="*") as tx:
        assert on(tx, "2026-04-13").day == date(2026, 4, 10)


def test_the_database_keeps_a_rate_as_it_was_written(owner_tx: Tx) -> None:
    operations.import_rates(owner_tx, content=RATES, now=NOW)
    for statement in (
        "update pricing.exchange_rates set rate = 1",
        "delete from pricing.exchange_rates",
        "truncate pricing.exchange_rates",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="written once"), owner_tx.transaction():
            owner_tx.execute(statement.encode())
    for value in ("0", "-1", "'NaN'", "'infinity'"):
        with pytest.raises(psycopg.errors.CheckViolation), owner_tx.transaction():
            owner_tx.execute(
                f"insert into pricing.exchange_rates values ('ECB', 'SEK', '2026-01-01', {value}, now())".encode()
            )


@pytest.mark.shared
def test_the_real_history_of_the_ecb_is_imported_whole(tx: Tx, shared_data: Path) -> None:
    content = (shared_data / "standards" / "ecb_eurofxref-hist.zip").read_bytes()
    done = operations.import_rates(tx, content=content, now=NOW)
    assert (done.first_day, done.last_day, done.known) == (date(1999, 1, 4), date(2026, 4, 13), 0)
    assert done.added > 200_000
    assert operations.import_rates(tx, content=content, now=NOW).added == 0
    new_year = on(tx, "2024-01-01", "USD", "JPY")  # the last before it: Friday the 29th
    assert (new_year.day, new_year.from_per_euro) == (date(2023, 12, 29), Decimal("1.1050"))
    assert new_year.to_per_euro == Decimal("156.33")
    assert on(tx, "2026-04-13", "RUB", "EUR").day == date(2022, 3, 1)  # not published since


class Published:
    """A source that says what it was told to; None is away."""

    def __init__(self, content: bytes | None) -> None:
        self.content = content

    def fetch(self) -> bytes:
        if self.content is None:
            raise Unavailable("away")
        return self.content


def tasks(databases: Databases, source: Published) -> tuple[Callable[..., None], Callable[..., None]]:
    """Fetching and measuring."""
    fetch, measure = jobs.tasks(database=databases.job, clock=SimulatedClock(NOW), source=source)
    return fetch.task.run, measure.task.run


def fetches(outcome: str) -> float:
    return REGISTRY.get_sample_value("milo_billing_exchange_rate_fetches_total", {"outcome": outcome}) or 0


def test_the_daily_job_brings_in_what_is_published_and_fails_aloud(databases: Databases) -> None:
    source = Published(RATES)
    fetch, measure = tasks(databases, source)
    measure(timestamp=0)
    assert REGISTRY.get_sample_value(LAST_DAY) == 0
    fetch(timestamp=0)
    fetch(timestamp=0)
    measure(timestamp=0)
    assert REGISTRY.get_sample_value(LAST_DAY) == datetime(2026, 4, 10, tzinfo=UTC).timestamp()
    with databases.app.transaction(reach="*") as tx:
        assert on(tx, "2026-04-10").day == date(2026, 4, 10)
    failed = fetches("failed")
    source.content = None
    with pytest.raises(Unavailable):
        fetch(timestamp=0)
    assert fetches("failed") == failed + 1
