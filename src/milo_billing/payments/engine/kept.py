"""The documents behind customers' money that is kept, as the ledger's port `Subledger` asks for them.

Owns: what payments, bank entries and refunds say of it, and what was put on account of them. Not: what invoicing does
with it (invoicing.reads.kept).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import LiteralString

from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads import kept
from milo_billing.invoicing.reads.kept import Moved
from milo_billing.kernel.money import Money
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, UNAPPLIED_CASH, AccountName, SubledgerBalance


class UnappliedCash:
    """`ledger.ports.Subledger`: all money that came and did not go back, less what pays invoices."""

    @property
    def account(self) -> AccountName:
        """Liabilities:UnappliedCash."""
        return UNAPPLIED_CASH

    def list_balances(self, tx: Tx) -> Sequence[SubledgerBalance]:
        """By issuer, account and currency, below zero: it is owed. Without accounts of which nothing is left.

        What a payment had over and was put on account is none of it.
        """
        came = _list(
            tx,
            """
            select entity, account, currency, (amount_minor - refunded_minor - disputed_minor)::bigint
            from payments.payments where phase in ('Succeeded', 'Refunded')
            union all
            select p.entity, p.account, r.currency, r.amount_minor
            from payments.refunds r join payments.payments p on p.uid = r.payment
            where r.source = 'MoneyOnAccount' and r.state <> 'Failed'
            union all
            select split_part(m.posted, '/', 3), m.account, s.currency, m.amount_minor
            from payments.matches m join payments.statement_entries e on e.uid = m.entry
            join payments.statements s on s.uid = e.statement where m.returned_by is null
            union all
            select o.entity, i.owner_org::integer, o.currency, i.amount_minor
            from payments.payout_items i join payments.payouts o on o.class = i.class and o.reference = i.payout
            where i.kind = 'Other'
            union all
            select entity, account, 'EUR', -amount_minor from payments.transfers
            where source = 'UnappliedCash' and state not in ('Returned', 'Cancelled')
            union all
            select entity, account, currency, -amount_minor from payments.on_account
            """,
        )
        return _owed(came, less=kept.list_taken_from_unapplied(tx))


class MoneyOnAccount:
    """`ledger.ports.Subledger`: what credit notes, grants and payments of too much left with the account, less what was
    used, refunded, and taken from there because it goes back.
    """

    @property
    def account(self) -> AccountName:
        """Liabilities:MoneyOnAccount, with the prepaid credit below it."""
        return MONEY_ON_ACCOUNT

    def list_balances(self, tx: Tx) -> Sequence[SubledgerBalance]:
        """As `UnappliedCash.list_balances`."""
        refunded = _list(
            tx,
            "select p.entity, p.account, r.currency, r.amount_minor "
            "from payments.refunds r join payments.payments p on p.uid = r.payment "
            "where r.source = 'MoneyOnAccount' and r.state <> 'Failed' "
            "union all select entity, account, 'EUR', amount_minor from payments.transfers "
            "where source = 'MoneyOnAccount' and state not in ('Returned', 'Cancelled')",
        )
        over = _list(tx, "select entity, account, currency, amount_minor from payments.on_account")
        return _owed((*kept.list_kept_on_account(tx), *over), less=refunded)


def _list(tx: Tx, moved: LiteralString) -> tuple[Moved, ...]:
    return tuple(Moved(*row) for row in tx.execute(moved))


def _owed(kept: Iterable[Moved], *, less: Iterable[Moved]) -> tuple[SubledgerBalance, ...]:
    """What is owed to customers: below zero, as a credit balance is."""
    totals: defaultdict[tuple[str, int, str], int] = defaultdict(int)
    for sign, moved in ((-1, kept), (1, less)):
        for one in moved:
            totals[one.issuer, one.account, one.currency] += sign * one.minor
    return tuple(
        SubledgerBalance(issuer, account, Money(minor, currency))
        for (issuer, account, currency), minor in sorted(totals.items())
        if minor
    )
