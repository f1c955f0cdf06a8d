"""Balances and closings. Row-level security narrows each to the organizations that the transaction may see."""

from collections.abc import Collection
from datetime import date
from typing import Final

from milo_billing.infra.database import Tx
from milo_billing.kernel.money import Currency, Money
from milo_billing.ledger.types import (
    MONEY_ON_ACCOUNT,
    PREPAID_CREDIT,
    RECEIVABLE,
    REVENUE,
    UNAPPLIED_CASH,
    UNDER_WAY,
    AccountName,
    BookFilter,
    Closing,
    Entry,
    Kept,
    Position,
    PostedTransaction,
    Posting,
    StatementLine,
    SubledgerBalance,
    TrialBalanceRow,
)

KEPT_MAX: Final = 100
"""Of one billing account; it has few issuers and currencies."""


def balance(
    tx: Tx,
    *,
    account: AccountName,
    currency: Currency,
    entity: str | None = None,
    billing_account: int | None = None,
    until: date | None = None,
) -> Money:
    """Debits less credits of one ledger account, up to but not on the day `until`; zero where nothing was
    posted.

    Without `entity` or `billing_account` it is taken over all of them.
    """
    row = tx.execute(
        """
        select coalesce(sum(e.amount_minor), 0)::bigint
        from ledger.entries e join ledger.transactions t on t.id = e.transaction
        where e.account = %(account)s and e.currency = %(currency)s
          and (%(entity)s::text is null or t.entity = %(entity)s)
          and (%(billing_account)s::integer is null or t.billing_account = %(billing_account)s)
          and (%(until)s::date is null or t.posted_on < %(until)s)
        """,
        {
            "account": account,
            "currency": currency,
            "entity": entity,
            "billing_account": billing_account,
            "until": until,
        },
    ).fetchone()
    assert row is not None  # an aggregate returns one row
    return Money(row[0], currency)


def list_holders(tx: Tx, *, accounts: Collection[AccountName], limit: int) -> tuple[int, ...]:
    """Billing accounts to which one of these ledger accounts owes something, by number."""
    rows = tx.execute(
        "select distinct billing_account from (select t.billing_account from ledger.entries e "
        "join ledger.transactions t on t.id = e.transaction where e.account = any(%s) "
        "group by t.entity, t.billing_account, e.account, e.currency having sum(e.amount_minor) < 0) held "
        "order by billing_account limit %s",
        (list(accounts), limit),
    )
    return tuple(number for (number,) in rows)


def balance_due(tx: Tx, *, billing_account: int) -> tuple[Money, ...]:
    """What the account owes for issued invoices: one amount a currency that is not settled, negative if
    overpaid.

    An account bills in one currency, so there is one amount or none.
    """
    rows = tx.execute(
        """
        select e.currency, sum(e.amount_minor)::bigint
        from ledger.transactions t join ledger.entries e on e.transaction = t.id
        where t.billing_account = %s and e.account = %s
        group by e.currency having sum(e.amount_minor) <> 0
        order by e.currency
        """,
        (billing_account, RECEIVABLE),
    ).fetchall()
    return tuple(Money(minor, currency) for currency, minor in rows)


def list_held(tx: Tx, *, billing_account: int) -> tuple[tuple[AccountName, Money], ...]:
    """Money of the billing account that is kept for it: on account, as prepaid credit, unapplied, or on its way back to
    the customer; positive amounts.

    By ledger account and currency, at most a few; none that is zero.
    """
    rows = tx.execute(
        "select e.account, e.currency, (-sum(e.amount_minor))::bigint "
        "from ledger.transactions t join ledger.entries e on e.transaction = t.id "
        "where t.billing_account = %s and e.account = any(%s) "
        "group by e.account, e.currency having sum(e.amount_minor) <> 0 order by e.account, e.currency",
        (billing_account, [MONEY_ON_ACCOUNT, PREPAID_CREDIT, UNAPPLIED_CASH, UNDER_WAY]),
    )
    return tuple((AccountName(name), Money(minor, currency)) for name, currency, minor in rows)


def list_kept(tx: Tx, *, billing_account: int) -> tuple[Kept, ...]:
    """What is kept for the billing account and pays nothing yet, by issuer and currency; the largest ones where there
    are many.
    """
    rows = tx.execute(
        """
        select t.entity, e.currency, coalesce(-sum(e.amount_minor) filter (where e.account = %(unapplied)s), 0)::bigint,
               coalesce(-sum(e.amount_minor) filter (where e.account = %(on_account)s), 0)::bigint
        from ledger.transactions t join ledger.entries e on e.transaction = t.id
        where t.billing_account = %(account)s and e.account in (%(unapplied)s, %(on_account)s)
        group by t.entity, e.currency
        having sum(e.amount_minor) filter (where e.account = %(unapplied)s) <> 0
            or sum(e.amount_minor) filter (where e.account = %(on_account)s) <> 0
        order by abs(sum(e.amount_minor)) desc, 1, 2 limit %(limit)s
        """,
        {
            "account": billing_account,
            "unapplied": UNAPPLIED_CASH,
            "on_account": MONEY_ON_ACCOUNT,
            "limit": KEPT_MAX,
        },
    )
    return tuple(
        Kept(entity, Money(unapplied, currency), Money(on_account, currency))
        for entity, currency, unapplied, on_account in rows
    )


