"""The books in PostgreSQL: what the database itself refuses, whoever asks."""

from datetime import UTC, date, datetime
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from milo_billing.infra.database import Databases, Tx
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations, reads
from milo_billing.ledger.types import RECEIVABLE, Entry, LedgerTransaction, UnableToPost, revenue

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
OCTOBER = (date(2026, 10, 1), date(2026, 11, 1))
USAGE = revenue("Usage")


def post_invoice(
    tx: Tx,
    number: int,
    minor: int,
    *,
    account: int = 7,
    org: int = 1,
    id: int | None = None,
    entity: str = "default",
) -> UUID | None:
    return operations.post_receivable(
        tx,
        id=UUID(int=id or number),
        key=f"invoice/{number}/issue",
        entity=entity,
        posted_on=date(2026, 11, 2),
        billing_account=account,
        owner_org=org,
        currency="USD",
        lines=[(USAGE, minor, OCTOBER)],
        now=NOW,
    )


def raw_post(tx: Tx, entries: list[dict[str, object]]) -> None:
    tx.execute(
        "select ledger.post(%s, 'raw', 'default', '2026-11-02', '', 7, 1, %s, %s)",
        (UUID(int=99), NOW, Jsonb(entries)),
    )


def raw_entry(amount_minor: int) -> dict[str, object]:
    return {"account": "Assets:Receivable", "currency": "USD", "amount_minor": amount_minor}


def test_a_posted_receivable_shows_in_every_balance(tx: Tx) -> None:
    assert post_invoice(tx, 1, 4761) == UUID(int=1)
    post_invoice(tx, 2, 239, account=8)
    assert reads.balance(tx, account=RECEIVABLE, currency="USD") == Money(5000, "USD")
    assert reads.balance(tx, account=RECEIVABLE, currency="USD", billing_account=8) == Money(239, "USD")
    assert reads.balance(tx, account=USAGE, currency="USD", entity="default") == Money(-5000, "USD")
    assert reads.balance(tx, account=USAGE, currency="USD", entity="other") == Money(0, "USD")
    assert reads.balance(tx, account=USAGE, currency="USD", until=date(2026, 11, 2)) == Money(0, "USD")
    assert reads.balance_due(tx, billing_account=7) == (Money(4761, "USD"),)
    assert reads.balance_due(tx, billing_account=9) == ()


def test_the_trial_balance_sums_to_zero_for_each_entity(tx: Tx) -> None:
    post_invoice(tx, 1, 4761)
    post_invoice(tx, 2, -61)
    post_invoice(tx, 3, 10, entity="subsidiary")
    rows = reads.trial_balance(tx)
    assert [(row.entity, row.account, row.debits.minor, row.credits.minor) for row in rows] == [
        ("default", RECEIVABLE, 4761, 61),
        ("default", USAGE, 61, 4761),
        ("subsidiary", RECEIVABLE, 10, 0),
        ("subsidiary", USAGE, 0, 10),
    ]
    assert sum(row.balance.minor for row in rows) == 0
    assert reads.trial_balance(tx, until=date(2026, 11, 2)) == ()


def test_posting_a_fact_again_changes_nothing_and_returns_what_stands(tx: Tx) -> None:
    assert post_invoice(tx, 1, 4761) == UUID(int=1)
    assert post_invoice(tx, 1, 4761, id=2) == UUID(int=1)
    assert reads.balance_due(tx, billing_account=7) == (Money(4761, "USD"),)


@pytest.mark.parametrize(
    ("minor", "account", "entity"), [(4762, 7, "default"), (4761, 8, "default"), (4761, 7, "b")]
)
def test_another_fact_under_the_same_key_is_refused_naming_both(
    tx: Tx, minor: int, account: int, entity: str
) -> None:
    post_invoice(tx, 1, 4761)
    with pytest.raises(UnableToPost, match=f"invoice/1/issue.*{UUID(int=1)}.*{UUID(int=2)}"):
        post_invoice(tx, 1, minor, account=account, entity=entity, id=2)


def test_a_zero_invoice_leaves_the_books_alone(tx: Tx) -> None:
    assert post_invoice(tx, 1, 0) is None
    assert reads.trial_balance(tx) == ()


