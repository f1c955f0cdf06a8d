"""Overdue invoices that bear interest, what became of them by the day, and what was charged for them."""

from datetime import date, datetime
from typing import LiteralString
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.invoicing.rules.late_interest import Charged, Settling

_OVERDUE: LiteralString = (
    "from invoicing.invoices i join invoicing.issuer_versions v on v.digest = i.issuer_version "
    # a constant first day keeps the index in use; the day where the invoice was issued decides
    "where i.interest_percent is not null and i.due_on < (%(now)s at time zone 'Etc/GMT-14')::date "
    # of one that is not overdue any more, only what became of it since it was charged can change anything
    "and (i.phase = 'PastDue' or exists (select from invoicing.settlements s where s.invoice = i.uid "
    "and s.noted_at > coalesce((select max(c.issued_at) from invoicing.interest x "
    "join invoicing.invoices c on c.uid = x.charged_on where x.invoice = i.uid), "
    "case when (s.at at time zone (v.body ->> 'timeZone'))::date > i.due_on then timestamptz '-infinity' "
    "else timestamptz 'infinity' end))) "
)
_BEARING: LiteralString = (
    f"{_OVERDUE} and i.due_on + 1 < date_trunc('month', %(now)s at time zone (v.body ->> 'timeZone'))::date "
)
_ACCRUING: LiteralString = (
    f"{_OVERDUE} and i.due_on + 1 < (%(now)s at time zone (v.body ->> 'timeZone'))::date "
)


def list_accounts(tx: Tx, *, after: int, now: datetime, limit: int) -> tuple[int, ...]:
    """Accounts behind `after` whose invoices may bear interest that was not charged, or too much of it, by number."""
    rows = tx.execute(
        f"select distinct i.account {_BEARING} and i.account > %(after)s order by i.account limit %(limit)s",
        {"now": now, "after": after, "limit": limit},
    )
    return tuple(number for (number,) in rows)


def list_bearing(tx: Tx, *, account: int, now: datetime, limit: int) -> tuple[UUID, ...]:
    """Those of the account's invoices, in the order of uids."""
    rows = tx.execute(
        f"select i.uid {_BEARING} and i.account = %(account)s order by i.uid limit %(limit)s",
        {"now": now, "account": account, "limit": limit},
    )
    return tuple(uid for (uid,) in rows)


def list_accruing(tx: Tx, *, account: int | None, after: UUID, now: datetime, limit: int) -> tuple[UUID, ...]:
    """Invoices behind `after` that bear interest today, of one account or of all within reach, in the order of uids.

    With those that bore some which is not charged yet, or too much of it, though they are not overdue any more.
    """
    rows = tx.execute(
        f"select i.uid {_ACCRUING} and i.uid > %(after)s "
        "and (%(account)s::integer is null or i.account = %(account)s) order by i.uid limit %(limit)s",
        {"now": now, "account": account, "after": after, "limit": limit},
    )
    return tuple(uid for (uid,) in rows)


def list_settlings(tx: Tx, *, invoice: UUID) -> tuple[Settling, ...]:
    """What became of the invoice, by the day on which it counts where the invoice was issued."""
    rows = tx.execute(
        "select s.kind, s.amount_minor, (s.at at time zone (v.body ->> 'timeZone'))::date "
        "from invoicing.settlements s join invoicing.invoices i on i.uid = s.invoice "
        "join invoicing.issuer_versions v on v.digest = i.issuer_version where s.invoice = %s order by s.step",
        (invoice,),
    )
    return tuple(Settling(*row) for row in rows)


def get_charged(tx: Tx, *, invoice: UUID) -> Charged:
    """What was charged for the invoice, less what was given back because it was not owed."""
    row: tuple[date | None, int] | None = tx.execute(
        "select max(upper(days)), (coalesce(sum(amount_minor), 0) - coalesce((select sum(amount_minor) "
        "from invoicing.interest_reversals where invoice = %(invoice)s), 0))::bigint "
        "from invoicing.interest where invoice = %(invoice)s",
        {"invoice": invoice},
    ).fetchone()
    assert row is not None, "an aggregate returns one row"
    return Charged(*row)


def list_charging(tx: Tx, *, invoice: UUID) -> tuple[tuple[UUID, int], ...]:
    """(invoice, line) that charged interest for the invoice and is not void, the newest first."""
    rows = tx.execute(
        "select x.charged_on, x.line from invoicing.interest x join invoicing.invoices c on c.uid = x.charged_on "
        "where x.invoice = %s and c.phase <> 'Void' order by c.issued_at desc, x.line",
        (invoice,),
    )
    return tuple(rows)


def get_line_minor(tx: Tx, *, invoice: UUID, line: int) -> int:
    """What a line charged."""
    query = "select amount_minor from invoicing.lines where invoice = %s and line = %s"
    row = tx.execute(query, (invoice, line)).fetchone()
    assert row is not None, "interest names a line that stands"
    return row[0]