def get_kept(tx: Tx, *, billing_account: int, entity: str, currency: Currency) -> Kept:
    """The same of one issuer and currency."""
    unapplied, on_account = (
        -balance(tx, account=name, currency=currency, entity=entity, billing_account=billing_account)
        for name in (UNAPPLIED_CASH, MONEY_ON_ACCOUNT)
    )
    return Kept(entity, unapplied, on_account)


def first_open_day(tx: Tx, *, entity: str) -> date | None:
    """The first day on which something can be posted in the entity's books; None where no month was ever closed."""
    row = tx.execute("select ledger.first_open_day(%s)", (entity,)).fetchone()
    assert row is not None  # a scalar function returns one row
    return row[0]


def list_closings(tx: Tx, *, entity: str | None = None, limit: int) -> tuple[Closing, ...]:
    """The months that were closed, the last one first."""
    rows = tx.execute(
        "select entity, month, closed_at, closed_by from ledger.closings "
        "where %(entity)s::text is null or entity = %(entity)s order by month desc, entity limit %(limit)s",
        {"entity": entity, "limit": limit},
    )
    return tuple(Closing(*row) for row in rows)


def has_books(tx: Tx, *, entity: str) -> bool:
    """Whether anything was ever posted for the entity, within reach."""
    return tx.execute("select from ledger.transactions where entity = %s limit 1", (entity,)).rowcount == 1


def is_posted(tx: Tx, *, key: str) -> bool:
    """Whether a transaction of that key stands, within reach."""
    return tx.execute("select from ledger.transactions where key = %s", (key,)).fetchone() is not None


def list_descriptions(tx: Tx, *, keys: Collection[str]) -> dict[str, str]:
    """What the transactions of these keys say of themselves, of those within reach."""
    query = "select key, description from ledger.transactions where key = any(%s)"
    return dict(tx.execute(query, (list(keys),)).fetchall())


def list_debited(tx: Tx, *, keys: Collection[str], account: AccountName) -> frozenset[str]:
    """Which of these transactions debit the account."""
    rows = tx.execute(
        "select distinct t.key from ledger.transactions t join ledger.entries e on e.transaction = t.id "
        "where t.key = any(%s) and e.account = %s and e.amount_minor > 0",
        (list(keys), account),
    )
    return frozenset(key for (key,) in rows)


def trial_balance(
    tx: Tx, *, entity: str | None = None, until: date | None = None
) -> tuple[TrialBalanceRow, ...]:
    """Every entity's accounts, or those of one, with their totals before the day `until`, in order."""
    rows = tx.execute(
        """
        select t.entity, e.account, e.currency,
               coalesce(sum(e.amount_minor) filter (where e.amount_minor > 0), 0)::bigint,
               coalesce(-sum(e.amount_minor) filter (where e.amount_minor < 0), 0)::bigint
        from ledger.entries e join ledger.transactions t on t.id = e.transaction
        where (%(until)s::date is null or t.posted_on < %(until)s)
          and (%(entity)s::text is null or t.entity = %(entity)s)
        group by t.entity, e.account, e.currency
        order by t.entity, e.account, e.currency
        """,
        {"until": until, "entity": entity},
    ).fetchall()
    return tuple(
        TrialBalanceRow(entity, AccountName(account), Money(debits, currency), Money(credits, currency))
        for entity, account, currency, debits, credits in rows
    )


def list_transactions(
    tx: Tx, *, wanted: BookFilter, after: Position | None = None, limit: int
) -> tuple[PostedTransaction, ...]:
    """Transactions that the filter finds, behind a position, by day and number, each with all of its entries."""
    day, number = after or (None, None)
    rows = tx.execute(
        """
        select t.number, t.id, t.key, t.entity, t.posted_on, t.description, t.billing_account,
               (select jsonb_agg(jsonb_build_array(e.account, e.currency, e.amount_minor, e.service_from, e.service_to)
                                 order by e.line)
                from ledger.entries e where e.transaction = t.id)
        from ledger.transactions t
        where (%(entity)s::text is null or t.entity = %(entity)s)
          and (%(billing_account)s::integer is null or t.billing_account = %(billing_account)s)
          and (%(first)s::date is null or t.posted_on >= %(first)s)
          and (%(end)s::date is null or t.posted_on < %(end)s)
          and (%(day)s::date is null or (t.posted_on, t.number) > (%(day)s, %(number)s::bigint))
          and (%(account)s::text is null or exists (
              select from ledger.entries e where e.transaction = t.id
              and (e.account = %(account)s or starts_with(e.account, %(account)s || ':'))))
        order by t.posted_on, t.number limit %(limit)s
        """,
        {
            "entity": wanted.entity,
            "billing_account": wanted.billing_account,
            "first": wanted.first,
            "end": wanted.end,
            "account": wanted.account,
            "day": day,
            "number": number,
            "limit": limit,
        },
    ).fetchall()
    return tuple(PostedTransaction(*row[:7], entries=tuple(map(_entry, row[7]))) for row in rows)