def test_an_unbalanced_transaction_is_refused_before_it_reaches_the_database(tx: Tx) -> None:
    unbalanced = LedgerTransaction(
        id=UUID(int=1),
        key="k",
        entity="default",
        posted_on=date(2026, 11, 2),
        description="",
        billing_account=7,
        owner_org=1,
        entries=(Entry(RECEIVABLE, Money(2, "USD")), Entry(USAGE, Money(-1, "USD"))),
    )
    with pytest.raises(UnableToPost, match=r"out of balance by 0\.01 USD"):
        operations.post(tx, transaction=unbalanced, now=NOW)
    assert reads.trial_balance(tx) == ()


@pytest.mark.parametrize(
    "entries",
    [
        [raw_entry(2), raw_entry(-1)],
        [raw_entry(1), raw_entry(-1) | {"currency": "EUR"}],
        [raw_entry(0), raw_entry(0)],
        [raw_entry(1)],
        [],
        [raw_entry(1), raw_entry(-1) | {"account": "receivable"}],
        [raw_entry(1), raw_entry(-1) | {"service_from": "2026-10-01"}],
    ],
)
def test_the_database_refuses_what_the_code_would_have_refused(
    tx: Tx, entries: list[dict[str, object]]
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        raw_post(tx, entries)


def test_the_database_says_it_again_at_commit_even_to_the_owner(owner_tx: Tx) -> None:
    owner_tx.execute(
        "insert into ledger.transactions values (%s, 'k', 'e', '2026-11-02', '', 7, 1, %s)",
        (UUID(int=1), NOW),
    )
    for line, minor in enumerate((5, -4), start=1):
        owner_tx.execute(
            "insert into ledger.entries values (%s, %s, 'Assets:Cash', 'USD', %s)", (UUID(int=1), line, minor)
        )
    with pytest.raises(psycopg.errors.CheckViolation, match="out of balance"):
        owner_tx.execute("set constraints all immediate")


@pytest.mark.parametrize(
    "change",
    [
        "update ledger.entries set amount_minor = amount_minor + 1",
        "delete from ledger.entries",
        "update ledger.transactions set posted_on = '2026-01-01'",
        "delete from ledger.transactions",
        "truncate ledger.entries",
        "truncate ledger.transactions cascade",
    ],
)
def test_nothing_posted_is_ever_changed_not_even_by_the_owner(owner_tx: Tx, change: str) -> None:
    post_invoice(owner_tx, 1, 4761)
    owner_tx.execute("set constraints all immediate")
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        owner_tx.execute(change.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "insert into ledger.transactions values (gen_random_uuid(), 'k', 'e', '2026-11-02', '', 7, 1, now())",
        "insert into ledger.entries values (gen_random_uuid(), 1, 'Assets:Cash', 'USD', 5)",
        "update ledger.entries set amount_minor = 1",
        "delete from ledger.transactions",
        "truncate ledger.entries",
    ],
)
def test_the_doors_have_no_way_into_the_books_but_the_function(tx: Tx, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        tx.execute(statement.encode())


def test_ingest_may_not_post_at_all(databases: Databases) -> None:
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        databases.ingest.transaction(reach=frozenset({1})) as tx,
    ):
        raw_post(tx, [raw_entry(1), raw_entry(-1)])


def test_an_organization_reads_its_own_books_only(databases: Databases) -> None:
    with databases.app.transaction(reach="*") as tx:
        post_invoice(tx, 1, 100, org=1)
        post_invoice(tx, 2, 200, org=2)
    for reach, minor in (
        (frozenset({1}), 100),
        (frozenset({2}), 200),
        (frozenset({1, 2}), 300),
        (frozenset[int](), 0),
    ):
        with databases.app.transaction(reach=reach) as tx:
            assert reads.balance(tx, account=RECEIVABLE, currency="USD") == Money(minor, "USD")
            visible = tx.execute("select count(*) from ledger.entries").fetchone()
            assert visible == (2 * len(reach),)


def test_a_posted_key_of_another_organization_stands_though_it_cannot_be_seen(databases: Databases) -> None:
    with databases.job.transaction(reach=frozenset({1})) as tx:
        post_invoice(tx, 1, 100, org=1)
    with (
        pytest.raises(UnableToPost, match="already stands"),
        databases.job.transaction(reach=frozenset({2})) as tx,
    ):
        post_invoice(tx, 1, 100, org=2, id=2)
