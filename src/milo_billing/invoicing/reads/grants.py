"""Credit that was granted, and what became of it."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any, Final, LiteralString
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads.notes import standing
from milo_billing.invoicing.rules.grants import (
    Grant,
    GrantNotFound,
    Movement,
    in_order,
    parse_selectors,
)
from milo_billing.kernel.periods import local_day

REVOKED: Final = "revoked/"
"""How the cause of a movement begins by which staff took back what was left."""

_GRANT: LiteralString = (
    "select g.uid, g.owner_org, g.namespace, g.name, g.account, g.account_name, g.kind, g.currency, g.amount_minor, "
    "g.priority, g.effective_from, g.expires_at, g.issuer, g.title, g.reason, g.selectors, g.granted_at, "
    "g.remaining_minor, m.used, m.expired, m.revoked, m.last, g.tax_at, g.tax_category, g.bought_by, "
    "coalesce((select number from invoicing.invoices where uid = g.bought_by), '') "
    "from invoicing.credit_grants g cross join lateral ("
    "select coalesce(-sum(amount_minor) filter (where kind in ('Used', 'GivenBack')), 0)::bigint as used, "
    "coalesce(-sum(amount_minor) filter (where kind = 'Expired'), 0)::bigint as expired, "
    "coalesce(-sum(amount_minor) filter (where kind = 'Revoked'), 0)::bigint as revoked, "
    "(array_agg(kind order by step desc) filter (where amount_minor < 0))[1] as last "
    "from invoicing.grant_movements where credit_grant = g.uid) m"
)


def get_grant(tx: Tx, *, uid: UUID) -> Grant:
    """The grant of this uid. Raises GrantNotFound, also where the transaction does not reach it."""
    found = find_grant(tx, uid=uid)
    if found is None:
        raise GrantNotFound(f"there is no credit grant {uid}")
    return found


def find_grant(tx: Tx, *, uid: UUID) -> Grant | None:
    """The same, or None."""
    row = tx.execute(f"{_GRANT} where g.uid = %s", (uid,)).fetchone()
    return None if row is None else _grant(row)


def is_grant_name_taken(tx: Tx, *, namespace: str, name: str) -> bool:
    """Whether a grant of that name stands, also one whose object has gone."""
    query = "select from invoicing.credit_grants where namespace = %s and name = %s"
    return tx.execute(query, (namespace, name)).fetchone() is not None


def list_open(tx: Tx, *, account: int) -> tuple[Grant, ...]:
    """The grants of the account of which something is left, whenever they hold."""
    return _grants(tx, f"{_GRANT} where g.account = %s and g.remaining_minor > 0", (account,))


def list_grants(tx: Tx, *, account: int, limit: int) -> tuple[Grant, ...]:
    """The grants of the account, the newest first."""
    return _grants(
        tx, f"{_GRANT} where g.account = %s order by g.granted_at desc, g.uid limit %s", (account, limit)
    )


def list_of(tx: Tx, *, uids: Collection[UUID]) -> tuple[Grant, ...]:
    """These grants, of those within reach, in the order of uids."""
    return _grants(tx, f"{_GRANT} where g.uid = any(%s) order by g.uid", (list(uids),))


def list_used_by(tx: Tx, *, invoice: UUID) -> tuple[tuple[Grant, int], ...]:
    """The grants that the invoice used, in the order in which it did, each with what it used and has not given back."""
    rows = tx.execute(
        "select credit_grant, -sum(amount_minor)::bigint from invoicing.grant_movements where invoice = %s "
        "group by credit_grant",
        (invoice,),
    ).fetchall()
    used: dict[UUID, int] = dict(rows)
    grants = in_order(list_of(tx, uids=used.keys())) if used else ()
    return tuple((one, used[one.uid]) for one in grants)


def names_used_by(tx: Tx, *, invoice: UUID) -> tuple[tuple[str, str], ...]:
    """(namespace, name) of the grants that the invoice used, and of the one that was bought by it."""
    rows = tx.execute(
        "select g.namespace, g.name from invoicing.grant_movements m "
        "join invoicing.credit_grants g on g.uid = m.credit_grant where m.invoice = %(invoice)s "
        "union select namespace, name from invoicing.credit_grants where bought_by = %(invoice)s order by 1, 2",
        {"invoice": invoice},
    )
    return tuple((namespace, name) for namespace, name in rows)


def find_bought_by(tx: Tx, *, invoice: UUID) -> Grant | None:
    """The grant that was bought, with its tax, by the invoice."""
    row = tx.execute(f"{_GRANT} where g.bought_by = %s", (invoice,)).fetchone()
    return None if row is None else _grant(row)


def get_purchase(tx: Tx, *, invoice: UUID) -> tuple[str, str] | None:
    """(namespace, name) of the invoice by which a grant was bought; None where the transaction does not reach it."""
    query = "select namespace, name from invoicing.invoices where uid = %s"
    return tx.execute(query, (invoice,)).fetchone()


def given_back_late_minor(tx: Tx, *, grant: UUID, since: datetime) -> int:
    """What came back to the grant from that instant on and was not taken back since."""
    row = tx.execute(
        "select coalesce(sum(amount_minor), 0)::bigint from invoicing.grant_movements "
        "where credit_grant = %s and kind in ('GivenBack', 'Revoked') and at >= %s",
        (grant, since),
    ).fetchone()
    assert row is not None, "a sum is one row"
    return max(0, row[0])


def find_revoking_note(tx: Tx, *, grant: UUID) -> UUID | None:
    """The credit note over its purchase by which what was left of the grant was taken back, if that was done last."""
    row = tx.execute(
        "select cause from invoicing.grant_movements where credit_grant = %s order by step desc limit 1",
        (grant,),
    ).fetchone()
    return UUID(row[0][len(REVOKED) :]) if row is not None and row[0].startswith(REVOKED) else None


def prepaid_minor(tx: Tx, *, invoice: UUID) -> int:
    """What prepaid credit paid of the taxed invoice when it was issued: the same for ever."""
    row = tx.execute(
        "select coalesce(-sum(m.amount_minor), 0)::bigint from invoicing.grant_movements m "
        "join invoicing.credit_grants g on g.uid = m.credit_grant "
        "where m.invoice = %s and m.kind = 'Used' and g.kind = 'Prepaid' and g.tax_at = 'Use'",
        (invoice,),
    ).fetchone()
    assert row is not None, "a sum is one row"
    return row[0]


def paid_at_issue_minor(tx: Tx, *, invoice: UUID) -> int:
    """What of the invoice was paid as it was issued: by prepaid credit, or all of it where credit was bought by it."""
    row = tx.execute(
        "select total_minor from invoicing.invoices i where uid = %s "
        "and exists (select from invoicing.credit_grants where bought_by = i.uid)",
        (invoice,),
    ).fetchone()
    return prepaid_minor(tx, invoice=invoice) if row is None else row[0]


def on_account_minor(tx: Tx, *, invoice: UUID) -> int:
    """What credit notes of the invoice gave back of what had been paid."""
    row = tx.execute(
        "select coalesce(sum(total_minor - settled_minor), 0)::bigint from invoicing.credit_notes "
        f"where invoice = %s and {standing('uid')}",
        (invoice,),
    ).fetchone()
    assert row is not None, "a sum is one row"
    return row[0]


def get_goodwill_note(tx: Tx, *, invoice: UUID, grant: UUID) -> UUID:
    """The credit note by which the invoice used goodwill of the grant."""
    row = tx.execute(
        "select substring(cause from 13)::uuid from invoicing.grant_movements "
        "where credit_grant = %s and invoice = %s and kind = 'Used'",
        (grant, invoice),
    ).fetchone()
    if row is None:
        raise GrantNotFound(f"invoice {invoice} used no goodwill of {grant}")
    return row[0]


def list_taken_back(tx: Tx, *, invoice: UUID) -> dict[int, int]:
    """What credit notes took of the invoice, net, by line, without those that took nothing of the service back:
    by which goodwill was used, or a discount for early payment given.
    """
    rows = tx.execute(
        "select line, sum(net_minor)::bigint from invoicing.credit_lines where invoice = %(invoice)s "
        f"and {standing('credit_note')} "
        "and not exists (select from invoicing.settlements s where s.invoice = %(invoice)s "
        "and s.kind = 'EarlyPaymentDiscount' and s.reference = credit_lines.credit_note::text) "
        "and not exists (select from invoicing.grant_movements m join invoicing.credit_grants g "
        "on g.uid = m.credit_grant where m.invoice = %(invoice)s and m.kind = 'Used' and g.kind = 'Goodwill' "
        "and m.cause = 'credit-note/' || credit_lines.credit_note) group by line",
        {"invoice": invoice},
    )
    return dict(rows.fetchall())


def list_movements(tx: Tx, *, grant: UUID, after: int, limit: int) -> tuple[Movement, ...]:
    """What became of the grant behind that step, in order."""
    rows = tx.execute(
        "select m.step, m.kind, m.amount_minor, i.number, m.cause, m.posted, m.reason, m.at "
        "from invoicing.grant_movements m left join invoicing.invoices i on i.uid = m.invoice "
        "where m.credit_grant = %s and m.step > %s order by m.step limit %s",
        (grant, after, limit),
    )
    return tuple(Movement(*row) for row in rows)


def list_moved(tx: Tx, *, account: int, grant: str | None, limit: int) -> tuple[tuple[str, Movement], ...]:
    """What became of the account's grants, each with the grant's name, the newest first; of one by name."""
    rows = tx.execute(
        "select g.name, m.step, m.kind, m.amount_minor, i.number, m.cause, m.posted, m.reason, m.at "
        "from invoicing.credit_grants g join invoicing.grant_movements m on m.credit_grant = g.uid "
        "left join invoicing.invoices i on i.uid = m.invoice "
        "where g.account = %(account)s and (%(grant)s::text is null or g.name = %(grant)s) "
        "order by m.at desc, g.uid, m.step desc limit %(limit)s",
        {"account": account, "grant": grant, "limit": limit},
    )
    return tuple((row[0], Movement(*row[1:])) for row in rows)


def list_overdue(tx: Tx, *, now: datetime, after: UUID, limit: int) -> tuple[UUID, ...]:
    """Grants behind `after` that have expired and of which something is left, in the order of uids."""
    rows = tx.execute(
        "select uid from invoicing.credit_grants where remaining_minor > 0 and expires_at <= %s and uid > %s "
        "order by uid limit %s",
        (now, after, limit),
    )
    return tuple(uid for (uid,) in rows)


def list_expiring(tx: Tx, *, after: datetime, until: datetime, limit: int) -> tuple[Grant, ...]:
    """Grants of which something is left and that expire within `(after, until]`, the soonest first."""
    return _grants(
        tx,
        f"{_GRANT} where g.remaining_minor > 0 and g.expires_at > %s and g.expires_at <= %s "
        "order by g.expires_at, g.uid limit %s",
        (after, until, limit),
    )


def _grants(tx: Tx, query: LiteralString, values: Sequence[Any]) -> tuple[Grant, ...]:
    return tuple(map(_grant, tx.execute(query, values).fetchall()))


def _grant(row: tuple[Any, ...]) -> Grant:
    values: list[Any] = list(row)
    values[15] = parse_selectors(row[15])
    return Grant(*values)


def get_books_day(tx: Tx, *, issuer: str, now: datetime) -> date:
    """Today in the issuer's zone, in whose books a grant lies; in UTC where the profile has gone."""
    row = tx.execute(
        "select v.body ->> 'timeZone' from invoicing.issuers i "
        "join invoicing.issuer_versions v on v.digest = i.version where i.name = %s",
        (issuer,),
    ).fetchone()
    return local_day(now, zone="Etc/UTC" if row is None else row[0])
