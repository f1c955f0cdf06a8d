"""Balances and closings. Row-level security narrows each to the organizations that the transaction may see."""

from datetime import date

from milo_billing.infra.database import Tx
from milo_billing.kernel.money import Currency, Money
from milo_billing.ledger.types import RECEIVABLE, AccountName, Closing, TrialBalanceRow


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


def is_posted(tx: Tx, *, key: str) -> bool:
    """Whether a transaction of that key stands, within reach."""
    return tx.execute("select from ledger.transactions where key = %s", (key,)).fetchone() is not None


def trial_balance(tx: Tx, *, until: date | None = None) -> tuple[TrialBalanceRow, ...]:
    """Every entity's accounts with their totals, before the day `until`, by entity, account, currency."""
    rows = tx.execute(
        """
        select t.entity, e.account, e.currency,
               coalesce(sum(e.amount_minor) filter (where e.amount_minor > 0), 0)::bigint,
               coalesce(-sum(e.amount_minor) filter (where e.amount_minor < 0), 0)::bigint
        from ledger.entries e join ledger.transactions t on t.id = e.transaction
        where %(until)s::date is null or t.posted_on < %(until)s
        group by t.entity, e.account, e.currency
        order by t.entity, e.account, e.currency
        """,
        {"until": until},
    ).fetchall()
    return tuple(
        TrialBalanceRow(entity, AccountName(account), Money(debits, currency), Money(credits, currency))
        for entity, account, currency, debits, credits in rows
    )
