"""Closed months: nothing is posted into them, and what comes late stands in the first that is open."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from uuid import UUID

import psycopg
import pytest

from milo_billing.infra.database import EVERYWHERE, Databases, Tx
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations, reads
from milo_billing.ledger.types import (
    BAD_DEBT,
    RECEIVABLE,
    Entry,
    Fact,
    LedgerTransaction,
    UnableToClose,
    UnableToPost,
    revenue,
)

OCTOBER = date(2026, 10, 1)
NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
IN_OCTOBER = (date(2026, 10, 5), date(2026, 10, 6))


def fact(key: str, day: date, *, entity: str = "default") -> Fact:
    return Fact(UUID(int=hash(key) % 2**100), key, entity, day, billing_account=7, owner_org=1)


def post(tx: Tx, key: str, day: date, *, minor: int = 100, entity: str = "default") -> UUID | None:
    entries = operations.invoiced([(revenue("Usage"), minor, IN_OCTOBER)], currency="USD")
    return operations.post_fact(tx, fact=fact(key, day, entity=entity), entries=entries, now=NOW)


def close(tx: Tx, month: date = OCTOBER, *, entity: str = "default", now: datetime = NOW) -> bool:
    return operations.close_month(tx, entity=entity, month=month, by="anna", now=now)


def days_of(tx: Tx) -> dict[str, date]:
    return dict(tx.execute("select key, posted_on from ledger.transactions").fetchall())


def test_a_closed_month_refuses_entries_with_what_to_do(tx: Tx) -> None:
    assert close(tx)
    strict = LedgerTransaction(
        id=UUID(int=1),
        key="k",
        entity="default",
        posted_on=date(2026, 10, 31),
        description="",
        billing_account=7,
        owner_org=1,
        entries=(Entry(BAD_DEBT, Money(2, "USD")), Entry(RECEIVABLE, Money(-2, "USD"))),
    )
    with pytest.raises(
        UnableToPost, match="k falls on 2026-10-31, but the books of default are closed until 2026-11-01"
    ):
        operations.post(tx, transaction=strict, now=NOW)


def test_a_late_fact_stands_on_the_first_open_day_and_keeps_its_service_period(tx: Tx) -> None:
    close(tx)
    post(tx, "late", date(2026, 10, 31))
    post(tx, "today", date(2026, 11, 2))
    assert days_of(tx) == {"late": date(2026, 11, 1), "today": date(2026, 11, 2)}
    served = tx.execute(
        "select distinct service_from, service_to from ledger.entries where service_from is not null"
    )
    assert served.fetchall() == [IN_OCTOBER]


def test_what_stands_in_a_month_stands_there_also_when_it_is_posted_again_after_the_close(tx: Tx) -> None:
    first = post(tx, "before", date(2026, 10, 31))
    close(tx)
    assert post(tx, "before", date(2026, 10, 31)) == first
    late = post(tx, "late", date(2026, 10, 31))
    close(tx, date(2026, 11, 1), now=datetime(2026, 12, 2, tzinfo=UTC))
    assert post(tx, "late", date(2026, 10, 31)) == late
    assert days_of(tx) == {"before": date(2026, 10, 31), "late": date(2026, 11, 1)}
    with pytest.raises(UnableToPost, match="says something else"):
        post(tx, "late", date(2026, 11, 2))


def test_closing_again_changes_nothing_and_closes_all_before(tx: Tx) -> None:
    assert close(tx)
    assert not close(tx)
    assert not close(tx, date(2026, 8, 1))
    assert reads.first_open_day(tx, entity="default") == date(2026, 11, 1)
    assert [(one.entity, one.month, one.closed_by) for one in reads.list_closings(tx, limit=10)] == [
        ("default", OCTOBER, "anna")
    ]


def test_every_entity_closes_its_own_books(tx: Tx) -> None:
    close(tx)
    post(tx, "other", date(2026, 10, 31), entity="subsidiary")
    assert days_of(tx) == {"other": date(2026, 10, 31)}
    assert reads.first_open_day(tx, entity="subsidiary") is None


@pytest.mark.parametrize(
    ("month", "now", "message"),
    [
        (
            OCTOBER,
            datetime(2026, 11, 1, 11, 59, tzinfo=UTC),
            "2026-10 is not over everywhere before 2026-11-01 12:00 UTC",
        ),
        (date(2026, 12, 1), NOW, "2027-01-01 12:00"),
        (date(2026, 10, 2), NOW, "not the first day of a month"),
    ],
)
def test_a_month_that_is_not_over_cannot_be_closed(tx: Tx, month: date, now: datetime, message: str) -> None:
    with pytest.raises(UnableToClose, match=message):
        close(tx, month, now=now)


@pytest.mark.parametrize(
    "change",
    [
        "delete from ledger.closings",
        "update ledger.closings set month = '2026-01-01'",
        "truncate ledger.closings",
    ],
)
def test_a_closing_is_never_taken_back_not_even_by_the_owner(owner_tx: Tx, change: str) -> None:
    close(owner_tx)
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        owner_tx.execute(change.encode())


def test_not_even_the_owner_inserts_into_a_closed_month(owner_tx: Tx) -> None:
    close(owner_tx)
    with pytest.raises(psycopg.errors.CheckViolation, match="closed until 2026-11-01"):
        owner_tx.execute(
            "insert into ledger.transactions values (%s, 'k', 'default', '2026-10-31', '', 7, 1, %s)",
            (UUID(int=1), NOW),
        )


def test_the_doors_close_by_the_function_alone(tx: Tx) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        tx.execute("insert into ledger.closings values ('default', '2026-10-01', now(), 'me')")


def test_a_month_that_is_closed_meanwhile_waits_for_what_is_being_posted(databases: Databases) -> None:
    closed = threading.Event()

    def close_it() -> None:
        with databases.app.transaction(reach=EVERYWHERE) as tx:
            close(tx)
        closed.set()

    with databases.app.transaction(reach=EVERYWHERE) as tx:
        post(tx, "first", date(2026, 10, 31))
        thread = threading.Thread(target=close_it)
        thread.start()
        with waiting_lock(databases):
            assert not closed.is_set()
    thread.join(timeout=30)
    assert closed.is_set()
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        assert days_of(tx) == {"first": date(2026, 10, 31)}


@contextmanager
def waiting_lock(databases: Databases) -> Generator[None]:
    """Once somebody waits for an advisory lock."""
    query = "select count(*) from pg_locks where locktype = 'advisory' and not granted and classid = 4220"
    for _ in range(1_000):
        with databases.app.transaction(reach=EVERYWHERE) as tx:
            row = tx.execute(query).fetchone()
            if row is not None and row[0]:
                yield
                return
        threading.Event().wait(0.01)
    raise AssertionError("nobody waits for the lock")
