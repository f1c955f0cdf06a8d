"""The grants behind prepaid credit in the books, as the ledger's port `Subledger` asks for them."""

from collections.abc import Sequence

from milo_billing.infra.database import Tx
from milo_billing.kernel.money import Money
from milo_billing.ledger.types import PREPAID_CREDIT, AccountName, SubledgerBalance


class PrepaidCredit:
    """`ledger.ports.Subledger`: what is left of prepaid grants, which is the customers' money."""

    @property
    def account(self) -> AccountName:
        """Liabilities:MoneyOnAccount:Prepaid."""
        return PREPAID_CREDIT

    def list_balances(self, tx: Tx) -> Sequence[SubledgerBalance]:
        """By issuer, account and currency, below zero: it is owed. Without accounts of which nothing is left."""
        rows = tx.execute(
            "select issuer, account, currency, -sum(remaining_minor)::bigint from invoicing.credit_grants "
            "where kind = 'Prepaid' and remaining_minor > 0 group by issuer, account, currency "
            "order by issuer, account, currency"
        )
        return tuple(
            SubledgerBalance(issuer, account, Money(minor, currency))
            for issuer, account, currency, minor in rows
        )
