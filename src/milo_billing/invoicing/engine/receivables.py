"""The invoices behind the receivable: what the books should have there, and how old it is.

Owns: those reads, as the ledger's port `Receivables` asks for them. Not: the books, nor what settles an invoice.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final, LiteralString

from milo_billing.infra.database import Tx
from milo_billing.kernel.money import Money
from milo_billing.ledger.types import RECEIVABLE, AccountName, AgedReceivable, SubledgerBalance

_DUE: Final[LiteralString] = "(total_minor - amount_paid_minor - credited_minor - written_off_minor)"


class InvoiceReceivables:
    """`ledger.ports.Receivables`, from the rows of invoices."""

    @property
    def account(self) -> AccountName:
        """Assets:Receivable."""
        return RECEIVABLE

    def list_balances(self, tx: Tx) -> Sequence[SubledgerBalance]:
        """What is due of every invoice, by issuer, account and currency; without those that owe nothing."""
        rows = tx.execute(
            f"select issuer, account, currency, sum({_DUE})::bigint from invoicing.invoices "
            f"group by issuer, account, currency having sum({_DUE}) <> 0 order by issuer, account, currency"
        )
        return tuple(
            SubledgerBalance(issuer, account, Money(minor, currency))
            for issuer, account, currency, minor in rows
        )

    def list_aged(self, tx: Tx, *, on: date, after: int, limit: int) -> Sequence[AgedReceivable]:
        """What is due of accounts behind number `after`, by how many days it is overdue on `on`; `limit` accounts.

        Overdue counts from the day after the due date. Invoices that were issued after `on` are left out; what is due
        is what is due now.
        """
        rows = tx.execute(
            f"""
            with due as (
                select account, currency, {_DUE} as minor, %(on)s::date - due_on as days from invoicing.invoices
                where account > %(after)s and {_DUE} > 0 and issued_on <= %(on)s)
            select account, currency,
                coalesce(sum(minor) filter (where days <= 0), 0)::bigint,
                coalesce(sum(minor) filter (where days between 1 and 30), 0)::bigint,
                coalesce(sum(minor) filter (where days between 31 and 60), 0)::bigint,
                coalesce(sum(minor) filter (where days between 61 and 90), 0)::bigint,
                coalesce(sum(minor) filter (where days > 90), 0)::bigint
            from due where account in (select distinct account from due order by account limit %(limit)s)
            group by account, currency order by account, currency
            """,
            {"on": on, "after": after, "limit": limit},
        )
        return tuple(AgedReceivable(*row) for row in rows)
