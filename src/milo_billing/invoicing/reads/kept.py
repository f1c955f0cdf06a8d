"""What documents of invoicing say of customers' money that is kept: what came, what pays invoices, what stays over.

The books are no source here: the ledger is compared with these sums (`ledger.ports.Subledger`).
"""

from dataclasses import dataclass
from typing import Final, LiteralString

from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads.notes import standing

APPLIED: Final = "applied"
"""In the key of what pays an invoice from unapplied cash: `invoice/<uid>/applied/<reference>`."""

ON_ACCOUNT: Final = "on-account"
"""In the key of what pays an invoice from money on account."""


@dataclass(frozen=True, slots=True)
class Moved:
    """By how much something changed what one account has with one issuer, in minor units."""

    issuer: str
    account: int
    currency: str
    minor: int


def list_taken_from_unapplied(tx: Tx) -> tuple[Moved, ...]:
    """What of unapplied cash pays invoices, by whatever way the money came, and what was set apart as prepaid credit.

    Money that comes in is unapplied cash less what it settles at once, so that counts as taken, too: the settlements of
    payments and bank entries, those that were reversed below zero.
    """
    return _list(
        tx,
        """
        select i.issuer, i.account, i.currency, s.amount_minor
        from invoicing.settlements s join invoicing.invoices i on i.uid = s.invoice
        where s.kind in ('Payment', 'Credit', 'PaymentReversal')
          and (s.posted like 'payment/%%' or s.posted like 'bank/%%'
               or s.posted like 'invoice/%%/' || %(applied)s || '/%%')
        union all
        select issuer, account, currency, unapplied_minor from invoicing.credit_grants where unapplied_minor > 0
        """,
    )


def list_kept_on_account(tx: Tx) -> tuple[Moved, ...]:
    """Money on account, with prepaid credit: what credit notes left over and grants brought, less what pays invoices.

    Credit that was taxed at purchase came with its invoice: what is left of it is kept, before tax. Without what was
    refunded of it, which payments know.
    """
    return _list(
        tx,
        f"""
        select i.issuer, n.account, n.currency, n.total_minor - n.settled_minor as minor
        from invoicing.credit_notes n join invoicing.invoices i on i.uid = n.invoice
        where n.total_minor > n.settled_minor and {standing("n.uid")}
        union all
        select issuer, account, currency, received_minor + unapplied_minor
        from invoicing.credit_grants where received_minor + unapplied_minor > 0
        union all
        select g.issuer, g.account, g.currency, m.amount_minor
        from invoicing.grant_movements m join invoicing.credit_grants g on g.uid = m.credit_grant
        where g.kind = 'Prepaid' and m.kind = 'Expired' or g.tax_at = 'Purchase'
        union all
        select i.issuer, i.account, i.currency, -s.amount_minor
        from invoicing.settlements s join invoicing.invoices i on i.uid = s.invoice
        where s.posted like 'invoice/%%/' || %(on_account)s || '/%%' or s.posted like 'invoice/%%/credit/%%'
        """,
    )


def _list(tx: Tx, moved: LiteralString) -> tuple[Moved, ...]:
    rows = tx.execute(
        f"select issuer, account, currency, sum(minor)::bigint from ({moved}) moved (issuer, account, currency, minor) "
        "group by issuer, account, currency having sum(minor) <> 0 order by issuer, account, currency",
        {"applied": APPLIED, "on_account": ON_ACCOUNT},
    )
    return tuple(Moved(*row) for row in rows)