def _entry(row: tuple[str, str, int, str | None, str | None]) -> Entry:
    account, currency, minor, start, end = row
    service = None if start is None or end is None else (date.fromisoformat(start), date.fromisoformat(end))
    return Entry(AccountName(account), Money(minor, currency), service)


def owed_before(tx: Tx, *, billing_account: int, day: date) -> tuple[Money, ...]:
    """What the billing account owed when the day began: one amount a currency that it ever had."""
    rows = tx.execute(
        "select e.currency, coalesce(sum(e.amount_minor) filter (where t.posted_on < %s), 0)::bigint "
        "from ledger.transactions t join ledger.entries e on e.transaction = t.id "
        "where t.billing_account = %s and e.account = %s group by e.currency order by e.currency",
        (day, billing_account, RECEIVABLE),
    )
    return tuple(Money(minor, currency) for currency, minor in rows)


def list_statement(
    tx: Tx, *, billing_account: int, first: date, end: date, after: Position | None = None, limit: int
) -> tuple[StatementLine, ...]:
    """What moved the receivable of a billing account in the days `[first, end)`, behind a position, by day and number.

    The balance of a line is over everything before it, from the beginning of the books.
    """
    day, number = after or (None, None)
    rows = tx.execute(
        """
        select * from (
            select t.number, t.key, t.posted_on, t.description, e.currency, sum(e.amount_minor)::bigint,
                   (sum(sum(e.amount_minor)) over (partition by e.currency order by t.posted_on, t.number))::bigint
            from ledger.transactions t join ledger.entries e on e.transaction = t.id
            where t.billing_account = %(account)s and e.account = %(receivable)s and t.posted_on < %(end)s
            group by t.number, t.key, t.posted_on, t.description, e.currency) moved
        where posted_on >= %(first)s and (%(day)s::date is null or (posted_on, number) > (%(day)s, %(number)s::bigint))
        order by posted_on, number limit %(limit)s
        """,
        {
            "account": billing_account,
            "receivable": RECEIVABLE,
            "first": first,
            "end": end,
            "day": day,
            "number": number,
            "limit": limit,
        },
    ).fetchall()
    return tuple(
        StatementLine(id, key, posted_on, description, Money(minor, currency), Money(balance_minor, currency))
        for id, key, posted_on, description, currency, minor, balance_minor in rows
    )


def list_balances(tx: Tx, *, account: AccountName) -> tuple[SubledgerBalance, ...]:
    """One account of the books, with those below it, by entity, billing account and currency; none that are zero."""
    rows = tx.execute(
        "select t.entity, t.billing_account, e.currency, sum(e.amount_minor)::bigint "
        "from ledger.entries e join ledger.transactions t on t.id = e.transaction "
        "where e.account = %(account)s or starts_with(e.account, %(account)s || ':') "
        "group by t.entity, t.billing_account, e.currency having sum(e.amount_minor) <> 0 order by 1, 2, 3",
        {"account": account},
    )
    return tuple(
        SubledgerBalance(entity, number, Money(minor, currency)) for entity, number, currency, minor in rows
    )


def list_revenue_after(tx: Tx, *, entity: str, billing_account: int, day: date) -> tuple[Posting, ...]:
    """Revenue that was posted on the day or later for service before it, credits positive; without accruals."""
    rows = tx.execute(
        "select e.account, (-sum(e.amount_minor))::bigint, e.service_from, e.service_to "
        "from ledger.transactions t join ledger.entries e on e.transaction = t.id "
        "where t.billing_account = %(account)s and t.entity = %(entity)s and t.posted_on >= %(day)s "
        "and starts_with(e.account, %(revenue)s) and e.service_from < %(day)s and not starts_with(t.key, 'accrual/') "
        "group by 1, 3, 4 order by 1, 3, 4",
        {"account": billing_account, "entity": entity, "day": day, "revenue": f"{REVENUE}:"},
    )
    return tuple((AccountName(name), minor, (start, end)) for name, minor, start, end in rows)


def get_last_number(tx: Tx) -> int:
    """The number of the transaction that was posted last; 0 where there is none."""
    row = tx.execute("select coalesce(max(number), 0) from ledger.transactions").fetchone()
    assert row is not None, "an aggregate returns one row"
    return row[0]


def list_unbalanced(tx: Tx, *, after: int = 0) -> tuple[SubledgerBalance, ...]:
    """By how much the books of an entity and a billing account are out of balance in a currency; nothing is right.

    Of transactions behind the number `after`.
    """
    rows = tx.execute(
        "select t.entity, t.billing_account, e.currency, sum(e.amount_minor)::bigint "
        "from ledger.entries e join ledger.transactions t on t.id = e.transaction where t.number > %s "
        "group by t.entity, t.billing_account, e.currency, t.id having sum(e.amount_minor) <> 0 order by 1, 2, 3",
        (after,),
    )
    return tuple(
        SubledgerBalance(entity, number, Money(minor, currency)) for entity, number, currency, minor in rows
    )
